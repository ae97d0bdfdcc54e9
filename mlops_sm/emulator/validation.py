"""Requests against botocore's input shapes, with the service's own words for what is wrong.

botocore's clients check required members and types only. The service checks everything, ignores members it does not
know and words each finding in a fixed way, which callers match on. Sources, all answers of SageMaker quoted in public
issue trackers: aws-samples/sagemaker-ml-workflow-with-apache-airflow#3 (CreateModel: a name that is too long and does
not match its pattern is two findings, the length first), aws/sagemaker-python-sdk#314 (CreateTrainingJob: a map is
shown whole, and every constraint of its values is named, not only the broken one), aws/sagemaker-python-sdk#6016 (the
size of a map).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Final, NamedTuple
from unicodedata import category

from mlops_sm.checks.service import Shape
from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import AwsError, invalid

_MAX_SHOWN: Final = 1024
_MAX_PATTERN_INPUT: Final = 65_536  # longer texts are definitions and cards, whose patterns allow anything
_MAX_EXCESS: Final = 4096  # a text that is too long anyway is not worth the time of matching more than this
_DOUBLES: Final = (-sys.float_info.max, sys.float_info.max)
_TIMES: Final = (datetime(1, 1, 1, tzinfo=UTC).timestamp(), datetime(9999, 12, 31, tzinfo=UTC).timestamp())
_MAX_NUMBER: Final = 40
"""Characters of a number that an error shows."""
_INTEGER_LIMITS: Final = {"integer": 2**31, "long": 2**63}
# Java's Unicode classes: the ASCII characters of each, and what stands for all its others while a pattern is matched.
_CLASSES: Final = {
    "L": "a-zA-Z\ue000",
    "M": "\ue001",
    "N": "0-9\ue002",
    "Z": " \ue003",
    "P": "!-#%-*,-/:;?@\\[-\\]_{}\ue004",
    "S": "$+<=>^`|~\ue005",
    "Alnum": "a-zA-Z0-9",
}
_STAND_INS: Final = {"L": "\ue000", "M": "\ue001", "N": "\ue002", "Z": "\ue003", "P": "\ue004", "S": "\ue005"}
_NO_CLASS: Final = "\ue00f"
_CONTAINERS: Final = frozenset({"structure", "list", "map"})


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
        raise violations(reader.findings)
    return dict(request)


def violations(findings: Sequence[str]) -> AwsError:
    """The error for what was found wrong."""
    count = len(findings)
    return invalid(f"{count} validation error{'s' if count > 1 else ''} detected: {'; '.join(findings)}")


def null_member(path: str, name: str) -> str:
    """The finding for a required member of what stands at a path, the empty one for the request itself."""
    return f"Value null at '{_join(path, name)}' failed to satisfy constraint: Member must not be null"


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
                for constraint in _checks(read, shape):
                    if constraint.broken:
                        self._add(read, path, constraint.text)
                return read

    def _structure(self, value: Json, shape: Shape, path: str) -> dict[str, Json]:
        if not isinstance(value, dict):
            raise _mistyped(value, "a structure")
        read: dict[str, Json] = {}
        for name, member in shape.members.items():
            # An explicit null is the same as nothing.
            if value.get(name) is not None:
                read[name] = self.read(value[name], member, _join(path, name))
            elif name in shape.required_members:
                self.findings.append(null_member(path, name))
        return read

    def _list(self, value: Json, shape: Shape, path: str) -> list[Json]:
        if not isinstance(value, list):
            raise _mistyped(value, "a list")
        self._size(value, shape, path)
        self._elements(value, shape.member, value, path, "Member")
        if shape.member.type_name in _CONTAINERS:
            return [
                self.read(item, shape.member, f"{path}.{number}.member") for number, item in enumerate(value, start=1)
            ]
        return [_scalar(item, shape.member) for item in value]

    def _map(self, value: Json, shape: Shape, path: str) -> dict[str, Json]:
        if not isinstance(value, dict):
            raise _mistyped(value, "a map")
        self._size(value, shape, path)
        self._elements(list(value), shape.key, value, path, "Map keys")
        self._elements(list(value.values()), shape.value, value, path, "Map value")
        if shape.value.type_name in _CONTAINERS:
            return {key: self.read(item, shape.value, f"{path}.{key}.member") for key, item in value.items()}
        return {key: _scalar(item, shape.value) for key, item in value.items()}

    def _elements(self, items: list[Json], shape: Shape, whole: Json, path: str, label: str) -> None:
        """One finding for all elements, which names every constraint they have."""
        if shape.type_name in _CONTAINERS:
            # What is inside an element has a path of its own; its size is told here.
            checked = [] if shape.type_name == "structure" else [_size_checks(_length(item), shape) for item in items]
        else:
            checked = [_checks(_scalar(item, shape), shape) for item in items]
        if any(constraint.broken for constraints in checked for constraint in constraints):
            texts = ", ".join(constraint.text for constraint in checked[0])
            self._add(whole, path, f"{label} must satisfy constraint: [{texts}]")

    def _size(self, value: list[Json] | dict[str, Json], shape: Shape, path: str) -> None:
        if path.endswith(".member"):
            # An element: told with the list or map it is in.
            return
        for constraint in _size_checks(len(value), shape):
            if constraint.broken:
                self._add(value, path, constraint.text)

    def _add(self, value: Json, path: str, constraint: str) -> None:
        shown = _text(value)[:_MAX_SHOWN]
        self.findings.append(f"Value '{shown}' at '{path}' failed to satisfy constraint: {constraint}")


def _join(path: str, name: str) -> str:
    member = name[:1].lower() + name[1:]
    return f"{path}.{member}" if path else member


def _text(value: Json) -> str:
    """A value as Java prints it."""
    match value:
        case bool():
            return str(value).lower()
        case list():
            return "[" + ", ".join(_text(item) for item in value) + "]"
        case dict():
            return "{" + ", ".join(f"{key}={_text(item)}" for key, item in value.items()) + "}"
        case _:
            return str(value)


def _length(value: Json) -> int:
    return len(value) if isinstance(value, list | dict) else 0


def _scalar(value: Json, shape: Shape) -> Json:
    """A scalar in the shape's type; raises SerializationException when it is of another."""
    kind = shape.type_name
    match kind:
        case "boolean" if isinstance(value, bool):
            return value
        case "integer" | "long" if not isinstance(value, bool) and _is_integer(value):
            if not -_INTEGER_LIMITS[kind] <= value < _INTEGER_LIMITS[kind]:
                raise AwsError("SerializationException", f"The number {value} is out of the range of {kind}")
            return int(value)
        case "float" | "double" if isinstance(value, int | float) and not isinstance(value, bool):
            return _in_range(value, kind, _DOUBLES)
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


