"""Which families of SageMaker's resources are records here, and what each leaves out.

What is said of names that nobody has is what a client looks for that has to tell it from other errors: Terraform's
provider for AWS (hashicorp/terraform-provider-aws, internal/service/sagemaker).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.sagemaker import (
    endpoints_configs,
    records_cards,
    records_devices,
    records_features,
    records_hubs,
    records_images,
    records_rules,
)
from mlops_sm.emulator.sagemaker.records import (
    IN_USE,
    INVALID,
    NOT_FOUND,
    Family,
    operations_of,
)
from mlops_sm.emulator.service import Operation

_STUDIO: Final = "A record: there is no Studio here, so nothing opens it"
_HUMANS: Final = "A record: there are no workers here, so no task is ever shown to one"
_MONITORING: Final = "A record: no schedule runs it yet"
_IN_SERVICE: Final[Mapping[str, Json]] = {"Status": "InService"}
_DATES: Final = ("CreateDate", "LastUpdatedDate")


def _job_definition(prefix: str) -> Family:
    """A job definition of Model Monitor; the four families differ in one word."""
    return Family(
        name=f"{prefix}JobDefinition",
        resource=f"{records_rules.kebab(prefix)}-job-definition",
        what=_MONITORING,
        key=("JobDefinitionName",),
        arn="JobDefinitionArn",
        made=records_rules.job_definition,
        summary=records_rules.job_definition_summary(f"{prefix}JobInput"),
        descending=True,
        updatable=False,
    )


_FAMILIES: Final = (
    Family(
        name="AIWorkloadConfig",
        resource="ai-workload-config",
        what="A record: no benchmark or recommendation job runs here",
        descending=True,
        updatable=False,
    ),
    Family(
        name="Algorithm",
        resource="algorithm",
        what="A record: training jobs that name one are refused, and it is never validated or sold",
        members={"AlgorithmStatus": "Completed", "AlgorithmStatusDetails": {}, "CertifyForMarketplace": False},
        refused=("ValidationSpecification", "CertifyForMarketplace"),
        duplicate=(INVALID, "Algorithm already exists: {arn}"),
        missing=(INVALID, "Algorithm {arn} does not exist."),
        updatable=False,
    ),
    Family(
        name="AppImageConfig",
        resource="app-image-config",
        what=_STUDIO,
        descending=True,
    ),
    Family(
        name="CodeRepository",
        plural="CodeRepositories",
        resource="code-repository",
        what="A record: nothing is cloned",
        changes=records_rules.code_repository_changes,
        duplicate=(INVALID, "Cannot create a duplicate code repository: {arn}"),
        missing=(INVALID, "Cannot find CodeRepository: {arn}"),
        sort="Name",
    ),
    _job_definition("DataQuality"),
    _job_definition("ModelBias"),
    _job_definition("ModelExplainability"),
    _job_definition("ModelQuality"),
    records_devices.FLEETS,
    Family(
        name="Domain",
        resource="domain",
        what=f"{_STUDIO}; no file system, network or single sign-on is made for it",
        key=("DomainId",),
        generated="d-",
        unique="DomainName",
        children=("Space", "UserProfile"),
        members={**_IN_SERVICE, "AppNetworkAccessType": "PublicInternetOnly"},
        changes=records_rules.domain_changes,
        duplicate=(IN_USE, "A domain with the name {name} already exists."),
        missing=(NOT_FOUND, "Domain {name} does not exist."),
    ),
    Family(
        name="EndpointConfig",
        resource="endpoint-config",
        what="A record whose models must exist; endpoints keep a copy of what they deploy",
        refused=("ExplainerConfig",),
        members={"EnableNetworkIsolation": False},
        made=endpoints_configs.endpoint_config,
        duplicate=(INVALID, 'Cannot create already existing endpoint configuration "{arn}".'),
        missing=(INVALID, 'Could not find endpoint configuration "{arn}".'),
        descending=True,
        updatable=False,
    ),
    records_features.GROUPS,
    Family(
        name="FlowDefinition",
        resource="flow-definition",
        what=_HUMANS,
        members={"FlowDefinitionStatus": "Active"},
        descending=True,
        updatable=False,
    ),
    records_hubs.HUBS,
    Family(
        name="HumanTaskUi",
        resource="human-task-ui",
        what=_HUMANS,
        members={"HumanTaskUiStatus": "Active"},
        descending=True,
        made=records_rules.human_task_ui,
        updatable=False,
    ),
    records_images.IMAGES,
    Family(
        name="MlflowApp",
        resource="mlflow-app",
        what="A record: no MLflow runs behind it, so it has no URL",
        key=("Arn",),
        generated="app-",
        upper=True,
        unique="Name",
        arn="Arn",
        members={
            "Status": "Created",
            "ModelRegistrationMode": "AutoModelRegistrationDisabled",
            "AccountDefaultStatus": "DISABLED",
            "CreatedBy": {},
        },
        filters={"DefaultForDomainId": lambda members, domain: domain in (members.get("DefaultDomainIdList") or [])},
        duplicate=(INVALID, "An MLflow App with the name {name} already exists."),
        descending=True,
    ),
    Family(
        name="MlflowTrackingServer",
        resource="mlflow-tracking-server",
        what="A record: no MLflow runs behind it, so it has no URL and is never active",
        key=("TrackingServerName",),
        arn="TrackingServerArn",
        members={
            "TrackingServerStatus": "Created",
            "IsActive": "Inactive",
            "TrackingServerSize": "Small",
            "AutomaticModelRegistration": False,
            "CreatedBy": {},
        },
        duplicate=(INVALID, "Tracking server {arn} already exists."),
        descending=True,
    ),
    records_cards.CARDS,
    Family(
        name="NotebookInstanceLifecycleConfig",
        resource="notebook-instance-lifecycle-config",
        what="A record: there are no notebook instances here to run it",
        descending=True,
        duplicate=(
            INVALID,
            "Failed to create Notebook Instance Lifecycle Config because a config with the same name already exists: "
            "{arn}",
        ),
        missing=(INVALID, "Unable to describe Notebook Instance Lifecycle Config '{arn}'. (Details: No such config)."),
    ),
    Family(
        name="Project",
        resource="project",
        what="A record without resources: its templates are Service Catalog's and CloudFormation's",
        members={"ProjectStatus": "CreateCompleted", "CreatedBy": {}},
        refused=(
            "ServiceCatalogProvisioningDetails",
            "TemplateProviders",
            "ServiceCatalogProvisioningUpdateDetails",
            "TemplateProvidersToUpdate",
        ),
        made=records_rules.project,
        changes=records_rules.project_changes,
        duplicate=(INVALID, "Project name already exists: {arn}"),
        missing=(INVALID, "Project {name} does not exist."),
    ),
    Family(
        name="Space",
        resource="space",
        what=_STUDIO,
        key=("DomainId", "SpaceName"),
        owner=("Domain", "DomainId"),
        members=_IN_SERVICE,
        made=records_rules.space,
        summary=records_rules.space_summary,
    ),
    Family(
        name="StudioLifecycleConfig",
        resource="studio-lifecycle-config",
        what=_STUDIO,
        filters={"AppTypeEquals": lambda members, kind: members["StudioLifecycleConfigAppType"] == kind},
        descending=True,
        updatable=False,
    ),
    Family(
        name="UserProfile",
        resource="user-profile",
        what=_STUDIO,
        key=("DomainId", "UserProfileName"),
        owner=("Domain", "DomainId"),
        members=_IN_SERVICE,
    ),
    Family(
        name="Workforce",
        resource="workforce",
        what=_HUMANS,
        members={"Status": "Active"},
        made=records_rules.workforce,
        changes=records_rules.workforce_changes,
        free=records_rules.free_workforce,
        duplicate=(INVALID, "Workforce {arn} already exists."),
        missing=(INVALID, "No workforce found in account with name {name}"),
        wrapped="Workforce",
        descending=True,
        times=_DATES,
    ),
    Family(
        name="Workteam",
        resource="workteam/private-crowd",
        what=_HUMANS,
        made=records_rules.workteam,
        missing=(INVALID, "The work team {arn} does not exist."),
        wrapped="Workteam",
        times=_DATES,
    ),
)

FAMILIES: Final[Mapping[str, Family]] = MappingProxyType({family.name: family for family in _FAMILIES})
"""Families whose operations are those of `operations_of`, by name."""

_PARTS: Final[Mapping[str, Mapping[str, Operation]]] = {
    "DeviceFleet": records_devices.OPERATIONS,
    "FeatureGroup": records_features.OPERATIONS,
    "Hub": records_hubs.OPERATIONS,
    "Image": records_images.OPERATIONS,
    "ModelCard": records_cards.OPERATIONS,
}
"""What else there is to ask of a family: its versions, aliases, devices and the like."""

BY_FAMILY: Final[Mapping[str, Mapping[str, Operation]]] = MappingProxyType(
    {family.name: {**operations_of(family), **_PARTS.get(family.name, {})} for family in _FAMILIES}
)
OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType(
    {name: operation for operations in BY_FAMILY.values() for name, operation in operations.items()}
)
