"""Tuning steps: the tuning job, and its training jobs in the order of their objective."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.engine.status import Failed, Succeeded
from mlops_sm.local.handlers.job import JobKind, client_error, run_job
from mlops_sm.local.handlers.step import Caller, ServiceError, StepResult, StepRun
from mlops_sm.naming import step_tuning_job_name

_NAME: Final = "HyperParameterTuningJobName"
_KIND: Final = JobKind(
    create="CreateHyperParameterTuningJob",
    describe="DescribeHyperParameterTuningJob",
    name_member=_NAME,
    arn_member="HyperParameterTuningJobArn",
    status_member="HyperParameterTuningJobStatus",
    metadata="TuningJob",
    new_name=step_tuning_job_name,
)
_LISTED: Final = 100
"""The most that one page of ListTrainingJobsForHyperParameterTuningJob holds."""


def run_tuning_step(run: StepRun) -> StepResult:
    """Run the step's tuning job to its end."""
    result = run_job(run, _KIND)
    if not isinstance(result.outcome, Succeeded):
        return result
    try:
        return replace(result, outcome=Succeeded(_with_training_jobs(result.outcome.properties, run.control)))
    except ServiceError as error:
        return replace(result, outcome=Failed(client_error(error)))


def tuning_properties(name: str, control: Caller) -> dict[str, Json]:
    """The properties of a step whose tuning job has ended.

    Raises:
        ServiceError: The tuning job is gone.
    """
    return _with_training_jobs(control.call(_KIND.describe, {_NAME: name}), control)


def _with_training_jobs(described: Mapping[str, Json], control: Caller) -> dict[str, Json]:
    """The Describe response with TrainingJobSummaries, the best first (developer guide, "Tuning Step")."""
    maximize = _objective(described)["Type"] == "Maximize"
    listed = control.call(
        "ListTrainingJobsForHyperParameterTuningJob",
        {
            _NAME: described[_NAME],
            "SortBy": "FinalObjectiveMetricValue",
            "SortOrder": "Descending" if maximize else "Ascending",
            "MaxResults": _LISTED,
        },
    )
    return {**described, "TrainingJobSummaries": listed["TrainingJobSummaries"]}


def _objective(described: Mapping[str, Json]) -> Json:
    config = described["HyperParameterTuningJobConfig"]
    if "HyperParameterTuningJobObjective" in config:
        return config["HyperParameterTuningJobObjective"]
    definition = described.get("TrainingJobDefinition") or described["TrainingJobDefinitions"][0]
    return definition["TuningObjective"]
