from __future__ import annotations

from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from mlops_sm.operations.clients import Clients
from mlops_sm.operations.provision import provision
from mlops_sm.operations.refusals import AwsError
from mlops_sm.project import Environment, standalone_project
from mlops_sm.testing.aws import FakeAws


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return standalone_project(tmp_path).environment("local")


def test_makes_what_is_missing_once(environment: Environment) -> None:
    aws = FakeAws()
    provision(Clients(aws.client), environment)
    assert aws.buckets == {environment.artifact_bucket, environment.data_bucket, environment.model_bucket}
    assert aws.roles == {"standalone-local-pipeline"}
    aws.calls.clear()
    provision(Clients(aws.client), environment)
    assert aws.writes == []


def test_another_refusal_is_not_taken_for_missing(environment: Environment) -> None:
    aws = FakeAws()
    aws.refuse("head_bucket", "403", "Forbidden")
    with pytest.raises(AwsError):
        provision(Clients(aws.client), environment)
    assert aws.buckets == set()


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_against_moto(environment: Environment, region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    there = environment.model_copy(update={"region": region})
    with mock_aws():
        session = boto3.Session(region_name=region)
        provision(Clients(session.client), there)
        provision(Clients(session.client), there)
        assert len(session.client("s3").list_buckets()["Buckets"]) == 3
        role = session.client("iam").get_role(RoleName="standalone-local-pipeline")
        assert role["Role"]["Arn"] == environment.role_arn
