"""Requests against botocore's input shapes, with the service's own words for what is wrong.

botocore's clients check required members and types only. The service checks everything, ignores members it does not
know and words each finding in a fixed way, which callers match on. Sources: error messages of AWS's JSON services
quoted in public issue trackers, e.g. ``1 validation error detected: Value 'x' at 'pipelineName' failed to satisfy
constraint: Member must satisfy regular expression pattern: ...``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Final

from mlops_sm.checks.service import Shape
from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import AwsError, invalid

_MAX_SHOWN: Final = 1024
_MAX_PATTERN_INPUT: Final = 65_536  # longer texts are definitions and cards, whose patterns allow anything
_INTEGER_LIMITS: Final = {"integer": 2**31, "long": 2**63}
# Java's character classes, as near as Python's come to them.
_CLASSES: Final = {
    r"\p{L}": r"\w",
    r"\p{M}": "",
    r"\p{N}": r"\d",
    r"\p{Z}": r"\s",
    r"\p{Alnum}": "a-zA-Z0-9",
    r"\p{P}": r"!-/:-@\[-`{-~",
    r"\p{S}": r"$+<=>^`|~",
}


def read_request(value: Json, shape: Shape) -> dict[str, Json]:
    """The members of a request that the service knows, timestamps as epoch seconds.

    Args:
        value: The parsed JSON body.
        shape: The operation's input shape.

    Raises:
        AwsError: SerializationException for a value of the wrong JSON type, ValidationException with every constraint
            that is not satisfied.
    """
    reader = _Reader()
    request = reader.read(value, shape, "")
    if reader.findings:
        count = len(reader.findings)
        raise invalid(f"{count} validation error{'s' if count > 1 else ''} detected: {'; '.join(reader.findings)}")
    return dict(request)


class _Reader:
    def __init__(self) -> None:
        self.findings: list[str] = []

    def read(self, value: Json, shape: Shape, path: str) -> Json:
        match shape.type_name:
            case "structure":
                return self._structure(value, shape, path)
            case "list":
                return self._list(value, shape, path)
            case "map":
                return self._map(value, shape, path)
            case _:
                read = _scalar(value, shape)
                for constraint in _violations(read, shape):
                    self._add(_shown(read), path, constraint)
                return read

    def _structure(self, value: Json, shape: Shape, path: str) -> dict[str, Json]:
        if not isinstance(value, dict):
            raise _mistyped(value, "a structure")
        read: dict[str, Json] = {}
        for name, member in shape.members.items():
            where = _join(path, name)
            # An explicit null is the same as nothing.
            if value.get(name) is not None:
                read[name] = self.read(value[name], member, where)
            elif name in shape.required_members:
                self.findings.append(f"Value null at '{where}' failed to satisfy constraint: Member must not be null")
        return read

    def _list(self, value: Json, shape: Shape, path: str) -> list[Json]:
        if not isinstance(value, list):
            raise _mistyped(value, "a list")
        self._size(value, shape, path)
        if shape.member.type_name in {"structure", "list", "map"}:
            return [
                self.read(item, shape.member, f"{path}.{number}.member") for number, item in enumerate(value, start=1)
            ]
        items = [_scalar(item, shape.member) for item in value]
        broken = {constraint: None for item in items for constraint in _violations(item, shape.member)}
        if broken:
            shown = "[" + ", ".join(_text(item) for item in items) + "]"
            self._add(f"'{shown[:_MAX_SHOWN]}'", path, f"Member must satisfy constraint: [{', '.join(broken)}]")
        return items

    def _map(self, value: Json, shape: Shape, path: str) -> dict[str, Json]:
        if not isinstance(value, dict):
            raise _mistyped(value, "a map")
        self._size(value, shape, path)
        for part, label, shown in ((shape.key, "keys", list(value)), (shape.value, "value", list(value.values()))):
            if part.type_name in {"structure", "list", "map"}:
                continue
            broken = {constraint: None for item in shown for constraint in _violations(_scalar(item, part), part)}
            if broken:
                text = "{" + ", ".join(f"{k}={_text(v)}" for k, v in value.items()) + "}"
                self._add(f"'{text[:_MAX_SHOWN]}'", path, f"Map {label} must satisfy constraint: [{', '.join(broken)}]")
        if shape.value.type_name in {"structure", "list", "map"}:
            return {key: self.read(item, shape.value, f"{path}.{key}.member") for key, item in value.items()}
        return {key: _scalar(item, shape.value) for key, item in value.items()}

    def _size(self, value: list[Json] | Mapping[str, Json], shape: Shape, path: str) -> None:
        for constraint in _length_violations(len(value), shape):
            shown = ", ".join(_text(item) for item in value)
            self._add(f"'[{shown[:_MAX_SHOWN]}]'", path, constraint)

    def _add(self, shown: str, path: str, constraint: str) -> None:
        self.findings.append(f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}")


def _join(path: str, name: str) -> str:
    member = name[:1].lower() + name[1:]
    return f"{path}.{member}" if path else member


def _shown(value: Json) -> str:
    return f"'{_text(value)[:_MAX_SHOWN]}'"


def _text(value: Json) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _scalar(value: Json, shape: Shape) -> Json:
    """A scalar in the shape's type; raises SerializationException when it is of another."""
    kind = shape.type_name
    match kind:
        case "boolean" if isinstance(value, bool):
            return value
        case "integer" | "long" if isinstance(value, int) and not isinstance(value, bool):
            if not -_INTEGER_LIMITS[kind] <= value < _INTEGER_LIMITS[kind]:
                raise AwsError("SerializationException", f"The number {value} is out of the range of {kind}")
            return value
        case "integer" | "long" if isinstance(value, float) and value.is_integer():
            return int(value)
        case "float" | "double" if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        case "timestamp":
            return _timestamp(value)
        case "string" | "blob" | "character" if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError:
                raise AwsError("SerializationException", "The request's body holds half of a surrogate pair") from None
            return value
        case _:
            raise _mistyped(value, kind)


