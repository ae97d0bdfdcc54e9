"""The log of a step's job, read from CloudWatch Logs; the local account answers the same calls."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from mlops_sm.errors import InputError, Problem
from mlops_sm.operations.clients import Clients
from mlops_sm.operations.refusals import AwsError
from mlops_sm.operations.runs import Execution, Job

# Source: "CloudWatch Logs for Amazon SageMaker AI", SageMaker developer guide. Check jobs are processing jobs.
LOG_GROUPS: Final = {
    "ProcessingJob": "/aws/sagemaker/ProcessingJobs",
    "TrainingJob": "/aws/sagemaker/TrainingJobs",
    "TuningJob": "/aws/sagemaker/TrainingJobs",
    "TransformJob": "/aws/sagemaker/TransformJobs",
    "QualityCheck": "/aws/sagemaker/ProcessingJobs",
    "ClarifyCheck": "/aws/sagemaker/ProcessingJobs",
}
"""The log group of each kind of job; a tuning job's log is that of its training jobs."""
_TUNING: Final = "TuningJob"
_MAX_EVENTS: Final = 10_000
"""Events in one answer; source: CloudWatch Logs API reference, GetLogEvents."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One event of a log; the stream's name tells the host when a job has several."""

    stream: str
    time: datetime
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLog:
    """What was read of a step's log.

    Attributes:
        step: The step.
        job: The job it started.
        group: The log group.
        streams: The job's streams, one for each host; none until the job has written something.
        lines: The lines that were asked for, oldest first within a stream.
    """

    step: str
    job: Job
    group: str
    streams: tuple[str, ...]
    lines: tuple[LogLine, ...]


def read_log(clients: Clients, execution: Execution, step_name: str, *, last: int | None = None) -> StepLog:
    """Read the log of a step's job.

    Args:
        clients: The account.
        execution: The execution.
        step_name: A step of it.
        last: Only so many lines from the end of each stream; None for all.

    Raises:
        InputError: No such step has started (E111), or its kind starts no job (E112).
    """
    step = execution.step(step_name)
    if step.job is None:
        what = f'step "{step_name}" starts no job, so it has no log'
        fix = "Steps with a log: " + (", ".join(s.name for s in execution.steps if s.job) or "none") + "."
        raise InputError(Problem("E112", f"execution {execution.id}", what, fix))
    group = LOG_GROUPS[step.job.kind]
    streams = _streams(clients, group, execution.id, step.job)
    lines = tuple(
        line
        for stream in streams
        for line in (_all(clients, group, stream) if last is None else _last(clients, group, stream, last))
    )
    return StepLog(step=step_name, job=step.job, group=group, streams=tuple(streams), lines=lines)


def _streams(clients: Clients, group: str, execution_id: str, job: Job) -> list[str]:
    """The job's streams. An ARN may spell the job's name in lower case, a stream spells it as it is."""
    own = f"{job.name}{'-' if job.kind == _TUNING else '/'}"
    prefix = f"{execution_id}-" if job.kind == _TUNING else f"pipelines-{execution_id}-"
    if not own.lower().startswith(prefix):
        prefix = own
    found: list[str] = []
    request: dict[str, Any] = {"logGroupName": group, "logStreamNamePrefix": prefix}
    try:
        while True:
            page = clients.logs.describe_log_streams(**request)
            found += (s["logStreamName"] for s in page["logStreams"])
            if not page.get("nextToken"):
                break
            request["nextToken"] = page["nextToken"]
    except AwsError as err:
        if err.is_not_found:  # the group appears with its first stream
            return []
        raise
    return sorted(s for s in found if s.lower().startswith(own.lower()))


def _all(clients: Clients, group: str, stream: str) -> list[LogLine]:
    lines: list[LogLine] = []
    request: dict[str, Any] = {"logGroupName": group, "logStreamName": stream, "startFromHead": True}
    while True:
        page = clients.logs.get_log_events(**request)
        lines += (_line(stream, event) for event in page["events"])
        # the end is where the token no longer changes
        if page.get("nextForwardToken") in (None, request.get("nextToken")):
            return lines
        request["nextToken"] = page["nextForwardToken"]


def _last(clients: Clients, group: str, stream: str, count: int) -> list[LogLine]:
    lines: deque[LogLine] = deque()
    request: dict[str, Any] = {"logGroupName": group, "logStreamName": stream, "startFromHead": False}
    while len(lines) < count:
        request["limit"] = min(count - len(lines), _MAX_EVENTS)
        page = clients.logs.get_log_events(**request)
        lines.extendleft(_line(stream, event) for event in reversed(page["events"]))
        if page.get("nextBackwardToken") in (None, request.get("nextToken")):
            break
        request["nextToken"] = page["nextBackwardToken"]
    return list(lines)[-count:] if count else []


def _line(stream: str, event: dict[str, Any]) -> LogLine:
    return LogLine(stream, datetime.fromtimestamp(event["timestamp"] / 1000, UTC), event["message"].rstrip("\n"))
