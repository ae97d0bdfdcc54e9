"""What a definition cannot do with the values of its parameters, known before anything starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlops_sm.checks import check
from mlops_sm.checks.values import check_values
from mlops_sm.definition import bind_parameters, parse


def get(name: str) -> dict[str, str]:
    return {"Get": f"Parameters.{name}"}


def tuning(**parameters: Any) -> dict[str, Any]:
    ranges = {"IntegerParameterRanges": [{"Name": "depth", "MinValue": get("Low"), "MaxValue": "5"}]}
    return {
        "Name": "Tune",
        "Type": "Tuning",
        "Arguments": {
            "HyperParameterTuningJobConfig": {
                "Strategy": "Random",
                "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "auc"},
                "ResourceLimits": {"MaxNumberOfTrainingJobs": get("Jobs"), "MaxParallelTrainingJobs": 1},
                "ParameterRanges": ranges,
            },
            "TrainingJobDefinition": {
                "AlgorithmSpecification": {
                    "TrainingImage": "image",
                    "TrainingInputMode": "File",
                    "MetricDefinitions": [{"Name": "auc", "Regex": "auc=(.*)"}],
                },
                "RoleArn": "arn:aws:iam::123456789012:role/service",
                "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
                "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
                "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            },
        },
    }


def problems(*steps: Any, **given: str) -> list[tuple[str, str]]:
    parameters = [
        {"Name": "Jobs", "Type": "Integer", "DefaultValue": 2},
        {"Name": "Low", "Type": "String", "DefaultValue": "1"},
        {"Name": "Segments", "Type": "String", "DefaultValue": '["a"]'},
    ]
    document = {"Version": "2020-12-01", "Metadata": {}, "Parameters": parameters, "Steps": list(steps)}
    assert check(json.dumps(document)) == []
    definition = parse(json.dumps(document))
    return [(p.code, p.what) for p in check_values(definition, bind_parameters(definition, given))]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, []),
        ({"Jobs": "0"}, [("E246", 'parameter "Jobs": 0 is too small')]),
        ({"Low": "9"}, [("E257", 'parameter "Low": MinValue (9) is greater than MaxValue (5)')]),
        (
            {"Low": "9", "Jobs": "-1"},
            [
                ("E246", 'parameter "Jobs": -1 is too small'),
                ("E257", 'parameter "Low": MinValue (9) is greater than MaxValue (5)'),
            ],
        ),
    ],
)
def test_values_that_no_step_can_be_started_with(given: dict[str, str], expected: list[tuple[str, str]]) -> None:
    assert problems(tuning(), **given) == expected


def test_a_step_that_may_never_run_is_a_warning() -> None:
    decided = {
        "Name": "If",
        "Type": "Condition",
        "Arguments": {
            "Conditions": [{"Type": "Equals", "LeftValue": get("Jobs"), "RightValue": 1}],
            "IfSteps": [tuning()],
            "ElseSteps": [],
        },
    }
    assert problems(decided, Jobs="0") == [("W240", 'parameter "Jobs": 0 is too small')]


@pytest.mark.parametrize("text", ["north,south", "{}", "3", '["a"'])
def test_items_that_are_no_list(text: str) -> None:
    body = {
        "Name": "Do",
        "Type": "Lambda",
        "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:f",
        "Arguments": {},
    }
    each = {
        "Name": "Each",
        "Type": "ForEach",
        "Arguments": {"IterableItems": get("Segments"), "MaxConcurrency": 1, "ForEachBody": [body]},
    }
    assert problems(each) == []
    assert problems(each, Segments=text) == [("E262", f'parameter "Segments" holds no JSON list: {text}')]


@pytest.mark.parametrize(
    "path",
    sorted((Path(__file__).parents[2] / "golden" / "cases").glob("*/expected.json")),
    ids=lambda p: p.parent.name,
)
def test_defaults_that_work_are_not_refused(path: Path) -> None:
    definition = parse(path.read_bytes())
    given = {p.name: "1" if p.type != "String" else "s3://bucket/x" for p in definition.parameters if p.default is None}
    assert check_values(definition, bind_parameters(definition, given)) == []
