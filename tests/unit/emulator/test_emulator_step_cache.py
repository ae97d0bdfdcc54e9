"""CacheConfig: which earlier runs of a step are used.

Rules: developer guide, "Caching pipeline steps"; the tests quote it.
"""

from __future__ import annotations

from typing import Any

import pytest

CACHE = {"Enabled": True, "ExpireAfter": "P1D"}
OUTPUT = {"Get": "Steps.A.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri"}
PLACE = {"Std:Join": {"On": "/", "Values": ["s3://emulator-tests", {"Get": "Execution.PipelineExecutionId"}]}}


def run(account: Any, name: str = "p", **request: Any) -> tuple[str, dict[str, Any]]:
    arn: str = account.sagemaker.start_pipeline_execution(PipelineName=name, **request)["PipelineExecutionArn"]
    account.execution_end(arn)
    return arn, account.steps(arn)


def job(step: dict[str, Any]) -> str:
    arn: str = step["Metadata"]["ProcessingJob"]["Arn"]
    return arn


def update(account: Any, name: str, *steps: Any, make: Any) -> None:
    account.sagemaker.update_pipeline(PipelineName=name, PipelineDefinition=make.definition(*steps))


@pytest.fixture
def write(account: Any) -> str:
    uri: str = account.put("code/write.py", "open('/opt/ml/processing/out/x.json', 'w').write('{\"x\": 1}')")
    return uri


def test_a_run_with_the_same_key_is_used(account: Any, make: Any, write: str) -> None:
    """Quote: "Pipelines propagates the outputs from the previous run rather than recomputing the step"."""
    first_step = make.processing("A", write, PLACE, CacheConfig=CACHE)
    second_step = make.processing("B", write, "s3://emulator-tests/b", CacheConfig=CACHE)
    second_step["Arguments"]["Environment"] = {"FROM": OUTPUT}
    account.create_pipeline("p", first_step, second_step)
    first, before = run(account)
    _, after = run(account)
    assert "CacheHitResult" not in before["A"]
    for name in ("A", "B"):
        # B too: what it reads is where the reused run of A wrote.
        assert after[name]["CacheHitResult"] == {"SourcePipelineExecutionArn": first}
        assert after[name]["StepStatus"] == "Succeeded"
        assert job(after[name]) == job(before[name])
    _, again = run(account)
    # A step that was taken from the cache is no run of its own.
    assert again["A"]["CacheHitResult"] == {"SourcePipelineExecutionArn": first}
    assert len(account.sagemaker.list_processing_jobs()["ProcessingJobSummaries"]) == 2
    assert "CacheKey" not in again["A"]


def test_what_is_in_no_key_may_change(account: Any, make: Any, write: str) -> None:
    step = make.processing("A", write, CacheConfig=CACHE)
    account.create_pipeline("p", step)
    run(account)
    step["Arguments"]["ProcessingResources"]["ClusterConfig"]["InstanceType"] = "ml.m5.4xlarge"
    step["Arguments"]["StoppingCondition"] = {"MaxRuntimeInSeconds": 60}
    update(account, "p", step, make=make)
    assert "CacheHitResult" in run(account)[1]["A"]
    step["Arguments"]["Environment"] = {"A": "1"}
    update(account, "p", step, make=make)
    assert "CacheHitResult" not in run(account)[1]["A"]


def test_the_most_recent_of_several_is_used(account: Any, make: Any, write: str) -> None:
    """Quote: "When multiple successful runs exist [...], Pipelines uses the result for the most recent"."""
    account.create_pipeline("p", make.processing("A", write, PLACE))
    run(account)
    second, _ = run(account)
    # Runs from before the cache was turned on count.
    update(account, "p", make.processing("A", write, PLACE, CacheConfig=CACHE), make=make)
    assert run(account)[1]["A"]["CacheHitResult"] == {"SourcePipelineExecutionArn": second}


