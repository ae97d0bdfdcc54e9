"""A tuning job while it runs: it starts training jobs, hears their metrics, gives some up, and knows when to end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple

from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.jobs import IN_PROGRESS, STOPPING, JobFamily
from mlops_sm.emulator.sagemaker import training_jobs
from mlops_sm.emulator.sagemaker.jobs import start_job
from mlops_sm.emulator.sagemaker.tuning_records import (
    TUNED,
    best_of,
    child_name,
    child_request,
    child_summary,
    counted,
    counter_of,
    final_value,
    with_objective,
)
from mlops_sm.emulator.sagemaker.tuning_requests import JobDefinition
from mlops_sm.emulator.service import Call
from mlops_sm.emulator.store import Entity, Kind
from mlops_sm.local.jobs import JobOutcome, JobStatus, Metric, run_training
from mlops_sm.local.site import Site
from mlops_sm.local.tuning.tuner import Trial, Tuner, Verdict

_LOOK_AROUND: Final = 0.1
"""Seconds between looks at the stop event and the clock; what training jobs report is noticed at once."""
_SALT: Final = 8

_REASONS: Final[Mapping[Verdict, str]] = {
    Verdict.NOTHING_RAN: "No training job succeeded after {count} attempts. Please take a look at the training job "
    "failures to get more details.",
    Verdict.NO_METRIC: "No objective metrics found after running {count} training jobs. Please ensure that the custom "
    "algorithm is emitting the objective metric as defined by the regular expression provided.",
}
"""Why a tuning job failed, in the service's words (aws/amazon-sagemaker-examples #2437)."""


class _Value(NamedTuple):
    trial: int
    value: float


