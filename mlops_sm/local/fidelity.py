"""What a job on this machine does with every member of its request: honoured, ignored with a warning, or refused.

A line covers the members below its path unless they have a line of their own. `preflight` reads this table, and a test
compares it with the service's model, so that a new member of the API cannot be ignored in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.definition.kinds import StepKind


@dataclass(frozen=True, slots=True)
class Honoured:
    """The job behaves as on AWS."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """The job runs without it; `what` says what that means. One warning per execution and value of this class."""

    code: str
    what: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The step cannot run here; `what` says why and `fix` what to do."""

    code: str
    what: str
    fix: str


Treatment = Honoured | Ignored | Refused

HONOURED: Final = Honoured()


@dataclass(frozen=True, slots=True)
class Member:
    """What is done with one member of a request.

    Attributes:
        treatment: For every value but those below.
        values: Values with a treatment of their own.
    """

    treatment: Treatment
    values: Mapping[Json, Treatment] = field(default_factory=dict)

    def of(self, value: Json) -> Treatment:
        """The treatment of a value; of a value that is not known yet when it is an expression."""
        return self.values.get(value, self.treatment) if isinstance(value, str | int | bool) else self.treatment


_HARDWARE: Final = Ignored("W401", "Instance types and volume sizes: jobs use this machine as it is")
_INSTANCES_OF_BATCH: Final = Ignored("W414", "Instances of batch transform: one does the work of all")
_ROLE: Final = Ignored("W402", "Execution roles: jobs have no AWS permissions to be limited")
_KEYS: Final = Ignored("W403", "KMS keys: nothing is encrypted on this machine")
_VPC: Final = Ignored("W404", "VPC settings and encryption between instances: jobs use this machine's network")
_PENDING: Final = Ignored("W405", "Limits for pending jobs: a job starts as soon as this machine has room for it")
_DEBUGGER: Final = Ignored("W406", "Debugger, Profiler and TensorBoard settings: nothing is collected")
MLFLOW: Final = Ignored("W407", "MLflow settings: no MLflow server runs on this machine")
_PLATFORM: Final = Ignored("W408", "Platform settings (warm pools, placement, remote debugging, health checks)")

_FILE_SYSTEM: Final = Refused(
    "E404", "EFS and FSx file systems cannot be mounted on this machine", "Read the data from S3 with an S3DataSource."
)
_DATASET: Final = Refused(
    "E404", "queries of Athena and Redshift cannot run on this machine", "Read the data from S3 with an S3Input."
)
_FEATURE_STORE: Final = Refused(
    "E404", "there is no Feature Store on this machine", "Write to S3 with an S3Output and ingest on AWS."
)
_MARKETPLACE: Final = Refused(
    "E404", "algorithms of the Marketplace run only on AWS", "Use a TrainingImage that stands for Python here."
)
_SERVERLESS: Final = Refused(
    "E404", "serverless model customization runs only on AWS", "Run this step with --env on an AWS account."
)
_CONVERSE: Final = Refused("E404", "data of this type is read only on AWS", 'Use S3DataType "S3Prefix".')

_PROCESSING: Final[Mapping[str, Member]] = {
    "ProcessingJobName": Member(HONOURED),
    "ProcessingInputs[].InputName": Member(HONOURED),
    "ProcessingInputs[].AppManaged": Member(HONOURED),
    "ProcessingInputs[].S3Input": Member(HONOURED),
    "ProcessingInputs[].S3Input.S3InputMode": Member(HONOURED),
    "ProcessingInputs[].S3Input.S3CompressionType": Member(HONOURED),
    "ProcessingInputs[].DatasetDefinition": Member(_DATASET),
    "ProcessingOutputConfig.Outputs[].OutputName": Member(HONOURED),
    "ProcessingOutputConfig.Outputs[].AppManaged": Member(HONOURED),
    "ProcessingOutputConfig.Outputs[].S3Output": Member(HONOURED),
    "ProcessingOutputConfig.Outputs[].S3Output.S3UploadMode": Member(HONOURED),
    "ProcessingOutputConfig.Outputs[].FeatureStoreOutput": Member(_FEATURE_STORE),
    "ProcessingOutputConfig.KmsKeyId": Member(_KEYS),
    "ProcessingResources.ClusterConfig": Member(_HARDWARE),
    "ProcessingResources.ClusterConfig.InstanceCount": Member(HONOURED),
    "ProcessingResources.ClusterConfig.InstancePreferences[].InstanceCount": Member(HONOURED),
    "ProcessingResources.ClusterConfig.SelectedInstanceCount": Member(HONOURED),
    "ProcessingResources.ClusterConfig.VolumeKmsKeyId": Member(_KEYS),
    "StoppingCondition": Member(HONOURED),
    "AppSpecification": Member(HONOURED),
    "Environment": Member(HONOURED),
    "NetworkConfig.EnableNetworkIsolation": Member(HONOURED),
    "NetworkConfig.EnableInterContainerTrafficEncryption": Member(_VPC),
    "NetworkConfig.VpcConfig": Member(_VPC),
    "RoleArn": Member(_ROLE),
    "Tags": Member(HONOURED),
    "ExperimentConfig": Member(HONOURED),
}

