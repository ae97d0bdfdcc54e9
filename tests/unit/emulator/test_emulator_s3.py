"""S3 survives: what boto3 was told is done is there after the account is opened again, versions included."""

from __future__ import annotations

import copy
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto.s3.models import s3_backends

from mlops_sm.emulator import LocalAccount
from mlops_sm.errors import RefusedError

MB = 1 << 20


def contents_on_disk(state: Path) -> int:
    return sum(1 for path in (state / "objects").glob("*/*") if path.is_file())


def snapshot(s3: Any, bucket: str) -> dict[str, Any]:
    """Everything a client can see of a bucket."""
    versions: list[Any] = []
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for entry in page.get("Versions", []):
            where = {"Bucket": bucket, "Key": entry["Key"], "VersionId": entry["VersionId"]}
            found = s3.get_object(**where)
            tags = s3.get_object_tagging(**where)["TagSet"]
            members = (found["ETag"], found["ContentType"], found["Metadata"], found["LastModified"], tags)
            versions.append((entry["Key"], entry["VersionId"], entry["IsLatest"], found["Body"].read(), members))
        versions += [(m["Key"], m["VersionId"], m["IsLatest"], "marker") for m in page.get("DeleteMarkers", [])]
    return {
        "versions": sorted(versions, key=str),
        "keys": [o["Key"] for o in s3.list_objects_v2(Bucket=bucket).get("Contents", [])],
        "versioning": s3.get_bucket_versioning(Bucket=bucket).get("Status"),
    }


def test_an_object_keeps_everything_it_was_given(open_account: Callable[..., Any]) -> None:
    account = open_account()
    account.s3.put_object(
        Bucket=account.bucket,
        Key="a/b c/\u00fc.txt",
        Body=b"content",
        ContentType="text/plain",
        Metadata={"who": "me"},
        Tagging="team=risk",
        ServerSideEncryption="aws:kms",
        SSEKMSKeyId="key",
        ChecksumAlgorithm="SHA256",
    )
    before = snapshot(account.s3, account.bucket)
    account = open_account()
    assert snapshot(account.s3, account.bucket) == before
    found = account.s3.get_object(Bucket=account.bucket, Key="a/b c/\u00fc.txt", ChecksumMode="ENABLED")
    assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", "key")
    assert found["ChecksumSHA256"]
    ranged = account.s3.get_object(Bucket=account.bucket, Key="a/b c/\u00fc.txt", Range="bytes=1-3")
    assert ranged["Body"].read() == b"ont"


