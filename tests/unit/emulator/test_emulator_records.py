"""Families that are records: every one of them through its whole life, by the service's model.

The requests are the smallest that botocore's model takes; the answers are checked against its output shapes.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from mlops_sm.checks.service import sagemaker_model
from mlops_sm.emulator.sagemaker.records_table import FAMILIES, OPERATIONS

ROLE = "arn:aws:iam::123456789012:role/execution"
RESOURCES = {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 5}}
OUTPUT = {"MonitoringOutputs": [{"S3Output": {"S3Uri": "s3://bucket/reports", "LocalPath": "/opt/ml/output"}}]}
READS = {"EndpointInput": {"EndpointName": "live", "LocalPath": "/opt/ml/input"}}
TRUTH = {"S3Uri": "s3://bucket/truth"}
JOB: dict[str, Any] = {"JobDefinitionName": "watch", "JobResources": RESOURCES, "RoleArn": ROLE}
TEAM = [{"CognitoMemberDefinition": {"UserPool": "us-east-1_a", "UserGroup": "g", "ClientId": "c"}}]

REQUESTS: dict[str, dict[str, Any]] = {
    "AIWorkloadConfig": {"AIWorkloadConfigName": "load"},
    "Algorithm": {
        "AlgorithmName": "mine",
        "TrainingSpecification": {
            "TrainingImage": "image",
            "SupportedTrainingInstanceTypes": ["ml.m5.large"],
            "TrainingChannels": [
                {"Name": "train", "SupportedContentTypes": ["text/csv"], "SupportedInputModes": ["File"]}
            ],
        },
    },
    "AppImageConfig": {"AppImageConfigName": "kernel"},
    "CodeRepository": {"CodeRepositoryName": "repo", "GitConfig": {"RepositoryUrl": "https://example.com/r.git"}},
    "DataQualityJobDefinition": {
        **JOB,
        "DataQualityAppSpecification": {"ImageUri": "image"},
        "DataQualityJobInput": READS,
        "DataQualityJobOutputConfig": OUTPUT,
    },
    "ModelBiasJobDefinition": {
        **JOB,
        "ModelBiasAppSpecification": {"ImageUri": "image", "ConfigUri": "s3://bucket/config"},
        "ModelBiasJobInput": {**READS, "GroundTruthS3Input": TRUTH},
        "ModelBiasJobOutputConfig": OUTPUT,
    },
    "ModelExplainabilityJobDefinition": {
        **JOB,
        "ModelExplainabilityAppSpecification": {"ImageUri": "image", "ConfigUri": "s3://bucket/config"},
        "ModelExplainabilityJobInput": READS,
        "ModelExplainabilityJobOutputConfig": OUTPUT,
    },
    "ModelQualityJobDefinition": {
        **JOB,
        "ModelQualityAppSpecification": {"ImageUri": "image"},
        "ModelQualityJobInput": {**READS, "GroundTruthS3Input": TRUTH},
        "ModelQualityJobOutputConfig": OUTPUT,
    },
    "DeviceFleet": {"DeviceFleetName": "fleet", "OutputConfig": {"S3OutputLocation": "s3://bucket/fleet"}},
    "Domain": {"DomainName": "studio", "AuthMode": "IAM", "DefaultUserSettings": {"ExecutionRole": ROLE}},
    "EndpointConfig": {
        "EndpointConfigName": "one",
        "ProductionVariants": [
            {"VariantName": "v", "ModelName": "known", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        ],
    },
    "FeatureGroup": {
        "FeatureGroupName": "customers",
        "RecordIdentifierFeatureName": "id",
        "EventTimeFeatureName": "at",
        "FeatureDefinitions": [
            {"FeatureName": "id", "FeatureType": "Integral"},
            {"FeatureName": "at", "FeatureType": "Fractional"},
        ],
        "OnlineStoreConfig": {"EnableOnlineStore": True},
    },
    "FlowDefinition": {"FlowDefinitionName": "flow", "OutputConfig": {"S3OutputPath": "s3://b/o"}, "RoleArn": ROLE},
    "Hub": {"HubName": "hub", "HubDescription": "ours"},
    "HumanTaskUi": {"HumanTaskUiName": "form", "UiTemplate": {"Content": "<form/>"}},
    "Image": {"ImageName": "picture", "RoleArn": ROLE},
    "MlflowApp": {"Name": "tracking", "ArtifactStoreUri": "s3://bucket/mlflow", "RoleArn": ROLE},
    "MlflowTrackingServer": {"TrackingServerName": "server", "ArtifactStoreUri": "s3://bucket/m", "RoleArn": ROLE},
    "ModelCard": {"ModelCardName": "card", "Content": "{}", "ModelCardStatus": "Draft"},
    "NotebookInstanceLifecycleConfig": {"NotebookInstanceLifecycleConfigName": "start"},
    "Project": {"ProjectName": "churn"},
    "Space": {"DomainId": "d-known", "SpaceName": "mine"},
    "StudioLifecycleConfig": {
        "StudioLifecycleConfigName": "start",
        "StudioLifecycleConfigContent": "c2g=",
        "StudioLifecycleConfigAppType": "JupyterLab",
    },
    "UserProfile": {"DomainId": "d-known", "UserProfileName": "me"},
    "Workforce": {
        "WorkforceName": "people",
        "CognitoConfig": {"UserPool": "us-east-1_a", "ClientId": "client"},
    },
    "Workteam": {"WorkteamName": "team", "MemberDefinitions": TEAM, "Description": "labels"},
}
UPDATES: dict[str, dict[str, Any]] = {
    "AppImageConfig": {"CodeEditorAppImageConfig": {}},
    "CodeRepository": {"GitConfig": {"SecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:s"}},
    "DeviceFleet": {"OutputConfig": {"S3OutputLocation": "s3://bucket/other"}},
    "Domain": {"AppNetworkAccessType": "VpcOnly"},
    "FeatureGroup": {"FeatureAdditions": [{"FeatureName": "age", "FeatureType": "Integral"}]},
    "Hub": {"HubDescription": "new"},
    "Image": {"Description": "new"},
    "MlflowApp": {"WeeklyMaintenanceWindowStart": "Mon:01:00"},
    "MlflowTrackingServer": {"TrackingServerSize": "Large"},
    "ModelCard": {"ModelCardStatus": "Approved"},
    "NotebookInstanceLifecycleConfig": {"OnStart": [{"Content": "c2g="}]},
    "Project": {"ProjectDescription": "new"},
    "Space": {"SpaceDisplayName": "Mine"},
    "UserProfile": {"UserSettings": {"ExecutionRole": ROLE}},
    "Workforce": {"IpAddressType": "dualstack"},
    "Workteam": {"Description": "new"},
}


def prepare(operations: Any, family: str) -> dict[str, Any]:
    """What a family's records need before they can be; the request."""
    if family == "EndpointConfig":
        operations("CreateModel", ModelName="known", PrimaryContainer={"Image": "image"}, ExecutionRoleArn=ROLE)
    request = dict(REQUESTS[family])
    if "DomainId" in request:
        request["DomainId"] = operations("CreateDomain", **REQUESTS["Domain"])["DomainId"]
    return request


