"""One step on its thread: its record while it runs, and when it is tried again."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mlops_sm.definition.document import RetryPolicy, Step
from mlops_sm.definition.kinds import StepKind
from mlops_sm.emulator.database import Database
from mlops_sm.emulator.steps import RecordingControl, StepRecord, run_step
from mlops_sm.emulator.store import Store
from mlops_sm.engine import Failed, Fault, Stopped, Succeeded
from mlops_sm.local.handlers import ServiceError, StepResult, StepRun
from mlops_sm.local.user_handlers import UserHandlers


class Control:
    """Refuses the first calls with the errors it is given, then creates a model."""

    def __init__(self, *errors: ServiceError) -> None:
        self.errors = list(errors)
        self.created = 0

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        if operation == "CreateModel":
            self.created += 1
            if self.errors:
                raise self.errors.pop(0)
            return {"ModelArn": "arn:model"}
        return {"ModelName": request["ModelName"]}

    def wait_for_job(self, describe: str, request: Mapping[str, Any], stop: threading.Event) -> dict[str, Any]:
        raise AssertionError((describe, request, stop))


@pytest.fixture
def store(tmp_path: Path) -> Any:
    database = Database(tmp_path / "account.db")
    yield Store(database)
    database.close()


def run(store: Store, control: Control, *policies: RetryPolicy, stop: threading.Event | None = None) -> Any:
    step = Step(name="S", kind=StepKind.MODEL, arguments={}, retry_policies=policies)
    record = StepRecord(store, "arn:execution", 0, step, lambda: 5.0)
    result = run_step(
        StepRun(
            step=step,
            arguments={},
            execution_id="e" * 12,
            execution_arn="arn:execution",
            pipeline_name="p",
            control=RecordingControl(control, record),
            stop=stop or threading.Event(),
            new_suffix=lambda: "0123456789",
        ),
        record,
        UserHandlers(),
        lambda: datetime.now(UTC),
    )
    record.end(result)
    (written,) = [body for _, body in store.steps("arn:execution")]
    return result, written


def test_what_a_step_created_is_in_its_record(store: Store) -> None:
    result, written = run(store, Control())
    assert isinstance(result.outcome, Succeeded)
    assert written == {
        "StepName": "S",
        "StepType": "Model",
        "StartTime": 5.0,
        "EndTime": 5.0,
        "StepStatus": "Succeeded",
        "AttemptCount": 1,
        "Metadata": {"Model": {"Arn": "arn:model"}},
    }


@pytest.mark.parametrize(
    ("code", "fault"), [("ThrottlingException", Fault.THROTTLING), ("ServiceUnavailable", Fault.SERVICE_FAULT)]
)
def test_a_fault_that_a_policy_names_is_tried_again(store: Store, code: str, fault: Fault) -> None:
    control = Control(ServiceError(code, "later"), ServiceError(code, "later"))
    policy = RetryPolicy(exception_types=(fault,), interval_seconds=0, max_attempts=2)
    result, written = run(store, control, policy)
    assert isinstance(result.outcome, Succeeded)
    assert (control.created, written["AttemptCount"], written["StepStatus"]) == (3, 3, "Succeeded")


def test_attempts_have_an_end(store: Store) -> None:
    control = Control(*(ServiceError("ResourceLimitExceeded", "too many") for _ in range(9)))
    policy = RetryPolicy(exception_types=(Fault.RESOURCE_LIMIT,), interval_seconds=0, max_attempts=2)
    result, written = run(store, control, policy)
    assert result.outcome == Failed("ClientError: ResourceLimitExceeded: too many")
    assert (control.created, written["StepStatus"]) == (3, "Failed")
    assert written["FailureReason"] == "ClientError: ResourceLimitExceeded: too many"


def test_each_policy_counts_its_own_retries(store: Store) -> None:
    faults = ["ThrottlingException", "ResourceLimitExceeded", "ResourceLimitExceeded"]
    policies = [
        RetryPolicy(exception_types=(fault,), interval_seconds=0, max_attempts=count)
        for fault, count in ((Fault.THROTTLING, 1), (Fault.RESOURCE_LIMIT, 2))
    ]
    control = Control(*(ServiceError(code, "later") for code in faults))
    result, written = run(store, control, *policies)
    assert isinstance(result.outcome, Succeeded)
    assert written["AttemptCount"] == 4


def test_a_wrong_request_is_not_tried_again(store: Store) -> None:
    control = Control(ServiceError("ValidationException", "wrong"))
    policy = RetryPolicy(exception_types=tuple(Fault), interval_seconds=0, max_attempts=5)
    result, _ = run(store, control, policy)
    assert isinstance(result.outcome, Failed)
    assert control.created == 1


def test_a_stop_ends_the_wait_for_the_next_attempt(store: Store) -> None:
    stop = threading.Event()
    stop.set()
    control = Control(ServiceError("ThrottlingException", "later"))
    policy = RetryPolicy(exception_types=(Fault.THROTTLING,), interval_seconds=3600, max_attempts=5)
    result, written = run(store, control, policy, stop=stop)
    assert result.outcome == Stopped()
    assert (control.created, written["StepStatus"]) == (1, "Stopped")


def test_a_record_that_has_ended_changes_no_more(store: Store) -> None:
    step = Step(name="S", kind=StepKind.MODEL, arguments={})
    record = StepRecord(store, "arn:execution", 0, step, lambda: 5.0)
    result, _ = run(store, Control())
    record.end(result)
    record.stopping()
    assert [body["StepStatus"] for _, body in store.steps("arn:execution")] == ["Succeeded"]


def test_a_reason_is_as_long_as_the_service_shows_it(store: Store) -> None:
    """API reference, PipelineExecutionStep: FailureReason has at most 1024 characters."""
    record = StepRecord(store, "arn:execution", 0, Step(name="S", kind=StepKind.FAIL, arguments={}), lambda: 5.0)
    record.end(StepResult(outcome=Failed("x" * 3000)))
    ((_, written),) = store.steps("arn:execution")
    assert written["FailureReason"] == "x" * 1024
