"""The earlier runs of a pipeline's steps with the keys they had, found again from what the service tells of them.

No operation of SageMaker tells a step's cache key. It follows from the definition that the execution ran, from its
parameters, and from what the steps before it left: each of them can be asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Final, NamedTuple

from mlops_sm.definition import Definition, Scalar, Step, bind_parameters, parse
from mlops_sm.definition.document import Json
from mlops_sm.definition.graph import referenced_steps
from mlops_sm.definition.kinds import StepKind
from mlops_sm.engine import ResolveError, Run, Succeeded, recalled
from mlops_sm.engine.cache import CacheKey, EarlierRun, cache_key
from mlops_sm.engine.edges import runnable_steps
from mlops_sm.engine.unknown import Gap, Planned, Unknown, unknowns
from mlops_sm.errors import InputError
from mlops_sm.operations import runs
from mlops_sm.operations.clients import Clients
from mlops_sm.operations.earlier_values import as_it_was
from mlops_sm.operations.refusals import AwsError

LOOKED_AT: Final = 200
"""Executions that are looked through, the newest ones."""

Recall = Callable[[Step, Mapping[str, Json]], Succeeded]
"""What a step that has run left behind, from its Metadata; raises `LookupError` when that is gone."""
ReadJson = Callable[[str], Json]
"""The JSON content of an S3 URI; raises `ResolveError` when there is none."""


class Place(NamedTuple):
    """Where a step stands in a definition; `iteration` is that of the ForEach it is repeated by."""

    step: Step
    loop: Step | None = None
    iteration: int | None = None


def place_of(definition: Definition, name: str) -> Place | None:
    """Which step of a definition a step of an execution is; None when there is no such step."""
    own = {step.name: step for step in runnable_steps(definition)}
    if name in own:
        return Place(own[name])
    body, _, index = name.rpartition("-")
    for loop in own.values():
        if loop.kind is StepKind.FOR_EACH and index.isdecimal():
            found = next((child for child in loop.children if child.name == body), None)
            if found is not None:
                return Place(found, loop, int(index))
    return None


def execution_variables(arn: str, started: datetime | None) -> dict[str, Scalar]:
    """The values that ``Execution.*`` had in an execution; each step had a CurrentDateTime of its own."""
    moment = (started or datetime.min.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="milliseconds")
    return {
        "StartDateTime": moment.replace("+00:00", "Z"),
        "CurrentDateTime": Unknown([Gap(None, "CurrentDateTime")]),
        "PipelineName": runs.pipeline_of(arn),
        "PipelineArn": arn.partition("/execution/")[0],
        "PipelineExecutionId": arn.rpartition("/")[2],
        "PipelineExecutionArn": arn,
    }


@dataclass(frozen=True)
class PastExecution:
    """One execution, read as far as it is asked for.

    Attributes:
        clients: The account.
        summary: The execution.
        recall: What its steps left behind.
        read_json: Reads S3.
    """

    clients: Clients
    summary: runs.Summary
    recall: Recall
    read_json: ReadJson

    @cached_property
    def steps(self) -> Mapping[str, runs.StepState]:
        """Its steps that have started."""
        return {step.name: step for step in runs.steps_of(self.clients, self.summary.arn)}

    @cached_property
    def _definition(self) -> Definition:
        return parse(runs.definition_of(self.clients, self.summary.arn))

    @cached_property
    def _parameters(self) -> Mapping[str, Scalar]:
        return bind_parameters(self._definition, runs.parameters_of(self.clients, self.summary.arn))

    def key_of(self, name: str) -> CacheKey | None:
        """The key a step had; None when it was of a kind that has none.

        Raises:
            LookupError: It cannot be told: what it follows from is gone, or was never such that it can be read.
        """
        try:
            return self._key_of(name)
        except AwsError as err:
            if err.is_not_found:
                raise LookupError(str(err)) from err
            raise
        except (InputError, ResolveError, ValueError) as err:
            raise LookupError(str(err)) from err

    def _key_of(self, name: str) -> CacheKey | None:
        place = place_of(self._definition, name)
        if place is None:
            return None
        run = Run(
            self._definition,
            parameters=self._parameters,
            variables=execution_variables(self.summary.arn, self.summary.started),
            reused=dict(self._left_before(place)),
        )
        if place.loop is not None:
            run.repeat(place.loop, self.read_json)
        step = replace(place.step, name=name)

        def resolved(read: ReadJson) -> CacheKey | None:
            return cache_key(step, run.resolve(step, read), run.resolve_members(step, read))

        unread = resolved(_not_read)
        if unread is None or not any(unknowns(unread)):
            return unread
        try:
            now = resolved(self.read_json)
        except ResolveError:
            now = None
        key = as_it_was(now, unread, self._described(step))
        if any(unknowns(key)):
            raise LookupError(f"the key of {name} cannot be told")
        return key

    def _described(self, step: Step) -> Mapping[str, Json]:
        """The job that a step ran: a file that it was given a value from may hold another one by now."""
        try:
            return self.recall(step, self.steps[step.name].metadata).properties
        except LookupError:
            return {}

    def _left_before(self, place: Place) -> Iterator[tuple[str, Succeeded]]:
        """What the steps left that a step refers to, or its ForEach."""
        used = referenced_steps(place.step) | (referenced_steps(place.loop) if place.loop else frozenset())
        siblings = {child.name for child in place.loop.children} if place.loop else frozenset()
        for name in used:
            own = f"{name}-{place.iteration}" if name in siblings else name
            step = self._definition.step(name)
            try:
                if step.kind is StepKind.FOR_EACH:
                    yield name, self._loop(step)
                elif own in self.steps:
                    yield own, self.recall(replace(step, name=own), self.steps[own].metadata)
            except LookupError:
                # Its job is gone; what it passed on may be found in the description of the later job.
                yield own, Succeeded(Planned(own, {}))

    def _loop(self, step: Step) -> Succeeded:
        left = {
            name: self.recall(replace(child, name=name), found.metadata).properties
            for name, found in self.steps.items()
            for child in step.children
            if name.rpartition("-")[0] == child.name
        }
        return recalled(step, self.steps[step.name].metadata["ForEach"], left)


def _not_read(uri: str) -> Json:
    return Unknown([Gap(None, uri, content=True)])


class EarlierRuns:
    """The earlier runs of a pipeline's steps.

    Args:
        clients: The account.
        pipeline: The pipeline's name; it need not have been published.
        recall: What a step left behind.
        read_json: Reads S3.
        looked_at: So many executions are looked through, the newest ones.
    """

    def __init__(
        self, clients: Clients, pipeline: str, recall: Recall, read_json: ReadJson, *, looked_at: int = LOOKED_AT
    ) -> None:
        self._clients = clients
        self._pipeline = pipeline
        self._recall = recall
        self._read_json = read_json
        self._looked_at = looked_at
        self._keys: dict[tuple[str, str], CacheKey | None] = {}
        self._untold: set[tuple[str, str]] = set()

    @cached_property
    def executions(self) -> tuple[PastExecution, ...]:
        """The executions that are looked through, newest first."""
        return tuple(
            PastExecution(self._clients, summary, self._recall, self._read_json)
            for summary in self._listed[: self._looked_at]
        )

    @property
    def complete(self) -> bool:
        """Whether these are all there are."""
        return len(self._listed) <= self._looked_at

    def started(self, name: str) -> bool:
        """Whether an execution has started a step of this name."""
        return any(name in execution.steps for execution in self.executions)

    def of(self, name: str) -> Iterator[EarlierRun]:
        """The runs of a step that succeeded, the one that ended last first; each key is found when it is needed."""
        found = [
            (step.ended, execution, step)
            for execution in self.executions
            if (step := execution.steps.get(name)) is not None
            and step.status == "Succeeded"
            and step.ended is not None
            and not step.reused_from
        ]
        found.sort(key=lambda run: run[0], reverse=True)
        for ended, execution, step in found:
            arn = execution.summary.arn
            yield EarlierRun(arn, ended.timestamp(), step.metadata, self._key(execution, name))

    def untold(self, run: EarlierRun, name: str) -> bool:
        """Whether a run had a key that cannot be told any more."""
        return (run.execution, name) in self._untold

    def _key(self, execution: PastExecution, name: str) -> CacheKey | None:
        which = (execution.summary.arn, name)
        if which not in self._keys:
            self._keys[which] = None
            try:
                self._keys[which] = execution.key_of(name)
            except LookupError:
                self._untold.add(which)
        return self._keys[which]

    def started_at(self, run: EarlierRun, name: str) -> datetime | None:
        """When a run began."""
        return next(e.steps[name].started for e in self.executions if e.summary.arn == run.execution)

    @cached_property
    def _listed(self) -> list[runs.Summary]:
        try:
            return runs.list_executions(self._clients, pipeline=self._pipeline, limit=self._looked_at + 1)
        except AwsError as err:
            if not err.is_not_found:
                raise
            # The pipeline was never published.
            return []
