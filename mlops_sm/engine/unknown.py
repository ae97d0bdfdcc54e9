"""Values of a run that is only foretold: what nobody can know before a step has run, and what a step is to leave."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Self

from mlops_sm.definition.document import Json
from mlops_sm.definition.expressions import Key
from mlops_sm.definition.wording import item, member, shown


class Gap(NamedTuple):
    """One thing that a value waits for.

    Attributes:
        step: The step that has to run first; None for a value of the execution itself.
        path: What of it, as an expression names it, e.g. ``ModelArtifacts.S3ModelArtifacts``.
        content: Whether it is read from a file, rather than being a member of what the service describes.
        via: The step that passes it on: it would run, and has it in its Arguments.
    """

    step: str | None
    path: str
    content: bool = False
    via: str | None = None

    @property
    def name(self) -> str:
        """The whole expression, e.g. ``Steps.Train.ModelArtifacts.S3ModelArtifacts``; a file's content has its URI."""
        if self.path.startswith("s3://"):
            return self.path
        return f"Execution.{self.path}" if self.step is None else f"Steps.{self.step}.{self.path}"


class Unknown(str):
    """Text that stands for a value that is not known, as every part of it does. No run ever meets one.

    Attributes:
        gaps: What it waits for.
    """

    __slots__ = ("gaps",)

    gaps: tuple[Gap, ...]

    def __new__(cls, gaps: Iterable[Gap]) -> Self:
        """A stand-in; its text names what it waits for."""
        found = tuple(dict.fromkeys(gaps))
        made = super().__new__(cls, f"<{', '.join(gap.name for gap in found)}>")
        made.gaps = found
        return made

    def __deepcopy__(self, _memo: object) -> Self:
        """Itself: it cannot be changed."""
        return self

    def part(self, token: str | int) -> Unknown:
        """A member or an element of the value."""
        return Unknown(gap._replace(path=_longer(gap.path, token)) for gap in self.gaps)

    def passed_on(self, step: str) -> Unknown:
        """The same value as a member of what a step leaves that has it in its Arguments."""
        return Unknown(gap if gap.via else gap._replace(via=step) for gap in self.gaps)

    def content(self) -> Unknown:
        """What is in the file that the value names."""
        return Unknown(gap._replace(content=True) for gap in self.gaps)


def _longer(path: str, token: str | int) -> str:
    match token:
        case Key():
            return f"{path}['{shown(token)}']"
        case str():
            return member(path, token)
        case int():
            return item(path, token)


class Planned(dict[str, Json]):
    """What a step is to leave that has not run: its own Arguments, and for every other member an `Unknown`.

    Args:
        step: Its name.
        known: The members that its Arguments give.
    """

    def __init__(self, step: str, known: Mapping[str, Json]) -> None:
        super().__init__(_passed_on(dict(known), step))
        self.step = step

    def __contains__(self, name: object) -> bool:
        """Every member may be there."""
        return isinstance(name, str)

    def __missing__(self, name: str) -> Unknown:
        """A member that only a run tells."""
        return Unknown([Gap(self.step, name)])


def _passed_on(value: Json, step: str) -> Json:
    match value:
        case Unknown():
            return value.passed_on(step)
        case Mapping():
            return {name: _passed_on(inner, step) for name, inner in value.items()}
        case list():
            return [_passed_on(inner, step) for inner in value]
        case _:
            return value


def unknowns(value: Json) -> Iterator[Unknown]:
    """Every unknown value inside of a value."""
    match value:
        case Unknown():
            yield value
        case Mapping():
            for inner in value.values():
                yield from unknowns(inner)
        case list():
            for inner in value:
                yield from unknowns(inner)
        case _:
            return
