"""Batch transform jobs: Create, Describe, List, Stop. They run whether a pipeline or a client creates them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.definition.kinds import StepKind
from mlops_sm.emulator.errors import invalid
from mlops_sm.emulator.jobs import IN_PROGRESS, JobFamily
from mlops_sm.emulator.pages import Listing, list_page
from mlops_sm.emulator.sagemaker.jobs import check_job, start_job, stop_job
from mlops_sm.emulator.sagemaker.models import containers_of, model_of
from mlops_sm.emulator.service import Call, Operation, find
from mlops_sm.emulator.store import Entity, Kind
from mlops_sm.local.batch.association import format_of
from mlops_sm.local.batch.job import run_transform
from mlops_sm.local.batch.paths import JsonPath, PathError
from mlops_sm.local.batch.plan import MAX_PAYLOAD
from mlops_sm.local.jobs import JobOutcome

_MAX_MEGABYTES: Final = 100
"""Of a payload, and of all payloads that are under way (API reference, CreateTransformJob, MaxPayloadInMB)."""
_PROCESSING: Final[Mapping[str, Json]] = {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"}
"""What DescribeTransformJob shows of DataProcessing that was not given (API reference, DataProcessing)."""


def create_transform_job(call: Call) -> dict[str, Json]:
    """Start a transform job on a model as it is now."""
    name, now = call.request["TransformJobName"], call.now()
    members = call.members()
    model = model_of(call)
    _check_sizes(members)
    _check_processing(members)
    check_job(call, StepKind.TRANSFORM, name, members)
    body = {
        **members,
        "TransformInput": {"CompressionType": "None", "SplitType": "None", **members["TransformInput"]},
        "TransformOutput": {"AssembleWith": "None", **members["TransformOutput"]},
        "DataProcessing": {**_PROCESSING, **(members.get("DataProcessing") or {})},
    }
    entity = Entity.new(call.scope, Kind.TRANSFORM_JOB, name, now, status=IN_PROGRESS, body=body)
    request = {
        **call.request,
        "Containers": containers_of(call, model),
        "EnableNetworkIsolation": model.body.get("EnableNetworkIsolation", False),
        "ExecutionRoleArn": model.body.get("ExecutionRoleArn", ""),
    }
    start_job(replace(call, request=request), entity, FAMILY)
    return {"TransformJobArn": entity.arn}


def describe_transform_job(call: Call) -> dict[str, Json]:
    """A transform job as it stands now."""
    entity = _job(call)
    return {**entity.body, **_summary(entity)}


def list_transform_jobs(call: Call) -> dict[str, Json]:
    """One page of transform jobs."""
    return list_page(call, _LISTING)


def stop_transform_job(call: Call) -> dict[str, Json]:
    """Ask a running job to end; what it has stored stays."""
    stop_job(call, lambda: _job(call))
    return {}


def _check_sizes(members: Mapping[str, Json]) -> None:
    payload = members.get("MaxPayloadInMB", MAX_PAYLOAD)
    if payload > _MAX_MEGABYTES:
        raise invalid(f"MaxPayloadInMB cannot be greater than {_MAX_MEGABYTES} MB, and is {payload}.")
    transforms = members.get("MaxConcurrentTransforms", 0)
    if transforms * payload > _MAX_MEGABYTES:
        raise invalid(
            f"MaxConcurrentTransforms * MaxPayloadInMB cannot exceed {_MAX_MEGABYTES} MB, and is "
            f"{transforms} * {payload} = {transforms * payload}."
        )


def _check_processing(members: Mapping[str, Json]) -> None:
    """API reference, DataProcessing; developer guide, "Associate Prediction Results with Input Records"."""
    given = {name: value for name, value in (members.get("DataProcessing") or {}).items() if _PROCESSING[name] != value}
    for name in ("InputFilter", "OutputFilter"):
        try:
            JsonPath.parse(given.get(name) or "$")
        except PathError as error:
            raise invalid(f"DataProcessing.{name}: {error}.") from error
    inference = (members.get("DataCaptureConfig") or {}).get("GenerateInferenceId")
    if not given and not inference:
        return
    why = "DataProcessing" if given else "GenerateInferenceId"
    content_type, accept = members["TransformInput"].get("ContentType"), members["TransformOutput"].get("Accept")
    if format_of(content_type) is None:
        raise invalid(f"{why} works on CSV and JSON only: TransformInput.ContentType is {content_type or 'not set'}.")
    if accept and format_of(accept) is not format_of(content_type):
        raise invalid(f"{why} wants one format: TransformInput.ContentType is {content_type}, Accept is {accept}.")


def _job(call: Call) -> Entity:
    name = call.request["TransformJobName"]
    return find(call, Kind.TRANSFORM_JOB, name, lambda _: invalid(f"Could not find requested job with name: {name}"))


def _summary(entity: Entity) -> dict[str, Json]:
    return {
        "TransformJobName": entity.name,
        "TransformJobArn": entity.arn,
        "CreationTime": entity.created,
        "LastModifiedTime": entity.modified,
        "TransformJobStatus": entity.status,
        "TransformEndTime": entity.body.get("TransformEndTime"),
        "FailureReason": entity.body.get("FailureReason"),
    }


def _progress(entity: Entity, status: str, _message: str, now: float) -> Entity:
    if status != "Transforming":
        return entity
    return entity.with_body({"TransformStartTime": now}, modified=now)


def _finish(entity: Entity, outcome: JobOutcome, now: float) -> Entity:
    changes: dict[str, Json] = {
        "TransformEndTime": outcome.ended.timestamp(),
        "FailureReason": outcome.failure_reason,
    }
    return entity.with_body(changes, modified=now, status=outcome.status.value)


FAMILY: Final = JobFamily(kind=Kind.TRANSFORM_JOB, run=run_transform, progress=_progress, finish=_finish)

_LISTING: Final = Listing(
    kind=Kind.TRANSFORM_JOB,
    member="TransformJobSummaries",
    summary=_summary,
    sort={"CreationTime": "created", "Name": "name", "Status": "status"},
    # API reference, ListTransformJobs, SortOrder: "The default is Descending".
    descending=True,
)

OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateTransformJob": create_transform_job,
    "DescribeTransformJob": describe_transform_job,
    "ListTransformJobs": list_transform_jobs,
    "StopTransformJob": stop_transform_job,
}
