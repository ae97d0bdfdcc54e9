"""An account per test; clients once per process, because making one costs more than most tests."""

from __future__ import annotations

import copy
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

from mlops_sm.checks.service import sagemaker_model
from mlops_sm.emulator import LocalAccount

ROLE = "arn:aws:iam::123456789012:role/execution"
BUCKET = "emulator-tests"
Json = Any

_CLIENTS: dict[str, Any] = {}


class Clock:
    """A clock that moves one second whenever it is asked."""

    def __init__(self) -> None:
        # Less than a millisecond is not shown.
        self._now = datetime(2026, 11, 24, 9, 0, 0, 400, tzinfo=UTC)

    def __call__(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now


class Account:
    """An open account with a bucket, and what tests do with it again and again."""

    role = ROLE
    bucket = BUCKET

    def __init__(self, local: LocalAccount) -> None:
        self.local = local

    def client(self, service: str) -> Any:
        if service not in _CLIENTS:
            _CLIENTS[service] = self.local.client(service)
        return _CLIENTS[service]

    @property
    def sagemaker(self) -> Any:
        return self.client("sagemaker")

    @property
    def s3(self) -> Any:
        return self.client("s3")

    def put(self, key: str, body: bytes | str) -> str:
        content = body.encode() if isinstance(body, str) else body
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=content)
        return f"s3://{BUCKET}/{key}"

    def body(self, key: str) -> bytes:
        content: bytes = self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def processing_request(self, name: str, script: str, **members: Json) -> dict[str, Json]:
        """A CreateProcessingJob request whose job runs a script; its output folder is stored under ``name/out``."""
        uri = self.put(f"code/{name}.py", script)
        return {"ProcessingJobName": name, **processing_arguments(uri, f"s3://{BUCKET}/{name}/out"), **members}

    def training_request(self, name: str, script: str, **members: Json) -> dict[str, Json]:
        """A CreateTrainingJob request whose job runs a script."""
        uri = self.put(f"code/{name}.py", script)
        channel = {
            "ChannelName": "code",
            "DataSource": {
                "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
            },
        }
        return {
            "TrainingJobName": name,
            "AlgorithmSpecification": {
                "TrainingImage": "python:3.11",
                "TrainingInputMode": "File",
                "ContainerEntrypoint": ["python", f"/opt/ml/input/data/code/{name}.py"],
                "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
            },
            "RoleArn": ROLE,
            "InputDataConfig": [channel],
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/models"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
            **members,
        }

    def until(self, look: Callable[[], bool], what: str = "the condition") -> None:
        """Look until it is so; the test's own timeout is the limit, this one only says what was waited for."""
        for _ in range(6000):
            if look():
                return
            time.sleep(0.01)
        raise AssertionError(f"waited in vain for {what}")

    def execution_end(self, arn: str) -> dict[str, Json]:
        def described() -> dict[str, Json]:
            answer: dict[str, Json] = self.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
            return answer

        self.until(lambda: described()["PipelineExecutionStatus"] not in {"Executing", "Stopping"}, "the execution")
        return described()

    def processing_end(self, name: str) -> dict[str, Json]:
        def described() -> dict[str, Json]:
            answer: dict[str, Json] = self.sagemaker.describe_processing_job(ProcessingJobName=name)
            return answer

        self.until(lambda: described()["ProcessingJobStatus"] not in {"InProgress", "Stopping"}, "the job")
        return described()

    def training_end(self, name: str) -> dict[str, Json]:
        def described() -> dict[str, Json]:
            answer: dict[str, Json] = self.sagemaker.describe_training_job(TrainingJobName=name)
            return answer

        self.until(lambda: described()["TrainingJobStatus"] not in {"InProgress", "Stopping"}, "the job")
        return described()

    def steps(self, execution: str) -> dict[str, dict[str, Json]]:
        answer = self.sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=execution)
        return {step["StepName"]: step for step in answer["PipelineExecutionSteps"]}

    def create_pipeline(self, name: str, *steps: Mapping[str, Json], **members: Json) -> str:
        parameters = members.pop("parameters", [])
        answer = self.sagemaker.create_pipeline(
            PipelineName=name, PipelineDefinition=definition(*steps, parameters=parameters), RoleArn=ROLE, **members
        )
        arn: str = answer["PipelineArn"]
        return arn


class Operations:
    """SageMaker's operations by name; every answer is checked against the model's output shape."""

    def __init__(self, account: Account) -> None:
        self._client = account.sagemaker

    def __call__(self, operation: str, **request: Any) -> dict[str, Json]:
        answer: dict[str, Json] = getattr(self._client, xform_name(operation))(**request)
        answer.pop("ResponseMetadata")
        shape = sagemaker_model().operation_model(operation).output_shape
        if shape is not None:
            report = ParamValidator().validate(answer, shape)
            assert not report.has_errors(), f"{operation}: {report.generate_report()}"
        return answer

    def refused(self, operation: str, **request: Any) -> tuple[str, str]:
        """The code and the message of a request that is refused."""
        with pytest.raises(ClientError) as refused:
            self(operation, **request)
        error = refused.value.response["Error"]
        return error["Code"], error["Message"]


