"""The Resource Groups Tagging API about SageMaker's resources. Rules: its API reference."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError


@pytest.fixture
def tagging(account: Any) -> Any:
    for name, team in (("a", "red"), ("b", "blue"), ("c", "red")):
        account.sagemaker.create_experiment(ExperimentName=name, Tags=[{"Key": "team", "Value": team}])
    account.sagemaker.create_model_package_group(
        ModelPackageGroupName="g", Tags=[{"Key": "team", "Value": "red"}, {"Key": "k", "Value": "v"}]
    )
    account.sagemaker.create_experiment(ExperimentName="untagged")
    return account.local.client("resourcegroupstaggingapi")


def found(answer: dict[str, Any]) -> list[str]:
    return [each["ResourceARN"].split(":")[-1] for each in answer["ResourceTagMappingList"]]


def test_resources_by_type_and_tags(tagging: Any) -> None:
    get = tagging.get_resources
    everything = get(ResourceTypeFilters=["sagemaker"])
    assert found(everything) == ["experiment/a", "experiment/b", "experiment/c", "model-package-group/g"]
    assert everything["ResourceTagMappingList"][3]["Tags"] == [
        {"Key": "team", "Value": "red"},
        {"Key": "k", "Value": "v"},
    ]
    assert found(get(ResourceTypeFilters=["sagemaker:model-package-group"])) == ["model-package-group/g"]
    red, keyed = {"Key": "team", "Values": ["red", "green"]}, {"Key": "k"}
    assert found(get(ResourceTypeFilters=["sagemaker:experiment"], TagFilters=[red])) == [
        "experiment/a",
        "experiment/c",
    ]
    assert found(get(ResourceTypeFilters=["sagemaker"], TagFilters=[red, keyed])) == ["model-package-group/g"]


def test_resources_by_arn(tagging: Any) -> None:
    arn = "arn:aws:sagemaker:us-east-1:123456789012:experiment/"
    assert found(tagging.get_resources(ResourceARNList=[f"{arn}b", f"{arn}nobody"])) == ["experiment/b"]
    with pytest.raises(ClientError, match=r"InvalidParameterException.*together with TagFilters"):
        tagging.get_resources(ResourceARNList=[f"{arn}b"], TagFilters=[{"Key": "team"}])


def test_pages(tagging: Any) -> None:
    pages = tagging.get_paginator("get_resources").paginate(ResourceTypeFilters=["sagemaker"], ResourcesPerPage=3)
    assert [len(page["ResourceTagMappingList"]) for page in pages] == [3, 1]
    with pytest.raises(ClientError, match="PaginationTokenExpiredException"):
        tagging.get_resources(ResourceTypeFilters=["sagemaker"], PaginationToken="\x80")
    with pytest.raises(ClientError, match="InvalidParameterException"):
        tagging.get_resources(ResourceTypeFilters=["sagemaker"], ResourcesPerPage=101)


def test_other_services_are_motos(account: Any, tagging: Any) -> None:
    account.s3.put_bucket_tagging(Bucket=account.bucket, Tagging={"TagSet": [{"Key": "team", "Value": "red"}]})
    answer = tagging.get_resources(ResourceTypeFilters=["s3"])
    assert [each["ResourceARN"] for each in answer["ResourceTagMappingList"]] == ["arn:aws:s3:::emulator-tests"]


def test_resources_are_tagged_and_untagged(account: Any, tagging: Any) -> None:
    arn = "arn:aws:sagemaker:us-east-1:123456789012:experiment/"
    told = tagging.tag_resources(ResourceARNList=[f"{arn}a", f"{arn}nobody"], Tags={"team": "green", "new": "1"})
    (failed,) = told["FailedResourcesMap"].items()
    assert (failed[0], failed[1]["StatusCode"], failed[1]["ErrorCode"]) == (
        f"{arn}nobody",
        400,
        "InvalidParameterException",
    )
    assert account.sagemaker.list_tags(ResourceArn=f"{arn}a")["Tags"] == [
        {"Key": "team", "Value": "green"},
        {"Key": "new", "Value": "1"},
    ]
    assert tagging.untag_resources(ResourceARNList=[f"{arn}a"], TagKeys=["team"])["FailedResourcesMap"] == {}
    assert account.sagemaker.list_tags(ResourceArn=f"{arn}a")["Tags"] == [{"Key": "new", "Value": "1"}]


def test_ours_and_others_are_tagged_one_by_one(tagging: Any) -> None:
    arns = ["arn:aws:sagemaker:us-east-1:123456789012:experiment/a", "arn:aws:s3:::emulator-tests"]
    with pytest.raises(ClientError, match=r"InvalidParameterException.*one by one"):
        tagging.tag_resources(ResourceARNList=arns, Tags={"a": "1"})


def test_ours_come_after_all_others(account: Any, tagging: Any) -> None:
    for name in ("one", "two"):
        account.s3.create_bucket(Bucket=f"tagged-{name}")
        account.s3.put_bucket_tagging(Bucket=f"tagged-{name}", Tagging={"TagSet": [{"Key": "team", "Value": "red"}]})
    red = {"TagFilters": [{"Key": "team", "Values": ["red"]}]}
    wanted = ["tagged-one", "tagged-two", "experiment/a", "experiment/c", "model-package-group/g"]
    assert found(tagging.get_resources(**red)) == wanted
    assert found(tagging.get_resources(ResourceTypeFilters=["s3", "sagemaker"], **red)) == wanted
    for size in (1, 2, 3, 5):
        pages = tagging.get_paginator("get_resources").paginate(ResourcesPerPage=size, **red)
        shown = [found(page) for page in pages]
        assert [name for page in shown for name in page] == wanted
        assert all(len(page) <= size for page in shown)