def keys_of(family: str, request: dict[str, Any], created: dict[str, Any]) -> dict[str, Any]:
    return {name: {**created, **request}[name] for name in FAMILIES[family].keys}


def unwrapped(family: str, answer: dict[str, Any]) -> dict[str, Any]:
    inner: dict[str, Any] = answer[FAMILIES[family].wrapped] if FAMILIES[family].wrapped else answer
    return inner


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_record_through_its_life(operations: Any, family: str) -> None:
    model = FAMILIES[family]
    request = prepare(operations, family)
    created = operations(f"Create{family}", **request, Tags=[{"Key": "team", "Value": "ml"}])
    key = keys_of(family, request, created)

    described = unwrapped(family, operations(f"Describe{family}", **key))
    arn = described[model.arn_member]
    assert arn.startswith(f"arn:aws:sagemaker:us-east-1:123456789012:{model.resource}/")
    assert created.get(model.arn_member, arn) == arn
    shape = sagemaker_model().operation_model(f"Describe{family}").output_shape
    shape = shape.members[model.wrapped] if model.wrapped else shape
    same = {name: value for name, value in request.items() if name in shape.members and name not in {"UiTemplate"}}
    for name, value in same.items():
        assert name in described
        if isinstance(value, str | int | bool):
            assert described[name] == value
    assert operations("ListTags", ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "ml"}]

    plural = model.plural or f"{family}s"
    answer = operations(f"List{plural}")
    (summaries,) = [value for value in answer.values() if isinstance(value, list)]
    assert len(summaries) == 1

    if family not in {"Domain", "Workforce", "MlflowApp"}:
        code, message = operations.refused(f"Create{family}", **request)
        errors = {error.name for error in sagemaker_model().operation_model(f"Create{family}").error_shapes}
        assert code in errors | {"ValidationException"}
        assert "exist" in message or "duplicate" in message

    if model.updatable:
        operations(f"Update{family}", **key, **UPDATES[family])
        changed = unwrapped(family, operations(f"Describe{family}", **key))
        assert changed[model.times[1]] >= described[model.times[1]]
        for name, value in UPDATES[family].items():
            if name in changed and isinstance(value, str):
                assert changed[name] == value
        for name in described.keys() - UPDATES[family].keys() - {model.times[1], "LastUpdateStatus"}:
            if name not in {"FeatureDefinitions"}:
                assert changed[name] == described[name]

    operations(f"Delete{family}", **key)
    code, _ = operations.refused(f"Describe{family}", **key)
    errors = {error.name for error in sagemaker_model().operation_model(f"Describe{family}").error_shapes}
    # A family whose Describe documents no error answers with the one that every operation has; so do device fleets.
    found = "ResourceNotFound" in errors and family != "DeviceFleet"
    assert code == ("ResourceNotFound" if found else "ValidationException")
    assert [value for value in operations(f"List{plural}").values() if isinstance(value, list)] == [[]]
    code, _ = operations.refused(f"Delete{family}", **key)
    assert code in {"ResourceNotFound", "ValidationException"}


