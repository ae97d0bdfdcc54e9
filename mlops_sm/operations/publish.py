"""Publish: a compiled pipeline and its assets into an account. Where nothing differs, nothing is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlops_sm import naming
from mlops_sm.compile import Asset, Compiled, materialize
from mlops_sm.operations.clients import Clients, S3Client
from mlops_sm.operations.refusals import AwsError
from mlops_sm.project import Environment


class Action(StrEnum):
    """What became of the pipeline."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What a publish did.

    Attributes:
        pipeline_name: The pipeline.
        pipeline_arn: Its ARN.
        action: What became of it.
        uploaded: S3 URIs of the assets that were not there yet.
        digest: sha256 of the definition that is now in the account, hex.
    """

    pipeline_name: str
    pipeline_arn: str
    action: Action
    uploaded: tuple[str, ...]
    digest: str


def publish(compiled: Compiled, clients: Clients, environment: Environment) -> Published:
    """Upload the assets that are missing, then create or update the pipeline.

    Raises:
        InputError: An asset was changed since it was compiled (E315).
        RefusedError: AWS refused a call.
    """
    uploaded = tuple(asset.uri for asset in compiled.assets if _upload(asset, clients.s3, environment))
    arn, action = _put_pipeline(compiled, clients, environment)
    return Published(
        pipeline_name=compiled.pipeline_name,
        pipeline_arn=arn,
        action=action,
        uploaded=uploaded,
        digest=compiled.digest,
    )


def _upload(asset: Asset, s3: S3Client, environment: Environment) -> bool:
    """Upload an asset unless its object is there; the key holds the content's digest, so being there is enough."""
    bucket, key = naming.parse_s3_uri(asset.uri)
    if _exists(s3, bucket, key):
        return False
    with TemporaryDirectory(prefix="mlops-sm-") as folder:
        packed = Path(folder) / "asset"
        materialize(asset, packed)
        with packed.open("rb") as body:
            s3.put_object(Bucket=bucket, Key=key, Body=body, **encryption(environment))
    return True


def _exists(s3: S3Client, bucket: str, key: str) -> bool:
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except AwsError as err:
        if err.is_not_found:
            return False
        raise
    return True


def encryption(environment: Environment) -> dict[str, str]:
    """The members of PutObject by which an object is encrypted as the environment wants it."""
    if environment.kms_key_arn is None:
        return {}
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": environment.kms_key_arn}


def _put_pipeline(compiled: Compiled, clients: Clients, environment: Environment) -> tuple[str, Action]:
    sagemaker = clients.sagemaker
    current = _describe(clients, compiled.pipeline_name)
    if current is None:
        created = sagemaker.create_pipeline(
            PipelineName=compiled.pipeline_name,
            RoleArn=environment.role_arn,
            Tags=[{"Key": key, "Value": value} for key, value in sorted(environment.tags.items())],
            **_definition_member(compiled, clients, environment),
        )
        return created["PipelineArn"], Action.CREATED
    arn, action = current["PipelineArn"], Action.UNCHANGED
    if current.get("RoleArn") != environment.role_arn or not _same(current["PipelineDefinition"], compiled.definition):
        # an update without the member would drop the parallelism somebody set on the pipeline
        kept = {k: current[k] for k in ("ParallelismConfiguration",) if current.get(k)}
        sagemaker.update_pipeline(
            PipelineName=compiled.pipeline_name,
            RoleArn=environment.role_arn,
            **kept,
            **_definition_member(compiled, clients, environment),
        )
        action = Action.UPDATED
    missing = _missing_tags(clients, arn, environment.tags)
    if missing:
        sagemaker.add_tags(ResourceArn=arn, Tags=missing)
        action = Action.UPDATED
    return arn, action


def _describe(clients: Clients, name: str) -> Mapping[str, Any] | None:
    try:
        return clients.sagemaker.describe_pipeline(PipelineName=name)
    except AwsError as err:
        if err.is_not_found:
            return None
        raise


def _same(published: object, definition: str) -> bool:
    """Whether two definitions say the same; the service may hand one back that is spaced differently."""
    if published == definition:
        return True
    try:
        return bool(json.loads(str(published)) == json.loads(definition))
    except ValueError:
        return False


def _definition_member(compiled: Compiled, clients: Clients, environment: Environment) -> dict[str, Any]:
    """The definition in the request, or in S3 when it is larger than a request may hold."""
    if len(compiled.definition) <= naming.MAX_INLINE_DEFINITION:
        return {"PipelineDefinition": compiled.definition}
    bucket = environment.artifact_bucket
    key = f"{compiled.pipeline_name}/definitions/{compiled.digest[:16]}.json"
    if not _exists(clients.s3, bucket, key):
        body = compiled.definition.encode()
        clients.s3.put_object(Bucket=bucket, Key=key, Body=body, **encryption(environment))
    return {"PipelineDefinitionS3Location": {"Bucket": bucket, "ObjectKey": key}}


def _missing_tags(clients: Clients, arn: str, tags: Mapping[str, str]) -> list[dict[str, str]]:
    present: dict[str, str] = {}
    request: dict[str, Any] = {"ResourceArn": arn}
    while True:
        page = clients.sagemaker.list_tags(**request)
        present |= {tag["Key"]: tag["Value"] for tag in page.get("Tags", [])}
        if not page.get("NextToken"):
            break
        request["NextToken"] = page["NextToken"]
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items()) if present.get(key) != value]
