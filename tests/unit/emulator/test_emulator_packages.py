"""The model registry.

Words: ``Model Package Group already exists`` and ``ModelPackageGroup ARN does not exist.`` as AWS answers them
(callers in
public repositories match on both; the ACK controllers for the second); ``Missing ARN.`` and ``Both ModelPackageName and
...`` were copied from AWS into moto (#7165). Versions default to PendingManualApproval (developer guide, "Model
Registration"); an update leaves what it does not name (UpdateModelPackage, API reference).
"""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

GROUP = "arn:aws:sagemaker:us-east-1:123456789012:model-package-group/"
PACKAGE = "arn:aws:sagemaker:us-east-1:123456789012:model-package/"
SPECIFICATION = {
    "Containers": [{"Image": "python:3.11", "ModelDataUrl": "s3://bucket/model.tar.gz"}],
    "SupportedContentTypes": ["text/csv"],
    "SupportedResponseMIMETypes": ["text/csv"],
}


def group(account: Any, name: str = "g", **members: Any) -> str:
    arn: str = account.sagemaker.create_model_package_group(ModelPackageGroupName=name, **members)[
        "ModelPackageGroupArn"
    ]
    return arn


def register(account: Any, name: str = "g", **members: Any) -> str:
    arn: str = account.sagemaker.create_model_package(
        ModelPackageGroupName=name, InferenceSpecification=SPECIFICATION, **members
    )["ModelPackageArn"]
    return arn


def describe(account: Any, name: str) -> Any:
    return account.sagemaker.describe_model_package(ModelPackageName=name)


def test_a_group_is_described_as_it_was_created(account: Any) -> None:
    assert group(account, ModelPackageGroupDescription="d", Tags=[{"Key": "k", "Value": "v"}]) == f"{GROUP}g"
    for name in ("g", f"{GROUP}g"):
        described = account.sagemaker.describe_model_package_group(ModelPackageGroupName=name)
        assert described["ModelPackageGroupDescription"] == "d"
        assert described["ModelPackageGroupStatus"] == "Completed"
        assert "LastVersion" not in described
    assert account.sagemaker.list_tags(ResourceArn=f"{GROUP}g")["Tags"] == [{"Key": "k", "Value": "v"}]


def test_a_group_that_exists(account: Any) -> None:
    group(account)
    with pytest.raises(ClientError, match=f"ValidationException.*Model Package Group already exists: {GROUP}g"):
        group(account)


def test_a_group_that_does_not_exist(account: Any) -> None:
    with pytest.raises(ClientError) as refused:
        account.sagemaker.describe_model_package_group(ModelPackageGroupName="nobody")
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert refused.value.response["Error"]["Message"] == f"ModelPackageGroup {GROUP}nobody does not exist."
    for call in (
        lambda: register(account, "nobody"),
        lambda: account.sagemaker.list_model_packages(ModelPackageGroupName="nobody"),
        lambda: account.sagemaker.delete_model_package_group(ModelPackageGroupName="nobody"),
    ):
        with pytest.raises(ClientError, match="does not exist"):
            call()


def test_versions_count_up_and_wait_for_approval(account: Any) -> None:
    group(account)
    assert [register(account), register(account, f"{GROUP}g")] == [f"{PACKAGE}g/1", f"{PACKAGE}g/2"]
    described = describe(account, f"{PACKAGE}g/2")
    assert described["ModelPackageGroupName"] == "g"
    assert described["ModelPackageVersion"] == 2
    assert described["ModelPackageStatus"] == "Completed"
    assert described["ModelApprovalStatus"] == "PendingManualApproval"
    assert described["InferenceSpecification"] == SPECIFICATION
    assert described["ModelPackageStatusDetails"]["ValidationStatuses"] == []
    assert "LastModifiedTime" not in described


def test_the_number_of_a_deleted_version_is_not_given_again(account: Any) -> None:
    group(account)
    account.sagemaker.delete_model_package(ModelPackageName=register(account))
    assert register(account) == f"{PACKAGE}g/2"
    with pytest.raises(ClientError, match=f"ModelPackage {PACKAGE}g/1 does not exist"):
        describe(account, f"{PACKAGE}g/1")


