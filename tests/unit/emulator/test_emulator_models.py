"""Models, in the service's words: the SageMaker SDK matches on ``Cannot create already existing model``."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

ARN = "arn:aws:sagemaker:us-east-1:123456789012:model/"
CONTAINER = {"Image": "python:3.11", "ModelDataUrl": "s3://bucket/model.tar.gz", "Environment": {"A": "1"}}


def create(account: Any, name: str, **members: Any) -> Any:
    request = {"PrimaryContainer": CONTAINER, **members}
    return account.sagemaker.create_model(ModelName=name, ExecutionRoleArn=account.role, **request)


def test_a_model_is_described_as_it_was_created(account: Any) -> None:
    assert create(account, "m", EnableNetworkIsolation=True, Tags=[{"Key": "k", "Value": "v"}])["ModelArn"] == f"{ARN}m"
    described = account.sagemaker.describe_model(ModelName="m")
    assert described["PrimaryContainer"] == {**CONTAINER, "Mode": "SingleModel"}
    assert described["EnableNetworkIsolation"] is True
    assert described["ExecutionRoleArn"] == account.role
    assert account.sagemaker.list_tags(ResourceArn=f"{ARN}m")["Tags"] == [{"Key": "k", "Value": "v"}]


def test_a_pipeline_of_containers(account: Any) -> None:
    account.sagemaker.create_model(ModelName="m", ExecutionRoleArn=account.role, Containers=[CONTAINER, CONTAINER])
    assert len(account.sagemaker.describe_model(ModelName="m")["Containers"]) == 2


@pytest.mark.parametrize(("hosts", "words"), [(["a", "a"], "must be unique"), (["a", None], "for every container")])
def test_host_names_tell_the_containers_of_a_pipeline_apart(account: Any, hosts: list[str | None], words: str) -> None:
    containers = [CONTAINER if host is None else {**CONTAINER, "ContainerHostname": host} for host in hosts]
    with pytest.raises(ClientError, match=words) as refused:
        account.sagemaker.create_model(ModelName="m", ExecutionRoleArn=account.role, Containers=containers)
    assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_names_are_unique(account: Any) -> None:
    create(account, "m")
    with pytest.raises(ClientError) as refused:
        create(account, "m")
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert refused.value.response["Error"]["Message"] == f'Cannot create already existing model "{ARN}m".'


@pytest.mark.parametrize("containers", [{}, {"PrimaryContainer": CONTAINER, "Containers": [CONTAINER]}])
def test_containers_are_given_one_way(account: Any, containers: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        account.sagemaker.create_model(ModelName="m", ExecutionRoleArn=account.role, **containers)


def test_a_deleted_model_is_gone_with_its_tags(account: Any) -> None:
    create(account, "m", Tags=[{"Key": "k", "Value": "v"}])
    account.sagemaker.delete_model(ModelName="m")
    for operation in ("describe_model", "delete_model"):
        with pytest.raises(ClientError) as refused:
            getattr(account.sagemaker, operation)(ModelName="m")
        assert refused.value.response["Error"]["Message"] == f'Could not find model "{ARN}m".'
    create(account, "m")
    assert account.sagemaker.list_tags(ResourceArn=f"{ARN}m")["Tags"] == []


def test_models_are_listed_newest_first(account: Any) -> None:
    for name in ("b", "a", "c"):
        create(account, name)

    def names(**request: Any) -> list[str]:
        pages = account.sagemaker.get_paginator("list_models").paginate(**request)
        return [model["ModelName"] for page in pages for model in page["Models"]]

    assert names() == ["c", "a", "b"]
    assert names(SortBy="Name", SortOrder="Ascending", MaxResults=2) == ["a", "b", "c"]
    assert names(NameContains="a") == ["a"]


def test_a_model_of_a_package_that_is_there(account: Any) -> None:
    container = {"ModelPackageName": "arn:aws:sagemaker:us-east-1:123456789012:model-package/g/1"}
    request = {"ModelName": "m", "PrimaryContainer": container, "ExecutionRoleArn": account.role}
    with pytest.raises(ClientError, match=r"ModelPackage .*g/1 does not exist"):
        account.sagemaker.create_model(**request)
    account.sagemaker.create_model_package_group(ModelPackageGroupName="g")
    account.sagemaker.create_model_package(
        ModelPackageGroupName="g",
        InferenceSpecification={
            "Containers": [{"Image": "python:3.11", "ModelDataUrl": "s3://b/model.tar.gz"}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
    )
    account.sagemaker.create_model(**request)
    described = account.sagemaker.describe_model(ModelName="m")
    assert described["PrimaryContainer"] == {**container, "Mode": "SingleModel"}


def test_a_container_without_an_image(account: Any) -> None:
    with pytest.raises(ClientError, match="needs an Image or a ModelPackageName"):
        account.sagemaker.create_model(
            ModelName="m", PrimaryContainer={"ModelDataUrl": "s3://b/m.tar.gz"}, ExecutionRoleArn=account.role
        )


def test_models_are_filtered_by_name_and_time(open_account: Any, clock: Any) -> None:
    account = open_account(clock=clock)
    for name in ("one", "two", "twofold"):
        account.sagemaker.create_model(
            ModelName=name, PrimaryContainer={"Image": "python:3.11"}, ExecutionRoleArn=account.role
        )

    def names(**request: Any) -> list[str]:
        pages = account.sagemaker.get_paginator("list_models").paginate(**request)
        return [model["ModelName"] for page in pages for model in page["Models"]]

    # "The default is Descending" (API reference, ListModels).
    assert names(MaxResults=2) == ["twofold", "two", "one"]
    assert names(NameContains="two", SortBy="Name", SortOrder="Ascending") == ["two", "twofold"]
    created = account.sagemaker.describe_model(ModelName="two")["CreationTime"]
    assert (names(CreationTimeAfter=created), names(CreationTimeBefore=created)) == (["twofold"], ["one"])