class _Ended(NamedTuple):
    trial: int
    outcome: JobOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a tuning job is to do.

    Attributes:
        tuner: Chooses the training jobs.
        definitions: By name.
        max_runtime_in_seconds: After that it starts nothing and stops what runs; None for no limit.
        parents: The best training jobs of the tuning jobs it was started from, when they count for the overall best.
    """

    tuner: Tuner
    definitions: Mapping[str, JobDefinition]
    max_runtime_in_seconds: float | None = None
    parents: Sequence[Mapping[str, Json]] | None = None


class TuningRun:
    """One tuning job.

    Args:
        call: Its CreateHyperParameterTuningJob request.
        name: Its name.
        plan: What it is to do.
    """

    def __init__(self, call: Call, name: str, plan: Plan) -> None:
        self._call = call
        self._name = name
        self._plan = plan
        self._arn = call.scope.arn(Kind.TUNING_JOB, name)
        self._events: SimpleQueue[_Value | _Ended] = SimpleQueue()
        self._running: dict[int, str] = {}
        self._given_up: set[int] = set()

    @property
    def family(self) -> JobFamily:
        """How `Jobs` runs it: beside the jobs that take a place, because it only waits for them."""
        return JobFamily(
            kind=Kind.TUNING_JOB,
            run=self._run,
            progress=lambda entity, _status, _message, _now: entity,
            finish=self._finish,
            counted=False,
        )

    # ------------------------------------------------------------------ the tuning job's thread

    def _run(
        self,
        request: Mapping[str, Json],
        *,
        name: str,
        arn: str,
        site: Site,
        stop: threading.Event,
        on_status: Callable[[str, str], None],
    ) -> JobOutcome:
        del request, name, arn, on_status
        started, limit = site.clock(), self._plan.max_runtime_in_seconds
        # By the account's clock: nobody waits for the hours of a search in a test.
        deadline = None if limit is None else self._call.now() + limit
        tuner, stopped = self._plan.tuner, False
        try:
            while self._running or not tuner.is_over():
                stopped = stopped or stop.is_set()
                if stopped or tuner.is_over() or (deadline is not None and self._call.now() >= deadline):
                    self._give_up_all()
                    if not self._running:
                        break
                else:
                    while (trial := tuner.next()) is not None:
                        self._start(trial)
                    if tuner.is_over():
                        break
                self._hear()
        finally:
            self._give_up_all()
        why = None if stopped or tuner.verdict is None else _REASONS.get(tuner.verdict)
        reason = None if why is None else why.format(count=tuner.attempts)
        status = JobStatus.STOPPED if stopped else JobStatus.FAILED if reason else JobStatus.COMPLETED
        return JobOutcome(status=status, started=started, ended=site.clock(), failure_reason=reason)

    def _hear(self) -> None:
        try:
            event = self._events.get(timeout=_LOOK_AROUND)
        except Empty:
            return
        match event:
            case _Value(trial, value):
                if self._plan.tuner.report(trial, value):
                    self._give_up(trial)
            case _Ended(trial, outcome):
                self._ended(trial, outcome)

    def _start(self, trial: Trial) -> None:
        definition = self._plan.definitions[trial.task.name]
        name = child_name(self._name, trial.number, self._call.service.new_id(_SALT))
        request = child_request(definition, name, trial.values)
        tags = self._call.request.get("Tags")
        call = replace(
            self._call, operation="CreateTrainingJob", request={**request, **({"Tags": tags} if tags else {})}
        )
        call = training_jobs.with_metrics(call)
        members: dict[str, Json] = {"TuningJobArn": self._arn, TUNED: dict(trial.values), "ObjectiveStatus": "Pending"}
        if definition.name:
            members["TrainingJobDefinitionName"] = definition.name
        child = training_jobs.new_training_job(call, self._name, **members)
        family = replace(
            training_jobs.FAMILY,
            run=partial(run_training, on_metric=partial(self._measured, call, trial.number, definition.metric)),
            finish=lambda entity, outcome, now: with_objective(
                training_jobs.FAMILY.finish(entity, outcome, now), definition, outcome, now
            ),
        )
        self._running[trial.number] = child.arn
        try:
            start_job(
                call,
                child,
                family,
                with_it=lambda: self._save(lambda body: counted(body, "InProgress", "Pending")),
                on_end=lambda outcome: self._events.put(_Ended(trial.number, outcome)),
            )
        except AwsError:
            del self._running[trial.number]
            raise

    def _ended(self, number: int, outcome: JobOutcome) -> None:
        trial, arn = self._plan.tuner.trial(number), self._running.pop(number)
        value = final_value(self._plan.definitions[trial.task.name], outcome)
        self._plan.tuner.end(number, value, well=outcome.status is not JobStatus.FAILED)
        child = self._call.store.by_arn(arn)

        def counted_again(body: Mapping[str, Json]) -> dict[str, Json]:
            members = counted(body, "InProgress", "Pending", -1)
            if child is None:
                return members
            members |= counted({**body, **members}, counter_of(child), child.body["ObjectiveStatus"])
            best = best_of([body.get("BestTrainingJob"), child_summary(child)])
            members["BestTrainingJob"] = best
            if self._plan.parents is not None:
                own = None if best is None else {**best, "TuningJobName": self._name}
                members["OverallBestTrainingJob"] = best_of([*self._plan.parents, own])
            details: dict[str, Json] = {
                "NumberOfTrainingJobsObjectiveNotImproving": self._plan.tuner.without_improvement
            }
            if self._plan.tuner.verdict is Verdict.CONVERGED:
                details["ConvergenceDetectedTime"] = self._call.now()
            return {**members, "TuningJobCompletionDetails": details}

        self._save(counted_again)

    def _save(self, change: Callable[[Mapping[str, Json]], dict[str, Json]]) -> None:
        store = self._call.store
        with store.transaction():
            entity = store.by_arn(self._arn)
            if entity is not None:
                store.save(entity.with_body(change(entity.body), modified=self._call.now()))

    def _give_up_all(self) -> None:
        for number in list(self._running):
            self._give_up(number)

    def _give_up(self, number: int) -> None:
        """Stop a training job, once."""
        if number in self._given_up:
            return
        self._given_up.add(number)
        arn, store = self._running[number], self._call.store
        with store.transaction():
            child = store.by_arn(arn)
            if child is not None and child.status == IN_PROGRESS:
                now = self._call.now()
                store.save(training_jobs.stopping(child, now).with_body({}, modified=now, status=STOPPING))
        self._call.service.jobs.request_stop(arn)

    def _finish(self, entity: Entity, outcome: JobOutcome, now: float) -> Entity:
        return entity.with_body(
            {"HyperParameterTuningEndTime": now, "FailureReason": outcome.failure_reason},
            modified=now,
            status=outcome.status.value,
        )

    # ------------------------------------------------------------------ a training job's thread

    def _measured(self, call: Call, number: int, metric: str, found: Metric) -> None:
        training_jobs.publish(call, found)
        if found.name == metric:
            self._events.put(_Value(number, found.value))