def test_a_token_is_not_answered_with_a_version_that_is_gone(account: Any) -> None:
    group(account)
    first = register(account, ClientToken="a" * 36)
    account.sagemaker.delete_model_package(ModelPackageName=first)
    second = register(account, ClientToken="a" * 36)
    assert account.sagemaker.describe_model_package(ModelPackageName=second)["ModelPackageVersion"] == 2


def test_the_same_token_registers_one_version(account: Any) -> None:
    group(account)
    assert register(account, ClientToken="a" * 36) == register(account, ClientToken="a" * 36)
    assert len(account.sagemaker.list_model_packages(ModelPackageGroupName="g")["ModelPackageSummaryList"]) == 1


def test_an_update_leaves_what_it_does_not_name(account: Any) -> None:
    group(account)
    metrics = {"ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": "s3://bucket/s.json"}}}
    package = register(account, ModelMetrics=metrics, CustomerMetadataProperties={"a": "1", "b": "2", "z": "9"})
    update = account.sagemaker.update_model_package
    update(ModelPackageArn=package, ModelApprovalStatus="Approved", ApprovalDescription="good")
    update(
        ModelPackageArn=package,
        CustomerMetadataProperties={"b": "3", "c": "4"},
        CustomerMetadataPropertiesToRemove=["a"],
    )
    described = describe(account, package)
    assert described["ModelApprovalStatus"] == "Approved"
    assert described["ApprovalDescription"] == "good"
    assert described["CustomerMetadataProperties"] == {"b": "3", "c": "4", "z": "9"}
    assert described["ModelMetrics"] == metrics
    assert described["InferenceSpecification"] == SPECIFICATION
    assert described["LastModifiedTime"] > described["CreationTime"]


def test_more_inference_specifications_are_added(account: Any) -> None:
    group(account)
    package = register(account)
    more = [{"Name": "edge", "Containers": [{"Image": "python:3.11", "ModelDataUrl": "s3://bucket/edge.tar.gz"}]}]
    for name in ("one", "two"):
        account.sagemaker.update_model_package(
            ModelPackageArn=package, AdditionalInferenceSpecificationsToAdd=[{**more[0], "Name": name}]
        )
    names = [entry["Name"] for entry in describe(account, package)["AdditionalInferenceSpecifications"]]
    assert names == ["one", "two"]


def test_packages_are_listed_by_group_and_approval(account: Any) -> None:
    group(account)
    group(account, "h")
    for number in range(11):
        register(account, ModelApprovalStatus="Approved" if number % 2 else "Rejected")
    register(account, "h")

    def versions(**request: Any) -> list[int]:
        pages = account.sagemaker.get_paginator("list_model_packages").paginate(**request)
        return [package["ModelPackageVersion"] for page in pages for package in page["ModelPackageSummaryList"]]

    assert versions(ModelPackageGroupName="g") == list(range(1, 12))
    assert versions(ModelPackageGroupName=f"{GROUP}g", SortOrder="Descending", MaxResults=4) == list(range(11, 0, -1))
    assert versions(ModelPackageGroupName="g", SortBy="Name", MaxResults=3) == list(range(1, 12))
    assert versions(ModelPackageGroupName="g", ModelApprovalStatus="Approved") == [2, 4, 6, 8, 10]
    assert versions(ModelPackageType="Versioned", MaxResults=5) == [*range(1, 12), 1]
    assert versions() == []
    account.sagemaker.update_model_package(ModelPackageArn=f"{PACKAGE}g/1", ModelApprovalStatus="Approved")
    assert versions(ModelPackageGroupName="g", ModelApprovalStatus="Approved") == [1, 2, 4, 6, 8, 10]


