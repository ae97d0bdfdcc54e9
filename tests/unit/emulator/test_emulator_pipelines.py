"""CreatePipeline, UpdatePipeline, DescribePipeline, DeletePipeline, ListPipelines.

Texts and codes: botocore's service model (modelled errors), and what callers of the real service match on: the
SageMaker
SDK's Pipeline.upsert ("Pipeline names must be unique within an AWS account and region"), moto's copies of AWS's answers
("Either Pipeline Definition or ..."), error reports quoted in public repositories ("Unable to parse pipeline
definition").
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::123456789012:role/execution"
ARN = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/"


def test_a_pipeline_is_described_as_it_was_created(account: Any, make: Any) -> None:
    text = make.definition(make.fail())
    created = account.sagemaker.create_pipeline(
        PipelineName="Lending-Build",
        PipelineDisplayName="Lending",
        PipelineDescription="builds",
        PipelineDefinition=text,
        RoleArn=ROLE,
        ParallelismConfiguration={"MaxParallelExecutionSteps": 3},
        Tags=[{"Key": "team", "Value": "risk"}],
    )
    assert created["PipelineArn"] == f"{ARN}Lending-Build"
    described = account.sagemaker.describe_pipeline(PipelineName="Lending-Build")
    assert described["PipelineDefinition"] == text
    assert described["PipelineDisplayName"] == "Lending"
    assert described["PipelineDescription"] == "builds"
    assert described["RoleArn"] == ROLE
    assert described["PipelineStatus"] == "Active"
    assert described["ParallelismConfiguration"] == {"MaxParallelExecutionSteps": 3}
    assert described["CreationTime"] == described["LastModifiedTime"]
    assert "LastRunTime" not in described
    tags = account.sagemaker.list_tags(ResourceArn=created["PipelineArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "risk"}]


def test_an_arn_stands_for_the_name(account: Any, make: Any) -> None:
    arn = account.create_pipeline("p", make.fail())
    assert account.sagemaker.describe_pipeline(PipelineName=arn)["PipelineName"] == "p"


def test_a_taken_name_is_refused_in_the_words_that_upsert_looks_for(account: Any, make: Any) -> None:
    account.create_pipeline("p", make.fail())
    with pytest.raises(ClientError) as refused:
        account.create_pipeline("p", make.fail())
    error = refused.value.response["Error"]
    assert error["Code"] == "ValidationException"
    assert error["Message"] == (
        "Pipeline names must be unique within an AWS account and region. Pipeline with name (p) already exists."
    )


def test_a_token_is_not_answered_with_a_pipeline_that_is_gone(account: Any, make: Any) -> None:
    """Not documented; a repeated answer about what is no more would acknowledge something that is not there."""
    token = "t" * 32
    for _ in range(2):
        account.create_pipeline("p", make.fail(), ClientRequestToken=token)
        started = account.sagemaker.start_pipeline_execution(PipelineName="p", ClientRequestToken=token)
        account.execution_end(started["PipelineExecutionArn"])
        account.sagemaker.delete_pipeline(PipelineName="p", ClientRequestToken=token)
        assert account.sagemaker.list_pipelines()["PipelineSummaries"] == []


def test_the_same_token_creates_one_pipeline(account: Any, make: Any) -> None:
    token = "t" * 32
    first = account.create_pipeline("p", make.fail(), ClientRequestToken=token)
    assert account.create_pipeline("p", make.fail(), ClientRequestToken=token) == first
    with pytest.raises(ClientError, match="ConflictException"):
        account.create_pipeline("other", make.fail(), ClientRequestToken=token)


def test_every_error_of_a_definition_is_named_and_nothing_is_created(account: Any, make: Any) -> None:
    wrong = make.processing("A", "s3://emulator-tests/code/a.py", DependsOn=["Nobody"])
    wrong["Arguments"]["ProcessingInputs"][0]["S3Input"]["S3InputMode"] = "FastFile"
    with pytest.raises(ClientError) as refused:
        account.create_pipeline("p", wrong)
    message = refused.value.response["Error"]["Message"]
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert message.startswith("Unable to parse pipeline definition. Model Validation failed: ")
    assert "FastFile" in message
    assert "Nobody" in message
    assert account.sagemaker.list_pipelines()["PipelineSummaries"] == []


@pytest.mark.parametrize("text", ["not json", "[]", '{"Version": "2020-12-01"}', "{", "\u00e9\u00e8"])
def test_a_definition_that_is_none_is_refused(account: Any, text: str) -> None:
    with pytest.raises(ClientError, match=r"ValidationException.*Unable to parse pipeline definition"):
        account.sagemaker.create_pipeline(PipelineName="p", PipelineDefinition=text, RoleArn=ROLE)


def test_neither_definition_nor_location(account: Any) -> None:
    with pytest.raises(ClientError, match="Either Pipeline Definition or Pipeline Definition S3 location"):
        account.sagemaker.create_pipeline(PipelineName="p", RoleArn=ROLE)


def test_both_definition_and_location(account: Any, make: Any) -> None:
    with pytest.raises(ClientError, match="Both Pipeline Definition and Pipeline Definition S3 Location"):
        account.create_pipeline(
            "p", make.fail(), PipelineDefinitionS3Location={"Bucket": account.bucket, "ObjectKey": "d.json"}
        )


def test_a_definition_in_s3_is_described_as_the_same_text(account: Any, make: Any) -> None:
    text = json.dumps(json.loads(make.definition(make.fail())), indent=3)
    account.put("d.json", text)
    location = {"Bucket": account.bucket, "ObjectKey": "d.json"}
    account.sagemaker.create_pipeline(PipelineName="p", PipelineDefinitionS3Location=location, RoleArn=ROLE)
    assert account.sagemaker.describe_pipeline(PipelineName="p")["PipelineDefinition"] == text


def test_a_version_of_the_object_can_be_named(account: Any, make: Any) -> None:
    texts = [make.definition(make.fail(message=word)) for word in ("old", "new")]
    old, _ = (
        account.s3.put_object(Bucket=account.bucket, Key="d.json", Body=text.encode())["VersionId"] for text in texts
    )
    location = {"Bucket": account.bucket, "ObjectKey": "d.json", "VersionId": old}
    account.sagemaker.create_pipeline(PipelineName="p", PipelineDefinitionS3Location=location, RoleArn=ROLE)
    assert account.sagemaker.describe_pipeline(PipelineName="p")["PipelineDefinition"] == texts[0]


def test_a_location_without_an_object(account: Any) -> None:
    location = {"Bucket": account.bucket, "ObjectKey": "nothing.json"}
    with pytest.raises(ClientError, match=r"ValidationException.*nothing\.json.*NoSuchKey"):
        account.sagemaker.create_pipeline(PipelineName="p", PipelineDefinitionS3Location=location, RoleArn=ROLE)


def test_an_update_leaves_what_it_does_not_name_and_makes_a_version(account: Any, make: Any) -> None:
    account.create_pipeline("p", make.fail(message="one"), PipelineDescription="first")
    text = make.definition(make.fail(message="two"))
    updated = account.sagemaker.update_pipeline(PipelineName="p", PipelineDefinition=text)
    assert updated == {**updated, "PipelineArn": f"{ARN}p", "PipelineVersionId": 2}
    latest = account.sagemaker.describe_pipeline(PipelineName="p")
    assert latest["PipelineDefinition"] == text
    assert latest["PipelineDescription"] == "first"
    assert latest["LastModifiedTime"] > latest["CreationTime"]
    first = account.sagemaker.describe_pipeline(PipelineName="p", PipelineVersionId=1)
    assert json.loads(first["PipelineDefinition"])["Steps"][0]["Arguments"]["ErrorMessage"] == "one"


def test_an_update_without_a_definition_makes_no_version(account: Any, make: Any) -> None:
    account.create_pipeline("p", make.fail())
    updated = account.sagemaker.update_pipeline(PipelineName="p", PipelineDescription="new")
    assert updated["PipelineVersionId"] == 1
    assert account.sagemaker.describe_pipeline(PipelineName="p")["PipelineDescription"] == "new"


def test_an_update_with_a_wrong_definition_changes_nothing(account: Any, make: Any) -> None:
    account.create_pipeline("p", make.fail(), PipelineDescription="first")
    with pytest.raises(ClientError, match="ValidationException"):
        account.sagemaker.update_pipeline(PipelineName="p", PipelineDefinition="{}", PipelineDescription="new")
    assert account.sagemaker.describe_pipeline(PipelineName="p")["PipelineDescription"] == "first"


@pytest.mark.parametrize("operation", ["describe_pipeline", "update_pipeline", "delete_pipeline"])
def test_a_pipeline_that_does_not_exist(account: Any, operation: str) -> None:
    with pytest.raises(account.sagemaker.exceptions.ResourceNotFound, match=f"Pipeline '{ARN}nobody' does not exist"):
        getattr(account.sagemaker, operation)(PipelineName="nobody")


def test_a_version_that_does_not_exist(account: Any, make: Any) -> None:
    account.create_pipeline("p", make.fail())
    with pytest.raises(account.sagemaker.exceptions.ResourceNotFound, match="Version 7"):
        account.sagemaker.describe_pipeline(PipelineName="p", PipelineVersionId=7)


def test_a_deleted_pipeline_takes_its_executions_along(account: Any, make: Any) -> None:
    arn = account.create_pipeline("p", make.fail())
    execution = account.sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    account.execution_end(execution)
    assert account.sagemaker.delete_pipeline(PipelineName="p")["PipelineArn"] == arn
    with pytest.raises(account.sagemaker.exceptions.ResourceNotFound):
        account.sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution)
    account.create_pipeline("p", make.fail())
    assert account.sagemaker.list_pipeline_executions(PipelineName="p")["PipelineExecutionSummaries"] == []


def test_a_running_pipeline_is_not_deleted(account: Any, make: Any) -> None:
    account.create_pipeline("p", make.processing("Wait", account.put("code/wait.py", "import time\ntime.sleep(600)")))
    execution = account.sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    with pytest.raises(account.sagemaker.exceptions.ConflictException, match="running executions"):
        account.sagemaker.delete_pipeline(PipelineName="p")
    account.sagemaker.stop_pipeline_execution(PipelineExecutionArn=execution)
    assert account.execution_end(execution)["PipelineExecutionStatus"] == "Stopped"
    account.sagemaker.delete_pipeline(PipelineName="p")


def test_lists_are_filtered_sorted_and_paged(open_account: Any, make: Any, clock: Any) -> None:
    account = open_account(clock=clock)
    for name in ("build-b", "build-a", "deploy-a"):
        account.create_pipeline(name, make.fail())

    def names(**request: Any) -> list[str]:
        pages = account.sagemaker.get_paginator("list_pipelines").paginate(**request)
        return [summary["PipelineName"] for page in pages for summary in page["PipelineSummaries"]]

    assert names() == ["deploy-a", "build-a", "build-b"]
    assert names(SortOrder="Ascending") == ["build-b", "build-a", "deploy-a"]
    assert names(SortBy="Name", SortOrder="Ascending", MaxResults=1) == ["build-a", "build-b", "deploy-a"]
    assert names(PipelineNamePrefix="build", SortBy="Name", SortOrder="Descending") == ["build-b", "build-a"]
    second = account.sagemaker.describe_pipeline(PipelineName="build-a")["CreationTime"]
    assert names(CreatedAfter=second) == ["deploy-a"]
    assert names(CreatedBefore=second) == ["build-b"]


def test_a_summary_shows_when_the_pipeline_last_ran(account: Any, make: Any) -> None:
    account.create_pipeline("p", make.fail())
    before = time.time()
    execution = account.sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    started = account.execution_end(execution)["CreationTime"]
    assert started.timestamp() >= round(before, 3) - 0.001
    assert account.sagemaker.list_pipelines()["PipelineSummaries"][0]["LastExecutionTime"] == started
    assert account.sagemaker.describe_pipeline(PipelineName="p")["LastRunTime"] == started


@pytest.mark.parametrize("name", ["büild", "a b", "-a", "a_b", "建"])
def test_a_name_that_breaks_the_pattern(account: Any, make: Any, name: str) -> None:
    with pytest.raises(ClientError) as refused:
        account.create_pipeline(name, make.fail())
    error = refused.value.response["Error"]
    assert error["Code"] == "ValidationException"
    assert f"Value '{name}' at 'pipelineName' failed to satisfy constraint" in error["Message"]
    assert "Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,255}" in error["Message"]


def test_a_definition_of_a_megabyte(account: Any, make: Any) -> None:
    """API reference, CreatePipeline: at most 1048576 characters."""
    steps = [make.processing(f"S{number}", "s3://emulator-tests/code/a.py") for number in range(40)]
    text = make.definition(*steps)
    most = text + " " * (1_048_576 - len(text))
    account.sagemaker.create_pipeline(PipelineName="big", PipelineDefinition=most, RoleArn=account.role)
    assert account.sagemaker.describe_pipeline(PipelineName="big")["PipelineDefinition"] == most
    with pytest.raises(ClientError, match="length less than or equal to 1048576"):
        account.sagemaker.create_pipeline(PipelineName="more", PipelineDefinition=most + " ", RoleArn=account.role)
    with pytest.raises(ClientError, match="does not exist"):
        account.sagemaker.describe_pipeline(PipelineName="more")
