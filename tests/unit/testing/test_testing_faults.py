"""Faults that tests plant, in an account of this process and in one of its own: the same.

Words and statuses: developer guide, "Retry Policy for Pipeline Steps" and "Managed Spot Training Lifecycle"; API
reference, RetryStrategy, StoppingCondition and DescribeTrainingJob.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from mlops_sm.testing import OpenAccount, local_account

COUNTING = """
import pathlib, time
kept = pathlib.Path("/opt/ml/checkpoints/epoch")
epoch = int(kept.read_text()) if kept.exists() else 0
while epoch < 4:
    epoch += 1
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(str(epoch))
    print(f"epoch {epoch}", flush=True)
    if epoch == 2 and not pathlib.Path("/opt/ml/checkpoints/resumed").exists():
        pathlib.Path("/opt/ml/checkpoints/resumed").write_text("yes")
        time.sleep(600)
pathlib.Path("/opt/ml/model/epochs").write_text(str(epoch))
"""


@pytest.fixture(params=[False, True], ids=["here", "there"])
def either(request: pytest.FixtureRequest) -> Iterator[OpenAccount]:
    with local_account(own_process=request.param) as opened:
        yield opened


@pytest.fixture
def account() -> Iterator[OpenAccount]:
    with local_account() as opened:
        yield opened


def until(look: Callable[[], Any], what: str) -> Any:
    for _ in range(6000):
        if found := look():
            return found
        time.sleep(0.01)
    raise AssertionError(f"waited in vain for {what}")


def training(account: OpenAccount, script: str = "print('trained')", **members: Any) -> dict[str, Any]:
    account.client("s3").put_object(Bucket=account.bucket, Key="code/train.py", Body=script.encode())
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{account.bucket}/code/"}
    return {
        "AlgorithmSpecification": {
            "TrainingImage": "python:3.11",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["python3", "/opt/ml/input/data/code/train.py"],
        },
        "RoleArn": account.role_arn,
        "InputDataConfig": [{"ChannelName": "code", "DataSource": {"S3DataSource": source}}],
        "OutputDataConfig": {"S3OutputPath": f"s3://{account.bucket}/models"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 300},
        **members,
    }


def spot(account: OpenAccount, wait: int = 3600) -> dict[str, Any]:
    return {
        "EnableManagedSpotTraining": True,
        "StoppingCondition": {"MaxRuntimeInSeconds": 300, "MaxWaitTimeInSeconds": wait},
        "CheckpointConfig": {"S3Uri": f"s3://{account.bucket}/checkpoints"},
    }


def ended(account: OpenAccount, name: str) -> dict[str, Any]:
    def look() -> Any:
        job = account.client("sagemaker").describe_training_job(TrainingJobName=name)
        return job if job["TrainingJobStatus"] not in {"InProgress", "Stopping"} else None

    found: dict[str, Any] = until(look, "the end of the job")
    return found


def in_status(account: OpenAccount, name: str, status: str) -> dict[str, Any]:
    def look() -> Any:
        job = account.client("sagemaker").describe_training_job(TrainingJobName=name)
        return job if job["SecondaryStatus"] == status else None

    found: dict[str, Any] = until(look, f"status {status}")
    return found


def statuses(job: dict[str, Any]) -> list[str]:
    return [transition["Status"] for transition in job["SecondaryStatusTransitions"]]


def run(account: OpenAccount, *policies: dict[str, Any], script: str = "print('trained')", **members: Any) -> Any:
    step: dict[str, Any] = {"Name": "Train", "Type": "Training", "Arguments": training(account, script, **members)}
    if policies:
        step["RetryPolicies"] = list(policies)
    text = json.dumps({"Version": "2020-12-01", "Metadata": {}, "Parameters": [], "Steps": [step]})
    client = account.client("sagemaker")
    client.create_pipeline(PipelineName="p", PipelineDefinition=text, RoleArn=account.role_arn)
    arn = client.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    until(lambda: account.clock.advance(minutes=1) and not is_running(account, arn), "the execution's end")
    return account.wait(arn)


def is_running(account: OpenAccount, arn: str) -> bool:
    described = account.client("sagemaker").describe_pipeline_execution(PipelineExecutionArn=arn)
    return bool(described["PipelineExecutionStatus"] == "Executing")


def policy(*faults: str, **members: Any) -> dict[str, Any]:
    return {"ExceptionType": list(faults), "IntervalSeconds": 1, "BackoffRate": 1.0, "MaxAttempts": 3, **members}


def attempts(account: OpenAccount, execution: Any) -> dict[str, Any]:
    answer = account.client("sagemaker").list_pipeline_execution_steps(PipelineExecutionArn=execution.arn)
    (step,) = answer["PipelineExecutionSteps"]
    found: dict[str, Any] = step
    return found


def test_a_throttled_step_is_tried_again_and_succeeds(either: OpenAccount) -> None:
    either.faults.throttle("Train", times=2)
    assert either.faults.pending == ("2 x throttling of Train",)
    execution = run(either, policy("Step.THROTTLING"))
    assert execution.succeeded
    assert attempts(either, execution)["AttemptCount"] == 3
    assert either.faults.pending == ()


def test_a_killed_program_is_the_program_s_failure(either: OpenAccount) -> None:
    script = "import time\nfor number in range(3):\n    print(number, flush=True)\ntime.sleep(600)"
    either.faults.kill("Train", after_lines=3)
    execution = run(either, policy("SageMaker.JOB_INTERNAL_ERROR"), script=script)
    assert execution.status == "Failed"
    step = attempts(either, execution)
    assert step["FailureReason"] == "AlgorithmError: , exit code: 137"
    assert step["AttemptCount"] == 1
    assert either.log(execution.arn, "Train") == "0\n1\n2\n"


def test_faults_are_cleared_and_wrong_ones_refused(either: OpenAccount) -> None:
    either.faults.throttle("Train")
    either.faults.clear()
    assert either.faults.pending == ()
    for wrong in ({"times": 0}, {"attempt": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            either.faults.throttle("Train", **wrong)
    with pytest.raises(ValueError, match="at least 0"):
        either.faults.kill("Train", after_lines=-1)
    assert run(either).succeeded


@pytest.mark.parametrize(
    ("plant", "named", "reason"),
    [
        ("service_fault", "Step.SERVICE_FAULT", "ClientError: InternalFailure: The request processing has failed"),
        (
            "resource_limit",
            "SageMaker.RESOURCE_LIMIT",
            "ClientError: ResourceLimitExceeded: The account-level service limit 'ml.m5.large for training job usage' "
            "is 0 Instances, with current utilization of 0 Instances and a request delta of 1 Instances. Please "
            "contact AWS support to request an increase for this limit.",
        ),
        (
            "capacity",
            "SageMaker.CAPACITY_ERROR",
            "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML "
            "instance type.",
        ),
        (
            "internal_error",
            "SageMaker.JOB_INTERNAL_ERROR",
            "InternalServerError: We encountered an internal error. Please try again.",
        ),
    ],
)
def test_each_fault_is_the_one_that_a_policy_names(account: OpenAccount, plant: str, named: str, reason: str) -> None:
    """With a policy the step succeeds; when it goes wrong more often than the policy tries, the reason is AWS's."""
    getattr(account.faults, plant)("Train")
    once = run(account, policy(named))
    assert (once.succeeded, attempts(account, once)["AttemptCount"]) == (True, 2)
    getattr(account.faults, plant)("Tra*", times=9)
    account.client("sagemaker").delete_pipeline(PipelineName="p")
    for_ever = run(account, policy(named, MaxAttempts=1))
    step = attempts(account, for_ever)
    assert step["AttemptCount"] == 2
    assert step["FailureReason"].startswith(reason)


