"""Metrics of training jobs in CloudWatch, as the SDK's TrainingJobAnalytics and alarms read them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

NAMESPACE = "/aws/sagemaker/TrainingJobs"


def _statistics(account: Any, job: dict[str, Any], name: str = "loss") -> list[dict[str, Any]]:
    """What ``TrainingJobAnalytics`` asks (SageMaker SDK 2, sagemaker/analytics.py)."""
    found: list[dict[str, Any]] = account.client("cloudwatch").get_metric_statistics(
        Namespace=NAMESPACE,
        MetricName=name,
        Dimensions=[{"Name": "TrainingJobName", "Value": job["TrainingJobName"]}],
        StartTime=job["TrainingStartTime"].replace(second=0),
        EndTime=job["TrainingEndTime"] + timedelta(minutes=2),
        Period=60,
        Statistics=["Average", "Minimum", "Maximum", "SampleCount"],
    )["Datapoints"]
    return found


def test_what_a_job_logs_is_in_cloudwatch(account: Any) -> None:
    script = "print('loss=3.5', 'loss=0.5')\nprint('loss=nan', 'loss=1e400')\nprint('loss=-1.0', end='')"
    request = account.training_request("one", script)
    request["AlgorithmSpecification"]["MetricDefinitions"][0]["Regex"] = r"loss=(\S+)"
    account.sagemaker.create_training_job(**request)
    job = account.training_end("one")
    assert job["TrainingJobStatus"] == "Completed"
    (point,) = _statistics(account, job)
    assert (point["Average"], point["Minimum"], point["Maximum"], point["SampleCount"]) == (1.0, -1.0, 3.5, 3.0)
    (metric,) = account.client("cloudwatch").list_metrics(Namespace=NAMESPACE)["Metrics"]
    assert metric["MetricName"] == "loss"


def test_training_jobs_of_a_tuning_job_are_told_apart(
    account: Any, tuning_request: Any, tuning_end: Any, training_jobs: Any
) -> None:
    request = tuning_request("search", "print('loss=0.25')", jobs=2)
    account.sagemaker.create_hyper_parameter_tuning_job(**request)
    tuning_end("search")
    for each in training_jobs("search"):
        (point,) = _statistics(account, account.training_end(each["TrainingJobName"]))
        assert (point["SampleCount"], point["Maximum"]) == (1.0, 0.25)


def test_a_value_that_is_no_number_is_no_metric(
    account: Any, operations: Any, tuning_request: Any, tuning_end: Any
) -> None:
    script = """
import os
print("loss=", "nan" if "-001-" in os.environ["TRAINING_JOB_NAME"] else "0.5", sep="")
"""
    request = tuning_request("search", script, jobs=2)
    request["TrainingJobDefinition"]["AlgorithmSpecification"]["MetricDefinitions"][0]["Regex"] = r"loss=(\S+)"
    account.sagemaker.create_hyper_parameter_tuning_job(**request)
    found = tuning_end("search")
    assert found["ObjectiveStatusCounters"] == {"Succeeded": 1, "Pending": 0, "Failed": 1}
    assert found["BestTrainingJob"]["TrainingJobName"].startswith("search-002-")
    assert found["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == 0.5


def test_metrics_outlive_an_account_that_nobody_has_asked_for_them(account: Any, open_account: Any) -> None:
    account.sagemaker.create_training_job(**account.training_request("one", "print('loss=3', 'loss=3', 'loss=1')"))
    account.training_end("one")
    for _ in range(2):
        account = open_account()
    account.sagemaker.create_training_job(**account.training_request("two", "print('loss=2')"))
    found = {name: _statistics(account, account.training_end(name)) for name in ("one", "two")}
    assert [(point["SampleCount"], point["Average"]) for point in found["one"]] == [(3.0, 7 / 3)]
    assert [(point["SampleCount"], point["Average"]) for point in found["two"]] == [(1.0, 2.0)]
    account = open_account()
    assert _statistics(account, account.training_end("one"))[0]["SampleCount"] == 3.0


def test_an_alarm_hears_of_a_metric_while_the_job_runs(account: Any) -> None:
    script = "import signal\nprint('loss=9.0', flush=True)\nsignal.pause()"
    account.client("cloudwatch").put_metric_alarm(
        AlarmName="diverges",
        Namespace=NAMESPACE,
        MetricName="loss",
        Dimensions=[{"Name": "TrainingJobName", "Value": "two"}],
        Statistic="Maximum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=5.0,
        ComparisonOperator="GreaterThanThreshold",
    )
    account.sagemaker.create_training_job(**account.training_request("two", script))

    def state() -> str:
        (alarm,) = account.client("cloudwatch").describe_alarms(AlarmNames=["diverges"])["MetricAlarms"]
        return str(alarm["StateValue"])

    account.until(lambda: state() == "ALARM", "the alarm")
    assert account.sagemaker.describe_training_job(TrainingJobName="two")["TrainingJobStatus"] == "InProgress"
    account.sagemaker.stop_training_job(TrainingJobName="two")
    account.training_end("two")
