"""RetryPipelineExecution, UpdatePipelineExecution, selective execution.

Rules: API reference, RetryPipelineExecution and SelectiveExecutionConfig; developer guide, "Fail step" (an execution
that it ended cannot be retried) and "Selective execution of pipeline steps".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

TOKEN = "t" * 32


def start(account: Any, name: str, **request: Any) -> str:
    arn: str = account.sagemaker.start_pipeline_execution(PipelineName=name, **request)["PipelineExecutionArn"]
    return arn


def retry(account: Any, arn: str, **request: Any) -> dict[str, Any]:
    account.sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn, **request)
    ended: dict[str, Any] = account.execution_end(arn)
    return ended


def jobs(steps: dict[str, Any]) -> dict[str, str]:
    return {name: step["Metadata"]["ProcessingJob"]["Arn"] for name, step in steps.items()}


def gone(account: Any) -> Path:
    path: Path = account.local.state.parent / "go"
    return path


@pytest.fixture
def chain(account: Any, make: Any) -> Any:
    """A -> B -> C; B fails as long as a file is missing; C reads where B wrote."""
    good = account.put("code/good.py", "print()")
    script = f"import pathlib, sys\nsys.exit(0 if pathlib.Path('{gone(account)}').exists() else 3)"
    sometimes = account.put("code/sometimes.py", script)
    a = make.processing("A", good, "s3://emulator-tests/chain/a")
    b = make.processing("B", sometimes, "s3://emulator-tests/chain/b", DependsOn=["A"])
    c = make.processing("C", good, {"Get": "Steps.B.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri"})
    c["Arguments"]["Environment"] = {"FROM": {"Get": "Steps.A.ProcessingJobName"}}
    account.create_pipeline("p", a, b, c)
    return account


def test_a_retry_keeps_what_succeeded_and_runs_the_rest(chain: Any) -> None:
    arn = start(chain, "p")
    failed = chain.execution_end(arn)
    assert failed["PipelineExecutionStatus"] == "Failed"
    before = chain.steps(arn)
    assert set(before) == {"A", "B"}
    gone(chain).touch()
    chain.sagemaker.update_pipeline(
        PipelineName="p",
        PipelineDefinition=chain.sagemaker.describe_pipeline(PipelineName="p")["PipelineDefinition"].replace(
            "chain/a", "chain/z"
        ),
    )
    ended = retry(chain, arn)
    assert ended["PipelineExecutionStatus"] == "Succeeded"
    assert "FailureReason" not in ended
    # The version it was started with, not the latest.
    assert ended["PipelineVersionId"] == 1
    after = chain.steps(arn)
    assert set(after) == {"A", "B", "C"}
    assert after["A"] == before["A"]
    assert jobs(after)["B"] != jobs(before)["B"]
    assert (after["A"]["AttemptCount"], after["B"]["AttemptCount"], after["C"]["AttemptCount"]) == (1, 2, 1)
    assert "FailureReason" not in after["B"]
    job = chain.sagemaker.describe_processing_job(ProcessingJobName=jobs(after)["C"].rsplit("/", 1)[1])
    assert job["Environment"] == {"FROM": jobs(after)["A"].rsplit("/", 1)[1]}
    assert job["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"] == "s3://emulator-tests/chain/b"


def test_a_retry_that_fails_again_can_be_retried(chain: Any) -> None:
    arn = start(chain, "p")
    chain.execution_end(arn)
    again = retry(chain, arn)
    assert again["PipelineExecutionStatus"] == "Failed"
    assert again["FailureReason"] == "Step failure: One or multiple steps failed."
    gone(chain).touch()
    assert retry(chain, arn)["PipelineExecutionStatus"] == "Succeeded"
    assert chain.steps(arn)["B"]["AttemptCount"] == 3


def test_the_same_token_retries_once(chain: Any) -> None:
    arn = start(chain, "p")
    chain.execution_end(arn)
    retry(chain, arn, ClientRequestToken=TOKEN)
    retry(chain, arn, ClientRequestToken=TOKEN)
    assert chain.steps(arn)["B"]["AttemptCount"] == 2


def test_a_stopped_execution_goes_on(account: Any, make: Any) -> None:
    path = gone(account)
    waiting = account.put(
        "code/wait.py", f"import pathlib, time\nwhile not pathlib.Path('{path}').exists(): time.sleep(0.01)"
    )
    account.create_pipeline("p", make.processing("Wait", waiting))
    arn = start(account, "p")
    account.until(lambda: account.steps(arn).get("Wait", {}).get("StepStatus") == "Executing", "the step")
    with pytest.raises(account.sagemaker.exceptions.ConflictException, match="in status Executing"):
        account.sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn)
    account.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    assert account.execution_end(arn)["PipelineExecutionStatus"] == "Stopped"
    path.touch()
    ended = retry(account, arn, ParallelismConfiguration={"MaxParallelExecutionSteps": 1})
    assert ended["PipelineExecutionStatus"] == "Succeeded"
    assert ended["ParallelismConfiguration"] == {"MaxParallelExecutionSteps": 1}


def test_what_cannot_be_retried(account: Any, make: Any) -> None:
    account.create_pipeline("good", make.processing("A", account.put("code/a.py", "print()")))
    account.create_pipeline("bad", make.fail())
    succeeded, failed = start(account, "good"), start(account, "bad")
    account.execution_end(succeeded)
    account.execution_end(failed)
    with pytest.raises(account.sagemaker.exceptions.ConflictException, match="in status Succeeded"):
        account.sagemaker.retry_pipeline_execution(PipelineExecutionArn=succeeded)
    with pytest.raises(account.sagemaker.exceptions.ConflictException, match="the Fail step No"):
        account.sagemaker.retry_pipeline_execution(PipelineExecutionArn=failed)
    assert account.execution_end(failed)["PipelineExecutionStatus"] == "Failed"


def test_a_verdict_survives_a_retry(account: Any, make: Any) -> None:
    script = f"import pathlib, sys\nsys.exit(0 if pathlib.Path('{gone(account)}').exists() else 3)"
    sometimes = account.put("code/sometimes.py", script)
    condition = {"Type": "Equals", "LeftValue": 1, "RightValue": 1}
    gate = {
        "Name": "Gate",
        "Type": "Condition",
        "Arguments": {
            "Conditions": [condition],
            "IfSteps": [make.processing("Yes", sometimes)],
            "ElseSteps": [make.processing("No", sometimes)],
        },
    }
    account.create_pipeline("p", gate)
    arn = start(account, "p")
    account.execution_end(arn)
    before = account.steps(arn)["Gate"]
    gone(account).touch()
    assert retry(account, arn)["PipelineExecutionStatus"] == "Succeeded"
    assert set(account.steps(arn)) == {"Gate", "Yes"}
    assert account.steps(arn)["Gate"] == before


def test_an_execution_gets_new_names_and_room(account: Any, make: Any) -> None:
    """Two steps that each wait for the other's file, one at a time: only more room lets them end."""
    script = """
import pathlib, sys, time
mine, other = map(pathlib.Path, sys.argv[1:])
mine.touch()
while not other.exists():
    time.sleep(0.01)
"""
    code = account.put("code/meet.py", script)
    marks = [str(account.local.state.parent / f"mark-{number}") for number in range(2)]
    steps = [make.processing(f"S{number}", code) for number in range(2)]
    for number, step in enumerate(steps):
        step["Arguments"]["AppSpecification"]["ContainerArguments"] = [marks[number], marks[1 - number]]
    account.create_pipeline("p", *steps)
    arn = start(account, "p", ParallelismConfiguration={"MaxParallelExecutionSteps": 1})
    account.until(lambda: Path(marks[0]).exists(), "the first step")
    answer = account.sagemaker.update_pipeline_execution(
        PipelineExecutionArn=arn,
        PipelineExecutionDescription="why",
        PipelineExecutionDisplayName="named",
        ParallelismConfiguration={"MaxParallelExecutionSteps": 2},
    )
    assert answer["PipelineExecutionArn"] == arn
    ended = account.execution_end(arn)
    assert ended["PipelineExecutionStatus"] == "Succeeded"
    assert (ended["PipelineExecutionDescription"], ended["PipelineExecutionDisplayName"]) == ("why", "named")
    assert ended["ParallelismConfiguration"] == {"MaxParallelExecutionSteps": 2}


