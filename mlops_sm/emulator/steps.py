"""One step of an execution on its thread: attempts, its record, and SageMaker as its handler calls it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mlops_sm.definition.document import Json, RetryPolicy, Step
from mlops_sm.definition.kinds import StepKind
from mlops_sm.emulator.step_cache import KEY
from mlops_sm.emulator.store import Store
from mlops_sm.engine.cache import CacheKey
from mlops_sm.engine.loops import Iteration, item_text
from mlops_sm.engine.retry import Fault, retry_delay
from mlops_sm.engine.status import Failed, Outcome, Stopped, Succeeded
from mlops_sm.local.handlers import (
    HANDLERS,
    Callback,
    CallbackAnswer,
    ControlPlane,
    FunctionAnswer,
    StepResult,
    StepRun,
    StopSignal,
)
from mlops_sm.local.user_handlers import UserHandlers

_METADATA: Final[Mapping[str, tuple[str, str]]] = {
    "CreateProcessingJob": ("ProcessingJob", "ProcessingJobArn"),
    "CreateTrainingJob": ("TrainingJob", "TrainingJobArn"),
    "CreateHyperParameterTuningJob": ("TuningJob", "HyperParameterTuningJobArn"),
    "CreateTransformJob": ("TransformJob", "TransformJobArn"),
    "CreateModel": ("Model", "ModelArn"),
    "CreateEndpointConfig": ("EndpointConfig", "EndpointConfigArn"),
    "CreateEndpoint": ("Endpoint", "EndpointArn"),
    "UpdateEndpoint": ("Endpoint", "EndpointArn"),
    "CreateInferenceComponent": ("InferenceComponent", "InferenceComponentArn"),
    "UpdateInferenceComponent": ("InferenceComponent", "InferenceComponentArn"),
    "CreateModelPackage": ("RegisterModel", "ModelPackageArn"),
}
"""What a step's Metadata shows of the thing it created: its member and the member of the answer with the ARN."""

_CHECKS: Final = frozenset({StepKind.QUALITY_CHECK, StepKind.CLARIFY_CHECK})
"""Kinds whose Metadata names their job in a member of its own."""

_FAULTS: Final = (
    ("ClientError: ThrottlingException:", Fault.THROTTLING),
    ("ClientError: ResourceLimitExceeded:", Fault.RESOURCE_LIMIT),
    ("ClientError: InternalFailure:", Fault.SERVICE_FAULT),
    ("ClientError: ServiceUnavailable:", Fault.SERVICE_FAULT),
    ("InternalServerError:", Fault.JOB_INTERNAL_ERROR),
    ("CapacityError:", Fault.CAPACITY_ERROR),
)
"""How a failure reason starts whose fault a retry policy can name."""

_LOOK_AROUND: Final = 0.1
"""Seconds between looks at the clock before a retry; a stop is noticed at once."""
_MAX_ITEM: Final = 12_800
"""Characters of an item (API reference, IterationContext)."""
_MAX_REASON: Final = 1024
"""Characters of a step's FailureReason (API reference, PipelineExecutionStep)."""


class StepRecord:
    """One step as ListPipelineExecutionSteps shows it; every change is written at once.

    Attributes:
        kind: The step's.

    Args:
        position: Which step of the execution this is, in the order of their start.
        now: Epoch seconds.
        attempt: Which attempt at the step this is; above 1 when the execution is retried.
        iteration: Which iteration of a ForEach step it belongs to.
    """

    def __init__(
        self,
        store: Store,
        execution: str,
        position: int,
        step: Step,
        now: Callable[[], float],
        *,
        attempt: int = 1,
        iteration: Iteration | None = None,
    ) -> None:
        self.kind = step.kind
        self._store = store
        self._execution = execution
        self._position = position
        self._now = now
        self._lock = threading.Lock()
        self._body: dict[str, Json] = {
            "StepName": step.name,
            # No member of the API: events of the step say it.
            "StepType": step.kind,
            "StepDisplayName": step.display_name,
            "StepDescription": step.description,
            "StartTime": now(),
            "StepStatus": "Starting",
            "AttemptCount": attempt,
        }
        if iteration is not None:
            self._body["IterationContext"] = {
                "ParentStepName": iteration.parent,
                "Index": iteration.index,
                "Item": item_text(iteration.item)[:_MAX_ITEM],
            }
        self._write()

    def try_again(self) -> None:
        """One more attempt begins."""
        self._change(AttemptCount=self._body["AttemptCount"] + 1)

    def identify(self, key: CacheKey) -> None:
        """What decides whether a later execution uses this run of the step; written with the next change."""
        with self._lock:
            self._body[KEY] = dict(key)

    def reuse(self, execution: str) -> None:
        """The step is not run: its result is that of another execution."""
        self._change(CacheHitResult={"SourcePipelineExecutionArn": execution})

    def executing(self, metadata: dict[str, Json]) -> None:
        """The step created something."""
        self._change(StepStatus="Executing", Metadata=metadata)

    def stopping(self) -> None:
        """The step was asked to stop."""
        self._change(StepStatus="Stopping")

    def end(self, result: StepResult) -> None:
        """The step has ended."""
        metadata = result.metadata or self._body.get("Metadata")
        match result.outcome:
            case Succeeded():
                self._change(StepStatus="Succeeded", EndTime=self._now(), Metadata=metadata)
            case Failed(reason):
                shown = reason[:_MAX_REASON]
                self._change(StepStatus="Failed", EndTime=self._now(), Metadata=metadata, FailureReason=shown)
            case Stopped():
                self._change(StepStatus="Stopped", EndTime=self._now(), Metadata=metadata)

    def _change(self, **members: Json) -> None:
        with self._lock:
            if "EndTime" not in self._body:
                self._body |= members
                self._write()

    def _write(self) -> None:
        body = {name: value for name, value in self._body.items() if value is not None}
        self._store.put_step(self._execution, self._position, body["StepName"], body)


