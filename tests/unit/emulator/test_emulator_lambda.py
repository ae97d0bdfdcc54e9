"""Functions of Lambda run their own code, whoever calls them: clients, rules, topics, buckets, other functions."""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

ECHO = "def handler(event, context):\n    print('called with', event)\n    return event"
FAILS = "def handler(event, context):\n    raise ValueError('no')"
Json = Any


def zipped(code: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", code)
    return buffer.getvalue()


class Lambda:
    """Functions of an account, as short as tests want them."""

    def __init__(self, account: Any) -> None:
        self.account = account
        self.client = account.client("lambda")
        account.local.ensure_role(account.role)

    def create(self, code: str = ECHO, name: str = "f", **members: Json) -> str:
        members.setdefault("Timeout", 60)
        arn: str = self.client.create_function(
            FunctionName=name,
            Runtime="python3.12",
            Role=self.account.role,
            Handler="app.handler",
            Code={"ZipFile": zipped(code)},
            **members,
        )["FunctionArn"]
        return arn

    def invoke(self, payload: Json = None, name: str = "f", **members: Json) -> Json:
        answer = self.client.invoke(FunctionName=name, Payload=json.dumps(payload), **members)
        return {**answer, "Payload": answer["Payload"].read()}

    def log(self, name: str = "f") -> list[str]:
        assert self.account.local.settle()
        events = self.account.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
        return [event["message"].rstrip("\n") for event in events]

    def written(self) -> list[Json]:
        """What functions have put into the bucket, by key."""
        assert self.account.local.settle()
        found = self.account.s3.list_objects_v2(Bucket=self.account.bucket, Prefix="out/").get("Contents", [])
        return [json.loads(self.account.body(item["Key"])) for item in found]


class Queue:
    """A queue that calls a function."""

    def __init__(self, functions: Lambda, name: str = "work", **attributes: str) -> None:
        self.sqs = functions.account.client("sqs")
        self.url = self.sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "1", **attributes})[
            "QueueUrl"
        ]
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])
        self.arn = found["Attributes"]["QueueArn"]

    def left(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)


WRITES = """
import boto3, json
def handler(event, context):
    boto3.client("s3").put_object(Bucket="emulator-tests", Key=f"out/{context.aws_request_id}", Body=json.dumps(event))
"""


@pytest.fixture
def functions(account: Any) -> Lambda:
    return Lambda(account)


def test_a_function_is_called_and_answers(functions: Lambda) -> None:
    functions.create()
    answer = functions.invoke({"a": [1, "\u00fc"]})
    assert json.loads(answer["Payload"]) == {"a": [1, "\u00fc"]}
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert "FunctionError" not in answer
    assert "LogResult" not in answer


def test_the_tail_of_the_log_comes_back_when_asked_for(functions: Lambda) -> None:
    functions.create()
    log = base64.b64decode(functions.invoke(1, LogType="Tail")["LogResult"]).decode()
    assert "called with 1\n" in log
    assert re.search(r"^START RequestId: [0-9a-f-]{36} Version: \$LATEST$", log, re.MULTILINE)
    assert "REPORT RequestId: " in log


def test_the_log_is_in_cloudwatch(functions: Lambda) -> None:
    functions.create()
    functions.invoke({"x": 1})
    functions.invoke({"x": 2})
    lines = functions.log()
    assert [line for line in lines if line.startswith("called")] == ["called with {'x': 1}", "called with {'x': 2}"]
    streams = functions.account.client("logs").describe_log_streams(logGroupName="/aws/lambda/f")["logStreams"]
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", streams[0]["logStreamName"])


def test_a_failure_is_the_functions_not_the_requests(functions: Lambda) -> None:
    functions.create(FAILS)
    answer = functions.invoke()
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    told = json.loads(answer["Payload"])
    assert (told["errorType"], told["errorMessage"]) == ("ValueError", "no")
    assert told["requestId"] == answer["ResponseMetadata"]["RequestId"]
    assert "[ERROR] ValueError: no" in functions.log()


def test_it_ends_at_its_timeout(functions: Lambda) -> None:
    functions.create("import time\ndef handler(event, context):\n    time.sleep(1000)", Timeout=1)
    answer = functions.invoke()
    assert answer["FunctionError"] == "Unhandled"
    assert json.loads(answer["Payload"])["errorMessage"].endswith("Task timed out after 1.00 seconds")


