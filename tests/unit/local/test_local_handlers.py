"""What a step asks of the control plane and what it makes of the answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from mlops_sm.definition.document import Step
from mlops_sm.definition.kinds import StepKind
from mlops_sm.engine.status import Failed, Stopped, Succeeded
from mlops_sm.local.handlers import HANDLERS, FunctionAnswer, ServiceError, StepResult, StepRun
from mlops_sm.local.handlers.lambda_step import run_lambda
from mlops_sm.local.handlers.request import as_request

Answer = dict[str, Any] | ServiceError


class Plane:
    """A control plane with prepared answers; remembers its calls."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = answers
        self.calls: list[tuple[str, Mapping[str, Any]]] = []
        self.on_wait: Callable[[], None] = lambda: None

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        self.calls.append((operation, request))
        answer = self.answers[operation]
        if isinstance(answer, ServiceError):
            raise answer
        return answer

    def invoke_function(self, function: str, payload: str) -> FunctionAnswer:
        self.on_wait()
        return FunctionAnswer("{}")

    def wait_for_job(self, describe: str, request: Mapping[str, Any], stop: threading.Event) -> dict[str, Any]:
        self.on_wait()
        return self.call(describe, request)


def prepared(kind: StepKind, plane: Plane, arguments: dict[str, Any], **members: Any) -> StepRun:
    return StepRun(
        step=Step(name="My-Step", kind=kind, arguments=arguments),
        arguments=arguments,
        execution_id="abc123def456",
        execution_arn="arn:execution",
        pipeline_name="pipe",
        control=plane,
        stop=members.pop("stop", threading.Event()),
        new_suffix=lambda: "0123456789",
        **members,
    )


def run(kind: StepKind, plane: Plane, arguments: dict[str, Any], **members: Any) -> StepResult:
    return HANDLERS[kind](prepared(kind, plane, arguments, **members))


JOBS = [
    (StepKind.PROCESSING, "ProcessingJob"),
    (StepKind.TRAINING, "TrainingJob"),
]


@pytest.mark.parametrize(("kind", "job"), JOBS)
def test_a_job_step_creates_waits_and_describes(kind: StepKind, job: str) -> None:
    described = {f"{job}Status": "Completed", "Anything": [1]}
    plane = Plane(**{f"Create{job}": {f"{job}Arn": "arn:job"}, f"Describe{job}": described})
    result = run(kind, plane, {"RoleArn": "r"}, tags=({"Key": "k", "Value": "v"},))
    name = "pipelines-abc123def456-My-Step-0123456789"
    assert plane.calls == [
        (f"Create{job}", {"RoleArn": "r", f"{job}Name": name, "Tags": [{"Key": "k", "Value": "v"}]}),
        (f"Describe{job}", {f"{job}Name": name}),
    ]
    assert result == StepResult(outcome=Succeeded(described), metadata={job: {"Arn": "arn:job"}})


@pytest.mark.parametrize(("kind", "job"), JOBS)
def test_a_failed_job_fails_its_step_with_the_jobs_reason(kind: StepKind, job: str) -> None:
    described = {f"{job}Status": "Failed", "FailureReason": "AlgorithmError: , exit code: 3"}
    plane = Plane(**{f"Create{job}": {f"{job}Arn": "arn:job"}, f"Describe{job}": described})
    assert run(kind, plane, {}).outcome == Failed("AlgorithmError: , exit code: 3", described)


@pytest.mark.parametrize(("kind", "job"), JOBS)
def test_a_stopped_job_stops_its_step_only_when_the_execution_was_stopped(kind: StepKind, job: str) -> None:
    described = {
        f"{job}Status": "Stopped",
        "SecondaryStatus": "MaxRuntimeExceeded",
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }
    plane = Plane(**{f"Create{job}": {f"{job}Arn": "arn:job"}, f"Describe{job}": described})
    outcome = run(kind, plane, {}).outcome
    assert isinstance(outcome, Failed)
    assert "MaxRuntimeExceeded, MaxRuntimeInSeconds is 60" in outcome.reason
    stop = threading.Event()
    plane.on_wait = stop.set
    assert run(kind, plane, {}, stop=stop).outcome == Stopped()


@pytest.mark.parametrize(("kind", "job"), JOBS)
def test_a_refused_call_fails_the_step(kind: StepKind, job: str) -> None:
    error = ServiceError("ValidationException", "bad request")
    result = run(kind, Plane(**{f"Create{job}": error}), {})
    assert result == StepResult(outcome=Failed("ClientError: ValidationException: bad request"))
    plane = Plane(**{f"Create{job}": {f"{job}Arn": "arn:job"}, f"Describe{job}": error})
    assert run(kind, plane, {}).metadata == {job: {"Arn": "arn:job"}}


def test_the_steps_own_tags_and_name_win() -> None:
    plane = Plane(CreateTrainingJob={"TrainingJobArn": "a"}, DescribeTrainingJob={"TrainingJobStatus": "Completed"})
    own = {"TrainingJobName": "mine", "Tags": [{"Key": "team", "Value": "step"}]}
    execution = ({"Key": "team", "Value": "execution"}, {"Key": "cost", "Value": "1"})
    run(StepKind.TRAINING, plane, own, tags=execution)
    request = plane.calls[0][1]
    assert request["TrainingJobName"] == "mine"
    assert request["Tags"] == [{"Key": "team", "Value": "step"}, {"Key": "cost", "Value": "1"}]


