"""The only printer: stdout is the result, stderr the progress."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from pathlib import PurePath
from typing import TextIO

import click

from mlops_sm.errors import MAX_RENDERED, Problem

_COLOURS = {"error": "red", "warning": "yellow", "ok": "green", "missing": "red"}


class Ui:
    """What a command writes.

    Args:
        out: The result goes there.
        err: Progress, warnings and errors go there.
        variables: Environment variables; ``NO_COLOR`` and ``TERM=dumb`` count.

    Attributes:
        json_wanted: Whether the result is one JSON document instead of text.
    """

    def __init__(self, out: TextIO, err: TextIO, variables: Mapping[str, str]) -> None:
        self.out = out
        self.err = err
        self.json_wanted = False
        self._plain = bool(variables.get("NO_COLOR")) or variables.get("TERM") == "dumb"
        self._noted: set[str] = set()
        self._dumb = variables.get("TERM") == "dumb"

    @property
    def live(self) -> bool:
        """Whether progress may be drawn over itself."""
        return self.err.isatty() and not self._dumb

    @property
    def colour(self) -> bool:
        """Whether progress may be coloured."""
        return self.err.isatty() and not self._plain

    def result(self, text: str) -> None:
        """Print a line of the result; nothing when JSON is wanted."""
        if not self.json_wanted:
            print(text, file=self.out, flush=True)

    def exact(self, text: str) -> None:
        """Write a document byte for byte; a terminal gets its newline."""
        self.out.write(text)
        if self.out.isatty():
            self.out.write("\n")
        self.out.flush()

    def data(self, value: object) -> None:
        """Print the result as JSON; nothing unless JSON is wanted."""
        if self.json_wanted:
            print(json.dumps(value, indent=2, ensure_ascii=False, default=_plain), file=self.out, flush=True)

    def say(self, text: str) -> None:
        """Print a line of progress."""
        print(text, file=self.err, flush=True)

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print a table as result."""
        for line in table(headers, rows):
            self.result(line)

    def report(self, problems: Sequence[Problem], *, as_result: bool = False) -> None:
        """Print problems: as progress, or as the result of a command that looks for them."""
        stream = self.out if as_result else self.err
        if as_result and self.json_wanted:
            return
        for problem in problems[:MAX_RENDERED]:
            print(self._render(problem, stream), file=stream, flush=True)
        if len(problems) > MAX_RENDERED:
            print(f"... and {len(problems) - MAX_RENDERED} more", file=stream, flush=True)

    def notes(self, problems: Sequence[Problem]) -> None:
        """Print warnings as progress, one line each, and none that was printed before."""
        for problem in problems:
            line = self._render(problem, self.err).partition("\n")[0]
            if line not in self._noted:
                self._noted.add(line)
                self.say(line)

    def mark(self, word: str) -> str:
        """A word such as ``ok`` or ``missing`` in its colour, if the result is shown on a terminal."""
        return self._styled(word, word, self.out)

    def _render(self, problem: Problem, stream: TextIO) -> str:
        kind = "error" if problem.is_error else "warning"
        head, _, rest = problem.render().partition(":")
        return f"{self._styled(head, kind, stream)}:{rest}"

    def _styled(self, text: str, kind: str, stream: TextIO) -> str:
        colour = _COLOURS.get(kind)
        return click.style(text, fg=colour, bold=True) if colour and stream.isatty() and not self._plain else text


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines with columns as wide as their widest cell; never cut or wrapped, so that tools can read them."""
    cells = [list(headers), *([" ".join(cell.split()) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def seconds(value: float | None) -> str:
    """Seconds for people: one decimal, nothing when there are none."""
    return "" if value is None else f"{value:.1f}"


def moment(value: datetime | None) -> str:
    """A time for people, in this machine's time zone, without a fraction."""
    return "" if value is None else value.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _plain(value: object) -> object:
    match value:
        case datetime():
            return value.isoformat()
        case PurePath():
            return str(value)
        case Enum():
            return value.value
        case Mapping():
            return dict(value)
        case _:
            raise TypeError(f"{type(value).__name__} is not JSON")
