"""Training and tuning jobs of several instances, as users see them: one log each, one model, one list of metrics."""

from __future__ import annotations

import io
import tarfile
from typing import Any

from mlops_sm.emulator.faults import Fault
from mlops_sm.local.faults import FaultKind

TWO = {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 5}
SCRIPT = """
import json
me = json.load(open("/opt/ml/input/config/resourceconfig.json"))["current_host"]
print("loss=0.5 at", me)
open(f"/opt/ml/model/{me}", "w").write(me)
"""


def test_a_job_of_two_instances(account: Any, operations: Any) -> None:
    account.sagemaker.create_training_job(**account.training_request("two", SCRIPT, ResourceConfig=TWO))
    assert account.training_end("two")["TrainingJobStatus"] == "Completed"
    described = operations("DescribeTrainingJob", TrainingJobName="two")
    assert described["ResourceConfig"] == TWO
    assert [metric["Value"] for metric in described["FinalMetricDataList"]] == [0.5]
    with tarfile.open(fileobj=io.BytesIO(account.body("models/two/output/model.tar.gz"))) as tar:
        assert sorted(tar.getnames()) == ["algo-1", "algo-2"]
    logs, group = account.client("logs"), "/aws/sagemaker/TrainingJobs"
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="two/algo-2")["logStreams"]
    assert [stream["logStreamName"].rpartition("-")[0] for stream in streams] == ["two/algo-2"]
    events = logs.get_log_events(logGroupName=group, logStreamName=streams[0]["logStreamName"])["events"]
    assert [event["message"] for event in events] == ["loss=0.5 at algo-2"]


def test_a_stop_ends_all_instances(account: Any) -> None:
    script = "import signal\nprint('up', flush=True)\nsignal.pause()"
    account.sagemaker.create_training_job(**account.training_request("two", script, ResourceConfig=TWO))
    account.until(
        lambda: account.sagemaker.describe_training_job(TrainingJobName="two")["SecondaryStatus"] == "Training", "it"
    )
    account.sagemaker.stop_training_job(TrainingJobName="two")
    assert account.training_end("two")["SecondaryStatus"] == "Stopped"


def test_training_jobs_of_a_tuning_job_have_several_instances_and_lose_them(
    account: Any, operations: Any, tuning_request: Any, tuning_end: Any, training_jobs: Any
) -> None:
    script = """
import json, time
me = json.load(open("/opt/ml/input/config/resourceconfig.json"))
x = float(json.load(open("/opt/ml/input/config/hyperparameters.json"))["x"])
if me["current_host"] == me["hosts"][-1]:
    print(f"loss={(x - 2) ** 2 + 1:.4f}", flush=True)
time.sleep(0.2)
"""
    request = tuning_request("search", script, jobs=2)
    definition = request["TrainingJobDefinition"]
    del definition["ResourceConfig"]
    definition["HyperParameterTuningResourceConfig"] = TWO
    definition["EnableManagedSpotTraining"] = True
    definition["StoppingCondition"] = {"MaxRuntimeInSeconds": 300, "MaxWaitTimeInSeconds": 600}
    definition["CheckpointConfig"] = {"S3Uri": "s3://emulator-tests/kept"}
    account.local.faults.plant(Fault(kind=FaultKind.SPOT_INTERRUPTION, name="search-001-*", seconds=0.0))
    account.sagemaker.create_hyper_parameter_tuning_job(**request)
    assert tuning_end("search")["TrainingJobStatusCounters"]["Completed"] == 2
    interrupted = []
    for job in training_jobs("search"):
        described = operations("DescribeTrainingJob", TrainingJobName=job["TrainingJobName"])
        assert described["ResourceConfig"]["InstanceCount"] == 2
        assert "FinalHyperParameterTuningJobObjectiveMetric" in job
        if "Interrupted" in [each["Status"] for each in described["SecondaryStatusTransitions"]]:
            interrupted.append(job["TrainingJobName"])
    assert [name[: len("search-001")] for name in interrupted] == ["search-001"]
    assert account.local.faults.pending() == []