def test_a_package_without_a_group(account: Any) -> None:
    create = account.sagemaker.create_model_package
    arn = create(ModelPackageName="alone", InferenceSpecification=SPECIFICATION)["ModelPackageArn"]
    assert arn == f"{PACKAGE}alone"
    assert describe(account, "alone")["ModelPackageName"] == "alone"
    listed = account.sagemaker.list_model_packages()["ModelPackageSummaryList"]
    assert [package["ModelPackageName"] for package in listed] == ["alone"]
    with pytest.raises(account.sagemaker.exceptions.ConflictException, match="already exists"):
        create(ModelPackageName="alone", InferenceSpecification=SPECIFICATION)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({}, "Missing ARN."),
        ({"ModelPackageName": "p", "ModelPackageGroupName": "g"}, "Both ModelPackageName and ModelPackageGroupName"),
        ({"ModelPackageGroupName": "g", "Tags": [{"Key": "k", "Value": "v"}]}, "Tags are not supported"),
    ],
)
def test_a_package_is_named_one_way(account: Any, members: dict[str, Any], words: str) -> None:
    group(account)
    with pytest.raises(ClientError, match=f"ValidationException.*{words}"):
        account.sagemaker.create_model_package(**members)


def test_a_group_with_packages_is_not_deleted(account: Any) -> None:
    group(account)
    package = register(account)
    with pytest.raises(account.sagemaker.exceptions.ConflictException):
        account.sagemaker.delete_model_package_group(ModelPackageGroupName="g")
    account.sagemaker.delete_model_package(ModelPackageName=package)
    account.sagemaker.delete_model_package_group(ModelPackageGroupName="g")
    assert account.sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"] == []


def test_groups_are_listed(account: Any) -> None:
    for name in ("b", "a"):
        group(account, name)

    def names(**request: Any) -> list[str]:
        answer = account.sagemaker.list_model_package_groups(**request)
        return [entry["ModelPackageGroupName"] for entry in answer["ModelPackageGroupSummaryList"]]

    assert names() == ["b", "a"]
    assert names(SortBy="Name") == ["a", "b"]
    assert names(NameContains="a") == ["a"]
    assert names(CrossAccountFilterOption="CrossAccount") == []


def test_a_group_has_a_policy(account: Any) -> None:
    """PutModelPackageGroupPolicy and its like; the words are those that AWS's CloudFormation handlers match on."""
    sagemaker = account.sagemaker
    policy = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*"}]}'
    with pytest.raises(ClientError, match=f"ValidationException.*Cannot find Model Package Group: {GROUP}g"):
        sagemaker.put_model_package_group_policy(ModelPackageGroupName="g", ResourcePolicy=policy)
    group(account)
    for operation in (sagemaker.get_model_package_group_policy, sagemaker.delete_model_package_group_policy):
        with pytest.raises(ClientError, match=f"ValidationException.*Cannot find resource policy for: {GROUP}g"):
            operation(ModelPackageGroupName="g")
    for document in ("{", "[" * 10_000):
        with pytest.raises(ClientError, match="ResourcePolicy is not a policy"):
            sagemaker.put_model_package_group_policy(ModelPackageGroupName="g", ResourcePolicy=document)
    answer = sagemaker.put_model_package_group_policy(ModelPackageGroupName="g", ResourcePolicy=policy)
    assert answer["ModelPackageGroupArn"] == f"{GROUP}g"
    assert sagemaker.get_model_package_group_policy(ModelPackageGroupName="g")["ResourcePolicy"] == policy
    assert "ResourcePolicy" not in sagemaker.describe_model_package_group(ModelPackageGroupName="g")
    sagemaker.delete_model_package_group_policy(ModelPackageGroupName="g")
    sagemaker.put_model_package_group_policy(ModelPackageGroupName="g", ResourcePolicy=policy)
    sagemaker.delete_model_package_group(ModelPackageGroupName="g")
    group(account)
    with pytest.raises(ClientError, match="Cannot find resource policy"):
        sagemaker.get_model_package_group_policy(ModelPackageGroupName="g")


def test_versions_are_described_in_batches(account: Any) -> None:
    group(account)
    first, second = register(account), register(account, ModelApprovalStatus="Approved")
    alone = account.sagemaker.create_model_package(ModelPackageName="alone", InferenceSpecification=SPECIFICATION)
    missing = f"{PACKAGE}g/9"
    answer = account.sagemaker.batch_describe_model_package(
        ModelPackageArnList=[first, second, missing, alone["ModelPackageArn"]]
    )
    found = answer["ModelPackageSummaries"]
    assert set(found) == {first, second}
    assert found[second]["ModelApprovalStatus"] == "Approved"
    assert found[second]["ModelPackageVersion"] == 2
    assert found[first]["InferenceSpecification"]["Containers"][0]["Image"] == "python:3.11"
    errors = answer["BatchDescribeModelPackageErrorMap"]
    assert set(errors) == {missing, alone["ModelPackageArn"]}
    assert errors[missing] == {
        "ErrorCode": "ValidationException",
        "ErrorResponse": f"ModelPackage {missing} does not exist.",
    }