def test_a_policy_for_another_fault_does_not_help(account: OpenAccount) -> None:
    account.faults.capacity("Train")
    execution = run(account, policy("SageMaker.JOB_INTERNAL_ERROR", "Step.THROTTLING"))
    assert execution.status == "Failed"
    assert attempts(account, execution)["AttemptCount"] == 1


def test_retries_wait_on_the_account_s_clock_and_expire(account: OpenAccount) -> None:
    """BackoffRate multiplies the interval; ExpireAfterMin ends it (developer guide, the JSON schema of the policy)."""
    account.faults.capacity("Train", times=9)
    text = json.dumps(
        {
            "Version": "2020-12-01",
            "Metadata": {},
            "Parameters": [],
            "Steps": [
                {
                    "Name": "Train",
                    "Type": "Training",
                    "Arguments": training(account),
                    "RetryPolicies": [
                        {
                            "ExceptionType": ["SageMaker.CAPACITY_ERROR"],
                            "IntervalSeconds": 1800,
                            "BackoffRate": 2.0,
                            "ExpireAfterMin": 120,
                        }
                    ],
                }
            ],
        }
    )
    client = account.client("sagemaker")
    client.create_pipeline(PipelineName="p", PipelineDefinition=text, RoleArn=account.role_arn)
    arn = client.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]

    def jobs() -> int:
        return len(client.list_training_jobs(StatusEquals="Failed")["TrainingJobSummaries"])

    until(lambda: jobs() == 1, "the first attempt")
    account.clock.advance(minutes=31)
    until(lambda: jobs() == 2, "the second attempt")
    account.clock.advance(minutes=61)
    until(lambda: jobs() == 3, "the third attempt")
    # The next one would be two hours later: beyond the two hours that the policy has in all.
    execution = account.wait(arn)
    assert execution.status == "Failed"
    assert attempts(account, execution)["AttemptCount"] == 3


