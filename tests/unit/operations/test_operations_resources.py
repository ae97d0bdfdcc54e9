from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from mlops_sm.operations.clients import endpoint_session
from mlops_sm.operations.resources import ensure_bucket, ensure_role
from mlops_sm.operations.variables import client_variables, sdk_defaults


class Recorder:
    """A client that remembers its calls and refuses what it is told to."""

    def __init__(self, **refusals: str) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.refusals = refusals

    def __getattr__(self, operation: str) -> Any:
        def call(**request: Any) -> None:
            self.calls.append((operation, request))
            if operation in self.refusals:
                raise ClientError({"Error": {"Code": self.refusals[operation], "Message": "no"}}, operation)

        return call


VERSIONED = ("put_bucket_versioning", {"Bucket": "b", "VersioningConfiguration": {"Status": "Enabled"}})


def test_a_bucket_of_another_region_names_it() -> None:
    s3 = Recorder()
    ensure_bucket(s3, "b", "eu-west-1")
    where = {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}
    assert s3.calls == [("create_bucket", {"Bucket": "b", **where}), VERSIONED]


def test_a_bucket_of_the_first_region_must_not_name_it() -> None:
    s3 = Recorder()
    ensure_bucket(s3, "b", "us-east-1", versioned=False)
    assert s3.calls == [("create_bucket", {"Bucket": "b"})]


def test_what_exists_is_left_alone() -> None:
    s3, iam = Recorder(create_bucket="BucketAlreadyOwnedByYou"), Recorder(create_role="EntityAlreadyExists")
    ensure_bucket(s3, "b", "us-east-1")
    ensure_role(iam, "arn:aws:iam::123456789012:role/r")
    assert s3.calls[-1] == VERSIONED
    assert len(iam.calls) == 1


def test_somebody_else_s_bucket_is_refused() -> None:
    with pytest.raises(ClientError):
        ensure_bucket(Recorder(create_bucket="BucketAlreadyExists"), "b", "us-east-1")
    with pytest.raises(ClientError):
        ensure_role(Recorder(create_role="AccessDenied"), "arn:aws:iam::123456789012:role/r")


@pytest.mark.parametrize(
    ("resource", "path", "name"), [("r", "/", "r"), ("service-role/r", "/service-role/", "r"), ("a/b/r", "/a/b/", "r")]
)
def test_a_role_keeps_its_path(resource: str, path: str, name: str) -> None:
    iam = Recorder()
    ensure_role(iam, f"arn:aws:iam::123456789012:role/{resource}")
    (_, request), (_, policy) = iam.calls
    assert (policy["RoleName"], policy["PolicyName"]) == (name, "FullAccess")
    assert (request["Path"], request["RoleName"]) == (path, name)
    assert (
        "sagemaker.amazonaws.com"
        in json.loads(request["AssumeRolePolicyDocument"])["Statement"][0]["Principal"].values()
    )


def test_a_session_of_an_endpoint_reads_nothing_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").write_text("[profile mine]\nregion = eu-west-3\nendpoint_url = http://127.0.0.1:9\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "somebody's")
    session = endpoint_session("http://127.0.0.1:1", access_key="key", region="eu-west-1")
    client = session.client("s3")
    assert (client.meta.endpoint_url, client.meta.region_name) == ("http://127.0.0.1:1", "eu-west-1")
    assert client.meta.config.proxies == {}
    credentials = session.get_credentials()
    assert (credentials.access_key, credentials.token) == ("key", None)
    assert session.client("s3", endpoint_url="http://127.0.0.1:2").meta.endpoint_url == "http://127.0.0.1:2"


def test_variables_name_the_account() -> None:
    variables = client_variables("http://127.0.0.1:1", "222222222222", "eu-west-1")
    assert variables["AWS_ACCESS_KEY_ID"].endswith("222222222222")
    assert variables["AWS_REGION"] == variables["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert "DefaultS3Bucket: sagemaker-eu-west-1-222222222222" in sdk_defaults("222222222222", "eu-west-1")
