"""A Condition step's conditions, already resolved, to a verdict.

Values are compared by the rules of the SDK's local executor (sagemaker/mlops/local/pipeline.py), tightened where it
leaves the answer to Python: text, numbers and booleans are three families that never mix, ``1`` and ``1.0`` are equal,
and a NaN is no answer to any question. Every value is resolved; conditions after the deciding one are not compared.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import assert_never

from mlops_sm.definition.document import Json
from mlops_sm.definition.kinds import ConditionType
from mlops_sm.definition.wording import shown, type_word
from mlops_sm.engine.resolve import ResolveError, described


class _Family(Enum):
    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"


def holds_all(conditions: Json, path: str = "Conditions") -> bool:
    """Whether every condition of the list holds; an empty list does.

    Args:
        conditions: The list, without expressions.
        path: Where it stands, for messages.

    Raises:
        ResolveError: A condition is malformed, or its values cannot be compared.
    """
    return all(_holds(each, f"{path}[{i}]") for i, each in enumerate(_list(conditions, path)))


def _holds(condition: Json, path: str) -> bool:
    kind = _kind(condition, path)
    match kind:
        case ConditionType.NOT:
            return not _holds(_member(condition, "Condition", path), f"{path}.Condition")
        case ConditionType.OR:
            inner = f"{path}.Conditions"
            return any(
                _holds(each, f"{inner}[{i}]")
                for i, each in enumerate(_list(_member(condition, "Conditions", path), inner))
            )
        case ConditionType.IN:
            query = _member(condition, "QueryValue", path)
            values = _list(_member(condition, "Values", path), f"{path}.Values")
            # Each is compared before any decides: a value of another type is an error wherever it stands.
            return any([_equal(query, each, f"{path}.Values[{i}]") for i, each in enumerate(values)])
        case ConditionType.EQUALS:
            return _equal(_member(condition, "LeftValue", path), _member(condition, "RightValue", path), path)
        case ConditionType.GREATER_THAN:
            return _order(condition, path) > 0
        case ConditionType.GREATER_THAN_OR_EQUAL_TO:
            return _order(condition, path) >= 0
        case ConditionType.LESS_THAN:
            return _order(condition, path) < 0
        case ConditionType.LESS_THAN_OR_EQUAL_TO:
            return _order(condition, path) <= 0
        case _:
            assert_never(kind)


def _equal(left: Json, right: Json, path: str) -> bool:
    _common_family(left, right, path)
    return bool(left == right)


def _order(condition: Json, path: str) -> int:
    """Negative, zero or positive as left is below, at or above right; text is ordered by code point."""
    left, right = _member(condition, "LeftValue", path), _member(condition, "RightValue", path)
    if _common_family(left, right, path) is _Family.BOOLEAN:
        raise ResolveError(f"{path}: booleans have no order")
    return int(left > right) - int(left < right)


def _common_family(left: Json, right: Json, path: str) -> _Family:
    family = _family(left, path)
    if family is not _family(right, path):
        raise ResolveError(f"{path}: {described(left)} cannot be compared with {described(right)}")
    return family


def _family(value: Json, path: str) -> _Family:
    match value:
        case bool():
            return _Family.BOOLEAN
        case str():
            return _Family.TEXT
        case int():
            return _Family.NUMBER
        case float() if not math.isnan(value):
            return _Family.NUMBER
        case float():
            raise ResolveError(f"{path}: NaN compares with nothing")
        case _:
            raise ResolveError(f"{path}: {described(value)} cannot be compared")


def _kind(condition: Json, path: str) -> ConditionType:
    written = _member(condition, "Type", path)
    try:
        return ConditionType(written)
    except ValueError as err:
        known = ", ".join(ConditionType)
        raise ResolveError(f"{path}: {shown(written)} is no condition type: {known}") from err


def _member(condition: Json, name: str, path: str) -> Json:
    if not isinstance(condition, dict) or name not in condition:
        raise ResolveError(f"{path} has no {name}")
    return condition[name]


def _list(value: Json, path: str) -> list[Json]:
    if not isinstance(value, list):
        raise ResolveError(f"{path} is {type_word(value)}, not a list")
    return value