def test_a_bucket_keeps_its_configuration(open_account: Callable[..., Any]) -> None:
    account = open_account()
    account.s3.create_bucket(Bucket="configured", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    rules = [{"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 3}}]
    account.s3.put_bucket_lifecycle_configuration(Bucket="configured", LifecycleConfiguration={"Rules": rules})
    encryption = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    account.s3.put_bucket_encryption(Bucket="configured", ServerSideEncryptionConfiguration=encryption)
    account.s3.put_bucket_tagging(Bucket="configured", Tagging={"TagSet": [{"Key": "team", "Value": "risk"}]})
    block = {"BlockPublicAcls": True, "BlockPublicPolicy": True}
    account.s3.put_public_access_block(Bucket="configured", PublicAccessBlockConfiguration=block)
    s3 = open_account().s3
    assert s3.get_bucket_location(Bucket="configured")["LocationConstraint"] == "eu-central-1"
    assert s3.get_bucket_lifecycle_configuration(Bucket="configured")["Rules"][0]["Expiration"] == {"Days": 3}
    assert s3.get_bucket_encryption(Bucket="configured")["ServerSideEncryptionConfiguration"]["Rules"]
    assert s3.get_bucket_tagging(Bucket="configured")["TagSet"] == [{"Key": "team", "Value": "risk"}]
    kept = s3.get_public_access_block(Bucket="configured")["PublicAccessBlockConfiguration"]
    assert kept["BlockPublicAcls"] is True


def test_deleted_buckets_and_objects_stay_deleted(open_account: Callable[..., Any], state: Path) -> None:
    account = open_account()
    account.s3.create_bucket(Bucket="short-lived")
    for number in range(5):
        account.s3.put_object(Bucket="short-lived", Key=f"k{number}", Body=b"x")
    assert contents_on_disk(state) == 5
    doomed = {"Objects": [{"Key": f"k{number}"} for number in range(5)]}
    account.s3.delete_objects(Bucket="short-lived", Delete=doomed)
    assert contents_on_disk(state) == 0
    account.s3.delete_bucket(Bucket="short-lived")
    account = open_account()
    assert [bucket["Name"] for bucket in account.s3.list_buckets()["Buckets"]] == [account.bucket]
    account.s3.create_bucket(Bucket="short-lived")
    assert account.s3.list_objects_v2(Bucket="short-lived")["KeyCount"] == 0


def test_versions_come_back_in_order_and_can_be_deleted_one_by_one(
    open_account: Callable[..., Any], state: Path
) -> None:
    account = open_account()
    versions = [
        account.s3.put_object(Bucket=account.bucket, Key="k", Body=f"{number}".encode())["VersionId"]
        for number in range(3)
    ]
    account.s3.delete_object(Bucket=account.bucket, Key="k")
    account = open_account()
    with pytest.raises(ClientError, match="NoSuchKey"):
        account.body("k")
    for number, version in enumerate(versions):
        found = account.s3.get_object(Bucket=account.bucket, Key="k", VersionId=version)
        assert found["Body"].read() == f"{number}".encode()
    account.s3.delete_object(Bucket=account.bucket, Key="k", VersionId=versions[1])
    assert contents_on_disk(state) == 2
    account = open_account()
    listed = account.s3.list_object_versions(Bucket=account.bucket)
    assert [entry["VersionId"] for entry in listed["Versions"]] == [versions[2], versions[0]]
    assert listed["DeleteMarkers"][0]["IsLatest"] is True


def test_listing_versions_neither_reads_nor_owns_contents(account: Any, state: Path) -> None:
    account.put("k", "x")
    key = s3_backends["123456789012"]["aws"].get_bucket(account.bucket).keys["k"]
    copy.deepcopy(key).dispose()
    account.put("another", "x")
    assert account.body("k") == b"x"
    key.path.unlink()
    assert [entry["Key"] for entry in account.s3.list_object_versions(Bucket=account.bucket)["Versions"]] == [
        "another",
        "k",
    ]


def test_an_upload_in_parts_can_be_finished_by_the_next_owner(open_account: Callable[..., Any], state: Path) -> None:
    account = open_account()
    where = {"Bucket": account.bucket, "Key": "big"}
    upload = account.s3.create_multipart_upload(**where, Metadata={"who": "me"})["UploadId"]
    first = account.s3.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"a" * 5 * MB)["ETag"]
    account = open_account()
    second = account.s3.upload_part(**where, UploadId=upload, PartNumber=2, Body=b"b")["ETag"]
    listed = account.s3.list_parts(**where, UploadId=upload)["Parts"]
    assert [part["PartNumber"] for part in listed] == [1, 2]
    account = open_account()
    parts = [{"PartNumber": 1, "ETag": first}, {"PartNumber": 2, "ETag": second}]
    account.s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})
    account = open_account()
    found = account.s3.get_object(**where)
    assert found["Body"].read() == b"a" * 5 * MB + b"b"
    assert found["Metadata"] == {"who": "me"}
    assert found["ETag"].endswith('-2"')
    assert contents_on_disk(state) == 1
    # Finishing it once more is the same answer, as after a lost response.
    account.s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})


def test_an_aborted_upload_leaves_nothing(open_account: Callable[..., Any], state: Path) -> None:
    account = open_account()
    where = {"Bucket": account.bucket, "Key": "big"}
    upload = account.s3.create_multipart_upload(**where)["UploadId"]
    account.s3.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"a")
    account.s3.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"b")
    assert contents_on_disk(state) == 1
    account.s3.abort_multipart_upload(**where, UploadId=upload)
    assert contents_on_disk(state) == 0
    assert "Uploads" not in open_account().s3.list_multipart_uploads(Bucket=account.bucket)


def test_a_presigned_url_is_as_durable(open_account: Callable[..., Any]) -> None:
    account = open_account()
    where = {"Bucket": account.bucket, "Key": "signed"}
    requests.put(account.s3.generate_presigned_url("put_object", where), data=b"hello", timeout=10).raise_for_status()
    account = open_account()
    url = account.s3.generate_presigned_url("get_object", where)
    assert urllib.parse.urlsplit(url).hostname == f"{account.bucket}.s3.amazonaws.com"
    assert requests.get(url, timeout=10).content == b"hello"


