"""Steps and their edges as a state machine: what may start now, and what an end means for the rest.

A `Run` holds one for its definition and one for each ForEach step that executes. It knows nothing of expressions.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, assert_never

from mlops_sm.definition.document import Step
from mlops_sm.definition.kinds import StepKind
from mlops_sm.engine.edges import Edge
from mlops_sm.engine.status import ExecutionStatus, Failed, Outcome, StepStatus, Stopped, Succeeded

ENGINE_KINDS: Final = frozenset({StepKind.CONDITION, StepKind.FAIL, StepKind.FOR_EACH})
"""Kinds that start no job. They are decided on the spot, so they take no slot of `max_parallel_steps`."""

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


class States:
    """The states of some steps.

    Args:
        steps: The steps; their order decides which of several starts first.
        edges: What they wait for, between these steps only.
        cap: How many may execute at once, None for no cap.
        reused: Verdicts of the steps that count as succeeded from the start, None of those that have none.
        selected: Only these run; whatever else is not reused is skipped, and none of them waits for it. None for all.
    """

    def __init__(
        self,
        steps: Iterable[Step],
        edges: Iterable[Edge],
        *,
        cap: int | None = None,
        reused: Mapping[str, bool | None] | None = None,
        selected: Collection[str] | None = None,
    ) -> None:
        self.cap = cap
        self.jobs = 0
        self._nodes = {step.name: _Node(step, i) for i, step in enumerate(steps)}
        # Heaps of (position, name): steps that may start as soon as there is a slot, and steps that need none.
        self._ready: list[tuple[int, str]] = []
        self._ready_at_once: list[tuple[int, str]] = []
        self._executing = 0
        self._halted = False
        self._stop_requested = False
        self._end: ExecutionStatus | None = None
        for edge in edges:
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
        """Where all of it stands; a failure shows once the steps that were executing have ended."""
        if self._end is not None:
            return self._end
        return ExecutionStatus.STOPPING if self._stop_requested else ExecutionStatus.EXECUTING

    @property
    def finished(self) -> bool:
        """Whether nothing executes and nothing can start any more; then no step is Waiting."""
        return self._end is not None

    def statuses(self) -> Mapping[str, StepStatus]:
        """Where each step stands now, in order."""
        return {name: node.status for name, node in self._nodes.items()}

    def is_executing(self, name: str) -> bool:
        """Whether a step executes now. Raises MisuseError."""
        return self._node(name).status is StepStatus.EXECUTING

    def failures(self) -> Mapping[str, str]:
        """The reasons of the steps that failed, in order."""
        return {name: node.reason for name, node in self._nodes.items() if node.status is StepStatus.FAILED}

    def step(self, name: str) -> Step:
        """A step.

        Raises:
            MisuseError: There is none of that name.
        """
        return self._node(name).step

    def take_ready(self, room: int | None) -> list[Step]:
        """The steps that may start now, in order, at most `room` of them jobs; they are Executing from here on."""
        taken = self._ready_at_once
        self._ready_at_once = []
        jobs = len(self._ready)
        if self.cap is not None:
            jobs = min(jobs, self.cap - self.jobs)
        if room is not None:
            jobs = min(jobs, room)
        jobs = max(0, jobs)
        self.jobs += jobs
        taken += [heapq.heappop(self._ready) for _ in range(jobs)]
        taken.sort()
        self._executing += len(taken)
        for _, name in taken:
            self._nodes[name].status = StepStatus.EXECUTING
        return [self._nodes[name].step for _, name in taken]

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
            self.jobs -= 1
        match outcome:
            case Succeeded():
                node.status = StepStatus.SUCCEEDED
                node.verdict = outcome.outcome
            case Failed(reason):
                node.status = StepStatus.FAILED
                node.reason = reason
            case Stopped():
                node.status = StepStatus.STOPPED
            case _:
                assert_never(outcome)
        if node.status in _UNHAPPY:
            self._halt()
        self._settle(node)
        self._end_if_done()

    def request_stop(self) -> None:
        """Start nothing new; Stopping until the executing steps have ended. No effect once finished."""
        if self.finished:
            return
        self._stop_requested = True
        self._ready.clear()
        self._ready_at_once.clear()
        self._end_if_done()

    def _begin(self, reused: Mapping[str, bool | None], selected: Collection[str] | None) -> None:
        """Put every step where it stands before anything ran, and offer what may start."""
        for name, node in self._nodes.items():
            if name in reused:
                node.status = StepStatus.SUCCEEDED
                node.verdict = reused[name]
            elif selected is not None and name not in selected:
                node.status = StepStatus.SKIPPED
            elif node.pending == 0:
                self._offer(node)
        for name, node in self._nodes.items():
            if name in reused:
                self._settle(node)

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
