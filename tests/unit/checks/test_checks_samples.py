"""Whole definitions: clean ones pass, and one with ten faults has all ten named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from mlops_sm.checks import check

if TYPE_CHECKING:
    from conftest import Samples

TEN = [
    ("E206", 'step "Train", Steps[1].Type', '"Training"'),
    ("E213", 'parameter "MinAuc", Parameters[0].DefaultValue', "a number such as 0.5"),
    ("E225", 'step "Evaluate", Steps[2].Arguments.ProcessingInputs[1].S3Input.S3Uri', '"test"'),
    ("E223", 'step "Report", Steps[3].Arguments.ProcessingInputs[0].S3Input.S3Uri', '"Evaluate"'),
    ("E221", 'step "Report", Steps[3].Arguments.Environment.THRESHOLD.Std:Join.Values[0]', '"MinAuc"'),
    ("E230", 'step "Left", Steps[4]', "Remove one of the references"),
    ("E243", 'step "Prepare", Steps[0].Arguments.ProcessingInputs[0].S3Input.S3DataType', '"S3Prefix"'),
    ("E241", 'step "Prepare", Steps[0].Arguments', '"RoleArn"'),
    (
        "E228",
        'step "Report", Steps[3].Arguments.ProcessingResources.ClusterConfig.InstanceCount',
        "a parameter declared so",
    ),
    (
        "E252",
        'step "Evaluate", Steps[2].Arguments.ProcessingOutputConfig.Outputs[0].S3Output.LocalPath',
        "/opt/ml/processing/",
    ),
]


@pytest.mark.parametrize("name", ["sdk_v3", "sdk_v3_more", "sdk_v2", "by_hand"])
def test_definitions_of_every_author_pass(samples: Samples, name: str) -> None:
    assert check(samples.text(name)) == []


def test_bytes_and_text_are_the_same_definition(samples: Samples) -> None:
    text = samples.text("ten_faults")
    assert check(text.encode()) == check(text)


def test_exactly_the_ten_planted_faults_are_named(samples: Samples) -> None:
    problems = check(samples.text("ten_faults"))
    assert [(p.code, p.where) for p in problems] == [(code, where) for code, where, _ in TEN]
    for problem, (_, _, fix) in zip(problems, TEN, strict=True):
        assert fix in problem.fix


def test_a_step_of_unknown_type_leaves_no_dangling_references(samples: Samples) -> None:
    problems = check(samples.edited("sdk_v3", "Steps[0].Type", "Procesing"))
    assert [(p.code, p.where) for p in problems] == [("E206", 'step "Preprocess", Steps[0].Type')]


def test_a_step_without_a_name_leaves_no_dangling_references(samples: Samples) -> None:
    problems = check(samples.edited("sdk_v3", "Steps[0].Name"))
    assert [(p.code, p.where) for p in problems] == [("E204", "Steps[0]")]


def test_steps_inside_an_unreadable_condition_still_exist(samples: Samples) -> None:
    document = samples.load("sdk_v3")
    document["Steps"][6]["Type"] = "Conditon"
    document["Steps"][1]["DependsOn"] = ["CreateModel"]
    problems = check(json.dumps(document))
    assert [p.code for p in problems] == ["E206"]


def test_a_parameter_of_unknown_type_leaves_no_dangling_references(samples: Samples) -> None:
    problems = check(samples.edited("sdk_v3", "Parameters[3].Type", "Int"))
    assert [(p.code, p.where) for p in problems] == [("E206", "Parameters[3].Type")]


def test_independent_cycles_are_each_named(samples: Samples) -> None:
    document = samples.load("ten_faults")
    document["Steps"][0]["DependsOn"] = ["Prepare"]
    cycles = [p.what for p in check(json.dumps(document)) if p.code == "E230"]
    assert cycles == ['step "Prepare" waits for itself', "steps wait for each other: Left -> Right -> Left"]


def test_other_problems_are_named_beside_structural_ones(samples: Samples) -> None:
    text = samples.edited("sdk_v3", "Steps[0].Arguments.RoleArn", 5).replace('"Version"', '"Versoin"', 1)
    assert {p.code for p in check(text)} == {"E204", "E205", "E242"}
