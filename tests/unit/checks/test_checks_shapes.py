"""Values against botocore shapes: requests with literal values, and Arguments with expressions."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from mlops_sm.checks.service import resolver, sagemaker_model
from mlops_sm.checks.shapes import check_request, check_value

SHAPES: dict[str, Any] = {
    "Request": {
        "type": "structure",
        "required": ["Name"],
        "members": {
            name: {"shape": shape}
            for name, shape in {
                "Name": "Name",
                "Kind": "Kind",
                "Count": "Count",
                "Rate": "Rate",
                "Flag": "Flag",
                "When": "When",
                "Data": "Data",
                "Items": "Items",
                "Map": "Map",
                "Union": "Union",
                "Odd": "Odd",
                "Free": "Free",
            }.items()
        },
    },
    "Name": {"type": "string", "min": 2, "max": 4, "pattern": "[a-z]+"},
    "Kind": {"type": "string", "enum": ["Left", "Right"]},
    "Count": {"type": "integer", "min": 1, "max": 3},
    "Rate": {"type": "double", "min": 0, "max": 1},
    "Flag": {"type": "boolean"},
    "When": {"type": "timestamp"},
    "Data": {"type": "blob", "max": 3},
    "Items": {"type": "list", "member": {"shape": "Name"}, "min": 1, "max": 2},
    "Map": {"type": "map", "key": {"shape": "Name"}, "value": {"shape": "Count"}, "max": 2},
    "Union": {
        "type": "structure",
        "union": True,
        "members": {"A": {"shape": "Count"}, "B": {"shape": "Count"}},
    },
    # A pattern of Java's that Python cannot compile is left to the service.
    "Odd": {"type": "string", "pattern": "[\\p{L}]+"},
    "Free": {"type": "structure", "document": True, "members": {}},
}


def found(value: Any, *, expressions: bool = False) -> list[tuple[str, str]]:
    shape = resolver(SHAPES).get_shape_by_name("Request")
    return [(p.code, p.where) for p in check_value(value, shape, "", expressions=expressions)]


def with_member(**members: Any) -> dict[str, Any]:
    return {"Name": "abc", **members}


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"Kind": "Left"},
        {"Count": 1},
        {"Count": 3},
        {"Rate": 1},
        {"Rate": 0.5},
        {"Flag": False},
        {"When": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)},
        {"When": 1700000000},
        {"When": 1700000000.5},
        {"When": "2026-01-01T00:00:00Z"},
        {"Data": b"abc"},
        {"Data": bytearray(b"ab")},
        {"Items": ["ab"]},
        {"Items": ("ab", "cd")},
        {"Map": {"ab": 1}},
        {"Union": {"A": 1}},
        {"Odd": "1"},
        {"Free": {"any": [1, {"Get": 5}]}},
    ],
)
def test_what_fits_has_no_problems(members: dict[str, Any]) -> None:
    assert found(with_member(**members)) == []


@pytest.mark.parametrize(
    ("members", "code", "where"),
    [
        ({"Name": "a"}, "E245", "Name"),
        ({"Name": "abcde"}, "E245", "Name"),
        ({"Name": "AB"}, "E244", "Name"),
        # fullmatch: the pattern may not stop before a newline
        ({"Name": "ab\n"}, "E244", "Name"),
        ({"Name": 5}, "E242", "Name"),
        ({"Name": None}, "E242", "Name"),
        ({"Kind": "left"}, "E243", "Kind"),
        ({"Count": 0}, "E246", "Count"),
        ({"Count": 4}, "E246", "Count"),
        ({"Count": 1.0}, "E242", "Count"),
        ({"Count": True}, "E242", "Count"),
        ({"Count": "1"}, "E242", "Count"),
        ({"Rate": 1.5}, "E246", "Rate"),
        ({"Rate": True}, "E242", "Rate"),
        ({"Flag": 1}, "E242", "Flag"),
        ({"When": True}, "E242", "When"),
        ({"When": []}, "E242", "When"),
        ({"Data": b"abcd"}, "E245", "Data"),
        ({"Data": 5}, "E242", "Data"),
        ({"Items": []}, "E245", "Items"),
        ({"Items": ["ab"] * 3}, "E245", "Items"),
        ({"Items": ["ab", "A B"]}, "E244", "Items[1]"),
        ({"Items": {}}, "E242", "Items"),
        ({"Map": {"ab": 1, "cd": 2, "ef": 3}}, "E245", "Map"),
        ({"Map": {"A B": 1}}, "E244", "Map['A B']"),
        ({"Map": {"ab": 9}}, "E246", "Map.ab"),
        ({"Map": []}, "E242", "Map"),
        ({"Union": {}}, "E248", "Union"),
        ({"Union": {"A": 1, "B": 1}}, "E248", "Union"),
        ({"Nmae": "ab"}, "E240", "Nmae"),
        ({"Count": {"Get": "Parameters.N"}}, "E242", "Count"),
    ],
)
def test_what_does_not_fit_is_one_problem(members: dict[str, Any], code: str, where: str) -> None:
    assert found(with_member(**members)) == [(code, where)]


def test_a_missing_member_is_reported_at_the_object_that_lacks_it() -> None:
    assert found({}) == [("E241", "the request")]


def test_an_expression_may_stand_for_any_scalar_and_for_nothing_else() -> None:
    get = {"Get": "Parameters.N"}
    scalars = dict.fromkeys(("Name", "Kind", "Count", "Rate", "Flag", "When", "Data", "Odd"), get)
    assert found(scalars, expressions=True) == []
    containers = dict.fromkeys(("Items", "Map", "Union"), get)
    assert found(with_member(**containers), expressions=True) == [("E247", "Items"), ("E247", "Map"), ("E247", "Union")]


def test_required_members_that_somebody_else_fills_in_are_not_missing() -> None:
    shape = resolver(SHAPES).get_shape_by_name("Request")
    assert check_request({}, shape, "", filled_in=frozenset({"Name"})) == []


def test_paths_continue_the_given_path() -> None:
    shape = resolver(SHAPES).get_shape_by_name("Request")
    problems = check_value({"Name": "ab", "Items": ["A"]}, shape, "step X, Arguments", expressions=False)
    assert [p.where for p in problems] == ["step X, Arguments.Items[0]"]


def test_a_real_request_with_datetimes_and_bytes_free_values() -> None:
    shape = sagemaker_model().operation_model("ListProcessingJobs").input_shape
    since = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    assert check_value({"CreationTimeAfter": since, "MaxResults": 10}, shape, "", expressions=False) == []
    problems = check_value({"CreationTimeAfter": since, "MaxResults": 101}, shape, "", expressions=False)
    assert [(p.code, p.where, p.fix) for p in problems] == [("E246", "MaxResults", "Give at most 100.")]
