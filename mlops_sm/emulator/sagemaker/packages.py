"""The model registry: package groups, and packages with their versions and approval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import AwsError, invalid
from mlops_sm.emulator.pages import Listing, list_page
from mlops_sm.emulator.sagemaker.tags import tag_new
from mlops_sm.emulator.service import Call, Operation, find, once, plain_name
from mlops_sm.emulator.store import Condition, Entity, Kind

_PENDING: Final = "PendingManualApproval"
_APPROVAL: Final = "ModelApprovalStatus"
_MERGED: Final = (
    "ModelApprovalStatus",
    "ModelPackageRegistrationType",
    "ApprovalDescription",
    "InferenceSpecification",
    "SourceUri",
    "ModelCard",
    "ModelLifeCycle",
)
"""Members of UpdateModelPackage that replace what is there; an absent one leaves it alone."""


def create_model_package_group(call: Call) -> dict[str, Json]:
    """Keep a group for the versions of one model."""
    name, now = call.request["ModelPackageGroupName"], call.now()
    entity = Entity(
        scope=call.scope,
        kind=Kind.MODEL_PACKAGE_GROUP,
        name=name,
        arn=call.scope.arn(Kind.MODEL_PACKAGE_GROUP, name),
        created=now,
        modified=now,
        body={**call.members(), "ModelPackageGroupStatus": "Completed", "LastVersion": 0},
    )
    with call.store.transaction():
        if not call.store.add(entity):
            raise invalid(f"Model Package Group already exists: {entity.arn}")
        tag_new(call, entity.arn)
    return {"ModelPackageGroupArn": entity.arn}


def describe_model_package_group(call: Call) -> dict[str, Json]:
    """A group."""
    entity = _group(call, call.request["ModelPackageGroupName"])
    return {**_group_summary(entity), **entity.body, "CreatedBy": {}}


def list_model_package_groups(call: Call) -> dict[str, Json]:
    """One page of groups."""
    if call.request.get("CrossAccountFilterOption") == "CrossAccount":
        return {"ModelPackageGroupSummaryList": []}
    return list_page(call, _GROUPS)


def delete_model_package_group(call: Call) -> dict[str, Json]:
    """Forget a group that holds no packages."""
    with call.store.transaction():
        group = _group(call, call.request["ModelPackageGroupName"])
        if call.store.select(group.scope, Kind.MODEL_PACKAGE, parent=group.name, limit=1):
            raise AwsError(
                "ConflictException",
                f"Cannot delete {group.arn}: the model package group still contains model packages.",
            )
        call.store.delete(group)
    return {}


def create_model_package(call: Call) -> dict[str, Json]:
    """Register a version in a group, or an unversioned package."""
    request = call.request
    if "ModelPackageName" in request and "ModelPackageGroupName" in request:
        raise invalid(
            "Both ModelPackageName and ModelPackageGroupName are provided in the input. "
            "Cannot determine which one to use."
        )
    if "ModelPackageName" not in request and "ModelPackageGroupName" not in request:
        raise invalid("Missing ARN.")
    return once(call, lambda: {"ModelPackageArn": _add(call).arn})


def _add(call: Call) -> Entity:
    now = call.now()
    body = {**call.members("ModelPackageGroupName"), "ModelPackageStatus": "Completed"}
    if "ModelPackageGroupName" not in call.request:
        name = call.request["ModelPackageName"]
        arn = call.scope.arn(Kind.MODEL_PACKAGE, name)
        entity = Entity(
            scope=call.scope, kind=Kind.MODEL_PACKAGE, name=name, arn=arn, created=now, modified=now, body=body
        )
        if not call.store.add(entity):
            raise AwsError("ConflictException", f"Model package already exists: {arn}")
        tag_new(call, arn)
        return entity
    if call.request.get("Tags"):
        raise invalid("Tags are not supported for versioned model packages: put them on the model package group.")
    group = _group(call, call.request["ModelPackageGroupName"])
    version = group.body["LastVersion"] + 1
    approval = call.request.get(_APPROVAL, _PENDING)
    body |= {
        "ModelPackageGroupName": group.name,
        "ModelPackageVersion": version,
        _APPROVAL: approval,
    }
    entity = Entity(
        scope=group.scope,
        kind=Kind.MODEL_PACKAGE,
        # Padded, so that names sort as versions do.
        name=f"{group.name}/{version:09d}",
        arn=group.scope.arn(Kind.MODEL_PACKAGE, f"{group.name}/{version}"),
        created=now,
        modified=now,
        parent=group.name,
        status=approval,
        body=body,
    )
    call.store.save(group.with_body({"LastVersion": version}, modified=now))
    call.store.add(entity)
    return entity


def describe_model_package(call: Call) -> dict[str, Json]:
    """A package, by ARN, by name, or as ``group/version``."""
    entity = _package(call, call.request["ModelPackageName"])
    described = {
        **entity.body,
        "ModelPackageArn": entity.arn,
        "CreationTime": entity.created,
        "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
        "CertifyForMarketplace": entity.body.get("CertifyForMarketplace", False),
        "CreatedBy": {},
    }
    if entity.modified > entity.created:
        described |= {"LastModifiedTime": entity.modified, "LastModifiedBy": {}}
    return described


def list_model_packages(call: Call) -> dict[str, Json]:
    """One page of packages: those of a group, or by default the unversioned ones."""
    group = call.request.get("ModelPackageGroupName")
    if group is not None:
        return list_page(call, _PACKAGES, parent=_group(call, group).name)
    match call.request.get("ModelPackageType", "Unversioned"):
        case "Unversioned":
            return list_page(call, _PACKAGES, parent="")
        case "Versioned":
            return list_page(call, _PACKAGES, conditions=[Condition("parent <> ?", "")])
        case _:
            return list_page(call, _PACKAGES)


def update_model_package(call: Call) -> dict[str, Json]:
    """Change what the request names and nothing else."""
    request = call.request

    def update() -> dict[str, Json]:
        entity = _package(call, request["ModelPackageArn"])
        changes: dict[str, Json] = {name: request[name] for name in _MERGED if name in request}
        properties = dict(entity.body.get("CustomerMetadataProperties") or {})
        properties |= request.get("CustomerMetadataProperties") or {}
        for key in request.get("CustomerMetadataPropertiesToRemove") or []:
            properties.pop(key, None)
        changes["CustomerMetadataProperties"] = properties or None
        more = request.get("AdditionalInferenceSpecificationsToAdd") or []
        if more:
            have = entity.body.get("AdditionalInferenceSpecifications") or []
            changes["AdditionalInferenceSpecifications"] = [*have, *more]
        status = changes.get(_APPROVAL, entity.status)
        call.store.save(entity.with_body(changes, modified=call.now(), status=status))
        return {"ModelPackageArn": entity.arn}

    return once(call, update)


def delete_model_package(call: Call) -> dict[str, Json]:
    """Forget a package; its version's number is not given again."""
    call.store.delete(_package(call, call.request["ModelPackageName"]))
    return {}


