"""Kinds of endpoints: asynchronous, serverless, shadow variants, several containers, many models."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from hosting import DOUBLE, IMAGE, Hosted, packed

from mlops_sm.local.warm import WarmWorkers

PICKY = """
def model_fn(model_dir): return None
def transform_fn(model, body, content_type, accept):
    if "bad" in body:
        raise ValueError("cannot do that")
    return body.upper(), "text/csv"
"""


@pytest.fixture
def account(open_account: Callable[..., Any]) -> Any:
    return open_account(warm=WarmWorkers(enabled=False))


@pytest.fixture
def hosted(account: Any) -> Hosted:
    return Hosted(account)


class Topics:
    """A topic for each end of a request, and what arrives there."""

    def __init__(self, account: Any) -> None:
        self.account = account
        self.queue = account.client("sqs").create_queue(QueueName="results")["QueueUrl"]
        self.arns = {}
        for name in ("success", "failure"):
            arn = account.client("sns").create_topic(Name=name)["TopicArn"]
            queue = "arn:aws:sqs:us-east-1:123456789012:results"
            account.client("sns").subscribe(
                TopicArn=arn, Protocol="sqs", Endpoint=queue, Attributes={"RawMessageDelivery": "true"}
            )
            self.arns[name] = arn

    def messages(self) -> list[dict[str, Any]]:
        self.account.local.settle()
        found = self.account.client("sqs").receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10)
        return [json.loads(message["Body"]) for message in found.get("Messages", [])]


def asynchronous(hosted: Hosted, topics: Topics | None = None, **output: Any) -> None:
    hosted.model({"code/inference.py": PICKY})
    config: dict[str, Any] = {
        "S3OutputPath": f"s3://{hosted.account.bucket}/out",
        "S3FailurePath": f"s3://{hosted.account.bucket}/failed",
        **output,
    }
    if topics is not None:
        config["NotificationConfig"] = {
            "SuccessTopic": topics.arns["success"],
            "ErrorTopic": topics.arns["failure"],
            "IncludeInferenceResponseIn": ["SUCCESS_NOTIFICATION_TOPIC"],
        }
    hosted.config(AsyncInferenceConfig={"OutputConfig": config})
    hosted.create()


def test_asynchronous_inference(hosted: Hosted) -> None:
    """Source: API reference, InvokeEndpointAsync; "Check prediction results" of the developer guide."""
    topics = Topics(hosted.account)
    asynchronous(hosted, topics)
    source = hosted.account.put("in/one.csv", "a,b")
    answer = hosted.runtime.invoke_endpoint_async(
        EndpointName="mine", InputLocation=source, ContentType="text/csv", InferenceId="first"
    )
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert answer["InferenceId"] == "first"
    assert answer["OutputLocation"] == f"s3://{hosted.account.bucket}/out/first.out"
    assert answer["FailureLocation"] == f"s3://{hosted.account.bucket}/failed/first-error.out"
    (message,) = topics.messages()
    assert hosted.account.body("out/first.out") == b"A,B"
    assert message.pop("eventTime") >= message.pop("receivedTime")
    assert message == {
        "awsRegion": "us-east-1",
        "invocationStatus": "Completed",
        "requestParameters": {"contentType": "text/csv", "endpointName": "mine", "inputLocation": source},
        "responseParameters": {"contentType": "text/csv", "outputLocation": answer["OutputLocation"]},
        "responseBody": {"content": "A,B", "encoding": "CSV"},
        "inferenceId": "first",
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }


def test_an_asynchronous_request_that_fails(hosted: Hosted) -> None:
    topics = Topics(hosted.account)
    asynchronous(hosted, topics)
    hosted.runtime.invoke_endpoint_async(EndpointName="mine", Body=b"bad", ContentType="text/csv", InferenceId="one")
    (message,) = topics.messages()
    assert message["invocationStatus"] == "Failed"
    assert "cannot do that" in message["failureReason"]
    assert "cannot do that" in hosted.account.body("failed/one-error.out").decode()
    hosted.runtime.invoke_endpoint_async(EndpointName="mine", InputLocation="s3://none/at/all", InferenceId="two")
    (message,) = topics.messages()
    assert "s3://none/at/all" in message["failureReason"]


def test_requests_that_wait_when_the_account_is_closed_are_answered_by_its_next_opening(
    hosted: Hosted, open_account: Callable[..., Any], state: Path
) -> None:
    asynchronous(hosted)
    hosted.runtime.invoke_endpoint_async(EndpointName="mine", Body=b"a", ContentType="text/csv", InferenceId="one")
    hosted.account.local.settle()
    assert hosted.account.body("out/one.out") == b"A"
    queue = state / "endpoints" / "mine" / ".queue"
    assert list(queue.iterdir()) == []
    hosted.account.local.close()
    waiting = {
        "scope": ["123456789012", "us-east-1"],
        "endpoint": "mine",
        "id": "two",
        "received": 1_800_000_000.0,
        "config": {"OutputConfig": {}},
        "source": "",
        "output": f"s3://{hosted.account.bucket}/out/two.out",
        "failure": "",
        "content_type": "text/csv",
        "accept": None,
        "attributes": None,
        "ttl": 4_000_000_000,
        "timeout": 60,
    }
    (queue / "2.json").write_text(json.dumps(waiting))
    (queue / "2.body").write_bytes(b"b")
    (queue / "3.json").write_text("half a req")
    again = open_account(warm=WarmWorkers(enabled=False))
    again.local.settle()
    assert again.body("out/two.out") == b"B"


def test_requests_of_the_other_kind_are_refused(hosted: Hosted) -> None:
    asynchronous(hosted)
    assert hosted.refused("mine", "a")[0] == "ValidationError"
    hosted.config("plain")
    hosted.create("plain", "plain")

    def refused(**members: Any) -> str:
        with pytest.raises(ClientError) as failed:
            hosted.runtime.invoke_endpoint_async(**members)
        return str(failed.value.response["Error"]["Code"])

    assert refused(EndpointName="plain", Body=b"a") == "ValidationError"
    assert refused(EndpointName="mine") == "ValidationError"
    assert refused(EndpointName="mine", Body=b"a", InputLocation="s3://bucket/key") == "ValidationError"
    assert refused(EndpointName="mine", Body=b"a" * 128_001) == "ValidationError"
    assert refused(EndpointName="none", Body=b"a") == "ValidationError"


def test_a_serverless_variant_takes_so_many_requests_at_once(hosted: Hosted, state: Path) -> None:
    hosted.model({"code/inference.py": WAITING})
    serverless = {"MemorySizeInMB": 1024, "MaxConcurrency": 1}
    hosted.config("config", hosted.variant(ServerlessConfig=serverless))
    (variant,) = hosted.create()["ProductionVariants"]
    assert variant["CurrentServerlessConfig"] == serverless
    answers: list[str] = []
    first = threading.Thread(target=lambda: answers.append(hosted.said("mine", "wait")))
    first.start()
    tmp = state / "endpoints" / "mine" / "AllTraffic"
    hosted.account.until(lambda: bool(list(tmp.glob("i-*/scratch/tmp/waits"))), "the first request")
    impatient = hosted.account.local.session().client(
        "sagemaker-runtime", config=Config(retries={"total_max_attempts": 1})
    )
    with pytest.raises(ClientError) as refused:
        impatient.invoke_endpoint(EndpointName="mine", Body=b"x")
    assert refused.value.response["Error"]["Code"] == "ThrottlingException"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    next(tmp.glob("i-*/scratch/tmp")).joinpath("go").touch()
    first.join()
    assert answers == ["done"]
    assert hosted.said("mine", "x") == "done"
    assert hosted.refused("mine", b"1" * (4 * 1024 * 1024 + 1))[0] == "ValidationError"


WAITING = """
import time
from pathlib import Path
def model_fn(model_dir): return Path("/opt/mlops-sm/tmp")
def transform_fn(tmp, body, content_type, accept):
    if body == "wait":
        (tmp / "waits").touch()
        while not (tmp / "go").exists():
            time.sleep(0.01)
    return "done", "text/plain"
