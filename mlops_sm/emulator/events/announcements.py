"""Which changes SageMaker announces, and what their events say.

Source: "Events that Amazon SageMaker AI sends to Amazon EventBridge" of the SageMaker developer guide: detail types,
details like the Describe answers, and where times are milliseconds. A new kind is one line of `_RECORDS` or `_KINDS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mlops_sm import naming
from mlops_sm.checks.service import Shape, sagemaker_model
from mlops_sm.definition.document import Json
from mlops_sm.emulator.events.times import TimeForm, iso, milliseconds
from mlops_sm.emulator.store import Entity, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """The event of one kind of thing.

    Attributes:
        detail_type: The event's ``detail-type``.
        noun: In the names of its members and of its Describe operation, e.g. ``TrainingJob``.
        status: The member that holds the entity's status; None when its body has all there is to say.
        watched: Further members of the body whose change is announced.
        times: How times are shown.
        upper: Whether its status is written like IN_SERVICE.
        always: Members that every Describe answer shows.
        tagged: Whether the detail shows tags.
    """

    detail_type: str
    noun: str
    status: str | None = None
    watched: tuple[str, ...] = ()
    times: TimeForm = milliseconds
    upper: bool = False
    always: Mapping[str, Json] = field(default_factory=dict)
    tagged: bool = True

    def signature(self, entity: Entity) -> tuple[Json, ...]:
        """What has to be different for a change to be announced."""
        return (entity.status, *(entity.body.get(member) for member in (f"{self.noun}Status", *self.watched)))

    def detail(self, entity: Entity) -> dict[str, Json]:
        """The event's detail, in the shape of the Describe answer; without tags."""
        shape = sagemaker_model().operation_model(f"Describe{self.noun}").output_shape
        name = entity.name.split("/", 1)[-1] if entity.kind is Kind.RECORD else entity.name
        described: dict[str, Json] = {
            # A versioned package has a group and a number instead of a name.
            f"{self.noun}Name": None if entity.kind is Kind.MODEL_PACKAGE and entity.parent else name,
            "CreationTime": entity.created,
            "LastModifiedTime": entity.modified,
            **self.always,
            **entity.body,
            f"{self.noun}Arn": entity.arn,
        }
        if self.status is not None:
            described[self.status] = entity.status
        detail: dict[str, Json] = shown(described, shape, self.times)
        if self.upper:
            detail[f"{self.noun}Status"] = _upper(str(detail.get(f"{self.noun}Status", "")))
        return detail


def shown(value: Json, shape: Shape, times: TimeForm) -> Json:
    """A value as an event shows it: members that the service knows, times in one form."""
    match shape.type_name:
        case "structure":
            return {
                name: shown(value[name], member, times)
                for name, member in shape.members.items()
                if isinstance(value, Mapping) and value.get(name) is not None
            }
        case "list":
            return [shown(item, shape.member, times) for item in value]
        case "map":
            return {key: shown(item, shape.value, times) for key, item in value.items()}
        case "timestamp":
            return times(float(value))
        case _:
            return value


def _upper(status: str) -> str:
    """``InService`` as ``IN_SERVICE``."""
    return "".join(
        f"_{letter}" if letter.isupper() and index else letter for index, letter in enumerate(status)
    ).upper()


_KINDS: Final[Mapping[Kind, Announcement]] = {
    Kind.TRAINING_JOB: Announcement(
        detail_type="SageMaker Training Job State Change",
        noun="TrainingJob",
        status="TrainingJobStatus",
        watched=("SecondaryStatus",),
    ),
    Kind.PROCESSING_JOB: Announcement(
        detail_type="SageMaker Processing Job State Change", noun="ProcessingJob", status="ProcessingJobStatus"
    ),
    Kind.TRANSFORM_JOB: Announcement(
        detail_type="SageMaker Transform Job State Change", noun="TransformJob", status="TransformJobStatus", times=iso
    ),
    Kind.TUNING_JOB: Announcement(
        detail_type="SageMaker HyperParameter Tuning Job State Change",
        noun="HyperParameterTuningJob",
        status="HyperParameterTuningJobStatus",
    ),
    Kind.MODEL: Announcement(detail_type="SageMaker Model State Change", noun="Model"),
    Kind.ENDPOINT: Announcement(
        detail_type="SageMaker Endpoint State Change", noun="Endpoint", status="EndpointStatus", upper=True
    ),
    Kind.MODEL_PACKAGE: Announcement(
        detail_type="SageMaker Model Package State Change",
        noun="ModelPackage",
        watched=("ModelApprovalStatus", "ModelLifeCycle"),
        times=iso,
        always={
            "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
            "CertifyForMarketplace": False,
        },
        tagged=False,
    ),
}
_RECORDS: Final[Mapping[str, Announcement]] = {
    announcement.noun: announcement
    for announcement in (
        Announcement(
            detail_type="SageMaker Feature Group State Change", noun="FeatureGroup", watched=("OfflineStoreStatus",)
        ),
        Announcement(detail_type="SageMaker Image State Change", noun="Image"),
        Announcement(detail_type="SageMaker Image Version State Change", noun="ImageVersion"),
        Announcement(detail_type="SageMaker Model Card State Change", noun="ModelCard", times=iso),
    )
}

ANNOUNCEMENTS: Final = (*_KINDS.values(), *_RECORDS.values())
"""Everything of an account whose changes are announced, but for executions and their steps."""


def announcement_of(entity: Entity) -> Announcement | None:
    """What a change of an entity is announced as; None when it is not."""
    return _RECORDS.get(entity.parent) if entity.kind is Kind.RECORD else _KINDS.get(entity.kind)


EXECUTION: Final = "SageMaker Model Building Pipeline Execution Status Change"
STEP: Final = "SageMaker Model Building Pipeline Execution Step Status Change"


def execution_detail(before: Entity | None, after: Entity, ended: bool) -> dict[str, Json]:
    """What the event of an execution says."""
    detail: dict[str, Json] = {
        "pipelineExecutionDisplayName": after.body.get("PipelineExecutionDisplayName"),
        "currentPipelineExecutionStatus": after.status,
        "previousPipelineExecutionStatus": None if before is None else before.status,
        "executionStartTime": iso(after.created),
        "executionEndTime": iso(after.modified) if ended else None,
        "pipelineExecutionDescription": after.body.get("PipelineExecutionDescription"),
        "pipelineArn": naming.pipeline_arn(after.arn),
        "pipelineExecutionArn": after.arn,
    }
    return {name: value for name, value in detail.items() if value is not None or name.startswith("previous")}


def step_detail(execution: str, before: str | None, body: Mapping[str, Json]) -> dict[str, Json]:
    """What the event of a step says."""
    ended = body.get("EndTime")
    detail: dict[str, Json] = {
        "metadata": _camel(body.get("Metadata") or {}),
        "stepStartTime": iso(body["StartTime"]),
        "stepEndTime": None if ended is None else iso(ended),
        "stepName": body["StepName"],
        "stepType": body.get("StepType", ""),
        "previousStepStatus": before,
        "currentStepStatus": body["StepStatus"],
        "cacheHitResult": _camel(body.get("CacheHitResult")),
        "failureReason": body.get("FailureReason"),
        "pipelineArn": naming.pipeline_arn(execution),
        "pipelineExecutionArn": execution,
    }
    return {name: value for name, value in detail.items() if value is not None or name.startswith("previous")}


def _camel(value: Json) -> Json:
    if isinstance(value, dict):
        return {name[:1].lower() + name[1:]: _camel(item) for name, item in value.items()}
    return [_camel(item) for item in value] if isinstance(value, list) else value
