"""Versions of pipelines and their aliases.

Rules: API reference of CreatePipeline, UpdatePipeline, UpdatePipelineVersion and AliasOperations ("An alias must be
unique within the pipeline", "can't consist of numbers only", "only when the update changes the pipeline definition").
"""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError


def code(refused: Any) -> str:
    found: str = refused.value.response["Error"]["Code"]
    return found


@pytest.fixture
def versions(account: Any, make: Any) -> Any:
    """Pipeline p with three versions; the second is prod."""
    sagemaker = account.sagemaker
    account.create_pipeline("p", make.fail("One"), PipelineVersionAliases=["first"])
    two = make.definition(make.fail("Two"))
    sagemaker.update_pipeline(PipelineName="p", PipelineDefinition=two, PipelineVersionAliases=["prod"])
    sagemaker.update_pipeline(PipelineName="p", PipelineDefinition=make.definition(make.fail("Three")))
    return account


def test_every_changed_definition_is_a_version(versions: Any) -> None:
    listed = versions.sagemaker.list_pipeline_versions(PipelineName="p")["PipelineVersionSummaries"]
    assert [each["PipelineVersionId"] for each in listed] == [3, 2, 1]
    assert [each["PipelineVersionAliases"] for each in listed] == [[], ["prod"], ["first"]]
    assert {each["PipelineArn"] for each in listed} == {"arn:aws:sagemaker:us-east-1:123456789012:pipeline/p"}
    assert "PipelineDefinition" not in listed[0]
    pages = versions.sagemaker.get_paginator("list_pipeline_versions").paginate(
        PipelineName="p", SortOrder="Ascending", MaxResults=2
    )
    assert [each["PipelineVersionId"] for page in pages for each in page["PipelineVersionSummaries"]] == [1, 2, 3]


def test_the_same_definition_again_is_no_version(versions: Any) -> None:
    sagemaker = versions.sagemaker
    same = sagemaker.describe_pipeline(PipelineName="p")["PipelineDefinition"]
    answer = sagemaker.update_pipeline(PipelineName="p", PipelineDefinition=same, PipelineDescription="new words")
    assert answer["PipelineVersionId"] == 3
    assert sagemaker.describe_pipeline(PipelineName="p")["PipelineDescription"] == "new words"
    with pytest.raises(ClientError, match="only when the pipeline definition changes") as refused:
        sagemaker.update_pipeline(PipelineName="p", PipelineDefinition=same, PipelineVersionAliases=["a"])
    assert code(refused) == "ValidationException"


def test_a_version_is_found_by_id_and_by_alias(versions: Any) -> None:
    sagemaker = versions.sagemaker
    described = sagemaker.describe_pipeline(PipelineName="p", PipelineVersionAlias="prod")
    assert "Two" in described["PipelineDefinition"]
    assert described["PipelineVersionAliases"] == ["prod"]
    assert "One" in sagemaker.describe_pipeline(PipelineName="p", PipelineVersionId=1)["PipelineDefinition"]
    latest = sagemaker.describe_pipeline(PipelineName="p")
    assert "Three" in latest["PipelineDefinition"]
    assert "PipelineVersionAliases" not in latest
    with pytest.raises(ClientError, match="can't both be specified"):
        sagemaker.describe_pipeline(PipelineName="p", PipelineVersionId=1, PipelineVersionAlias="first")
    for missing in ({"PipelineVersionId": 9}, {"PipelineVersionAlias": "nobody"}):
        with pytest.raises(sagemaker.exceptions.ResourceNotFound):
            sagemaker.describe_pipeline(PipelineName="p", **missing)


