"""The owner of the state is killed while an execution runs; the next owner closes it, and a retry goes on."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops_sm.emulator.callbacks import ANSWERED, WAITING
from mlops_sm.emulator.database import Database
from mlops_sm.emulator.recovery import close_abandoned
from mlops_sm.emulator.store import Entity, Kind, Scope, Store

SCOPE = Scope("123456789012", "us-east-1")

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


@pytest.fixture
def store(tmp_path: Path) -> Any:
    database = Database(tmp_path / "account.db")
    yield Store(database)
    database.close()


def entity(kind: Kind, name: str, status: str = "", **body: Any) -> Entity:
    return Entity(scope=SCOPE, kind=kind, name=name, arn=f"arn:{name}", created=1, modified=1, status=status, body=body)


@pytest.mark.parametrize(("status", "end"), [("InProgress", "Failed"), ("Stopping", "Stopped")])
def test_a_tuning_job_is_closed_with_its_training_jobs(store: Store, status: str, end: str) -> None:
    started = {"SecondaryStatus": "Training", "SecondaryStatusTransitions": [{"Status": "Training", "StartTime": 1}]}
    running = entity(
        Kind.TRAINING_JOB, "search-001-0", status, ObjectiveStatus="Pending", TunedHyperParameters={"x": "1"}, **started
    )
    objective = {"Type": "Maximize", "MetricName": "auc", "Value": 0.5}
    done = entity(
        Kind.TRAINING_JOB,
        "search-002-0",
        "Completed",
        ObjectiveStatus="Succeeded",
        TunedHyperParameters={"x": "2"},
        FinalHyperParameterTuningJobObjectiveMetric=objective,
        **started,
    )
    for child in (running, done):
        store.add(replace(child, parent="search"))
    store.add(entity(Kind.TUNING_JOB, "search", status))
    assert set(close_abandoned(store, 9.0)) == {"arn:search", "arn:search-001-0"}
    closed = store.by_arn("arn:search")
    assert closed is not None
    assert closed.status == end
    counts = closed.body["TrainingJobStatusCounters"]
    # The reason of the one that was running is an internal error.
    assert counts == {
        "Completed": 1,
        "InProgress": 0,
        "RetryableError": 1 if end == "Failed" else 0,
        "NonRetryableError": 0,
        "Stopped": 1 if end == "Stopped" else 0,
    }
    assert closed.body["ObjectiveStatusCounters"] == {"Succeeded": 1, "Pending": 0, "Failed": 1}
    assert closed.body["BestTrainingJob"]["TrainingJobName"] == "search-002-0"
    assert ("FailureReason" in closed.body) is (end == "Failed")
    assert closed.body["HyperParameterTuningEndTime"] == 9.0


@pytest.mark.parametrize(
    ("made", "metadata", "expected"),
    [
        (entity(Kind.PROCESSING_JOB, "j", "Completed"), {"ProcessingJob": {"Arn": "arn:j"}}, "Succeeded"),
        (entity(Kind.PROCESSING_JOB, "j", "Failed"), {"ProcessingJob": {"Arn": "arn:j"}}, "Failed"),
        (entity(Kind.PROCESSING_JOB, "j", "InProgress"), {"ProcessingJob": {"Arn": "arn:j"}}, "Failed"),
        (entity(Kind.MODEL, "m"), {"Model": {"Arn": "arn:m"}}, "Succeeded"),
        (entity(Kind.MODEL, "other"), {"Model": {"Arn": "arn:m"}}, "Failed"),
        (entity(Kind.MODEL_PACKAGE, "p"), {"RegisterModel": {"Arn": "arn:p"}}, "Succeeded"),
        (entity(Kind.CALLBACK, "t", WAITING), {"Callback": {"CallbackToken": "t"}}, "Failed"),
        (entity(Kind.CALLBACK, "t", ANSWERED, FailureReason="no"), {"Callback": {"CallbackToken": "t"}}, "Failed"),
        (
            entity(Kind.CALLBACK, "t", ANSWERED, OutputParameters=[{"Name": "a", "Value": "1"}]),
            {"Callback": {"CallbackToken": "t"}},
            "Succeeded",
        ),
        (entity(Kind.MODEL, "m"), None, "Failed"),
    ],
)
def test_a_step_whose_work_was_done_has_succeeded(store: Store, made: Entity, metadata: Any, expected: str) -> None:
    """The owner died after it had acknowledged the work and before it wrote down that the step had ended."""
    store.add(made)
    store.add(entity(Kind.EXECUTION, "e", "Executing"))
    body = {"StepName": "S", "StepStatus": "Executing", "StartTime": 1, "AttemptCount": 1}
    store.put_step("arn:e", 0, "S", body if metadata is None else {**body, "Metadata": metadata})
    close_abandoned(store, 9.0)
    ((_, step),) = store.steps("arn:e")
    assert (step["StepStatus"], step["EndTime"]) == (expected, 9.0)
    assert ("FailureReason" in step) is (expected == "Failed")
    if made.kind is Kind.CALLBACK and expected == "Succeeded":
        assert step["Metadata"]["Callback"]["OutputParameters"] == [{"Name": "a", "Value": "1"}]
    execution = store.by_arn("arn:e")
    assert execution is not None
    assert execution.status == "Failed"


@pytest.mark.parametrize(("status", "expected"), [("InProgress", "Failed"), ("Stopping", "Stopped")])
def test_a_transform_job_of_a_dead_owner_has_ended(tmp_path: Path, status: str, expected: str) -> None:
    store = Store(Database(tmp_path / "db"))
    arn = SCOPE.arn(Kind.TRANSFORM_JOB, "t")
    job = Entity(
        scope=SCOPE, kind=Kind.TRANSFORM_JOB, name="t", arn=arn, created=1.0, modified=1.0, status=status, body={}
    )
    with store.transaction():
        store.add(job)
    assert close_abandoned(store, 5.0) == [arn]
    closed = store.by_arn(arn)
    assert closed is not None
    assert (closed.status, closed.body["TransformEndTime"]) == (expected, 5.0)
    assert ("FailureReason" in closed.body) == (expected == "Failed")


class Refusing(Database):
    """A database that somebody else can lock: nothing can be begun, what is there can be read."""

    locked = False

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self.locked:
            raise sqlite3.OperationalError("database is locked")
        with super().transaction():
            yield


def test_an_end_that_cannot_even_begin_to_be_written_is_shown(tmp_path: Path) -> None:
    database = Refusing(tmp_path / "db")
    store = Store(database)
    arn = SCOPE.arn(Kind.TRANSFORM_JOB, "t")
    store.add(
        Entity(scope=SCOPE, kind=Kind.TRANSFORM_JOB, name="t", arn=arn, created=1.0, modified=1.0, status="InProgress")
    )
    database.locked = True
    store.end(arn, lambda job: job.with_body({}, modified=2.0, status="Completed"))
    shown = store.by_arn(arn)
    assert shown is not None
    assert (shown.status, shown.modified) == ("Completed", 2.0)
    database.close()
