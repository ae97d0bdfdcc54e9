"""ForEach steps: the items, a copy of the body's steps for each of them, and what all of that comes to.

Source: SDK 3.27, mlops/workflow/for_each_step.py (names, concurrency, properties, selection); API reference,
ForEachStepMetadata. That an iteration that fails lets no other begin, as a step's failure does in a pipeline, is ours.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from mlops_sm.definition.document import Definition, Json, Step
from mlops_sm.definition.expressions import OutputRef, parse_expression, parse_path
from mlops_sm.definition.wording import shown
from mlops_sm.engine.edges import Edge, find_edges
from mlops_sm.engine.resolve import ResolveError, described, look_up
from mlops_sm.engine.states import States
from mlops_sm.engine.status import ExecutionStatus, Failed, Outcome, StepStatus, Stopped, Succeeded

MAX_CONCURRENCY: Final = 50
_MAX_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Iteration:
    """Which iteration a step of a ForEach's body belongs to.

    Attributes:
        parent: The ForEach step's name.
        index: The iteration.
        item: What it is about.
    """

    parent: str
    index: int
    item: Json


@dataclass(frozen=True, slots=True)
class LoopEnd:
    """How a ForEach step ended.

    Attributes:
        name: The step's.
        outcome: For the engine.
        summary: Its members in ListPipelineExecutionSteps.
    """

    name: str
    outcome: Outcome
    summary: dict[str, Json]


class Loop:
    """A ForEach step that executes.

    Args:
        step: The step.
        items: Its items.
        max_concurrency: How many of its steps execute at once.
        reused: What steps of earlier iterations left behind, of an execution that is retried.
    """

    def __init__(
        self, step: Step, items: Sequence[Json], max_concurrency: int, reused: Mapping[str, Succeeded]
    ) -> None:
        self.step = step
        self.items = items
        self._bodies: dict[str, tuple[Step, int]] = {}
        children: list[Step] = []
        edges: list[Edge] = []
        template = _edges(step)
        for index in range(len(items)):
            for body in step.children:
                child = replace(body, name=iteration_name(body.name, index))
                self._bodies[child.name] = (body, index)
                children.append(child)
            edges += (
                replace(edge, upstream=iteration_name(edge.upstream, index), step=iteration_name(edge.step, index))
                for edge in template
            )
        kept = {name: outcome for name, outcome in reused.items() if name in self._bodies}
        self._outputs: dict[str, Mapping[str, Json]] = {name: outcome.properties for name, outcome in kept.items()}
        self.states = States(children, edges, cap=max_concurrency, reused=dict.fromkeys(kept))

    def __contains__(self, name: str) -> bool:
        return name in self._bodies

    def iteration(self, name: str) -> Iteration:
        """Which iteration a step belongs to."""
        _, index = self._bodies[name]
        return Iteration(self.step.name, index, self.items[index])

    def siblings(self, name: str) -> dict[str, Mapping[str, Json]]:
        """What the steps of the same iteration left behind, by their names in the body."""
        _, index = self._bodies[name]
        names = {body.name: iteration_name(body.name, index) for body in self.step.children}
        return {body: self._outputs[child] for body, child in names.items() if child in self._outputs}

    def complete(self, name: str, outcome: Outcome) -> None:
        """Take the end of a step. Raises MisuseError."""
        self.states.complete(name, outcome)
        self._outputs[name] = {} if isinstance(outcome, Stopped) else outcome.properties

    def end(self) -> LoopEnd:
        """How the step ended, once its states are finished."""
        statuses = self.states.statuses()
        match self.states.status:
            case ExecutionStatus.FAILED:
                status = StepStatus.FAILED
            case ExecutionStatus.STOPPED:
                status = StepStatus.STOPPED
            case _:
                status = StepStatus.SUCCEEDED
        summary = {"Status": status.value, **counts(self.step, len(self.items), statuses)}
        properties: dict[str, Json] = {
            **summary,
            "IterationOutputs": outputs(self.step, len(self.items), self._outputs),
        }
        match status:
            case StepStatus.FAILED:
                failed = [name for name, found in statuses.items() if found is StepStatus.FAILED]
                return LoopEnd(self.step.name, Failed(_failure(failed), properties), summary)
            case StepStatus.STOPPED:
                return LoopEnd(self.step.name, Stopped(), summary)
            case _:
                return self._succeeded(summary, properties)

    def _succeeded(self, summary: dict[str, Json], properties: dict[str, Json]) -> LoopEnd:
        try:
            picked = pick(self.step, properties["IterationOutputs"])
        except ResolveError as error:
            summary = {**summary, "Status": StepStatus.FAILED.value}
            return LoopEnd(
                self.step.name, Failed(f"ClientError: Selector: {error}", {**properties, **summary}), summary
            )
        if picked is not None:
            body, index = picked
            summary["Selector"] = {"StepName": body, "Index": index}
            properties["Selected"] = properties["IterationOutputs"][index][body]
        return LoopEnd(self.step.name, Succeeded(properties), summary)


def open_loop(step: Step, arguments: Mapping[str, Json], reused: Mapping[str, Succeeded]) -> Loop:
    """Begin a ForEach step.

    Args:
        step: The step.
        arguments: Its IterableItems and MaxConcurrency, without expressions.
        reused: As for `Loop`.

    Raises:
        ResolveError: There are no items in what should hold them, or the number is out of range.
    """
    concurrency = arguments.get("MaxConcurrency")
    if not isinstance(concurrency, int) or isinstance(concurrency, bool) or not 1 <= concurrency <= MAX_CONCURRENCY:
        raise ResolveError(
            f"MaxConcurrency is {described(concurrency)}; it must be a number from 1 to {MAX_CONCURRENCY}"
        )
    return Loop(step, read_items(arguments.get("IterableItems")), concurrency, reused)


def read_items(value: Json) -> list[Json]:
    """The items that IterableItems comes to: a list, or text that holds one as JSON.

    Raises:
        ResolveError: It holds no list.
    """
    items = value
    if isinstance(value, str):
        try:
            items = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ResolveError(f"IterableItems is no JSON list: {error}: {shown(value)}") from error
    if not isinstance(items, list):
        raise ResolveError(f"IterableItems is {described(items)}, which holds no list")
    return items


def item_text(item: Json) -> str:
    """An item as text, JSON unless it is text already."""
    return item if isinstance(item, str) else json.dumps(item, separators=(",", ":"))


def iteration_name(body: str, index: int) -> str:
    """The name of a body step in one iteration."""
    return f"{body}-{index}"


def recalled(step: Step, summary: Mapping[str, Json], left: Mapping[str, Mapping[str, Json]]) -> Succeeded:
    """What a ForEach step that has succeeded left behind.

    Args:
        step: The step.
        summary: Its members in ListPipelineExecutionSteps.
        left: What the steps of its iterations left behind, by their names.
    """
    properties: dict[str, Json] = {**summary, "IterationOutputs": outputs(step, summary["InputItemCount"], left)}
    picked = properties.pop("Selector", None)
    if picked is not None:
        properties["Selected"] = left.get(iteration_name(picked["StepName"], picked["Index"]), {})
    return Succeeded(properties)


def counts(step: Step, items: int, statuses: Mapping[str, StepStatus]) -> dict[str, Json]:
    """The numbers of a ForEach step; steps that never started count in the total only."""
    ended = list(statuses.values())
    return {
        "InputItemCount": items,
        "TotalStepCount": items * len(step.children),
        "SucceededStepCount": ended.count(StepStatus.SUCCEEDED),
        "FailedStepCount": ended.count(StepStatus.FAILED),
        "StoppedStepCount": ended.count(StepStatus.STOPPED),
    }


def outputs(step: Step, items: int, left: Mapping[str, Mapping[str, Json]]) -> list[dict[str, Json]]:
    """IterationOutputs: for each iteration what its steps left behind."""
    return [
        {body.name: left[name] for body in step.children if (name := iteration_name(body.name, index)) in left}
        for index in range(items)
    ]


def pick(step: Step, iterations: Sequence[Mapping[str, Json]]) -> tuple[str, int] | None:
    """The body step and the iteration that the Selector picks, None without one; of equals the first.

    Raises:
        ResolveError: The field is not there, or is no number.
    """
    selector = step.arguments.get("Selector")
    if selector is None:
        return None
    field = parse_expression(selector.get("Field"))
    if not isinstance(field, OutputRef):
        raise ResolveError(f"Field {shown(selector.get('Field'))} is no IterationOutput")
    body, *path = parse_path(field.path)
    values = [
        _number(look_up(outcome[str(body)], tuple(path), f'step "{iteration_name(str(body), index)}"'), field.path)
        if str(body) in outcome
        else None
        for index, outcome in enumerate(iterations)
    ]
    sign = -1 if selector.get("Pick") == "MinBy" else 1
    known = [(sign * value, -index) for index, value in enumerate(values) if value is not None]
    if not known:
        raise ResolveError(f"there is no iteration to pick by {field.path}")
    return str(body), -max(known)[1]


def _number(value: Json, path: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number):
        raise ResolveError(f"{path} is {described(value)}, which is no number to compare")
    return number


def _failure(failed: Sequence[str]) -> str:
    more = f" and {len(failed) - _MAX_NAMED} more" if len(failed) > _MAX_NAMED else ""
    return f"Step failure: steps of iterations failed: {', '.join(failed[:_MAX_NAMED])}{more}."


def _edges(step: Step) -> tuple[Edge, ...]:
    """What the steps of the body wait for among each other; the ForEach itself waits for everything else."""
    names = {child.name for child in step.children}
    alone = tuple(
        replace(
            child,
            branch=None,
            depends_on=tuple(dependency for dependency in child.depends_on if dependency.step in names),
        )
        for child in step.children
    )
    return find_edges(Definition(version="2020-12-01", parameters=(), steps=alone))
