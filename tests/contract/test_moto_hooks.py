"""Every place of moto that the emulator touches or counts on.

When one of these fails after an upgrade of moto, the emulator's `bridge`, `keys`, `mirror` or `account` needs a look
before the pin in pyproject.toml moves.
"""

from __future__ import annotations

import copy
import inspect
import json
import os
from collections.abc import Iterator
from typing import Any

import boto3
import moto
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse, HeadersDict
from moto import mock_aws
from moto.core.base_backend import BackendDict
from moto.core.botocore_stubber import BotocoreStubber, MockRawResponse
from moto.core.models import DEFAULT_ACCOUNT_ID, botocore_stubber
from moto.iam.models import get_account_id_from, iam_backends
from moto.s3.models import (
    FakeBucket,
    FakeDeleteMarker,
    FakeKey,
    FakeMultipart,
    MultipartDict,
    S3Backend,
    s3_backends,
)
from moto.s3.notifications import S3NotificationEvent, send_event
from moto.s3.utils import _VersionedKeyStore
from moto.sts.models import sts_backends

BUCKET = "contract"


@pytest.fixture
def s3() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        yield client
        # moto warns of every key that it did not dispose of itself.
        for bucket in s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets.values():
            for versions in dict.values(bucket.keys):
                for version in versions:
                    if isinstance(version, FakeKey):
                        version.dispose()


def bucket() -> FakeBucket:
    return s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_bucket(BUCKET)


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_the_version_is_the_pinned_one() -> None:
    assert (5, 2, 5) <= tuple(int(part) for part in moto.__version__.split(".")[:3]) < (5, 3, 0)


# ---------------------------------------------------------------- bridge


def test_the_stubber_gets_every_request_with_the_name_of_its_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parameters(BotocoreStubber.__call__) == ["self", "event_name", "request", "kwargs"]
    seen: list[tuple[str, str, str]] = []

    def handle(stubber: BotocoreStubber, event_name: str, request: Any, **_: Any) -> AWSResponse:
        seen.append((event_name, request.method, request.headers["Authorization"].decode()))
        return AWSResponse(request.url, 200, {}, MockRawResponse(b'{"PipelineSummaries": []}'))

    with mock_aws():
        monkeypatch.setattr(BotocoreStubber, "__call__", handle)
        assert botocore_stubber.enabled
        client = boto3.client("sagemaker", region_name="eu-west-1")
        assert client.list_pipelines()["PipelineSummaries"] == []
    ((event, method, authorization),) = seen
    assert (event, method) == ("before-send.sagemaker.ListPipelines", "POST")
    assert "/eu-west-1/sagemaker/aws4_request" in authorization


def test_requests_of_the_requests_library_go_through_the_prepared_handler() -> None:
    assert parameters(BotocoreStubber.process_prepared_request) == ["self", "request"]


def test_an_endpoint_that_is_not_of_aws_is_left_to_the_network() -> None:
    """Where moto answers None, botocore sends; the bridge refuses there."""
    answers: list[Any] = []
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1", endpoint_url="http://example.com:1")

        def look(request: Any, **_: Any) -> AWSResponse:
            answers.append(botocore_stubber("before-send.s3.ListBuckets", request))
            return AWSResponse(request.url, 200, {}, MockRawResponse(b"<ListAllMyBucketsResult/>"))

        client.meta.events.register_first("before-send", look)
        client.list_buckets()
    assert answers == [None]


def test_a_request_can_be_asked_for_status_headers_and_body() -> None:
    """`moto_requests` asks so for requests of both ways; the Host header says where URLs that moto makes lead."""
    assert parameters(BotocoreStubber.process_request) == ["self", "request"]
    headers = {"X-Amz-Target": "AmazonSQS.CreateQueue", "Content-Type": "application/x-amz-json-1.0"}
    request = AWSPreparedRequest(
        "POST",
        "http://sqs.us-east-1.amazonaws.com/",
        HeadersDict({**headers, "Host": "127.0.0.1:5225"}),
        b'{"QueueName": "q"}',
        stream_output=False,
    )
    with mock_aws():
        answered = botocore_stubber.process_request(request)
    assert answered is not None
    status, told, body = answered
    assert status == 200
    assert isinstance(told, dict)
    assert json.loads(body) == {"QueueUrl": "http://127.0.0.1:5225/123456789012/q"}


