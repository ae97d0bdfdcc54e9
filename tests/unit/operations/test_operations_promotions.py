"""Copies of a version for another account: what is copied, what is refused, what is not done twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest

from mlops_sm import naming
from mlops_sm.emulator import LocalAccount
from mlops_sm.errors import RefusedError
from mlops_sm.operations.approvals import authors_of
from mlops_sm.operations.clients import Clients
from mlops_sm.operations.promotions import Promotion, promote_by_copy, promote_by_reference
from mlops_sm.project import Environment

NOW = datetime(2026, 11, 24, tzinfo=UTC)
GROUP = "shop-limit"
PROD = Environment(
    name="prod",
    account="222222222222",
    region="us-east-1",
    role_arn="arn:aws:iam::222222222222:role/pipelines",
    artifact_bucket="prod-artifacts",
    data_bucket="prod-data",
    model_bucket="prod-models",
    tags={"team": "credit"},
)


def clients(account: str) -> Clients:
    session = boto3.Session(
        aws_access_key_id=naming.local_access_key(account),
        aws_secret_access_key="any",  # noqa: S106 - opens nothing anywhere
        region_name="us-east-1",
    )
    return Clients(session.client)


class Desk:
    """Two accounts, and a group in the first."""

    def __init__(self) -> None:
        self.home, self.away = clients("123456789012"), clients("222222222222")
        self.s3: Any = self.home.s3
        self.s3.create_bucket(Bucket="models")
        self.target: Any = self.away.s3
        self.target.create_bucket(Bucket="prod-models")
        self.home.sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)

    def register(self, container: dict[str, Any], **more: Any) -> str:
        arn: str = self.home.sagemaker.create_model_package(
            ModelPackageGroupName=GROUP,
            ModelApprovalStatus="Approved",
            InferenceSpecification={
                "Containers": [container],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
            **more,
        )["ModelPackageArn"]
        return arn

    def promote(self, arn: str) -> Promotion:
        return promote_by_copy(self.home, self.away, arn, origin="dev", environment=PROD, why="release", now=NOW)

    def described(self, promotion: Promotion) -> Any:
        return self.away.sagemaker.describe_model_package(ModelPackageName=promotion.package.arn)

    def content(self, uri: str) -> bytes:
        bucket, key = naming.parse_s3_uri(uri)
        content: bytes = self.target.get_object(Bucket=bucket, Key=key)["Body"].read()
        return content


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with LocalAccount.open(tmp_path / "state"):
        yield Desk()


def test_every_artifact_and_report_is_copied_and_named_by_its_content(desk: Desk) -> None:
    for key in ("a/model.tar.gz", "b/model.tar.gz", "quality.json"):
        desk.s3.put_object(Bucket="models", Key=key, Body=key.encode())
    source = {"ContentType": "application/json", "S3Uri": "s3://models/quality.json"}
    arn = desk.register(
        {"Image": "image", "ModelDataUrl": "s3://models/a/model.tar.gz", "Environment": {"A": "s3://models/kept"}},
        ModelMetrics={"ModelQuality": {"Statistics": source}},
        DriftCheckBaselines={"ModelQuality": {"Statistics": source}},
        AdditionalInferenceSpecifications=[
            {
                "Name": "more",
                "Containers": [{"Image": "image", "ModelDataUrl": "s3://models/b/model.tar.gz"}],
            }
        ],
    )
    done = desk.promote(arn)
    assert [desk.content(each.target) for each in done.copied] == [
        b"a/model.tar.gz",
        b"b/model.tar.gz",
        b"quality.json",
    ]
    assert all(each.target.startswith(f"s3://prod-models/promoted/{GROUP}/dev-1/") for each in done.copied)
    described = desk.described(done)
    [container] = described["InferenceSpecification"]["Containers"]
    assert container["ModelDataUrl"] == done.copied[0].target
    assert container["Environment"] == {"A": "s3://models/kept"}
    assert described["DriftCheckBaselines"]["ModelQuality"]["Statistics"]["S3Uri"] == done.copied[2].target
    group = desk.away.sagemaker.describe_model_package_group(ModelPackageGroupName=GROUP)
    tags = desk.away.sagemaker.list_tags(ResourceArn=group["ModelPackageGroupArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "credit"}]


def test_an_artifact_that_is_a_folder_is_copied_as_one(desk: Desk) -> None:
    for key in ("tree/config.json", "tree/weights/1.bin", "tree-two/other"):
        desk.s3.put_object(Bucket="models", Key=key, Body=key.encode())
    data = {"S3Uri": "s3://models/tree/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    done = desk.promote(desk.register({"Image": "image", "ModelDataSource": {"S3DataSource": data}}))
    [container] = desk.described(done)["InferenceSpecification"]["Containers"]
    folder = container["ModelDataSource"]["S3DataSource"]["S3Uri"]
    assert [each.target.removeprefix(folder) for each in done.copied] == ["config.json", "weights/1.bin"]
    assert desk.content(f"{folder}weights/1.bin") == b"tree/weights/1.bin"


def test_a_folder_that_has_changed_takes_nothing_away_and_an_empty_one_is_refused(desk: Desk) -> None:
    desk.s3.put_object(Bucket="models", Key="tree/weights.bin", Body=b"one")
    data = {"S3Uri": "s3://models/tree/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    report = {"ContentType": "any", "S3Uri": "s3://models/tree/weights.bin"}
    arn = desk.register(
        {"Image": "image", "ModelDataSource": {"S3DataSource": data}},
        ModelMetrics={"ModelQuality": {"Statistics": report}},
    )
    contents = []
    for content in (b"one", b"two"):
        desk.s3.put_object(Bucket="models", Key="tree/weights.bin", Body=content)
        [container] = desk.described(desk.promote(arn))["InferenceSpecification"]["Containers"]
        contents.append((container["ModelDataSource"]["S3DataSource"]["S3Uri"], content))
    assert [desk.content(f"{folder}weights.bin") for folder, _ in contents] == [content for _, content in contents]
    desk.s3.delete_object(Bucket="models", Key="tree/weights.bin")
    with pytest.raises(RefusedError, match=r"E148.*it is not there"):
        desk.promote(arn)


def test_the_same_is_not_registered_twice_and_a_changed_artifact_takes_nothing_away(desk: Desk) -> None:
    desk.s3.put_object(Bucket="models", Key="model.tar.gz", Body=b"one")
    arn = desk.register({"Image": "image", "ModelDataUrl": "s3://models/model.tar.gz"})
    first, second = desk.promote(arn), desk.promote(arn)
    assert (first.existing, second.existing) == (False, True)
    assert second.package.arn == first.package.arn
    desk.s3.put_object(Bucket="models", Key="model.tar.gz", Body=b"two")
    third = desk.promote(arn)
    assert (third.existing, third.package.version) == (False, 2)
    assert [desk.content(p.package.model_data[0]) for p in (first, third)] == [b"one", b"two"]


def test_what_cannot_be_copied_registers_nothing(desk: Desk) -> None:
    arn = desk.register({"Image": "image", "ModelDataUrl": "s3://models/gone.tar.gz"})
    with pytest.raises(RefusedError, match=r"E148.*it is not there"):
        desk.promote(arn)
    desk.s3.put_object(Bucket="models", Key="gone.tar.gz", Body=b"back")
    pending = desk.register({"Image": "image", "ModelDataUrl": "s3://models/gone.tar.gz"})
    desk.home.sagemaker.update_model_package(ModelPackageArn=pending, ModelApprovalStatus="Rejected")
    with pytest.raises(RefusedError, match="it is Rejected, not Approved"):
        desk.promote(pending)
    assert desk.away.sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"] == []


def test_a_copy_that_holds_something_else_is_refused(desk: Desk) -> None:
    desk.s3.put_object(Bucket="models", Key="model.tar.gz", Body=b"one")
    arn = desk.register({"Image": "image", "ModelDataUrl": "s3://models/model.tar.gz"})

    class Overwritten:
        """Somebody else is faster."""

        def __getattr__(self, name: str) -> Any:
            return getattr(desk.target, name)

        def put_object(self, **request: Any) -> Any:
            answered = desk.target.put_object(**request)
            desk.target.put_object(Bucket=request["Bucket"], Key=request["Key"], Body=b"other")
            return answered

    desk.away.s3 = Overwritten()  # type: ignore[misc] # a cached property
    with pytest.raises(RefusedError, match="holds something else"):
        desk.promote(arn)


def test_an_image_of_another_region_is_told(desk: Desk) -> None:
    desk.s3.put_object(Bucket="models", Key="model.tar.gz", Body=b"one")
    far = "683313688378.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
    done = desk.promote(desk.register({"Image": far, "ModelDataUrl": "s3://models/model.tar.gz"}))
    assert done.images == (far,)


def test_who_promoted_what_is_written_down(desk: Desk) -> None:
    desk.s3.put_object(Bucket="models", Key="model.tar.gz", Body=b"one")
    arn = desk.register(
        {"Image": "image", "ModelDataUrl": "s3://models/model.tar.gz"},
        CustomerMetadataProperties={"commit": "4f2a91c", "approval.1.by": "ada"},
    )
    properties = desk.promote(arn).package.properties
    assert set(properties) == {
        "commit",
        "promoted.from",
        "promoted.author.1",
        "promoted.by",
        "promoted.at",
        "promoted.why",
        "promoted.sha256",
    }
    assert (properties["promoted.from"], properties["promoted.at"]) == (arn, "2026-11-24T00:00:00Z")
    assert json.dumps(properties["promoted.by"]).startswith('"arn:aws:')


def test_who_made_the_original_has_made_the_copy(desk: Desk) -> None:
    desk.s3.put_object(Bucket="models", Key="model.tar.gz", Body=b"one")
    ada = "arn:aws:sts::222222222222:assumed-role/science/ada"
    execution = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/p/execution/abcdefghijkl"
    arn = desk.register(
        {"Image": "image", "ModelDataUrl": "s3://models/model.tar.gz"},
        CustomerMetadataProperties={"author": ada, "pipeline_execution_arn": execution},
    )
    package = desk.promote(arn).package
    registered = desk.home.sts.get_caller_identity()["Arn"]

    class Strict:
        """The service tells nobody of another account's executions."""

        def __getattr__(self, name: str) -> Any:
            return getattr(desk.away.sagemaker, name)

        def describe_pipeline_execution(self, **_: object) -> None:
            raise AssertionError("another account's execution is asked for")

    asked = Clients(lambda service: desk.away.sagemaker)
    asked.sagemaker = Strict()  # type: ignore[misc, assignment] # a cached property
    assert authors_of(asked, package, {}) == {ada, registered}


def test_a_reason_of_signs_only_is_no_property(desk: Desk) -> None:
    desk.s3.put_object(Bucket="models", Key="model.tar.gz", Body=b"one")
    arn = desk.register({"Image": "image", "ModelDataUrl": "s3://models/model.tar.gz"})
    done = promote_by_copy(desk.home, desk.away, arn, origin="dev", environment=PROD, why="!?", now=NOW)
    assert "promoted.why" not in done.package.properties


def test_a_permission_for_another_region_is_refused_and_nothing_is_written(desk: Desk) -> None:
    desk.s3.put_object(Bucket="models", Key="model.tar.gz", Body=b"one")
    arn = desk.register({"Image": "image", "ModelDataUrl": "s3://models/model.tar.gz"})
    far = PROD.model_copy(update={"region": "eu-west-1"})
    with pytest.raises(RefusedError, match=r"(?s)E149.*Promote it by copy"):
        promote_by_reference(desk.home, desk.away, arn, environment=far)
    assert "ModelLifeCycle" not in desk.home.sagemaker.describe_model_package(ModelPackageName=arn)
