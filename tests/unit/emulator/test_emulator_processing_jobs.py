"""Processing jobs, created directly.

Words: ``Processing job names must be unique ...`` follows the training jobs' text that AWS answers (quoted in
aws/amazon-sagemaker-examples #3108); ``Could not find requested job with name`` as quoted in public repositories.
"""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from mlops_sm.checks.service import sagemaker_model
from mlops_sm.checks.shapes import check_value

ARN = "arn:aws:sagemaker:us-east-1:123456789012:processing-job/"
WAIT = "import time\ntime.sleep(600)"


def test_a_job_runs_and_is_described(account: Any) -> None:
    script = """
import os, pathlib
pathlib.Path("/opt/ml/processing/out/a.txt").write_text(os.environ["WORD"])
pathlib.Path("/opt/ml/output/message").write_text("all is well")
"""
    request = account.processing_request(
        "job", script, Environment={"WORD": "hello"}, Tags=[{"Key": "k", "Value": "v"}]
    )
    assert account.sagemaker.create_processing_job(**request)["ProcessingJobArn"] == f"{ARN}job"
    ended = account.processing_end("job")
    assert ended["ProcessingJobStatus"] == "Completed"
    assert ended["ExitMessage"] == "all is well"
    assert ended["Environment"] == {"WORD": "hello"}
    assert ended["ProcessingResources"] == request["ProcessingResources"]
    assert ended["ProcessingOutputConfig"]["Outputs"][0]["AppManaged"] is False
    assert ended["CreationTime"] <= ended["ProcessingStartTime"] <= ended["ProcessingEndTime"]
    assert ended["ProcessingEndTime"] <= ended["LastModifiedTime"]
    assert account.body("job/out/a.txt") == b"hello"
    assert account.sagemaker.list_tags(ResourceArn=f"{ARN}job")["Tags"] == [{"Key": "k", "Value": "v"}]
    del ended["ResponseMetadata"]
    shape = sagemaker_model().operation_model("DescribeProcessingJob").output_shape
    assert check_value(ended, shape, "answer", expressions=False) == []


def test_a_running_job_is_in_progress_then_stops_when_asked(account: Any) -> None:
    account.sagemaker.create_processing_job(**account.processing_request("job", WAIT))
    account.until(
        lambda: "ProcessingStartTime" in account.sagemaker.describe_processing_job(ProcessingJobName="job"), "a start"
    )
    assert account.sagemaker.describe_processing_job(ProcessingJobName="job")["ProcessingJobStatus"] == "InProgress"
    account.sagemaker.stop_processing_job(ProcessingJobName="job")
    ended = account.processing_end("job")
    assert ended["ProcessingJobStatus"] == "Stopped"
    assert "FailureReason" not in ended
    with pytest.raises(ClientError, match="rejected because the processing job is in status Stopped"):
        account.sagemaker.stop_processing_job(ProcessingJobName="job")


def test_a_job_that_exits_3_says_so(account: Any) -> None:
    account.sagemaker.create_processing_job(**account.processing_request("job", "raise SystemExit(3)"))
    ended = account.processing_end("job")
    assert ended["ProcessingJobStatus"] == "Failed"
    assert "exit code: 3" in ended["FailureReason"]


def test_an_input_without_objects_fails_the_job(account: Any) -> None:
    request = account.processing_request("job", "print()")
    request["ProcessingInputs"][0]["S3Input"]["S3Uri"] = f"s3://{account.bucket}/nothing/here"
    account.sagemaker.create_processing_job(**request)
    assert "nothing/here" in account.processing_end("job")["FailureReason"]


def test_names_are_unique(account: Any) -> None:
    request = account.processing_request("job", "print()")
    account.sagemaker.create_processing_job(**request)
    with pytest.raises(account.sagemaker.exceptions.ResourceInUse) as refused:
        account.sagemaker.create_processing_job(**request)
    assert refused.value.response["Error"]["Message"] == (
        "Processing job names must be unique within an AWS account and region, and a processing job with this name "
        f"already exists ({ARN}job)"
    )


@pytest.mark.parametrize("operation", ["describe_processing_job", "stop_processing_job"])
def test_a_job_that_does_not_exist(account: Any, operation: str) -> None:
    with pytest.raises(ClientError, match=r"ValidationException.*Could not find requested job with name: nobody"):
        getattr(account.sagemaker, operation)(ProcessingJobName="nobody")


def test_jobs_are_filtered_sorted_and_paged(account: Any) -> None:
    for name, script in (("b-good", "print()"), ("a-bad", "raise SystemExit(1)"), ("c-good", "print()")):
        account.sagemaker.create_processing_job(**account.processing_request(name, script))
        account.processing_end(name)

    def names(**request: Any) -> list[str]:
        pages = account.sagemaker.get_paginator("list_processing_jobs").paginate(**request)
        return [job["ProcessingJobName"] for page in pages for job in page["ProcessingJobSummaries"]]

    assert names() == ["b-good", "a-bad", "c-good"]
    assert names(SortOrder="Descending", MaxResults=1) == ["c-good", "a-bad", "b-good"]
    assert names(SortBy="Name", MaxResults=2) == ["a-bad", "b-good", "c-good"]
    assert names(SortBy="Status", MaxResults=1) == ["b-good", "c-good", "a-bad"]
    assert names(StatusEquals="Failed") == ["a-bad"]
    assert names(NameContains="good", SortBy="Name") == ["b-good", "c-good"]
    summary = account.sagemaker.list_processing_jobs(StatusEquals="Failed")["ProcessingJobSummaries"][0]
    assert summary["ProcessingJobArn"] == f"{ARN}a-bad"
    assert "exit code: 1" in summary["FailureReason"]


