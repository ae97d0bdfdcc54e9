"""The account over HTTP: any client that has its URL, in this process or another, sees what clients in it see."""

from __future__ import annotations

import http.client
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, MissingDependencyException

from mlops_sm.emulator import LocalAccount

ROLE = "arn:aws:iam::123456789012:role/execution"
DEFINITION = json.dumps(
    {
        "Version": "2020-12-01",
        "Metadata": {},
        "Parameters": [],
        "Steps": [{"Name": "No", "Type": "Fail", "Arguments": {"ErrorMessage": "no"}}],
    }
)
BUCKET = "server-tests"
SECRET = "opens nothing"  # noqa: S105 - it does not


class Served:
    """An account that serves, and clients of it that come over HTTP."""

    def __init__(self, local: LocalAccount) -> None:
        self.local = local
        self.url = local.endpoint_url
        self._clients: dict[tuple[str, ...], Any] = {}

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def client(self, service: str, key: str = "test", region: str = "us-east-1", token: str | None = None) -> Any:
        wanted = (service, key, region, token or "")
        if wanted not in self._clients:
            self._clients[wanted] = boto3.client(
                service,
                region,
                endpoint_url=self.url,
                aws_access_key_id=key,
                aws_secret_access_key=SECRET,
                aws_session_token=token,
            )
        return self._clients[wanted]

    def environment(self, key: str = "test") -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
        }


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with LocalAccount.open(tmp_path_factory.mktemp("server") / "state") as local:
        local.ensure_bucket(BUCKET)
        yield Served(local)


