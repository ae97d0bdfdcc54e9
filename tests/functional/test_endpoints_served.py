"""Endpoints of a running server: ended under load, nothing that was acknowledged is lost, and they answer again."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from command import begin, mlops, write
from hosting import DOUBLE, IMAGE, packed

from mlops_sm import naming
from mlops_sm.emulator import LocalAccount
from mlops_sm.local.warm import WarmWorkers
from mlops_sm.operations.clients import endpoint_session

PATIENCE = 60.0
BUCKET = "endpoints-served"


class Server:
    """``mlops-sm local up`` as a process."""

    def __init__(self, folder: Path) -> None:
        self.process = begin(folder, "local", "up", "--port", "0", stdin=subprocess.PIPE)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("ready http://"), line + self.process.communicate(timeout=PATIENCE)[1]
        key = naming.local_access_key(naming.LOCAL_ACCOUNT_ID)
        self._session = endpoint_session(line.split()[1], access_key=key, region="us-east-1")

    def client(self, service: str) -> Any:
        return self._session.client(service, config=Config(retries={"total_max_attempts": 1}))


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[[], Server]]:
    started: list[Server] = []

    def start() -> Server:
        started.append(Server(tmp_path))
        return started[-1]

    yield start
    for server in started:
        server.process.kill()
        server.process.communicate(timeout=PATIENCE)


def deploy(server: Server) -> None:
    s3, sagemaker = server.client("s3"), server.client("sagemaker")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="m.tar.gz", Body=packed({"code/inference.py": DOUBLE, "factor.json": "2"}))
    sagemaker.create_model(
        ModelName="doubler",
        ExecutionRoleArn="arn:aws:iam::123456789012:role/execution",
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/m.tar.gz"},
    )
    sagemaker.create_endpoint_config(
        EndpointConfigName="config",
        ProductionVariants=[
            {"VariantName": "a", "ModelName": "doubler", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
        ],
        DataCaptureConfig={
            "InitialSamplingPercentage": 100,
            "DestinationS3Uri": f"s3://{BUCKET}/captured",
            "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
        },
    )
    sagemaker.create_endpoint(EndpointName="mine", EndpointConfigName="config")
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="mine", WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def test_a_server_that_is_ended_under_load(up: Callable[[], Server]) -> None:
    server = up()
    deploy(server)
    acknowledged: list[str] = []
    enough = threading.Event()

    def ask(thread: int) -> None:
        runtime = server.client("sagemaker-runtime")
        for number in range(100_000):
            name = f"{thread}-{number}"
            try:
                answer = runtime.invoke_endpoint(
                    EndpointName="mine", Body="1,2", ContentType="text/csv", InferenceId=name
                )
                assert answer["Body"].read() == b"[6.0]"
            except (ClientError, BotoCoreError):
                break  # the server ends
            acknowledged.append(name)
            if number == 100:
                enough.set()
        runtime.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    assert enough.wait(PATIENCE)
    server.process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join()
    server.process.communicate(timeout=PATIENCE)
    assert server.process.returncode == 0
    again = up()
    s3 = again.client("s3")
    captured = set()
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="captured/"):
        for item in page["Contents"]:
            lines = s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read().splitlines()
            captured |= {json.loads(line)["eventMetadata"]["inferenceId"] for line in lines}
    assert set(acknowledged) <= captured
    now = datetime.now(UTC)
    (point,) = again.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName="Invocations",
        Dimensions=[{"Name": "EndpointName", "Value": "mine"}, {"Name": "VariantName", "Value": "a"}],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(hours=1),
        Period=7200,
        Statistics=["Sum"],
    )["Datapoints"]
    assert point["Sum"] >= len(acknowledged)
    answer = again.client("sagemaker-runtime").invoke_endpoint(
        EndpointName="mine", Body="3", ContentType="text/csv", Accept="application/json"
    )
    assert answer["Body"].read() == b"[6.0]"
    assert again.client("sagemaker").describe_endpoint(EndpointName="mine")["EndpointStatus"] == "InService"


def test_a_pipeline_deploys_from_the_command_line(tmp_path: Path) -> None:
    """The command ends and its endpoint stays: the next who opens the state can ask it."""
    state = tmp_path / ".mlops_sm"
    with LocalAccount.open(state, warm=WarmWorkers(enabled=False)) as account:
        account.ensure_bucket(BUCKET)
        archive = packed({"code/inference.py": DOUBLE, "factor.json": "2"})
        account.client("s3").put_object(Bucket=BUCKET, Key="m.tar.gz", Body=archive)
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/m.tar.gz"}
    variant = {
        "VariantName": "a",
        "ModelName": {"Get": "Steps.Model.ModelName"},
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.large",
    }
    role = "arn:aws:iam::123456789012:role/execution"
    steps = [
        {"Name": "Model", "Type": "Model", "Arguments": {"ExecutionRoleArn": role, "PrimaryContainer": container}},
        {
            "Name": "Config",
            "Type": "EndpointConfig",
            "Arguments": {"EndpointConfigName": "config", "ProductionVariants": [variant]},
        },
        {
            "Name": "Deploy",
            "Type": "Endpoint",
            "Arguments": {
                "EndpointName": "mine",
                "EndpointConfigName": {"Get": "Steps.Config.EndpointConfigName"},
            },
        },
    ]
    ran = mlops(tmp_path, "run", write(tmp_path, *steps), "--json")
    assert {step["name"]: step["status"] for step in json.loads(ran.stdout)["steps"]} == {
        "Model": "Succeeded",
        "Config": "Succeeded",
        "Deploy": "Succeeded",
    }
    assert "W430" in ran.stderr
    with LocalAccount.open(state, warm=WarmWorkers(enabled=False)) as account:
        runtime = account.client("sagemaker-runtime")
        answer = runtime.invoke_endpoint(EndpointName="mine", Body="1,2", ContentType="text/csv")
        assert answer["Body"].read() == b"[6.0]"
