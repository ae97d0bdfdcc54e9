"""What is no proper request gets an error that its sender can read: JSON, CBOR or XML, never a page, never a 500."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest
from botocore.parsers import create_parser
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_sm.checks.service import service_model
from mlops_sm.emulator import LocalAccount

BUCKET = "refusal-tests"
JSON = "application/x-amz-json-1.1"
FORM = "application/x-www-form-urlencoded"


class Said(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """Sends what no client of AWS would send."""

    def __init__(self, local: LocalAccount) -> None:
        self.local = local
        self.port = int(local.endpoint_url.rpartition(":")[2])

    def ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Said:
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        said = Said(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        connection.close()
        return said

    def signed(self, service: str, body: bytes | None, method: str = "POST", path: str = "/", **headers: str) -> Said:
        credential = f"Credential=test/20261124/us-east-1/{service}/aws4_request"
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        given["Authorization"] = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0"
        return self.ask(method, path, body, given)

    def sagemaker(self, operation: str, body: bytes, **headers: str) -> Said:
        given = {"X_Amz_Target": f"SageMaker.{operation}", "Content_Type": JSON, **headers}
        return self.signed("sagemaker", body, **given)

    def raw(self, content: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(content)
            connection.settimeout(60)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            return f"{answer.status} ".encode() + answer.read()


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    with LocalAccount.open(tmp_path_factory.mktemp("server") / "state") as local:
        local.ensure_bucket(BUCKET)
        yield Wire(local)


def code(said: Said) -> str:
    """The error's code, by the form that the content type says; what is no error of AWS's fails."""
    kind = said.headers["content-type"]
    if kind == "application/cbor":
        parser = create_parser("smithy-rpc-v2-cbor")
        shape = service_model("cloudwatch").operation_model("ListMetrics").output_shape
        parsed = parser.parse({"status_code": said.status, "headers": said.headers, "body": said.body}, shape)
        return str(parsed["Error"]["Code"])
    if "json" in kind:
        told = json.loads(said.body)
        assert told.get("message") or told["Message"]
        return str(told["__type"])
    assert kind in {"text/xml", "application/xml"}
    found = ElementTree.fromstring(said.body).find(".//Code")  # noqa: S314 - what the server under test wrote
    assert found is not None
    return str(found.text)


# ---------------------------------------------------------------- SageMaker


@pytest.mark.parametrize(
    "body",
    [
        *(b"{", b"[]", b"null", b"5", b'"x"', b"[" * 200_000, b"a=b", b"<a/>"),
        *(b'{"PipelineName": "\xff"}', b'{"PipelineName": "a\x00"}', b'{"PipelineName": NaN}'),
        *(b'{"PipelineName": "\\ud800"}', b'{"PipelineName": {}}'),
    ],
    ids=range(13),
)
def test_a_body_that_is_not_the_shapes_json(wire: Wire, body: bytes) -> None:
    said = wire.sagemaker("DescribePipeline", body)
    assert (said.status, code(said)) == (400, "SerializationException")


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 200_000], ids=range(3))
def test_another_services_body_that_is_no_json(wire: Wire, body: bytes) -> None:
    archive = wire.signed("events", body, X_Amz_Target="AWSEvents.CreateArchive", Content_Type=JSON)
    assert (archive.status, code(archive)) == (400, "SerializationException")
    for path in ("/2015-03-31/functions", "/2018-10-31/layers/l/versions"):
        said = wire.signed("lambda", body, path=path)
        assert (said.status, code(said)) == (400, "SerializationException")


@pytest.mark.parametrize("body", [b"", b"{}", b'{"PipelineName": null}', b'{"PipelineName": "a\\u0000b"}'])
def test_a_body_that_the_shape_refuses(wire: Wire, body: bytes) -> None:
    said = wire.sagemaker("DescribePipeline", body)
    assert (said.status, code(said)) == (400, "ValidationException")
    assert b"'pipelineName'" in said.body


def test_a_definition_that_is_too_long_is_named(wire: Wire) -> None:
    """The shape's maximum: 1,048,576 characters."""
    request = {
        "PipelineName": "p",
        "PipelineDefinition": "x" * 1_048_577,
        "ClientRequestToken": "t" * 32,
        "RoleArn": "",
    }
    said = wire.sagemaker("CreatePipeline", json.dumps(request).encode())
    assert (said.status, code(said)) == (400, "ValidationException")
    assert b"'pipelineDefinition' failed to satisfy constraint: Member must have length less than" in said.body


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": JSON},
        {"Content-Type": JSON, "X-Amz-Target": "SageMaker.FlyToTheMoon"},
        {"Content-Type": JSON, "X-Amz-Target": "SageMaker."},
        {"Content-Type": JSON, "X-Amz-Target": "ListPipelines"},
        {"Content-Type": JSON, "X-Amz-Target": "AWSEvents.ListPipelines"},
        {"Content-Type": "text/plain", "X-Amz-Target": "SageMaker.ListPipelines"},
        {"Content-Type": FORM, "X-Amz-Target": "SageMaker.ListPipelines"},
        {"X-Amz-Target": "SageMaker.ListPipelines"},
    ],
    ids=["no target", "unknown", "empty", "no prefix", "another's prefix", "text", "form", "no type"],
)
def test_what_names_no_operation(wire: Wire, headers: dict[str, str]) -> None:
    given = {name.replace("-", "_"): value for name, value in headers.items()}
    said = wire.signed("sagemaker", b"{}", **given)
    assert (said.status, code(said)) == (400, "UnknownOperationException")
    assert said.headers["x-amzn-errortype"] == "UnknownOperationException"
    assert said.headers["x-amzn-requestid"]


