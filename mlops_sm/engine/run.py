"""One execution of a definition as a state machine: what may start now, and what an end means for the rest.

`Run` decides and does nothing: whoever owns it asks for the steps that may start, does them, and says how they ended.
It is deterministic (the same ends in the same order give the same starts) and not thread-safe (one thread at a time).
The rules and their sources are in ``docs/engine.md``.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Final

from mlops_sm.definition.document import Definition, Json, Scalar, Step
from mlops_sm.definition.kinds import StepKind
from mlops_sm.engine.conditions import holds_all
from mlops_sm.engine.edges import find_edges, runnable_steps
from mlops_sm.engine.loops import Iteration, Loop, LoopEnd, open_loop
from mlops_sm.engine.resolve import NO_ITEM, ResolveError, Scope, resolve_value
from mlops_sm.engine.states import MisuseError, States
from mlops_sm.engine.status import ExecutionStatus, Outcome, StepStatus, Stopped, Succeeded

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
# What of its Arguments a step resolves itself that holds other steps: they resolve theirs.
_OWN_ARGUMENTS: Final = {
    StepKind.CONDITION: ("Conditions",),
    StepKind.FOR_EACH: ("IterableItems", "MaxConcurrency"),
}


class Run:
    """One execution.

    Args:
        definition: A definition that passed its checks.
        parameters: A value for each declared parameter, in its declared type.
        variables: The values of ``Execution.*`` that are known.
        max_parallel_steps: How many steps may execute at once (ParallelismConfiguration), None for no cap.
        reused: Steps that count as succeeded from the start, with what they left behind: of an earlier attempt at this
            execution, or of the execution that a selective one refers to. Steps of a ForEach's iterations are among
            them under the names they have there.
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
        self._reused = dict(reused or {})
        self._steps = {step.name: step for step in definition.walk()}
        self._properties: dict[str, Mapping[str, Json]] = {}
        self._loops: dict[str, Loop] = {}
        steps = tuple(runnable_steps(definition))
        names = {step.name for step in steps}
        kept = {name: outcome for name, outcome in self._reused.items() if name in names}
        for name, outcome in kept.items():
            self._leave(name, outcome)
        self._states = States(
            steps,
            find_edges(definition),
            reused={name: outcome.outcome for name, outcome in kept.items()},
            selected=selected,
        )

    @property
    def status(self) -> ExecutionStatus:
        """The execution's status; a failure shows once the steps that were executing have ended."""
        return self._states.status

    @property
    def failure_reason(self) -> str | None:
        """The execution's FailureReason as AWS words it, None unless it is Failed; `failures` has the causes."""
        return STEP_FAILURE if self.status is ExecutionStatus.FAILED else None

    @property
    def finished(self) -> bool:
        """Whether nothing executes and nothing can start any more; then no step is Waiting."""
        return self._states.finished

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
        """Where each step stands now, in document order; then the steps of the iterations that have begun."""
        found = dict(self._states.statuses())
        for loop in self._loops.values():
            found |= loop.states.statuses()
        return found

    def failures(self) -> Mapping[str, str]:
        """The reasons of the steps that failed, in document order; then those of the iterations."""
        found = dict(self._states.failures())
        for loop in self._loops.values():
            found |= loop.states.failures()
        return found

    def take_ready(self) -> tuple[Step, ...]:
        """The steps that may start now, in document order; they are Executing from here on.

        Conditions, Fail and ForEach steps are among them: `evaluate` or `resolve` them and then `complete` them, or
        `repeat` them. Steps of iterations follow under names of their own.
        """
        taken: list[Step] = []
        for states in (self._states, *(loop.states for loop in self._loops.values())):
            taken += states.take_ready(self._room())
        return tuple(taken)

    def resolve(self, step: Step, read_json: Callable[[str], Json]) -> dict[str, Json]:
        """The step's Arguments without expressions; of one that holds other steps only its own.

        Args:
            step: A step of this execution.
            read_json: The JSON content of an S3 URI; raises `ResolveError` when there is none. Asked once per URI.

        Raises:
            ResolveError: An expression has no value; the text belongs into the step's FailureReason.
        """
        arguments = dict(self._step(step.name).arguments)
        if step.kind in _OWN_ARGUMENTS:
            arguments = {name: arguments.get(name, []) for name in _OWN_ARGUMENTS[step.kind]}
        return self._resolved(step.name, arguments, read_json)

    def resolve_members(self, step: Step, read_json: Callable[[str], Json]) -> dict[str, Json]:
        """What stands beside the step's Arguments, without expressions, e.g. a Callback's SqsQueueUrl.

        Raises:
            ResolveError: As in `resolve`.
        """
        beside = {name: value for name, value in self._step(step.name).raw.items() if name not in _NO_INPUT}
        return self._resolved(step.name, beside, read_json)

    def evaluate(self, step: Step, read_json: Callable[[str], Json]) -> bool:
        """A Condition's verdict; arguments and errors as in `resolve`.

        Raises:
            ResolveError: A value is missing or cannot be compared.
            MisuseError: The step is no Condition.
        """
        if step.kind is not StepKind.CONDITION:
            raise MisuseError(f'step "{step.name}" is a {step.kind} step and has no verdict')
        return holds_all(self.resolve(step, read_json)["Conditions"])

    def repeat(self, step: Step, read_json: Callable[[str], Json]) -> None:
        """Begin the iterations of an executing ForEach step; it goes on until `ended_loops` names it.

        Raises:
            ResolveError: Its items cannot be had; the step is to be completed as failed.
            MisuseError: The step is no ForEach.
        """
        if step.kind is not StepKind.FOR_EACH:
            raise MisuseError(f'step "{step.name}" is a {step.kind} step and repeats nothing')
        loop = open_loop(self._step(step.name), self.resolve(step, read_json), self._reused)
        if self.status is ExecutionStatus.STOPPING:
            loop.states.request_stop()
        self._loops[step.name] = loop

    def iteration(self, name: str) -> Iteration | None:
        """Which iteration a step belongs to, None of one that belongs to none."""
        loop = self._loop_of(name)
        return None if loop is None else loop.iteration(name)

    def ended_loops(self) -> list[LoopEnd]:
        """ForEach steps that execute and whose iterations are over: each is to be completed with its outcome."""
        return [
            loop.end() for name, loop in self._loops.items() if loop.states.finished and self._states.is_executing(name)
        ]

    def left_by(self, name: str) -> Mapping[str, Json] | None:
        """What a step that has ended left behind; None when it has not ended."""
        return self._properties.get(name)

    def complete(self, name: str, outcome: Outcome) -> None:
        """Take the end of an executing step and decide what it means for the others.

        Raises:
            MisuseError: No such step, it is not executing, or its kind cannot end like this.
        """
        loop = self._loop_of(name)
        if loop is not None:
            loop.complete(name, outcome)
            return
        self._states.complete(name, outcome)
        self._leave(name, outcome)

    def request_stop(self) -> None:
        """Start nothing new; Stopping until the executing steps have ended. No effect on a finished execution."""
        self._states.request_stop()
        for loop in self._loops.values():
            loop.states.request_stop()

    def _room(self) -> int | None:
        if self._max_parallel_steps is None:
            return None
        jobs = self._states.jobs + sum(loop.states.jobs for loop in self._loops.values())
        return self._max_parallel_steps - jobs

    def _leave(self, name: str, outcome: Outcome) -> None:
        match outcome:
            case Succeeded(properties, None):
                self._properties[name] = properties
            case Succeeded(_, verdict):
                self._properties[name] = {"Outcome": verdict}
            case Stopped():
                self._properties[name] = {}
            case _:
                self._properties[name] = outcome.properties

    def _step(self, name: str) -> Step:
        loop = self._loop_of(name)
        return (self._states if loop is None else loop.states).step(name)

    def _loop_of(self, name: str) -> Loop | None:
        return next((loop for loop in self._loops.values() if name in loop), None)

    def _resolved(self, name: str, value: Mapping[str, Json], read_json: Callable[[str], Json]) -> dict[str, Json]:
        loop = self._loop_of(name)
        properties: Mapping[str, Mapping[str, Json]] = self._properties
        item: Json = NO_ITEM
        if loop is not None:
            properties, item = ChainMap(loop.siblings(name), self._properties), loop.iteration(name).item
        scope = Scope(self._parameters, self._variables, self._steps, properties, cache(read_json), item)
        try:
            return {key: resolve_value(inner, scope) for key, inner in value.items()}
        except RecursionError:
            raise ResolveError("a value is nested too deeply to be read") from None
