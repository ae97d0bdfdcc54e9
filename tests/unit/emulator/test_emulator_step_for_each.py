"""ForEach steps run: what lists, descriptions, retries and selective executions show of them.

Rules: SDK 3.27, mlops/workflow/for_each_step.py; API reference, ForEachStepMetadata and IterationContext.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

SCORE = """
import json, os
json.dump({"score": len(os.environ["ITEM"])}, open("/opt/ml/processing/out/score.json", "w"))
"""


class Desk:
    """A pipeline that runs a script for each item."""

    def __init__(self, account: Any, make: Any) -> None:
        self.account = account
        self.make = make

    def body(self, script: str = SCORE, name: str = "Score") -> dict[str, Any]:
        code = self.account.put(f"code/{name}.py", script)
        uri = {"Std:Join": {"On": "/", "Values": ["s3://emulator-tests/out", {"Get": "ForEach.CurrentItem"}]}}
        step: dict[str, Any] = self.make.processing(name, code, output=uri)
        step["Arguments"]["Environment"] = {"ITEM": {"Get": "ForEach.CurrentItem"}}
        return step

    def each(self, *body: dict[str, Any], **arguments: Any) -> dict[str, Any]:
        return {
            "Name": "Each",
            "Type": "ForEach",
            "Arguments": {
                "IterableItems": {"Get": "Parameters.Items"},
                "MaxConcurrency": 2,
                "ForEachBody": list(body),
                **arguments,
            },
        }

    def run(self, *steps: dict[str, Any], items: Any) -> str:
        self.account.create_pipeline("p", *steps, parameters=[{"Name": "Items", "Type": "String"}])
        arn: str = self.account.sagemaker.start_pipeline_execution(
            PipelineName="p", PipelineParameters=[{"Name": "Items", "Value": json.dumps(items)}]
        )["PipelineExecutionArn"]
        self.account.execution_end(arn)
        return arn


@pytest.fixture
def desk(account: Any, make: Any) -> Desk:
    return Desk(account, make)


def test_every_item_is_a_job_of_its_own(desk: Desk) -> None:
    account, second = desk.account, "Steps.Each.IterationOutputs[1].Score.ProcessingOutputConfig"
    after = desk.make.fail(
        "Say",
        {
            "Std:Join": {
                "On": " ",
                "Values": [
                    {"Get": "Steps.Each.Status"},
                    {"Get": f"{second}.Outputs['out'].S3Output.S3Uri"},
                ],
            }
        },
    )
    arn = desk.run(desk.each(desk.body()), after, items=["a", "bb", "ccc"])
    steps = account.steps(arn)
    assert set(steps) == {"Each", "Score-0", "Score-1", "Score-2", "Say"}
    assert steps["Each"]["Metadata"]["ForEach"] == {
        "Status": "Succeeded",
        "InputItemCount": 3,
        "TotalStepCount": 3,
        "SucceededStepCount": 3,
        "FailedStepCount": 0,
        "StoppedStepCount": 0,
    }
    assert steps["Score-2"]["IterationContext"] == {"ParentStepName": "Each", "Index": 2, "Item": "ccc"}
    job = steps["Score-1"]["Metadata"]["ProcessingJob"]["Arn"].rsplit("/", 1)[-1]
    assert job.startswith(f"pipelines-{arn.rsplit('/', 1)[-1]}-Score-1-")
    assert steps["Say"]["FailureReason"] == "Succeeded s3://emulator-tests/out/bb"
    assert [json.loads(account.body(f"out/{i}/score.json"))["score"] for i in ("a", "bb", "ccc")] == [1, 2, 3]


def test_a_property_file_of_the_same_iteration_is_read(desk: Desk) -> None:
    first = desk.body()
    first["PropertyFiles"] = [{"PropertyFileName": "P", "OutputName": "out", "FilePath": "score.json"}]
    second = desk.body("import os\nopen('/opt/ml/processing/out/t', 'w').write(os.environ['SCORE'])\n", "Second")
    second["Arguments"]["Environment"] = {
        "SCORE": {
            "Std:Join": {
                "On": "",
                "Values": [{"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Score.PropertyFiles.P"}, "Path": "score"}}],
            }
        }
    }
    arn = desk.run(desk.each(first, second), items=["a", "bb"])
    assert {step["StepStatus"] for step in desk.account.steps(arn).values()} == {"Succeeded"}
    assert [desk.account.body(f"out/{item}/t") for item in ("a", "bb")] == [b"1", b"2"]


def test_a_failed_iteration_fails_the_step_and_a_retry_runs_it_again(desk: Desk) -> None:
    account = desk.account
    picky = "import os, sys\nsys.exit(os.environ['ITEM'] == 'bb')\n"
    last = desk.make.processing("Last", account.put("code/last.py", ""))
    last["Arguments"]["Environment"] = {
        "JOB": {"Get": "Steps.Each.IterationOutputs[0].Score.ProcessingJobName"},
    }
    arn = desk.run(desk.each(desk.body(picky), MaxConcurrency=1), last, items=["a", "bb", "ccc"])
    steps = account.steps(arn)
    assert {name: step["StepStatus"] for name, step in steps.items()} == {
        "Each": "Failed",
        "Score-0": "Succeeded",
        "Score-1": "Failed",
    }
    assert steps["Each"]["FailureReason"] == "Step failure: steps of iterations failed: Score-1."
    kept = steps["Score-0"]["Metadata"]
    account.put("code/Score.py", "")
    account.sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken="t" * 32)
    assert account.execution_end(arn)["PipelineExecutionStatus"] == "Succeeded"
    steps = account.steps(arn)
    assert {step["StepStatus"] for step in steps.values()} == {"Succeeded"}
    assert steps["Score-0"]["Metadata"] == kept
    assert (steps["Score-1"]["AttemptCount"], steps["Score-2"]["AttemptCount"]) == (2, 1)
    assert steps["Each"]["Metadata"]["ForEach"]["SucceededStepCount"] == 3


def test_a_selective_execution_builds_on_the_iterations(desk: Desk) -> None:
    account = desk.account
    last = desk.make.processing("Last", account.put("code/last.py", "import os\nassert os.environ['JOB']\n"))
    last["Arguments"]["Environment"] = {"JOB": {"Get": "Steps.Each.Selected.ProcessingJobName"}}
    selector = {"Pick": "MaxBy", "Field": {"Get": "IterationOutput.Score.StoppingCondition.MaxRuntimeInSeconds"}}
    source = desk.run(desk.each(desk.body(), Selector=selector), last, items=["a", "bb"])
    assert account.steps(source)["Each"]["Metadata"]["ForEach"]["Selector"] == {"StepName": "Score", "Index": 0}
    arn = account.sagemaker.start_pipeline_execution(
        PipelineName="p",
        PipelineParameters=[{"Name": "Items", "Value": "[]"}],
        SelectiveExecutionConfig={"SourcePipelineExecutionArn": source, "SelectedSteps": [{"StepName": "Last"}]},
    )["PipelineExecutionArn"]
    assert account.execution_end(arn)["PipelineExecutionStatus"] == "Succeeded"
    shown = account.steps(arn)
    assert set(shown) == {"Each", "Score-0", "Score-1", "Last"}
    assert "SelectiveExecutionResult" in shown["Score-1"]


def test_a_retry_after_the_iterations_builds_on_them(desk: Desk) -> None:
    account = desk.account
    last = desk.make.processing("Last", account.put("code/last.py", "import sys\nsys.exit(1)\n"))
    last["Arguments"]["Environment"] = {"JOB": {"Get": "Steps.Each.IterationOutputs[1].Score.ProcessingJobName"}}
    arn = desk.run(desk.each(desk.body()), last, items=["a", "bb"])
    begun = account.steps(arn)["Each"]["StartTime"]
    account.put("code/last.py", "import os\nassert os.environ['JOB']\n")
    account.sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken="t" * 32)
    assert account.execution_end(arn)["PipelineExecutionStatus"] == "Succeeded"
    assert account.steps(arn)["Each"]["StartTime"] == begun


def test_stop_ends_the_iterations_that_run(desk: Desk) -> None:
    account = desk.account
    account.create_pipeline(
        "p",
        desk.each(desk.body("import time\ntime.sleep(600)\n"), IterableItems=["a", "bb", "ccc"]),
    )
    arn = account.sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    account.until(lambda: len([s for s in account.steps(arn).values() if s.get("Metadata")]) == 2, "two jobs")
    account.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    assert account.execution_end(arn)["PipelineExecutionStatus"] == "Stopped"
    assert {name: step["StepStatus"] for name, step in account.steps(arn).items()} == {
        "Each": "Stopped",
        "Score-0": "Stopped",
        "Score-1": "Stopped",
    }


def test_items_that_are_no_list_fail_the_step(desk: Desk) -> None:
    arn = desk.run(desk.each(desk.body()), items={"a": 1})
    [each] = desk.account.steps(arn).values()
    assert each["FailureReason"].startswith("IterableItems is an object")
