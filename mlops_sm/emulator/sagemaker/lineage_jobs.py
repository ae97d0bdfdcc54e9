"""What the record of a job says about itself: the facts that its trial component and its artifacts show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.jobs import ACTIVE
from mlops_sm.emulator.store import Entity, Kind

_IMAGE: Final = "SageMaker.ImageUri"
_MODEL: Final = "SageMaker.ModelArtifact"
_CHECKPOINT: Final = "SageMaker.CheckpointConfig"
_MAX_TEXT: Final = 2500
"""Characters of a parameter's StringValue."""
_MAX_MESSAGE: Final = 1024
_TYPES: Final[Mapping[str, str]] = {_IMAGE: "Image", _MODEL: "Model", _CHECKPOINT: "Checkpoint"}
"""The artifact types of what is not a data set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """A job as experiments see it.

    Attributes:
        component: The name of its trial component.
        source_type: The component's SourceType.
        status: TrialComponentStatus.
        has_ended: Whether it runs no more.
        succeeded: Whether it has ended well.
        started: Epoch seconds, None while it has not.
        ended: Likewise.
        parameters: TrialComponentParameterValue by name.
        inputs: URIs by the name of the input artifact.
        outputs: URIs by the name of the output artifact.
    """

    component: str
    source_type: str
    status: dict[str, Json]
    has_ended: bool
    succeeded: bool
    started: float | None
    ended: float | None
    parameters: Mapping[str, Json]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]

    def sources(self) -> Iterator[tuple[str, str]]:
        """URI and artifact type of everything that went in."""
        return ((uri, _TYPES.get(name, "DataSet")) for name, uri in self.inputs.items())

    def products(self) -> Iterator[tuple[str, str]]:
        """URI and artifact type of everything that came out; nothing does of a job that did not succeed."""
        return ((uri, _TYPES.get(name, "DataSet")) for name, uri in self.outputs.items() if self.succeeded)


def facts_of(job: Entity) -> JobFacts:
    """The facts of a processing, training or transform job."""
    match job.kind:
        case Kind.TRAINING_JOB:
            return _training(job)
        case Kind.TRANSFORM_JOB:
            return _transform(job)
        case _:
            return _processing(job)


def _processing(job: Entity) -> JobFacts:
    body = job.body
    cluster = body["ProcessingResources"]["ClusterConfig"]
    exit_message, reason = body.get("ExitMessage") or "null", body.get("FailureReason") or "null"
    return JobFacts(
        component=f"{job.name}-aws-processing-job",
        source_type="SageMakerProcessingJob",
        status=_status(job, f"exit message: {exit_message}, failure reason: {reason}"),
        has_ended=job.status not in ACTIVE,
        succeeded=job.status == "Completed",
        started=body.get("ProcessingStartTime"),
        ended=body.get("ProcessingEndTime"),
        parameters=_resources(cluster),
        inputs={
            _IMAGE: body["AppSpecification"]["ImageUri"],
            **{
                each["InputName"]: uri
                for each in body.get("ProcessingInputs") or []
                if (uri := (each.get("S3Input") or {}).get("S3Uri"))
            },
        },
        outputs={
            each["OutputName"]: uri
            for each in (body.get("ProcessingOutputConfig") or {}).get("Outputs") or []
            if (uri := (each.get("S3Output") or {}).get("S3Uri"))
        },
    )


def _training(job: Entity) -> JobFacts:
    body = job.body
    algorithm = body.get("AlgorithmSpecification") or {}
    image = algorithm.get("TrainingImage") or algorithm.get("AlgorithmName")
    reason = body.get("FailureReason") or ""
    model = (body.get("ModelArtifacts") or {}).get("S3ModelArtifacts")
    checkpoint = (body.get("CheckpointConfig") or {}).get("S3Uri")
    return JobFacts(
        component=f"{job.name}-aws-training-job",
        source_type="SageMakerTrainingJob",
        status=_status(job, f"secondary status: {body['SecondaryStatus']}, failure reason: {reason}."),
        has_ended=job.status not in ACTIVE,
        succeeded=job.status == "Completed",
        started=body.get("TrainingStartTime"),
        ended=body.get("TrainingEndTime"),
        parameters={
            **{name: _parameter(value) for name, value in (body.get("HyperParameters") or {}).items()},
            **_resources(body.get("ResourceConfig") or {}),
        },
        inputs={
            **({_IMAGE: image} if image else {}),
            **{
                each["ChannelName"]: uri
                for each in body.get("InputDataConfig") or []
                if (uri := (each["DataSource"].get("S3DataSource") or {}).get("S3Uri"))
            },
        },
        outputs={name: uri for name, uri in ((_MODEL, model), (_CHECKPOINT, checkpoint)) if uri},
    )


def _transform(job: Entity) -> JobFacts:
    body = job.body
    source, reason = body["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"], body.get("FailureReason") or ""
    return JobFacts(
        component=f"{job.name}-aws-transform-job",
        source_type="SageMakerTransformJob",
        status=_status(job, f"failure reason: {reason}."),
        has_ended=job.status not in ACTIVE,
        succeeded=job.status == "Completed",
        started=body.get("TransformStartTime"),
        ended=body.get("TransformEndTime"),
        parameters={
            **{name: _parameter(value) for name, value in (body.get("Environment") or {}).items()},
            "SageMaker.ModelName": {"StringValue": body["ModelName"]},
            **_resources(body["TransformResources"]),
        },
        inputs={"SageMaker.TransformInput": source},
        outputs={"SageMaker.TransformOutput": body["TransformOutput"]["S3OutputPath"]},
    )


def _status(job: Entity, details: str) -> dict[str, Json]:
    return {"PrimaryStatus": job.status, "Message": f"Status: {job.status}, {details}"[:_MAX_MESSAGE]}


def _resources(cluster: Mapping[str, Json]) -> dict[str, Json]:
    return {
        f"SageMaker.{name}": _parameter(cluster[name])
        for name in ("InstanceCount", "InstanceType", "VolumeSizeInGB")
        if name in cluster
    }


def _parameter(value: Json) -> dict[str, Json]:
    """A number where the text is one, as the service shows hyperparameters."""
    try:
        number = float(value)
    except ValueError:
        return {"StringValue": str(value)[:_MAX_TEXT]}
    return {"NumberValue": number} if math.isfinite(number) else {"StringValue": str(value)}
