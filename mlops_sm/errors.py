"""One exception root and one shape for everything that can be wrong: code, where, what, fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar, Final, NamedTuple

MAX_RENDERED: Final = 50
"""How many problems a message shows; the exception holds them all."""


class Problem(NamedTuple):
    """One finding.

    Attributes:
        code: Stable identifier, a letter and three digits, e.g. ``E203``; ``W`` marks a warning that stops nothing.
        where: File, step and JSON path or option, most general first.
        what: What is wrong, in one sentence.
        fix: What to do about it.
    """

    code: str
    where: str
    what: str
    fix: str

    @property
    def is_error(self) -> bool:
        """Whether this finding stops the command."""
        return not self.code.startswith("W")

    def render(self) -> str:
        """The three-line message a person reads."""
        kind = "error" if self.is_error else "warning"
        return f"{kind}[{self.code}]: {self.what}\n  where: {self.where}\n  fix:   {self.fix}"


class MlopsSmError(Exception):
    """Root of every error this package raises on purpose.

    Attributes:
        exit_code: What the command line exits with.
        problems: Every finding, not just the first.
    """

    exit_code: ClassVar[int] = 70

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__(render(problems))


class InputError(MlopsSmError):
    """The input is wrong: a name, a value, a file or a definition."""

    exit_code = 2


class RefusedError(MlopsSmError):
    """The environment refused: a missing tool, a locked state directory, AWS said no."""

    exit_code = 3


def render(problems: Iterable[Problem]) -> str:
    """Render problems as text, at most `MAX_RENDERED` of them."""
    found = tuple(problems)
    shown = [p.render() for p in found[:MAX_RENDERED]]
    if len(found) > MAX_RENDERED:
        shown.append(f"... and {len(found) - MAX_RENDERED} more")
    return "\n".join(shown)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence that names the closest known words, or all of them when they are few, or nothing."""
    candidates = sorted(set(known))
    close = difflib.get_close_matches(word, candidates, n=3, cutoff=0.6)
    if close:
        return "Did you mean " + " or ".join(f'"{c}"' for c in close) + "?"
    if candidates and len(candidates) <= 12:  # noqa: PLR2004 - more than a dozen names is a list nobody reads
        return "Known: " + ", ".join(candidates) + "."
    return ""