# ------------------------------------------------------------------ selective execution


def select(*names: str, source: str | None = None) -> dict[str, Any]:
    config: dict[str, Any] = {"SelectedSteps": [{"StepName": name} for name in names]}
    return config if source is None else {**config, "SourcePipelineExecutionArn": source}


def test_selected_steps_build_on_another_execution(chain: Any) -> None:
    gone(chain).touch()
    source = start(chain, "p")
    assert chain.execution_end(source)["PipelineExecutionStatus"] == "Succeeded"
    config = select("C", source=source)
    arn = start(chain, "p", SelectiveExecutionConfig=config)
    ended = chain.execution_end(arn)
    assert ended["PipelineExecutionStatus"] == "Succeeded"
    assert ended["SelectiveExecutionConfig"] == config
    steps, of_source = chain.steps(arn), chain.steps(source)
    assert set(steps) == {"A", "B", "C"}
    for name in ("A", "B"):
        assert steps[name]["SelectiveExecutionResult"] == {"SourcePipelineExecutionArn": source}
        assert jobs(steps)[name] == jobs(of_source)[name]
    assert "SelectiveExecutionResult" not in steps["C"]
    assert jobs(steps)["C"] != jobs(of_source)["C"]
    job = chain.sagemaker.describe_processing_job(ProcessingJobName=jobs(steps)["C"].rsplit("/", 1)[1])
    assert job["Environment"] == {"FROM": jobs(of_source)["A"].rsplit("/", 1)[1]}