def _group(call: Call, value: str) -> Entity:
    return find(call, Kind.MODEL_PACKAGE_GROUP, value, lambda arn: invalid(f"ModelPackageGroup {arn} does not exist."))


def _package(call: Call, value: str) -> Entity:
    name = plain_name(value, Kind.MODEL_PACKAGE)
    arn = value if value.startswith("arn:") else call.scope.arn(Kind.MODEL_PACKAGE, name)
    return find(call, Kind.MODEL_PACKAGE, arn, lambda missing: invalid(f"ModelPackage {missing} does not exist."))


def _group_summary(entity: Entity) -> dict[str, Json]:
    return {
        "ModelPackageGroupName": entity.name,
        "ModelPackageGroupArn": entity.arn,
        "ModelPackageGroupDescription": entity.body.get("ModelPackageGroupDescription"),
        "CreationTime": entity.created,
        "ModelPackageGroupStatus": entity.body["ModelPackageGroupStatus"],
        "ManagedConfiguration": entity.body.get("ManagedConfiguration"),
    }


def _package_summary(entity: Entity) -> dict[str, Json]:
    return {**entity.body, "ModelPackageArn": entity.arn, "CreationTime": entity.created}


_GROUPS: Final = Listing(kind=Kind.MODEL_PACKAGE_GROUP, member="ModelPackageGroupSummaryList", summary=_group_summary)
_PACKAGES: Final = Listing(kind=Kind.MODEL_PACKAGE, member="ModelPackageSummaryList", summary=_package_summary)

OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateModelPackageGroup": create_model_package_group,
    "DescribeModelPackageGroup": describe_model_package_group,
    "ListModelPackageGroups": list_model_package_groups,
    "DeleteModelPackageGroup": delete_model_package_group,
    "CreateModelPackage": create_model_package,
    "DescribeModelPackage": describe_model_package,
    "ListModelPackages": list_model_packages,
    "UpdateModelPackage": update_model_package,
    "DeleteModelPackage": delete_model_package,
}
