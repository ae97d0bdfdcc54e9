"""Expressions and paths: what is read, what is malformed, where they are found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sm.definition.expressions import (
    ItemRef,
    Join,
    JsonGetFile,
    JsonGetUri,
    Key,
    Malformed,
    OutputRef,
    ParameterRef,
    StepRef,
    VariableRef,
    find_expressions,
    is_expression,
    parse_expression,
    parse_path,
)


@pytest.mark.parametrize(
    ("value", "expression"),
    [
        ({"Get": "Parameters.A"}, ParameterRef("A")),
        ({"Get": "Execution.PipelineName"}, VariableRef("PipelineName")),
        ({"Get": "Steps.A.B.C[0]"}, StepRef("A", "B.C[0]")),
        ({"Get": "ForEach.CurrentItem"}, ItemRef("")),
        ({"Get": "ForEach.CurrentItem.a.b"}, ItemRef("a.b")),
        ({"Get": "ForEach.CurrentItem['a']"}, ItemRef("['a']")),
        ({"Get": "IterationOutput.B.X"}, OutputRef("B.X")),
        ({"Std:Join": {"On": "-", "Values": ["a", 1]}}, Join("-", ("a", 1))),
        (
            {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.A.PropertyFiles.P"}, "Path": "x.y"}},
            JsonGetFile("A", "P", "x.y"),
        ),
        ({"Std:JsonGet": {"S3Uri": "s3://b/k", "Path": "x"}}, JsonGetUri("s3://b/k", "x")),
    ],
)
def test_expressions_are_read(value: dict[str, object], expression: object) -> None:
    assert is_expression(value)
    assert parse_expression(value) == expression


@pytest.mark.parametrize(
    "value",
    [
        {"Get": 5},
        {"Get": ""},
        {"Get": "Parameters."},
        {"Get": "Steps.A"},
        {"Get": "Nothing.A"},
        {"Get": "ForEach.CurrentItems"},
        {"Std:Join": {"Values": []}},
        {"Std:Join": {"On": "", "Values": "ab"}},
        {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.A.P"}, "Path": "x"}},
        {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.A.PropertyFiles.P"}}},
        {"Std:JsonGet": []},
    ],
)
def test_malformed_expressions_say_why(value: dict[str, object]) -> None:
    found = parse_expression(value)
    assert isinstance(found, Malformed)
    assert found.why


def test_expressions_are_found_with_their_paths() -> None:
    value = {
        "a": [{"Get": "Parameters.A"}, {"Std:Join": {"On": "", "Values": ["x", {"Get": "Parameters.B"}]}}],
        "odd key": {"Std:JsonGet": {"S3Uri": {"Get": "Parameters.C"}, "Path": "x"}},
        "no": {"Get": "Parameters.D", "more": 1},
    }
    assert [(path, type(found).__name__) for path, found in find_expressions(value, "In")] == [
        ("In.a[0]", "ParameterRef"),
        ("In.a[1]", "Join"),
        ("In.a[1].Std:Join.Values[1]", "ParameterRef"),
        ("In['odd key']", "JsonGetUri"),
        ("In['odd key'].Std:JsonGet.S3Uri", "ParameterRef"),
    ]


@pytest.mark.parametrize(
    ("path", "tokens"),
    [
        ("a", ("a",)),
        ("a.b[0]['c d'].e", ("a", "b", 0, "c d", "e")),
        ('a["x.y"]', ("a", "x.y")),
        ("FinalMetricDataList['validation:auc'].Value", ("FinalMetricDataList", "validation:auc", "Value")),
        ("[3]", (3,)),
        ("1st-step.x", ("1st-step", "x")),
    ],
)
def test_paths_are_split(path: str, tokens: tuple[str | int, ...]) -> None:
    assert parse_path(path) == tokens


def test_bracketed_keys_can_be_told_from_members() -> None:
    member, key = parse_path("a['b']")
    assert not isinstance(member, Key)
    assert isinstance(key, Key)


@pytest.mark.parametrize("path", ["", ".", ".a", "a.", "a..b", "a[", "a['b'", "a['b']c", "a b", "a[-1]", "a[b]"])
def test_paths_that_cannot_be_read(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        parse_path(path)


PLAIN = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True)


@given(PLAIN, st.lists(PLAIN | st.integers(0, 99) | st.text("a b.:/", min_size=1).map(Key), max_size=6))
def test_written_paths_are_read_back(head: str, tail: list[str | int]) -> None:
    text = head
    for token in tail:
        match token:
            case Key():
                text += f"['{token}']"
            case int():
                text += f"[{token}]"
            case _:
                text += f".{token}"
    assert parse_path(text) == (head, *tail)
