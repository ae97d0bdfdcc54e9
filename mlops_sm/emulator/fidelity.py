"""How true the local account is to AWS, as data: who answers an operation, which members have no effect, what differs.

The page ``docs/fidelity.md`` is made from this, from the operations themselves and from `mlops_sm.local.fidelity`;
tests hold each against the service's model and against what the operations do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from mlops_sm.emulator.absent import why_absent
from mlops_sm.emulator.events.announcements import ANNOUNCEMENTS, EXECUTION, STEP
from mlops_sm.emulator.sagemaker import OPERATIONS
from mlops_sm.emulator.sagemaker.records_table import OPERATIONS as RECORDS


class Standing(StrEnum):
    """Who answers an operation of SageMaker's control plane."""

    BY_HAND = "by hand"
    RECORD = "record"
    REFUSED = "refused"


def standing(operation: str) -> Standing:
    """Who answers an operation; one that nobody knows is refused."""
    if operation in RECORDS:
        return Standing.RECORD
    return Standing.BY_HAND if operation in OPERATIONS else Standing.REFUSED


@dataclass(frozen=True, slots=True)
class Kept:
    """A member that is kept and shown, and has no effect; `why` says why not."""

    why: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A member for which a request is refused; `why` says why."""

    why: str


Treatment = Kept | Refused

_ROLE: Final = Kept("jobs have no AWS permissions to be limited")
_ONE_KIND: Final = Refused("a component is deployed in one way whatever the instance type")
_AT_ONCE: Final = Kept("all copies are replaced at once, when the new ones serve")
_PROVISIONED: Final = Refused("Service Catalog and CloudFormation's templates exist only on AWS")
_CUSTOMIZED: Final = Refused("serverless model customization runs only on AWS")

MEMBERS: Final[Mapping[str, Mapping[str, Treatment]]] = MappingProxyType(
    {
        "CreateModel": {
            "ExecutionRoleArn": _ROLE,
            "VpcConfig": Kept("servers of models use this machine's network"),
        },
        "CreateModelPackage": {
            "ValidationSpecification": Refused(
                "no transform job is started to validate a package here, unless SkipModelValidation is All"
            ),
            "CertifyForMarketplace": Kept("the Marketplace exists only on AWS"),
            "SecurityConfig": Kept("nothing is encrypted on this machine"),
        },
        "CreateEndpointConfig": {"ExplainerConfig": Refused("Clarify's explainer runs only on AWS")},
        "CreateInferenceComponent": {"Specifications": _ONE_KIND},
        "UpdateInferenceComponent": {"Specifications": _ONE_KIND, "DeploymentConfig": _AT_ONCE},
        "CreateEndpoint": {"DeploymentConfig": Kept("a first deployment has no traffic to shift")},
        "CreatePipeline": {"RoleArn": _ROLE},
        "UpdatePipeline": {"RoleArn": _ROLE},
        "StartPipelineExecution": {"MlflowExperimentName": Refused("no MLflow server runs on this machine")},
        "CreateTrainingJob": {"ServerlessJobConfig": _CUSTOMIZED, "ModelPackageConfig": _CUSTOMIZED},
        "CreateAlgorithm": {
            "ValidationSpecification": Refused("nothing is validated by jobs here"),
            "CertifyForMarketplace": Refused("the Marketplace exists only on AWS"),
        },
        "CreateDeviceFleet": {"EnableIotRoleAlias": Refused("IoT has no role aliases here")},
        "UpdateDeviceFleet": {"EnableIotRoleAlias": Refused("IoT has no role aliases here")},
        "CreateProject": {"ServiceCatalogProvisioningDetails": _PROVISIONED, "TemplateProviders": _PROVISIONED},
        "UpdateProject": {
            "ServiceCatalogProvisioningUpdateDetails": _PROVISIONED,
            "TemplateProvidersToUpdate": _PROVISIONED,
        },
    }
)
"""Top-level members of requests that have no effect or are refused, beside those of `mlops_sm.local.fidelity`.

