"""Large objects stay in files on their way in and out, and come out as they went in, over HTTP and in this process."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import sqlite3
import zlib
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from mlops_sm.emulator.contents import Contents
from mlops_sm.emulator.file_parts import FilePart, raw, whole

Open = Callable[..., Any]
MB = 1024**2
BODY = bytes(range(256)) * (3 * MB // 256) + b"the end"
MD5 = hashlib.md5(BODY, usedforsecurity=False).hexdigest()
BUCKET = "large-objects"


@pytest.fixture(params=["in this process", "over HTTP"])
def s3(request: pytest.FixtureRequest, open_account: Open) -> Any:
    account = open_account()
    account.local.ensure_bucket(BUCKET)
    return client(account, request.param)


def client(account: Any, way: str) -> Any:
    if way == "in this process":
        return account.local.client("s3")
    return boto3.Session("AKIAIOSFODNN7EXAMPLE", "secret", region_name="us-east-1").client(
        "s3", endpoint_url=account.local.endpoint_url
    )


def on_disk(state: Path) -> int:
    return sum(1 for path in (state / "objects").glob("*/*"))


def test_a_file_goes_in_and_comes_out(s3: Any, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(BODY)
    with source.open("rb") as file:
        put = s3.put_object(Bucket=BUCKET, Key="k/ö ü+&", Body=file, Metadata={"a": "b"}, ContentType="text/csv")
    assert put["ETag"] == f'"{MD5}"'
    assert put["ChecksumCRC32"] == base64.b64encode(zlib.crc32(BODY).to_bytes(4, "big")).decode()
    got = s3.get_object(Bucket=BUCKET, Key="k/ö ü+&", ChecksumMode="ENABLED")
    assert (got["ContentLength"], got["ETag"], got["Metadata"], got["ContentType"]) == (
        len(BODY),
        f'"{MD5}"',
        {"a": "b"},
        "text/csv",
    )
    assert got["ChecksumCRC32"] == put["ChecksumCRC32"]
    assert got["VersionId"] == put["VersionId"]
    assert got["Body"].read() == BODY


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=100-2000000", slice(100, 2_000_001)),
        (f"bytes={len(BODY) - 7}-", slice(len(BODY) - 7, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=5-99999999", slice(5, None)),
    ],
)
def test_ranges(s3: Any, wanted: str, found: slice) -> None:
    s3.put_object(Bucket=BUCKET, Key="k", Body=BODY)
    got = s3.get_object(Bucket=BUCKET, Key="k", Range=wanted)
    part = BODY[found]
    start = found.indices(len(BODY))[0]
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["ContentRange"] == f"bytes {start}-{start + len(part) - 1}/{len(BODY)}"
    assert (got["ContentLength"], got["Body"].read()) == (len(part), part)


def test_a_range_behind_the_end_is_refused(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="k", Body=BODY)
    with pytest.raises(ClientError, match="InvalidRange"):
        s3.get_object(Bucket=BUCKET, Key="k", Range="bytes=99999999-")


def test_conditions_hold_for_large_objects(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="k", Body=BODY)
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=BUCKET, Key="k", Body=BODY, IfNoneMatch="*")
    with pytest.raises(ClientError) as unchanged:
        s3.get_object(Bucket=BUCKET, Key="k", IfNoneMatch=f'"{MD5}"')
    assert unchanged.value.response["ResponseMetadata"]["HTTPStatusCode"] == 304


def test_an_upload_in_parts_is_one_file_afterwards(s3: Any, state: Path, tmp_path: Path) -> None:
    content = BODY * 4
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(content)
    config = TransferConfig(multipart_threshold=5 * MB, multipart_chunksize=5 * MB, max_concurrency=3)
    s3.upload_file(str(source), BUCKET, "k", Config=config)
    assert on_disk(state) == 1
    s3.download_file(BUCKET, "k", str(target), Config=config)
    assert target.read_bytes() == content
    head = s3.head_object(Bucket=BUCKET, Key="k")
    digests = b"".join(
        hashlib.md5(content[at : at + 5 * MB], usedforsecurity=False).digest() for at in range(0, len(content), 5 * MB)
    )
    assert head["ETag"] == f'"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-3"'


def test_an_upload_goes_on_after_reopening(open_account: Open, state: Path) -> None:
    account = open_account()
    account.local.ensure_bucket(BUCKET)
    upload = account.s3.create_multipart_upload(Bucket=BUCKET, Key="k")["UploadId"]
    first = account.s3.upload_part(Bucket=BUCKET, Key="k", UploadId=upload, PartNumber=1, Body=BODY * 2)["ETag"]
    account = open_account()
    second = account.s3.upload_part(Bucket=BUCKET, Key="k", UploadId=upload, PartNumber=2, Body=b"tail")["ETag"]
    with pytest.raises(ClientError, match="InvalidPart"):
        complete(account.s3, upload, [first, f'"{MD5}"'])
    with pytest.raises(ClientError, match="EntityTooSmall"):
        complete(account.s3, upload, [second, first], numbers=(2, 1))
    complete(account.s3, upload, [first, second])
    account = open_account()
    assert account.s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == BODY * 2 + b"tail"
    assert on_disk(state) == 1


def complete(s3: Any, upload: str, tags: list[str], numbers: tuple[int, ...] = (1, 2)) -> None:
    parts = [{"PartNumber": number, "ETag": tag} for number, tag in zip(numbers, tags, strict=True)]
    s3.complete_multipart_upload(Bucket=BUCKET, Key="k", UploadId=upload, MultipartUpload={"Parts": parts})


def test_copies_whole_and_in_parts(s3: Any, state: Path) -> None:
    s3.put_object(Bucket=BUCKET, Key="k", Body=BODY, Metadata={"a": "b"})
    s3.copy_object(Bucket=BUCKET, Key="copy", CopySource=f"{BUCKET}/k")
    copied = s3.get_object(Bucket=BUCKET, Key="copy")
    assert (copied["Body"].read(), copied["ETag"], copied["Metadata"]) == (BODY, f'"{MD5}"', {"a": "b"})
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="k")["UploadId"]
    tags = [
        s3.upload_part_copy(
            Bucket=BUCKET, Key="k", UploadId=upload, PartNumber=number, CopySource=f"{BUCKET}/copy", **extent
        )["CopyPartResult"]["ETag"]
        for number, extent in ((1, {}), (2, {"CopySourceRange": f"bytes={2 * MB}-{len(BODY) - 1}"}))
    ]
    assert tags[0] == f'"{MD5}"'
    with pytest.raises(ClientError, match="EntityTooSmall"):
        complete(s3, upload, tags)
    s3.abort_multipart_upload(Bucket=BUCKET, Key="k", UploadId=upload)
    assert on_disk(state) == 2


@pytest.mark.parametrize("body", [b"", b"small", BODY])
def test_a_body_that_is_not_what_was_announced_is_refused(s3: Any, state: Path, body: bytes) -> None:
    """Error codes: "List of error codes" of the S3 API reference."""
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"before")
    other = base64.b64encode(hashlib.md5(b"other", usedforsecurity=False).digest()).decode()
    for arguments, code in (
        ({"ContentMD5": other}, "BadDigest"),
        ({"ContentMD5": "nonsense"}, "InvalidDigest"),
        ({"ChecksumCRC32": "AAAAAQ=="}, "BadDigest"),
        ({"ChecksumSHA256": base64.b64encode(bytes(32)).decode()}, "BadDigest"),
    ):
        with pytest.raises(ClientError) as refused:
            s3.put_object(Bucket=BUCKET, Key="k", Body=body, **arguments)
        assert refused.value.response["Error"]["Code"] == code
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"before"
    assert on_disk(state) == 1


def test_what_is_refused_leaves_no_file(s3: Any, state: Path) -> None:
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.put_object(Bucket="not-there", Key="k", Body=BODY)
    with pytest.raises(ClientError, match="NoSuchUpload"):
        s3.upload_part(Bucket=BUCKET, Key="k", UploadId="no", PartNumber=1, Body=BODY)
    assert on_disk(state) == 0
    s3.put_object(Bucket=BUCKET, Key="after", Body=b"its own")
    assert s3.get_object(Bucket=BUCKET, Key="after")["Body"].read() == b"its own"


def test_the_chunked_encoding_is_decoded(open_account: Open) -> None:
    """As S3 documents it under "Transferring payload in multiple chunks"."""
    account = open_account()
    account.local.ensure_bucket(BUCKET)
    chunks = [BODY[: 2 * MB], BODY[2 * MB :], b""]
    wire = b"".join(b"%x;chunk-signature=%s\r\n%s\r\n" % (len(chunk), b"0" * 64, chunk) for chunk in chunks)
    headers = {
        "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "x-amz-decoded-content-length": str(len(BODY)),
        "content-encoding": "aws-chunked,gzip",
        "authorization": "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261124/us-east-1/s3/aws4_request, "
        "SignedHeaders=host, Signature=0",
    }
    host = urlsplit(account.local.endpoint_url).netloc
    for body, status in ((wire, 200), (wire[:-300], 400), (b"not chunked", 400)):
        connection = HTTPConnection(host)
        connection.request("PUT", f"/{BUCKET}/k", body=body, headers=headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        assert answer.status == status
        assert (b"IncompleteBody" in text) == (status == 400)
    got = account.s3.get_object(Bucket=BUCKET, Key="k")
    assert (got["ContentEncoding"], got["Body"].read()) == ("gzip", BODY)


def test_presigned_urls_take_and_give_large_objects(open_account: Open) -> None:
    account = open_account()
    account.local.ensure_bucket(BUCKET)
    s3 = client(account, "over HTTP")
    for operation, method, body in (("put_object", "PUT", BODY), ("get_object", "GET", None)):
        url = urlsplit(s3.generate_presigned_url(operation, Params={"Bucket": BUCKET, "Key": "k"}))
        connection = HTTPConnection(url.netloc)
        connection.request(method, f"{url.path}?{url.query}", body=body)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        assert answer.status == 200
    assert content == BODY


def test_a_notification_tells_the_size_and_the_tag(open_account: Open) -> None:
    account = open_account()
    account.local.ensure_bucket(BUCKET)
    url = account.client("sqs").create_queue(QueueName="told")["QueueUrl"]
    account.s3.put_bucket_notification_configuration(
        Bucket=BUCKET,
        NotificationConfiguration={
            "QueueConfigurations": [
                {"QueueArn": "arn:aws:sqs:us-east-1:123456789012:told", "Events": ["s3:ObjectCreated:*"]}
            ]
        },
    )
    account.s3.put_object(Bucket=BUCKET, Key="k", Body=BODY)
    assert account.local.settle()
    found = account.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    told = [
        record["s3"]["object"]
        for message in found
        for record in json.loads(message["Body"]).get("Records", [])
        if record
    ]
    assert [(entry["size"], entry["eTag"].strip('"')) for entry in told if entry["key"] == "k"] == [(len(BODY), MD5)]


def test_an_object_that_is_replaced_while_it_is_read_is_read_to_its_end(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="k", Body=BODY)
    got = s3.get_object(Bucket=BUCKET, Key="k")["Body"]
    first = got.read(1000)
    for version in s3.list_object_versions(Bucket=BUCKET)["Versions"]:
        s3.delete_object(Bucket=BUCKET, Key="k", VersionId=version["VersionId"])
    assert first + got.read() == BODY


def test_a_full_disk_takes_a_large_object_back(open_account: Open, state: Path) -> None:
    account = open_account()
    account.local.ensure_bucket(BUCKET)
    account.s3.put_object(Bucket=BUCKET, Key="k", Body=b"before")
    database = account.local._storage._database
    ((pages,),) = database.query("PRAGMA page_count")
    database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(ClientError, match="InsufficientStorage"):
        for _ in range(1000):
            account.s3.put_object(Bucket=BUCKET, Key="k", Body=BODY[:2000], Metadata={"a": "x" * 1500})
    versions = account.s3.list_object_versions(Bucket=BUCKET)["Versions"]
    assert on_disk(state) == len(versions)
    account.local.close()
    with sqlite3.connect(state / "account.db") as again:
        assert again.execute("PRAGMA quick_check").fetchone() == ("ok",)
    again.close()


def test_a_part_of_a_file_is_read_in_slices(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(BODY)
    part = FilePart.of(file)
    assert (len(part), bool(part)) == (len(BODY), True)
    inner = part[10:2_000_000][5:]
    assert (len(inner), whole(inner)) == (1_999_985, BODY[15:2_000_000])
    assert whole(part[7:3]) == b""
    assert whole(b"plain") == b"plain"
    reader = raw(part[:100])
    assert (reader.read(10), b"".join(reader.stream())) == (BODY[:10], BODY[10:100])
    with pytest.raises(TypeError):
        part[0]
    with pytest.raises(ValueError, match="direction"):
        part[::2]


def test_contents_are_joined_whatever_their_number(tmp_path: Path) -> None:
    ids = iter(f"content{number}" for number in range(100))
    contents = Contents(tmp_path, lambda: next(ids))
    parts = [contents.write(io.BytesIO(piece)) for piece in (b"one", b"", b"two" * 100_000, b"three")]
    assert contents.path(contents.join(parts)).read_bytes() == b"one" + b"two" * 100_000 + b"three"
    assert contents.path(contents.join([])).read_bytes() == b""
