"""What a finished job reports; the members of its Describe response that only the run itself knows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class JobStatus(StrEnum):
    """The terminal values of ProcessingJobStatus and TrainingJobStatus."""

    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPED = "Stopped"


class Metric(NamedTuple):
    """One match of a metric definition's regular expression in the log."""

    name: str
    value: float
    timestamp: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOutcome:
    """How a job ended.

    Attributes:
        status: The job's status.
        started: When its process started; the request's start when it never did.
        ended: When its process ended; uploads come after it.
        failure_reason: FailureReason as AWS words it, at most 1024 characters; None unless it failed.
        exit_message: What a processing job wrote to /opt/ml/output/message.
        model_artifacts: S3 URI of the model; None when there is none.
        metrics: Every match, in order; the last of a name is its final value.
        exit_code: The process's exit code, 128 + N after signal N; None when it never started.
        secondary_status: The last secondary status, e.g. ``MaxRuntimeExceeded``.
    """

    status: JobStatus
    started: datetime
    ended: datetime
    failure_reason: str | None = None
    exit_message: str | None = None
    model_artifacts: str | None = None
    metrics: tuple[Metric, ...] = ()
    exit_code: int | None = None
    secondary_status: str = ""

    @property
    def final_metrics(self) -> tuple[Metric, ...]:
        """The last value of every metric, in the order of their first appearance (FinalMetricDataList)."""
        return tuple({metric.name: metric for metric in self.metrics}.values())
