"""The owner of the state is killed while an execution runs; the next owner closes it, and a retry goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

DYING = """
import os, signal, sys
from pathlib import Path
from mlops_sm.emulator import LocalAccount

account = LocalAccount.open(Path(sys.argv[1]))
account.ensure_bucket("emulator-tests")
sagemaker, s3, sqs = (account.client(name) for name in ("sagemaker", "s3", "sqs"))
queue = sqs.create_queue(QueueName="ask")["QueueUrl"]
for path in Path(sys.argv[2]).iterdir():
    s3.put_object(Bucket="emulator-tests", Key=f"code/{path.name}", Body=path.read_bytes())
definition = Path(sys.argv[3]).read_text().replace("QUEUE", queue)
sagemaker.create_pipeline(
    PipelineName="p", PipelineDefinition=definition, RoleArn="arn:aws:iam::123456789012:role/execution"
)
arn = sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
steps = {}
while not ("Ask" in steps and steps.get("Wait", {}).get("Metadata")) or "Metadata" not in steps["Ask"]:
    listed = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn)["PipelineExecutionSteps"]
    steps = {step["StepName"]: step for step in listed}
print(arn, steps["Ask"]["Metadata"]["Callback"]["CallbackToken"], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_an_execution_of_a_killed_owner_goes_on_where_it_was(
    open_account: Callable[..., Any], make: Any, state: Path
) -> None:
    code = state.parent / "code"
    code.mkdir()
    go = state.parent / "go"
    (code / "a.py").write_text("print()")
    (code / "wait.py").write_text(f"import pathlib, time\nwhile not pathlib.Path('{go}').exists(): time.sleep(0.01)")
    first = make.processing("First", "s3://emulator-tests/code/a.py")
    wait = make.processing("Wait", "s3://emulator-tests/code/wait.py", DependsOn=["First"])
    ask = {"Name": "Ask", "Type": "Callback", "SqsQueueUrl": "QUEUE", "Arguments": {}, "OutputParameters": []}
    document = state.parent / "definition.json"
    document.write_text(make.definition(first, wait, {**ask, "DependsOn": ["First"]}))
    died = subprocess.run(
        [sys.executable, "-c", DYING, str(state), str(code), str(document)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert died.returncode == -9, died.stderr
    arn, token = died.stdout.split()

    account = open_account()
    sagemaker = account.sagemaker
    closed = account.execution_end(arn)
    assert closed["PipelineExecutionStatus"] == "Failed"
    assert "RetryPipelineExecution goes on" in closed["FailureReason"]
    before = account.steps(arn)
    assert {name: step["StepStatus"] for name, step in before.items()} == {
        "First": "Succeeded",
        "Wait": "Failed",
        "Ask": "Failed",
    }
    with pytest.raises(sagemaker.exceptions.ConflictException, match="no longer waited for"):
        sagemaker.send_pipeline_execution_step_success(CallbackToken=token)

    go.touch()
    # The queue need not have survived: the pipeline's own definition names it by its URL.
    account.client("sqs").create_queue(QueueName="ask")
    sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn)
    tokens: list[str] = []

    def asked() -> bool:
        metadata = account.steps(arn).get("Ask", {}).get("Metadata") or {}
        tokens.extend([metadata["Callback"]["CallbackToken"]] if metadata else [])
        return bool(tokens)

    account.until(asked, "the new token")
    assert tokens[0] != token
    sagemaker.send_pipeline_execution_step_success(CallbackToken=tokens[0])
    assert account.execution_end(arn)["PipelineExecutionStatus"] == "Succeeded"
    after = account.steps(arn)
    assert after["First"] == before["First"]
    assert after["Wait"]["AttemptCount"] == after["Ask"]["AttemptCount"] == 2
    assert json.loads(
        sagemaker.describe_pipeline_definition_for_execution(PipelineExecutionArn=arn)["PipelineDefinition"]
    )
