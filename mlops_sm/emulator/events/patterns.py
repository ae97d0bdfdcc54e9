"""Event patterns of EventBridge: what they may say, and which events they match.

Source: "Comparison operators for use in event patterns in Amazon EventBridge" and "Amazon EventBridge event patterns"
of the EventBridge user guide. Fields of an object inside a list are matched within one element of it.
"""

from __future__ import annotations

import ipaddress
import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import AwsError

_MISSING: Final = object()
_NUMERIC: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
}
_IN_ANYTHING_BUT: Final = frozenset({"prefix", "suffix", "equals-ignore-case", "wildcard"})


def parse(text: str) -> dict[str, Json]:
    """A pattern from its JSON.

    Raises:
        AwsError: InvalidEventPatternException with the reason.
    """
    try:
        pattern = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _invalid(f"Invalid JSON: {error}") from None
    if not isinstance(pattern, dict):
        raise _invalid("Filter is not an object")
    if not pattern:
        raise _invalid("Empty objects are not allowed")
    _check(pattern)
    return pattern


def matches(pattern: Mapping[str, Json], event: Json) -> bool:
    """Whether an event, or an object inside one, has everything that a pattern asks for."""
    if not isinstance(event, Mapping):
        return False
    for name, wanted in pattern.items():
        if name == "$or" and isinstance(wanted, list):
            if not any(matches(alternative, event) for alternative in wanted):
                return False
            continue
        value = event.get(name, _MISSING)
        if isinstance(wanted, Mapping):
            # A missing object may be asked for: all that is asked of it is not to be there.
            inner = [{}] if value is _MISSING else value if isinstance(value, list) else [value]
            if not any(matches(wanted, item) for item in inner):
                return False
        elif not _leaf_matches(wanted, value):
            return False
    return True


def _leaf_matches(filters: list[Json], value: Json | object) -> bool:
    values = list(_leaves(value))
    for wanted in filters:
        if isinstance(wanted, Mapping) and "exists" in wanted:
            if bool(values) == wanted["exists"]:
                return True
        elif any(_equal(wanted, item) if not isinstance(wanted, Mapping) else _test(wanted, item) for item in values):
            return True
    return False


def _leaves(value: Json | object) -> Iterator[Json]:
    """The values of a field: itself, or the items of a list; an object has none."""
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif value is not _MISSING and not isinstance(value, Mapping):
        yield value


def _equal(wanted: Json, value: Json) -> bool:
    return isinstance(wanted, bool) == isinstance(value, bool) and bool(wanted == value)


def _test(wanted: Mapping[str, Json], value: Json) -> bool:
    ((name, argument),) = wanted.items()
    match name:
        case "anything-but":
            if isinstance(argument, Mapping):
                return isinstance(value, str) and not _test(argument, value)
            return not any(_equal(item, value) for item in _listed(argument))
        case "numeric":
            return _is_number(value) and all(
                _NUMERIC[sign](value, limit) for sign, limit in zip(argument[::2], argument[1::2], strict=True)
            )
        case "cidr":
            try:
                return ipaddress.ip_address(value) in ipaddress.ip_network(argument, strict=False)
            except (ValueError, TypeError):
                return False
        case _:
            return isinstance(value, str) and any(_text_test(name, item, value) for item in _listed(argument))


def _text_test(name: str, wanted: Json, value: str) -> bool:
    if isinstance(wanted, Mapping):
        wanted, value = wanted["equals-ignore-case"].lower(), value.lower()
    match name:
        case "prefix":
            return value.startswith(str(wanted))
        case "suffix":
            return value.endswith(str(wanted))
        case "equals-ignore-case":
            return value.lower() == str(wanted).lower()
        case _:
            return _wildcard(wanted).fullmatch(value) is not None


def _wildcard(text: str) -> re.Pattern[str]:
    parts = re.findall(r"\\[*\\]|\*|[^*\\]+|\\", text)
    return re.compile(
        "".join(".*" if part == "*" else re.escape(re.sub(r"^\\(?=.)", "", part)) for part in parts), re.DOTALL
    )


def _listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# ---------------------------------------------------------------- what may be asked


def _check(pattern: Mapping[str, Json]) -> None:
    for name, wanted in pattern.items():
        if name == "$or" and isinstance(wanted, list) and all(isinstance(item, Mapping) for item in wanted):
            if len(wanted) < 2:  # noqa: PLR2004 - one alternative is none
                raise _invalid("There must have at least 2 Objects in $or relationship")
            for alternative in wanted:
                _check(alternative)
        elif isinstance(wanted, Mapping):
            if not wanted:
                raise _invalid("Empty objects are not allowed")
            _check(wanted)
        elif isinstance(wanted, list):
            if not wanted:
                raise _invalid("Empty arrays are not allowed")
            for item in wanted:
                _check_filter(item)
        else:
            raise _invalid(f"'{name}' must be an object or an array")


def _check_filter(wanted: Json) -> None:
    if isinstance(wanted, list):
        raise _invalid("Match value must be String, number, true, false, or null")
    if not isinstance(wanted, Mapping):
        return
    if len(wanted) != 1:
        raise _invalid("Only one key allowed in match expression")
    ((name, argument),) = wanted.items()
    match name:
        case "exists":
            good = isinstance(argument, bool)
        case "numeric":
            good = _good_range(argument)
        case "cidr":
            good = isinstance(argument, str)
        case "anything-but" if isinstance(argument, Mapping):
            good = len(argument) == 1 and set(argument) <= _IN_ANYTHING_BUT and _good_texts(*argument.values())
        case "anything-but":
            items = _listed(argument)
            good = bool(items) and all(
                isinstance(item, str) or _is_number(item) or isinstance(item, bool) for item in items
            )
        case "prefix" | "suffix":
            good = _good_texts(argument) or (
                isinstance(argument, Mapping)
                and set(argument) == {"equals-ignore-case"}
                and _good_texts(*argument.values())
            )
        case "equals-ignore-case" | "wildcard":
            good = _good_texts(argument)
        case _:
            raise _invalid(f"Unrecognized match type {name}")
    if not good:
        raise _invalid(f"Value of {name} is not valid: {json.dumps(argument)}")


def _good_texts(argument: Json) -> bool:
    items = _listed(argument)
    return bool(items) and all(isinstance(item, str) for item in items)


def _good_range(argument: Json) -> bool:
    return (
        isinstance(argument, list)
        and len(argument) in {2, 4}
        and all(sign in _NUMERIC for sign in argument[::2] if isinstance(sign, str))
        and all(isinstance(sign, str) for sign in argument[::2])
        and all(_is_number(limit) for limit in argument[1::2])
    )


def _invalid(reason: str) -> AwsError:
    return AwsError("InvalidEventPatternException", f"Event pattern is not valid. Reason: {reason}")