def test_a_page_holds_ten_jobs_unless_asked(account: Any) -> None:
    request = account.processing_request("job", "print()")
    for number in range(11):
        account.sagemaker.create_processing_job(**{**request, "ProcessingJobName": f"job-{number}"})
    page = account.sagemaker.list_processing_jobs()
    assert len(page["ProcessingJobSummaries"]) == 10
    rest = account.sagemaker.list_processing_jobs(NextToken=page["NextToken"])
    assert [job["ProcessingJobName"] for job in rest["ProcessingJobSummaries"]] == ["job-10"]
    assert "NextToken" not in rest


def test_a_job_that_has_ended_is_deleted_and_its_name_is_free(account: Any) -> None:
    """API reference, DeleteProcessingJob."""
    sagemaker = account.sagemaker
    wait = "import time\ntime.sleep(600)"
    sagemaker.create_processing_job(**account.processing_request("job", wait))
    with pytest.raises(sagemaker.exceptions.ResourceInUse, match="in status InProgress"):
        sagemaker.delete_processing_job(ProcessingJobName="job")
    sagemaker.stop_processing_job(ProcessingJobName="job")
    account.processing_end("job")
    sagemaker.delete_processing_job(ProcessingJobName="job")
    with pytest.raises(ClientError, match="Could not find requested job"):
        sagemaker.delete_processing_job(ProcessingJobName="job")
    sagemaker.create_processing_job(**account.processing_request("job", "print()"))
    assert account.processing_end("job")["ProcessingJobStatus"] == "Completed"


def test_a_request_that_cannot_run_is_refused(account: Any) -> None:
    request = account.processing_request("job", "print()")
    dataset = {
        "AthenaDatasetDefinition": {"Catalog": "c", "Database": "d", "QueryString": "q", "OutputS3Uri": "s3://b/k"}
    }
    dataset["AthenaDatasetDefinition"]["OutputFormat"] = "PARQUET"
    request["ProcessingInputs"].append({"InputName": "query", "DatasetDefinition": dataset})
    with pytest.raises(ClientError, match=r"queries of Athena.*E404"):
        account.sagemaker.create_processing_job(**request)
    assert account.sagemaker.list_processing_jobs()["ProcessingJobSummaries"] == []


def test_jobs_are_filtered_by_status_and_times(open_account: Any, clock: Any) -> None:
    account = open_account(clock=clock)
    for name, script in (("good-1", "print()"), ("bad-1", "raise SystemExit(1)"), ("good-2", "print()")):
        account.sagemaker.create_processing_job(**account.processing_request(name, script))
        account.processing_end(name)

    def names(**request: Any) -> list[str]:
        pages = account.sagemaker.get_paginator("list_processing_jobs").paginate(**request)
        return [job["ProcessingJobName"] for page in pages for job in page["ProcessingJobSummaries"]]

    # "The default is Ascending" (API reference, ListProcessingJobs).
    assert names() == ["good-1", "bad-1", "good-2"]
    assert names(StatusEquals="Completed", MaxResults=1) == ["good-1", "good-2"]
    assert names(NameContains="bad") == ["bad-1"]
    assert names(SortBy="Name", SortOrder="Descending") == ["good-2", "good-1", "bad-1"]
    assert names(SortBy="Status", SortOrder="Descending")[0] == "bad-1"
    middle = account.sagemaker.describe_processing_job(ProcessingJobName="bad-1")
    assert names(CreationTimeAfter=middle["CreationTime"]) == ["good-2"]
    assert names(CreationTimeBefore=middle["CreationTime"]) == ["good-1"]
    assert names(LastModifiedTimeAfter=middle["LastModifiedTime"]) == ["good-2"]


def test_so_many_jobs_run_at_once_as_the_account_lets(open_account: Any) -> None:
    account = open_account(parallel_jobs=1)
    go = account.local.state.parent / "go"
    wait = f"import pathlib, time\nwhile not pathlib.Path('{go}').exists(): time.sleep(0.01)"
    sagemaker = account.sagemaker
    for name in ("first", "second"):
        sagemaker.create_processing_job(**account.processing_request(name, wait))

    def started(name: str) -> bool:
        return "ProcessingStartTime" in sagemaker.describe_processing_job(ProcessingJobName=name)

    account.until(lambda: started("first"), "the first job")
    assert not started("second")
    go.touch()
    first, second = account.processing_end("first"), account.processing_end("second")
    assert (first["ProcessingJobStatus"], second["ProcessingJobStatus"]) == ("Completed", "Completed")
    assert first["ProcessingEndTime"] <= second["ProcessingStartTime"]
