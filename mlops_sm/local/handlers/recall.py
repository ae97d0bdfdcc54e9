"""What a step left behind, found again from its Metadata: an earlier attempt or another execution is built upon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from mlops_sm.definition.document import Json, Step
from mlops_sm.definition.kinds import StepKind
from mlops_sm.engine.status import Succeeded
from mlops_sm.local.handlers.callback import callback_properties
from mlops_sm.local.handlers.check import check_properties
from mlops_sm.local.handlers.step import Caller
from mlops_sm.local.handlers.tuning import tuning_properties

PROPERTIES: Final = "UserProperties"
"""Member of a step's record that keeps what a handler of the user returned; no answer of the service shows it."""


class _Source(NamedTuple):
    metadata: str
    describe: str
    name_member: str
    by_arn: bool = False


_SOURCES: Final[Mapping[StepKind, _Source]] = {
    StepKind.PROCESSING: _Source("ProcessingJob", "DescribeProcessingJob", "ProcessingJobName"),
    StepKind.TRAINING: _Source("TrainingJob", "DescribeTrainingJob", "TrainingJobName"),
    StepKind.TRANSFORM: _Source("TransformJob", "DescribeTransformJob", "TransformJobName"),
    StepKind.MODEL: _Source("Model", "DescribeModel", "ModelName"),
    StepKind.ENDPOINT_CONFIG: _Source("EndpointConfig", "DescribeEndpointConfig", "EndpointConfigName"),
    StepKind.ENDPOINT: _Source("Endpoint", "DescribeEndpoint", "EndpointName"),
    StepKind.INFERENCE_COMPONENT: _Source("InferenceComponent", "DescribeInferenceComponent", "InferenceComponentName"),
    StepKind.REGISTER_MODEL: _Source("RegisterModel", "DescribeModelPackage", "ModelPackageName", by_arn=True),
}


def recall(step: Step, metadata: Mapping[str, Json], control: Caller) -> Succeeded:
    """A succeeded step's outcome.

    Args:
        step: The step.
        metadata: Its Metadata in ListPipelineExecutionSteps.
        control: Describes what it created.

    Raises:
        ServiceError: What it created is gone.
        ValueError: Its kind cannot be built upon.
    """
    if PROPERTIES in metadata:
        return Succeeded(metadata[PROPERTIES])
    source = _SOURCES.get(step.kind)
    if source is not None and source.metadata in metadata:
        arn: str = metadata[source.metadata]["Arn"]
        name = arn if source.by_arn else arn.rsplit("/", 1)[-1]
        return Succeeded(control.call(source.describe, {source.name_member: name}))
    match step.kind:
        case StepKind.TUNING if "TuningJob" in metadata:
            return Succeeded(tuning_properties(metadata["TuningJob"]["Arn"].rsplit("/", 1)[-1], control))
        case StepKind.CONDITION if "Condition" in metadata:
            verdict = metadata["Condition"]["Outcome"] == "True"
            return Succeeded({"Outcome": str(verdict)}, verdict)
        case StepKind.CALLBACK | StepKind.LAMBDA if step.kind.value in metadata:
            given = metadata[step.kind.value].get("OutputParameters") or []
            outputs = {each["Name"]: each["Value"] for each in given}
            return Succeeded(callback_properties(step.raw.get("OutputParameters") or [], outputs))
        case StepKind.QUALITY_CHECK | StepKind.CLARIFY_CHECK if step.kind.value in metadata:
            return Succeeded(check_properties(metadata[step.kind.value]))
        case StepKind.LINEAGE if "Lineage" in metadata:
            return Succeeded(metadata["Lineage"])
        case StepKind.CLEANUP:
            return Succeeded({})
        case _:
            raise ValueError(f"what a {step.kind} step left behind cannot be reused")