def _timestamp(value: Json) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise _mistyped(value, "timestamp") from None
        if moment.tzinfo is not None:
            return moment.timestamp()
    raise _mistyped(value, "timestamp")


_JSON_WORDS: Final = {dict: "START_OBJECT", list: "START_ARRAY", bool: "BOOLEAN_VALUE", str: "STRING_VALUE"}
_TYPE_WORDS: Final = {
    "string": "a String",
    "integer": "an Integer",
    "long": "a Long",
    "float": "a Float",
    "double": "a Double",
    "boolean": "a Boolean",
    "timestamp": "a Timestamp",
    "blob": "a Blob",
}


def _mistyped(value: Json, wanted: str) -> AwsError:
    found = "NULL_VALUE" if value is None else _JSON_WORDS.get(type(value), "NUMBER_VALUE")
    return AwsError("SerializationException", f"{found} can not be converted to {_TYPE_WORDS.get(wanted, wanted)}")


def _violations(value: Json, shape: Shape) -> list[str]:
    found: list[str] = []
    if isinstance(value, str) and shape.type_name == "string":
        found += _length_violations(len(value), shape)
        enum = getattr(shape, "enum", None)
        if enum and value not in enum:
            found.append(f"Member must satisfy enum value set: [{', '.join(enum)}]")
        pattern = shape.metadata.get("pattern")
        if pattern and not found and len(value) <= _MAX_PATTERN_INPUT:
            compiled = _compiled(pattern)
            if compiled is not None and compiled.fullmatch(value) is None:
                found.append(f"Member must satisfy regular expression pattern: {pattern}")
    elif shape.type_name in {"integer", "long", "float", "double"}:
        low, high = shape.metadata.get("min"), shape.metadata.get("max")
        if low is not None and value < low:
            found.append(f"Member must have value greater than or equal to {low}")
        if high is not None and value > high:
            found.append(f"Member must have value less than or equal to {high}")
    return found


def _length_violations(length: int, shape: Shape) -> list[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and length < low:
        return [f"Member must have length greater than or equal to {low}"]
    if high is not None and length > high:
        return [f"Member must have length less than or equal to {high}"]
    return []


@cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """A pattern of the model; None for the two or three that only Java understands."""
    for java, python in _CLASSES.items():
        pattern = pattern.replace(java, python)
    try:
        return re.compile(pattern)
    except re.error:
        return None
