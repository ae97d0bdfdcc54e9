"""The records of tuning jobs and of the training jobs that they start: names, summaries, counters, the best one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.sagemaker.training_jobs import DEFAULTS
from mlops_sm.emulator.sagemaker.tuning_requests import OBJECTIVE_HYPERPARAMETER, JobDefinition
from mlops_sm.emulator.store import Entity, Kind, Store
from mlops_sm.local.fidelity import TUNED_AND_TRAINED
from mlops_sm.local.jobs import JobOutcome, JobStatus
from mlops_sm.local.tuning.space import Values

OBJECTIVE: Final = "FinalHyperParameterTuningJobObjectiveMetric"
TUNED: Final = "TunedHyperParameters"
RETRYABLE: Final = "InternalServerError"
"""How the failure reason of a training job starts that could be retried (API reference, TrainingJobStatusCounters)."""
NO_COUNTS: Final[Mapping[str, int]] = {
    "Completed": 0,
    "InProgress": 0,
    "RetryableError": 0,
    "NonRetryableError": 0,
    "Stopped": 0,
}
NO_OBJECTIVES: Final[Mapping[str, int]] = {"Succeeded": 0, "Pending": 0, "Failed": 0}
_SUMMARY: Final = (
    "TrainingStartTime",
    "TrainingEndTime",
    TUNED,
    "FailureReason",
    OBJECTIVE,
    "ObjectiveStatus",
    "TrainingJobDefinitionName",
)


def children_of(store: Store, job: Entity) -> list[Entity]:
    """The training jobs that a tuning job has started; not those of a deleted one that had its name."""
    found = store.select(job.scope, Kind.TRAINING_JOB, parent=job.name)
    return [child for child in found if child.created >= job.created]


def child_name(tuning_job: str, number: int, salt: str) -> str:
    """``<tuning job>-NNN-<8 hex digits>``, as the service names training jobs of a tuning job."""
    digest = hashlib.sha256(f"{tuning_job} {number} {salt}".encode()).hexdigest()
    return f"{tuning_job}-{number:03d}-{digest[:8]}"


def child_request(definition: JobDefinition, name: str, values: Values) -> dict[str, Json]:
    """The CreateTrainingJob request of one training job of a definition."""
    members = definition.members
    request: dict[str, Json] = {member: members[member] for member in TUNED_AND_TRAINED if member in members}
    if "ResourceConfig" not in request:
        request["ResourceConfig"] = _resources(members["HyperParameterTuningResourceConfig"])
    checkpoints = request.get("CheckpointConfig")
    if checkpoints is not None:
        # The training jobs share a definition, not their checkpoints.
        request["CheckpointConfig"] = {**checkpoints, "S3Uri": f"{checkpoints['S3Uri'].rstrip('/')}/{name}"}
    # Version 2 of the SDK says it itself, in quotes.
    objective = (members.get("StaticHyperParameters") or {}).get(OBJECTIVE_HYPERPARAMETER, definition.metric)
    return {
        "TrainingJobName": name,
        "HyperParameters": {**definition.static, **values, OBJECTIVE_HYPERPARAMETER: objective},
        **request,
    }


def with_objective(child: Entity, definition: JobDefinition, outcome: JobOutcome, now: float) -> Entity:
    """A training job that has ended, with what its tuning job makes of it."""
    value = final_value(definition, outcome)
    return child.with_body(
        {
            "ObjectiveStatus": "Failed" if value is None else "Succeeded",
            OBJECTIVE: None
            if value is None
            else {
                "Type": "Maximize" if definition.maximize else "Minimize",
                "MetricName": definition.metric,
                "Value": value,
            },
        },
        modified=now,
    )


def final_value(definition: JobDefinition, outcome: JobOutcome) -> float | None:
    """The last value of the objective metric; None of a job that failed or never printed it."""
    if outcome.status is JobStatus.FAILED:
        return None
    return next((metric.value for metric in outcome.final_metrics if metric.name == definition.metric), None)


def with_defaults(request: Mapping[str, Json], definitions: Iterable[JobDefinition]) -> dict[str, Json]:
    """The members of a request as the service shows them: with what it fills in."""
    config = dict(request["HyperParameterTuningJobConfig"])
    config.setdefault("TrainingJobEarlyStoppingType", "Off")
    if "ParameterRanges" in config:
        config["ParameterRanges"] = _scaled(config["ParameterRanges"])
    filled = [_filled(each) for each in definitions]
    member = "TrainingJobDefinition" if "TrainingJobDefinition" in request else "TrainingJobDefinitions"
    shown = filled[0] if member == "TrainingJobDefinition" else filled
    return {**request, "HyperParameterTuningJobConfig": config, member: shown}


def _filled(definition: JobDefinition) -> dict[str, Json]:
    members = definition.members
    static = {OBJECTIVE_HYPERPARAMETER: definition.metric, **(members.get("StaticHyperParameters") or {})}
    shown = {**DEFAULTS, **members, "StaticHyperParameters": static}
    if "HyperParameterRanges" in shown:
        shown["HyperParameterRanges"] = _scaled(shown["HyperParameterRanges"])
    return shown


def _scaled(ranges: Mapping[str, Json]) -> dict[str, Json]:
    numbers = ("IntegerParameterRanges", "ContinuousParameterRanges")
    return {
        member: [{"ScalingType": "Auto", **each} for each in given] if member in numbers else given
        for member, given in ranges.items()
    }


def child_summary(child: Entity) -> dict[str, Json]:
    """A training job as HyperParameterTrainingJobSummary."""
    shown = {member: child.body[member] for member in _SUMMARY if child.body.get(member) is not None}
    return {
        "TrainingJobName": child.name,
        "TrainingJobArn": child.arn,
        "CreationTime": child.created,
        "TrainingJobStatus": child.status,
        **shown,
    }


def value_of(summary: Mapping[str, Json]) -> float | None:
    """The objective's value in a summary."""
    return (summary.get(OBJECTIVE) or {}).get("Value")