def test_what_moto_does_not_have_is_an_exception_or_a_sentence() -> None:
    with mock_aws():
        iam = boto3.client("iam", region_name="us-east-1")
        with pytest.raises(NotImplementedError):
            iam.simulate_custom_policy(PolicyInputList=["{}"], ActionNames=["s3:GetObject"])
        url = "http://pricing.us-east-1.amazonaws.com/"
        request = AWSPreparedRequest("POST", url, HeadersDict(), b"{}", stream_output=False)
        assert botocore_stubber.process_request(request) == (404, {}, "Not yet implemented")


def test_a_header_names_the_account_before_the_key_does() -> None:
    body = b"Action=GetCallerIdentity&Version=2011-06-15"
    headers = {"x-moto-account-id": "999988887777", "Content-Type": "application/x-www-form-urlencoded"}
    url = "http://sts.us-east-1.amazonaws.com/"
    with mock_aws():
        request = AWSPreparedRequest("POST", url, HeadersDict(headers), body, stream_output=False)
        answered = botocore_stubber.process_request(request)
    assert answered is not None
    assert "<Account>999988887777</Account>" in str(answered[2])


def test_the_account_comes_from_a_variable_then_from_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    assert DEFAULT_ACCOUNT_ID == "123456789012"
    with mock_aws():
        sts = boto3.client("sts", region_name="us-east-1")
        assert sts.get_caller_identity()["Account"] == DEFAULT_ACCOUNT_ID
        assert get_account_id_from("AKIALOCALACCOUNT0000") == DEFAULT_ACCOUNT_ID
        assumed = sts.assume_role(RoleArn="arn:aws:iam::111122223333:role/r", RoleSessionName="session")["Credentials"]
        assert get_account_id_from(assumed["AccessKeyId"]) == "111122223333"
        monkeypatch.setenv("MOTO_ACCOUNT_ID", "444455556666")
        assert sts.get_caller_identity()["Account"] == "444455556666"


def test_leaving_the_mock_forgets_everything_and_restores_the_environment(s3: Any) -> None:
    inside = os.environ["AWS_ACCESS_KEY_ID"]
    assert inside == "FOOBARKEY"
    assert BUCKET in s3_backends.bucket_accounts
    BackendDict.reset()
    assert BUCKET not in s3_backends.bucket_accounts
    assert list(s3_backends) == []


# ---------------------------------------------------------------- keys


def test_a_key_keeps_its_content_in_a_buffer_and_the_rest_in_attributes(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"content", Metadata={"a": "b"})
    key = bucket().keys["k"]
    assert type(key) is FakeKey
    assert {
        "name",
        "account_id",
        "region_name",
        "bucket_name",
        "contentsize",
        "disposed",
        "lock",
        "multipart",
        "_etag",
        "_value_buffer",
        "_version_id",
    } <= vars(key).keys()
    assert (key.contentsize, key.disposed) == (7, False)
    key._value_buffer.seek(0)
    assert key._value_buffer.read() == key.value == b"content"
    assert key.etag == '"9a0364b9e99bb480dd25e1f0284c8555"'
    assert parameters(FakeKey.__init__)[:5] == ["self", "name", "value", "account_id", "region_name"]
    assert parameters(FakeKey.dispose) == ["self", "garbage"]


def test_a_key_may_change_its_class(s3: Any) -> None:
    class Mine(FakeKey):
        pass

    s3.put_object(Bucket=BUCKET, Key="k", Body=b"content")
    key = bucket().keys["k"]
    key.__class__ = Mine
    assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"content"
    key.dispose()
    bucket().keys.clear()


def test_versions_are_lists_in_a_dictionary_that_disposes_of_what_it_drops(s3: Any) -> None:
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    for word in (b"1", b"2"):
        s3.put_object(Bucket=BUCKET, Key="k", Body=word)
    store = bucket().keys
    assert type(store) is _VersionedKeyStore
    versions = list(dict.get(store, "k", []))
    assert [version.value for version in versions] == [b"1", b"2"]
    s3.delete_object(Bucket=BUCKET, Key="k")
    marker = dict.get(store, "k", [])[-1]
    assert type(marker) is FakeDeleteMarker
    assert marker.key is versions[1]
    s3.delete_object(Bucket=BUCKET, Key="k", VersionId=versions[0].version_id)
    assert [version.disposed for version in versions] == [True, False]


def test_listing_versions_copies_the_keys(s3: Any) -> None:
    """`StoredKey.__deepcopy__` stands on this: without it a listing reads every content."""
    assert "copy.deepcopy(version_key)" in inspect.getsource(S3Backend.list_object_versions)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"content")
    twin = copy.deepcopy(bucket().keys["k"])
    assert twin.value == b"content"
    twin.dispose()


