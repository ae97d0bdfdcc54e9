"""Events and functions over HTTP, across accounts and regions, and when the process that owns them is killed."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from mlops_sm import naming
from mlops_sm.emulator.server import routes

ROOT = Path(__file__).parents[3]


def served(account: Any, service: str, *, region: str = "us-east-1", owner: str = "123456789012") -> Any:
    return boto3.client(
        service,
        endpoint_url=account.local.endpoint_url,
        region_name=region,
        aws_access_key_id=naming.local_access_key(owner),
        aws_secret_access_key="x",  # noqa: S106 - opens nothing anywhere
        config=Config(retries={"total_max_attempts": 1}),
    )


def queue(sqs: Any, name: str = "heard") -> tuple[str, str]:
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def heard(account: Any, sqs: Any, url: str) -> list[Any]:
    assert account.local.settle()
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    return [json.loads(message["Body"]) for message in messages]


def zipped(code: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", code)
    return buffer.getvalue()


def test_functions_and_events_over_http(account: Any) -> None:
    account.local.ensure_role(account.role)
    functions, events, sqs = (served(account, name) for name in ("lambda", "events", "sqs"))
    url, arn = queue(sqs)
    functions.create_function(
        FunctionName="f",
        Runtime="python3.12",
        Role=account.role,
        Handler="app.handler",
        Timeout=60,
        Code={"ZipFile": zipped("def handler(event, context):\n    return [event, context.function_version]")},
    )
    answer = functions.invoke(FunctionName="f", Payload=b'{"a": 1}', LogType="Tail")
    assert json.loads(answer["Payload"].read()) == [{"a": 1}, "$LATEST"]
    assert answer["ExecutedVersion"] == "$LATEST"
    assert answer["LogResult"]
    assert functions.invoke(FunctionName="f", InvocationType="Event")["StatusCode"] == 202
    assert functions.invoke(FunctionName="f", InvocationType="DryRun")["StatusCode"] == 204
    with pytest.raises(ClientError) as missing:
        functions.invoke(FunctionName="arn:aws:lambda:us-east-1:123456789012:function:g:live")
    assert missing.value.response["Error"]["Code"] == "ResourceNotFoundException"
    events.put_rule(Name="r", EventPattern=json.dumps({"source": ["mine"]}))
    events.put_targets(Rule="r", Targets=[{"Id": "1", "Arn": arn}])
    events.put_events(Entries=[{"Source": "mine", "DetailType": "d", "Detail": '{"b": 2}'}])
    assert [event["detail"] for event in heard(account, sqs, url)] == [{"b": 2}]
    sns = served(account, "sns")
    topic = sns.create_topic(Name="t")["TopicArn"]
    with pytest.raises(ClientError, match="not on this machine"):
        sns.subscribe(TopicArn=topic, Protocol="http", Endpoint="http://example.com/")
    with pytest.raises(ClientError, match="not on this machine"):
        sns.subscribe(TopicArn=topic, Protocol="http", Endpoint="http://[nowhere")


def test_operations_are_known_though_a_client_of_this_process_has_changed_the_model(account: Any) -> None:
    """Clients of S3 take ``/{Bucket}`` out of the model; notifications and saving go by the operation."""
    account.put("a", "x")
    account.s3.delete_objects(Bucket=account.bucket, Delete={"Objects": [{"Key": "a"}]})
    routes._routes.cache_clear()
    assert routes.rest_operation("s3", "POST", "/bucket", "delete", {}) == "DeleteObjects"
    assert routes.rest_operation("s3", "PUT", "/bucket/a/b", "", {}) == "PutObject"


def test_each_account_and_region_hears_its_own(account: Any) -> None:
    heard_by: dict[tuple[str, str], list[Any]] = {}
    places = [("123456789012", "us-east-1"), ("123456789012", "eu-west-1"), ("210987654321", "us-east-1")]
    clients = {}
    for owner, region in places:
        clients[owner, region] = {
            name: served(account, name, region=region, owner=owner) for name in ("sqs", "events", "sagemaker")
        }
        url, arn = queue(clients[owner, region]["sqs"])
        events = clients[owner, region]["events"]
        events.put_rule(Name="r", EventPattern=json.dumps({"source": ["aws.sagemaker"]}))
        events.put_targets(Rule="r", Targets=[{"Id": "1", "Arn": arn}])
        heard_by[owner, region] = [url]
    for owner, region in places:
        sagemaker = clients[owner, region]["sagemaker"]
        sagemaker.create_model_package_group(ModelPackageGroupName="g")
        sagemaker.create_model_package(ModelPackageGroupName="g")
    for owner, region in places:
        (url,) = heard_by[owner, region]
        (event,) = heard(account, clients[owner, region]["sqs"], url)
        assert (event["account"], event["region"]) == (owner, region)
        assert event["resources"] == [f"arn:aws:sagemaker:{region}:{owner}:model-package/g/1"]


def test_a_rule_passes_an_event_on_to_another_account(account: Any) -> None:
    other = {name: served(account, name, owner="210987654321") for name in ("sqs", "events")}
    url, arn = queue(other["sqs"])
    other["events"].put_rule(Name="r", EventPattern=json.dumps({"source": ["mine"]}))
    other["events"].put_targets(Rule="r", Targets=[{"Id": "1", "Arn": arn}])
    events = account.client("events")
    events.put_rule(Name="out", EventPattern=json.dumps({"source": ["mine"]}))
    bus = "arn:aws:events:us-east-1:210987654321:event-bus/default"
    events.put_targets(Rule="out", Targets=[{"Id": "1", "Arn": bus}])
    events.put_events(Entries=[{"Source": "mine", "DetailType": "d", "Detail": "{}"}])
    (event,) = heard(account, other["sqs"], url)
    assert event["account"] == "123456789012"


OWNER = """
import json, sys
from pathlib import Path
from mlops_sm.emulator import LocalAccount
account = LocalAccount.open(Path(sys.argv[1]))
sqs, events, sagemaker = (account.client(name) for name in ("sqs", "events", "sagemaker"))
url = sqs.create_queue(QueueName="heard")["QueueUrl"]
arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
events.put_rule(Name="r", EventPattern=json.dumps({"detail": {"ModelApprovalStatus": ["Approved"]}}))
events.put_targets(Rule="r", Targets=[{"Id": "1", "Arn": arn}])
sagemaker.create_model_package_group(ModelPackageGroupName="g")
while True:
    package = sagemaker.create_model_package(ModelPackageGroupName="g")["ModelPackageArn"]
    sagemaker.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved")
    print(package, flush=True)