def test_versions_and_aliases(functions: Lambda) -> None:
    code = "def handler(event, context):\n    return ['{}', context.function_version, context.invoked_function_arn]"
    arn = functions.create(code.format("one"))
    version = functions.client.publish_version(FunctionName="f")["Version"]
    functions.client.create_alias(FunctionName="f", Name="live", FunctionVersion=version)
    functions.client.update_function_code(FunctionName="f", ZipFile=zipped(code.format("two")))
    newest, published = ["two", "$LATEST"], ["one", version]
    assert json.loads(functions.invoke()["Payload"]) == [*newest, arn]
    for members in ({"Qualifier": version}, {"name": f"f:{version}"}, {"name": f"{arn}:{version}"}):
        answer = functions.invoke(**members)
        assert json.loads(answer["Payload"]) == [*published, f"{arn}:{version}"]
        assert answer["ExecutedVersion"] == version
    assert json.loads(functions.invoke(Qualifier="live")["Payload"]) == [*published, f"{arn}:live"]
    assert json.loads(functions.invoke(name="123456789012:function:f")["Payload"])[0] == "two"
    with pytest.raises(ClientError) as missing:
        functions.invoke(Qualifier="9")
    assert missing.value.response["Error"]["Code"] == "ResourceNotFoundException"
    assert missing.value.response["Error"]["Message"] == f"Function not found: {arn}:9"
    assert missing.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_its_own_calls_reach_the_account_with_its_own_variables(functions: Lambda) -> None:
    code = """
import boto3, os
def handler(event, context):
    boto3.client("s3").put_object(Bucket="emulator-tests", Key="out/x", Body=os.environ["WHAT"].encode())
    return boto3.client("sts").get_caller_identity()["Account"]
"""
    functions.create(code, Environment={"Variables": {"WHAT": "[1]"}})
    assert json.loads(functions.invoke()["Payload"]) == "123456789012"
    assert functions.written() == [[1]]


@pytest.mark.parametrize(
    ("members", "status", "code"),
    [
        ({"name": "missing"}, 404, "ResourceNotFoundException"),
        ({"payload": "x" * 6_300_000}, 413, "RequestTooLargeException"),
        ({"name": "missing", "InvocationType": "Event"}, 404, "ResourceNotFoundException"),
        ({"name": "missing", "InvocationType": "DryRun"}, 404, "ResourceNotFoundException"),
        ({"InvocationType": "Later"}, 400, "ValidationException"),
    ],
)
def test_requests_are_refused_as_lambda_does(functions: Lambda, members: Json, status: int, code: str) -> None:
    functions.create()
    with pytest.raises(ClientError) as refused:
        functions.invoke(**members)
    assert refused.value.response["Error"]["Code"] == code
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_a_payload_that_is_not_json_is_refused(functions: Lambda) -> None:
    functions.create()
    with pytest.raises(ClientError) as refused:
        functions.client.invoke(FunctionName="f", Payload=b"{no")
    assert refused.value.response["Error"]["Code"] == "InvalidRequestContentException"
    assert "Could not parse request body into json" in refused.value.response["Error"]["Message"]


def test_a_dry_run_runs_nothing(functions: Lambda) -> None:
    functions.create(WRITES)
    assert functions.invoke(InvocationType="DryRun")["StatusCode"] == 204
    assert functions.written() == []


def test_what_cannot_run_here_says_so(functions: Lambda) -> None:
    functions.client.create_function(
        FunctionName="node",
        Runtime="nodejs22.x",
        Role=functions.account.role,
        Handler="index.handler",
        Code={"ZipFile": zipped("x = 1")},
    )
    with pytest.raises(ClientError, match=r"nodejs22\.x.*zip archives for Python") as refused:
        functions.invoke(name="node")
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValueException"


def test_settings_that_have_no_effect_are_named(functions: Lambda, caplog: pytest.LogCaptureFixture) -> None:
    functions.create(EphemeralStorage={"Size": 1024}, TracingConfig={"Mode": "Active"})
    assert "TracingConfig, EphemeralStorage: without effect in the local account" in caplog.text
    mounted = [{"Arn": "arn:aws:elasticfilesystem:us-east-1:1:access-point/fsap-1", "LocalMountPath": "/mnt/x"}]
    with pytest.raises(ClientError, match="FileSystemConfigs: not available in the local account"):
        functions.create(name="g", FileSystemConfigs=mounted)


@pytest.mark.parametrize("content", [b"no zip", b""])
def test_an_archive_that_cannot_be_unpacked_is_refused_at_once(functions: Lambda, content: bytes) -> None:
    with pytest.raises(ClientError, match="Could not unzip uploaded file") as refused:
        functions.client.create_function(
            FunctionName="f",
            Runtime="python3.12",
            Role=functions.account.role,
            Handler="app.handler",
            Code={"ZipFile": content},
        )
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValueException"