def ask(served: Served, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """A request that no client of AWS made."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    return answer.status, said


def plain(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


# ---------------------------------------------------------------- both ways are one account


def test_the_url_is_on_loopback_and_stays(served: Served) -> None:
    assert served.url.startswith("http://127.0.0.1:")
    assert served.local.endpoint_url == served.local.serve() == served.local.serve(served.port) == served.url


def test_what_one_client_makes_every_other_sees(served: Served) -> None:
    made = served.client("sagemaker").create_pipeline(PipelineName="seen", PipelineDefinition=DEFINITION, RoleArn=ROLE)
    inside = served.local.client("sagemaker").describe_pipeline(PipelineName="seen")
    outside = served.client("sagemaker").describe_pipeline(PipelineName="seen")
    assert inside["PipelineArn"] == outside["PipelineArn"] == made["PipelineArn"]
    assert plain(inside) == plain(outside)


def test_a_child_process_needs_only_the_variable(served: Served) -> None:
    script = (
        "import boto3\n"
        "boto3.client('s3').put_object(Bucket='server-tests', Key='from-child', Body=b'hello')\n"
        "print(boto3.client('sts').get_caller_identity()['Account'])\n"
        "print(len(boto3.client('sagemaker').list_pipelines()['PipelineSummaries']) > 0)\n"
    )
    served.client("sagemaker").create_pipeline(PipelineName="child", PipelineDefinition=DEFINITION, RoleArn=ROLE)
    child = subprocess.run(
        [sys.executable, "-c", script], env=served.environment(), capture_output=True, text=True, check=True
    )
    assert child.stdout.split() == ["123456789012", "True"]
    assert served.local.client("s3").get_object(Bucket=BUCKET, Key="from-child")["Body"].read() == b"hello"


CALLS: list[tuple[str, str, dict[str, Any]]] = [
    ("sagemaker", "list_pipelines", {}),
    ("sagemaker-runtime", "invoke_endpoint", {"EndpointName": "none", "Body": b""}),
    ("s3", "list_buckets", {}),
    ("s3", "get_bucket_versioning", {"Bucket": BUCKET}),
    ("sts", "get_caller_identity", {}),
    ("iam", "list_roles", {}),
    ("iam", "get_role", {"RoleName": "nobody"}),
    ("kms", "list_keys", {}),
    ("kms", "describe_key", {"KeyId": "1234abcd-12ab-34cd-56ef-1234567890ab"}),
    ("events", "list_rules", {}),
    ("events", "describe_rule", {"Name": "none"}),
    ("scheduler", "list_schedules", {}),
    ("scheduler", "get_schedule", {"Name": "none"}),
    ("sns", "list_topics", {}),
    ("sqs", "list_queues", {}),
    ("sqs", "get_queue_url", {"QueueName": "none"}),
    ("lambda", "list_functions", {}),
    ("lambda", "get_function", {"FunctionName": "none"}),
    ("logs", "describe_log_groups", {}),
    ("cloudwatch", "describe_alarms", {}),
    ("secretsmanager", "list_secrets", {}),
    ("dynamodb", "list_tables", {}),
    ("stepfunctions", "list_state_machines", {}),
    ("resourcegroupstaggingapi", "get_resources", {}),
    ("ecr", "describe_repositories", {}),
    ("elbv2", "describe_load_balancers", {}),
    ("elb", "describe_account_limits", {}),
    ("pricing", "describe_services", {}),
    ("dsql", "list_clusters", {}),
    ("acm", "list_acme_endpoints", {}),
    ("accessanalyzer", "list_analyzers", {}),
    ("sagemaker-featurestore-runtime", "get_record", {"FeatureGroupName": "g", "RecordIdentifierValueAsString": "1"}),
    ("sagemaker-edge", "get_device_registration", {"DeviceName": "d", "DeviceFleetName": "f"}),
]


@pytest.mark.parametrize(("service", "operation", "request_"), CALLS, ids=[f"{s}-{o}" for s, o, _ in CALLS])
def test_the_answer_is_the_same_both_ways(
    served: Served, service: str, operation: str, request_: dict[str, Any]
) -> None:
    def told(client: Any) -> Any:
        try:
            return plain(getattr(client, operation)(**request_))
        except ClientError as error:
            retries = error.response["ResponseMetadata"]["RetryAttempts"]
            return error.response["Error"]["Code"], error.response["Error"]["Message"], retries

    inside = told(served.local.client(service))
    assert told(served.client(service)) == inside
    if isinstance(inside, tuple):
        assert inside[2] == 0


def test_s3_control_is_told_by_its_path(served: Served) -> None:
    """Its clients put the account in front of the host, which DNS does not lead back here."""
    credential = "Credential=test/20261124/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
    headers = {"Authorization": f"AWS4-HMAC-SHA256 {credential}", "x-amz-account-id": "123456789012"}
    status, said = ask(served, "GET", "/v20180820/configuration/publicAccessBlock", **headers)
    assert (status, b"NoSuchPublicAccessBlockConfiguration" in said) == (404, True)


def test_queues_lead_back_to_the_server(served: Served) -> None:
    url = served.client("sqs").create_queue(QueueName="work")["QueueUrl"]
    assert url == f"{served.url}/123456789012/work"
    served.client("sqs").send_message(QueueUrl=url, MessageBody="hello")
    received = served.local.client("sqs").receive_message(QueueUrl=url)["Messages"]
    assert [message["Body"] for message in received] == ["hello"]


def test_what_clients_compress_arrives(served: Served) -> None:
    """Clients compress metric data of 10 KB and more."""
    data = [{"MetricName": f"m{number}", "Value": 1.0, "Unit": "Count"} for number in range(400)]
    served.client("cloudwatch").put_metric_data(Namespace="compressed", MetricData=data)
    listed = served.local.client("cloudwatch").list_metrics(Namespace="compressed")["Metrics"]
    assert len(listed) == 400


def test_every_answer_says_its_request_id(served: Served) -> None:
    for client in (served.client("sagemaker"), served.local.client("sagemaker")):
        first, second = client.list_pipelines(), client.list_pipelines()
        ids = {answer["ResponseMetadata"]["RequestId"] for answer in (first, second)}
        assert len(ids) == 2
        assert first["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"] in ids
        with pytest.raises(ClientError) as refused:
            client.describe_pipeline(PipelineName="none")
        assert refused.value.response["ResponseMetadata"]["RequestId"]


# ---------------------------------------------------------------- S3


def test_any_key_and_content_come_back(served: Served) -> None:
    s3 = served.client("s3")
    for key in ("plain", "a/b c/d+e", "ü/日本", "%41%2F", "q?x=1&y#z", "a//b", "..", "tab\tkey"):
        content = os.urandom(100) + key.encode()
        s3.put_object(Bucket=BUCKET, Key=key, Body=content)
        assert s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == content
        assert served.local.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read() == content
        assert s3.head_object(Bucket=BUCKET, Key=key)["ContentLength"] == len(content)
    assert {"plain", "ü/日本", "q?x=1&y#z"} <= {o["Key"] for o in s3.list_objects_v2(Bucket=BUCKET)["Contents"]}


def test_metadata_keeps_its_underscores(served: Served) -> None:
    """moto, too, tells ``a_b`` from ``a-b``; most WSGI servers do not."""
    metadata = {"with_underscore": "1", "with-hyphen": "2"}
    served.client("s3").put_object(Bucket=BUCKET, Key="meta", Body=b"", Metadata=metadata)
    assert served.client("s3").head_object(Bucket=BUCKET, Key="meta")["Metadata"] == metadata
    assert served.local.client("s3").head_object(Bucket=BUCKET, Key="meta")["Metadata"] == metadata


def test_files_in_parts_there_and_back(served: Served, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(20_000_000))
    served.client("s3").upload_file(str(source), BUCKET, "parts")
    served.client("s3").download_file(BUCKET, "parts", str(target))
    assert target.read_bytes() == source.read_bytes()
    assert served.client("s3").head_object(Bucket=BUCKET, Key="parts")["ETag"].endswith('-3"')


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA256", "CRC64NVME"])
def test_streams_with_trailing_checksums(served: Served, algorithm: str) -> None:
    content = os.urandom(300_000)
    body = io.BytesIO(content)
    try:
        served.client("s3").put_object(Bucket=BUCKET, Key="trailer", Body=body, ChecksumAlgorithm=algorithm)
    except MissingDependencyException:
        pytest.skip("awscrt, which botocore needs for this one, is not installed")
    assert served.client("s3").get_object(Bucket=BUCKET, Key="trailer")["Body"].read() == content


def test_presigned_urls_work_for_anybody_who_has_them(served: Served) -> None:
    place = {"Bucket": BUCKET, "Key": "presigned"}
    put = served.client("s3").generate_presigned_url("put_object", Params=place)
    assert ask(served, "PUT", put.removeprefix(served.url), b"content")[0] == 200
    get = served.client("s3").generate_presigned_url("get_object", Params=place)
    assert ask(served, "GET", get.removeprefix(served.url)) == (200, b"content")


@pytest.mark.parametrize(
    "host", ["{b}.s3.localhost", "{b}.localhost", "{b}.127.0.0.1", "{b}.s3.us-east-1.amazonaws.com", "{b}.s3.127.0.0.1"]
)
def test_the_host_may_name_the_bucket(served: Served, host: str) -> None:
    served.client("s3").put_object(Bucket=BUCKET, Key="by/host", Body=b"found")
    connection = http.client.HTTPConnection("127.0.0.1", served.port)
    credential = "Credential=test/20261124/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
    headers = {"Host": f"{host.format(b=BUCKET)}:{served.port}", "Authorization": f"AWS4-HMAC-SHA256 {credential}"}
    connection.request("GET", "/by/host", headers=headers)
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"found")
    connection.request("GET", "/?list-type=2&prefix=by/", headers=headers)
    assert b"<Key>by/host</Key>" in connection.getresponse().read()
    connection.close()


# ---------------------------------------------------------------- accounts and regions


def test_our_keys_name_their_account(served: Served) -> None:
    theirs = served.client("sagemaker", key="LOCALKEY111122223333")
    made = theirs.create_pipeline(PipelineName="theirs", PipelineDefinition=DEFINITION, RoleArn=ROLE)
    assert made["PipelineArn"] == "arn:aws:sagemaker:us-east-1:111122223333:pipeline/theirs"
    identity = served.client("sts", key="LOCALKEY111122223333").get_caller_identity()
    assert identity["Account"] == "111122223333"
    with pytest.raises(ClientError):
        served.client("sagemaker").describe_pipeline(PipelineName="theirs")


@pytest.mark.parametrize("key", ["test", "AKIAIOSFODNN7EXAMPLE", "LOCALKEY12345"])
def test_anybodys_key_leads_home(served: Served, key: str) -> None:
    assert served.client("sts", key=key).get_caller_identity()["Account"] == "123456789012"


@pytest.mark.parametrize("over_http", [True, False], ids=["http", "in process"])
def test_an_assumed_role_acts_in_its_account(served: Served, over_http: bool) -> None:
    name = f"across-{over_http}"
    sts = served.client("sts") if over_http else served.local.client("sts")
    key = sts.assume_role(RoleArn="arn:aws:iam::222233334444:role/visitor", RoleSessionName="visit")["Credentials"]
    if over_http:
        visitor = served.client("sagemaker", key=key["AccessKeyId"], token=key["SessionToken"])
    else:
        session = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], key["SessionToken"], "us-east-1")
        visitor = session.client("sagemaker")
    made = visitor.create_pipeline(PipelineName=name, PipelineDefinition=DEFINITION, RoleArn=ROLE)
    assert made["PipelineArn"] == f"arn:aws:sagemaker:us-east-1:222233334444:pipeline/{name}"


def test_a_users_key_leads_to_its_account(served: Served) -> None:
    iam = served.client("iam", key="LOCALKEY333344445555")
    iam.create_user(UserName="someone")
    key = iam.create_access_key(UserName="someone")["AccessKey"]["AccessKeyId"]
    assert served.client("sts", key=key).get_caller_identity()["Account"] == "333344445555"


def test_regions_are_apart(served: Served) -> None:
    made = served.client("sagemaker", region="eu-west-1").create_pipeline(
        PipelineName="regional", PipelineDefinition=DEFINITION, RoleArn=ROLE
    )
    assert made["PipelineArn"] == "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/regional"
    names = [p["PipelineName"] for p in served.client("sagemaker").list_pipelines()["PipelineSummaries"]]
    assert "regional" not in names


# ---------------------------------------------------------------- control


def control(served: Served, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
    status, said = ask(served, method, f"/_mlops_sm/{path}", body)
    return status, json.loads(said)


def test_the_account_says_how_it_is(served: Served) -> None:
    status, said = control(served, "GET", "status")
    assert status == 200
    assert said["pid"] == os.getpid()
    assert Path(said["state"]) == served.local.state.resolve()
    assert (said["account"], said["region"]) == ("123456789012", "us-east-1")
    assert said["running"] == {"executions": 0, "jobs": 0}


def test_the_clock_is_advanced_from_outside(served: Served) -> None:
    _, before = control(served, "GET", "clock")
    status, said = control(served, "POST", "clock/advance", b'{"seconds": 3600}')
    assert status == 200
    assert said["now"] > before["now"]
    assert served.local.clock().isoformat() >= said["now"]


NONSENSE = [
    *(b"", b"{", b"[]", b"5", b"[" * 100_000),
    *(b'{"seconds": "1"}', b'{"seconds": true}', b'{"seconds": -1}', b'{"seconds": 1e99}'),
    *(b'{"seconds": NaN}', b'{"seconds": Infinity}'),
]


@pytest.mark.parametrize("body", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_does_not_move_the_clock(served: Served, body: bytes) -> None:
    ahead = served.local.clock.ahead
    status, said = control(served, "POST", "clock/advance", body)
    assert (status, set(said)) == (400, {"message"})
    assert served.local.clock.ahead == ahead


def test_faults_are_planted_from_outside(served: Served) -> None:
    status, said = control(served, "POST", "faults", b'{"kind": "throttling", "name": "Train"}')
    assert (status, [each["name"] for each in said["pending"]]) == (200, ["Train"])
    assert control(served, "GET", "faults") == (200, said)
    assert control(served, "DELETE", "faults") == (200, {"pending": []})
    assert served.local.faults.pending() == []


NO_FAULTS = [
    *(b"", b"{", b"[]", b"5", b"[" * 100_000, b"{}", b'{"kind": "earthquake", "name": "x"}'),
    *(b'{"kind": "kill"}', b'{"kind": "kill", "name": "x", "wrong": 1}', b'{"kind": "kill", "name": 5}'),
    *(b'{"kind": "kill", "name": "x", "times": %s}' % wrong for wrong in (b"0", b'"1"', b"null", b"NaN", b"true")),
    *(b'{"kind": "kill", "name": "x", "seconds": %s}' % wrong for wrong in (b"-1", b"NaN", b'"1"')),
    *(b'{"kind": "kill", "name": "x", "after_lines": %s}' % wrong for wrong in (b"-1", b"0.5", b"[]")),
]


@pytest.mark.parametrize("body", NO_FAULTS, ids=range(len(NO_FAULTS)))
def test_nonsense_plants_no_fault(served: Served, body: bytes) -> None:
    status, said = control(served, "POST", "faults", body)
    assert (status, set(said)) == (400, {"message"})
    assert served.local.faults.pending() == []


@pytest.mark.parametrize(("method", "path", "status"), [("POST", "status", 405), ("GET", "nothing", 404)])
def test_there_is_nothing_else_under_control(served: Served, method: str, path: str, status: int) -> None:
    assert control(served, method, path)[0] == status


# ---------------------------------------------------------------- many at once


def test_a_hundred_connections_at_once(served: Served) -> None:
    body = b'{"PipelineName": "none"}'
    headers = {
        "X-Amz-Target": "SageMaker.DescribePipeline",
        "Content-Type": "application/x-amz-json-1.1",
        "Authorization": "AWS4-HMAC-SHA256 Credential=test/20261124/us-east-1/sagemaker/aws4_request, Signature=0",
    }
    together = threading.Barrier(100)
    statuses: list[int] = []

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", served.port)
        connection.connect()
        together.wait()
        connection.request("POST", "/", body, headers)
        statuses.append(connection.getresponse().status)
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [400] * 100
