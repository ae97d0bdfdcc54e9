"""Endpoints through the API: created, called, shown, ended."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError
from hosting import DOUBLE, Hosted

from mlops_sm.local.warm import WarmWorkers


@pytest.fixture
def account(open_account: Callable[..., Any]) -> Any:
    # Its models need nothing that is worth a warm worker.
    return open_account(warm=WarmWorkers(enabled=False))


@pytest.fixture
def hosted(account: Any) -> Hosted:
    return Hosted(account)


def test_an_endpoint_answers(hosted: Hosted, operations: Any) -> None:
    hosted.model({"code/inference.py": DOUBLE, "factor.json": "2"})
    hosted.config()
    arn = operations("CreateEndpoint", EndpointName="mine", EndpointConfigName="config")["EndpointArn"]
    assert arn == "arn:aws:sagemaker:us-east-1:123456789012:endpoint/mine"
    described = hosted.ready("mine")
    assert described["EndpointStatus"] == "InService"
    assert described["EndpointConfigName"] == "config"
    (variant,) = described["ProductionVariants"]
    assert variant["VariantName"] == "AllTraffic"
    assert (variant["CurrentWeight"], variant["DesiredWeight"]) == (1.0, 1.0)
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (1, 1)
    assert variant["DeployedImages"][0]["SpecifiedImage"] == hosted.image
    assert "PendingDeploymentSummary" not in described
    answer = hosted.invoke("mine", "1,2\n3,4\n", Accept="application/json")
    assert answer["ContentType"] == "application/json"
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert answer["Body"].read() == b"[6.0, 14.0]"


def test_a_waiter_need_not_look_twice(hosted: Hosted) -> None:
    """It would look again only after half a minute. A busy machine gets a second chance."""
    hosted.model({"code/inference.py": DOUBLE, "factor.json": "2"})
    hosted.config()
    client = hosted.account.sagemaker

    def is_ready_at_once(name: str) -> bool:
        client.create_endpoint(EndpointName=name, EndpointConfigName="config")
        try:
            client.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"MaxAttempts": 1})
        except WaiterError:
            return False
        return True

    assert any(is_ready_at_once(f"mine-{number}") for number in range(10))


def test_what_is_deployed_does_not_change_with_its_parts(hosted: Hosted, operations: Any) -> None:
    hosted.serve()
    operations("DeleteEndpointConfig", EndpointConfigName="config")
    operations("DeleteModel", ModelName="doubler")
    assert hosted.said("mine", "1,2") == "[6.0]"


def test_an_endpoint_is_there_again_when_the_account_is_opened_again(
    open_account: Callable[..., Any],
) -> None:
    Hosted(open_account(warm=WarmWorkers(enabled=False))).serve()
    again = Hosted(open_account(warm=WarmWorkers(enabled=False)))
    assert again.described("mine")["EndpointStatus"] == "InService"
    assert again.said("mine", "1,2") == "[6.0]"


def test_errors_of_names(hosted: Hosted, operations: Any) -> None:
    """Sources: answers of the service in public issue trackers, e.g. aws/amazon-sagemaker-examples#559."""
    hosted.serve()
    arn = "arn:aws:sagemaker:us-east-1:123456789012"
    refused = operations.refused
    invalid = "ValidationException"
    assert refused("CreateEndpoint", EndpointName="MINE", EndpointConfigName="config") == (
        invalid,
        f'Cannot create already existing endpoint "{arn}:endpoint/MINE".',
    )
    assert refused("CreateEndpoint", EndpointName="new", EndpointConfigName="none") == (
        invalid,
        f'Could not find endpoint configuration "{arn}:endpoint-config/none".',
    )
    for operation in ("DescribeEndpoint", "DeleteEndpoint"):
        assert refused(operation, EndpointName="none") == (
            invalid,
            f'Could not find endpoint "{arn}:endpoint/none".',
        )
    assert hosted.refused("none", "1") == ("ValidationError", "Endpoint none of account 123456789012 not found.")
    assert hosted.refused("mine", "1", TargetVariant="other")[0] == "ValidationError"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"code/inference.py": "raise ImportError('no such luck')"}, "ImportError: no such luck"),
        (b"no archive", "Please ensure that the object located at the URL is a valid tar.gz archive"),
        (None, "models/none.tar.gz"),
    ],
)
def test_a_model_that_cannot_be_loaded(hosted: Hosted, operations: Any, files: Any, reason: str) -> None:
    if files is None:
        hosted.model(url=f"s3://{hosted.account.bucket}/models/none.tar.gz")
    else:
        hosted.model(files)
    hosted.config()
    operations("CreateEndpoint", EndpointName="mine", EndpointConfigName="config")
    described = hosted.ready("mine")
    assert described["EndpointStatus"] == "Failed"
    assert reason in described["FailureReason"]
    if isinstance(files, dict):
        assert described["FailureReason"].startswith(
            "The primary container for production variant AllTraffic did not pass the ping health check. Please check "
            "CloudWatch logs for this endpoint."
        )
    assert hosted.refused("mine", "1")[0] == "ValidationError"
    operations("DeleteEndpoint", EndpointName="mine")
    hosted.gone("mine")