def test_reserved_concurrency_of_nothing_lets_nobody_in(functions: Lambda) -> None:
    functions.create()
    functions.client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=0)
    with pytest.raises(ClientError) as refused:
        functions.invoke()
    assert refused.value.response["Error"]["Code"] == "TooManyRequestsException"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429


# ---------------------------------------------------------------- asynchronous


def test_an_asynchronous_call_returns_at_once(functions: Lambda) -> None:
    functions.create(WRITES)
    answer = functions.invoke({"a": 1}, InvocationType="Event")
    assert (answer["StatusCode"], answer["Payload"]) == (202, b"")
    assert functions.written() == [{"a": 1}]


def test_an_asynchronous_call_that_fails_is_tried_twice_more_and_then_reported(
    open_account: Callable[..., Any],
) -> None:
    """Source: "How Lambda handles errors and retries with asynchronous invocation", Lambda developer guide."""
    functions = Lambda(open_account())
    sqs = functions.account.client("sqs")
    url = sqs.create_queue(QueueName="failed")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    functions.create(FAILS)
    functions.client.put_function_event_invoke_config(
        FunctionName="f", DestinationConfig={"OnFailure": {"Destination": arn}}
    )
    functions.invoke({"a": 1}, InvocationType="Event")

    def runs() -> int:
        return sum(line.startswith("START") for line in functions.log())

    assert runs() == 1
    functions.account.local.clock.advance(seconds=59)
    functions.account.local.clock.advance(seconds=2)
    assert runs() == 2
    functions.account.local.clock.advance(minutes=3)
    assert runs() == 3
    (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
    record = json.loads(message["Body"])
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 3
    assert record["requestPayload"] == {"a": 1}
    assert record["responseContext"]["functionError"] == "Unhandled"
    assert record["responsePayload"]["errorType"] == "ValueError"


def test_a_dead_letter_queue_gets_what_fails(open_account: Callable[..., Any]) -> None:
    """Source: "Adding a dead-letter queue" of the Lambda developer guide."""
    functions = Lambda(open_account())
    queue = Queue(functions, "dead")
    functions.create(FAILS, DeadLetterConfig={"TargetArn": queue.arn})
    shown = functions.client.get_function_configuration(FunctionName="f")
    assert shown["DeadLetterConfig"] == {"TargetArn": queue.arn}
    functions.client.put_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=0)
    functions.invoke({"a": 1}, InvocationType="Event")
    assert functions.account.local.settle()
    (message,) = queue.sqs.receive_message(QueueUrl=queue.url, MessageAttributeNames=["All"])["Messages"]
    assert json.loads(message["Body"]) == {"a": 1}
    assert set(message["MessageAttributes"]) == {"RequestID", "ErrorCode", "ErrorMessage"}


def test_an_alias_divides_its_calls(functions: Lambda) -> None:
    functions.create("def handler(event, context):\n    return context.function_version")
    versions = [functions.client.publish_version(FunctionName="f")["Version"] for _ in range(1)]
    functions.client.update_function_code(
        FunctionName="f", ZipFile=zipped("def handler(event, context):\n    return 'new'")
    )
    versions.append(functions.client.publish_version(FunctionName="f")["Version"])
    functions.client.create_alias(
        FunctionName="f",
        Name="live",
        FunctionVersion=versions[0],
        RoutingConfig={"AdditionalVersionWeights": {versions[1]: 1.0}},
    )
    answer = functions.invoke(Qualifier="live")
    assert (json.loads(answer["Payload"]), answer["ExecutedVersion"]) == ("new", versions[1])


def test_success_is_reported_where_the_function_says(functions: Lambda) -> None:
    functions.create()
    functions.create(WRITES, name="then")
    then = functions.client.get_function(FunctionName="then")["Configuration"]["FunctionArn"]
    functions.client.put_function_event_invoke_config(
        FunctionName="f", DestinationConfig={"OnSuccess": {"Destination": then}}
    )
    functions.invoke({"a": 1}, InvocationType="Event")
    (record,) = functions.written()
    assert (record["requestContext"]["condition"], record["responsePayload"]) == ("Success", {"a": 1})


