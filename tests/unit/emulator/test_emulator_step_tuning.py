"""Tuning steps: their tuning job, its properties for later steps, stop, failure, retry of the execution."""

from __future__ import annotations

import json
from typing import Any

import pytest

TRAIN = """
import json, os, sys
x = float(json.load(open("/opt/ml/input/config/hyperparameters.json"))["x"])
print(f"loss={abs(x - 2)}")
open("/opt/ml/model/x.txt", "w").write(str(x))
"""
WAIT = 'import time\nprint("loss=1.0", flush=True)\ntime.sleep(600)'
SHOW = """
import pathlib, sys
pathlib.Path("/opt/ml/processing/out/shown.txt").write_text(" ".join(sys.argv[1:]))
"""


def get(path: str) -> dict[str, str]:
    return {"Get": path}


@pytest.fixture
def tune(account: Any) -> Any:
    """A Tuning step over the values 1, 2 and 5."""

    def make(script: str = TRAIN, **members: Any) -> dict[str, Any]:
        job = account.training_request("tuned", script)
        arguments = {
            "HyperParameterTuningJobConfig": {
                "Strategy": "Grid",
                "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
                "ResourceLimits": {"MaxParallelTrainingJobs": 3},
                "ParameterRanges": {"CategoricalParameterRanges": [{"Name": "x", "Values": ["1", "2", "5"]}]},
            },
            "TrainingJobDefinition": {
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
            },
        }
        return {"Name": "Tune", "Type": "Tuning", "Arguments": arguments, **members}

    return make


def start(account: Any, *steps: Any, **members: Any) -> str:
    account.create_pipeline("search", *steps, **members)
    arn: str = account.sagemaker.start_pipeline_execution(PipelineName="search")["PipelineExecutionArn"]
    return arn


def shown(account: Any, make: Any) -> dict[str, Any]:
    """A step that writes down what it is told of the tuning job."""
    step: dict[str, Any] = make.processing("Show", account.put("code/show.py", SHOW))
    step["Arguments"]["AppSpecification"]["ContainerArguments"] = [
        get("Steps.Tune.BestTrainingJob.TunedHyperParameters['x']"),
        get("Steps.Tune.TrainingJobSummaries[1].TunedHyperParameters['x']"),
        get("Steps.Tune.TrainingJobSummaries[2].TunedHyperParameters['x']"),
        get("Steps.Tune.HyperParameterTuningJobStatus"),
    ]
    return step


def test_later_steps_see_the_best_and_the_others_in_order(account: Any, make: Any, tune: Any) -> None:
    arn = start(account, tune(), shown(account, make))
    assert account.execution_end(arn)["PipelineExecutionStatus"] == "Succeeded"
    assert account.body("out/shown.txt") == b"2 1 5 Completed"
    tuning_job = account.steps(arn)["Tune"]["Metadata"]["TuningJob"]["Arn"]
    name = tuning_job.rsplit("/", 1)[-1]
    assert tuning_job.endswith(f":hyper-parameter-tuning-job/{name}")
    assert name.startswith(f"{arn.rsplit('/', 1)[-1]}-Tune-")
    assert len(name) <= 32


def test_an_objective_that_never_appears_fails_the_step(account: Any, tune: Any) -> None:
    arn = start(account, tune('print("nothing")'))
    assert account.execution_end(arn)["PipelineExecutionStatus"] == "Failed"
    step = account.steps(arn)["Tune"]
    assert step["FailureReason"].startswith("No objective metrics found after running 3 training jobs.")
    assert "TuningJob" in step["Metadata"]


def test_a_range_that_turns_out_to_make_no_sense_fails_the_step(account: Any, tune: Any) -> None:
    step = tune()
    step["Arguments"]["HyperParameterTuningJobConfig"]["ParameterRanges"] = {
        "IntegerParameterRanges": [{"Name": "x", "MinValue": get("Parameters.Least"), "MaxValue": "1"}]
    }
    step["Arguments"]["HyperParameterTuningJobConfig"]["Strategy"] = "Random"
    step["Arguments"]["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxNumberOfTrainingJobs"] = 2
    least = {"Name": "Least", "Type": "String", "DefaultValue": "5"}
    arn = start(account, step, parameters=[least])
    assert account.execution_end(arn)["PipelineExecutionStatus"] == "Failed"
    assert "the minimum of x, 5, is above its maximum, 1" in account.steps(arn)["Tune"]["FailureReason"]


def test_a_stopped_execution_stops_the_search(account: Any, tune: Any) -> None:
    arn = start(account, tune(WAIT))

    def training() -> int:
        return len(account.sagemaker.list_training_jobs(StatusEquals="InProgress")["TrainingJobSummaries"])

    account.until(lambda: training() > 0, "a training job")
    account.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken="t" * 32)
    assert account.execution_end(arn)["PipelineExecutionStatus"] == "Stopped"
    assert account.steps(arn)["Tune"]["StepStatus"] == "Stopped"
    assert training() == 0
    (job,) = account.sagemaker.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"]
    assert job["HyperParameterTuningJobStatus"] == "Stopped"


def test_an_execution_that_is_retried_builds_on_the_search(account: Any, make: Any, tune: Any) -> None:
    broken = shown(account, make)
    uri = account.put("code/show.py", "raise SystemExit(1)")
    arn = start(account, tune(), broken)
    assert account.execution_end(arn)["PipelineExecutionStatus"] == "Failed"
    account.put(uri.split("/", 3)[3], SHOW)
    account.sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken="t" * 32)
    assert account.execution_end(arn)["PipelineExecutionStatus"] == "Succeeded"
    assert account.body("out/shown.txt") == b"2 1 5 Completed"
    assert len(account.sagemaker.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"]) == 1


def test_its_changes_are_announced(account: Any, tune: Any) -> None:
    events, sqs = account.client("events"), account.client("sqs")
    queue = sqs.create_queue(QueueName="changes")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"detail-type": ["SageMaker HyperParameter Tuning Job State Change"]}
    events.put_rule(Name="changes", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="changes", Targets=[{"Id": "queue", "Arn": arn}])
    account.execution_end(start(account, tune()))
    assert account.local.settle()
    found = []
    while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        found += [json.loads(message["Body"])["detail"] for message in messages]
    statuses = [each["HyperParameterTuningJobStatus"] for each in found]
    assert sorted(statuses) == ["Completed", "InProgress"]
    done = found[statuses.index("Completed")]
    assert done["TrainingJobStatusCounters"]["Completed"] == 3
    assert done["HyperParameterTuningJobConfig"]["Strategy"] == "Grid"