def test_a_job_that_ends_before_its_fault_is_told(account: OpenAccount) -> None:
    account.faults.kill("job", after_lines=5)
    account.faults.kill("job", host="algo-9", attempt=2)
    client = account.client("sagemaker")
    client.create_training_job(TrainingJobName="job", **training(account))
    assert ended(account, "job")["TrainingJobStatus"] == "Completed"
    assert account.faults.pending == ("1 x kill of job", "1 x kill of job")


def test_the_attempt_and_the_name_decide(account: OpenAccount) -> None:
    account.faults.capacity("second-*", attempt=2)
    client = account.client("sagemaker")
    for name in ("first-1", "second-1", "second-2", "second-3"):
        client.create_training_job(TrainingJobName=name, **training(account))
        ended(account, name)
    failed = client.list_training_jobs(StatusEquals="Failed")["TrainingJobSummaries"]
    assert [job["TrainingJobName"] for job in failed] == ["second-2"]


def test_a_direct_call_is_refused_and_boto3_tries_again(account: OpenAccount) -> None:
    account.faults.resource_limit("job")
    client = account.client("sagemaker")
    with pytest.raises(client.exceptions.ResourceLimitExceeded):
        client.create_training_job(TrainingJobName="job", **training(account))
    account.faults.throttle("job")
    client.create_training_job(TrainingJobName="job", **training(account))
    assert ended(account, "job")["TrainingJobStatus"] == "Completed"
    account.faults.service_fault("other")
    once = account.session().client(
        "sagemaker", endpoint_url=account.endpoint_url, config=Config(retries={"total_max_attempts": 1})
    )
    with pytest.raises(ClientError) as refused:
        once.create_training_job(TrainingJobName="other", **training(account))
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert refused.value.response["Error"]["Code"] == "InternalFailure"


def test_an_interrupted_spot_job_goes_on_from_its_checkpoint(either: OpenAccount) -> None:
    either.faults.interrupt_spot("job", after_lines=2, seconds=600)
    request = training(either, COUNTING, **spot(either))
    either.client("sagemaker").create_training_job(TrainingJobName="job", **request)
    interrupted = in_status(either, "job", "Interrupted")
    assert interrupted["TrainingJobStatus"] == "InProgress"
    either.clock.advance(minutes=10)
    job = ended(either, "job")
    assert job["TrainingJobStatus"] == "Completed", job
    assert statuses(job) == [
        *("Starting", "Downloading", "Training", "Interrupted"),
        *("Starting", "Downloading", "Training", "Uploading", "Completed"),
    ]
    assert job["TrainingTimeInSeconds"] >= 600
    assert 1 <= job["BillableTimeInSeconds"] < 300
    assert job["EnableManagedSpotTraining"] is True
    stream = either.client("logs").describe_log_streams(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix="job/"
    )["logStreams"][0]["logStreamName"]
    events = either.client("logs").get_log_events(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamName=stream, startFromHead=True
    )["events"]
    assert [event["message"] for event in events] == ["epoch 1", "epoch 2", "epoch 3", "epoch 4"]


