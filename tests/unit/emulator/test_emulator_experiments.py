"""Experiments, trials and trial components. Rules: SageMaker API reference of the operations."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError


@pytest.fixture
def sagemaker(account: Any) -> Any:
    account.sagemaker.create_experiment(ExperimentName="Exp", Description="d", Tags=[{"Key": "k", "Value": "v"}])
    account.sagemaker.create_trial(TrialName="Trial-1", ExperimentName="exp")
    return account.sagemaker


def names(answer: dict[str, Any], member: str) -> list[str]:
    (summaries,) = (value for name, value in answer.items() if name.endswith("Summaries"))
    return [summary[member] for summary in summaries]


def test_an_experiment(sagemaker: Any) -> None:
    described = sagemaker.describe_experiment(ExperimentName="EXP")
    assert described["ExperimentArn"] == "arn:aws:sagemaker:us-east-1:123456789012:experiment/exp"
    assert (described["ExperimentName"], described["DisplayName"]) == ("Exp", "Exp")
    sagemaker.update_experiment(ExperimentName="Exp", DisplayName="Shown")
    described = sagemaker.describe_experiment(ExperimentName="Exp")
    assert (described["DisplayName"], described["Description"]) == ("Shown", "d")
    assert sagemaker.list_tags(ResourceArn=described["ExperimentArn"])["Tags"] == [{"Key": "k", "Value": "v"}]


def test_a_name_exists_once_whatever_its_case(sagemaker: Any) -> None:
    for call, request in (
        ("create_experiment", {"ExperimentName": "EXP"}),
        ("create_trial", {"TrialName": "trial-1", "ExperimentName": "Exp"}),
    ):
        with pytest.raises(ClientError, match=r"ValidationException.*already exists"):
            getattr(sagemaker, call)(**request)


def test_a_trial(sagemaker: Any) -> None:
    described = sagemaker.describe_trial(TrialName="Trial-1")
    assert described["ExperimentName"] == "Exp"
    sagemaker.update_trial(TrialName="Trial-1", DisplayName="Shown")
    assert sagemaker.describe_trial(TrialName="Trial-1")["DisplayName"] == "Shown"
    with pytest.raises(sagemaker.exceptions.ResourceNotFound, match="experiment/none does not exist"):
        sagemaker.create_trial(TrialName="t", ExperimentName="none")


def test_what_is_in_use_is_not_deleted(sagemaker: Any) -> None:
    sagemaker.create_trial_component(TrialComponentName="c")
    sagemaker.associate_trial_component(TrialComponentName="c", TrialName="Trial-1")
    sagemaker.associate_trial_component(TrialComponentName="c", TrialName="Trial-1")
    for call, request in (
        ("delete_experiment", {"ExperimentName": "Exp"}),
        ("delete_trial", {"TrialName": "Trial-1"}),
        ("delete_trial_component", {"TrialComponentName": "c"}),
    ):
        with pytest.raises(ClientError, match="ValidationException"):
            getattr(sagemaker, call)(**request)
    sagemaker.disassociate_trial_component(TrialComponentName="c", TrialName="Trial-1")
    with pytest.raises(sagemaker.exceptions.ResourceNotFound, match="is not associated"):
        sagemaker.disassociate_trial_component(TrialComponentName="c", TrialName="Trial-1")
    sagemaker.delete_trial_component(TrialComponentName="c")
    sagemaker.delete_trial(TrialName="Trial-1")
    assert sagemaker.delete_experiment(ExperimentName="Exp")["ExperimentArn"].endswith("/exp")
    assert sagemaker.list_experiments()["ExperimentSummaries"] == []


def test_what_does_not_exist(sagemaker: Any) -> None:
    sagemaker.create_trial_component(TrialComponentName="c")
    for call, request in (
        ("describe_experiment", {"ExperimentName": "x"}),
        ("update_experiment", {"ExperimentName": "x"}),
        ("delete_experiment", {"ExperimentName": "x"}),
        ("describe_trial", {"TrialName": "x"}),
        ("update_trial", {"TrialName": "x"}),
        ("delete_trial", {"TrialName": "x"}),
        ("describe_trial_component", {"TrialComponentName": "x"}),
        ("update_trial_component", {"TrialComponentName": "x"}),
        ("delete_trial_component", {"TrialComponentName": "x"}),
        ("list_trials", {"ExperimentName": "x"}),
        ("list_trial_components", {"TrialName": "x"}),
        ("associate_trial_component", {"TrialComponentName": "c", "TrialName": "x"}),
        ("associate_trial_component", {"TrialComponentName": "x", "TrialName": "Trial-1"}),
    ):
        with pytest.raises(sagemaker.exceptions.ResourceNotFound, match="does not exist"):
            getattr(sagemaker, call)(**request)


def test_a_component_is_described_as_it_was_made(sagemaker: Any) -> None:
    sagemaker.create_trial_component(
        TrialComponentName="c",
        Status={"PrimaryStatus": "InProgress", "Message": "m"},
        Parameters={"lr": {"NumberValue": 0.1}, "loss": {"StringValue": "mse"}},
        InputArtifacts={"data": {"MediaType": "text/csv", "Value": "s3://b/x"}},
    )
    described = sagemaker.describe_trial_component(TrialComponentName="C")
    assert described["Parameters"] == {"lr": {"NumberValue": 0.1}, "loss": {"StringValue": "mse"}}
    assert described["InputArtifacts"] == {"data": {"MediaType": "text/csv", "Value": "s3://b/x"}}
    assert described["Status"] == {"PrimaryStatus": "InProgress", "Message": "m"}
    assert described["Metrics"] == []
    assert sagemaker.describe_trial_component(TrialComponentName=described["TrialComponentArn"])["DisplayName"] == "c"


def test_maps_of_a_component_are_merged_and_entries_removed(sagemaker: Any) -> None:
    sagemaker.create_trial_component(
        TrialComponentName="c",
        Parameters={"a": {"NumberValue": 1}, "b": {"NumberValue": 2}},
        OutputArtifacts={"o": {"Value": "s3://b/o"}},
    )
    sagemaker.update_trial_component(
        TrialComponentName="c",
        DisplayName="shown",
        Parameters={"b": {"NumberValue": 3}, "c": {"StringValue": "x"}},
        ParametersToRemove=["a", "never"],
        InputArtifacts={"i": {"Value": "s3://b/i"}},
        OutputArtifactsToRemove=["o"],
    )
    described = sagemaker.describe_trial_component(TrialComponentName="c")
    assert described["Parameters"] == {"b": {"NumberValue": 3.0}, "c": {"StringValue": "x"}}
    assert described["InputArtifacts"] == {"i": {"Value": "s3://b/i"}}
    assert "OutputArtifacts" not in described
    assert described["DisplayName"] == "shown"


def test_a_parameter_is_a_number_or_a_string(sagemaker: Any) -> None:
    with pytest.raises(ClientError, match=r"ValidationException.*exactly one"):
        sagemaker.create_trial_component(
            TrialComponentName="c", Parameters={"a": {"NumberValue": 1, "StringValue": "x"}}
        )


def test_maps_have_limits(sagemaker: Any) -> None:
    many = {f"p{number}": {"NumberValue": number} for number in range(300)}
    sagemaker.create_trial_component(TrialComponentName="c", Parameters=many)
    with pytest.raises(ClientError, match=r"ValidationException.*301 entries; the limit is 300"):
        sagemaker.update_trial_component(TrialComponentName="c", Parameters={"one-more": {"NumberValue": 1}})


def test_lists_of_trials_and_components(sagemaker: Any) -> None:
    sagemaker.create_experiment(ExperimentName="other")
    sagemaker.create_trial(TrialName="t2", ExperimentName="other")
    sagemaker.create_trial(TrialName="t3", ExperimentName="other")
    for name, trial in (("c1", "Trial-1"), ("c2", "t2"), ("c3", "t2")):
        sagemaker.create_trial_component(TrialComponentName=name)
        sagemaker.associate_trial_component(TrialComponentName=name, TrialName=trial)
    sagemaker.associate_trial_component(TrialComponentName="c2", TrialName="t3")
    assert names(sagemaker.list_experiments(), "ExperimentName") == ["other", "Exp"]
    assert names(sagemaker.list_experiments(SortBy="Name", SortOrder="Ascending"), "ExperimentName") == ["Exp", "other"]
    assert names(sagemaker.list_trials(ExperimentName="OTHER"), "TrialName") == ["t3", "t2"]
    assert names(sagemaker.list_trials(TrialComponentName="c2"), "TrialName") == ["t3", "t2"]
    assert names(sagemaker.list_trial_components(), "TrialComponentName") == ["c3", "c2", "c1"]
    assert names(sagemaker.list_trial_components(TrialName="t3"), "TrialComponentName") == ["c2"]
    # In two trials of the experiment, listed once.
    assert names(sagemaker.list_trial_components(ExperimentName="other"), "TrialComponentName") == ["c3", "c2"]
    with pytest.raises(ClientError, match=r"ValidationException.*Only one of"):
        sagemaker.list_trial_components(ExperimentName="other", TrialName="t2")
    pages = sagemaker.get_paginator("list_trial_components").paginate(PaginationConfig={"PageSize": 2})
    assert [names(page, "TrialComponentName") for page in pages] == [["c3", "c2"], ["c1"]]
