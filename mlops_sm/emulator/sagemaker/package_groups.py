"""Model package groups, with the policies that share them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import AwsError, invalid
from mlops_sm.emulator.pages import Listing, list_page
from mlops_sm.emulator.sagemaker.tags import tag_new
from mlops_sm.emulator.service import Call, Operation, find
from mlops_sm.emulator.store import Entity, Kind

LAST_VERSION: Final = "LastVersion"
"""Member of a group's body: the last number that was given; a deleted version's is not given again."""
_POLICY: Final = "ResourcePolicy"


def create_model_package_group(call: Call) -> dict[str, Json]:
    """Keep a group for the versions of one model."""
    name, now = call.request["ModelPackageGroupName"], call.now()
    entity = Entity.new(
        call.scope,
        Kind.MODEL_PACKAGE_GROUP,
        name,
        now,
        body={
            **call.members(),
            "ModelPackageGroupStatus": "Completed",
            "CreatedBy": call.caller(),
            LAST_VERSION: 0,
        },
    )
    with call.store.transaction():
        if not call.store.add(entity):
            raise invalid(f"Model Package Group already exists: {entity.arn}")
        tag_new(call, entity.arn)
    return {"ModelPackageGroupArn": entity.arn}


def describe_model_package_group(call: Call) -> dict[str, Json]:
    """A group."""
    entity = group_of(call, call.request["ModelPackageGroupName"])
    return {**_summary(entity), "CreatedBy": {}, **entity.body}


def list_model_package_groups(call: Call) -> dict[str, Json]:
    """One page of groups."""
    if call.request.get("CrossAccountFilterOption") == "CrossAccount":
        return {"ModelPackageGroupSummaryList": []}
    return list_page(call, _LISTING)


def delete_model_package_group(call: Call) -> dict[str, Json]:
    """Forget a group that holds no packages, and its policy."""
    with call.store.transaction():
        group = group_of(call, call.request["ModelPackageGroupName"])
        if call.store.select(group.scope, Kind.MODEL_PACKAGE, parent=group.name, limit=1):
            raise AwsError(
                "ConflictException",
                f"Cannot delete {group.arn}: the model package group still contains model packages.",
            )
        call.store.delete(group)
    return {}


def put_model_package_group_policy(call: Call) -> dict[str, Json]:
    """Keep which other accounts may use a group and its versions."""
    policy = call.request[_POLICY]
    try:
        document = json.loads(policy)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not document.get("Statement"):
        raise invalid("ResourcePolicy is not a policy: it must be a JSON document with a Statement.")
    with call.store.transaction():
        group = _shared(call)
        call.store.save(group.with_body({_POLICY: policy}, modified=call.now()))
    return {"ModelPackageGroupArn": group.arn}


def get_model_package_group_policy(call: Call) -> dict[str, Json]:
    """A group's policy, as it was given."""
    return {_POLICY: _with_policy(call).body[_POLICY]}


def delete_model_package_group_policy(call: Call) -> dict[str, Json]:
    """Forget a group's policy."""
    with call.store.transaction():
        call.store.save(_with_policy(call).with_body({_POLICY: None}, modified=call.now()))
    return {}


def group_of(call: Call, value: str) -> Entity:
    """The group of a name or ARN.

    Raises:
        AwsError: ValidationException, there is none.
    """
    return find(call, Kind.MODEL_PACKAGE_GROUP, value, lambda arn: invalid(f"ModelPackageGroup {arn} does not exist."))


def _shared(call: Call) -> Entity:
    # The words of the two refusals are those that the service's CloudFormation handler looks for.
    name = call.request["ModelPackageGroupName"]
    return find(call, Kind.MODEL_PACKAGE_GROUP, name, lambda arn: invalid(f"Cannot find Model Package Group: {arn}"))


def _with_policy(call: Call) -> Entity:
    group = _shared(call)
    if _POLICY not in group.body:
        raise invalid(f"Cannot find resource policy for: {group.arn}")
    return group


def _summary(entity: Entity) -> dict[str, Json]:
    return {
        "ModelPackageGroupName": entity.name,
        "ModelPackageGroupArn": entity.arn,
        "ModelPackageGroupDescription": entity.body.get("ModelPackageGroupDescription"),
        "CreationTime": entity.created,
        "ModelPackageGroupStatus": entity.body["ModelPackageGroupStatus"],
        "ManagedConfiguration": entity.body.get("ManagedConfiguration"),
    }


_LISTING: Final = Listing(kind=Kind.MODEL_PACKAGE_GROUP, member="ModelPackageGroupSummaryList", summary=_summary)

OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateModelPackageGroup": create_model_package_group,
    "DescribeModelPackageGroup": describe_model_package_group,
    "ListModelPackageGroups": list_model_package_groups,
    "DeleteModelPackageGroup": delete_model_package_group,
    "PutModelPackageGroupPolicy": put_model_package_group_policy,
    "GetModelPackageGroupPolicy": get_model_package_group_policy,
    "DeleteModelPackageGroupPolicy": delete_model_package_group_policy,
}