"""


RUNNING = """
import json, sys
from pathlib import Path
from mlops_sm.emulator import LocalAccount
account = LocalAccount.open(Path(sys.argv[1]))
sqs, events, sagemaker, s3 = (account.client(name) for name in ("sqs", "events", "sagemaker", "s3"))
url = sqs.create_queue(QueueName="heard")["QueueUrl"]
arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
events.put_rule(Name="r", EventPattern=json.dumps({"detail": {"ProcessingJobStatus": ["Failed"]}}))
events.put_targets(Rule="r", Targets=[{"Id": "1", "Arn": arn}])
account.ensure_bucket("code")
s3.put_object(Bucket="code", Key="job.py", Body=b"import time; time.sleep(1000)")
place = {"LocalPath": "/opt/ml/processing/input/code", "S3DataType": "S3Prefix", "S3InputMode": "File"}
sagemaker.create_processing_job(
    ProcessingJobName="job",
    RoleArn="arn:aws:iam::123456789012:role/x",
    AppSpecification={"ImageUri": "python:3.11", "ContainerEntrypoint": ["python", place["LocalPath"] + "/job.py"]},
    ProcessingResources={"ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}},
    ProcessingInputs=[{"InputName": "code", "S3Input": {"S3Uri": "s3://code/job.py", **place}}],
)
print("started", flush=True)
sys.stdin.read()
"""


def test_what_an_opening_finds_broken_off_is_announced_too(open_account: Callable[..., Any], state: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RUNNING, str(state)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "started\n"
        owner.send_signal(signal.SIGKILL)
    account = open_account()
    sqs = account.client("sqs")
    (event,) = heard(account, sqs, sqs.get_queue_url(QueueName="heard")["QueueUrl"])
    assert event["detail"]["ProcessingJobName"] == "job"
    assert event["detail"]["FailureReason"].startswith("InternalServerError: the process that owned")


def test_every_approval_that_was_acknowledged_is_heard_of_though_the_process_was_killed(
    open_account: Callable[..., Any], state: Path
) -> None:
    """SIGKILL while approvals are made and delivered; at least once, after reopening."""
    acknowledged: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(state)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as owner:
        assert owner.stdout is not None
        for line in owner.stdout:
            acknowledged.append(line.strip())
            if len(acknowledged) == 20:
                owner.send_signal(signal.SIGKILL)
    account = open_account()
    sqs = account.client("sqs")
    assert account.local.settle()
    url = sqs.get_queue_url(QueueName="heard")["QueueUrl"]
    resources: set[str] = set()
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        resources |= {json.loads(message["Body"])["resources"][0] for message in messages}
    assert len(acknowledged) >= 20
    assert set(acknowledged) <= resources
