"""Feature groups: their definitions and what is said of single features; there is no store behind them yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import invalid
from mlops_sm.emulator.sagemaker.records import IN_USE, NOT_FOUND, Family, named_record
from mlops_sm.emulator.service import Call, Operation, modelled
from mlops_sm.emulator.store import Entity

_RESERVED: Final = frozenset({"is_deleted", "write_time", "api_invocation_time"})
_MAX_PARAMETERS: Final = 25
_METADATA: Final = "FeatureMetadata"
"""Of the body: what is said of features, by their names."""


def _made(call: Call) -> dict[str, Json]:
    """What AWS checks of a feature group, and what it adds.

    Sources: API reference, CreateFeatureGroup (RecordIdentifierFeatureName, EventTimeFeatureName, FeatureDefinitions)
    and the developer guide, Create a feature group.
    """
    request = call.request
    types = _types(request["FeatureDefinitions"])
    if request["RecordIdentifierFeatureName"] not in types:
        raise invalid("The record identifier feature name must be one of the feature definitions' names.")
    if types.get(request["EventTimeFeatureName"]) not in {"String", "Fractional"}:
        raise invalid("The event time feature must be one of the feature definitions, of type String or Fractional.")
    online = bool(request.get("OnlineStoreConfig", {}).get("EnableOnlineStore"))
    offline = request.get("OfflineStoreConfig")
    if not online and offline is None:
        raise invalid("At least one of OnlineStoreConfig and OfflineStoreConfig must be enabled.")
    made: dict[str, Json] = {"FeatureGroupStatus": "Created", "NextToken": ""}
    if offline is not None:
        if "RoleArn" not in request:
            raise invalid("RoleArn is required when OfflineStoreConfig is given.")
        uri = offline["S3StorageConfig"]["S3Uri"].rstrip("/")
        path = f"{uri}/{call.scope.account}/sagemaker/{call.scope.region}/offline-store"
        storage = {"ResolvedOutputS3Uri": f"{path}/{request['FeatureGroupName']}/data", **offline["S3StorageConfig"]}
        made["OfflineStoreConfig"] = {"DisableGlueTableCreation": False, **offline, "S3StorageConfig": storage}
        made["OfflineStoreStatus"] = {"Status": "Active"}
    return made


def _changes(call: Call, group: Entity) -> dict[str, Json]:
    """New features, throughput, and the online store's TTL (API reference, UpdateFeatureGroup)."""
    changes: dict[str, Json] = {"LastUpdateStatus": {"Status": "Successful"}}
    additions = call.request.get("FeatureAdditions")
    if additions:
        definitions = [*group.body["FeatureDefinitions"], *additions]
        _types(definitions)
        changes["FeatureDefinitions"] = definitions
        features = dict(group.body.get(_METADATA) or {})
        features |= {feature["FeatureName"]: {"CreationTime": call.now()} for feature in additions}
        changes[_METADATA] = features
    if "ThroughputConfig" in call.request:
        changes["ThroughputConfig"] = call.request["ThroughputConfig"]
    if "OnlineStoreConfig" in call.request:
        online = group.body.get("OnlineStoreConfig") or {}
        if not online.get("EnableOnlineStore"):
            raise invalid("The feature group has no online store.")
        changes["OnlineStoreConfig"] = {**online, **call.request["OnlineStoreConfig"]}
    return changes


GROUPS: Final = Family(
    name="FeatureGroup",
    resource="feature-group",
    what="The definition is kept and checked; no record can be put into it or read from it yet",
    made=_made,
    changes=_changes,
    filters={
        "OfflineStoreStatusEquals": lambda members, status: (
            (members.get("OfflineStoreStatus") or {}).get("Status") == status
        )
    },
    duplicate=(
        IN_USE,
        "Resource Already Exists: FeatureGroup with name {name} already exists. Choose a different name.",
    ),
    missing=(NOT_FOUND, "Resource Not Found: Amazon SageMaker can't find a FeatureGroup with name {name}"),
    descending=True,
)


def describe_feature_metadata(call: Call) -> dict[str, Json]:
    """What is said of a feature."""
    group = named_record(call, GROUPS, call.request["FeatureGroupName"])
    kind, said = _feature(call, group)
    return {
        "FeatureGroupArn": group.arn,
        "FeatureGroupName": group.body["FeatureGroupName"],
        "FeatureName": call.request["FeatureName"],
        "FeatureType": kind,
        "CreationTime": group.created,
        "LastModifiedTime": said.get("CreationTime", group.created),
        **said,
    }


def update_feature_metadata(call: Call) -> dict[str, Json]:
    """Describe a feature, and add and remove its parameters.

    "You can add up to 25" parameters (API reference, UpdateFeatureMetadata).
    """
    with call.store.transaction():
        group = named_record(call, GROUPS, call.request["FeatureGroupName"])
        _, said = _feature(call, group)
        changed = {**said, "LastModifiedTime": call.now()}
        if "Description" in call.request:
            changed["Description"] = call.request["Description"]
        parameters = {parameter["Key"]: parameter for parameter in said.get("Parameters") or []}
        parameters |= {parameter["Key"]: parameter for parameter in call.request.get("ParameterAdditions") or []}
        for key in call.request.get("ParameterRemovals") or []:
            parameters.pop(key, None)
        if len(parameters) > _MAX_PARAMETERS:
            raise invalid(f"A feature can have {_MAX_PARAMETERS} parameters.")
        changed["Parameters"] = list(parameters.values())
        features = {**(group.body.get(_METADATA) or {}), call.request["FeatureName"]: changed}
        call.store.save(group.with_body({_METADATA: features}, modified=group.modified))
    return {}


def _feature(call: Call, group: Entity) -> tuple[str, dict[str, Any]]:
    name = call.request["FeatureName"]
    for definition in group.body["FeatureDefinitions"]:
        if definition["FeatureName"] == name:
            return definition["FeatureType"], (group.body.get(_METADATA) or {}).get(name) or {}
    raise modelled(
        call,
        NOT_FOUND,
        f"Resource Not Found: FeatureGroup {group.body['FeatureGroupName']} has no feature with name {name}",
    )


def _types(definitions: list[Mapping[str, str]]) -> dict[str, str]:
    """The types of features by name."""
    types: dict[str, str] = {}
    for definition in definitions:
        name = definition.get("FeatureName", "")
        if name in types:
            raise invalid(f"Feature names must be unique in a feature group: {name} is defined twice.")
        if name in _RESERVED:
            raise invalid(f"The feature name {name} is reserved.")
        types[name] = definition.get("FeatureType", "")
    return types


OPERATIONS: Final[Mapping[str, Operation]] = {
    "DescribeFeatureMetadata": describe_feature_metadata,
    "UpdateFeatureMetadata": update_feature_metadata,
}
