"""Hyperparameter tuning jobs: Create, Describe, List, Stop, Delete, and the training jobs that they started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import AwsError, invalid
from mlops_sm.emulator.jobs import ACTIVE, IN_PROGRESS
from mlops_sm.emulator.pages import Listing, keyed_page, list_page
from mlops_sm.emulator.sagemaker import training_jobs
from mlops_sm.emulator.sagemaker.jobs import delete_job, start_job, stop_job
from mlops_sm.emulator.sagemaker.tuning_records import (
    NO_COUNTS,
    NO_OBJECTIVES,
    child_name,
    child_request,
    child_summary,
    children_of,
    described,
    value_of,
    with_defaults,
)
from mlops_sm.emulator.sagemaker.tuning_requests import JobDefinition, definitions_of, limits_of, tasks_of
from mlops_sm.emulator.sagemaker.tuning_runs import Plan, TuningRun
from mlops_sm.emulator.service import Call, Operation, find, modelled
from mlops_sm.emulator.store import Entity, Kind
from mlops_sm.local.tuning.bayesian import FIX, is_available
from mlops_sm.local.tuning.search import Known
from mlops_sm.local.tuning.tuner import Tuner

_PAGE: Final = 10
"""Training jobs on a page when MaxResults is absent (API reference)."""
_SEED: Final = 8
_WARM_STARTED: Final = frozenset({"Bayesian", "Random"})


def create_tuning_job(call: Call) -> dict[str, Json]:
    """Start a tuning job."""
    request, name, now = call.request, call.request["HyperParameterTuningJobName"], call.now()
    definitions = definitions_of(request)
    limits = limits_of(request, definitions)
    config = request["HyperParameterTuningJobConfig"]
    parents = _parents(call, definitions)
    seed = config.get("RandomSeed")
    tasks = tasks_of(
        request,
        definitions,
        limits,
        seed=int(call.service.new_id(_SEED), 36) if seed is None else seed,
        known=_known(call, parents, definitions[0]),
    )
    if config["Strategy"] == "Bayesian" and not is_available():
        raise invalid(f"The Bayesian strategy needs an optimiser that is not installed. {FIX} [E414]")
    _check_children(call, definitions)
    identical = (request.get("WarmStartConfig") or {}).get("WarmStartType") == "IdenticalDataAndAlgorithm"
    best = [
        {**each.body["BestTrainingJob"], "TuningJobName": each.name}
        for each in parents
        if "BestTrainingJob" in each.body
    ]
    plan = Plan(
        tuner=Tuner(tasks, limits),
        definitions={each.name: each for each in definitions},
        max_runtime_in_seconds=config["ResourceLimits"].get("MaxRuntimeInSeconds"),
        parents=best if identical else None,
    )
    entity = Entity.new(
        call.scope,
        Kind.TUNING_JOB,
        name,
        now,
        status=IN_PROGRESS,
        body={
            **with_defaults(call.members("HyperParameterTuningJobName"), definitions),
            "TrainingJobStatusCounters": dict(NO_COUNTS),
            "ObjectiveStatusCounters": dict(NO_OBJECTIVES),
        },
    )
    start_job(call, entity, TuningRun(call, name, plan).family)
    return {"HyperParameterTuningJobArn": entity.arn}


def describe_tuning_job(call: Call) -> dict[str, Json]:
    """A tuning job as it stands now."""
    return described(_job(call), call.now())


def list_tuning_jobs(call: Call) -> dict[str, Json]:
    """One page of tuning jobs."""
    return list_page(call, _LISTING)


def list_training_jobs(call: Call) -> dict[str, Json]:
    """One page of the training jobs that a tuning job has started.

    "If the value of this field is FinalObjectiveMetricValue, any training jobs that did not return an objective metric
    are not listed" (API reference, ListTrainingJobsForHyperParameterTuningJob).
    """
    request = call.request
    status = request.get("StatusEquals")
    keyed = [
        ([key, child.name], child)
        for child in children_of(call.store, _job(call))
        if (key := _sort_key(child, request.get("SortBy", "Name"))) is not None and status in (None, child.status)
    ]
    descending, size = request.get("SortOrder") == "Descending", request.get("MaxResults") or _PAGE
    page, more = keyed_page(call, keyed, size=size, descending=descending)
    return {"TrainingJobSummaries": [child_summary(child) for child in page], **more}


def stop_tuning_job(call: Call) -> dict[str, Json]:
    """Ask a tuning job and the training jobs it runs to end."""
    stop_job(call, lambda: _job(call))
    return {}


def delete_tuning_job(call: Call) -> dict[str, Json]:
    """Forget a tuning job that has ended; its training jobs stay (API reference, DeleteHyperParameterTuningJob)."""
    delete_job(call, lambda: _job(call))
    return {}


def _job(call: Call) -> Entity:
    name = call.request["HyperParameterTuningJobName"]
    return find(call, Kind.TUNING_JOB, name, lambda _: _missing(call, name))


def _missing(call: Call, name: str) -> AwsError:
    return modelled(
        call, "ResourceNotFound", f"Amazon SageMaker can't find a tuning job called {name}. Type another name."
    )


def _check_children(call: Call, definitions: tuple[JobDefinition, ...]) -> None:
    """What would be refused of a training job is refused of the tuning job that would start it."""
    name = child_name(call.request["HyperParameterTuningJobName"], 1, "")
    for each in definitions:
        child = child_request(each, name, {})
        training_jobs.check_training(replace(call, operation="CreateTrainingJob", request=child))


def _parents(call: Call, definitions: tuple[JobDefinition, ...]) -> list[Entity]:
    """The tuning jobs to start from (developer guide, "Run a Warm Start Hyperparameter Tuning Job", restrictions)."""
    config = call.request.get("WarmStartConfig")
    if config is None:
        return []
    if "TrainingJobDefinitions" in call.request:
        raise invalid("WarmStartConfig is for tuning jobs with one TrainingJobDefinition.")
    strategy = call.request["HyperParameterTuningJobConfig"]["Strategy"]
    if strategy not in _WARM_STARTED:
        raise invalid(f"WarmStartConfig goes with the strategies Bayesian and Random, not with {strategy}.")
    found = []
    for each in config["ParentHyperParameterTuningJobs"]:
        name = each.get("HyperParameterTuningJobName", "")
        parent = call.store.get(call.scope, Kind.TUNING_JOB, name)
        if parent is None:
            raise invalid(f"Could not find the parent tuning job {name}.")
        if parent.status in ACTIVE:
            raise invalid(f"The parent tuning job {name} is in status {parent.status}; it must have ended.")
        if "TrainingJobDefinitions" in parent.body:
            raise invalid(f"The parent tuning job {name} has several TrainingJobDefinitions.")
        _check_parent(config["WarmStartType"], parent, definitions[0])
        found.append(parent)
    return found


def _check_parent(kind: str, parent: Entity, definition: JobDefinition) -> None:
    (before,) = definitions_of(parent.body)
    if (before.metric, before.maximize) != (definition.metric, definition.maximize):
        raise invalid(f"The objective metric must be that of the parent tuning job {parent.name}, {before.metric}.")
    count = len(definition.space.ranges) + len(definition.static)
    if count != len(before.space.ranges) + len(before.static):
        raise invalid(
            "The total number of static and tunable hyperparameters must be that of the parent tuning job "
            f"{parent.name}."
        )
    image, image_before = (each.members["AlgorithmSpecification"].get("TrainingImage") for each in (definition, before))
    if kind == "IdenticalDataAndAlgorithm" and image != image_before:
        raise invalid(f"IdenticalDataAndAlgorithm needs the training image of the parent tuning job {parent.name}.")


def _known(call: Call, parents: list[Entity], definition: JobDefinition) -> list[Known]:
    return [
        Known(values, value_of(child.body))
        for parent in parents
        for child in children_of(call.store, parent)
        if definition.space.inside(values := child.body["HyperParameters"]) is not None
    ]


def _sort_key(child: Entity, sort: str) -> str | float | None:
    match sort:
        case "FinalObjectiveMetricValue":
            return value_of(child.body)
        case "CreationTime":
            return child.created
        case "Status":
            return child.status
        case _:
            return child.name


def _summary(entity: Entity) -> dict[str, Json]:
    config = entity.body["HyperParameterTuningJobConfig"]
    return {
        "HyperParameterTuningJobName": entity.name,
        "HyperParameterTuningJobArn": entity.arn,
        "HyperParameterTuningJobStatus": entity.status,
        "Strategy": config["Strategy"],
        "CreationTime": entity.created,
        "LastModifiedTime": entity.modified,
        "HyperParameterTuningEndTime": entity.body.get("HyperParameterTuningEndTime"),
        "TrainingJobStatusCounters": entity.body["TrainingJobStatusCounters"],
        "ObjectiveStatusCounters": entity.body["ObjectiveStatusCounters"],
        "ResourceLimits": config["ResourceLimits"],
    }


_LISTING: Final = Listing(
    kind=Kind.TUNING_JOB,
    member="HyperParameterTuningJobSummaries",
    summary=_summary,
    sort={"Name": "name", "CreationTime": "created", "Status": "status"},
)

OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateHyperParameterTuningJob": create_tuning_job,
    "DescribeHyperParameterTuningJob": describe_tuning_job,
    "ListHyperParameterTuningJobs": list_tuning_jobs,
    "ListTrainingJobsForHyperParameterTuningJob": list_training_jobs,
    "StopHyperParameterTuningJob": stop_tuning_job,
    "DeleteHyperParameterTuningJob": delete_tuning_job,
}
