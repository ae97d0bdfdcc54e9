"""Training jobs, created directly.

Words: the ResourceInUse text as AWS answers it (quoted in aws/amazon-sagemaker-examples #3108), ``Requested
resource not
found.`` (aws/sagemaker-python-sdk #326 and others), the refused stop (awslabs/benchmark-ai #928); statuses: botocore's
documentation of SecondaryStatus.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from botocore.exceptions import ClientError

from mlops_sm.checks.service import sagemaker_model
from mlops_sm.checks.shapes import check_value

ARN = "arn:aws:sagemaker:us-east-1:123456789012:training-job/"
TRAIN = """
import pathlib
for epoch in range(3):
    print(f"epoch {epoch} loss={1 / (epoch + 1):.2f}")
pathlib.Path("/opt/ml/model/model.txt").write_text("a model")
"""
RESOURCES = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5}
GROUP = {"InstanceGroupName": "g", "InstanceType": "ml.m5.large", "InstanceCount": 1}
CHANNEL: Any = {
    "ChannelName": "data",
    "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://emulator-tests/data/"}},
}
WAIT = "import time\ntime.sleep(600)"


def test_a_job_trains_and_is_described(account: Any) -> None:
    request = account.training_request("job", TRAIN, HyperParameters={"depth": "3"}, Tags=[{"Key": "k", "Value": "v"}])
    assert account.sagemaker.create_training_job(**request)["TrainingJobArn"] == f"{ARN}job"
    ended = account.training_end("job")
    assert ended["TrainingJobStatus"] == ended["SecondaryStatus"] == "Completed"
    assert ended["HyperParameters"] == {"depth": "3"}
    assert ended["ModelArtifacts"] == {"S3ModelArtifacts": f"s3://{account.bucket}/models/job/output/model.tar.gz"}
    assert account.body("models/job/output/model.tar.gz")[:2] == b"\x1f\x8b"
    (metric,) = ended["FinalMetricDataList"]
    assert (metric["MetricName"], round(metric["Value"], 2)) == ("loss", 0.33)
    assert ended["TrainingStartTime"] <= ended["TrainingEndTime"]
    assert ended["TrainingTimeInSeconds"] == ended["BillableTimeInSeconds"] >= 1
    assert ended["EnableNetworkIsolation"] is False
    transitions = ended["SecondaryStatusTransitions"]
    assert [transition["Status"] for transition in transitions] == [
        "Starting",
        "Downloading",
        "Training",
        "Uploading",
        "Completed",
    ]
    for before, after in itertools.pairwise(transitions):
        assert before["StartTime"] <= before["EndTime"] == after["StartTime"]
    assert account.sagemaker.list_tags(ResourceArn=f"{ARN}job")["Tags"] == [{"Key": "k", "Value": "v"}]
    del ended["ResponseMetadata"]
    shape = sagemaker_model().operation_model("DescribeTrainingJob").output_shape
    assert check_value(ended, shape, "answer", expressions=False) == []


def test_a_running_job_is_in_progress_then_stops_when_asked(account: Any) -> None:
    account.sagemaker.create_training_job(**account.training_request("job", WAIT))

    def described() -> Any:
        return account.sagemaker.describe_training_job(TrainingJobName="job")

    account.until(lambda: described()["SecondaryStatus"] == "Training", "the training")
    assert described()["TrainingJobStatus"] == "InProgress"
    account.sagemaker.stop_training_job(TrainingJobName="job")
    assert described()["TrainingJobStatus"] in {"Stopping", "Stopped"}
    ended = account.training_end("job")
    assert ended["TrainingJobStatus"] == ended["SecondaryStatus"] == "Stopped"
    assert "FailureReason" not in ended
    statuses = [transition["Status"] for transition in ended["SecondaryStatusTransitions"]]
    assert statuses[-1] == "Stopped"
    assert statuses.count("Stopping") == 1
    with pytest.raises(ClientError, match="rejected because the training job is in status Stopped"):
        account.sagemaker.stop_training_job(TrainingJobName="job")


def test_a_job_that_runs_too_long_is_stopped(account: Any) -> None:
    request = account.training_request("job", WAIT, StoppingCondition={"MaxRuntimeInSeconds": 1})
    account.sagemaker.create_training_job(**request)
    ended = account.training_end("job")
    assert ended["TrainingJobStatus"] == "Stopped"
    assert ended["SecondaryStatus"] == "MaxRuntimeExceeded"


def test_a_job_that_fails_says_why_everywhere(account: Any) -> None:
    script = 'open("/opt/ml/output/failure", "w").write("no rows")\nraise SystemExit(2)'
    account.sagemaker.create_training_job(**account.training_request("job", script))
    ended = account.training_end("job")
    assert ended["TrainingJobStatus"] == "Failed"
    assert "no rows" in ended["FailureReason"]
    assert ended["SecondaryStatusTransitions"][-1]["StatusMessage"] == ended["FailureReason"]
    assert "ModelArtifacts" not in ended


def test_names_are_unique(account: Any) -> None:
    request = account.training_request("job", "print()")
    account.sagemaker.create_training_job(**request)
    with pytest.raises(account.sagemaker.exceptions.ResourceInUse) as refused:
        account.sagemaker.create_training_job(**request)
    assert refused.value.response["Error"]["Message"] == (
        "Training job names must be unique within an AWS account and region, and a training job with this name already "
        f"exists ({ARN}job)"
    )


@pytest.mark.parametrize("operation", ["describe_training_job", "stop_training_job"])
def test_a_job_that_does_not_exist(account: Any, operation: str) -> None:
    with pytest.raises(ClientError) as refused:
        getattr(account.sagemaker, operation)(TrainingJobName="nobody")
    assert refused.value.response["Error"] == {
        **refused.value.response["Error"],
        "Code": "ValidationException",
        "Message": "Requested resource not found.",
    }


def test_jobs_are_listed(account: Any) -> None:
    for name in ("one", "two"):
        account.sagemaker.create_training_job(**account.training_request(name, "print()"))
        account.training_end(name)
    jobs = account.sagemaker.list_training_jobs(SortBy="Name", SortOrder="Descending")["TrainingJobSummaries"]
    assert [(job["TrainingJobName"], job["TrainingJobStatus"]) for job in jobs] == [
        ("two", "Completed"),
        ("one", "Completed"),
    ]
    assert account.sagemaker.list_training_jobs(NameContains="tw", StatusEquals="Failed")["TrainingJobSummaries"] == []
    assert account.sagemaker.list_training_jobs(WarmPoolStatusEquals="InUse")["TrainingJobSummaries"] == []


def test_the_waiter_of_boto3_sees_the_end(account: Any) -> None:
    account.sagemaker.create_training_job(**account.training_request("job", "print()"))
    account.training_end("job")
    waiter = account.sagemaker.get_waiter("training_job_completed_or_stopped")
    waiter.wait(TrainingJobName="job", WaiterConfig={"MaxAttempts": 1})


def test_a_job_that_has_ended_is_deleted_and_its_name_is_free(account: Any) -> None:
    """API reference, DeleteTrainingJob: only jobs in a terminal state; "you can reuse its name"."""
    sagemaker = account.sagemaker
    sagemaker.create_training_job(**account.training_request("job", WAIT))
    with pytest.raises(sagemaker.exceptions.ResourceInUse, match="in status InProgress"):
        sagemaker.delete_training_job(TrainingJobName="job")
    sagemaker.stop_training_job(TrainingJobName="job")
    account.training_end("job")
    sagemaker.delete_training_job(TrainingJobName="job")
    with pytest.raises(ClientError, match="Requested resource not found"):
        sagemaker.describe_training_job(TrainingJobName="job")
    with pytest.raises(ClientError, match="Requested resource not found"):
        sagemaker.delete_training_job(TrainingJobName="job")
    sagemaker.create_training_job(**account.training_request("job", "print()"))
    assert account.training_end("job")["TrainingJobStatus"] == "Completed"


def test_settings_of_a_running_job_change(account: Any) -> None:
    sagemaker = account.sagemaker
    sagemaker.create_training_job(**account.training_request("job", WAIT))
    answer = sagemaker.update_training_job(
        TrainingJobName="job",
        ResourceConfig={"KeepAlivePeriodInSeconds": 60},
        ProfilerConfig={"S3OutputPath": "s3://b/profile"},
        RemoteDebugConfig={"EnableRemoteDebug": True},
    )
    assert answer["TrainingJobArn"] == f"{ARN}job"
    described = sagemaker.describe_training_job(TrainingJobName="job")
    assert described["ResourceConfig"]["KeepAlivePeriodInSeconds"] == 60
    assert described["ResourceConfig"]["InstanceType"] == "ml.m5.large"
    assert described["ProfilerConfig"] == {"S3OutputPath": "s3://b/profile"}
    assert described["RemoteDebugConfig"] == {"EnableRemoteDebug": True}
    sagemaker.stop_training_job(TrainingJobName="job")
    account.training_end("job")
    with pytest.raises(ClientError, match="in status Stopped"):
        sagemaker.update_training_job(TrainingJobName="job", RemoteDebugConfig={"EnableRemoteDebug": False})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ResourceConfig": None}, "ResourceConfig is required"),
        ({"AlgorithmSpecification": None}, "AlgorithmSpecification is required"),
        ({"AlgorithmSpecification": {"TrainingInputMode": "File"}}, "either AlgorithmName or TrainingImage"),
        (
            {"ResourceConfig": {**RESOURCES, "InstanceCount": 2}, "EnableNetworkIsolation": True},
            "the job: several instances without network.*E418",
        ),
        ({"ResourceConfig": {"VolumeSizeInGB": 5}}, "InstanceType is required in ResourceConfig"),
        ({"ResourceConfig": {**RESOURCES, "InstanceCount": 0}}, "InstanceCount must be at least 1"),
        ({"ResourceConfig": {**RESOURCES, "InstanceGroups": [GROUP]}}, "together with InstanceType, InstanceCount"),
        ({"ResourceConfig": {"InstanceGroups": [GROUP, GROUP]}}, "Instance group names must be unique: g"),
        (
            {
                "ResourceConfig": {**RESOURCES, "KeepAlivePeriodInSeconds": 60},
                "EnableManagedSpotTraining": True,
                "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60},
            },
            "KeepAlivePeriodInSeconds is not supported when EnableManagedSpotTraining",
        ),
        (
            {
                "ResourceConfig": {"InstanceGroups": [GROUP]},
                "InputDataConfig": [
                    {
                        "ChannelName": "data",
                        "DataSource": {
                            "S3DataSource": {**CHANNEL["DataSource"]["S3DataSource"], "InstanceGroupNames": ["h"]}
                        },
                    }
                ],
            },
            "Channel data names no instance group of the job: h",
        ),
        (
            {
                "InputDataConfig": [
                    {
                        "ChannelName": "lines",
                        "DataSource": {
                            "S3DataSource": {
                                "S3DataType": "AugmentedManifestFile",
                                "S3Uri": "s3://b/k",
                                "AttributeNames": ["a"],
                            }
                        },
                    }
                ],
            },
            "the job: channel lines reads an augmented manifest in File mode.*E422",
        ),
        ({"InputDataConfig": [CHANNEL, CHANNEL]}, "Channel names must be unique: data"),
        ({"InputDataConfig": [{**CHANNEL, "DataSource": {}}]}, "DataSource of channel data must name one source"),
        ({"EnableManagedSpotTraining": True}, "It must be present and be greater than or equal to MaxRuntime"),
        (
            {
                "EnableManagedSpotTraining": True,
                "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 59},
            },
            "It must be present and be greater than or equal to MaxRuntime",
        ),
        (
            {"StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60}},
            "It is only supported when EnableManagedSpotTraining is set to true",
        ),
    ],
)
def test_a_request_that_cannot_run_is_refused(account: Any, change: dict[str, Any], words: str) -> None:
    request = {**account.training_request("job", "print()"), **change}
    with pytest.raises(ClientError, match=words) as refused:
        account.sagemaker.create_training_job(**{name: value for name, value in request.items() if value is not None})
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert account.sagemaker.list_training_jobs()["TrainingJobSummaries"] == []


def test_a_stopping_condition_is_filled_in(account: Any) -> None:
    request = account.training_request("job", "print()")
    del request["StoppingCondition"]
    account.sagemaker.create_training_job(**request)
    assert account.training_end("job")["StoppingCondition"] == {"MaxRuntimeInSeconds": 86400}


def test_jobs_wait_for_their_turn_in_starting(account: Any) -> None:
    """More jobs than run at once: the last has no start, is stopped where it waits, and was trained for no time."""
    sagemaker = account.sagemaker
    names = [f"job{number}" for number in range(12)]
    for name in names:
        sagemaker.create_training_job(**account.training_request(name, WAIT))
    last = sagemaker.describe_training_job(TrainingJobName=names[-1])
    assert (last["TrainingJobStatus"], last["SecondaryStatus"]) == ("InProgress", "Starting")
    sagemaker.stop_training_job(TrainingJobName=names[-1])
    ended = sagemaker.describe_training_job(TrainingJobName=names[-1])
    assert (ended["TrainingJobStatus"], ended["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert "TrainingStartTime" not in ended
    assert "BillableTimeInSeconds" not in ended
    assert [each["Status"] for each in ended["SecondaryStatusTransitions"]] == ["Starting", "Stopping", "Stopped"]


def test_an_image_that_stands_for_nothing_fails_the_job(account: Any) -> None:
    """As on AWS, where the image is looked for when the job starts."""
    algorithm = {"TrainingInputMode": "File", "TrainingImage": "rust:1"}
    account.sagemaker.create_training_job(
        **account.training_request("job", "print()", AlgorithmSpecification=algorithm)
    )
    ended = account.training_end("job")
    assert ended["TrainingJobStatus"] == "Failed"
    assert ended["FailureReason"]


def test_a_page_is_cut_before_it_is_filtered_by_status(account: Any) -> None:
    """API reference, ListTrainingJobs: MaxResults jobs are retrieved first, then those of the status are returned."""
    for name, script in (("good-1", "print()"), ("bad", "raise SystemExit(1)"), ("good-2", "print()")):
        account.sagemaker.create_training_job(**account.training_request(name, script))
        account.training_end(name)
    request: dict[str, Any] = {"StatusEquals": "Failed", "MaxResults": 1, "SortOrder": "Ascending"}
    first = account.sagemaker.list_training_jobs(**request)
    assert first["TrainingJobSummaries"] == []
    second = account.sagemaker.list_training_jobs(**request, NextToken=first["NextToken"])
    assert [job["TrainingJobName"] for job in second["TrainingJobSummaries"]] == ["bad"]
    whole = account.sagemaker.list_training_jobs(StatusEquals="Failed")
    assert [job["TrainingJobName"] for job in whole["TrainingJobSummaries"]] == ["bad"]
