"""One execution of a definition as a state machine: what may start now, and what an end means for the rest.

`Run` decides and does nothing: whoever owns it asks for the steps that may start, does them, and says how they ended.
It is deterministic (the same ends in the same order give the same starts) and not thread-safe (one thread at a time).
The rules and their sources are in ``docs/engine.md``.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final, assert_never

from mlops_sm.definition.document import Definition, Json, Scalar, Step
from mlops_sm.definition.kinds import StepKind
from mlops_sm.engine.conditions import holds_all
from mlops_sm.engine.edges import Edge, find_edges, runnable_steps
from mlops_sm.engine.resolve import Scope, resolve_value
from mlops_sm.engine.status import ExecutionStatus, Failed, Outcome, StepStatus, Stopped, Succeeded

ENGINE_KINDS: Final = frozenset({StepKind.CONDITION, StepKind.FAIL})
"""Kinds that start no job. They are decided on the spot, so they take no slot of `max_parallel_steps`."""

STEP_FAILURE: Final = "Step failure: One or multiple steps failed."
"""FailureReason of every failed execution, also of one that a Fail step ended: the steps carry the causes.

Source: the SDK's integration tests against the service (tests/integ/sagemaker/workflow/test_fail_steps.py).
"""

# Members of a step that hold no input beside its Arguments.
_NO_INPUT: Final = frozenset(
    {
        *("Name", "Type", "Arguments", "DependsOn", "DisplayName", "Description"),
        *("CacheConfig", "RetryPolicies", "PropertyFiles"),
    }
)

_UNHAPPY: Final = frozenset({StepStatus.FAILED, StepStatus.STOPPED})


class MisuseError(Exception):
    """The owner of a `Run` broke its protocol: a bug of the caller, never of the definition or of a job."""


@dataclass(slots=True)
class _Node:
    """One step of the execution: `pending` edges are still open; a `recovering` step runs because of a bad end."""

    step: Step
    position: int
    pending: int = 0
    triggered: bool = False
    recovering: bool = False
    status: StepStatus = StepStatus.WAITING
    verdict: bool | None = None
    reason: str = ""
    dependents: list[Edge] = field(default_factory=list)

    def may_start(self, *, halted: bool) -> bool:
        """After a failure only what somebody asked for because of an end other than success may start."""
        return not halted or self.triggered or self.recovering


class Run:
    """One execution.

    Args:
        definition: A definition that passed its checks.
        parameters: A value for each declared parameter, in its declared type.
        variables: The values of ``Execution.*`` that are known.
        max_parallel_steps: How many steps may execute at once (ParallelismConfiguration), None for no cap.
        reused: Steps that count as succeeded from the start, with what they left behind: of an earlier attempt at this
            execution, or of the execution that a selective one refers to.
        selected: Only these run; whatever else is not reused is skipped, and none of them waits for it. None for all.

    Raises:
        ValueError: The definition has a cycle or waits for a step it does not have, or the cap is below 1.
    """

    def __init__(
        self,
        definition: Definition,
        *,
        parameters: Mapping[str, Scalar],
        variables: Mapping[str, Scalar],
        max_parallel_steps: int | None = None,
        reused: Mapping[str, Succeeded] | None = None,
        selected: Collection[str] | None = None,
    ) -> None:
        self.limit(max_parallel_steps)
        self._parameters = dict(parameters)
        self._variables = dict(variables)
        self._nodes = {step.name: _Node(step, i) for i, step in enumerate(runnable_steps(definition))}
        self._steps = {step.name: step for step in definition.walk()}
        self._properties: dict[str, Mapping[str, Json]] = {}
        # Heaps of (position, name): steps that may start as soon as there is a slot, and steps that need none.
        self._ready: list[tuple[int, str]] = []
        self._ready_at_once: list[tuple[int, str]] = []
        self._executing = 0
        self._jobs = 0
        self._halted = False
        self._stop_requested = False
        self._end: ExecutionStatus | None = None
        for edge in find_edges(definition):
            if selected is not None and edge.upstream not in selected:
                continue
            node = self._nodes[edge.step]
            node.pending += 1
            node.triggered = node.triggered or edge.is_triggered
            self._nodes[edge.upstream].dependents.append(edge)
        self._begin(reused or {}, selected)
        self._end_if_done()

    @property
    def status(self) -> ExecutionStatus:
        """The execution's status; a failure shows once the steps that were executing have ended."""
        if self._end is not None:
            return self._end
        return ExecutionStatus.STOPPING if self._stop_requested else ExecutionStatus.EXECUTING

    @property
    def failure_reason(self) -> str | None:
        """The execution's FailureReason as AWS words it, None unless it is Failed; `failures` has the causes."""
        return STEP_FAILURE if self._end is ExecutionStatus.FAILED else None

    @property
    def finished(self) -> bool:
        """Whether nothing executes and nothing can start any more; then no step is Waiting."""
        return self._end is not None

    def limit(self, max_parallel_steps: int | None) -> None:
        """How many steps may execute at once from here on; those that execute go on.

        Raises:
            ValueError: It is below 1.
        """
        if max_parallel_steps is not None and max_parallel_steps < 1:
            raise ValueError(f"max_parallel_steps must be at least 1, not {max_parallel_steps}")
        self._max_parallel_steps = max_parallel_steps

    def set_variable(self, name: str, value: Scalar) -> None:
        """The value of ``Execution.<name>`` from here on."""
        self._variables[name] = value

    def statuses(self) -> Mapping[str, StepStatus]:
        """Where each step stands now, in document order."""
        return {name: node.status for name, node in self._nodes.items()}

    def failures(self) -> Mapping[str, str]:
        """The reasons of the steps that failed, in document order."""
        return {name: node.reason for name, node in self._nodes.items() if node.status is StepStatus.FAILED}

    def take_ready(self) -> tuple[Step, ...]:
        """The steps that may start now, in document order; they are Executing from here on.

        Conditions and Fail steps are among them: `evaluate` or `resolve` them, then `complete` them.
        """
        taken = self._ready_at_once
        self._ready_at_once = []
        room = len(self._ready)
        if self._max_parallel_steps is not None:
            room = max(0, min(room, self._max_parallel_steps - self._jobs))
        self._jobs += room
        taken += [heapq.heappop(self._ready) for _ in range(room)]
        taken.sort()
        self._executing += len(taken)
        for _, name in taken:
            self._nodes[name].status = StepStatus.EXECUTING
        return tuple(self._nodes[name].step for _, name in taken)

    def resolve(self, step: Step, read_json: Callable[[str], Json]) -> dict[str, Json]:
        """The step's Arguments without expressions; of a Condition only its Conditions.

        Args:
            step: A step of this execution.
            read_json: The JSON content of an S3 URI; raises `ResolveError` when there is none. Asked once per URI.

        Raises:
            ResolveError: An expression has no value; the text belongs into the step's FailureReason.
        """
        arguments = dict(self._node(step.name).step.arguments)
        if step.kind is StepKind.CONDITION:
            arguments = {"Conditions": arguments.get("Conditions", [])}
        return self._resolved(arguments, read_json)

    def resolve_members(self, step: Step, read_json: Callable[[str], Json]) -> dict[str, Json]:
        """What stands beside the step's Arguments, without expressions, e.g. a Callback's SqsQueueUrl.

        Raises:
            ResolveError: As in `resolve`.
        """
        beside = {name: value for name, value in self._node(step.name).step.raw.items() if name not in _NO_INPUT}
        return self._resolved(beside, read_json)

    def evaluate(self, step: Step, read_json: Callable[[str], Json]) -> bool:
        """A Condition's verdict; arguments and errors as in `resolve`.

        Raises:
            ResolveError: A value is missing or cannot be compared.
            MisuseError: The step is no Condition.
        """
        if step.kind is not StepKind.CONDITION:
            raise MisuseError(f'step "{step.name}" is a {step.kind} step and has no verdict')
        return holds_all(self.resolve(step, read_json)["Conditions"])

    def complete(self, name: str, outcome: Outcome) -> None:
        """Take the end of an executing step and decide what it means for the others.

        Raises:
            MisuseError: No such step, it is not executing, or its kind cannot end like this.
        """
        node = self._node(name)
        if node.status is not StepStatus.EXECUTING:
            raise MisuseError(f'step "{name}" cannot end: it is {node.status}, not {StepStatus.EXECUTING}')
        _check_outcome(node.step, outcome)
        self._executing -= 1
        if node.step.kind not in ENGINE_KINDS:
            self._jobs -= 1
        match outcome:
            case Succeeded():
                self._succeed(node, outcome)
            case Failed(reason, properties):
                node.status = StepStatus.FAILED
                node.reason = reason
                self._properties[name] = properties
            case Stopped():
                node.status = StepStatus.STOPPED
                self._properties[name] = {}
            case _:
                assert_never(outcome)
        if node.status in _UNHAPPY:
            self._halt()
        self._settle(node)
        self._end_if_done()

    def request_stop(self) -> None:
        """Start nothing new; Stopping until the executing steps have ended. No effect on a finished execution."""
        if self.finished:
            return
        self._stop_requested = True
        self._ready.clear()
        self._ready_at_once.clear()
        self._end_if_done()

    def _resolved(self, value: Mapping[str, Json], read_json: Callable[[str], Json]) -> dict[str, Json]:
        scope = Scope(self._parameters, self._variables, self._steps, self._properties, cache(read_json))
        return {key: resolve_value(inner, scope) for key, inner in value.items()}

    def _begin(self, reused: Mapping[str, Succeeded], selected: Collection[str] | None) -> None:
        """Put every step where it stands before anything ran, and offer what may start."""
        for name, node in self._nodes.items():
            if name in reused:
                self._succeed(node, reused[name])
            elif selected is not None and name not in selected:
                node.status = StepStatus.SKIPPED
            elif node.pending == 0:
                self._offer(node)
        for name, node in self._nodes.items():
            if name in reused:
                self._settle(node)

    def _succeed(self, node: _Node, outcome: Succeeded) -> None:
        node.status = StepStatus.SUCCEEDED
        node.verdict = outcome.outcome
        name = node.step.name
        self._properties[name] = outcome.properties if outcome.outcome is None else {"Outcome": outcome.outcome}

    def _node(self, name: str) -> _Node:
        if name not in self._nodes:
            raise MisuseError(f'there is no step "{name}" in this execution')
        return self._nodes[name]

    def _offer(self, node: _Node) -> None:
        if self._stop_requested or not node.may_start(halted=self._halted):
            return
        queue = self._ready_at_once if node.step.kind in ENGINE_KINDS else self._ready
        heapq.heappush(queue, (node.position, node.step.name))

    def _halt(self) -> None:
        """Drop what was ready and waited for a slot, unless it may start all the same."""
        if self._halted:
            return
        self._halted = True
        for queue in (self._ready, self._ready_at_once):
            queue[:] = [entry for entry in queue if self._nodes[entry[1]].may_start(halted=True)]
            heapq.heapify(queue)

    def _settle(self, ended: _Node) -> None:
        """Pass an end on along the edges: to steps whose last edge it closes, and to all that can no longer start."""
        stack = [ended]
        while stack:
            upstream = stack.pop()
            for edge in upstream.dependents:
                node = self._nodes[edge.step]
                if node.status is not StepStatus.WAITING:
                    continue
                if not edge.is_met(upstream.status, upstream.verdict):
                    node.status = StepStatus.SKIPPED
                    stack.append(node)
                    continue
                node.pending -= 1
                node.recovering = node.recovering or upstream.recovering or upstream.status in _UNHAPPY
                if node.pending == 0:
                    self._offer(node)

    def _end_if_done(self) -> None:
        if self._executing or self._ready or self._ready_at_once:
            return
        self._end = self._final_status()
        for node in self._nodes.values():
            if node.status is StepStatus.WAITING:
                node.status = StepStatus.SKIPPED

    def _final_status(self) -> ExecutionStatus:
        unhappy = [node for node in self._nodes.values() if node.status in _UNHAPPY]
        unhandled = {node.status for node in unhappy if not self._is_handled(node)}
        if StepStatus.FAILED in unhandled:
            return ExecutionStatus.FAILED
        if self._stop_requested or unhandled:
            return ExecutionStatus.STOPPED
        return ExecutionStatus.COMPLETED_WITH_FAILURES if unhappy else ExecutionStatus.SUCCEEDED

    def _is_handled(self, node: _Node) -> bool:
        """Whether a step ran because of this bad end, and ended well: only a trigger could let it start."""
        return any(self._nodes[edge.step].status is StepStatus.SUCCEEDED for edge in node.dependents)


def _check_outcome(step: Step, outcome: Outcome) -> None:
    if not isinstance(outcome, Succeeded):
        return
    if step.kind is StepKind.FAIL:
        raise MisuseError(f'step "{step.name}" is a Fail step and can only fail')
    if (step.kind is StepKind.CONDITION) is (outcome.outcome is None):
        needs = "needs a verdict" if step.kind is StepKind.CONDITION else "has no verdict to give"
        raise MisuseError(f'step "{step.name}" is a {step.kind} step and {needs}')