def test_a_card_is_merged_and_left_out_when_only_metadata_is_asked_for(account: Any) -> None:
    group(account)
    card = {"ModelCardContent": '{"model_overview": {}}', "ModelCardStatus": "Draft"}
    arn = register(account, ModelCard=card)
    account.sagemaker.update_model_package(ModelPackageArn=arn, ModelCard={"ModelCardStatus": "Approved"})
    assert describe(account, arn)["ModelCard"] == {**card, "ModelCardStatus": "Approved"}
    metadata = account.sagemaker.describe_model_package(ModelPackageName=arn, IncludedData="MetadataOnly")
    assert metadata["ModelCard"] == {"ModelCardStatus": "Approved"}
    for content in ("{", "[]", "[" * 50_000):
        with pytest.raises(ClientError, match="ModelCardContent is not"):
            register(account, ModelCard={"ModelCardContent": content})
        with pytest.raises(ClientError, match="ModelCardContent is not"):
            account.sagemaker.update_model_package(ModelPackageArn=arn, ModelCard={"ModelCardContent": content})


def test_limits_hold_for_what_updates_add(account: Any) -> None:
    group(account)
    arn = register(account, CustomerMetadataProperties={f"k{number}": "v" for number in range(50)})
    update = account.sagemaker.update_model_package
    with pytest.raises(ClientError, match="up to 50 properties"):
        update(ModelPackageArn=arn, CustomerMetadataProperties={"more": "v"})
    update(
        ModelPackageArn=arn, CustomerMetadataProperties={"more": "v"}, CustomerMetadataPropertiesToRemove=["k0", "k1"]
    )
    assert len(describe(account, arn)["CustomerMetadataProperties"]) == 49
    extra = [{"Name": f"s{number}", **SPECIFICATION} for number in range(15)]
    update(ModelPackageArn=arn, AdditionalInferenceSpecificationsToAdd=extra)
    with pytest.raises(ClientError, match="can not exceed 15"):
        update(ModelPackageArn=arn, AdditionalInferenceSpecificationsToAdd=[{"Name": "s15", **SPECIFICATION}])
    with pytest.raises(ClientError, match="must be unique: s0"):
        register(account, AdditionalInferenceSpecifications=[extra[0], extra[0]])


def test_a_life_cycle_and_a_source_are_replaced(account: Any) -> None:
    group(account)
    arn = register(account, ModelLifeCycle={"Stage": "Development", "StageStatus": "InProgress"})
    stage = {"Stage": "Production", "StageStatus": "Approved", "StageDescription": "live"}
    account.sagemaker.update_model_package(
        ModelPackageArn=arn, ModelLifeCycle=stage, SourceUri="s3://bucket/source", ApprovalDescription="good"
    )
    described = describe(account, arn)
    assert (described["ModelLifeCycle"], described["SourceUri"]) == (stage, "s3://bucket/source")
    assert described["ApprovalDescription"] == "good"
    assert described["ModelApprovalStatus"] == "PendingManualApproval"
    summary = account.sagemaker.list_model_packages(ModelPackageGroupName="g")["ModelPackageSummaryList"][0]
    assert summary["ModelLifeCycle"] == stage


def test_a_validation_that_would_run_a_transform_job_is_refused(account: Any) -> None:
    group(account)
    transform = {
        "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/in"}}},
        "TransformOutput": {"S3OutputPath": "s3://b/out"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    }
    specification = {
        "ValidationRole": account.role,
        "ValidationProfiles": [{"ProfileName": "p", "TransformJobDefinition": transform}],
    }
    with pytest.raises(ClientError, match="ValidationSpecification: not available in the local account"):
        register(account, ValidationSpecification=specification)
    arn = register(account, ValidationSpecification=specification, SkipModelValidation="All")
    assert describe(account, arn)["SkipModelValidation"] == "All"