def test_a_model_step_creates_a_model() -> None:
    plane = Plane(CreateModel={"ModelArn": "arn:model"}, DescribeModel={"ModelName": "m"})
    result = run(StepKind.MODEL, plane, {"PrimaryContainer": {"Image": "i"}})
    name = "pipelines-abc123def456-My-Step-0123456789"
    assert [operation for operation, _ in plane.calls] == ["CreateModel", "DescribeModel"]
    assert plane.calls[0][1] == {"PrimaryContainer": {"Image": "i"}, "ModelName": name}
    assert result == StepResult(outcome=Succeeded({"ModelName": "m"}), metadata={"Model": {"Arn": "arn:model"}})
    refused = run(StepKind.MODEL, Plane(CreateModel=ServiceError("ResourceInUse", "taken")), {})
    assert refused.outcome == Failed("ClientError: ResourceInUse: taken")


PACKAGE = {"CreateModelPackage": {"ModelPackageArn": "arn:p/1"}, "DescribeModelPackage": {"ModelPackageVersion": 1}}
MISSING = ServiceError("ValidationException", "ModelPackageGroup g does not exist")


def test_registering_makes_the_group_that_is_missing() -> None:
    plane = Plane(DescribeModelPackageGroup=MISSING, CreateModelPackageGroup={}, **PACKAGE)
    tags = ({"Key": "k", "Value": "v"},)
    result = run(StepKind.REGISTER_MODEL, plane, {"ModelPackageGroupName": "g"}, tags=tags)
    assert plane.calls == [
        ("DescribeModelPackageGroup", {"ModelPackageGroupName": "g"}),
        ("CreateModelPackageGroup", {"ModelPackageGroupName": "g", "Tags": [{"Key": "k", "Value": "v"}]}),
        ("CreateModelPackage", {"ModelPackageGroupName": "g"}),
        ("DescribeModelPackage", {"ModelPackageName": "arn:p/1"}),
    ]
    assert result.outcome == Succeeded({"ModelPackageVersion": 1})
    assert result.metadata == {"RegisterModel": {"Arn": "arn:p/1"}}


def test_registering_uses_the_group_that_is_there() -> None:
    plane = Plane(DescribeModelPackageGroup={}, **PACKAGE)
    run(StepKind.REGISTER_MODEL, plane, {"ModelPackageGroupName": "g"})
    assert "CreateModelPackageGroup" not in dict(plane.calls)
    plane = Plane(**PACKAGE)
    run(StepKind.REGISTER_MODEL, plane, {"ModelPackageGroupName": "arn:aws:sagemaker:r:1:model-package-group/g"})
    assert next(iter(plane.calls))[0] == "CreateModelPackage"


def test_a_group_that_can_neither_be_found_nor_made_fails_the_step() -> None:
    refusal = ServiceError("AccessDenied", "no")
    plane = Plane(DescribeModelPackageGroup=MISSING, CreateModelPackageGroup=refusal, **PACKAGE)
    outcome = run(StepKind.REGISTER_MODEL, plane, {"ModelPackageGroupName": "g"}).outcome
    assert outcome == Failed("ClientError: ValidationException: ModelPackageGroup g does not exist")


def test_numbers_become_text_where_the_service_takes_text() -> None:
    request = as_request(
        "CreateTrainingJob",
        {
            "HyperParameters": {"depth": 3, "rate": 0.5, "flag": True, "text": "x"},
            "Environment": {"N": 1},
            "AlgorithmSpecification": {"ContainerArguments": ["--n", 3]},
            "ResourceConfig": {"InstanceCount": 1, "VolumeSizeInGB": 30},
            "EnableNetworkIsolation": True,
            "Unknown": {"kept": 1},
            "Tags": [{"Key": "k", "Value": 7}],
        },
    )
    assert request == {
        "HyperParameters": {"depth": "3", "rate": "0.5", "flag": "true", "text": "x"},
        "Environment": {"N": "1"},
        "AlgorithmSpecification": {"ContainerArguments": ["--n", "3"]},
        "ResourceConfig": {"InstanceCount": 1, "VolumeSizeInGB": 30},
        "EnableNetworkIsolation": True,
        "Unknown": {"kept": 1},
        "Tags": [{"Key": "k", "Value": "7"}],
    }


def test_a_lambda_step_waits_so_long_and_no_longer() -> None:
    plane, let_go = Plane(), threading.Event()
    plane.on_wait = lambda: bool(let_go.wait(60)) and None
    step_run = prepared(StepKind.LAMBDA, plane, {}, members={"FunctionArn": "arn:f"})
    result = run_lambda(step_run, limit=0.01)
    let_go.set()
    assert result.outcome == Failed(
        "ClientError: the Lambda function arn:f did not end within 0 seconds, which a step may last."
    )
    assert result.metadata == {"Lambda": {"Arn": "arn:f"}}