def test_a_job_that_waits_too_long_is_stopped(account: OpenAccount) -> None:
    account.faults.interrupt_spot("job", seconds=7200)
    request = training(account, COUNTING, **spot(account, wait=3600))
    account.client("sagemaker").create_training_job(TrainingJobName="job", **request)
    in_status(account, "job", "Interrupted")
    account.clock.advance(hours=1)
    job = ended(account, "job")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")
    assert statuses(job)[-3:] == ["Interrupted", "Stopping", "MaxWaitTimeExceeded"]
    assert "FailureReason" not in job


def test_spot_instances_that_are_never_there(account: OpenAccount) -> None:
    account.faults.capacity("job")
    account.client("sagemaker").create_training_job(TrainingJobName="job", **training(account, **spot(account)))
    until(
        lambda: (
            "Insufficient capacity"
            in in_status(account, "job", "Starting")["SecondaryStatusTransitions"][0].get("StatusMessage", "")
        ),
        "the wait for instances",
    )
    account.clock.advance(hours=1)
    job = ended(account, "job")
    assert (job["TrainingJobStatus"], statuses(job)) == ("Stopped", ["Starting", "Stopping", "MaxWaitTimeExceeded"])
    assert "BillableTimeInSeconds" not in job


def test_a_step_without_spot_instances_fails_with_the_limit(account: OpenAccount) -> None:
    account.faults.capacity("Train")
    execution = run(account, **spot(account, wait=900))
    assert execution.step("Train").failure_reason == (
        "ClientError: the job was stopped before its end (MaxWaitTimeExceeded, MaxWaitTimeInSeconds is 900)"
    )


def test_a_job_that_waits_for_instances_can_be_stopped(account: OpenAccount) -> None:
    account.faults.interrupt_spot("job", seconds=7200)
    client = account.client("sagemaker")
    client.create_training_job(TrainingJobName="job", **training(account, COUNTING, **spot(account)))
    in_status(account, "job", "Interrupted")
    client.stop_training_job(TrainingJobName="job")
    job = ended(account, "job")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")


def test_a_job_without_spot_is_not_interrupted(account: OpenAccount) -> None:
    account.faults.interrupt_spot("job")
    account.client("sagemaker").create_training_job(TrainingJobName="job", **training(account))
    assert "Interrupted" not in statuses(ended(account, "job"))
    assert account.faults.pending == ("1 x spot interruption of job",)


def test_a_retry_strategy_starts_the_job_again(account: OpenAccount) -> None:
    account.faults.internal_error("job", after_lines=2)
    client = account.client("sagemaker")
    request = training(
        account,
        COUNTING,
        RetryStrategy={"MaximumRetryAttempts": 1},
        CheckpointConfig={"S3Uri": f"s3://{account.bucket}/checkpoints"},
    )
    client.create_training_job(TrainingJobName="job", **request)
    job = ended(account, "job")
    assert statuses(job) == [
        *("Starting", "Downloading", "Training"),
        *("Starting", "Downloading", "Training", "Uploading", "Completed"),
    ]
    assert job["RetryStrategy"] == {"MaximumRetryAttempts": 1}


def test_a_retry_strategy_has_an_end(account: OpenAccount) -> None:
    account.faults.internal_error("job", times=2)
    client = account.client("sagemaker")
    request = training(account, "import time\ntime.sleep(600)", RetryStrategy={"MaximumRetryAttempts": 1})
    client.create_training_job(TrainingJobName="job", **request)
    failed = ended(account, "job")
    assert statuses(failed) == [*("Starting", "Downloading", "Training") * 2, "Failed"]
    assert failed["FailureReason"] == "InternalServerError: We encountered an internal error. Please try again."


def test_processing_jobs_fail_in_the_same_ways(account: OpenAccount) -> None:
    client = account.client("sagemaker")
    for name, plant in (("none", "capacity"), ("lost", "internal_error"), ("dead", "kill")):
        getattr(account.faults, plant)(name)
        client.create_processing_job(
            ProcessingJobName=name,
            RoleArn=account.role_arn,
            AppSpecification={"ImageUri": "python:3.11", "ContainerEntrypoint": ["sleep", "600"]},
            ProcessingResources={
                "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
            },
        )
    reasons = {}
    for name in ("none", "lost", "dead"):
        reasons[name] = until(
            lambda name=name: client.describe_processing_job(ProcessingJobName=name).get("FailureReason"), "the end"
        )
    assert reasons["none"].startswith("CapacityError: ")
    assert reasons["lost"].startswith("InternalServerError: ")
    assert reasons["dead"].endswith("exit code: 137")
