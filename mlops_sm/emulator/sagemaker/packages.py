"""Model packages: versions of groups and packages of their own, with their approval."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.definition.wording import repeated
from mlops_sm.emulator.errors import AwsError, invalid
from mlops_sm.emulator.pages import Listing, list_page
from mlops_sm.emulator.sagemaker.package_groups import LAST_VERSION, group_of
from mlops_sm.emulator.sagemaker.records_cards import check_content
from mlops_sm.emulator.sagemaker.tags import tag_new
from mlops_sm.emulator.service import Call, Operation, find, once
from mlops_sm.emulator.store import Condition, Entity, Kind

_PENDING: Final = "PendingManualApproval"
_APPROVAL: Final = "ModelApprovalStatus"
_PROPERTIES: Final = "CustomerMetadataProperties"
_SPECIFICATIONS: Final = "AdditionalInferenceSpecifications"
_CARD: Final = "ModelCard"
_CONTENT: Final = "ModelCardContent"
_AUTHOR: Final = "CreatedBy"
_EDITOR: Final = "LastModifiedBy"
_REPLACED: Final = (
    "ModelApprovalStatus",
    "ModelPackageRegistrationType",
    "ApprovalDescription",
    "InferenceSpecification",
    "SourceUri",
    "ModelLifeCycle",
)
"""Members of UpdateModelPackage that replace what is there; an absent one leaves it alone."""
_MAX_PROPERTIES: Final = 50
_MAX_SPECIFICATIONS: Final = 15
"""API reference, UpdateModelPackage."""


def create_model_package(call: Call) -> dict[str, Json]:
    """Register a version in a group, or a package of its own."""
    request = call.request
    if "ModelPackageName" in request and "ModelPackageGroupName" in request:
        raise invalid(
            "Both ModelPackageName and ModelPackageGroupName are provided in the input. "
            "Cannot determine which one to use."
        )
    if "ModelPackageName" not in request and "ModelPackageGroupName" not in request:
        raise invalid("Missing ARN.")
    validation = request.get("ValidationSpecification") or {}
    if validation.get("ValidationProfiles") and request.get("SkipModelValidation") != "All":
        # Its profiles are batch transform jobs, which are not started here for a package.
        call.refuse_members("ValidationSpecification")
    _check_card(request.get(_CARD))
    _check_specifications(request.get(_SPECIFICATIONS) or [])
    return once(call, lambda: {"ModelPackageArn": _add(call).arn})


def _add(call: Call) -> Entity:
    now = call.now()
    body = {**call.members("ModelPackageGroupName"), "ModelPackageStatus": "Completed", _AUTHOR: call.caller()}
    if "ModelPackageGroupName" not in call.request:
        name = call.request["ModelPackageName"]
        entity = Entity.new(call.scope, Kind.MODEL_PACKAGE, name, now, body=body)
        if not call.store.add(entity):
            raise AwsError("ConflictException", f"Model package already exists: {entity.arn}")
        tag_new(call, entity.arn)
        return entity
    if call.request.get("Tags"):
        raise invalid("Tags are not supported for versioned model packages: put them on the model package group.")
    group = group_of(call, call.request["ModelPackageGroupName"])
    version = group.body[LAST_VERSION] + 1
    approval = call.request.get(_APPROVAL, _PENDING)
    body |= {
        "ModelPackageGroupName": group.name,
        "ModelPackageVersion": version,
        _APPROVAL: approval,
    }
    entity = Entity.new(
        group.scope,
        Kind.MODEL_PACKAGE,
        # Padded, so that names sort as versions do.
        f"{group.name}/{version:09d}",
        now,
        arn=group.scope.arn(Kind.MODEL_PACKAGE, f"{group.name}/{version}"),
        parent=group.name,
        status=approval,
        body=body,
    )
    call.store.save(group.with_body({LAST_VERSION: version}, modified=now))
    call.store.add(entity)
    return entity


def describe_model_package(call: Call) -> dict[str, Json]:
    """A package, by ARN, by name, or as ``group/version``."""
    entity = package_of(call, call.request["ModelPackageName"])
    described = {
        **entity.body,
        "ModelPackageArn": entity.arn,
        "CreationTime": entity.created,
        "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
        "CertifyForMarketplace": entity.body.get("CertifyForMarketplace", False),
        _AUTHOR: entity.body.get(_AUTHOR) or {},
    }
    if entity.modified > entity.created:
        described |= {"LastModifiedTime": entity.modified, _EDITOR: entity.body.get(_EDITOR) or {}}
    if call.request.get("IncludedData") == "MetadataOnly" and _CARD in described:
        described[_CARD] = {name: value for name, value in described[_CARD].items() if name != _CONTENT}
    return described


def batch_describe_model_package(call: Call) -> dict[str, Json]:
    """Versions by their ARNs; an ARN that names none is among the errors."""
    found: dict[str, Json] = {}
    errors: dict[str, Json] = {}
    for arn in call.request["ModelPackageArnList"]:
        entity = call.named(arn)
        if entity is not None and entity.kind is Kind.MODEL_PACKAGE and entity.parent:
            found[arn] = {"InferenceSpecification": {}, **_summary(entity)}
        else:
            errors[arn] = {"ErrorCode": "ValidationException", "ErrorResponse": _missing(arn)}
    return {"ModelPackageSummaries": found, "BatchDescribeModelPackageErrorMap": errors or None}


def list_model_packages(call: Call) -> dict[str, Json]:
    """One page of packages: those of a group, or by default the ones without."""
    conditions: list[Condition] = []
    if "NameContains" in call.request:
        # A version's number is no part of a name.
        conditions = [Condition("(parent = '' OR instr(parent, ?) > 0)", call.request["NameContains"])]
    group = call.request.get("ModelPackageGroupName")
    if group is not None:
        owner = group_of(call, group)
        return list_page(replace(call, scope=owner.scope), _LISTING, parent=owner.name, conditions=conditions)
    match call.request.get("ModelPackageType", "Unversioned"):
        case "Unversioned":
            return list_page(call, _LISTING, parent="", conditions=conditions)
        case "Versioned":
            return list_page(call, _LISTING, conditions=[*conditions, Condition("parent <> ?", "")])
        case _:
            return list_page(call, _LISTING, conditions=conditions)


def update_model_package(call: Call) -> dict[str, Json]:
    """Change what the request names and nothing else."""
    request = call.request
    _check_card(request.get(_CARD))

    def update() -> dict[str, Json]:
        entity = package_of(call, request["ModelPackageArn"])
        changes: dict[str, Json] = {name: request[name] for name in _REPLACED if name in request}
        changes[_EDITOR] = call.caller()
        changes[_PROPERTIES] = _properties(entity, request) or None
        if _CARD in request:
            changes[_CARD] = {**(entity.body.get(_CARD) or {}), **request[_CARD]}
        more = request.get("AdditionalInferenceSpecificationsToAdd") or []
        if more:
            changes[_SPECIFICATIONS] = [*(entity.body.get(_SPECIFICATIONS) or []), *more]
            _check_specifications(changes[_SPECIFICATIONS])
        status = changes.get(_APPROVAL, entity.status) if entity.parent else entity.status
        call.store.save(entity.with_body(changes, modified=call.now(), status=status))
        return {"ModelPackageArn": entity.arn}

    return once(call, update)


def delete_model_package(call: Call) -> dict[str, Json]:
    """Forget a package that nothing serves; its version's number is not given again."""
    with call.store.transaction():
        package = package_of(call, call.request["ModelPackageName"])
        _refuse_served(call, package)
        call.store.delete(package)
        call.store.forget_tokens(package.arn)
    return {}