def test_a_versions_number_is_no_part_of_its_name(account: Any) -> None:
    for name in ("lending", "loans1"):
        group(account, name)
        register(account, name)
    listed = account.sagemaker.list_model_packages(ModelPackageType="Versioned", NameContains="1")
    assert [each["ModelPackageGroupName"] for each in listed["ModelPackageSummaryList"]] == ["loans1"]


def test_a_package_is_not_in_another_region(account: Any) -> None:
    group(account)
    arn = register(account)
    elsewhere = account.local.client("sagemaker", region="eu-west-1")
    for name in (arn, "g/1"):
        with pytest.raises(ClientError, match="does not exist"):
            elsewhere.describe_model_package(ModelPackageName=name)


OTHER = "210987654321"


@pytest.fixture
def other(account: Any) -> Any:
    """SageMaker as another account calls it."""
    sts = account.local.client("sts")
    found = sts.assume_role(RoleArn=f"arn:aws:iam::{OTHER}:role/reader", RoleSessionName="test")["Credentials"]
    return boto3.client(
        "sagemaker",
        region_name="us-east-1",
        aws_access_key_id=found["AccessKeyId"],
        aws_secret_access_key=found["SecretAccessKey"],
        aws_session_token=found["SessionToken"],
    )


def test_another_account_has_nothing_of_this_one(account: Any, other: Any, make: Any) -> None:
    group(account)
    version = register(account)
    pipeline = account.create_pipeline("p", make.fail())
    execution = account.sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    account.execution_end(execution)
    for call in (
        lambda: other.describe_model_package(ModelPackageName=version),
        lambda: other.delete_model_package(ModelPackageName=version),
        lambda: other.describe_model_package_group(ModelPackageGroupName=f"{GROUP}g"),
        lambda: other.describe_pipeline(PipelineName=pipeline),
        lambda: other.start_pipeline_execution(PipelineName=pipeline),
        lambda: other.describe_pipeline_execution(PipelineExecutionArn=execution),
        lambda: other.retry_pipeline_execution(PipelineExecutionArn=execution),
        lambda: other.add_tags(ResourceArn=pipeline, Tags=[{"Key": "k", "Value": "v"}]),
    ):
        with pytest.raises(ClientError, match=r"does not exist|Could not find") as refused:
            call()
        assert refused.value.response["Error"]["Code"] in {"ValidationException", "ResourceNotFound"}
    assert other.batch_describe_model_package(ModelPackageArnList=[version])["ModelPackageSummaries"] == {}
    assert account.sagemaker.list_tags(ResourceArn=pipeline)["Tags"] == []


def test_a_group_is_shared_by_its_policy(account: Any, other: Any) -> None:
    group(account)
    version = register(account)
    versions = "arn:aws:sagemaker:us-east-1:123456789012:model-package/g/*"
    statements = [
        {"Principal": {"AWS": f"arn:aws:iam::{OTHER}:root"}, "Action": "sagemaker:DescribeModelPackageGroup"},
        {
            "Principal": {"AWS": [f"arn:aws:iam::{OTHER}:root"]},
            "Action": ["sagemaker:DescribeModelPackage", "sagemaker:ListModelPackages"],
            "Resource": versions,
        },
        {"Principal": {"AWS": "arn:aws:iam::111111111111:root"}, "Action": "sagemaker:*", "Resource": versions},
    ]
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **each} for each in statements]}
    account.sagemaker.put_model_package_group_policy(ModelPackageGroupName="g", ResourcePolicy=json.dumps(document))
    assert other.describe_model_package(ModelPackageName=version)["ModelPackageArn"] == version
    assert other.describe_model_package_group(ModelPackageGroupName=f"{GROUP}g")["ModelPackageGroupName"] == "g"
    listed = other.list_model_packages(ModelPackageGroupName=f"{GROUP}g")["ModelPackageSummaryList"]
    assert [each["ModelPackageArn"] for each in listed] == [version]
    with pytest.raises(ClientError, match="does not exist"):
        other.update_model_package(ModelPackageArn=version, ModelApprovalStatus="Approved")
    account.sagemaker.delete_model_package_group_policy(ModelPackageGroupName="g")
    with pytest.raises(ClientError, match="does not exist"):
        other.describe_model_package(ModelPackageName=version)
