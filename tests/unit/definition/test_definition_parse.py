"""Reading definitions of every author, and what is said of those that cannot be read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sm.definition import canonical_json, parse
from mlops_sm.definition.document import Branch, Dependency, Parameter, PropertyFile, RetryPolicy
from mlops_sm.definition.kinds import ParameterType, StepKind, Trigger
from mlops_sm.definition.parse import read
from mlops_sm.errors import InputError

FAIL: dict[str, Any] = {"Name": "End", "Type": "Fail", "Arguments": {"ErrorMessage": "no"}}


def text(*steps: Any, **members: Any) -> str:
    return json.dumps({"Version": "2020-12-01", "Steps": list(steps), **members})


def test_a_minimal_definition() -> None:
    definition = parse(text(FAIL))
    assert definition.version == "2020-12-01"
    assert definition.parameters == ()
    assert [(s.name, s.kind, s.path) for s in definition.steps] == [("End", StepKind.FAIL, "Steps[0]")]
    assert definition.steps[0].raw == FAIL
    assert definition.raw == json.loads(text(FAIL))


def test_null_is_as_good_as_absent_where_a_member_is_optional() -> None:
    step = FAIL | dict.fromkeys(("DependsOn", "DisplayName", "CacheConfig", "RetryPolicies", "PropertyFiles"))
    nothing = dict.fromkeys(("Metadata", "Parameters", "PipelineExperimentConfig", "MlflowConfig"))
    definition = parse(text(step, **nothing))
    assert definition.metadata == {}
    assert definition.steps[0].depends_on == ()
    assert definition.steps[0].cache is None


def test_parameters_of_every_type() -> None:
    definition = parse(
        text(
            FAIL,
            Parameters=[
                {"Name": "A", "Type": "String", "DefaultValue": "x", "EnumValues": ["x", "y"], "Description": "a word"},
                {"Name": "B", "Type": "Integer", "DefaultValue": 0},
                {"Name": "C", "Type": "Boolean", "DefaultValue": False},
                {"Name": "D", "Type": "Float"},
            ],
        )
    )
    assert definition.parameters == (
        Parameter(name="A", type=ParameterType.STRING, default="x", enum_values=("x", "y")),
        Parameter(name="B", type=ParameterType.INTEGER, default=0),
        Parameter(name="C", type=ParameterType.BOOLEAN, default=False),
        Parameter(name="D", type=ParameterType.FLOAT),
    )


def test_everything_a_step_may_carry() -> None:
    step = {
        "Name": "Prepare",
        "Type": "Processing",
        "Arguments": {},
        "DisplayName": "Prepare",
        "Description": "Prepares",
        "DependsOn": ["A", {"Step": "B"}, {"Step": "C", "Trigger": "Any"}],
        "CacheConfig": {"Enabled": True, "ExpireAfter": "P30D"},
        "RetryPolicies": [
            {"ExceptionType": "Step.THROTTLING"},
            {"ExceptionType": ["A", "B"], "IntervalSeconds": 5, "BackoffRate": 3, "MaxAttempts": 2},
        ],
        "PropertyFiles": [{"PropertyFileName": "P", "OutputName": "O", "FilePath": "p.json"}],
    }
    read_step = parse(text(step)).step("Prepare")
    assert read_step.depends_on == (
        Dependency(step="A"),
        Dependency(step="B"),
        Dependency(step="C", trigger=Trigger.ANY),
    )
    assert read_step.cache is not None
    assert (read_step.cache.enabled, read_step.cache.expire_after) == (True, "P30D")
    assert read_step.retry_policies == (
        RetryPolicy(exception_types=("Step.THROTTLING",)),
        RetryPolicy(exception_types=("A", "B"), interval_seconds=5, backoff_rate=3, max_attempts=2),
    )
    assert read_step.property_files == (PropertyFile(name="P", output_name="O", file_path="p.json"),)
    assert (read_step.display_name, read_step.description) == ("Prepare", "Prepares")


def test_members_beside_arguments_belong_to_their_kinds() -> None:
    steps = [
        {"Name": "L", "Type": "Lambda", "FunctionArn": "arn", "OutputParameters": [], "Arguments": None},
        {"Name": "C", "Type": "Callback", "SqsQueueUrl": "https://q"},
        {"Name": "Q", "Type": "QualityCheck", "Arguments": {}, "CheckType": "DATA_QUALITY", "SkipCheck": False},
        {"Name": "A", "Type": "Athena", "Arguments": {}, "WhoKnows": 1},
    ]
    definition = parse(text(*steps))
    assert [step.arguments for step in definition.steps] == [{}, {}, {}, {}]
    with pytest.raises(InputError) as raised:
        parse(text({"Name": "T", "Type": "Training", "Arguments": {}, "SkipCheck": False}))
    assert [p.code for p in raised.value.problems] == ["E205"]


def test_branches_hold_steps_that_know_where_they_stand() -> None:
    inner = {"Name": "Inner", "Type": "Condition", "Arguments": {"Conditions": [], "IfSteps": [FAIL]}}
    outer = {
        "Name": "Outer",
        "Type": "Condition",
        "Arguments": {"Conditions": [], "IfSteps": [inner], "ElseSteps": [FAIL | {"Name": "Else"}]},
    }
    each = {"Name": "Each", "Type": "ForEach", "Arguments": {"ForEachBody": [FAIL | {"Name": "Body"}]}}
    definition = parse(text(outer, each))
    assert [(s.name, s.branch, s.path) for s in definition.walk()] == [
        ("Outer", None, "Steps[0]"),
        ("Inner", Branch(step="Outer", member="IfSteps"), "Steps[0].Arguments.IfSteps[0]"),
        (
            "End",
            Branch(step="Inner", member="IfSteps"),
            "Steps[0].Arguments.IfSteps[0].Arguments.IfSteps[0]",
        ),
        ("Else", Branch(step="Outer", member="ElseSteps"), "Steps[0].Arguments.ElseSteps[0]"),
        ("Each", None, "Steps[1]"),
        ("Body", Branch(step="Each", member="ForEachBody"), "Steps[1].Arguments.ForEachBody[0]"),
    ]


def test_every_structural_problem_is_raised_at_once() -> None:
    document = {
        "Versoin": "2020-12-01",
        "Parameters": [{"Name": "A", "Type": "Number"}, 5],
        "Steps": [{"Name": "T", "Type": "Trainin", "Arguments": []}, {"Type": "Fail", "Arguments": {}}, "x"],
    }
    with pytest.raises(InputError) as raised:
        parse(json.dumps(document))
    assert [(p.code, p.where) for p in raised.value.problems] == [
        ("E205", "Versoin"),
        ("E204", "the definition"),
        ("E206", "Parameters[0].Type"),
        ("E203", "Parameters[1]"),
        ("E206", 'step "T", Steps[0].Type'),
        ("E203", 'step "T", Steps[0].Arguments'),
        ("E204", "Steps[1]"),
        ("E203", "Steps[2]"),
    ]
    assert raised.value.exit_code == 2
    fixes = [p.fix for p in raised.value.problems]
    assert '"Version"' in fixes[0]
    assert "Boolean, Float, Integer, String" in fixes[2]
    assert '"Training"' in fixes[4]


@pytest.mark.parametrize("value", [[], "x", 5, None, True])
def test_a_document_that_is_no_object(value: object) -> None:
    with pytest.raises(InputError) as raised:
        parse(json.dumps(value))
    assert [(p.code, p.where) for p in raised.value.problems] == [("E203", "the definition")]


def test_what_could_not_be_read_is_remembered_by_name() -> None:
    nested = {"Name": "C", "Type": "Conditon", "Arguments": {"IfSteps": [FAIL], "ElseSteps": [FAIL | {"Name": "E"}]}}
    reading = read(text(nested, FAIL | {"Name": "Left"}, Parameters=[{"Name": "P", "Type": "Int"}]))
    assert reading.definition is not None
    assert [s.name for s in reading.definition.steps] == ["Left"]
    assert reading.unread_steps == {"C", "End", "E"}
    assert reading.unread_parameters == {"P"}
    assert not reading.nameless_steps
    assert not reading.nameless_parameters


@pytest.mark.parametrize("step", [5, {"Type": "Fail", "Arguments": {}}, {"Name": "C", "Type": "Condition"}])
def test_steps_whose_names_are_out_of_reach(step: object) -> None:
    assert read(text(step)).nameless_steps


@pytest.mark.parametrize(
    "members", [{"Parameters": [5]}, {"Parameters": {}}, {"Parameter": [{"Name": "P"}]}, {"Parameters": [{}]}]
)
def test_parameters_whose_names_are_out_of_reach(members: dict[str, Any]) -> None:
    assert read(text(FAIL, **members)).nameless_parameters


def test_texts_in_messages_are_short_and_printable() -> None:
    with pytest.raises(InputError) as raised:
        parse(text({"Name": "x" * 5000, "Type": "\u202e\n" + "y" * 5000, "Arguments": {}, "z" * 5000: 1}))
    for problem in raised.value.problems:
        assert all(len(part) < 500 for part in problem)
        assert all(part.isprintable() for part in problem)


NAMES = st.text("abcXYZ019-_", min_size=1, max_size=8)
ARGUMENTS = st.dictionaries(st.sampled_from(["A", "B"]), st.integers(-(2**62), 2**62) | NAMES, max_size=2)
LEAF = st.builds(
    lambda name, kind, arguments, depends_on: {
        "Name": name,
        "Type": kind,
        "Arguments": arguments,
        "DependsOn": depends_on,
    },
    NAMES,
    st.sampled_from([k.value for k in StepKind if k not in (StepKind.CONDITION, StepKind.FOR_EACH)]),
    ARGUMENTS,
    st.lists(NAMES | st.builds(lambda n: {"Step": n, "Trigger": "Any"}, NAMES), max_size=2),
)
STEP = st.recursive(
    LEAF,
    lambda inner: st.builds(
        lambda name, steps: {"Name": name, "Type": "Condition", "Arguments": {"Conditions": [], "IfSteps": steps}},
        NAMES,
        st.lists(inner, max_size=3),
    ),
    max_leaves=6,
)


@given(st.lists(STEP, min_size=1, max_size=4))
def test_canonical_text_of_a_definition_reads_as_the_same_definition(steps: list[dict[str, Any]]) -> None:
    written = text(*steps)
    definition = parse(written)
    again = parse(canonical_json(definition.raw))
    assert again == definition
    assert parse(written.encode()) == definition


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_reading_never_raises(content: bytes | str) -> None:
    reading = read(content)
    assert reading.problems or reading.definition is not None


def test_a_step_is_found_at_any_depth() -> None:
    definition = parse(text({"Name": "C", "Type": "Condition", "Arguments": {"IfSteps": [FAIL]}}))
    assert definition.step("End").kind is StepKind.FAIL
    with pytest.raises(KeyError):
        definition.step("Edn")
