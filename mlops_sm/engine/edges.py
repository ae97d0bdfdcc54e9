"""The edges of a definition with what each asks of its upstream step. Computed once, before the first step starts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import assert_never

from mlops_sm.definition.document import Definition, Step
from mlops_sm.definition.graph import Graph
from mlops_sm.definition.kinds import StepKind, Trigger
from mlops_sm.engine.status import StepStatus


@dataclass(frozen=True, slots=True)
class Edge:
    """What one step waits for at one upstream step.

    Attributes:
        upstream: Name of the step that has to end.
        step: Name of the step that waits.
        triggers: The ends that are asked for; a step that is named twice asks for all of them at once.
        verdict: For a step in a Condition's branch the verdict that opens the branch, None on every other edge.
    """

    upstream: str
    step: str
    triggers: frozenset[Trigger]
    verdict: bool | None = None

    @property
    def is_triggered(self) -> bool:
        """Whether the author asked for an end other than success."""
        return any(t is not Trigger.COMPLETED for t in self.triggers)

    def is_met(self, status: StepStatus, verdict: bool | None) -> bool:
        """Whether this end of the upstream step lets the waiting step start."""
        if self.verdict is not None and self.verdict is not verdict:
            return False
        return all(_is_met(trigger, status) for trigger in self.triggers)


def runnable_steps(definition: Definition) -> Iterator[Step]:
    """The steps an execution can start, in document order: a ForEach's body is a template, not steps of its own."""
    yield from _runnable(definition.steps)


def find_edges(definition: Definition) -> tuple[Edge, ...]:
    """The edges of a checked definition, in document order of the waiting step, then of the upstream step.

    A reference and a plain DependsOn ask for success. Where DependsOn gives a trigger for the same upstream step, the
    trigger alone decides: a step that runs because of a failure may read the failed job's properties.

    Raises:
        ValueError: The definition has a cycle, or an edge to a step that it does not have or that never runs.
    """
    graph = Graph.of(definition)
    cycle = graph.cycle()
    if cycle is not None:
        raise ValueError("the definition has a cycle: " + " -> ".join(cycle))
    steps = tuple(runnable_steps(definition))
    position = {step.name: index for index, step in enumerate(steps)}
    found: list[Edge] = []
    for step in steps:
        upstream = graph.upstream[step.name]
        unknown = sorted((upstream | {d.step for d in step.depends_on}) - position.keys())
        if unknown:
            raise ValueError(f'step "{step.name}" waits for "{unknown[0]}", which is no step that runs by itself')
        found += (_edge(step, name) for name in sorted(upstream, key=position.__getitem__))
    return tuple(found)


def _runnable(steps: Iterable[Step]) -> Iterator[Step]:
    for step in steps:
        yield step
        if step.kind is StepKind.CONDITION:
            yield from _runnable(step.children)


def _edge(step: Step, upstream: str) -> Edge:
    asked = frozenset(d.trigger for d in step.depends_on if d.step == upstream) or frozenset({Trigger.COMPLETED})
    verdict = None
    if step.branch is not None and step.branch.step == upstream:
        verdict = step.branch.member == "IfSteps"
    return Edge(upstream, step.name, asked, verdict)


def _is_met(trigger: Trigger, status: StepStatus) -> bool:
    match trigger:
        case Trigger.COMPLETED:
            return status is StepStatus.SUCCEEDED
        case Trigger.FAILED:
            return status is StepStatus.FAILED
        case Trigger.STOPPED:
            return status is StepStatus.STOPPED
        case Trigger.ANY:
            # A skipped step never ran, so it has no end that could trigger anything.
            return status in {StepStatus.SUCCEEDED, StepStatus.FAILED, StepStatus.STOPPED}
        case _:
            assert_never(trigger)