def test_a_wrong_content_type_is_told(wire: Wire) -> None:
    said = wire.signed("sagemaker", b"{}", X_Amz_Target="SageMaker.ListPipelines", Content_Type="text/html")
    assert b"application/x-amz-json-1.1, not text/html" in said.body


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Basic YTpi"}, {"Authorization": "AWS4-HMAC-SHA256 nonsense"}]
)
def test_who_does_not_say_who_he_is(wire: Wire, headers: dict[str, str]) -> None:
    given = {"X-Amz-Target": "SageMaker.ListPipelines", "Content-Type": JSON, **headers}
    said = wire.ask("POST", "/", b"{}", given)
    assert (said.status, code(said)) == (403, "MissingAuthenticationTokenException")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"X-Amz-Target": "AWSEvents.ListRules", "Content-Type": JSON}, b"{}"),
        ({"Content-Type": FORM}, b"Action=ListUsers"),
    ],
    ids=["json", "query"],
)
def test_no_service_but_s3_listens_to_who_does_not_say(wire: Wire, headers: dict[str, str], body: bytes) -> None:
    said = wire.ask("POST", "/", body, headers)
    assert (said.status, code(said)) == (403, "MissingAuthenticationTokenException")
    assert wire.ask("GET", f"/{BUCKET}/nothing", None, {}).status in {403, 404}


# ---------------------------------------------------------------- every other service


