"""Rounds of SIGKILL under load: whatever was acknowledged over HTTP is there when the state is opened again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError, HTTPClientError
from botocore.parsers import ResponseParserError

from mlops_sm import naming
from mlops_sm.emulator import LocalAccount
from mlops_sm.operations import resources

ACCOUNT = naming.LOCAL_ACCOUNT_ID
ROLE = f"arn:aws:iam::{ACCOUNT}:role/execution"
OWNER = """
import sys
from pathlib import Path
from mlops_sm.emulator import LocalAccount
account = LocalAccount.open(Path(sys.argv[1]))
print(account.endpoint_url, flush=True)
sys.stdin.read()
"""
TRUST = json.dumps(resources.TRUST)
GONE = (HTTPClientError, EndpointConnectionError, ResponseParserError, KeyError)
"""What a client gets when the owner dies; the last two, when it died between an answer's headers and its body."""
Work = Callable[["Load", int], None]


class Load:
    """Clients of a served account, and what it has acknowledged to them.

    Attributes:
        acknowledged: By kind, whatever is needed to look it up again.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = boto3.Session("AKIAIOSFODNN7EXAMPLE", "secret", region_name="us-east-1")
        self._clients: dict[str, Any] = {}
        self._changed = threading.Condition()
        self.acknowledged: dict[str, list[Any]] = defaultdict(list)

    def client(self, service: str) -> Any:
        with self._changed:
            if service not in self._clients:
                config = Config(retries={"max_attempts": 1}, connect_timeout=5, read_timeout=60)
                self._clients[service] = self._session.client(service, endpoint_url=self._url, config=config)
            return self._clients[service]

    def note(self, kind: str, what: Any) -> None:
        with self._changed:
            self.acknowledged[kind].append(what)
            self._changed.notify_all()

    def wait(self, count: int, kinds: int) -> None:
        """Until so much was acknowledged of every kind."""

        def enough() -> bool:
            return len(self.acknowledged) >= kinds and min(map(len, self.acknowledged.values())) >= count

        with self._changed:
            assert self._changed.wait_for(enough, timeout=120), dict(self.acknowledged)


def put_object(load: Load, number: int) -> None:
    body = f"body {number}"
    version = load.client("s3").put_object(Bucket="versioned", Key=f"k{number % 5}", Body=body)["VersionId"]
    load.note("object", (f"k{number % 5}", version, body))


def send_message(load: Load, number: int) -> None:
    url = load.client("sqs").get_queue_url(QueueName="work")["QueueUrl"]
    load.client("sqs").send_message(QueueUrl=url, MessageBody=f"m{number}")
    load.note("message", f"m{number}")


def create_role(load: Load, number: int) -> None:
    load.client("iam").create_role(RoleName=f"r{number}", AssumeRolePolicyDocument=TRUST)
    load.note("role", f"r{number}")


def create_key(load: Load, number: int) -> None:
    kms = load.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    load.note("secret", (f"plain {number}", kms.encrypt(KeyId=key, Plaintext=f"plain {number}")["CiphertextBlob"]))


def put_rule(load: Load, number: int) -> None:
    load.client("events").put_rule(Name=f"rule{number}", EventPattern=json.dumps({"source": ["nobody"]}))
    load.note("rule", f"rule{number}")


def create_topic(load: Load, number: int) -> None:
    load.note("topic", load.client("sns").create_topic(Name=f"t{number}")["TopicArn"])


def put_alarm(load: Load, number: int) -> None:
    load.client("cloudwatch").put_metric_alarm(
        AlarmName=f"a{number}",
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1,
        MetricName="m",
        Namespace="n",
        Period=60,
        Statistic="Sum",
        Threshold=1,
    )
    load.note("alarm", f"a{number}")


def start_execution(load: Load, number: int) -> None:
    sagemaker = load.client("sagemaker")
    document = definition(f"no {number}") if number % 2 else sleeping()
    arn = sagemaker.create_pipeline(
        PipelineName=f"p{number}",
        PipelineDefinition=document,
        RoleArn=ROLE,
        ClientRequestToken=f"{number:032d}",
        Tags=[{"Key": "number", "Value": str(number)}],
    )["PipelineArn"]
    load.note("pipeline", (arn, f"p{number}", str(number)))
    started = sagemaker.start_pipeline_execution(PipelineName=f"p{number}", ClientRequestToken=f"{number:032d}")
    load.note("execution", started["PipelineExecutionArn"])


def create_package(load: Load, number: int) -> None:
    package = load.client("sagemaker").create_model_package(
        ModelPackageGroupName="group",
        ModelPackageDescription=str(number),
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={
            "Containers": [{"Image": "python:3.11"}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
    )
    load.note("package", (package["ModelPackageArn"], str(number)))


WORK: tuple[Work, ...] = (
    put_object,
    send_message,
    create_role,
    create_key,
    put_rule,
    create_topic,
    put_alarm,
    start_execution,
    create_package,
)
KINDS = len(WORK) + 1


def definition(message: str) -> str:
    step = {"Name": "No", "Type": "Fail", "Arguments": {"ErrorMessage": message}}
    return json.dumps({"Version": "2020-12-01", "Metadata": {}, "Parameters": [], "Steps": [step]})


def sleeping() -> str:
    """A job that would run for ever."""
    arguments = {
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5}
        },
        "AppSpecification": {"ImageUri": "python:3.11", "ContainerEntrypoint": ["sleep", "infinity"]},
        "RoleArn": ROLE,
    }
    step = {"Name": "Sleeps", "Type": "Processing", "Arguments": arguments}
    return json.dumps({"Version": "2020-12-01", "Metadata": {}, "Parameters": [], "Steps": [step]})


def under_load(state: Path, first: int, count: int) -> dict[str, list[Any]]:
    """What an owner of the state acknowledged before it was killed; numbers begin at `first`."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(state)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    assert owner.stdin is not None
    try:
        load = Load(owner.stdout.readline().strip())
        if first == 0:
            load.client("s3").create_bucket(Bucket="versioned")
            load.client("s3").put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
            load.client("sqs").create_queue(QueueName="work")
            load.client("sagemaker").create_model_package_group(ModelPackageGroupName="group")
        failed: list[BaseException] = []
        threads = [threading.Thread(target=keep_on, args=(work, load, first, failed)) for work in WORK]
        for thread in threads:
            thread.start()
        load.wait(count, KINDS)
        owner.send_signal(signal.SIGKILL)
        for thread in threads:
            thread.join()
        assert not failed, failed
        return dict(load.acknowledged)
    finally:
        owner.kill()
        owner.wait()
        owner.stdin.close()
        owner.stdout.close()