def test_an_upload_of_a_file_by_the_transfer_manager(open_account: Callable[..., Any], tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(9 * MB))
    open_account().s3.upload_file(str(source), "emulator-tests", "big")
    open_account().s3.download_file("emulator-tests", "big", str(target))
    assert target.read_bytes() == source.read_bytes()


def test_suspending_versioning_keeps_the_versions_there_are(open_account: Callable[..., Any]) -> None:
    """As the S3 user guide has it under "Working with objects in a versioning-suspended bucket"."""
    account = open_account()
    first = account.s3.put_object(Bucket=account.bucket, Key="k", Body=b"first")["VersionId"]
    account.s3.put_bucket_versioning(Bucket=account.bucket, VersioningConfiguration={"Status": "Suspended"})
    for body in (b"second", b"third"):
        assert "VersionId" not in account.s3.put_object(Bucket=account.bucket, Key="k", Body=body)
    account = open_account()
    versions = account.s3.list_object_versions(Bucket=account.bucket)["Versions"]
    assert [(version["VersionId"], version["IsLatest"]) for version in versions] == [("null", True), (first, False)]
    assert account.body("k") == b"third"
    assert account.s3.get_object(Bucket=account.bucket, Key="k", VersionId=first)["Body"].read() == b"first"
    account.s3.delete_object(Bucket=account.bucket, Key="k")
    account = open_account()
    listed = account.s3.list_object_versions(Bucket=account.bucket)
    assert [version["VersionId"] for version in listed["Versions"]] == [first]
    assert [marker["VersionId"] for marker in listed["DeleteMarkers"]] == ["null"]
    account.s3.delete_object(Bucket=account.bucket, Key="k", VersionId="null")
    assert account.body("k") == b"first"


def test_a_deny_in_a_bucket_policy_survives(open_account: Callable[..., Any]) -> None:
    account = open_account()
    account.put("k", "x")
    policy = (
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", '
        f'"Resource": "arn:aws:s3:::{account.bucket}/*"}}]}}'
    )
    account.s3.put_bucket_policy(Bucket=account.bucket, Policy=policy)
    with pytest.raises(ClientError, match="AccessDenied"):
        open_account().body("k")


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "copy", "delete", "delete-version", "tag", "untag", "versioning", "many"]),
        st.sampled_from(["a", "b", "c/d"]),
        st.binary(max_size=8),
    ),
    max_size=14,
)


@given(operations=OPERATIONS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_history_reads_the_same_after_reopening(
    operations: list[tuple[str, str, bytes]], open_account: Callable[..., Any], tmp_path_factory: Any
) -> None:
    state = tmp_path_factory.mktemp("state")
    account = open_account(state=state)
    s3, bucket = account.s3, account.bucket
    for operation, key, word in operations:
        try:
            match operation:
                case "put":
                    s3.put_object(Bucket=bucket, Key=key, Body=word, Metadata={"length": str(len(word))})
                case "copy":
                    s3.copy_object(Bucket=bucket, Key=f"{key}2", CopySource={"Bucket": bucket, "Key": key})
                case "delete":
                    s3.delete_object(Bucket=bucket, Key=key)
                case "delete-version":
                    versions = s3.list_object_versions(Bucket=bucket, Prefix=key).get("Versions", [])
                    for entry in versions[: len(word)]:
                        s3.delete_object(Bucket=bucket, Key=entry["Key"], VersionId=entry["VersionId"])
                case "tag":
                    tags = {"TagSet": [{"Key": "word", "Value": word.hex()}]}
                    s3.put_object_tagging(Bucket=bucket, Key=key, Tagging=tags)
                case "untag":
                    s3.delete_object_tagging(Bucket=bucket, Key=key)
                case "versioning":
                    status = "Enabled" if len(word) % 2 else "Suspended"
                    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})
                case _:
                    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}, {"Key": f"{key}2"}]})
        except ClientError as refused:
            # The object was not there; what moto half did then must be the same, too.
            # moto fails at deleting the tags of an object that is not there.
            failure = {"InternalFailure"} if operation == "untag" else set()
            assert refused.response["Error"]["Code"] in {"NoSuchKey", "404", "MethodNotAllowed", *failure}
    before = snapshot(s3, bucket)
    account = open_account(state=state)
    account.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": before["versioning"]})
    assert snapshot(account.s3, bucket) == before
    assert contents_on_disk(state) == sum(1 for entry in before["versions"] if entry[3] != "marker")