@pytest.mark.parametrize(
    ("family", "key", "words"),
    [
        ("CodeRepository", {"CodeRepositoryName": "x"}, "Cannot find CodeRepository"),
        ("DeviceFleet", {"DeviceFleetName": "x"}, "No devicefleet with name"),
        ("Device", {"DeviceFleetName": "x", "DeviceName": "y"}, "No device with name"),
        ("EndpointConfig", {"EndpointConfigName": "x"}, "Could not find endpoint configuration"),
        ("Project", {"ProjectName": "x"}, "does not exist"),
        ("Algorithm", {"AlgorithmName": "x"}, "does not exist"),
        ("Workforce", {"WorkforceName": "x"}, "No workforce"),
        ("Workteam", {"WorkteamName": "x"}, "The work team"),
    ],
)
def test_what_is_said_of_a_name_that_nobody_has(operations: Any, family: str, key: dict[str, str], words: str) -> None:
    """As Terraform's provider for AWS looks for it (internal/service/sagemaker of hashicorp/terraform-provider-aws)."""
    code, message = operations.refused(f"Describe{family}", **key)
    assert (code, words in message) == ("ValidationException", True)


def test_ids_are_as_the_service_makes_them(operations: Any) -> None:
    app = operations("CreateMlflowApp", **REQUESTS["MlflowApp"])["Arn"].rsplit("/", 1)[-1]
    assert re.fullmatch(r"app-[A-Z0-9]{12}", app)
    assert re.fullmatch(r"d-[a-z0-9]{12}", operations("CreateDomain", **REQUESTS["Domain"])["DomainId"])
    assert re.fullmatch(r"p-[a-z0-9]{12}", operations("CreateProject", **REQUESTS["Project"])["ProjectId"])


def test_the_table_has_the_operations_of_the_model() -> None:
    names = set(sagemaker_model().operation_names)
    assert set(OPERATIONS) <= names
    assert {family for family, model in FAMILIES.items() if model.updatable} == {
        family for family in FAMILIES if f"Update{family}" in names
    }
    assert set(REQUESTS) == set(FAMILIES)
    assert set(UPDATES) == {family for family, model in FAMILIES.items() if model.updatable}