BAD: list[tuple[str, str, dict[str, Any], bytes | None, int, str]] = [
    ("json operation", "events", {"X_Amz_Target": "AWSEvents.Fly", "Content_Type": JSON}, b"{}", 400, "UnknownOper"),
    ("json body", "events", {"X_Amz_Target": "AWSEvents.PutRule", "Content_Type": JSON}, b"{", 400, "Serialization"),
    ("json required", "events", {"X_Amz_Target": "AWSEvents.PutTargets", "Content_Type": JSON}, b"{}", 400, "Valid"),
    ("json body sqs", "sqs", {"X_Amz_Target": "AmazonSQS.SendMessage", "Content_Type": JSON}, b"[1]", 400, "Seri"),
    ("gzip", "sqs", {"X_Amz_Target": "AmazonSQS.A", "Content_Encoding": "gzip"}, b"x", 400, "UnknownOperation"),
    ("gzip body", "sqs", {"X_Amz_Target": "AmazonSQS.SendMessage", "Content_Encoding": "gzip"}, b"x", 400, "Serial"),
    ("json service", "nothing", {"X_Amz_Target": "Nothing.Do", "Content_Type": JSON}, b"{}", 400, "UnknownOperation"),
    ("query operation", "iam", {"Content_Type": FORM}, b"Action=Fly&Version=2010-05-08", 400, "InvalidAction"),
    ("query without", "iam", {"Content_Type": FORM}, b"a=b", 400, "InvalidAction"),
    ("query required", "iam", {"Content_Type": FORM}, b"Action=CreateRole&Version=2010-05-08", 400, "MissingParameter"),
    ("query service", "nothing", {"Content_Type": FORM}, b"Action=Do", 400, "InvalidAction"),
    ("ec2 operation", "ec2", {"Content_Type": FORM}, b"Action=Fly&Version=2016-11-15", 400, "InvalidAction"),
    ("rest path", "lambda", {"method": "GET", "path": "/2015-03-31/nothing"}, None, 400, "UnknownOperationException"),
    ("rest body", "lambda", {"path": "/2015-03-31/functions"}, b"{", 400, "SerializationException"),
    ("rest required", "lambda", {"path": "/2015-03-31/functions"}, b"{}", 400, ""),
    ("s3 method", "s3", {"method": "PATCH", "path": f"/{BUCKET}/k"}, b"", 501, "NotImplemented"),
    ("s3 xml", "s3", {"path": f"/{BUCKET}?delete"}, b"<Delete", 400, "MalformedXML"),
    ("s3 bytes", "s3", {"method": "PUT", "path": f"/{BUCKET}?versioning"}, b"\xff\x00", 400, "MalformedXML"),
    ("s3 bucket", "s3", {"method": "GET", "path": "/no-such-bucket"}, None, 404, "NoSuchBucket"),
]


@pytest.mark.parametrize("row", BAD, ids=[row[0] for row in BAD])
def test_any_service_refuses_in_its_own_words(
    wire: Wire, row: tuple[str, str, dict[str, Any], bytes | None, int, str]
) -> None:
    _, service, asked, body, status, start = row
    said = wire.signed(service, body, **asked)
    assert said.status == status
    assert code(said).startswith(start)


def test_cbor_is_refused_in_cbor(wire: Wire) -> None:
    path = "/service/GraniteServiceVersion20100801/operation/Fly"
    said = wire.signed("monitoring", b"\xa0", path=path, Smithy_Protocol="rpc-v2-cbor", Content_Type="application/cbor")
    assert (said.status, code(said)) == (400, "UnknownOperationException")


def test_what_is_administration_of_moto_is_out_of_reach(wire: Wire) -> None:
    """It would forget everything, or tell everything."""
    wire.local.client("s3").put_object(Bucket=BUCKET, Key="kept", Body=b"kept")
    for method, path in [("POST", "/moto-api/reset"), ("GET", "/moto-api/data.json"), ("POST", "/moto-api/config")]:
        assert wire.ask(method, path, b"" if method == "POST" else None, {}).status in {404, 501}
    assert wire.local.client("s3").get_object(Bucket=BUCKET, Key="kept")["Body"].read() == b"kept"


SERVICES = ["sagemaker", "s3", "iam", "sts", "sqs", "sns", "events", "lambda", "kms", "logs", "monitoring", "scheduler"]
TARGETS = ["SageMaker.CreatePipeline", "AmazonSQS.SendMessage", "AWSEvents.PutRule", "TrentService.Encrypt", "X.Y", "."]
PATHS = [
    "/",
    "//",
    "/any-requests",
    "/any-requests/k?acl",
    "/?Action=ListUsers",
    "/2015-03-31/functions",
    "/schedules/s",
]
TYPES = [JSON, FORM, "application/json", "application/cbor", "text/xml", "multipart/form-data; boundary=x", ""]
WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)


