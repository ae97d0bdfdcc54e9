"""Whatever comes in: check answers, and every reference is resolved or reported."""

from __future__ import annotations

import inspect
import json
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_sm.checks import check
from mlops_sm.definition.kinds import StepKind
from mlops_sm.errors import Problem

WORDS = st.sampled_from(
    [
        *(kind.value for kind in StepKind),
        *("Name", "Type", "Arguments", "Steps", "Version", "Parameters", "DependsOn", "IfSteps", "ElseSteps"),
        *("Conditions", "ForEachBody", "IterableItems", "Selector", "Field", "Get", "Std:Join", "Std:JsonGet", "On"),
        *("Values", "PropertyFile", "Path", "S3Uri", "PropertyFiles", "CacheConfig", "RetryPolicies", "Or", "Not"),
        *("2020-12-01", "A", "B", "Parameters.A", "Steps.A.Outcome", "Steps.B.X['y'][0]", "Execution.PipelineName"),
        *("ProcessingInputs", "ResourceConfig", "InputDataConfig", "S3Output", "Associations", "Resources", "S3"),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats() | WORDS | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=2), inner, max_size=4),
    max_leaves=25,
)
STEPS = st.fixed_dictionaries(
    {"Name": WORDS, "Type": st.sampled_from([k.value for k in StepKind]), "Arguments": VALUES},
    optional={"DependsOn": VALUES, "PropertyFiles": VALUES, "CacheConfig": VALUES, "OutputParameters": VALUES},
)
DOCUMENTS = VALUES | st.fixed_dictionaries(
    {"Version": st.just("2020-12-01"), "Steps": st.lists(STEPS, max_size=4)}, optional={"Parameters": VALUES}
)


def assert_well_formed(problems: list[Problem]) -> None:
    for problem in problems:
        assert all(isinstance(part, str) and part for part in problem)
        assert all(part.isprintable() for part in problem)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(DOCUMENTS)
def test_any_json_is_answered(document: Any) -> None:
    assert_well_formed(check(json.dumps(document)))


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_any_bytes_are_answered(content: bytes | str) -> None:
    problems = check(content)
    assert problems
    assert_well_formed(problems)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1_000_000,
        '{"a":' * 200_000,
        '{"Version":"2020-12-01","Steps":[' + '{"Name":"a","Type":"Fail","Arguments":{"ErrorMessage":' * 200,
        json.dumps({"Version": "2020-12-01", "Steps": [{"Name": "a", "Type": "T" * 500_000, "Arguments": {}}]}),
        json.dumps({"Version": "2020-12-01", "Steps": [{"Name": "\ud800", "Type": "Fail", "Arguments": {}}]}),
        json.dumps(
            {"Version": "2020-12-01", "Steps": [{"Name": "a", "Type": "Fail", "Arguments": {"x": float("nan")}}]}
        ),
    ],
    ids=["lists", "objects", "cut off", "long word", "half a character", "nan"],
)
def test_hostile_texts_are_answered(text: str) -> None:
    assert_well_formed(check(text))


def test_a_shallow_stack_is_no_crash() -> None:
    nested: Any = {"Get": "Parameters.A"}
    for _ in range(20):
        nested = {"Std:Join": {"On": "", "Values": [nested]}}
    step = {"Name": "a", "Type": "Fail", "Arguments": {"ErrorMessage": nested}}
    text = json.dumps({"Version": "2020-12-01", "Steps": [step]})

    def deep(levels: int) -> list[Problem]:
        return deep(levels - 1) if levels else check(text)

    # How deep the test runner itself is differs from run to run.
    codes = {p.code for p in deep(sys.getrecursionlimit() - len(inspect.stack(0)) - 60)}
    assert codes == {"E207"}


NAMES = ("A", "B", "C")
PATHS = st.sampled_from(
    [
        "ProcessingJobName",
        "ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri",
        "ProcessingOutputConfig.Outputs['uot'].S3Output.S3Uri",
        "ProcessingOutputConfig.Outputs[0].S3Output.S3Uri",
        "ProcessingOutputConfig.Outputs[1].S3Output.S3Uri",
        "Nothing",
    ]
)
GOOD = {
    "ProcessingJobName",
    "ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri",
    "ProcessingOutputConfig.Outputs[0].S3Output.S3Uri",
}
GETS = st.lists(
    st.tuples(st.just("Steps"), st.sampled_from((*NAMES, "D")), PATHS)
    | st.tuples(st.just("Parameters"), st.sampled_from(("P", "Q")), st.just(""))
    | st.tuples(st.just("Execution"), st.sampled_from(("PipelineName", "Pipeline")), st.just("")),
    max_size=6,
)


def processing(name: str, environment: dict[str, Any]) -> dict[str, Any]:
    output = {
        "OutputName": "out",
        "S3Output": {"S3Uri": "s3://b/k", "LocalPath": "/opt/ml/processing/out", "S3UploadMode": "EndOfJob"},
    }
    cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
    return {
        "Name": name,
        "Type": "Processing",
        "Arguments": {
            "AppSpecification": {"ImageUri": "python:3.11"},
            "ProcessingResources": {"ClusterConfig": cluster},
            "ProcessingOutputConfig": {"Outputs": [output]},
            "RoleArn": "arn:aws:iam::123456789012:role/example-role",
            "Environment": environment,
        },
    }


@given(GETS)
def test_every_reference_is_resolved_or_reported(gets: list[tuple[str, str, str]]) -> None:
    environment = {f"V{i}": {"Get": ".".join(part for part in get if part)} for i, get in enumerate(gets)}
    document = {
        "Version": "2020-12-01",
        "Parameters": [{"Name": "P", "Type": "String"}],
        "Steps": [processing("A", {}), processing("B", {}), processing("C", {}), processing("Reader", environment)],
    }
    bad = {
        f"V{i}"
        for i, (space, name, path) in enumerate(gets)
        if (space == "Steps" and (name == "D" or path not in GOOD)) or name in ("Q", "Pipeline")
    }
    reported = {p.where.rpartition(".")[2] for p in check(json.dumps(document))}
    assert reported == bad