def _refuse_served(call: Call, package: Entity) -> None:
    """Refuse to forget a package that an endpoint serves, which could not be deployed or explained any more.

    ConflictException: "There was a conflict when you attempted to modify a SageMaker entity" (API reference,
    DeleteModelPackage). An endpoint's record holds a copy of what it deploys, with the ARN of its package.

    Raises:
        AwsError: ConflictException.
    """
    holds = [Condition("instr(body, ?) > 0", json.dumps(package.arn))]
    for kind in (Kind.ENDPOINT, Kind.INFERENCE_COMPONENT):
        serving = call.store.select(call.scope, kind, conditions=holds, limit=1)
        if serving:
            raise AwsError(
                "ConflictException",
                f"Model package {package.arn} cannot be deleted: {serving[0].arn} serves it.",
            )


def package_of(call: Call, value: str) -> Entity:
    """The package of a name or ARN, a version's as ``group/version``.

    Raises:
        AwsError: ValidationException, there is none.
    """
    return find(call, Kind.MODEL_PACKAGE, value, lambda arn: invalid(_missing(arn)))


def _missing(arn: str) -> str:
    return f"ModelPackage {arn} does not exist."


def _properties(entity: Entity, request: Mapping[str, Json]) -> dict[str, Json]:
    properties = dict(entity.body.get(_PROPERTIES) or {})
    properties |= request.get(_PROPERTIES) or {}
    for key in request.get("CustomerMetadataPropertiesToRemove") or []:
        properties.pop(key, None)
    if len(properties) > _MAX_PROPERTIES:
        raise invalid(f"{_PROPERTIES} can hold up to {_MAX_PROPERTIES} properties, not {len(properties)}.")
    return properties


def _check_specifications(specifications: Sequence[Mapping[str, Json]]) -> None:
    if len(specifications) > _MAX_SPECIFICATIONS:
        raise invalid(
            f"Total number of additional Inference Specifications can not exceed {_MAX_SPECIFICATIONS}, "
            f"not {len(specifications)}."
        )
    several = repeated(specification["Name"] for specification in specifications)
    if several:
        raise invalid(f"Names of additional Inference Specifications must be unique: {', '.join(several)}.")


def _check_card(card: Mapping[str, Json] | None) -> None:
    if card is not None and _CONTENT in card:
        check_content(card[_CONTENT], _CONTENT)


def _summary(entity: Entity) -> dict[str, Json]:
    return {**entity.body, "ModelPackageArn": entity.arn, "CreationTime": entity.created}


_LISTING: Final = Listing(kind=Kind.MODEL_PACKAGE, member="ModelPackageSummaryList", summary=_summary)

OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateModelPackage": create_model_package,
    "DescribeModelPackage": describe_model_package,
    "BatchDescribeModelPackage": batch_describe_model_package,
    "ListModelPackages": list_model_packages,
    "UpdateModelPackage": update_model_package,
    "DeleteModelPackage": delete_model_package,
}
