"""Names, ARNs, the S3 layout and the service's limits: pure functions, shared by the library and `infra/`.

Code and infrastructure cannot disagree about a name because both compute it here.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final, NamedTuple

LOCAL_ACCOUNT_ID: Final = "123456789012"
LOCAL_KEY_PREFIX: Final = "LOCALKEY"
"""An access key of the local account: this and the account's 12 digits, as long as AWS's but never one of them."""
DEFAULT_REGION: Final = "us-east-1"

# Limits and patterns of the service: botocore's model of CreatePipeline and the SageMaker API reference.
PIPELINE_NAME: Final = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,255}")
STEP_NAME: Final = re.compile(r"[A-Za-z0-9\-_]{1,64}")
PARAMETER_NAME: Final = re.compile(r"[A-Za-z0-9\-_]{1,256}")
JOB_NAME: Final = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
MAX_JOB_NAME: Final = 63
MAX_TUNING_JOB_NAME: Final = 32
MAX_PARAMETERS: Final = 200
MAX_INLINE_DEFINITION: Final = 1_048_576
"""Characters of PipelineDefinition; a larger one goes through PipelineDefinitionS3Location."""
MAX_BUCKET_NAME: Final = 63


class S3Uri(NamedTuple):
    """A parsed ``s3://bucket/key``; the key may be empty or a prefix."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}" if self.key else f"s3://{self.bucket}"

    def join(self, *parts: str) -> S3Uri:
        """This location with parts appended, each separated by exactly one slash."""
        pieces = [self.key.rstrip("/"), *(p.strip("/") for p in parts)]
        return S3Uri(self.bucket, "/".join(p for p in pieces if p))


def parse_s3_uri(uri: str) -> S3Uri:
    """Split an S3 URI.

    Raises:
        ValueError: It does not start with ``s3://`` or names no bucket.
    """
    match = re.fullmatch(r"s3://([^/]+)(?:/(.*))?", uri, re.DOTALL)
    if match is None:
        raise ValueError(f"not an S3 URI: {uri!r}")
    return S3Uri(match[1], match[2] or "")


def partition(region: str) -> str:
    """The AWS partition a region belongs to."""
    if region.startswith("cn-"):
        return "aws-cn"
    if region.startswith("us-gov-"):
        return "aws-us-gov"
    return "aws"


def arn(service: str, region: str, account: str, resource: str) -> str:
    """``arn:PARTITION:service:region:account:resource``."""
    return f"arn:{partition(region)}:{service}:{region}:{account}:{resource}"


def sagemaker_arn(region: str, account: str, kind: str, name: str) -> str:
    """A SageMaker ARN; ``kind`` is the resource part, e.g. ``processing-job``."""
    return arn("sagemaker", region, account, f"{kind}/{name}")


def pipeline_arn(execution: str) -> str:
    """The ARN of the pipeline of an execution's ARN."""
    return execution.rsplit("/execution/", 1)[0]


def local_access_key(account: str) -> str:
    """What a request to the local account is signed with on behalf of one of its accounts; opens nothing elsewhere."""
    return LOCAL_KEY_PREFIX + account


def role_arn(region: str, account: str, role_name: str) -> str:
    """The ARN of an IAM role (IAM is global: the ARN has no region)."""
    return f"arn:{partition(region)}:iam::{account}:role/{role_name}"


def slug(text: str) -> str:
    """Lower-case letters, digits and single hyphens; what every AWS name takes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def shorten(name: str, limit: int) -> str:
    """Cut a name to a limit, keeping it unique by eight hex digits of its digest."""
    if len(name) <= limit:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: limit - 9].rstrip('-')}-{digest}"


def bucket_name(project: str, environment: str, purpose: str, account: str, region: str) -> str:
    """``PROJECT-ENVIRONMENT-PURPOSE-ACCOUNT-REGION``, unique in the world because the account is in it."""
    tail = f"-{account}-{region}"
    return shorten(f"{slug(project)}-{slug(environment)}-{slug(purpose)}", MAX_BUCKET_NAME - len(tail)) + tail


def execution_role_name(project: str, environment: str) -> str:
    """The role that pipelines and their jobs run as."""
    return shorten(f"{slug(project)}-{slug(environment)}-pipeline", 64)


def package_group_name(project: str, model: str) -> str:
    """The model package group of one model of a project."""
    return shorten(slug(f"{project}-{model}"), MAX_JOB_NAME)


def pipeline_name(project: str, reference: str) -> str:
    """The pipeline of module ``lending.build``: ``lending-build``, with the project in front unless it is there."""
    name = slug(reference)
    return name if name == slug(project) or name.startswith(slug(project) + "-") else f"{slug(project)}-{name}"


def step_job_name(execution_id: str, step: str, suffix: str, limit: int = MAX_JOB_NAME) -> str:
    """The job a step starts: ``pipelines-<execution id>-<step name, cut>-<10 characters>``.

    Source: the names in AWS's own pipeline events, e.g. ``pipelines-4r83jejmhorv-TrainAbaloneModel-xw869y8C4a``.
    """
    head = f"pipelines-{execution_id}-"
    body = re.sub(r"[^a-zA-Z0-9]+", "-", step)[: limit - len(head) - len(suffix) - 1].strip("-")
    return f"{head}{body}-{suffix}" if body else f"{head}{suffix}"


def step_tuning_job_name(execution_id: str, step: str, suffix: str) -> str:
    """The tuning job a step starts: ``<execution id>-<step name, 7 characters>-<10 characters>``, at most 32.

    Source: the names in AWS's own notebooks of pipelines with a tuning step, e.g. ``vrcgdqm2k1bk-HPTunin-CtJTsjVBPe``.
    """
    body = re.sub(r"[^a-zA-Z0-9]+", "-", step)[:7].strip("-")
    return "-".join(part for part in (execution_id, body, suffix) if part)[:MAX_TUNING_JOB_NAME]


def asset_key(pipeline: str, digest: str, file_name: str) -> str:
    """Where an asset lives in the artifact bucket: its address is its content."""
    return f"{pipeline}/assets/{digest[:16]}/{file_name}"