def _is_integer(value: Json) -> bool:
    return isinstance(value, int) or (isinstance(value, float) and value.is_integer())


def _in_range(value: float, kind: str, limits: tuple[float, float]) -> float:
    """A number as a double: JSON has larger ones, which are read as infinite."""
    if not limits[0] <= value <= limits[1]:
        raise AwsError("SerializationException", f"The number {str(value)[:_MAX_NUMBER]} is out of the range of {kind}")
    return float(value)


def _timestamp(value: Json) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _in_range(value, "timestamp", _TIMES)
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise _mistyped(value, "timestamp") from None
        if moment.tzinfo is not None:
            return _in_range(moment.timestamp(), "timestamp", _TIMES)
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


class _Constraint(NamedTuple):
    text: str
    broken: bool


def _checks(value: Json, shape: Shape) -> list[_Constraint]:
    """The constraints of a scalar's shape in the order in which the service names them."""
    if shape.type_name in {"integer", "long", "float", "double"}:
        low, high = shape.metadata.get("min"), shape.metadata.get("max")
        found = []
        if high is not None:
            found.append(_Constraint(f"Member must have value less than or equal to {high}", value > high))
        if low is not None:
            found.append(_Constraint(f"Member must have value greater than or equal to {low}", value < low))
        return found
    if shape.type_name != "string":
        return []
    found = _size_checks(len(value), shape)
    enum = getattr(shape, "enum", None)
    if enum:
        found.append(_Constraint(f"Member must satisfy enum value set: [{', '.join(enum)}]", value not in enum))
    pattern = shape.metadata.get("pattern")
    if pattern:
        limit = _MAX_EXCESS if any(constraint.broken for constraint in found) else _MAX_PATTERN_INPUT
        broken = len(value) <= limit and not matches(pattern, value)
        found.append(_Constraint(f"Member must satisfy regular expression pattern: {pattern}", broken))
    return found


def _size_checks(length: int, shape: Shape) -> list[_Constraint]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    found = []
    if high is not None:
        found.append(_Constraint(f"Member must have length less than or equal to {high}", length > high))
    if low is not None:
        found.append(_Constraint(f"Member must have length greater than or equal to {low}", length < low))
    return found


def matches(pattern: str, value: str) -> bool:
    """Whether a whole value is what a pattern of the model describes, as Java's regular expressions read it.

    A pattern that only Java understands describes everything.
    """
    compiled = compiled_pattern(pattern)
    if compiled is None:
        return True
    if "\\p{" in pattern and not value.isascii():
        value = "".join(char if char.isascii() else _STAND_INS.get(category(char)[0], _NO_CLASS) for char in value)
    return compiled.fullmatch(value) is not None


@cache
def compiled_pattern(pattern: str) -> re.Pattern[str] | None:
    """A pattern of the model in Python's words; None when it has none for it."""
    # Java writes characters beyond the first 65,536 as pairs, and may repeat an anchor.
    text = pattern.replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF")
    text = re.sub(r"\$\{\d+,\d+\}", "$", text)
    text = re.sub(r"\\p\{(\w+)\}", lambda found: _CLASSES.get(found[1], found[0]), text)
    try:
        # Java's \w, \d and \s are ASCII's.
        return re.compile(text, re.ASCII)
    except re.error:
        return None