def processing_arguments(code: str, output: Json) -> dict[str, Json]:
    return {
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5}
        },
        "AppSpecification": {
            "ImageUri": "python:3.11",
            "ContainerEntrypoint": ["python", f"/opt/ml/processing/input/code/{code.rsplit('/', 1)[-1]}"],
        },
        "RoleArn": ROLE,
        "ProcessingInputs": [
            {
                "InputName": "code",
                "S3Input": {
                    "S3Uri": code,
                    "LocalPath": "/opt/ml/processing/input/code",
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }
        ],
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": "out",
                    "S3Output": {
                        "S3Uri": output,
                        "LocalPath": "/opt/ml/processing/out",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ]
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    }


def definition(*steps: Mapping[str, Json], parameters: list[Json] | None = None) -> str:
    return json.dumps(
        {"Version": "2020-12-01", "Metadata": {}, "Parameters": parameters or [], "Steps": [dict(s) for s in steps]}
    )


def fail_step(name: str = "No", message: Json = "no") -> dict[str, Json]:
    """A definition's smallest step that needs no job."""
    return {"Name": name, "Type": "Fail", "Arguments": {"ErrorMessage": message}}


class Steps:
    """Steps and definitions for tests."""

    definition = staticmethod(definition)
    fail = staticmethod(fail_step)

    @staticmethod
    def processing(name: str, code: str, output: Json = f"s3://{BUCKET}/out", **members: Json) -> dict[str, Json]:
        arguments = processing_arguments(code, output)
        return {"Name": name, "Type": "Processing", "Arguments": arguments, **members}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def open_account(state: Path) -> Iterator[Callable[..., Account]]:
    """Opens the account of the test's state directory, closing the one that was open before."""
    opened: list[LocalAccount] = []

    def open_it(**options: Any) -> Account:
        for account in opened:
            account.close()
        opened.clear()
        opened.append(LocalAccount.open(options.pop("state", state), **options))
        opened[0].ensure_bucket(BUCKET)
        return Account(opened[0])

    yield open_it
    for account in opened:
        account.close()


@pytest.fixture
def account(open_account: Callable[..., Account]) -> Account:
    return open_account()


@pytest.fixture
def operations(account: Account) -> Operations:
    return Operations(account)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ids() -> Callable[[int], str]:
    """Ids that can be foretold."""
    numbers = itertools.count(1)
    return lambda length: f"{next(numbers):0{length}d}"


@pytest.fixture
def make() -> type[Steps]:
    return Steps


# What the tests of tuning jobs share: a script whose loss is least for x = 2, and a request that searches for it.
TUNED = """
import json
values = json.load(open("/opt/ml/input/config/hyperparameters.json"))
x = float(values["x"])
print(f"loss={(x - 2) ** 2 + 1:.4f}", flush=True)
open("/opt/ml/model/x.txt", "w").write(values["x"])
"""
X = {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "4"}]}


@pytest.fixture
def tuning_request(account: Any) -> Any:
    """A request for a tuning job that minimizes `loss`; `config` members replace those of its configuration."""

    def make(name: str, script: str = TUNED, *, ranges: Any = X, jobs: int | None = 4, **config: Any) -> dict[str, Any]:
        job = account.training_request("tuned", script)
        definition = {
            "AlgorithmSpecification": {
                "TrainingImage": "python:3.11",
                "TrainingInputMode": "File",
                "MetricDefinitions": job["AlgorithmSpecification"]["MetricDefinitions"],
            },
            "StaticHyperParameters": {
                "sagemaker_program": "tuned.py",
                "sagemaker_submit_directory": "/opt/ml/input/data/code",
            },
            **{key: job[key] for key in ("RoleArn", "InputDataConfig", "OutputDataConfig", "ResourceConfig")},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        }
        limits = {"MaxParallelTrainingJobs": 2, **({} if jobs is None else {"MaxNumberOfTrainingJobs": jobs})}
        return {
            "HyperParameterTuningJobName": name,
            "HyperParameterTuningJobConfig": {
                "Strategy": "Random",
                "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
                "ResourceLimits": limits,
                "ParameterRanges": copy.deepcopy(ranges),
                "RandomSeed": 7,
                **config,
            },
            "TrainingJobDefinition": definition,
        }

    return make


@pytest.fixture
def tuning_end(account: Any, operations: Any) -> Any:
    """The description of a tuning job that has ended."""

    def wait(name: str) -> dict[str, Any]:
        def described() -> dict[str, Any]:
            answer: dict[str, Any] = operations("DescribeHyperParameterTuningJob", HyperParameterTuningJobName=name)
            return answer

        account.until(
            lambda: described()["HyperParameterTuningJobStatus"] not in {"InProgress", "Stopping"}, "the tuning job"
        )
        return described()

    return wait


@pytest.fixture
def training_jobs(operations: Any) -> Any:
    """The training jobs of a tuning job, by name unless another order is asked for."""

    def listed(name: str, **options: Any) -> list[dict[str, Any]]:
        answer = operations(
            "ListTrainingJobsForHyperParameterTuningJob",
            HyperParameterTuningJobName=name,
            **{"MaxResults": 100, **options},
        )
        found: list[dict[str, Any]] = answer["TrainingJobSummaries"]
        return found

    return listed