def test_an_execution_runs_the_version_of_an_alias(versions: Any) -> None:
    sagemaker = versions.sagemaker
    arn = sagemaker.start_pipeline_execution(PipelineName="p", PipelineVersionAlias="prod")["PipelineExecutionArn"]
    other = sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    described = versions.execution_end(arn)
    assert (described["PipelineVersionId"], described["PipelineVersionAliases"]) == (2, ["prod"])
    assert set(versions.steps(arn)) == {"Two"}
    versions.execution_end(other)
    listed = sagemaker.list_pipeline_executions(PipelineName="p", PipelineVersionAlias="prod")
    assert [each["PipelineExecutionArn"] for each in listed["PipelineExecutionSummaries"]] == [arn]
    assert listed["PipelineExecutionSummaries"][0]["PipelineVersionAliases"] == ["prod"]
    last = {
        each["PipelineVersionId"]: each.get("LastExecutionPipelineExecutionArn")
        for each in sagemaker.list_pipeline_versions(PipelineName="p")["PipelineVersionSummaries"]
    }
    assert last == {1: None, 2: arn, 3: other}
    for request in ({"PipelineVersionAlias": "nobody"},):
        with pytest.raises(sagemaker.exceptions.ResourceNotFound):
            sagemaker.start_pipeline_execution(PipelineName="p", **request)
        with pytest.raises(sagemaker.exceptions.ResourceNotFound):
            sagemaker.list_pipeline_executions(PipelineName="p", **request)


def test_a_version_gets_names_and_an_alias_moves(versions: Any) -> None:
    sagemaker = versions.sagemaker
    arn = sagemaker.describe_pipeline(PipelineName="p")["PipelineArn"]
    answer = sagemaker.update_pipeline_version(
        PipelineArn=arn,
        PipelineVersionId=2,
        PipelineVersionDisplayName="second",
        PipelineVersionDescription="why",
        PipelineVersionAliasOperations={"Add": ["b"], "Remove": ["prod"]},
    )
    assert (answer["PipelineArn"], answer["PipelineVersionId"]) == (arn, 2)
    sagemaker.update_pipeline_version(
        PipelineArn=arn, PipelineVersionId=3, PipelineVersionAliasOperations={"Add": ["prod"]}
    )
    second = sagemaker.describe_pipeline(PipelineName="p", PipelineVersionId=2)
    assert second["PipelineVersionDisplayName"] == "second"
    assert second["PipelineVersionDescription"] == "why"
    assert second["PipelineVersionAliases"] == ["b"]
    assert "Three" in sagemaker.describe_pipeline(PipelineName="p", PipelineVersionAlias="prod")["PipelineDefinition"]


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ({"Add": ["prod"]}, "ConflictException"),
        ({"Add": ["7"]}, "ValidationException"),
        ({"Add": ["a"], "Remove": ["a"]}, "ValidationException"),
        ({"Add": ["a", "a"]}, "ValidationException"),
        ({"Remove": ["prod"]}, "ResourceNotFound"),
        ({"Add": [f"a{number}" for number in range(10)]}, "ValidationException"),
    ],
)
def test_aliases_that_break_a_rule_change_nothing(versions: Any, operations: dict[str, Any], expected: str) -> None:
    arn = versions.sagemaker.describe_pipeline(PipelineName="p")["PipelineArn"]
    with pytest.raises(ClientError) as refused:
        versions.sagemaker.update_pipeline_version(
            PipelineArn=arn,
            PipelineVersionId=1,
            PipelineVersionDescription="never",
            PipelineVersionAliasOperations=operations,
        )
    assert code(refused) == expected
    described = versions.sagemaker.describe_pipeline(PipelineName="p", PipelineVersionId=1)
    assert described["PipelineVersionAliases"] == ["first"]
    assert "PipelineVersionDescription" not in described


def test_versions_of_what_does_not_exist(versions: Any) -> None:
    sagemaker = versions.sagemaker
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.list_pipeline_versions(PipelineName="nobody")
    arn = sagemaker.describe_pipeline(PipelineName="p")["PipelineArn"]
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.update_pipeline_version(PipelineArn=arn, PipelineVersionId=9, PipelineVersionDescription="x")


def test_a_pipeline_that_is_made_anew_begins_at_version_1(versions: Any, make: Any) -> None:
    versions.sagemaker.delete_pipeline(PipelineName="p")
    versions.create_pipeline("p", make.fail())
    listed = versions.sagemaker.list_pipeline_versions(PipelineName="p")["PipelineVersionSummaries"]
    assert [each["PipelineVersionId"] for each in listed] == [1]
