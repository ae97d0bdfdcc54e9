"""Pipeline executions on threads of this process: the engine decides, handlers do, records follow."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Final, NamedTuple, Protocol

from mlops_sm import naming
from mlops_sm.definition.document import Definition, Json, Scalar, Step
from mlops_sm.definition.kinds import StepKind
from mlops_sm.emulator.callbacks import Callbacks
from mlops_sm.emulator.step_cache import StepCache
from mlops_sm.emulator.steps import RecordingControl, StepRecord, run_step
from mlops_sm.emulator.store import Entity, Scope, Store
from mlops_sm.engine import ExecutionStatus, Failed, Iteration, ResolveError, Run, StepStatus, Succeeded, recalled
from mlops_sm.engine.cache import cache_key, uses_cache
from mlops_sm.local.handlers import (
    ENGINE_KINDS,
    ControlPlane,
    ServiceError,
    StepResult,
    StepRun,
    StopSignal,
    recall,
)
from mlops_sm.local.site import ObjectStore, StoreError
from mlops_sm.local.user_handlers import UserHandlers

_log = logging.getLogger(__name__)

ACTIVE: Final = (ExecutionStatus.EXECUTING, ExecutionStatus.STOPPING)
"""The statuses of an execution that has not ended."""

_MAX_REASON: Final = 1300
"""Characters of an execution's FailureReason (API reference, DescribePipelineExecution)."""
_SUFFIX: Final = 10
"""Random characters at the end of a job's name, as the service has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to run; steps that are in the store as succeeded are built upon and not run again.

    Attributes:
        execution: The record, already in the store.
        pipeline_name: Whose execution it is.
        pipeline_arn: Likewise.
        definition: Parsed and checked.
        parameters: Every parameter's value.
        max_parallel_steps: ParallelismConfiguration; None for no cap but that of the account's jobs.
        tags: The pipeline's, for the jobs.
        selected: Of a selective execution the steps it runs.
        attempts: How often a step was tried before, of an execution that is retried.
    """

    execution: Entity
    pipeline_name: str
    pipeline_arn: str
    definition: Definition
    parameters: Mapping[str, Scalar]
    max_parallel_steps: int | None
    tags: tuple[Mapping[str, str], ...]
    selected: frozenset[str] | None = None
    attempts: Mapping[str, int] = field(default_factory=dict)


class ControlOf(Protocol):
    """Makes the control plane of a scope."""

    def __call__(self, scope: Scope, step: str = "") -> ControlPlane:
        """As a step calls it, or as no step does."""


class Executions:
    """Every execution that runs now.

    Args:
        store: Where the records are.
        objects: The S3 of a scope.
        control: SageMaker as the handlers of a scope's steps call it.
        callbacks: Knows the steps that wait for an answer.
        clock: The time, timezone-aware.
        new_id: So many random characters.
        handlers: The user's, for kinds of steps that do not run here.
    """

    def __init__(
        self,
        store: Store,
        objects: Callable[[Scope], ObjectStore],
        control: ControlOf,
        callbacks: Callbacks,
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[int], str],
        handlers: UserHandlers,
    ) -> None:
        self.store = store
        self.objects = objects
        self.control = control
        self.callbacks = callbacks
        self.clock = clock
        self.new_id = new_id
        self.handlers = handlers
        self.cache = StepCache(store, clock)
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

    def limit(self, arn: str, max_parallel_steps: int) -> None:
        """Let an execution run so many steps at once from here on; nothing happens when it has ended."""
        with self._lock:
            execution = self._running.get(arn)
        if execution is not None:
            execution.limit(max_parallel_steps)

    def stop_all(self) -> None:
        """Ask every execution to end, without answers to its callbacks; one that starts later is stopped at once."""
        with self._lock:
            self._closing = True
            running = list(self._running.values())
        for execution in running:
            # Before its callbacks end: nothing is to start because of that.
            execution.halt()
        self.callbacks.end_all()
        for execution in running:
            execution.request_stop()

    def wait_all(self) -> None:
        """Return when every execution has ended."""
        with self._lock:
            running = list(self._running.values())
        for execution in running:
            execution.thread.join()

    def forget(self, arn: str, execution: _Execution) -> None:
        """An execution has ended; by now it may run once more."""
        with self._lock:
            if self._running.get(arn) is execution:
                del self._running[arn]