_TRAINING: Final[Mapping[str, Member]] = {
    "TrainingJobName": Member(HONOURED),
    "HyperParameters": Member(HONOURED),
    "AlgorithmSpecification": Member(HONOURED),
    "AlgorithmSpecification.AlgorithmName": Member(_MARKETPLACE),
    "AlgorithmSpecification.TrainingInputMode": Member(HONOURED),
    "AlgorithmSpecification.TrainingImageConfig": Member(_PLATFORM),
    "AlgorithmSpecification.EnableSageMakerMetricsTimeSeries": Member(HONOURED),
    "RoleArn": Member(_ROLE),
    "InputDataConfig[].ChannelName": Member(HONOURED),
    "InputDataConfig[].ContentType": Member(HONOURED),
    "InputDataConfig[].RecordWrapperType": Member(HONOURED),
    "InputDataConfig[].CompressionType": Member(HONOURED),
    "InputDataConfig[].InputMode": Member(HONOURED),
    "InputDataConfig[].ShuffleConfig": Member(HONOURED),
    "InputDataConfig[].DataSource.S3DataSource": Member(HONOURED),
    "InputDataConfig[].DataSource.S3DataSource.S3DataType": Member(HONOURED, {"Converse": _CONVERSE}),
    "InputDataConfig[].DataSource.S3DataSource.AttributeNames": Member(HONOURED),
    "InputDataConfig[].DataSource.S3DataSource.ModelAccessConfig": Member(_PLATFORM),
    "InputDataConfig[].DataSource.S3DataSource.HubAccessConfig": Member(_SERVERLESS),
    "InputDataConfig[].DataSource.FileSystemDataSource": Member(_FILE_SYSTEM),
    "InputDataConfig[].DataSource.DatasetSource": Member(_SERVERLESS),
    "OutputDataConfig": Member(HONOURED),
    "OutputDataConfig.KmsKeyId": Member(_KEYS),
    "ResourceConfig": Member(_PLATFORM),
    "ResourceConfig.InstanceType": Member(_HARDWARE),
    "ResourceConfig.VolumeSizeInGB": Member(_HARDWARE),
    "ResourceConfig.SelectedInstanceType": Member(_HARDWARE),
    "ResourceConfig.InstancePreferences": Member(_HARDWARE),
    "ResourceConfig.InstancePreferences[].InstanceCount": Member(HONOURED),
    "ResourceConfig.InstanceGroups": Member(HONOURED),
    "ResourceConfig.InstanceGroups[].InstanceType": Member(_HARDWARE),
    "ResourceConfig.InstanceCount": Member(HONOURED),
    "ResourceConfig.SelectedInstanceCount": Member(HONOURED),
    "ResourceConfig.VolumeKmsKeyId": Member(_KEYS),
    "VpcConfig": Member(_VPC),
    "StoppingCondition.MaxRuntimeInSeconds": Member(HONOURED),
    "StoppingCondition.MaxWaitTimeInSeconds": Member(HONOURED),
    "StoppingCondition.MaxPendingTimeInSeconds": Member(_PENDING),
    "Tags": Member(HONOURED),
    "EnableNetworkIsolation": Member(HONOURED),
    "EnableInterContainerTrafficEncryption": Member(_VPC),
    "EnableManagedSpotTraining": Member(HONOURED),
    "CheckpointConfig": Member(HONOURED),
    "DebugHookConfig": Member(_DEBUGGER),
    "DebugRuleConfigurations": Member(_DEBUGGER),
    "TensorBoardOutputConfig": Member(_DEBUGGER),
    "ExperimentConfig": Member(HONOURED),
    "ProfilerConfig": Member(_DEBUGGER),
    "ProfilerConfig.DisableProfiler": Member(HONOURED),
    "ProfilerRuleConfigurations": Member(_DEBUGGER),
    "Environment": Member(HONOURED),
    "RetryStrategy": Member(HONOURED),
    "RemoteDebugConfig": Member(_PLATFORM),
    "InfraCheckConfig": Member(_PLATFORM),
    "SessionChainingConfig": Member(_PLATFORM),
    "ServerlessJobConfig": Member(_SERVERLESS),
    "MlflowConfig": Member(MLFLOW),
    "ModelPackageConfig": Member(_SERVERLESS),
}

