"""Promoting a model version to the next environment: a verified copy, or the permission to use the original."""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any, Final

from mlops_sm import naming
from mlops_sm.errors import Problem, RefusedError
from mlops_sm.operations.approvals import (
    APPROVED,
    MAX_PROPERTIES,
    PENDING,
    PROMOTED_AUTHOR,
    authors_of,
    moment,
    plain,
)
from mlops_sm.operations.clients import Clients, Response
from mlops_sm.operations.models import Package, list_packages, show_package
from mlops_sm.operations.publish import encryption
from mlops_sm.operations.refusals import AwsError
from mlops_sm.project import Environment

FROM: Final = "promoted.from"
"""The property that names the version a copy was made of."""
_CHUNK: Final = 1024 * 1024
_COPIED: Final = (
    "ModelPackageDescription",
    "InferenceSpecification",
    "AdditionalInferenceSpecifications",
    "SourceAlgorithmSpecification",
    "ModelMetrics",
    "DriftCheckBaselines",
    "Domain",
    "Task",
    "SamplePayloadUrl",
    "SkipModelValidation",
    "ModelPackageRegistrationType",
)
_URIS: Final = frozenset({"ModelDataUrl", "S3Uri", "SamplePayloadUrl"})
_NOT_COPIED: Final = frozenset({"ModelDataETag", "ImageDigest", "ProductId"})
"""What DescribeModelPackage adds about an artifact as it is stored there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """One object that was copied.

    Attributes:
        source: Its S3 URI.
        target: Its copy's.
        sha256: Of the content that was read, written, and read again.
        size: Bytes.
    """

    source: str
    target: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """What came of a promotion.

    Attributes:
        package: By copy the version in the target's registry, by reference the original as the target sees it.
        copied: The objects of a copy.
        existing: The copy was there already, with the same content.
        images: Container images of another account or region than the target's.
    """

    package: Package
    copied: tuple[Copied, ...] = ()
    existing: bool = False
    images: tuple[str, ...] = ()


def promote_by_copy(
    source: Clients, target: Clients, arn: str, *, origin: str, environment: Environment, why: str, now: datetime
) -> Promotion:
    """Copy an approved version with its reports to another environment, where it waits for its approval.

    Every object is read, written with its SHA-256, which S3 compares with what arrives, and read again.

    Args:
        source: The account the version is in.
        target: The account of the environment.
        arn: The version.
        origin: The environment it is in.
        environment: Where it goes.
        why: What who promotes it says.
        now: The time.

    Raises:
        RefusedError: It is not approved, or an object is missing or has changed under way (E148).
    """
    described = source.sagemaker.describe_model_package(ModelPackageName=arn)
    package = _approved(source, arn)
    authors = authors_of(source, package, described)
    by = source.sts.get_caller_identity()["Arn"]
    copier = _Copier(source, target, environment, f"promoted/{package.group}/{origin}-{package.version}")
    request = {name: _moved(described[name], copier.moved) for name in _COPIED if name in described}
    copied = tuple(copier.copies.values())
    properties = {
        **{k: v for k, v in package.properties.items() if not k.startswith(("approval.", "promoted."))},
        FROM: plain(package.arn),
        "promoted.by": plain(by),
        "promoted.at": moment(now),
        "promoted.sha256": _digest(copied),
        # In the target's account the version is made by whoever promotes it, and the execution is not known.
        **{f"{PROMOTED_AUTHOR}{number}": plain(author) for number, author in enumerate(sorted(authors), start=1)},
        "promoted.why": plain(why),
    }
    properties = {name: value for name, value in properties.items() if value}
    existing = _existing(target, package, properties)
    if existing is not None:
        return Promotion(package=existing, copied=copied, existing=True)
    _ensure_group(target, package.group, environment)
    made = target.sagemaker.create_model_package(
        **request,
        ModelPackageGroupName=package.group,
        ModelApprovalStatus=PENDING,
        CustomerMetadataProperties=dict(list(properties.items())[-MAX_PROPERTIES:]),
        ModelLifeCycle={"Stage": environment.name, "StageStatus": PENDING},
    )["ModelPackageArn"]
    source.sagemaker.update_model_package(
        ModelPackageArn=arn, ModelLifeCycle={"Stage": environment.name, "StageStatus": "Promoted"}
    )
    return Promotion(
        package=show_package(target, made),
        copied=copied,
        images=tuple(image for image in package.images if not _reaches(image, environment)),
    )


def promote_by_reference(source: Clients, target: Clients, arn: str, *, environment: Environment) -> Promotion:
    """Let another account use an approved version where it is: a statement in the resource policy of its group.

    The statement is about the registry. The buckets and keys of the version's artifacts have policies of their own.

    Args:
        source: The account the version is in.
        target: The account that may use it.
        arn: The version.
        environment: The target's.

    Raises:
        RefusedError: It is not approved (E148), or the target is in another region, where it cannot be used (E149).
    """
    package = _approved(source, arn)
    region = package.arn.split(":")[3]
    if region != environment.region:
        what = f"it is in {region}, and a version can be used in its own region only; the environment is in another"
        fix = "Promote it by copy: leave --by out."
        raise RefusedError(Problem("E149", f"environment {environment.name}, {environment.region}", what, fix))
    group = source.sagemaker.describe_model_package_group(ModelPackageGroupName=package.group)["ModelPackageGroupArn"]
    try:
        found = source.sagemaker.get_model_package_group_policy(ModelPackageGroupName=package.group)
        policy = json.loads(found["ResourcePolicy"])
    except AwsError as error:
        if not error.is_not_found and error.code != "ValidationException":
            raise
        policy = {"Version": "2012-10-17", "Statement": []}
    sid = f"PromotedTo{environment.account}"
    root = f"arn:{group.split(':')[1]}:iam::{environment.account}:root"
    statement = {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"AWS": root},
        "Action": [
            "sagemaker:DescribeModelPackageGroup",
            "sagemaker:ListModelPackages",
            "sagemaker:DescribeModelPackage",
            "sagemaker:CreateModel",
        ],
        "Resource": [group, f"{group.replace(':model-package-group/', ':model-package/')}/*"],
    }
    others = [each for each in policy["Statement"] if each.get("Sid") != sid]
    source.sagemaker.put_model_package_group_policy(
        ModelPackageGroupName=package.group,
        ResourcePolicy=json.dumps({**policy, "Statement": [*others, statement]}),
    )
    source.sagemaker.update_model_package(
        ModelPackageArn=arn, ModelLifeCycle={"Stage": environment.name, "StageStatus": "Shared"}
    )
    return Promotion(
        package=show_package(target, package.arn),
        images=tuple(image for image in package.images if not _reaches(image, environment)),
    )


def _approved(clients: Clients, arn: str) -> Package:
    package = show_package(clients, arn)
    if package.approval != APPROVED:
        fix = f'mlops-sm models approve {package.name} --why "..."'
        raise RefusedError(Problem("E148", package.name, f"it is {package.approval}, not {APPROVED}", fix))
    return package


def _moved(value: Any, copied: Callable[[str], str], member: str = "") -> Any:  # noqa: ANN401 - parts of a request
    """A part of a description as a request has it, every object in it copied."""
    match value:
        case dict():
            return {k: _moved(v, copied, k) for k, v in value.items() if k not in _NOT_COPIED}
        case list():
            return [_moved(each, copied, member) for each in value]
        case str() if member in _URIS and value.startswith("s3://"):
            return copied(value)
        case _:
            return value


class _Copier:
    """Copies objects into an environment's model bucket, each once.

    Args:
        source: The account they are in.
        target: The environment's.
        environment: Where they go.
        folder: The folder of the bucket.
    """

    def __init__(self, source: Clients, target: Clients, environment: Environment, folder: str) -> None:
        self._source = source
        self._target = target
        self._environment = environment
        self._folder = folder
        self.copies: dict[tuple[str, str], Copied] = {}

    def moved(self, uri: str) -> str:
        """Copy an object, or with a slash at the end all below it; where the copy is.

        A place is named by its content, so that no promotion changes what an earlier one has copied.
        """
        bucket, key = naming.parse_s3_uri(uri)
        if not uri.endswith("/"):
            return self._copy(uri, self._folder, key.rpartition("/")[2])
        found = list(_below(self._source, bucket, key))
        if not found:
            raise RefusedError(_gone(uri))
        content = "\n".join(f"{each['ETag']} {each['Key']}" for each in found)
        place = f"{self._folder}/{hashlib.sha256(content.encode()).hexdigest()[:16]}"
        for each in found:
            self._copy(f"s3://{bucket}/{each['Key']}", place, each["Key"].removeprefix(key), addressed=False)
        return f"s3://{self._environment.model_bucket}/{place}/"

    def _copy(self, uri: str, folder: str, name: str, *, addressed: bool = True) -> str:
        if (uri, folder) in self.copies:
            return self.copies[uri, folder].target
        to_bucket = self._environment.model_bucket
        with tempfile.TemporaryFile() as file:
            digest, size = _read(self._opened(uri), file)
            to_key = f"{folder}/{digest.hex()[:16]}/{name}" if addressed else f"{folder}/{name}"
            file.seek(0)
            self._target.s3.put_object(
                Bucket=to_bucket,
                Key=to_key,
                Body=file,
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=base64.b64encode(digest).decode(),
                **encryption(self._environment),
            )
        place = f"s3://{to_bucket}/{to_key}"
        written, _ = _read(self._target.s3.get_object(Bucket=to_bucket, Key=to_key)["Body"], None)
        if written != digest:
            what = f"the copy of {uri} holds something else: SHA-256 {written.hex()}, not {digest.hex()}"
            raise RefusedError(Problem("E148", place, what, "Somebody else writes there. Run the command again."))
        self.copies[uri, folder] = Copied(source=uri, target=place, sha256=digest.hex(), size=size)
        return place

    def _opened(self, uri: str) -> IO[bytes]:
        bucket, key = naming.parse_s3_uri(uri)
        try:
            body: IO[bytes] = self._source.s3.get_object(Bucket=bucket, Key=key)["Body"]
        except AwsError as error:
            if not error.is_not_found:
                raise
            raise RefusedError(_gone(uri)) from error
        return body


def _read(body: IO[bytes], file: IO[bytes] | None) -> tuple[bytes, int]:
    """Read to the end, into a file if there is one; digest and size."""
    digest, size = hashlib.sha256(), 0
    while chunk := body.read(_CHUNK):
        digest.update(chunk)
        size += len(chunk)
        if file is not None:
            file.write(chunk)
    return digest.digest(), size


def _gone(uri: str) -> Problem:
    what = "it is not there, though the version refers to it"
    return Problem("E148", uri, what, "Put it back, or register the version anew.")


def _below(clients: Clients, bucket: str, prefix: str) -> Iterator[Response]:
    request: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
    while True:
        page = clients.s3.list_objects_v2(**request)
        yield from page.get("Contents", [])
        if not page.get("IsTruncated"):
            return
        request["ContinuationToken"] = page["NextContinuationToken"]


def _digest(copies: Iterable[Copied]) -> str:
    """One digest of everything that was copied."""
    lines = sorted(f"{each.sha256} {each.target}" for each in copies)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _existing(target: Clients, package: Package, properties: Mapping[str, str]) -> Package | None:
    try:
        found = list_packages(target, group=package.group, limit=None)
    except AwsError as error:
        if not error.is_not_found:
            raise
        return None
    same = (FROM, "promoted.sha256")
    return next((p for p in found if all(p.properties.get(key) == properties[key] for key in same)), None)


def _ensure_group(target: Clients, group: str, environment: Environment) -> None:
    try:
        target.sagemaker.describe_model_package_group(ModelPackageGroupName=group)
    except AwsError as error:
        if not error.is_not_found:
            raise
        tags = [{"Key": key, "Value": value} for key, value in sorted(environment.tags.items())]
        more = {"Tags": tags} if tags else {}
        target.sagemaker.create_model_package_group(ModelPackageGroupName=group, **more)


def _reaches(image: str, environment: Environment) -> bool:
    """Whether an image is in a registry of the target's region; whose account it is, its policy decides."""
    return ".dkr.ecr." not in image or f".dkr.ecr.{environment.region}." in image