def best_of(summaries: Iterable[Mapping[str, Json] | None]) -> Mapping[str, Json] | None:
    """The summary with the best objective, the earliest of several; None when no objective is known."""
    best: Mapping[str, Json] | None = None
    for summary in summaries:
        if summary is not None and value_of(summary) is not None and (best is None or _score(summary) > _score(best)):
            best = summary
    return best


def _score(summary: Mapping[str, Json]) -> float:
    objective = summary[OBJECTIVE]
    value: float = objective["Value"]
    return value if objective["Type"] == "Maximize" else -value


def counted(body: Mapping[str, Json], status: str, objective: str, step: int = 1) -> dict[str, Json]:
    """The counters after a training job entered (or with -1 left) a status and an objective status."""
    jobs, objectives = dict(body["TrainingJobStatusCounters"]), dict(body["ObjectiveStatusCounters"])
    jobs[status] += step
    objectives[objective] += step
    return {"TrainingJobStatusCounters": jobs, "ObjectiveStatusCounters": objectives}


def counter_of(child: Entity) -> str:
    """The counter of a training job that has ended."""
    match child.status:
        case "Failed" if child.body.get("FailureReason", "").startswith(RETRYABLE):
            return "RetryableError"
        case "Failed":
            return "NonRetryableError"
        case status:
            return status


def described(entity: Entity, now: float) -> dict[str, Json]:
    """A tuning job as DescribeHyperParameterTuningJob shows it."""
    ended = entity.body.get("HyperParameterTuningEndTime")
    return {
        **entity.body,
        "HyperParameterTuningJobName": entity.name,
        "HyperParameterTuningJobArn": entity.arn,
        "HyperParameterTuningJobStatus": entity.status,
        "CreationTime": entity.created,
        "LastModifiedTime": entity.modified,
        "ConsumedResources": {"RuntimeInSeconds": round((now if ended is None else ended) - entity.created)},
    }


def closed(entity: Entity, children: Iterable[Entity], status: str, reason: str | None, now: float) -> Entity:
    """A tuning job that nobody runs any more, counted by what became of its training jobs."""
    counts, objectives = dict(NO_COUNTS), dict(NO_OBJECTIVES)
    summaries = []
    for child in children:
        counts[counter_of(child)] += 1
        objectives[child.body.get("ObjectiveStatus", "Failed")] += 1
        summaries.append(child_summary(child))
    return entity.with_body(
        {
            "HyperParameterTuningEndTime": now,
            "TrainingJobStatusCounters": counts,
            "ObjectiveStatusCounters": objectives,
            "BestTrainingJob": best_of(summaries),
            "FailureReason": reason,
        },
        modified=now,
        status=status,
    )


def _resources(config: Mapping[str, Json]) -> dict[str, Json]:
    """HyperParameterTuningResourceConfig as ResourceConfig; the first choice of several kinds of instances."""
    choice = next(iter(config.get("InstanceConfigs") or []), config)
    found = {
        member: source[member]
        for member, source in (
            ("InstanceType", choice),
            ("InstanceCount", choice),
            ("VolumeSizeInGB", choice if "VolumeSizeInGB" in choice else config),
            ("VolumeKmsKeyId", config),
        )
        if member in source
    }
    return {"VolumeSizeInGB": 1, **found}