def test_lists(hosted: Hosted, operations: Any) -> None:
    hosted.serve("one")
    operations("CreateEndpoint", EndpointName="two", EndpointConfigName="config")
    hosted.ready("two")
    assert [each["EndpointName"] for each in operations("ListEndpoints")["Endpoints"]] == ["two", "one"]
    found = operations("ListEndpoints", SortBy="Name", SortOrder="Ascending", MaxResults=1)
    assert [each["EndpointName"] for each in found["Endpoints"]] == ["one"]
    more = operations("ListEndpoints", SortBy="Name", SortOrder="Ascending", MaxResults=1, NextToken=found["NextToken"])
    assert [each["EndpointName"] for each in more["Endpoints"]] == ["two"]
    assert operations("ListEndpoints", StatusEquals="Failed")["Endpoints"] == []
    assert [each["EndpointName"] for each in operations("ListEndpoints", NameContains="tw")["Endpoints"]] == ["two"]


def test_a_deleted_endpoint_is_gone_with_its_processes(hosted: Hosted, operations: Any) -> None:
    hosted.model({"code/inference.py": "import os\ndef model_fn(d): return os.getpid()\n" + TRANSFORM})
    hosted.config()
    operations("CreateEndpoint", EndpointName="mine", EndpointConfigName="config")
    hosted.ready("mine")
    pid = int(hosted.said("mine", "pid"))
    assert is_running(pid)
    operations("DeleteEndpoint", EndpointName="mine")
    hosted.gone("mine")
    assert not is_running(pid)
    assert hosted.refused("mine", "1")[0] == "ValidationError"


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


TRANSFORM = """
def transform_fn(pid, body, content_type, accept):
    if body == "fail":
        raise ValueError("cannot do that")
    return str(pid), "text/plain"
"""


def test_a_process_that_died_is_replaced_and_nobody_notices(hosted: Hosted, operations: Any) -> None:
    hosted.model({"code/inference.py": "import os\ndef model_fn(d): return os.getpid()\n" + TRANSFORM})
    hosted.config()
    operations("CreateEndpoint", EndpointName="mine", EndpointConfigName="config")
    hosted.ready("mine")
    killed = set()
    for _ in range(4):
        pid = int(hosted.said("mine", "pid"))
        assert pid not in killed
        os.kill(pid, signal.SIGKILL)
        hosted.account.until(lambda pid=pid: not is_running(pid), "the process's end")
        killed.add(pid)


def test_a_server_that_died_is_started_again(hosted: Hosted) -> None:
    """All of it: the process that looks after the others, and with it they."""
    hosted.model({"code/inference.py": "import os\ndef model_fn(d): return os.getppid()\n" + TRANSFORM})
    hosted.config()
    hosted.create()
    first = int(hosted.said("mine", "pid"))
    os.kill(first, signal.SIGKILL)
    hosted.account.until(lambda: not is_running(first), "the server's end")
    assert int(hosted.said("mine", "pid")) != first
    assert hosted.described()["EndpointStatus"] == "InService"