@dataclass(frozen=True, slots=True)
class RecordingControl:
    """A control plane that notes in the step's record what the handler created.

    Attributes:
        inner: Performs the calls.
        record: The step's.
    """

    inner: ControlPlane
    record: StepRecord

    def call(self, operation: str, request: Mapping[str, Json]) -> dict[str, Json]:
        """Call an operation. Raises ServiceError."""
        answer = self.inner.call(operation, request)
        if operation in _METADATA:
            member, arn = _METADATA[operation]
            shown = {"Arn": answer[arn]}
            if self.record.kind in _CHECKS:
                member, shown = self.record.kind.value, {"CheckJobArn": answer[arn]}
            self.record.executing({member: shown})
        return answer

    def wait_for_job(self, describe: str, request: Mapping[str, Json], stop: StopSignal) -> dict[str, Json]:
        """The Describe response once the job is terminal; when `stop` is set, stops it first."""
        return self.inner.wait_for_job(describe, request, stop)

    def send_message(self, queue_url: str, body: str) -> None:
        """Send a message to a queue. Raises ServiceError."""
        self.inner.send_message(queue_url, body)

    def invoke_function(self, function: str, payload: str) -> FunctionAnswer:
        """Call a function and wait for its end. Raises ServiceError."""
        self.record.executing({"Lambda": {"Arn": function}})
        return self.inner.invoke_function(function, payload)

    def delete_objects(self, uri: str, *, folder: bool) -> None:
        """Delete an object of S3, or everything under a URI. Raises ServiceError."""
        self.inner.delete_objects(uri, folder=folder)

    @contextmanager
    def open_callback(self, callback: Callback) -> Iterator[Callable[[], CallbackAnswer | None]]:
        """As long as the context lasts the token may be answered; its value waits for that."""
        with self.inner.open_callback(callback) as wait:
            shown = {"CallbackToken": callback.token, "SqsQueueUrl": callback.queue_url}
            self.record.executing({"Callback": shown})
            yield wait


def run_step(run: StepRun, record: StepRecord, handlers: UserHandlers, clock: Callable[[], datetime]) -> StepResult:
    """Run a step's handler until an attempt succeeds or no retry policy asks for another; the record is kept.

    Each policy counts the retries that it asked for itself: what one fault has used up is no other's.

    Args:
        run: The step.
        record: Its record.
        handlers: The user's, for kinds of steps that do not run here.
        clock: The account's; retries go by it, so that a test need not wait for them.
    """
    handle = handlers.run if run.step.kind in handlers else HANDLERS[run.step.kind]
    began = clock()
    retries: Counter[RetryPolicy | None] = Counter()
    while True:
        result = handle(run)
        delay = _delay(run.step, result.outcome, retries, (clock() - began).total_seconds())
        if delay is None:
            return result
        if _stopped_while(delay, run.stop, clock):
            return StepResult(outcome=Stopped(), metadata=result.metadata)
        record.try_again()


def _stopped_while(seconds: float, stop: StopSignal, clock: Callable[[], datetime]) -> bool:
    """Let time pass until so many seconds are over or the execution is stopped; whether it was."""
    began = clock()
    while (left := seconds - (clock() - began).total_seconds()) > 0:
        if stop.wait(min(left, _LOOK_AROUND)):
            return True
    return stop.is_set()


def _delay(step: Step, outcome: Outcome, retries: Counter[RetryPolicy | None], elapsed: float) -> float | None:
    if not isinstance(outcome, Failed):
        return None
    fault = next((fault for start, fault in _FAULTS if outcome.reason.startswith(start)), None)
    if fault is None:
        return None
    policy = next((policy for policy in step.retry_policies if fault in policy.exception_types), None)
    retries[policy] += 1
    return retry_delay(step.retry_policies, fault, kind=step.kind, attempt=retries[policy], elapsed_seconds=elapsed)