CHILD = """
import sys
from pathlib import Path
from mlops_sm.emulator import LocalAccount
from mlops_sm.errors import RefusedError

account = LocalAccount.open(Path(sys.argv[1]))
account.ensure_bucket("killed")
s3, sagemaker = account.client("s3"), account.client("sagemaker")
for number in range(100_000):
    s3.put_object(Bucket="killed", Key=f"k{number}", Body=b"%d" % number)
    sagemaker.create_model_package_group(ModelPackageGroupName=f"g{number}")
    print(number, flush=True)
"""


@pytest.mark.parametrize("acknowledged", [1, 7, 40])
def test_what_was_acknowledged_is_there_after_sigkill(
    open_account: Callable[..., Any], state: Path, acknowledged: int
) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(state)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for line in child.stdout:
        if int(line) >= acknowledged:
            break
    child.send_signal(signal.SIGKILL)
    last = max([acknowledged, *(int(line) for line in child.stdout if line.endswith("\n"))])
    child.wait()
    child.stdout.close()
    orphan = state / "objects" / "00" / "00orphan"
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_text("written by an owner that died before it could say so in the database")
    account = open_account()
    for number in range(last + 1):
        found = account.s3.get_object(Bucket="killed", Key=f"k{number}")
        assert found["Body"].read() == b"%d" % number
        account.sagemaker.describe_model_package_group(ModelPackageGroupName=f"g{number}")
    # Nothing is left of the object that was being written, unless it was written in full.
    assert contents_on_disk(state) == account.s3.list_objects_v2(Bucket="killed")["KeyCount"]


FULL = """
import resource, sys
from pathlib import Path
from botocore.exceptions import ClientError
from mlops_sm.emulator import LocalAccount
from mlops_sm.errors import RefusedError

account = LocalAccount.open(Path(sys.argv[1]))
account.ensure_bucket("full")
s3 = account.client("s3")
s3.put_object(Bucket="full", Key="k", Body=b"before")
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))
try:
    s3.put_object(Bucket="full", Key="k", Body=b"x" * 3_000_000)
except ClientError as error:
    print(error.response["Error"]["Code"], error.response["ResponseMetadata"]["RetryAttempts"])
print(s3.get_object(Bucket="full", Key="k")["Body"].read())
s3.put_object(Bucket="full", Key="small", Body=b"fits")
account.close()
"""


def test_a_disk_that_refuses_takes_the_change_back(open_account: Callable[..., Any], state: Path) -> None:
    """A limit on the size of files stands for the full disk: writing fails half-way through."""
    run = subprocess.run([sys.executable, "-c", FULL, str(state)], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["InsufficientStorage 0", "b'before'"]
    account = open_account()
    assert account.s3.get_object(Bucket="full", Key="k")["Body"].read() == b"before"
    assert account.s3.get_object(Bucket="full", Key="small")["Body"].read() == b"fits"
    assert contents_on_disk(state) == 2


def test_two_threads_writing_one_key_lose_no_version(open_account: Callable[..., Any]) -> None:
    account = open_account()

    def write(number: int) -> None:
        for _ in range(20):
            account.s3.put_object(Bucket=account.bucket, Key="k", Body=str(number).encode())

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(open_account().s3.list_object_versions(Bucket=account.bucket)["Versions"]) == 80


def test_a_state_that_names_other_classes_is_not_loaded(open_account: Callable[..., Any], state: Path) -> None:
    """A state directory is data: opening one that somebody prepared runs nothing of theirs."""
    open_account().local.close()
    trap = state / "sprung"
    with sqlite3.connect(state / "account.db") as database:
        evil = b"cos\nsystem\n(S'touch %s'\ntR." % str(trap).encode()
        database.execute("UPDATE buckets SET state=?", (evil,))
    database.close()
    account = LocalAccount.open(state)
    try:
        with pytest.raises(RefusedError, match=r"E542[\s\S]*does not belong into the state"):
            account.ensure_bucket("another")
    finally:
        account.close()
    assert not trap.exists()
