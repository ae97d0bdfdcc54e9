from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from mlops_sm.errors import InputError
from mlops_sm.operations import models
from mlops_sm.operations.clients import Clients
from mlops_sm.testing.aws import FakeAws

REPORT = {
    "binary_classification_metrics": {
        "auc": {"value": 0.84, "standard_deviation": "NaN"},
        "confusion_matrix": {"0": {"1": 3}},
    },
    "rows": 10,
    "fair": True,
}


def described(statistics: str) -> dict[str, Any]:
    return {
        "ModelMetrics": {"ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": statistics}}},
        "InferenceSpecification": {
            "Containers": [{"Image": "image:1", "ModelDataUrl": "s3://b/model.tar.gz"}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
    }


@pytest.fixture
def aws() -> FakeAws:
    aws = FakeAws(buckets=["reports"])
    aws.objects["reports", "evaluation.json"] = json.dumps(REPORT).encode()
    aws.objects["reports", "broken.json"] = b"{"
    aws.add_package("lending-approval", **described("s3://reports/evaluation.json"))
    aws.add_package("lending-approval", **described("s3://reports/gone.json"))
    aws.add_package("other", **described("s3://reports/broken.json"))
    aws.add_package("not-lending-approval")
    return aws


def test_list_is_newest_first_with_metrics(aws: FakeAws) -> None:
    found = models.list_packages(Clients(aws.client), prefix="lending")
    assert [(p.name, p.metrics) for p in found] == [
        ("lending-approval/2", None),
        ("lending-approval/1", {"auc": 0.84, "confusion_matrix.0.1": 3.0, "rows": 10.0}),
    ]
    assert found[1].model_data == ("s3://b/model.tar.gz",)
    assert found[1].images == ("image:1",)
    assert found[1].metrics_uri == "s3://reports/evaluation.json"


def test_list_of_a_group_and_of_everything(aws: FakeAws) -> None:
    clients = Clients(aws.client)
    assert [p.name for p in models.list_packages(clients, group="other")] == ["other/1"]
    assert [p.name for p in models.list_packages(clients, limit=3)] == [
        "not-lending-approval/1",
        "other/1",
        "lending-approval/2",
    ]


@pytest.mark.parametrize("content", ['{"auc": ' * 5000 + "1" + "}" * 5000, '{"auc": 1' + "0" * 400 + "}", "\xff"])
def test_a_report_that_cannot_be_read_hides_no_version(aws: FakeAws, content: str) -> None:
    aws.objects["reports", "bad.json"] = content.encode("latin-1")
    bias = {"Report": {"ContentType": "application/json", "S3Uri": "s3://reports/bad.json"}}
    bad = described("s3://reports/bad.json")
    aws.add_package("third", **bad | {"ModelMetrics": {**bad["ModelMetrics"], "Bias": bias}})
    [package] = models.list_packages(Clients(aws.client), group="third")
    assert package.metrics is None


def test_a_version_in_no_group_is_named_by_its_arn_and_takes_nobody_s_place(aws: FakeAws) -> None:
    found = models.read_package(Clients(aws.client), {"ModelPackageArn": "arn:aws:sagemaker:x:1:model-package/alone"})
    assert found.name == "arn:aws:sagemaker:x:1:model-package/alone"
    assert models.package_in_use(Clients(aws.client), found) is None


def test_many_versions_are_read_in_pages() -> None:
    aws = FakeAws()
    for _ in range(150):
        aws.add_package("g")
    assert len(models.list_packages(Clients(aws.client), limit=None)) == 150


def test_find_takes_arn_version_group_and_latest(aws: FakeAws) -> None:
    clients = Clients(aws.client)
    arns = list(aws.packages)
    assert models.find_package(clients, arns[0]) == arns[0]
    assert models.find_package(clients, "lending-approval/1") == arns[0]
    assert models.find_package(clients, "lending-approval") == arns[1]
    assert models.find_package(clients, "latest", prefix="lending") == arns[1]


def test_find_names_the_nearest(aws: FakeAws) -> None:
    with pytest.raises(InputError) as caught:
        models.find_package(Clients(aws.client), "lending-aproval/1")
    (problem,) = caught.value.problems
    assert problem.code == "E113"
    assert "lending-approval/1" in problem.fix


@pytest.fixture
def moto_clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clients]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        session = boto3.Session(region_name="us-east-1")
        session.client("s3").create_bucket(Bucket="reports")
        session.client("s3").put_object(Bucket="reports", Key="evaluation.json", Body=json.dumps(REPORT).encode())
        session.client("sagemaker").create_model_package_group(ModelPackageGroupName="lending-approval")
        session.client("sagemaker").create_model_package(
            ModelPackageGroupName="lending-approval",
            ModelApprovalStatus="PendingManualApproval",
            **described("s3://reports/evaluation.json"),
        )
        yield Clients(session.client)


def test_against_moto(moto_clients: Clients) -> None:
    (package,) = models.list_packages(moto_clients, prefix="lending")
    assert (package.name, package.approval) == ("lending-approval/1", "PendingManualApproval")
    assert package.metrics is not None
    assert package.metrics["auc"] == 0.84
    assert models.find_package(moto_clients, "latest") == package.arn