def test_a_bus_hears_of_success(functions: Lambda) -> None:
    """Source: "Capturing records of Lambda asynchronous invocations": source and detail type of the event."""
    queue = Queue(functions, "heard")
    events = functions.account.client("events")
    events.put_rule(Name="r", EventPattern=json.dumps({"source": ["lambda"]}))
    events.put_targets(Rule="r", Targets=[{"Id": "1", "Arn": queue.arn}])
    function = functions.create()
    bus = "arn:aws:events:us-east-1:123456789012:event-bus/default"
    functions.client.put_function_event_invoke_config(
        FunctionName="f", DestinationConfig={"OnSuccess": {"Destination": bus}}
    )
    functions.invoke({"a": 1}, InvocationType="Event")
    assert functions.account.local.settle()
    (message,) = queue.sqs.receive_message(QueueUrl=queue.url)["Messages"]
    event = json.loads(message["Body"])
    assert event["detail-type"] == "Lambda Function Invocation Result - Success"
    assert event["resources"] == [bus, f"{function}:$LATEST"]
    assert event["detail"]["responsePayload"] == {"a": 1}


def test_a_function_calls_another(functions: Lambda) -> None:
    functions.create(
        "import boto3\ndef handler(event, context):\n"
        "    return boto3.client('lambda').invoke(FunctionName='inner', Payload='[7]')['Payload'].read().decode()"
    )
    functions.create(name="inner")
    assert json.loads(functions.invoke()["Payload"]) == "[7]"


# ---------------------------------------------------------------- called by others


def test_a_rule_calls_a_function(functions: Lambda) -> None:
    arn = functions.create(WRITES)
    events = functions.account.client("events")
    events.put_rule(Name="r", EventPattern=json.dumps({"source": ["mine"]}))
    events.put_targets(Rule="r", Targets=[{"Id": "1", "Arn": arn, "InputPath": "$.detail"}])
    events.put_events(Entries=[{"Source": "mine", "DetailType": "d", "Detail": '{"a": 1}'}])
    assert functions.written() == [{"a": 1}]


def test_a_topic_calls_a_function_when_its_filter_lets_it(functions: Lambda) -> None:
    """Source: "Invoking Lambda functions with Amazon SNS notifications" of the Lambda developer guide."""
    arn = functions.create(WRITES)
    sns = functions.account.client("sns")
    topic = sns.create_topic(Name="topic")["TopicArn"]
    subscription = sns.subscribe(
        TopicArn=topic,
        Protocol="lambda",
        Endpoint=arn,
        Attributes={"FilterPolicy": json.dumps({"kind": ["good"]})},
        ReturnSubscriptionArn=True,
    )["SubscriptionArn"]
    for kind in ("bad", "good"):
        attribute = {"DataType": "String", "StringValue": kind}
        sns.publish(TopicArn=topic, Message="hello", Subject="s", MessageAttributes={"kind": attribute})
    (event,) = functions.written()
    (record,) = event["Records"]
    assert (record["EventSource"], record["EventSubscriptionArn"]) == ("aws:sns", subscription)
    told = record["Sns"]
    assert (told["Message"], told["Subject"], told["TopicArn"]) == ("hello", "s", topic)
    assert told["MessageAttributes"] == {"kind": {"Type": "String", "Value": "good"}}


def test_a_bucket_calls_a_function_which_uses_the_bucket(functions: Lambda) -> None:
    """A function that looks at the object whose request it was called for: nothing may wait for the other."""
    code = """
import boto3, json
def handler(event, context):
    record = event["Records"][0]["s3"]
    s3 = boto3.client("s3")
    body = s3.get_object(Bucket=record["bucket"]["name"], Key=record["object"]["key"])["Body"].read()
    s3.put_object(Bucket=record["bucket"]["name"], Key="out/copy", Body=body)
"""
    arn = functions.create(code)
    rules = [{"Name": "prefix", "Value": "in/"}]
    functions.account.s3.put_bucket_notification_configuration(
        Bucket=functions.account.bucket,
        NotificationConfiguration={
            "LambdaFunctionConfigurations": [
                {"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"], "Filter": {"Key": {"FilterRules": rules}}}
            ]
        },
    )
    functions.account.put("in/x", "[1, 2]")
    assert functions.written() == [[1, 2]]


