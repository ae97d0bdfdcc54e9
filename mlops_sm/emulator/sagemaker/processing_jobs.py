"""Processing jobs: Create, Describe, List, Stop, Delete. They run whether a pipeline or a client creates them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.definition.kinds import StepKind
from mlops_sm.emulator.errors import invalid
from mlops_sm.emulator.jobs import IN_PROGRESS, JobFamily
from mlops_sm.emulator.pages import Listing, list_page
from mlops_sm.emulator.sagemaker.jobs import MAX_RUNTIME, check_job, delete_job, start_job, stop_job
from mlops_sm.emulator.service import Call, Operation, find
from mlops_sm.emulator.store import Entity, Kind
from mlops_sm.local.jobs import JobOutcome, run_processing


def create_processing_job(call: Call) -> dict[str, Json]:
    """Start a processing job."""
    name, now = call.request["ProcessingJobName"], call.now()
    body = call.members()
    check_job(call, StepKind.PROCESSING, name, body)
    body.setdefault("StoppingCondition", {"MaxRuntimeInSeconds": MAX_RUNTIME})
    for output in (body.get("ProcessingOutputConfig") or {}).get("Outputs") or []:
        output.setdefault("AppManaged", False)
    entity = Entity.new(call.scope, Kind.PROCESSING_JOB, name, now, status=IN_PROGRESS, body=body)
    start_job(call, entity, FAMILY)
    return {"ProcessingJobArn": entity.arn}


def describe_processing_job(call: Call) -> dict[str, Json]:
    """A processing job as it stands now."""
    entity = _job(call)
    return {**entity.body, **_summary(entity)}


def list_processing_jobs(call: Call) -> dict[str, Json]:
    """One page of processing jobs."""
    return list_page(call, _LISTING)


def stop_processing_job(call: Call) -> dict[str, Json]:
    """Ask a running job to end."""
    stop_job(call, lambda: _job(call))
    return {}


def delete_processing_job(call: Call) -> dict[str, Json]:
    """Forget a job that has ended."""
    delete_job(call, lambda: _job(call))
    return {}


def _job(call: Call) -> Entity:
    name = call.request["ProcessingJobName"]
    return find(call, Kind.PROCESSING_JOB, name, lambda _: invalid(f"Could not find requested job with name: {name}"))


def _summary(entity: Entity) -> dict[str, Json]:
    return {
        "ProcessingJobName": entity.name,
        "ProcessingJobArn": entity.arn,
        "CreationTime": entity.created,
        "LastModifiedTime": entity.modified,
        "ProcessingJobStatus": entity.status,
        "ProcessingEndTime": entity.body.get("ProcessingEndTime"),
        "FailureReason": entity.body.get("FailureReason"),
        "ExitMessage": entity.body.get("ExitMessage"),
    }


def _progress(entity: Entity, status: str, _message: str, now: float) -> Entity:
    if status != "Processing":
        return entity
    return entity.with_body({"ProcessingStartTime": now}, modified=now)


def _finish(entity: Entity, outcome: JobOutcome, now: float) -> Entity:
    changes: dict[str, Json] = {
        # The end of the process: uploads come after it, as LastModifiedTime shows.
        "ProcessingEndTime": outcome.ended.timestamp(),
        "FailureReason": outcome.failure_reason,
        "ExitMessage": outcome.exit_message,
    }
    if outcome.exit_code is not None:
        changes["ProcessingStartTime"] = outcome.started.timestamp()
    return entity.with_body(changes, modified=now, status=outcome.status.value)


FAMILY: Final = JobFamily(kind=Kind.PROCESSING_JOB, run=run_processing, progress=_progress, finish=_finish)

_LISTING: Final = Listing(
    kind=Kind.PROCESSING_JOB,
    member="ProcessingJobSummaries",
    summary=_summary,
    sort={"CreationTime": "created", "Name": "name", "Status": "status"},
)

OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateProcessingJob": create_processing_job,
    "DescribeProcessingJob": describe_processing_job,
    "ListProcessingJobs": list_processing_jobs,
    "StopProcessingJob": stop_processing_job,
    "DeleteProcessingJob": delete_processing_job,
}
