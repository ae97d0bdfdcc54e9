"""Condition operators of IAM policies (IAM user guide, "JSON policy elements: Condition operators")."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

Values = Sequence[str]

_IF_EXISTS: Final = "IfExists"
_FOR_ALL: Final = "ForAllValues:"
_FOR_ANY: Final = "ForAnyValue:"
_MARKS: Final = str.maketrans("*?", "\ue02a\ue03f")
"""Characters of no language, which no text has."""
_UNMARKED: Final = {mark: character for character, mark in _MARKS.items()}


def holds(conditions: Mapping[str, Mapping[str, Values]], context: Mapping[str, Values]) -> tuple[bool, frozenset[str]]:
    """Whether every condition of a statement holds, and which keys it asks for that the context does not have.

    Args:
        conditions: Values by key by operator.
        context: Values by key in lower case.

    Raises:
        ValueError: An operator is unknown.
    """
    holding, missing = True, set()
    for operator, keys in conditions.items():
        for key, wanted in keys.items():
            given = context.get(key.lower())
            if given is None and operator != "Null":
                missing.add(key)
            holding = _holds(operator, wanted, given) and holding
    return holding, frozenset(missing)


def _holds(operator: str, wanted: Values, given: Values | None) -> bool:
    name = operator
    for_all, for_any = name.startswith(_FOR_ALL), name.startswith(_FOR_ANY)
    name = name.removeprefix(_FOR_ALL).removeprefix(_FOR_ANY)
    if name == "Null":
        return (given is None) == any(text.lower() == "true" for text in wanted)
    optional = name.endswith(_IF_EXISTS)
    name = name.removesuffix(_IF_EXISTS)
    negated = name in _NEGATED
    test = _TESTS.get(_NEGATED.get(name, name))
    if test is None:
        raise ValueError(f"{operator} is not a condition operator")
    if given is None:
        return optional or for_all or negated
    if test not in {_like, _arn}:
        wanted = [text.translate(_UNMARKED) for text in wanted]
    results = [any(test(value, text) for text in wanted) is not negated for value in given]
    return all(results) if for_all or (negated and not for_any) else any(results)


def wildcards(text: str) -> str:
    """The regular expression of a text with ``*`` and ``?``."""
    return re.escape(text).replace(r"\*", ".*").replace(r"\?", ".")


def literal(text: str) -> str:
    """A text whose ``*`` and ``?`` stand for themselves, as part of a condition's value."""
    return text.translate(_MARKS)


def _like(value: str, text: str) -> bool:
    return re.fullmatch(wildcards(text), literal(value), re.DOTALL) is not None


def _arn(value: str, text: str) -> bool:
    """Each of the six parts of an ARN by itself: a star does not reach over a colon."""
    parts, patterns = value.split(":", 5), text.split(":", 5)
    return len(parts) == len(patterns) and all(map(_like, parts, patterns))


def _numbers(compare: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    def test(value: str, text: str) -> bool:
        try:
            return compare(float(value), float(text))
        except ValueError:
            return False

    return test


def _dates(compare: Callable[[datetime, datetime], bool]) -> Callable[[str, str], bool]:
    def test(value: str, text: str) -> bool:
        try:
            return compare(_moment(value), _moment(text))
        except (ValueError, OverflowError):
            return False

    return test


def _moment(text: str) -> datetime:
    if text.isdigit():
        return datetime.fromtimestamp(int(text), UTC)
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _address(value: str, text: str) -> bool:
    try:
        return ipaddress.ip_address(value) in ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False


def _binary(value: str, text: str) -> bool:
    try:
        return base64.b64decode(value, validate=True) == base64.b64decode(text, validate=True)
    except ValueError:
        return False


_TESTS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "StringEquals": lambda value, text: value == text,
    "StringEqualsIgnoreCase": lambda value, text: value.casefold() == text.casefold(),
    "StringLike": _like,
    "NumericEquals": _numbers(lambda value, limit: value == limit),
    "NumericLessThan": _numbers(lambda value, limit: value < limit),
    "NumericLessThanEquals": _numbers(lambda value, limit: value <= limit),
    "NumericGreaterThan": _numbers(lambda value, limit: value > limit),
    "NumericGreaterThanEquals": _numbers(lambda value, limit: value >= limit),
    "DateEquals": _dates(lambda value, limit: value == limit),
    "DateLessThan": _dates(lambda value, limit: value < limit),
    "DateLessThanEquals": _dates(lambda value, limit: value <= limit),
    "DateGreaterThan": _dates(lambda value, limit: value > limit),
    "DateGreaterThanEquals": _dates(lambda value, limit: value >= limit),
    "Bool": lambda value, text: value.lower() == text.lower(),
    "BinaryEquals": _binary,
    "IpAddress": _address,
    "ArnEquals": _arn,
    "ArnLike": _arn,
}
_NEGATED: Final[Mapping[str, str]] = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
    "NotIpAddress": "IpAddress",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
}
"""Operators that say the opposite of another; for them a key that is not there makes the condition true."""
