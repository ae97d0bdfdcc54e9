"""What an account must have before a publish: buckets and the role. In AWS, infrastructure code makes them."""

from __future__ import annotations

import json
from typing import Final

from mlops_sm.operations.clients import Clients
from mlops_sm.operations.refusals import AwsError
from mlops_sm.project import Environment

_TRUST: Final = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def provision(clients: Clients, environment: Environment) -> None:
    """Make the environment's buckets and role where they are missing; for the local account."""
    for bucket in (environment.artifact_bucket, environment.data_bucket, environment.model_bucket):
        _make_bucket(clients, bucket, environment.region)
    _make_role(clients, environment.role_arn.rpartition("/")[2])


def _make_bucket(clients: Clients, bucket: str, region: str) -> None:
    try:
        clients.s3.head_bucket(Bucket=bucket)
    except AwsError as err:
        if not err.is_not_found:
            raise
        # us-east-1 is the only region that must not be named
        place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        clients.s3.create_bucket(Bucket=bucket, **place)


def _make_role(clients: Clients, name: str) -> None:
    try:
        clients.iam.get_role(RoleName=name)
    except AwsError as err:
        if not err.is_not_found:
            raise
        clients.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(_TRUST))