def test_a_queue_calls_a_function(functions: Lambda) -> None:
    """Source: "Using Lambda with Amazon SQS" of the Lambda developer guide; messages that were there before count."""
    functions.create(WRITES)
    queue = Queue(functions, VisibilityTimeout="30")
    attributes = {"kind": {"DataType": "String", "StringValue": "good"}}
    queue.sqs.send_message(QueueUrl=queue.url, MessageBody="first", MessageAttributes=attributes)
    functions.client.create_event_source_mapping(EventSourceArn=queue.arn, FunctionName="f")
    functions.account.until(lambda: queue.left() == 0, "the first message")
    queue.sqs.send_message(QueueUrl=queue.url, MessageBody="second")
    functions.account.until(lambda: queue.left() == 0, "the second message")
    records = sorted((record for event in functions.written() for record in event["Records"]), key=lambda r: r["body"])
    assert [record["body"] for record in records] == ["first", "second"]
    assert (records[0]["eventSource"], records[0]["eventSourceARN"]) == ("aws:sqs", queue.arn)
    assert records[0]["messageAttributes"]["kind"]["stringValue"] == "good"
    assert records[0]["attributes"]["ApproximateReceiveCount"] == "1"


def test_what_a_function_fails_at_ends_in_the_queues_dead_letter_queue(functions: Lambda) -> None:
    dead = Queue(functions, "dead")
    redrive = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 2})
    queue = Queue(functions, RedrivePolicy=redrive)
    functions.create(
        "def handler(event, context):\n"
        "    bad = [r['messageId'] for r in event['Records'] if r['body'] == 'bad']\n"
        "    return {'batchItemFailures': [{'itemIdentifier': i} for i in bad]}"
    )
    functions.client.create_event_source_mapping(
        EventSourceArn=queue.arn, FunctionName="f", FunctionResponseTypes=["ReportBatchItemFailures"]
    )
    for body in ("good", "bad"):
        queue.sqs.send_message(QueueUrl=queue.url, MessageBody=body)
    functions.account.until(lambda: (queue.left(), dead.left()) == (0, 1), "the bad message")
    (message,) = dead.sqs.receive_message(QueueUrl=dead.url)["Messages"]
    assert message["Body"] == "bad"


def test_filters_and_disabled_mappings(functions: Lambda) -> None:
    functions.create(WRITES)
    queue = Queue(functions, VisibilityTimeout="30")
    identifier = functions.client.create_event_source_mapping(
        EventSourceArn=queue.arn,
        FunctionName="f",
        FilterCriteria={"Filters": [{"Pattern": json.dumps({"body": {"kind": ["good"]}})}]},
    )["UUID"]
    for kind in ("bad", "good"):
        queue.sqs.send_message(QueueUrl=queue.url, MessageBody=json.dumps({"kind": kind}))
    functions.account.until(lambda: queue.left() == 0, "both messages")
    bodies = [json.loads(record["body"]) for event in functions.written() for record in event["Records"]]
    assert bodies == [{"kind": "good"}]
    functions.client.delete_event_source_mapping(UUID=identifier)
    functions.account.until(lambda: not functions.account.local._work._machinery().pollers._threads, "the poller's end")
    queue.sqs.send_message(QueueUrl=queue.url, MessageBody="{}")
    assert queue.left() == 1


def test_mappings_survive_the_account(open_account: Callable[..., Any]) -> None:
    functions = Lambda(open_account())
    functions.create(WRITES)
    queue = Queue(functions, VisibilityTimeout="30")
    functions.client.create_event_source_mapping(EventSourceArn=queue.arn, FunctionName="f")
    again = Lambda(open_account())
    queue.sqs.send_message(QueueUrl=queue.url, MessageBody="late")
    again.account.until(lambda: queue.left() == 0, "the message")
    (event,) = again.written()
    assert event["Records"][0]["body"] == "late"


def test_functions_survive_the_account(open_account: Callable[..., Any]) -> None:
    Lambda(open_account()).create()
    again = Lambda(open_account())
    assert json.loads(again.invoke({"a": 1})["Payload"]) == {"a": 1}


def test_a_call_that_was_running_is_made_again_after_reopening(open_account: Callable[..., Any]) -> None:
    code = """
import boto3, json, time
def handler(event, context):
    s3 = boto3.client("s3")
    if s3.list_objects_v2(Bucket="emulator-tests", Prefix="begun").get("KeyCount"):
        s3.put_object(Bucket="emulator-tests", Key="out/x", Body=json.dumps(event))
        return
    s3.put_object(Bucket="emulator-tests", Key="begun", Body=b"")
    time.sleep(1000)
"""
    functions = Lambda(open_account())
    functions.create(code, Timeout=900)
    functions.invoke({"a": 1}, InvocationType="Event")
    account = functions.account
    account.until(lambda: account.s3.list_objects_v2(Bucket=account.bucket, Prefix="begun")["KeyCount"] == 1)
    assert Lambda(open_account()).written() == [{"a": 1}]