def test_what_a_model_fails_at(hosted: Hosted, operations: Any) -> None:
    """Source: aws/amazon-sagemaker-examples#407; API reference, ModelError."""
    hosted.model({"code/inference.py": "import os\ndef model_fn(d): return os.getpid()\n" + TRANSFORM})
    hosted.config()
    operations("CreateEndpoint", EndpointName="mine", EndpointConfigName="config")
    hosted.ready("mine")
    with pytest.raises(ClientError) as failed:
        hosted.invoke("mine", "fail")
    response = failed.value.response
    assert response["Error"]["Code"] == "ModelError"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert response["OriginalStatusCode"] == 500
    assert response["OriginalMessage"] == "ValueError: cannot do that"
    assert response["LogStreamArn"] == ("arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/Endpoints/mine")
    assert response["Error"]["Message"] == (
        'Received server error (500) from primary with message "ValueError: cannot do that". See '
        "https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1#logEventViewer:group="
        "/aws/sagemaker/Endpoints/mine in account 123456789012 for more information."
    )
    assert hosted.invoke("mine", "fine")["Body"].read().isdigit()


def test_a_payload_that_is_too_long(hosted: Hosted) -> None:
    hosted.serve()
    code, message = hosted.refused("mine", b"1" * 6_291_457)
    assert code == "ValidationError"
    assert "Member must have length less than or equal to 6291456" in message


def test_its_states_are_announced(hosted: Hosted, operations: Any) -> None:
    """Source: "Events that Amazon SageMaker AI sends to Amazon EventBridge", SageMaker endpoint state change."""
    account = hosted.account
    queue = account.client("sqs").create_queue(QueueName="states")["QueueUrl"]
    pattern = {"source": ["aws.sagemaker"], "detail-type": ["SageMaker Endpoint State Change"]}
    account.client("events").put_rule(Name="states", EventPattern=json.dumps(pattern))
    target = {"Id": "1", "Arn": "arn:aws:sqs:us-east-1:123456789012:states"}
    account.client("events").put_targets(Rule="states", Targets=[target])
    hosted.serve()
    operations("DeleteEndpoint", EndpointName="mine")
    hosted.gone()
    account.local.settle()
    told = account.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    details = [json.loads(message["Body"])["detail"] for message in told]
    assert {detail["EndpointStatus"] for detail in details} == {"CREATING", "IN_SERVICE", "DELETING"}
    assert {detail["EndpointName"] for detail in details} == {"mine"}


def test_it_is_found_and_tagged(hosted: Hosted, operations: Any) -> None:
    hosted.serve()
    arn = hosted.described()["EndpointArn"]
    operations("AddTags", ResourceArn=arn, Tags=[{"Key": "team", "Value": "loans"}])
    filters = [{"Name": "EndpointStatus", "Operator": "Equals", "Value": "InService"}]
    (found,) = operations("Search", Resource="Endpoint", SearchExpression={"Filters": filters})["Results"]
    assert found["Endpoint"]["EndpointArn"] == arn
    assert found["Endpoint"]["Tags"] == [{"Key": "team", "Value": "loans"}]


SERVE = """#!{python}
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.say(b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.say(body.upper(), self.headers.get("X-Amzn-SageMaker-Custom-Attributes"))
    def say(self, body, attributes=None):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        if attributes:
            self.send_header("X-Amzn-SageMaker-Custom-Attributes", attributes + "!")
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""


def test_an_image_with_a_program_of_its_own(open_account: Callable[..., Any], tmp_path: Path) -> None:
    """Two variants listen on port 8080 at once, each in a network of its own."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "serve").write_text(SERVE.format(python=sys.executable))
    (programs / "serve").chmod(0o755)
    hosted = Hosted(open_account(warm=WarmWorkers(enabled=False), images={"mine": str(programs)}))
    hosted.account.sagemaker.create_model(
        ModelName="own", ExecutionRoleArn=hosted.account.role, PrimaryContainer={"Image": "mine:1"}
    )
    hosted.config("config", hosted.variant("a", "own"), hosted.variant("b", "own"))
    hosted.create()
    for name in ("a", "b"):
        answer = hosted.invoke("mine", "hello", TargetVariant=name, CustomAttributes="trace")
        assert answer["Body"].read() == b"HELLO"
        assert (answer["ContentType"], answer["CustomAttributes"]) == ("text/plain", "trace!")