def test_failed_runs_are_never_used_and_succeeded_ones_of_failed_executions_are(
    account: Any, make: Any, write: str
) -> None:
    """Quote: "Step caching only considers successful runs never reuses failed runs"."""
    bad = account.put("code/bad.py", "raise SystemExit(1)")
    good_step = make.processing("A", write, CacheConfig=CACHE)
    bad_step = make.processing("B", bad, OUTPUT, CacheConfig=CACHE)
    account.create_pipeline("p", good_step, bad_step)
    first, before = run(account)
    assert before["B"]["StepStatus"] == "Failed"
    _, after = run(account)
    assert after["A"]["CacheHitResult"] == {"SourcePipelineExecutionArn": first}
    assert after["B"]["StepStatus"] == "Failed"
    assert "CacheHitResult" not in after["B"]


def test_other_pipelines_and_other_steps_do_not_count(account: Any, make: Any, write: str) -> None:
    """Quote: "you can't reuse a step from another pipeline even if there is a step signature match"."""
    account.create_pipeline("p", make.processing("A", write, CacheConfig=CACHE))
    account.create_pipeline("p-2", make.processing("A", write, CacheConfig=CACHE))
    run(account)
    assert "CacheHitResult" not in run(account, "p-2")[1]["A"]
    update(account, "p", make.processing("Other", write, CacheConfig=CACHE), make=make)
    assert "CacheHitResult" not in run(account)[1]["Other"]


def test_a_run_that_is_too_old_does_not_count(open_account: Any, make: Any) -> None:
    """Quote: "This timeout defines how old a previous run can be to remain a candidate for reuse"."""
    account = open_account()
    write = account.put("code/write.py", "print()")
    account.create_pipeline("p", make.processing("A", write, CacheConfig=CACHE))
    first, _ = run(account)
    account.local.clock.advance(hours=23)
    assert run(account)[1]["A"]["CacheHitResult"] == {"SourcePipelineExecutionArn": first}
    account.local.clock.advance(hours=2)
    # The hit two hours ago has not made the run any younger.
    assert "CacheHitResult" not in run(account)[1]["A"]


def test_a_run_whose_job_is_gone_is_passed_over(account: Any, make: Any, write: str) -> None:
    account.create_pipeline("p", make.processing("A", write, CacheConfig=CACHE))
    _, before = run(account)
    account.sagemaker.delete_processing_job(ProcessingJobName=job(before["A"]).rsplit("/", 1)[1])
    assert "CacheHitResult" not in run(account)[1]["A"]


def test_steps_that_are_selected_do_run(account: Any, make: Any, write: str) -> None:
    """API reference, SelectiveExecutionConfig: SelectedSteps is "a list of pipeline steps to run"."""
    account.create_pipeline("p", make.processing("A", write, CacheConfig=CACHE))
    _, before = run(account)
    _, after = run(account, SelectiveExecutionConfig={"SelectedSteps": [{"StepName": "A"}]})
    assert "CacheHitResult" not in after["A"]
    assert job(after["A"]) != job(before["A"])


def test_a_condition_reads_what_a_reused_run_left(account: Any, make: Any, write: str) -> None:
    step = make.processing("A", write, PLACE, CacheConfig=CACHE)
    step["PropertyFiles"] = [{"PropertyFileName": "F", "OutputName": "out", "FilePath": "x.json"}]
    value = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.A.PropertyFiles.F"}, "Path": "x"}}
    condition = {
        "Name": "C",
        "Type": "Condition",
        "Arguments": {
            "Conditions": [{"Type": "Equals", "LeftValue": value, "RightValue": 1}],
            "IfSteps": [],
            "ElseSteps": [make.fail()],
        },
    }
    account.create_pipeline("p", step, condition)
    run(account)
    _, after = run(account)
    assert "CacheHitResult" in after["A"]
    assert after["C"]["Metadata"]["Condition"]["Outcome"] == "True"