class _StopRequest(NamedTuple):
    """Somebody asked the execution to end."""


class _Limit(NamedTuple):
    max_parallel_steps: int


class _Ended(NamedTuple):
    step: str
    result: StepResult


class _Execution:
    """One execution: its thread drives the engine; each step that starts something has a thread of its own."""

    def __init__(self, owner: Executions, order: Order) -> None:
        self._owner = owner
        self._order = order
        self._arn = order.execution.arn
        self._stop = StopSignal()
        self._events: SimpleQueue[_StopRequest | _Limit | _Ended] = SimpleQueue()
        self._records: dict[str, StepRecord] = {}
        self._position = 0
        self._threads: list[threading.Thread] = []
        self.thread = threading.Thread(target=self._guarded, name=f"execution {order.execution.name}", daemon=True)

    def request_stop(self) -> None:
        self.halt()
        self._stop.set()

    def halt(self) -> None:
        """Start nothing new."""
        self._events.put(_StopRequest())

    def limit(self, max_parallel_steps: int) -> None:
        self._events.put(_Limit(max_parallel_steps))

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
            self._owner.forget(self._arn, self)

    def _abandon(self, reason: str) -> None:
        """Stop what runs and leave no step open."""
        self._stop.set()
        self._owner.callbacks.abandon(self._arn)
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
            max_parallel_steps=order.max_parallel_steps,
            reused=self._reused(),
            selected=order.selected,
        )
        while True:
            self._start_ready(run)
            if run.finished:
                return run.status, run.failure_reason
            match self._events.get():
                case _Ended(name, result):
                    self._complete(run, name, result)
                case _Limit(max_parallel_steps):
                    run.limit(max_parallel_steps)
                case _StopRequest():
                    run.request_stop()
                    statuses = run.statuses()
                    for name, record in self._records.items():
                        if statuses[name] is StepStatus.EXECUTING:
                            record.stopping()

    def _reused(self) -> dict[str, Succeeded]:
        """What the steps left behind that have succeeded before this run; new steps are listed after them."""
        steps = {step.name: step for step in self._order.definition.walk()}
        control = self._owner.control(self._order.execution.scope)
        found: dict[str, Succeeded] = {}
        loops: dict[str, Mapping[str, Json]] = {}
        for position, body in self._owner.store.steps(self._arn):
            self._position = position + 1
            name, context = body["StepName"], body.get("IterationContext")
            step = steps.get(name if context is None else name.rpartition("-")[0])
            if step is None:
                continue
            metadata = body.get("Metadata") or {}
            if step.kind is StepKind.FOR_EACH:
                loops[name] = metadata["ForEach"]
                continue
            try:
                found[name] = recall(replace(step, name=name), metadata, control)
            except (ServiceError, ValueError) as error:
                # A step that refers to it fails; nobody else needs it.
                _log.warning("what step %s of %s left behind is gone: %s", name, self._arn, error)
                found[name] = Succeeded({})
        left = {name: outcome.properties for name, outcome in found.items()}
        return found | {name: recalled(steps[name], summary, left) for name, summary in loops.items()}

    def _start_ready(self, run: Run) -> None:
        """Start what may start; what the engine decides itself may make more ready at once."""
        while ready := self._take_ready(run):
            for step in ready:
                self._records[step.name] = self._record(step, run.iteration(step.name))
                run.set_variable("CurrentDateTime", _text(self._owner.clock()))
                if step.kind in ENGINE_KINDS:
                    result = self._decide(run, step)
                    if result is not None:
                        self._complete(run, step.name, result)
                    continue
                try:
                    arguments = run.resolve(step, self._read_json)
                    members = run.resolve_members(step, self._read_json)
                except ResolveError as error:
                    self._complete(run, step.name, StepResult(outcome=Failed(str(error))))
                    continue
                if self._take_cached(run, step, arguments, members):
                    continue
                upstream = _cleaned(run, step)
                thread = threading.Thread(
                    target=self._run_step,
                    args=(step, arguments, members, upstream),
                    name=f"step {step.name}",
                    daemon=True,
                )
                self._threads.append(thread)
                thread.start()

    def _take_cached(self, run: Run, step: Step, arguments: Mapping[str, Json], members: Mapping[str, Json]) -> bool:
        """Use an earlier run of the step when there is one that may be used; steps that were selected do run."""
        key = cache_key(step, arguments, members)
        if key is None:
            return False
        self._records[step.name].identify(key)
        if self._order.selected is not None or not uses_cache(step):
            return False
        control = self._owner.control(self._order.execution.scope)
        hit = self._owner.cache.find(self._order.pipeline_arn, step, key, control)
        if hit is None:
            return False
        self._records[step.name].reuse(hit.execution)
        self._complete(run, step.name, StepResult(outcome=hit.outcome, metadata=hit.metadata))
        return True

    def _take_ready(self, run: Run) -> tuple[Step, ...]:
        """The steps that may start, once every ForEach is closed whose iterations are over."""
        for end in run.ended_loops():
            self._complete(run, end.name, StepResult(outcome=end.outcome, metadata={"ForEach": end.summary}))
        return run.take_ready()

    def _record(self, step: Step, iteration: Iteration | None) -> StepRecord:
        record = StepRecord(
            self._owner.store,
            self._arn,
            self._position,
            step,
            lambda: self._owner.clock().timestamp(),
            attempt=self._order.attempts.get(step.name, 0) + 1,
            iteration=iteration,
        )
        self._position += 1
        return record

    def _complete(self, run: Run, name: str, result: StepResult) -> None:
        self._records[name].end(result)
        run.complete(name, result.outcome)

    def _decide(self, run: Run, step: Step) -> StepResult | None:
        """The end of a step that starts no job; None of a ForEach, whose iterations have begun."""
        try:
            if step.kind is StepKind.FOR_EACH:
                run.repeat(step, self._read_json)
                self._records[step.name].executing({})
                return None
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
        except (ValueError, RecursionError) as error:
            raise ResolveError(f"{uri} does not hold JSON: {error}") from error

    def _variables(self) -> dict[str, Scalar]:
        order = self._order
        started = _text(datetime.fromtimestamp(order.execution.created, UTC))
        return {
            "StartDateTime": started,
            "CurrentDateTime": started,
            "PipelineName": order.pipeline_name,
            "PipelineArn": order.pipeline_arn,
            "PipelineExecutionId": order.execution.name,
            "PipelineExecutionArn": order.execution.arn,
        }

    def _write(self, status: ExecutionStatus, reason: str | None) -> None:
        changes = {"FailureReason": reason[:_MAX_REASON]} if reason else {}
        now = self._owner.clock().timestamp()
        self._owner.store.end(self._arn, lambda current: current.with_body(changes, modified=now, status=status.value))

    # ------------------------------------------------------------------ a step's thread

    def _run_step(
        self,
        step: Step,
        arguments: dict[str, Json],
        members: Mapping[str, Json],
        upstream: Mapping[str, Mapping[str, Json]],
    ) -> None:
        owner, order, record = self._owner, self._order, self._records[step.name]
        try:
            result = run_step(
                StepRun(
                    step=step,
                    arguments=arguments,
                    execution_id=order.execution.name,
                    execution_arn=self._arn,
                    pipeline_name=order.pipeline_name,
                    control=RecordingControl(owner.control(order.execution.scope, step.name), record),
                    stop=self._stop,
                    new_suffix=lambda: owner.new_id(_SUFFIX),
                    tags=order.tags,
                    members=members,
                    upstream=upstream,
                    read_json=self._read_json,
                ),
                record,
                owner.handlers,
                owner.clock,
            )
        except Exception as error:
            result = StepResult(outcome=Failed(_failure(f"step {step.name}", error)))
        self._events.put(_Ended(step.name, result))


def _cleaned(run: Run, step: Step) -> dict[str, Mapping[str, Json]]:
    """What the steps left behind whose outputs a Cleanup step deletes."""
    if step.kind is not StepKind.CLEANUP:
        return {}
    names = [source["StepName"] for source in step.arguments["Resources"]["S3"]]
    return {name: left for name in names if (left := run.left_by(name)) is not None}


def _text(moment: datetime) -> str:
    """A time with a trailing Z, as in the service's own documents."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _failure(what: str, error: Exception) -> str:
    """FailureReason of what the local account itself could not do; a bug's traceback goes to the log."""
    if isinstance(error, sqlite3.Error):
        _log.warning("%s failed: the database refused: %s", what, error)
        return f"InternalServerError: the local account's database refused: {error}"
    _log.error("%s failed inside the local account", what, exc_info=error)
    return f"InternalServerError: the local account failed: {error}"