def keep_on(work: Work, load: Load, first: int, failed: list[BaseException]) -> None:
    number = first
    try:
        while True:
            work(load, number)
            number += 1
    except GONE:
        return
    except BaseException as error:
        failed.append(error)


def check(account: LocalAccount, acknowledged: dict[str, list[Any]]) -> None:
    s3, kms, sagemaker = (account.client(name) for name in ("s3", "kms", "sagemaker"))
    for key, version, body in acknowledged["object"]:
        assert s3.get_object(Bucket="versioned", Key=key, VersionId=version)["Body"].read() == body.encode()
    for plain, secret in acknowledged["secret"]:
        assert kms.decrypt(CiphertextBlob=secret)["Plaintext"] == plain.encode()
    found = {
        "role": {role["RoleName"] for role in pages(account, "iam", "list_roles", "Roles")},
        "rule": {rule["Name"] for rule in pages(account, "events", "list_rules", "Rules")},
        "topic": {topic["TopicArn"] for topic in pages(account, "sns", "list_topics", "Topics")},
        "alarm": {alarm["AlarmName"] for alarm in pages(account, "cloudwatch", "describe_alarms", "MetricAlarms")},
    }
    for kind, there in found.items():
        assert set(acknowledged[kind]) <= there
    for arn, name, number in acknowledged["pipeline"]:
        assert sagemaker.describe_pipeline(PipelineName=name)["PipelineArn"] == arn
        assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "number", "Value": number}]
    for arn in acknowledged["execution"]:
        execution = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        assert execution["PipelineExecutionStatus"] == "Failed"
        assert execution["FailureReason"]
    for arn, number in acknowledged["package"]:
        assert sagemaker.describe_model_package(ModelPackageName=arn)["ModelPackageDescription"] == number


def pages(account: LocalAccount, service: str, operation: str, member: str) -> Iterator[Any]:
    for page in account.client(service).get_paginator(operation).paginate():
        yield from page[member]


def messages(account: LocalAccount) -> set[str]:
    """Every message of the queue, to be seen again at once."""
    sqs = account.client("sqs")
    url = sqs.get_queue_url(QueueName="work")["QueueUrl"]
    found: set[str] = set()
    while received := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        found |= {message["Body"] for message in received}
    return found


def contents(account: LocalAccount, state: Path) -> None:
    """Nothing is left of objects that nobody was told of."""
    named = len(account.client("s3").list_object_versions(Bucket="versioned").get("Versions", []))
    assert sum(1 for path in (state / "objects").glob("*/*")) == named


@pytest.mark.parametrize("rounds", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_what_was_acknowledged_is_there_after_sigkill(tmp_path: Path, rounds: int) -> None:
    state = tmp_path / "state"
    acknowledged: dict[str, list[Any]] = defaultdict(list)
    for round_ in range(rounds):
        for kind, what in under_load(state, round_ * 100_000, 2 + 3 * round_ % 7).items():
            acknowledged[kind] += what
        account = LocalAccount.open(state)
        try:
            check(account, acknowledged)
            contents(account, state)
            # Received here, a message stays invisible to the rounds after; only its own round looks for it.
            assert set(acknowledged.pop("message")) <= messages(account)
        finally:
            account.close()


def test_a_kill_while_a_refused_request_is_answered_keeps_the_rest(tmp_path: Path) -> None:
    """The way out of a name that is taken survives too: the first owner's role is the one that is found."""
    state = tmp_path / "state"
    account = LocalAccount.open(state)
    iam = account.client("iam")
    first = iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)["Role"]["RoleId"]
    with pytest.raises(ClientError, match="EntityAlreadyExists"):
        iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)
    account.close()
    account = LocalAccount.open(state)
    assert account.client("iam").get_role(RoleName="r")["Role"]["RoleId"] == first
    account.close()
