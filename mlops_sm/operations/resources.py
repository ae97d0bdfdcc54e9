"""What a pipeline needs before it can run, made through the API: a role and buckets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from botocore.exceptions import ClientError

TRUST: Final = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
"""The trust policy of an execution role: SageMaker may assume it."""
FULL_ACCESS: Final = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
"""What it may do: the SDK simulates its role before it starts anything."""
POLICY_NAME: Final = "FullAccess"
_EXISTS: Final = frozenset({"BucketAlreadyOwnedByYou", "EntityAlreadyExists"})
_NO_CONSTRAINT: Final = "us-east-1"
"""Source: S3 API reference, CreateBucket: no LocationConstraint means us-east-1, which cannot be named."""


def ensure_bucket(s3: Any, name: str, region: str, *, versioned: bool = True) -> None:  # noqa: ANN401 - a boto3 client
    """Make a bucket unless it exists; `versioned` also turns versions on for one that exists.

    Args:
        s3: A client of S3.
        name: The bucket.
        region: Where it is made.
        versioned: Keep every version of its objects.

    Raises:
        ClientError: AWS refused, for example because another account owns the bucket.
    """
    where = {} if region == _NO_CONSTRAINT else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    _unless_there(lambda: s3.create_bucket(Bucket=name, **where))
    if versioned:
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})


def ensure_role(iam: Any, arn: str) -> None:  # noqa: ANN401 - a boto3 client
    """Make an execution role that may do everything, unless it exists.

    Args:
        iam: A client of IAM.
        arn: ``arn:aws:iam::ACCOUNT:role/PATH/NAME``.

    Raises:
        ClientError: AWS refused.
    """
    path, _, name = arn.split(":role/", 1)[1].rpartition("/")
    trust = json.dumps(TRUST)
    if _unless_there(
        lambda: iam.create_role(RoleName=name, Path=f"/{path}/" if path else "/", AssumeRolePolicyDocument=trust)
    ):
        iam.put_role_policy(RoleName=name, PolicyName=POLICY_NAME, PolicyDocument=json.dumps(FULL_ACCESS))


def _unless_there(make: Callable[[], object]) -> bool:
    """Make something; whether it had not been there."""
    try:
        make()
    except ClientError as error:
        if error.response["Error"]["Code"] not in _EXISTS:
            raise
        return False
    return True