_RECORDS: Final = Refused(
    "E404", "records of RecordIO and TFRecord are not split on this machine", 'Use SplitType "Line" or "None".'
)
_MANIFEST_ONLY: Final = Refused(
    "E404", "batch transform takes no data of this type", 'Use S3DataType "S3Prefix" or "ManifestFile".'
)

_TRANSFORM: Final[Mapping[str, Member]] = {
    "TransformJobName": Member(HONOURED),
    "ModelName": Member(HONOURED),
    "MaxConcurrentTransforms": Member(HONOURED),
    "ModelClientConfig": Member(HONOURED),
    "MaxPayloadInMB": Member(HONOURED),
    "BatchStrategy": Member(HONOURED),
    "Environment": Member(HONOURED),
    "TransformInput": Member(HONOURED),
    "TransformInput.SplitType": Member(HONOURED, {"RecordIO": _RECORDS, "TFRecord": _RECORDS}),
    "TransformInput.DataSource.S3DataSource.S3DataType": Member(
        HONOURED, {"AugmentedManifestFile": _MANIFEST_ONLY, "Converse": _MANIFEST_ONLY}
    ),
    "TransformOutput": Member(HONOURED),
    "TransformOutput.KmsKeyId": Member(_KEYS),
    "DataCaptureConfig": Member(HONOURED),
    "DataCaptureConfig.KmsKeyId": Member(_KEYS),
    "TransformResources": Member(_HARDWARE),
    "TransformResources.InstanceCount": Member(_INSTANCES_OF_BATCH, {1: HONOURED}),
    "TransformResources.VolumeKmsKeyId": Member(_KEYS),
    "DataProcessing": Member(HONOURED),
    "Tags": Member(HONOURED),
    "ExperimentConfig": Member(HONOURED),
}

_TUNED: Final = ("DefinitionName", "TuningObjective", "HyperParameterRanges", "StaticHyperParameters")
TUNED_AND_TRAINED: Final = (
    "AlgorithmSpecification",
    "RoleArn",
    "InputDataConfig",
    "VpcConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "StoppingCondition",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
    "CheckpointConfig",
    "RetryStrategy",
    "Environment",
)
"""Members of a training job that are those of its tuning job's definition."""
_NOT_TUNED: Final = ("TrainingImageConfig", "EnableSageMakerMetricsTimeSeries", "Container")


def _tuning_definition(prefix: str) -> dict[str, Member]:
    lines = {
        **{name: Member(HONOURED) for name in _TUNED},
        **{
            line: member
            for line, member in _TRAINING.items()
            if line.split(".")[0].removesuffix("[]") in TUNED_AND_TRAINED
            and not line.startswith(tuple(f"AlgorithmSpecification.{name}" for name in _NOT_TUNED))
        },
        "HyperParameterTuningResourceConfig": Member(_HARDWARE),
        "HyperParameterTuningResourceConfig.InstanceCount": Member(HONOURED),
        "HyperParameterTuningResourceConfig.InstanceConfigs[].InstanceCount": Member(HONOURED),
        "HyperParameterTuningResourceConfig.VolumeKmsKeyId": Member(_KEYS),
    }
    return {f"{prefix}.{line}": member for line, member in lines.items()}


_TUNING: Final[Mapping[str, Member]] = {
    "HyperParameterTuningJobName": Member(HONOURED),
    "HyperParameterTuningJobConfig": Member(HONOURED),
    "WarmStartConfig": Member(HONOURED),
    "Tags": Member(HONOURED),
    "Autotune": Member(HONOURED),
    **_tuning_definition("TrainingJobDefinition"),
    **_tuning_definition("TrainingJobDefinitions[]"),
}

_SERVERS: Final = Ignored("W430", "Machines of endpoints: a variant is one server with a process for each core")
_FLEET: Final = Ignored(
    "W431",
    "Platform settings of endpoints (volumes, AMIs, SSM, core dumps, placement, caches, downloads, metrics)",
)
_ROUTING: Final = Ignored("W432", "Routing between instances of a variant: there is one")
_PROVISIONED: Final = Ignored("W433", "Provisioned concurrency: serverless variants are always warm")
_EXPLAINER: Final = Refused(
    "E440", "Clarify's explainer runs only on AWS", "Leave ExplainerConfig out for the local environment."
)
_ADAPTER: Final = Refused(
    "E441",
    "adapters and components with a specification for each instance type run only on AWS",
    "Give one Specification with a ModelName or a Container.",
)


