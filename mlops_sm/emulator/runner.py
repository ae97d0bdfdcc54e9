"""Pipeline executions on threads of this process: the engine decides, handlers do, records follow."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Final

from mlops_sm import naming
from mlops_sm.definition.document import Definition, Json, Scalar, Step
from mlops_sm.definition.kinds import StepKind
from mlops_sm.emulator.steps import RecordingControl, StepRecord, run_step
from mlops_sm.emulator.store import Entity, Scope, Store
from mlops_sm.engine import ExecutionStatus, Failed, ResolveError, Run, StepStatus, Succeeded
from mlops_sm.local.handlers import ENGINE_KINDS, ControlPlane, StepResult, StepRun
from mlops_sm.local.site import ObjectStore, StoreError

_log = logging.getLogger(__name__)

ACTIVE: Final = (ExecutionStatus.EXECUTING, ExecutionStatus.STOPPING)
"""The statuses of an execution that has not ended."""

_SUFFIX: Final = 10
"""Random characters at the end of a job's name, as the service has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to run.

    Attributes:
        execution: The record, already in the store.
        pipeline_name: Whose execution it is.
        pipeline_arn: Likewise.
        definition: Parsed and checked.
        parameters: Every parameter's value.
        max_parallel_steps: ParallelismConfiguration; None leaves it to the machine.
        tags: The pipeline's, for the jobs.
    """

    execution: Entity
    pipeline_name: str
    pipeline_arn: str
    definition: Definition
    parameters: Mapping[str, Scalar]
    max_parallel_steps: int | None
    tags: tuple[Mapping[str, str], ...]


class Executions:
    """Every execution that runs now.

    Args:
        store: Where the records are.
        objects: The S3 of a scope.
        control: SageMaker as the handlers of a scope call it.
        clock: The time, timezone-aware.
        new_id: So many random characters.
        parallel_steps: How many steps of one execution run at once when the execution does not say.
    """

    def __init__(
        self,
        store: Store,
        objects: Callable[[Scope], ObjectStore],
        control: Callable[[Scope], ControlPlane],
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[int], str],
        parallel_steps: int,
    ) -> None:
        self.store = store
        self.objects = objects
        self.control = control
        self.clock = clock
        self.new_id = new_id
        self.parallel_steps = parallel_steps
        self._lock = threading.Lock()
        self._running: dict[str, _Execution] = {}
        self._closing = False

    def start(self, order: Order) -> None:
        """Run an execution; returns at once."""
        execution = _Execution(self, order)
        with self._lock:
            self._running[order.execution.arn] = execution
            if self._closing:
                execution.request_stop()
        execution.thread.start()

    def request_stop(self, arn: str) -> None:
        """Start nothing new and stop what runs; nothing happens when the execution has ended."""
        with self._lock:
            execution = self._running.get(arn)
        if execution is not None:
            execution.request_stop()

    def stop_all(self) -> None:
        """Ask every execution to end; one that starts later is stopped at once."""
        with self._lock:
            self._closing = True
            running = list(self._running.values())
        for execution in running:
            execution.request_stop()

    def wait_all(self) -> None:
        """Return when every execution has ended."""
        with self._lock:
            running = list(self._running.values())
        for execution in running:
            execution.thread.join()

    def forget(self, arn: str) -> None:
        """An execution has ended."""
        with self._lock:
            self._running.pop(arn, None)


_StopRequest = object()


class _Execution:
    """One execution: its thread drives the engine; each step that starts something has a thread of its own."""

    def __init__(self, owner: Executions, order: Order) -> None:
        self._owner = owner
        self._order = order
        self._arn = order.execution.arn
        self._stop = threading.Event()
        self._events: SimpleQueue[object] = SimpleQueue()
        self._records: dict[str, StepRecord] = {}
        self._threads: list[threading.Thread] = []
        self.thread = threading.Thread(target=self._guarded, name=f"execution {order.execution.name}", daemon=True)

    def request_stop(self) -> None:
        self._stop.set()
        self._events.put(_StopRequest)

    # ------------------------------------------------------------------ the execution's thread

    def _guarded(self) -> None:
        try:
            status, reason = self._drive()
        except Exception as error:
            status, reason = ExecutionStatus.FAILED, _failure(f"execution {self._arn}", error)
            self._abandon(reason)
        try:
            self._write(status, reason)
        finally:
            self._owner.forget(self._arn)

    def _abandon(self, reason: str) -> None:
        """Stop what runs and leave no step open."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for record in self._records.values():
            # The disk may be what went wrong.
            with suppress(sqlite3.Error):
                record.end(StepResult(outcome=Failed(reason)))

    def _drive(self) -> tuple[ExecutionStatus, str | None]:
        order = self._order
        run = Run(
            order.definition,
            parameters=order.parameters,
            variables=self._variables(),
            max_parallel_steps=order.max_parallel_steps or self._owner.parallel_steps,
        )
        while True:
            self._start_ready(run)
            if run.finished:
                return run.status, run.failure_reason
            match self._events.get():
                case (str() as name, StepResult() as result):
                    self._complete(run, name, result)
                case _:
                    run.request_stop()
                    for name, record in self._records.items():
                        if run.statuses()[name] is StepStatus.EXECUTING:
                            record.stopping()

    def _start_ready(self, run: Run) -> None:
        """Start what may start; what the engine decides itself may make more ready at once."""
        while ready := run.take_ready():
            for step in ready:
                self._records[step.name] = StepRecord(
                    self._owner.store, self._arn, len(self._records), step, lambda: self._owner.clock().timestamp()
                )
                if step.kind in ENGINE_KINDS:
                    self._complete(run, step.name, self._decide(run, step))
                    continue
                try:
                    arguments = run.resolve(step, self._read_json)
                except ResolveError as error:
                    self._complete(run, step.name, StepResult(outcome=Failed(str(error))))
                    continue
                thread = threading.Thread(
                    target=self._run_step, args=(step, arguments), name=f"step {step.name}", daemon=True
                )
                self._threads.append(thread)
                thread.start()

    def _complete(self, run: Run, name: str, result: StepResult) -> None:
        self._records[name].end(result)
        run.complete(name, result.outcome)

    def _decide(self, run: Run, step: Step) -> StepResult:
        try:
            if step.kind is StepKind.CONDITION:
                verdict = run.evaluate(step, self._read_json)
                outcome = Succeeded({"Outcome": str(verdict)}, verdict)
                return StepResult(outcome=outcome, metadata={"Condition": {"Outcome": str(verdict)}})
            message = str(run.resolve(step, self._read_json).get("ErrorMessage", ""))
            return StepResult(outcome=Failed(message), metadata={"Fail": {"ErrorMessage": message}})
        except ResolveError as error:
            return StepResult(outcome=Failed(str(error)))

    def _read_json(self, uri: str) -> Json:
        try:
            place = naming.parse_s3_uri(uri)
            return json.loads(self._owner.objects(self._order.execution.scope).read(place.bucket, place.key))
        except StoreError as error:
            raise ResolveError(f"cannot read {uri}: {error.message}") from error
        except ValueError as error:
            raise ResolveError(f"{uri} does not hold JSON: {error}") from error

    def _variables(self) -> dict[str, Scalar]:
        order = self._order
        # A trailing Z as in the service's own documents.
        started = datetime.fromtimestamp(order.execution.created, UTC).isoformat(timespec="milliseconds")
        moment = started.replace("+00:00", "Z")
        return {
            "StartDateTime": moment,
            "CurrentDateTime": moment,
            "PipelineName": order.pipeline_name,
            "PipelineArn": order.pipeline_arn,
            "PipelineExecutionId": order.execution.name,
            "PipelineExecutionArn": order.execution.arn,
        }

    def _write(self, status: ExecutionStatus, reason: str | None) -> None:
        changes = {"FailureReason": reason} if reason else {}
        now = self._owner.clock().timestamp()
        self._owner.store.end(self._arn, lambda current: current.with_body(changes, modified=now, status=status.value))

    # ------------------------------------------------------------------ a step's thread

    def _run_step(self, step: Step, arguments: dict[str, Json]) -> None:
        owner, order, record = self._owner, self._order, self._records[step.name]
        try:
            result = run_step(
                StepRun(
                    step=step,
                    arguments=arguments,
                    execution_id=order.execution.name,
                    execution_arn=self._arn,
                    pipeline_name=order.pipeline_name,
                    control=RecordingControl(owner.control(order.execution.scope), record),
                    stop=self._stop,
                    new_suffix=lambda: owner.new_id(_SUFFIX),
                    tags=order.tags,
                ),
                record,
            )
        except Exception as error:
            result = StepResult(outcome=Failed(_failure(f"step {step.name}", error)))
        self._events.put((step.name, result))


def _failure(what: str, error: Exception) -> str:
    """FailureReason of what the local account itself could not do; a bug's traceback goes to the log."""
    if isinstance(error, sqlite3.Error):
        _log.warning("%s failed: the database refused: %s", what, error)
        return f"InternalServerError: the local account's database refused: {error}"
    _log.error("%s failed inside the local account", what, exc_info=error)
    return f"InternalServerError: the local account failed: {error}"