"""


def test_a_shadow_is_asked_too_and_its_answer_kept(hosted: Hosted) -> None:
    account = hosted.account
    for name, factor in (("doubler", "2"), ("tripler", "3")):
        hosted.model({"code/inference.py": DOUBLE, "factor.json": factor}, name)
    hosted.config(
        "config",
        hosted.variant(),
        ShadowProductionVariants=[hosted.variant("Shadow", "tripler")],
        DataCaptureConfig={
            "InitialSamplingPercentage": 100,
            "DestinationS3Uri": f"s3://{account.bucket}/captured",
            "CaptureOptions": [{"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
        },
    )
    assert [each["VariantName"] for each in hosted.create()["ShadowProductionVariants"]] == ["Shadow"]
    answer = hosted.invoke("mine", "1")
    assert (answer["InvokedProductionVariant"], answer["Body"].read()) == ("AllTraffic", b"[2.0]")
    account.local.settle()
    said = {}
    for item in account.s3.list_objects_v2(Bucket=account.bucket, Prefix="captured/mine/")["Contents"]:
        line = json.loads(account.body(item["Key"]))
        said[item["Key"].split("/")[2]] = line["captureData"]["endpointOutput"]["data"]
    assert said == {"AllTraffic": "[2.0]", "Shadow": "[3.0]"}


def test_containers_answer_one_after_the_other(hosted: Hosted) -> None:
    containers = [container(hosted, "2"), container(hosted, "3", rows=True)]
    hosted.model(name="chain", Containers=containers)
    hosted.config("config", hosted.variant(model="chain"))
    hosted.create()
    assert hosted.said("mine", "1,2\n") == "[18.0]"
    assert hosted.refused("mine", "1", TargetContainerHostname="first")[0] == "ValidationError"


def test_containers_are_called_alone(hosted: Hosted) -> None:
    containers = [
        {**container(hosted, factor), "ContainerHostname": name} for name, factor in (("first", "2"), ("second", "3"))
    ]
    hosted.model(name="alone", Containers=containers, InferenceExecutionConfig={"Mode": "Direct"})
    hosted.config("config", hosted.variant(model="alone"))
    hosted.create()
    assert hosted.said("mine", "1", TargetContainerHostname="first") == "[2.0]"
    assert hosted.said("mine", "1", TargetContainerHostname="second") == "[3.0]"
    assert hosted.refused("mine", "1")[0] == "ValidationError"
    assert hosted.refused("mine", "1", TargetContainerHostname="third")[0] == "ValidationError"


def container(hosted: Hosted, factor: str, *, rows: bool = False) -> dict[str, Any]:
    script = DOUBLE.replace("for line in body.splitlines()", "for line in [body.strip('[]')]") if rows else DOUBLE
    url = hosted.account.put(
        f"models/factor-{factor}.tar.gz", packed({"code/inference.py": script, "factor.json": factor})
    )
    return {"Image": IMAGE, "ModelDataUrl": url}


def test_many_models_behind_one_container(hosted: Hosted) -> None:
    """Source: "Multi-model endpoints": models are loaded when they are first asked for."""
    account = hosted.account
    for name in ("2", "3", "team/4"):
        files = {"code/inference.py": DOUBLE, "factor.json": name[-1]}
        account.put(f"many/{name}.tar.gz", packed(files))
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://{account.bucket}/many/", "Mode": "MultiModel"}
    account.sagemaker.create_model(ModelName="many", ExecutionRoleArn=account.role, PrimaryContainer=container)
    hosted.config("config", hosted.variant(model="many"))
    assert hosted.create()["EndpointStatus"] == "InService"
    for name in ("2", "3", "team/4", "2"):
        assert hosted.said("mine", "1", TargetModel=f"{name}.tar.gz") == f"[{name[-1]}.0]"
    assert hosted.refused("mine", "1")[0] == "ValidationError"
    code, message = hosted.refused("mine", "1", TargetModel="5.tar.gz")
    assert (code, "many/5.tar.gz" in message) == ("ValidationError", True)
    account.put("many/5.tar.gz", packed({"code/inference.py": DOUBLE, "factor.json": "5"}))
    assert hosted.said("mine", "1", TargetModel="5.tar.gz") == "[5.0]"


def test_custom_attributes_go_both_ways(hosted: Hosted) -> None:
    hosted.model({"code/inference.py": ATTRIBUTES})
    hosted.config()
    hosted.create()
    answer = hosted.invoke("mine", "x", CustomAttributes="trace=7")
    assert answer["CustomAttributes"] == "answered trace=7"
    assert "CustomAttributes" not in hosted.invoke("mine", "x")


ATTRIBUTES = """
NAME = "X-Amzn-SageMaker-Custom-Attributes"
def model_fn(model_dir): return None
def transform_fn(model, body, content_type, accept, context):
    given = context.get_request_header(0, NAME)
    if given:
        context.set_response_header(0, NAME, "answered " + given)
    return body, accept
"""


def test_more_models_than_stay_loaded(hosted: Hosted) -> None:
    """Requests to many models at once: those that are unloaded for others answer what they were asked."""
    account = hosted.account
    for number in range(6):
        account.put(f"many/{number}.tar.gz", packed({"code/inference.py": DOUBLE, "factor.json": str(number)}))
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://{account.bucket}/many/", "Mode": "MultiModel"}
    account.sagemaker.create_model(ModelName="many", ExecutionRoleArn=account.role, PrimaryContainer=container)
    hosted.config("config", hosted.variant(model="many"))
    hosted.create()
    said: list[tuple[int, str]] = []

    def ask(number: int) -> None:
        said.extend((number, hosted.said("mine", "1", TargetModel=f"{number}.tar.gz")) for _ in range(3))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == [(number, f"[{number}.0]") for number in range(6) for _ in range(3)]