def _variants(prefix: str) -> dict[str, Member]:
    lines = {
        "VariantName": Member(HONOURED),
        "ModelName": Member(HONOURED),
        "InitialInstanceCount": Member(_SERVERS),
        "InstanceType": Member(_SERVERS),
        "InstancePools": Member(_SERVERS),
        "VariantInstanceProvisionTimeoutInSeconds": Member(_SERVERS),
        "InitialVariantWeight": Member(HONOURED),
        "AcceleratorType": Member(_SERVERS),
        "CoreDumpConfig": Member(_FLEET),
        "ServerlessConfig": Member(HONOURED),
        "ServerlessConfig.MemorySizeInMB": Member(_SERVERS),
        "ServerlessConfig.ProvisionedConcurrency": Member(_PROVISIONED),
        "VolumeSizeInGB": Member(_FLEET),
        "ModelDataDownloadTimeoutInSeconds": Member(_FLEET),
        "ContainerStartupHealthCheckTimeoutInSeconds": Member(HONOURED),
        "EnableSSMAccess": Member(_FLEET),
        "ManagedInstanceScaling": Member(_SERVERS),
        "RoutingConfig": Member(_ROUTING),
        "InferenceAmiVersion": Member(_FLEET),
        "CapacityReservationConfig": Member(_SERVERS),
        "AcceleratorPartitionLayouts": Member(_SERVERS),
    }
    return {f"{prefix}[].{line}": member for line, member in lines.items()}


_ENDPOINT_CONFIG: Final[Mapping[str, Member]] = {
    "EndpointConfigName": Member(HONOURED),
    **_variants("ProductionVariants"),
    **_variants("ShadowProductionVariants"),
    "DataCaptureConfig": Member(HONOURED),
    "DataCaptureConfig.KmsKeyId": Member(_KEYS),
    "Tags": Member(HONOURED),
    "KmsKeyId": Member(_KEYS),
    "AsyncInferenceConfig": Member(HONOURED),
    "AsyncInferenceConfig.OutputConfig.KmsKeyId": Member(_KEYS),
    "ExplainerConfig": Member(_EXPLAINER),
    "ExecutionRoleArn": Member(_ROLE),
    "VpcConfig": Member(_VPC),
    "EnableNetworkIsolation": Member(HONOURED),
    "MetricsConfig": Member(_FLEET),
    "CrossRegionTrafficConfig": Member(_FLEET),
}

_ENDPOINT: Final[Mapping[str, Member]] = {
    "EndpointName": Member(HONOURED),
    "EndpointConfigName": Member(HONOURED),
    "DeploymentConfig": Member(HONOURED),
    "Tags": Member(HONOURED),
}

_INFERENCE_COMPONENT: Final[Mapping[str, Member]] = {
    "InferenceComponentName": Member(HONOURED),
    "EndpointName": Member(HONOURED),
    "VariantName": Member(HONOURED),
    "Specification.InstanceType": Member(_SERVERS),
    "Specification.ModelName": Member(HONOURED),
    "Specification.Container": Member(HONOURED),
    "Specification.Container.ContainerMetricsConfig": Member(_FLEET),
    "Specification.StartupParameters": Member(HONOURED),
    "Specification.StartupParameters.ModelDataDownloadTimeoutInSeconds": Member(_FLEET),
    "Specification.ComputeResourceRequirements": Member(_SERVERS),
    "Specification.BaseInferenceComponentName": Member(_ADAPTER),
    "Specification.DataCacheConfig": Member(_FLEET),
    "Specification.SchedulingConfig": Member(_FLEET),
    "Specifications": Member(_ADAPTER),
    "RuntimeConfig": Member(HONOURED),
    "Tags": Member(HONOURED),
}

FIDELITY: Final[Mapping[StepKind, Mapping[str, Member]]] = MappingProxyType(
    {
        StepKind.PROCESSING: _PROCESSING,
        StepKind.TRAINING: _TRAINING,
        StepKind.TRANSFORM: _TRANSFORM,
        StepKind.TUNING: _TUNING,
        StepKind.ENDPOINT_CONFIG: _ENDPOINT_CONFIG,
        StepKind.ENDPOINT: _ENDPOINT,
        StepKind.INFERENCE_COMPONENT: _INFERENCE_COMPONENT,
    }
)
"""Request members of the kinds whose jobs and servers run here. Models and packages are only kept, all of them."""

JOBS: Final[Mapping[StepKind, StepKind]] = MappingProxyType(
    {
        **{kind: kind for kind in FIDELITY},
        StepKind.QUALITY_CHECK: StepKind.PROCESSING,
        StepKind.CLARIFY_CHECK: StepKind.PROCESSING,
    }
)
"""The kinds of steps that run a job or deploy a server, and the kind of `FIDELITY` whose request theirs is."""


def treatment_of(kind: StepKind, path: str) -> Member | None:
    """The line that covers a member, the most specific one; None when the table does not know it.

    Args:
        kind: A kind of `FIDELITY`.
        path: Members separated by dots, ``[]`` after a list, e.g. ``InputDataConfig[].InputMode``.
    """
    table = FIDELITY[kind]
    while path:
        if path in table:
            return table[path]
        path = path[:-2] if path.endswith("[]") else path.rpartition(".")[0]
    return None
