"""The JSONPath of batch transform's filters: the operators that the service documents, and no others.

Source: SageMaker developer guide, "Associate Prediction Results with Input Records", "Supported JSONPath Operators":
``$``, ``.<name>``, ``*``, ``['<name>' (,'<name>')]``, ``[<number> (,<number>)]``, ``[<start>:<end>]``; its examples mix
indexes and slices (``$[0,5:]``) and put a dot before a bracket (``$.field1.['child1','child2']``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never

from mlops_sm.definition.document import Json

_NAME: Final = re.compile(r"\.([^.\[\]*'\"\s,:]+)")
_WILDCARD: Final = re.compile(r"\.\*|\.?\[\s*\*\s*\]")
_BRACKET: Final = re.compile(r"\.?\[((?:'[^']*'|\"[^\"]*\"|[^\]'\"])*)\]")
_NAMES: Final = re.compile(r"\s*('[^']*'|\"[^\"]*\")\s*(?:,\s*('[^']*'|\"[^\"]*\")\s*)*")
_QUOTED: Final = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_ENTRY: Final = re.compile(r"\s*(?:(-?\d+)|(-?\d*)\s*:\s*(-?\d*))\s*")


class PathError(ValueError):
    """A path that the service does not support, or that a record has nothing at."""


@dataclass(frozen=True, slots=True)
class _Names:
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Indexes:
    entries: tuple[int | slice, ...]


@dataclass(frozen=True, slots=True)
class _Wildcard:
    pass


_Step: TypeAlias = _Names | _Indexes | _Wildcard


@dataclass(frozen=True, slots=True)
class JsonPath:
    """A parsed path.

    Attributes:
        text: As it was written.
    """

    text: str
    _steps: tuple[_Step, ...]

    @classmethod
    def parse(cls, text: str) -> JsonPath:
        """Read a path.

        Raises:
            PathError: It is not one, or uses an operator that is not supported.
        """
        if not text.startswith("$"):
            raise PathError(f'JSONPath "{text}" must start with "$"')
        steps: list[_Step] = []
        place = 1
        while place < len(text):
            step, place = _step(text, place)
            if steps and isinstance(steps[-1], _Names) and len(steps[-1].names) > 1:
                raise PathError(f'JSONPath "{text}": nothing may follow several names')
            steps.append(step)
        return cls(text, tuple(steps))

    @property
    def is_root(self) -> bool:
        """Whether it selects everything."""
        return not self._steps

    def select(self, value: Json) -> Json:
        """What a record has at the path: the value itself, a list where the path may have several.

        Raises:
            PathError: There is nothing.
        """
        found, several = [value], False
        for step in self._steps:
            match step:
                case _Names((name,)):
                    found = [each for node in found for each in self._child(node, name, several)]
                case _Names(names):
                    found = [{name: self._one(node, name) for name in names} for node in found]
                case _Indexes((int(index),)):
                    found = [each for node in found for each in self._item(node, index)]
                case _Indexes(entries):
                    found = [each for node in found for entry in entries for each in self._item(node, entry)]
                    several = True
                case _Wildcard():
                    found = [each for node in found for each in self._children(node)]
                    several = True
                case unreachable:
                    assert_never(unreachable)
        return found if several else found[0]

    def _child(self, node: Json, name: str, several: bool) -> Iterator[Json]:
        if isinstance(node, dict) and name in node:
            yield node[name]
        elif not several:
            raise self._nothing(node)

    def _one(self, node: Json, name: str) -> Json:
        (found,) = self._child(node, name, False)
        return found

    def _item(self, node: Json, entry: int | slice) -> Iterator[Json]:
        if not isinstance(node, list):
            raise self._nothing(node)
        if isinstance(entry, slice):
            yield from node[entry]
        elif -len(node) <= entry < len(node):
            yield node[entry]
        else:
            raise PathError(f'JSONPath "{self.text}": index {entry} is outside of {len(node)} elements')

    def _children(self, node: Json) -> Iterator[Json]:
        if isinstance(node, dict):
            yield from node.values()
        elif isinstance(node, list):
            yield from node
        else:
            raise self._nothing(node)

    def _nothing(self, node: Json) -> PathError:
        what = "an array" if isinstance(node, list) else "an object" if isinstance(node, dict) else "a plain value"
        return PathError(f'JSONPath "{self.text}" finds nothing in {what}')


def _step(text: str, place: int) -> tuple[_Step, int]:
    if match := _WILDCARD.match(text, place):
        return _Wildcard(), match.end()
    if match := _NAME.match(text, place):
        return _Names((match[1],)), match.end()
    if match := _BRACKET.match(text, place):
        return _inside(match[1], text), match.end()
    raise PathError(f'JSONPath "{text}": "{text[place:]}" is not supported')


def _inside(inside: str, text: str) -> _Step:
    if _NAMES.fullmatch(inside):
        return _Names(tuple(one or two for one, two in _QUOTED.findall(inside)))
    entries: list[int | slice] = []
    for part in inside.split(","):
        entry = _ENTRY.fullmatch(part)
        if entry is None:
            raise PathError(f'JSONPath "{text}": "[{inside}]" is not supported')
        index, start, end = entry.groups()
        entries.append(int(index) if index else slice(_bound(start), _bound(end)))
    return _Indexes(tuple(entries))


def _bound(text: str) -> int | None:
    return int(text) if text not in {"", "-"} else None
