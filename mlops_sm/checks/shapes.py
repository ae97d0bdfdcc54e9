"""A JSON value against a botocore shape: members, types, enums, patterns, ranges and lengths.

botocore's own validator looks at members, types and minima; enums, patterns and maxima are the service's business.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from mlops_sm.checks.service import Shape
from mlops_sm.definition.document import Json
from mlops_sm.definition.expressions import is_expression
from mlops_sm.definition.wording import item, member, shown, suggestion, type_word
from mlops_sm.errors import Problem

OnExpression = Callable[[Json, Shape, str], Iterator[Problem]]
"""What to say of an expression that stands where a shape is wanted: (expression, shape, path) -> problems."""

_WORDS: Final[Mapping[str, str]] = {
    "structure": "an object",
    "map": "an object",
    "list": "a list",
    "string": "a string",
    "integer": "an integer",
    "long": "an integer",
    "float": "a number",
    "double": "a number",
    "boolean": "true or false",
    "timestamp": "a timestamp",
    "blob": "bytes",
}
_CONTAINERS: Final = frozenset({"structure", "list", "map"})
_MAX_MATCHED: Final = 100_000
# Nested repetition without a maximum length: Python's matcher would try every split of a text that does not match.
_UNMATCHABLE: Final = frozenset({"[a-z0-9]([-a-z0-9]*[a-z0-9]){0,39}?"})


def check_value(value: Json, shape: Shape, path: str, *, expressions: bool) -> list[Problem]:
    """Everything that is wrong with a value for a shape.

    Args:
        value: The value; a request's may also hold bytes and datetimes.
        shape: A ``botocore.model.Shape``.
        path: Where the value stands, in front of the paths in the problems; may be empty.
        expressions: Whether an expression may stand for any scalar. Without it, values are literal.
    """
    return check_request(value, shape, path, on_expression=refuse_containers if expressions else None)


def check_request(
    value: Json,
    shape: Shape,
    path: str,
    *,
    filled_in: frozenset[str] = frozenset(),
    on_expression: OnExpression | None = None,
) -> list[Problem]:
    """`check_value` for a whole request.

    Args:
        value: The request.
        shape: The operation's input shape.
        path: Where the request stands.
        filled_in: Required members of the outermost object that somebody else will add.
        on_expression: Judges expressions; None if there are none.
    """
    walker = _Walker(on_expression)
    walker.check(value, _slot(shape), path, filled_in)
    return walker.found


def refuse_containers(_: Json, shape: Shape, path: str) -> Iterator[Problem]:
    """An expression becomes one value: it cannot stand for an object or a list."""
    if shape.type_name in _CONTAINERS:
        wanted = _WORDS[shape.type_name]
        what = f"an expression cannot stand for {wanted}"
        yield Problem("E247", path, what, f"Write {wanted} here, with expressions inside it.")


@dataclass(slots=True)
class _Slot:
    """What a shape demands, read once: botocore computes most of it anew at every look."""

    shape: Shape
    kind: str
    members: Mapping[str, Shape]
    required: tuple[str, ...]
    enum: frozenset[str]
    pattern: re.Pattern[str] | None
    minimum: float | None
    maximum: float | None
    union: bool
    free: bool
    inner: dict[str, _Slot] = field(default_factory=dict)

    def of(self, name: str, shape: Shape) -> _Slot:
        found = self.inner.get(name)
        if found is None:
            found = self.inner[name] = _slot(shape)
        return found


@lru_cache(maxsize=1024)
def _slot(shape: Shape) -> _Slot:
    kind: str = shape.type_name
    structure = kind == "structure"
    metadata = shape.metadata
    return _Slot(
        shape=shape,
        kind=kind,
        members=shape.members if structure else {},
        required=tuple(shape.required_members) if structure else (),
        enum=frozenset(shape.enum) if kind == "string" else frozenset(),
        pattern=_compile(metadata.get("pattern")),
        minimum=metadata.get("min"),
        maximum=metadata.get("max"),
        union=structure and shape.is_tagged_union,
        free=structure and shape.is_document_type,
    )


def _compile(pattern: str | None) -> re.Pattern[str] | None:
    if pattern is None or pattern in _UNMATCHABLE:
        return None
    try:
        return re.compile(pattern)
    except re.error:
        # Patterns are Java's; nine of them (Unicode classes) mean nothing to Python and are left to the service.
        return None


class _Walker:
    def __init__(self, on_expression: OnExpression | None) -> None:
        self.found: list[Problem] = []
        self._on_expression = on_expression

    def check(self, value: Json, slot: _Slot, path: str, filled_in: frozenset[str] = frozenset()) -> None:
        if slot.free:
            return
        if self._on_expression is not None and is_expression(value):
            self.found.extend(self._on_expression(value, slot.shape, path))
            return
        match slot.kind:
            case "structure" if isinstance(value, dict):
                self._structure(value, slot, path, filled_in)
            case "map" if isinstance(value, dict):
                self._size(len(value), slot, path, "entries")
                for key, inner in value.items():
                    self.check(key, slot.of("key", slot.shape.key), member(path, str(key)))
                    self.check(inner, slot.of("value", slot.shape.value), member(path, str(key)))
            case "list" if isinstance(value, list | tuple):
                self._size(len(value), slot, path, "items")
                for index, inner in enumerate(value):
                    self.check(inner, slot.of("member", slot.shape.member), item(path, index))
            case "string" if isinstance(value, str):
                self._string(value, slot, path)
            case "integer" | "long" if isinstance(value, int) and not isinstance(value, bool):
                self._number(value, slot, path)
            case "float" | "double" if isinstance(value, int | float) and not isinstance(value, bool):
                self._number(value, slot, path)
            case "boolean" if isinstance(value, bool):
                return
            case "timestamp" if isinstance(value, datetime.datetime | str | int | float) and value is not True:
                return
            case "blob" if isinstance(value, bytes | bytearray | str):
                self._size(len(value), slot, path, "bytes")
            case _:
                self._wrong_type(value, slot, path)

    def _structure(self, value: dict[str, Json], slot: _Slot, path: str, filled_in: frozenset[str]) -> None:
        for key, inner in value.items():
            shape = slot.members.get(key)
            if shape is None:
                fix = f"Remove or rename it. {suggestion(str(key), slot.members)}".strip()
                self._report("E240", member(path, str(key)), f'{slot.shape.name} has no member "{shown(key)}"', fix)
            else:
                self.check(inner, slot.of(key, shape), member(path, key))
        for key in slot.required:
            if key not in value and key not in filled_in:
                wanted = _WORDS[slot.members[key].type_name]
                self._report("E241", path, f'the required member "{key}" is missing', f'Add "{key}": {wanted}.')
        if slot.union and len(value) != 1:
            names = ", ".join(slot.members)
            what = f"exactly one of {names} must be given, not {len(value)}"
            self._report("E248", path, what, "Keep the one that is meant.")

    def _string(self, value: str, slot: _Slot, path: str) -> None:
        if slot.enum:
            if value not in slot.enum:
                fix = suggestion(value, slot.enum) or "Use one of: " + ", ".join(sorted(slot.enum)) + "."
                self._report("E243", path, f'"{shown(value)}" is no {slot.shape.name}', fix)
            return
        too_long = self._size(len(value), slot, path, "characters")
        if too_long or slot.pattern is None or len(value) > _MAX_MATCHED:
            return
        if slot.pattern.fullmatch(value) is None:
            what = f'"{shown(value)}" does not match the pattern of {slot.shape.name}'
            self._report("E244", path, what, f"It must match {slot.pattern.pattern}")

    def _size(self, size: int, slot: _Slot, path: str, unit: str) -> bool:
        if slot.minimum is not None and size < slot.minimum:
            what = f"{size} {unit} are too few"
            self._report("E245", path, what, f"Give at least {slot.minimum} {unit}.")
            return True
        if slot.maximum is not None and size > slot.maximum:
            what = f"{size} {unit} are too many"
            self._report("E245", path, what, f"Give at most {slot.maximum} {unit}.")
            return True
        return False

    def _number(self, value: float, slot: _Slot, path: str) -> None:
        if slot.minimum is not None and value < slot.minimum:
            self._report("E246", path, f"{value} is too small", f"Give at least {slot.minimum}.")
        elif slot.maximum is not None and value > slot.maximum:
            self._report("E246", path, f"{value} is too large", f"Give at most {slot.maximum}.")

    def _wrong_type(self, value: Json, slot: _Slot, path: str) -> None:
        wanted = _WORDS[slot.kind]
        fix = "Leave the member out." if value is None else f"Write {wanted} in place of {shown(value)}."
        if slot.kind == "string" and isinstance(value, bool | int | float):
            fix = f'Write it as text: "{shown(value)}".'
        self._report("E242", path, f"this must be {wanted}, not {type_word(value)}", fix)

    def _report(self, code: str, path: str, what: str, fix: str) -> None:
        self.found.append(Problem(code, path or "the request", what, fix))
