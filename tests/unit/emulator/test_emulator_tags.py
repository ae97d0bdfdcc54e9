"""AddTags, ListTags, DeleteTags on what the account holds. The limit of 50: SageMaker API reference, Tag."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError


@pytest.fixture
def arn(account: Any) -> str:
    made: str = account.sagemaker.create_model_package_group(
        ModelPackageGroupName="g", Tags=[{"Key": "a", "Value": "1"}]
    )["ModelPackageGroupArn"]
    return made


def test_tags_are_added_changed_and_taken_away(account: Any, arn: str) -> None:
    sagemaker = account.sagemaker
    added = sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "b", "Value": "2"}, {"Key": "a", "Value": "3"}])
    assert added["Tags"] == [{"Key": "a", "Value": "3"}, {"Key": "b", "Value": "2"}]
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["a", "never"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}]


def test_tags_are_paged(account: Any, arn: str) -> None:
    tags = [{"Key": f"k{number:02}", "Value": ""} for number in range(49)]
    account.sagemaker.add_tags(ResourceArn=arn, Tags=tags)
    pages = account.sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
    assert [tag["Key"] for page in pages for tag in page["Tags"]] == ["a", *(tag["Key"] for tag in tags)]


def test_more_than_fifty_are_refused_and_none_is_added(account: Any, arn: str) -> None:
    tags = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
    with pytest.raises(ClientError, match="51 tags; the limit is 50"):
        account.sagemaker.add_tags(ResourceArn=arn, Tags=tags)
    assert account.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "1"}]


def test_a_resource_that_does_not_exist(account: Any) -> None:
    nobody = "arn:aws:sagemaker:us-east-1:123456789012:model/nobody"
    calls: tuple[Callable[[], Any], ...] = (
        lambda: account.sagemaker.list_tags(ResourceArn=nobody),
        lambda: account.sagemaker.add_tags(ResourceArn=nobody, Tags=[{"Key": "a", "Value": "1"}]),
        lambda: account.sagemaker.delete_tags(ResourceArn=nobody, TagKeys=["a"]),
    )
    for call in calls:
        with pytest.raises(ClientError, match=r"ValidationException.*Could not find the resource"):
            call()


def test_the_same_key_twice(account: Any) -> None:
    with pytest.raises(ClientError, match="Duplicate tag keys"):
        account.sagemaker.create_model_package_group(
            ModelPackageGroupName="h", Tags=[{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]
        )
    assert account.sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"] == []


def test_keys_are_case_sensitive_but_given_once(account: Any, arn: str) -> None:
    tags = [{"Key": "Owner", "Value": "1"}, {"Key": "owner", "Value": "2"}]
    assert len(account.sagemaker.add_tags(ResourceArn=arn, Tags=tags)["Tags"]) == 3
    with pytest.raises(ClientError, match=r"ValidationException.*Duplicate tag keys"):
        account.sagemaker.add_tags(ResourceArn=arn, Tags=[tags[0], tags[0]])


@pytest.mark.parametrize("key", ["aws:owner", "AWS:owner"])
def test_the_prefix_of_aws_is_reserved(account: Any, arn: str, key: str) -> None:
    sagemaker, tag = account.sagemaker, {"Key": key, "Value": "1"}
    calls: tuple[Callable[[], Any], ...] = (
        lambda: sagemaker.add_tags(ResourceArn=arn, Tags=[tag]),
        lambda: sagemaker.delete_tags(ResourceArn=arn, TagKeys=[key]),
        lambda: sagemaker.create_experiment(ExperimentName="e", Tags=[tag]),
    )
    for call in calls:
        with pytest.raises(ClientError, match=r"ValidationException.*reserved for AWS"):
            call()
    assert sagemaker.list_experiments()["ExperimentSummaries"] == []


def test_everything_with_an_arn_has_tags(account: Any, make: Any) -> None:
    sagemaker = account.sagemaker
    account.create_pipeline("p", make.fail())
    sagemaker.create_model_package_group(ModelPackageGroupName="g")
    source = {"SourceUri": "u"}
    arns = [
        sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"],
        sagemaker.create_model_package(ModelPackageGroupName="g")["ModelPackageArn"],
        sagemaker.create_experiment(ExperimentName="Exp")["ExperimentArn"],
        sagemaker.create_trial(TrialName="T", ExperimentName="Exp")["TrialArn"],
        sagemaker.create_trial_component(TrialComponentName="C")["TrialComponentArn"],
        sagemaker.create_artifact(Source=source, ArtifactType="t")["ArtifactArn"],
        sagemaker.create_action(ActionName="A", Source=source, ActionType="t")["ActionArn"],
        sagemaker.create_context(ContextName="C", Source=source, ContextType="t")["ContextArn"],
        sagemaker.create_code_repository(
            CodeRepositoryName="r", GitConfig={"RepositoryUrl": "https://example.com/r.git"}
        )["CodeRepositoryArn"],
        "arn:aws:sagemaker:us-east-1:123456789012:experiment/Exp",
    ]
    for arn in arns:
        sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}])
        assert {"Key": "a", "Value": "1"} in sagemaker.list_tags(ResourceArn=arn)["Tags"]


def test_tags_go_with_their_resource(account: Any) -> None:
    tags = [{"Key": "a", "Value": "1"}]
    arn = account.sagemaker.create_experiment(ExperimentName="e", Tags=tags)["ExperimentArn"]
    account.sagemaker.delete_experiment(ExperimentName="e")
    account.sagemaker.create_experiment(ExperimentName="e")
    assert account.sagemaker.list_tags(ResourceArn=arn)["Tags"] == []