@settings(max_examples=150, deadline=None)
@given(
    service=st.sampled_from(SERVICES) | WORDS.filter(lambda word: not set(word) & set("/,")),
    method=st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD", "PATCH", "OPTIONS", "TRACE"]),
    path=st.sampled_from(PATHS) | WORDS.map(lambda word: f"/{word}"),
    headers=st.fixed_dictionaries(
        {},
        optional={
            "X_Amz_Target": st.sampled_from(TARGETS) | WORDS,
            "Content_Type": st.sampled_from(TYPES) | WORDS,
            "Content_Encoding": st.sampled_from(["gzip", "aws-chunked"]) | WORDS,
            "Smithy_Protocol": st.just("rpc-v2-cbor"),
            "X_Amz_Copy_Source": WORDS,
        },
    ),
    body=st.binary(max_size=50) | st.sampled_from([b"{}", b"[]", b"Action=CreateUser&UserName=a", b"<a/>", b"\xa0"]),
)
def test_any_request_gets_an_answer_of_aws(
    wire: Wire, *, service: str, method: str, path: str, headers: dict[str, str], body: bytes
) -> None:
    said = wire.signed(service, body, method, path, **headers)
    assert said.status < 500 or said.status == 501
    assert b"<html" not in said.body.lower()
    assert said.headers["x-amzn-requestid"] or said.headers["x-amz-request-id"]
    if said.status >= 400 and method != "HEAD":
        assert code(said)


# ---------------------------------------------------------------- what is hardly HTTP


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"\x00\x01\x02\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nBroken header\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1e9\r\n\r\n", b"400"),
        (b"PUT /b/k HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"PUT /b/k HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 6000000000\r\n\r\nx", b"413"),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 300_000 + b"\r\n\r\n", b"431"),
        (b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: gzip\r\n\r\n", b"501"),
    ],
    ids=["garbage", "header", "negative", "float", "chunk", "6 GB", "long header", "encoding"],
)
def test_what_is_hardly_http(wire: Wire, content: bytes, status: bytes) -> None:
    answered = wire.raw(content)
    assert answered.startswith(status + b' <?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>')


def test_half_a_body_changes_nothing(wire: Wire) -> None:
    with socket.create_connection(("127.0.0.1", wire.port)) as connection:
        connection.sendall(f"PUT /{BUCKET}/half HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\nhalf".encode())
    said = wire.signed("s3", None, method="HEAD", path=f"/{BUCKET}/half")
    assert (said.status, said.body) == (404, b"")


# ---------------------------------------------------------------- strangers


STRANGE: list[dict[str, str]] = [
    {"Host": "evil.example.com"},
    {"Host": "evil.example.com:5225"},
    {"Host": "127.0.0.1.example.com"},
    {"Host": "localhost.example.com"},
    {"Host": "192.168.1.7"},
    {"Origin": "https://evil.example.com"},
    {"Origin": "null"},
    {"Origin": "http://localhost.example.com"},
]


@pytest.mark.parametrize("headers", STRANGE, ids=[" ".join(h.values()) for h in STRANGE])
def test_a_web_page_cannot_use_the_account(wire: Wire, headers: dict[str, str]) -> None:
    """DNS rebinding shows in Host, a page's own requests show in Origin."""
    said = wire.sagemaker("ListPipelines", b"{}", **headers)
    assert (said.status, code(said)) == (403, "AccessDeniedException")
    assert not any(name.startswith("access-control") for name in said.headers)
    assert wire.ask("GET", "/_mlops_sm/status", None, headers).status == 403
    assert wire.ask("PUT", f"/{BUCKET}/by-page", b"x", headers).status == 403


@pytest.mark.parametrize(
    "headers",
    [{"Host": "localhost:1"}, {"Host": "[::1]:1"}, {"Host": "127.0.0.1"}, {"Origin": "http://localhost:3000"}],
    ids=["localhost", "v6", "v4", "a page of this machine"],
)
def test_this_machine_may_use_it(wire: Wire, headers: dict[str, str]) -> None:
    assert wire.sagemaker("ListPipelines", b"{}", **headers).status == 200
    assert wire.ask("GET", "/_mlops_sm/status", None, headers).status == 200
