"""Search expressions: filters, nested filters and their combinations, as a test of one resource.

Source: SageMaker API reference, SearchExpression, Filter, NestedFilters.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, assert_never

from mlops_sm.checks.service import Shape
from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import AwsError, invalid
from mlops_sm.emulator.sagemaker.search_properties import Property, Type, as_number, nested_property, property_of
from mlops_sm.emulator.sagemaker.search_resources import Found

Test = Callable[[Found], bool]
_Check = Callable[[list[Json]], bool]

_MAX_CONDITIONS: Final = 50
_ORDERS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
}
_CONTAINS_OFTEN: Final[Mapping[str, frozenset[str]]] = {
    "Experiment": frozenset({"displayname", "experimentname", "tags"}),
    "Trial": frozenset({"displayname", "trialname", "tags"}),
    "TrialComponent": frozenset({"displayname", "trialcomponentname", "tags", "inputartifacts", "outputartifacts"}),
}
"""Where Contains may be used more than once."""


def compile_expression(expression: Mapping[str, Any], shape: Shape, within: str | None) -> Test:
    """The test of an expression.

    Args:
        expression: SearchExpression.
        shape: The structure of the resource in SearchRecord.
        within: See `property_of`.

    Raises:
        AwsError: ValidationException, a property, an operator or a value does not fit.
    """
    return _Compiler(shape, within).expression(expression)


class _Compiler:
    def __init__(self, shape: Shape, within: str | None) -> None:
        self._shape = shape
        self._within = within
        self._conditions = 0
        self._contains = 0

    def expression(self, expression: Mapping[str, Any]) -> Test:
        parts = [
            *(self._filter(each) for each in expression.get("Filters") or []),
            *(self._nested(each) for each in expression.get("NestedFilters") or []),
            *(self._sub(each) for each in expression.get("SubExpressions") or []),
        ]
        if not parts:
            raise invalid("A SearchExpression must have at least one filter, nested filter or subexpression.")
        if expression.get("Operator", "And") == "Or":
            return lambda found: any(part(found) for part in parts)
        return lambda found: all(part(found) for part in parts)

    def _sub(self, expression: Mapping[str, Any]) -> Test:
        self._count()
        return self.expression(expression)

    def _filter(self, told: Mapping[str, str]) -> Test:
        wanted = property_of(self._shape, told["Name"], self._within)
        check = self._check(told, wanted)
        return lambda found: check(wanted.of(found))

    def _nested(self, told: Mapping[str, Any]) -> Test:
        """True when one object of the list satisfies every filter."""
        self._count()
        path = told["NestedPropertyName"]
        tests = []
        for each in told["Filters"]:
            member, objects, wanted = nested_property(self._shape, path, each["Name"])
            tests.append((wanted, self._check(each, wanted)))

        def test(found: Found) -> bool:
            return any(
                all(check([value for value in wanted.values(item) if value is not None]) for wanted, check in tests)
                for item in objects(found.get(member))
            )

        return test

    def _count(self) -> None:
        self._conditions += 1
        if self._conditions > _MAX_CONDITIONS:
            raise invalid(f"A SearchExpression can have at most {_MAX_CONDITIONS} conditions.")

    def _check(self, told: Mapping[str, str], wanted: Property) -> _Check:
        self._count()
        name = told.get("Operator", "Equals")
        if name == "Exists":
            return bool
        if name == "NotExists":
            return lambda values: not values
        if "Value" not in told:
            raise invalid(f"The filter on {wanted.name} with operator {name} needs a Value.")
        value = told["Value"]
        if name in _ORDERS:
            return _ordered(wanted, _ORDERS[name], name, value)
        if name == "Contains":
            self._contain(wanted)
            return lambda values: any(value in str(each) for each in values)
        if name == "In":
            _only_text(wanted, name)
            options = {option.strip() for option in value.split(",")}
            return lambda values: any(str(each) in options for each in values)
        equal = _equality(wanted, value)
        if name == "NotEquals":
            return lambda values: not any(equal(each) for each in values)
        return lambda values: any(equal(each) for each in values)

    def _contain(self, wanted: Property) -> None:
        _only_text(wanted, "Contains")
        head = wanted.name.partition(".")[0].lower()
        if head in _CONTAINS_OFTEN.get(self._shape.name, frozenset()):
            return
        self._contains += 1
        if self._contains > 1:
            raise invalid("'CONTAINS' operator usage limit of 1 exceeded.")


def _only_text(wanted: Property, name: str) -> None:
    if wanted.type not in {Type.TEXT, Type.EITHER}:
        raise invalid(f"The operator {name} is only supported for text properties, which {wanted.name} is not.")


def _ordered(wanted: Property, order: Callable[[float, float], bool], name: str, value: str) -> _Check:
    match wanted.type:
        case Type.TEXT | Type.BOOLEAN:
            raise invalid(f"The operator {name} is not supported for {wanted.name}: it is neither a number nor a time.")
        case Type.TIME:
            limit = _time(wanted, value)
            return lambda values: any(order(_seconds(each), limit) for each in values)
        case Type.NUMBER | Type.EITHER:
            limit, whole = _number(wanted, value), _is_whole(wanted, value)
            return lambda values: any(
                order(number, limit) for each in values if (number := _comparable(each, whole=whole)) is not None
            )
        case _:
            assert_never(wanted.type)


def _equality(wanted: Property, value: str) -> Callable[[Json], bool]:
    match wanted.type:
        case Type.TEXT:
            return lambda each: str(each) == value
        case Type.BOOLEAN:
            if value.lower() not in {"true", "false"}:
                raise invalid(f"{wanted.name} is compared with true or false, not with {value}.")
            return lambda each: each is (value.lower() == "true")
        case Type.TIME:
            moment = _time(wanted, value)
            # Whole seconds: the value has no fraction.
            return lambda each: int(_seconds(each)) == int(moment)
        case Type.NUMBER:
            number = _number(wanted, value)
            return lambda each: as_number(each) == number
        case Type.EITHER:
            limit, whole = as_number(value), _is_whole(wanted, value)
            return lambda each: str(each) == value or (limit is not None and _comparable(each, whole=whole) == limit)
        case _:
            assert_never(wanted.type)


def _comparable(each: Json, *, whole: bool) -> float | None:
    number = as_number(each)
    return float(int(number)) if whole and number is not None else number


def _is_whole(wanted: Property, value: str) -> bool:
    """Hyperparameters are integers when they are compared with one (API reference, Filter)."""
    return wanted.whole_numbers and value.strip().lstrip("+-").isdigit()


def _number(wanted: Property, value: str) -> float:
    number = as_number(value)
    if number is None:
        raise invalid(f"{wanted.name} is compared with an integer or a decimal number, not with {value}.")
    return number


def _time(wanted: Property, value: str) -> float:
    number = as_number(value)
    if number is not None:
        return number
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise _no_time(wanted, value) from None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def _no_time(wanted: Property, value: str) -> AwsError:
    return invalid(f"{wanted.name} is compared with a time such as 2026-11-24T09:00:00, not with {value}.")


def _seconds(value: Json) -> float:
    """A time as it is shown, in milliseconds."""
    return round(value.timestamp() if isinstance(value, datetime) else float(value), 3)
