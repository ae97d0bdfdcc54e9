"""The eight kinds of conditions."""

import operator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sm.engine import ResolveError
from mlops_sm.engine.conditions import holds_all

YES = {"Type": "Equals", "LeftValue": 1, "RightValue": 1}
NO = {"Type": "Equals", "LeftValue": 1, "RightValue": 2}
BROKEN = {"Type": "Equals", "LeftValue": 1, "RightValue": "1"}


def compare(kind: str, left: Any, right: Any) -> dict[str, Any]:
    return {"Type": kind, "LeftValue": left, "RightValue": right}


def within(query: Any, *values: Any) -> dict[str, Any]:
    return {"Type": "In", "QueryValue": query, "Values": list(values)}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (compare("Equals", 1, 1.0), True),
        (compare("Equals", "a", "a"), True),
        (compare("Equals", "a", "A"), False),
        (compare("Equals", True, True), True),
        (compare("Equals", True, False), False),
        (compare("GreaterThan", 2, 1), True),
        (compare("GreaterThan", 1, 1), False),
        (compare("GreaterThanOrEqualTo", 0.5, 0.5), True),
        (compare("GreaterThanOrEqualTo", 0.4, 0.5), False),
        (compare("LessThan", 1, 1.5), True),
        (compare("LessThan", 1.5, 1.5), False),
        (compare("LessThanOrEqualTo", 1.5, 1.5), True),
        (compare("LessThanOrEqualTo", 2, 1.5), False),
        # text is ordered as text: "10" stands before "3"
        (compare("LessThan", "10", "3"), True),
        (within(2, 1, 2.0), True),
        (within("c", "a", "b"), False),
        (within("c"), False),
        ({"Type": "Not", "Condition": YES}, False),
        ({"Type": "Not", "Condition": {"Type": "Not", "Condition": YES}}, True),
        ({"Type": "Or", "Conditions": [NO, YES]}, True),
        ({"Type": "Or", "Conditions": [NO, NO]}, False),
        ({"Type": "Or", "Conditions": []}, False),
    ],
)
def test_each_kind(condition: dict[str, Any], expected: bool) -> None:
    assert holds_all([condition]) is expected


def test_the_list_is_a_conjunction() -> None:
    assert holds_all([])
    assert holds_all([YES, YES])
    assert not holds_all([YES, NO])


def test_conditions_after_the_deciding_one_are_not_compared() -> None:
    assert not holds_all([NO, BROKEN])
    assert holds_all([{"Type": "Or", "Conditions": [YES, BROKEN]}])


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (compare("Equals", 1, "1"), "Conditions[0]: an integer (1) cannot be compared with a string (1)"),
        (compare("Equals", True, 1), "a boolean (true) cannot be compared with an integer (1)"),
        (compare("GreaterThan", "0.9", 0.8), "a string (0.9) cannot be compared with a number (0.8)"),
        (compare("GreaterThan", True, False), "booleans have no order"),
        (compare("GreaterThan", float("nan"), 0.8), "NaN compares with nothing"),
        (compare("Equals", 0.8, float("nan")), "NaN compares with nothing"),
        (compare("Equals", None, None), "null cannot be compared"),
        (compare("LessThan", [1], 1), "a list ([1]) cannot be compared"),
        (within(1, 1, "1"), "Conditions[0].Values[1]: an integer (1) cannot be compared with a string (1)"),
        ({"Type": "Not", "Condition": BROKEN}, "Conditions[0].Condition: an integer"),
        ({"Type": "Or", "Conditions": [NO, BROKEN]}, "Conditions[0].Conditions[1]: an integer"),
        ({"Type": "Equal", "LeftValue": 1, "RightValue": 1}, "Conditions[0]: Equal is no condition type: Equals,"),
        ({"Type": [], "LeftValue": 1, "RightValue": 1}, "is no condition type"),
        ({"Type": "Equals", "LeftValue": 1}, "Conditions[0] has no RightValue"),
        ({"Type": "Or", "Conditions": {}}, "Conditions[0].Conditions is an object, not a list"),
        ("Equals", "Conditions[0] has no Type"),
    ],
)
def test_what_cannot_be_compared_is_an_error_with_its_place(condition: Any, message: str) -> None:
    with pytest.raises(ResolveError) as caught:
        holds_all([condition])
    assert message in str(caught.value)


def test_a_value_of_another_type_is_an_error_even_behind_a_hit() -> None:
    with pytest.raises(ResolveError, match="cannot be compared"):
        holds_all([within("a", "a", 1)])


NUMBERS = st.integers() | st.floats(allow_nan=False)
SAME_FAMILY = st.tuples(NUMBERS, NUMBERS) | st.tuples(st.text(), st.text())
OPERATORS = {
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
    "Equals": operator.eq,
}


@given(SAME_FAMILY, st.sampled_from(sorted(OPERATORS)))
def test_comparisons_agree_with_the_order_of_the_values(pair: tuple[Any, Any], kind: str) -> None:
    assert holds_all([compare(kind, *pair)]) is OPERATORS[kind](*pair)
    assert holds_all([{"Type": "Not", "Condition": compare(kind, *pair)}]) is not OPERATORS[kind](*pair)
