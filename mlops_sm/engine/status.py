"""What a step and an execution can be, and what a finished step reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mlops_sm.definition.document import Json


class StepStatus(StrEnum):
    """Where one step of an execution stands; AWS has no word for the first and the last, because it lists neither."""

    WAITING = "Waiting"
    EXECUTING = "Executing"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    STOPPED = "Stopped"
    SKIPPED = "Skipped"


class ExecutionStatus(StrEnum):
    """A pipeline execution's status, as botocore's PipelineExecutionStatus."""

    EXECUTING = "Executing"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    FAILED = "Failed"
    SUCCEEDED = "Succeeded"
    COMPLETED_WITH_FAILURES = "CompletedWithFailures"


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The step did its work.

    Attributes:
        properties: The Describe response of its job; other steps refer to its members.
        outcome: The verdict of a Condition step, None for every other kind. It becomes the step's only property, the
            boolean ``Outcome``: the service prints it as ``true`` or ``false``.
    """

    properties: Mapping[str, Json]
    outcome: bool | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The step failed.

    Attributes:
        reason: Its FailureReason; for a Fail step its ErrorMessage, which may be empty.
        properties: The Describe response of the failed job, for steps that run because of the failure.
    """

    reason: str
    properties: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stopped:
    """The step was stopped before its end."""


Outcome = Succeeded | Failed | Stopped
