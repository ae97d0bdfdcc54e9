"""The closed vocabularies of a pipeline definition: step kinds, parameter types, triggers, conditions."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple


class StepKind(StrEnum):
    """A step's ``Type``.

    Source: the enum of SDK v3.27 plus the kinds that only botocore's PipelineExecutionStepMetadata knows.
    """

    CONDITION = "Condition"
    MODEL = "Model"
    PROCESSING = "Processing"
    REGISTER_MODEL = "RegisterModel"
    TRAINING = "Training"
    TRANSFORM = "Transform"
    CALLBACK = "Callback"
    TUNING = "Tuning"
    LAMBDA = "Lambda"
    QUALITY_CHECK = "QualityCheck"
    CLARIFY_CHECK = "ClarifyCheck"
    EMR = "EMR"
    EMR_SERVERLESS = "EMRServerless"
    FAIL = "Fail"
    AUTO_ML = "AutoML"
    ENDPOINT_CONFIG = "EndpointConfig"
    ENDPOINT = "Endpoint"
    INFERENCE_COMPONENT = "InferenceComponent"
    LINEAGE = "Lineage"
    JOB = "Job"
    CLEANUP = "Cleanup"
    FOR_EACH = "ForEach"
    ATHENA = "Athena"
    HUB_CONTENT = "HubContent"
    BEDROCK_CUSTOM_MODEL = "BedrockCustomModel"
    BEDROCK_CUSTOM_MODEL_DEPLOYMENT = "BedrockCustomModelDeployment"
    BEDROCK_PROVISIONED_MODEL_THROUGHPUT = "BedrockProvisionedModelThroughput"
    BEDROCK_MODEL_IMPORT = "BedrockModelImport"


UNDOCUMENTED_KINDS: Final = frozenset(
    {
        StepKind.ATHENA,
        StepKind.HUB_CONTENT,
        StepKind.BEDROCK_CUSTOM_MODEL,
        StepKind.BEDROCK_CUSTOM_MODEL_DEPLOYMENT,
        StepKind.BEDROCK_PROVISIONED_MODEL_THROUGHPUT,
        StepKind.BEDROCK_MODEL_IMPORT,
    }
)
"""Kinds that no SDK writes and whose vocabulary nobody publishes: they are taken as they are written."""


class ParameterType(StrEnum):
    """A pipeline parameter's ``Type``."""

    STRING = "String"
    INTEGER = "Integer"
    BOOLEAN = "Boolean"
    FLOAT = "Float"


class Trigger(StrEnum):
    """Which end of the upstream step lets this one start; a plain name in DependsOn means Completed."""

    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPED = "Stopped"
    ANY = "Any"


class ConditionType(StrEnum):
    """The eight condition types."""

    EQUALS = "Equals"
    GREATER_THAN = "GreaterThan"
    GREATER_THAN_OR_EQUAL_TO = "GreaterThanOrEqualTo"
    LESS_THAN = "LessThan"
    LESS_THAN_OR_EQUAL_TO = "LessThanOrEqualTo"
    IN = "In"
    NOT = "Not"
    OR = "Or"


EXECUTION_VARIABLES: Final = frozenset(
    {
        "StartDateTime",
        "CurrentDateTime",
        "PipelineName",
        "PipelineArn",
        "PipelineExecutionId",
        "PipelineExecutionArn",
        "TrainingJobName",
        "ProcessingJobName",
    }
)


class ServiceCalls(NamedTuple):
    """How a kind maps to the SageMaker API.

    Attributes:
        create: The operation whose request is the step's Arguments.
        name_member: The request member the service fills in, or None when Arguments carry the name.
        describe: The operations whose responses are the step's properties, first one first.
    """

    create: str
    name_member: str | None
    describe: tuple[str, ...]


SERVICE_CALLS: Final = MappingProxyType(
    {
        StepKind.PROCESSING: ServiceCalls("CreateProcessingJob", "ProcessingJobName", ("DescribeProcessingJob",)),
        StepKind.TRAINING: ServiceCalls("CreateTrainingJob", "TrainingJobName", ("DescribeTrainingJob",)),
        StepKind.TRANSFORM: ServiceCalls("CreateTransformJob", "TransformJobName", ("DescribeTransformJob",)),
        StepKind.TUNING: ServiceCalls(
            "CreateHyperParameterTuningJob",
            "HyperParameterTuningJobName",
            ("DescribeHyperParameterTuningJob", "ListTrainingJobsForHyperParameterTuningJob"),
        ),
        StepKind.MODEL: ServiceCalls("CreateModel", "ModelName", ("DescribeModel",)),
        StepKind.REGISTER_MODEL: ServiceCalls("CreateModelPackage", None, ("DescribeModelPackage",)),
        StepKind.QUALITY_CHECK: ServiceCalls("CreateProcessingJob", "ProcessingJobName", ()),
        StepKind.CLARIFY_CHECK: ServiceCalls("CreateProcessingJob", "ProcessingJobName", ()),
        StepKind.ENDPOINT_CONFIG: ServiceCalls("CreateEndpointConfig", None, ("DescribeEndpointConfig",)),
        StepKind.ENDPOINT: ServiceCalls("CreateEndpoint", None, ("DescribeEndpoint",)),
        StepKind.INFERENCE_COMPONENT: ServiceCalls("CreateInferenceComponent", None, ("DescribeInferenceComponent",)),
        StepKind.AUTO_ML: ServiceCalls("CreateAutoMLJobV2", "AutoMLJobName", ("DescribeAutoMLJobV2",)),
        StepKind.JOB: ServiceCalls("CreateJob", "JobName", ("DescribeJob",)),
    }
)
"""Kinds whose Arguments are a SageMaker request; the others carry a vocabulary of their own."""