Members of records are kept and shown without effect, all of them, but for those that are refused here.
"""


class Neighbour(NamedTuple):
    """A service beside SageMaker's control plane.

    Attributes:
        name: As people call it.
        services: botocore's ids.
        does: What happens here.
        differs: What is known to be different from AWS.
    """

    name: str
    services: tuple[str, ...]
    does: str
    differs: str


NEIGHBOURS: Final = (
    Neighbour(
        "S3",
        ("s3", "s3-control"),
        "objects and versions are files of the state directory; notifications reach queues, topics, functions and "
        "EventBridge",
        "nothing is encrypted and KMS keys need not exist; a bucket policy's Deny holds without its conditions; object "
        "lock can be set on empty buckets only",
    ),
    Neighbour(
        "CloudWatch Logs",
        ("cloudwatch-logs",),
        "the logs of jobs and functions are there, under AWS's names",
        "queries of Logs Insights are not evaluated; metric filters make no metrics",
    ),
    Neighbour(
        "IAM",
        ("iam",),
        "policies can be simulated; AWS's managed policies are there when they are named",
        "requests are not authorized: whoever asks may do everything",
    ),
    Neighbour(
        "STS",
        ("sts",),
        "credentials of an assumed role act in that role's account",
        "any role can be assumed, whatever its trust policy says",
    ),
    Neighbour(
        "KMS",
        ("kms",),
        "keys, aliases, grants, encryption, signatures",
        "a key that is disabled still encrypts",
    ),
    Neighbour(
        "EventBridge",
        ("eventbridge",),
        "events of SageMaker, of S3 and of clients are matched and delivered to queues, topics, functions, pipelines, "
        "log groups, buses, archives, state machines, streams and API destinations on this machine; schedules of rules "
        "fire by the account's clock",
        "what targets of other services should get goes to the dead-letter queue",
    ),
    Neighbour(
        "EventBridge Scheduler",
        ("scheduler",),
        "schedules fire by the account's clock, universal targets included",
        "a flexible time window is taken at its beginning",
    ),
    Neighbour(
        "SNS",
        ("sns",),
        "topics deliver to queues, functions and HTTP endpoints of this machine",
        "nothing is sent by e-mail, SMS or to mobile devices",
    ),
    Neighbour("SQS", ("sqs",), "queues with visibility, delays, dead letters and FIFO order", "-"),
    Neighbour(
        "Lambda",
        ("lambda",),
        "a function's archive runs in a process of its own, with the account as its AWS; queues call functions too",
        "only Python runs, with this machine's interpreter whatever runtime is named; container images do not; memory "
        "is not limited",
    ),
    Neighbour(
        "CloudWatch",
        ("cloudwatch",),
        "alarms are evaluated by the account's clock and act; composite alarms and history too",
        "anomaly detection is refused; AWS's own metrics of machines are not collected",
    ),
    Neighbour("SageMaker Metrics", ("sagemaker-metrics",), "metrics of trial components are kept and read back", "-"),
    Neighbour(
        "SageMaker Runtime",
        ("sagemaker-runtime",),
        "endpoints answer with the models they deploy, in processes of this machine; requests are measured in "
        "CloudWatch and captured in S3",
        "a variant has one process for each core, whatever its instances; explanations and stateful sessions are "
        "refused",
    ),
    Neighbour(
        "Feature Store Runtime, A2I, Edge, Geospatial",
        ("sagemaker-featurestore-runtime", "sagemaker-a2i-runtime", "sagemaker-edge"),
        "every operation answers that it is not available",
        "feature records are not kept on this machine yet",
    ),
    Neighbour(
        "Every other service",
        (),
        "as moto answers it; its state is kept like that of the others",
        "what moto differs in: see [moto's list of services](https://docs.getmoto.org/en/latest/docs/services/)",
    ),
)
"""What stands beside SageMaker's control plane."""


def announced() -> tuple[str, ...]:
    """The detail-types of the events that SageMaker's resources here cause."""
    caused = (one.detail_type for one in ANNOUNCEMENTS if standing(f"Create{one.noun}") is not Standing.REFUSED)
    return (EXECUTION, STEP, *caused)


def reasons(operations: list[str]) -> dict[str, list[str]]:
    """Refused operations by the reason."""
    grouped: dict[str, list[str]] = {}
    for operation in operations:
        if standing(operation) is Standing.REFUSED:
            grouped.setdefault(why_absent(operation), []).append(operation)
    return grouped