def test_every_instance_is_remembered_in_a_list_that_can_be_replaced(s3: Any) -> None:
    models: list[Any] = [FakeKey, FakeMultipart, FakeDeleteMarker]
    for model in models:
        assert type(model.instances_tracked) is list
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"content")
    assert FakeKey.instances_tracked[-1] is bucket().keys["k"]  # type: ignore[attr-defined]


# ---------------------------------------------------------------- mirror


def test_buckets_are_a_dictionary_of_a_backend_per_account_and_partition(s3: Any) -> None:
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    assert isinstance(backend, S3Backend)
    assert type(backend.buckets) is dict
    assert list(backend.buckets) == [BUCKET]
    assert s3_backends.bucket_accounts == {BUCKET: ("aws", DEFAULT_ACCOUNT_ID)}
    found = backend.get_bucket(BUCKET)
    assert (found.account_id, found.partition, found.region_name) == (DEFAULT_ACCOUNT_ID, "aws", "us-east-1")
    assert parameters(FakeBucket.__init__)[:4] == ["self", "name", "account_id", "region_name"]


def test_all_that_a_request_can_change_is_looked_up_in_those_dictionaries(s3: Any) -> None:
    """The bodies of the backend's methods reach buckets by `get_bucket` and keys by the bucket's `keys`."""
    assert "self.buckets[bucket_name]" in inspect.getsource(S3Backend.get_bucket)
    assert "bucket.keys" in inspect.getsource(S3Backend.get_object)
    assert "bucket.keys.setlist" in inspect.getsource(S3Backend.put_object)
    assert "self.buckets[bucket_name] = new_bucket" in inspect.getsource(S3Backend.create_bucket)
    assert "self.buckets.pop(bucket_name)" in inspect.getsource(S3Backend.delete_bucket)
    assert "bucket.multiparts[multipart_id]" in inspect.getsource(S3Backend.upload_part)


def test_tags_of_buckets_and_versions_are_by_arn(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"", Tagging="a=b")
    tags = {"TagSet": [{"Key": "c", "Value": "d"}]}
    s3.put_bucket_tagging(Bucket=BUCKET, Tagging=tags)
    tagger = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].tagger
    assert tagger.tags == {bucket().keys["k"].arn: {"a": "b"}, bucket().arn: {"c": "d"}}


def test_uploads_and_their_parts(s3: Any) -> None:
    upload_id = s3.create_multipart_upload(Bucket=BUCKET, Key="big")["UploadId"]
    s3.upload_part(Bucket=BUCKET, Key="big", UploadId=upload_id, PartNumber=1, Body=b"part")
    uploads = bucket().multiparts
    assert type(uploads) is MultipartDict
    upload = uploads[upload_id]
    assert (upload.key_name, list(upload.parts), type(upload.parts[1])) == ("big", [1], FakeKey)
    assert parameters(FakeMultipart.__init__)[:5] == ["self", "key_name", "metadata", "account_id", "region_name"]
    s3.abort_multipart_upload(Bucket=BUCKET, Key="big", UploadId=upload_id)
    assert upload.parts[1].disposed


def test_an_object_can_be_put_without_a_request_and_its_event_sent_later(s3: Any) -> None:
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    key = backend.put_object(BUCKET, "k", b"", disable_notification=True)
    key.set_acl(bucket().acl)
    send_event(DEFAULT_ACCOUNT_ID, S3NotificationEvent.OBJECT_CREATED_PUT_EVENT, bucket(), key)
    assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b""
    backend.put_bucket_versioning(BUCKET, "Enabled")
    assert bucket().is_versioned


# ---------------------------------------------------------------- account


def test_a_role_can_be_made_without_a_request() -> None:
    with mock_aws():
        backend = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
        backend.create_role(
            role_name="r",
            assume_role_policy_document="{}",
            path="/",
            permissions_boundary=None,
            description="",
            tags=[],
            max_session_duration="3600",
        )
        assert [role.name for role in backend.roles.values()] == ["r"]


def test_sts_tells_whose_key_it_is() -> None:
    """`callers` asks so who makes a request of SageMaker."""
    with mock_aws():
        boto3.client("iam", region_name="us-east-1").create_user(UserName="ada")
        key = boto3.client("iam", region_name="us-east-1").create_access_key(UserName="ada")["AccessKey"]["AccessKeyId"]
        backend = sts_backends[DEFAULT_ACCOUNT_ID]["aws"]
        principal, arn, account = backend.get_caller_identity(key, "us-east-1")
        assert arn == f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:user/ada"
        assert account == DEFAULT_ACCOUNT_ID
        assert principal
