"""Values given at start, against what the definition declares."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sm.definition import bind_parameters, parse
from mlops_sm.definition.document import Definition
from mlops_sm.errors import InputError

STEP = {"Name": "End", "Type": "Fail", "Arguments": {"ErrorMessage": "no"}}


def definition(*parameters: dict[str, Any]) -> Definition:
    return parse(json.dumps({"Version": "2020-12-01", "Parameters": list(parameters), "Steps": [STEP]}))


ALL = definition(
    {"Name": "Text", "Type": "String", "DefaultValue": "a"},
    {"Name": "Count", "Type": "Integer", "DefaultValue": 1},
    {"Name": "Rate", "Type": "Float", "DefaultValue": 1},
    {"Name": "Flag", "Type": "Boolean", "DefaultValue": False},
)


def test_defaults_in_declared_types() -> None:
    bound = bind_parameters(ALL, {})
    assert bound == {"Text": "a", "Count": 1, "Rate": 1.0, "Flag": False}
    assert [type(value) for value in bound.values()] == [str, int, float, bool]


def test_given_values_win_and_text_is_converted() -> None:
    bound = bind_parameters(ALL, {"Text": "5", "Count": "-3", "Rate": "1e-3", "Flag": "True"})
    assert bound == {"Text": "5", "Count": -3, "Rate": 0.001, "Flag": True}
    assert [type(value) for value in bound.values()] == [str, int, float, bool]


def test_given_values_may_have_their_type_already() -> None:
    assert bind_parameters(ALL, {"Count": 2, "Rate": 3, "Flag": True}) == {
        "Text": "a",
        "Count": 2,
        "Rate": 3.0,
        "Flag": True,
    }


@pytest.mark.parametrize(
    ("name", "value", "fix"),
    [
        ("Text", 5, "Give text"),
        ("Count", "1.0", "an integer such as 3"),
        ("Count", "x", "an integer such as 3"),
        ("Count", "", "an integer such as 3"),
        ("Count", True, "an integer such as 3"),
        ("Count", 1.5, "an integer such as 3"),
        ("Rate", "nan", "a number such as 0.5"),
        ("Rate", "inf", "a number such as 0.5"),
        ("Rate", "1e999", "a number such as 0.5"),
        ("Rate", "1_0", "a number such as 0.5"),
        ("Rate", 10**400, "a number such as 0.5"),
        ("Flag", "yes", "true or false"),
        ("Flag", 1, "true or false"),
        ("Flag", None, "true or false"),
    ],
)
def test_values_of_another_type(name: str, value: object, fix: str) -> None:
    with pytest.raises(InputError) as raised:
        bind_parameters(ALL, {name: value})
    assert [(p.code, p.where) for p in raised.value.problems] == [("E216", f'parameter "{name}"')]
    assert fix in raised.value.problems[0].fix


def test_everything_wrong_is_raised_at_once() -> None:
    declared = definition(
        {"Name": "MinAuc", "Type": "Float"},
        {"Name": "Stage", "Type": "String", "EnumValues": ["dev", "prod"], "DefaultValue": "dev"},
        {"Name": "Rows", "Type": "Integer"},
    )
    with pytest.raises(InputError) as raised:
        bind_parameters(declared, {"MinAcu": "0.5", "Stage": "prd", "Rows": "many"})
    problems = raised.value.problems
    assert [p.code for p in problems] == ["E215", "E217", "E218", "E216"]
    assert 'Did you mean "MinAuc"?' in problems[0].fix
    assert "a number such as 0.5" in problems[1].fix
    assert "dev, prod" in problems[2].fix
    assert 'Did you mean "prod"?' in problems[2].fix


def test_a_definition_without_parameters_takes_none() -> None:
    with pytest.raises(InputError) as raised:
        bind_parameters(definition(), {"A": 1})
    assert raised.value.problems[0].fix == "Leave it out: the definition declares no parameters."


def test_a_default_of_another_type_is_refused_too() -> None:
    with pytest.raises(InputError) as raised:
        bind_parameters(definition({"Name": "N", "Type": "Integer", "DefaultValue": "1"}), {})
    assert [p.code for p in raised.value.problems] == ["E216"]


@given(st.integers(-(10**18), 10**18), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.text())
def test_what_python_writes_as_text_is_read_back(count: int, rate: float, flag: bool, text: str) -> None:
    bound = bind_parameters(ALL, {"Text": text, "Count": str(count), "Rate": str(rate), "Flag": str(flag)})
    assert bound == {"Text": text, "Count": count, "Rate": rate, "Flag": flag}