def test_what_comes_after_the_selected_steps_does_not_run(chain: Any) -> None:
    gone(chain).touch()
    arn = start(chain, "p", SelectiveExecutionConfig=select("A", "B"))
    assert chain.execution_end(arn)["PipelineExecutionStatus"] == "Succeeded"
    assert set(chain.steps(arn)) == {"A", "B"}


def test_order_alone_needs_no_other_execution(chain: Any) -> None:
    """B waits for A but uses nothing of it."""
    gone(chain).touch()
    arn = start(chain, "p", SelectiveExecutionConfig=select("B"))
    assert chain.execution_end(arn)["PipelineExecutionStatus"] == "Succeeded"
    assert set(chain.steps(arn)) == {"B"}


def test_a_selective_execution_is_retried_as_such(chain: Any) -> None:
    arn = start(chain, "p", SelectiveExecutionConfig=select("B"))
    assert chain.execution_end(arn)["PipelineExecutionStatus"] == "Failed"
    gone(chain).touch()
    assert retry(chain, arn)["PipelineExecutionStatus"] == "Succeeded"
    assert set(chain.steps(arn)) == {"B"}


def test_selections_that_are_refused(chain: Any, make: Any) -> None:
    source = start(chain, "p")
    chain.execution_end(source)
    chain.create_pipeline("q", make.fail())
    other = start(chain, "q")
    chain.execution_end(other)
    for config, words in (
        (select("Z"), "no such step: Z"),
        (select("A", "C"), "missing: B"),
        (select("C"), "SourcePipelineExecutionArn is required.*: A, B"),
        (select("C", source=source), "did not succeed in .*: B"),
        (select("C", source=other), "is not an execution of pipeline p"),
    ):
        with pytest.raises(ClientError, match=words) as refused:
            start(chain, "p", SelectiveExecutionConfig=config)
        assert refused.value.response["Error"]["Code"] == "ValidationException"
    with pytest.raises(chain.sagemaker.exceptions.ResourceNotFound):
        start(chain, "p", SelectiveExecutionConfig=select("C", source=f"{source[:-12]}aaaaaaaaaaaa"))


def test_a_running_execution_is_no_source(account: Any, make: Any) -> None:
    account.create_pipeline("p", make.processing("Wait", account.put("code/wait.py", "import time\ntime.sleep(600)")))
    source = start(account, "p")
    with pytest.raises(ClientError, match="is in status Executing"):
        start(account, "p", SelectiveExecutionConfig=select("Wait", source=source))
    account.sagemaker.stop_pipeline_execution(PipelineExecutionArn=source)
    account.execution_end(source)
    with pytest.raises(ClientError, match="is in status Stopped; it should be Succeeded or Failed"):
        start(account, "p", SelectiveExecutionConfig=select("Wait", source=source))
