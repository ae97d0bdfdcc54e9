"""Updates of endpoints: to another configuration, to other weights and capacities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.endpoints.hosting import IN_SERVICE, UPDATING
from mlops_sm.emulator.endpoints.shifting import Shifts
from mlops_sm.emulator.endpoints.snapshot import PRODUCTION, Snapshot
from mlops_sm.emulator.errors import invalid
from mlops_sm.emulator.sagemaker.endpoints import config_of, endpoint_of, pending_summary, refuse_in_progress
from mlops_sm.emulator.sagemaker.endpoints_snapshots import snapshot_of
from mlops_sm.emulator.service import Call, Operation
from mlops_sm.emulator.store import Entity

_RETAINED: Final = {
    "DesiredInstanceCount": ("InitialInstanceCount", "CurrentInstanceCount"),
    "DesiredWeight": ("InitialVariantWeight", "CurrentWeight"),
}
"""By VariantPropertyType: the member of a configuration's variant, and that of an endpoint's."""


def update_endpoint(call: Call) -> dict[str, Json]:
    """Take an endpoint to another configuration; the old fleet serves until the new one does."""
    request, now = call.request, call.now()
    with call.store.transaction():
        entity = endpoint_of(call)
        _refuse_unready(entity)
        deployment = _deployment(request, entity)
        snapshot = _retained(request, entity, snapshot_of(call, config_of(call, request["EndpointConfigName"])))
        shifts = Shifts.of(deployment, _instances(snapshot))
        entity = entity.with_body(
            {
                "LastDeploymentConfig": deployment,
                "Pending": dict(snapshot.body),
                "PendingDeploymentSummary": pending_summary(snapshot, now),
                "FailureReason": None,
            },
            modified=now,
            status=UPDATING,
        )
        call.store.save(entity)
    call.service.hosting.update(entity, shifts)
    return {"EndpointArn": entity.arn}


def update_weights(call: Call) -> dict[str, Json]:
    """Give variants of an endpoint other weights or capacities."""
    with call.store.transaction():
        entity = endpoint_of(call)
        _refuse_unready(entity)
        shown = {variant["VariantName"]: dict(variant) for variant in entity.body[PRODUCTION]}
        changes: dict[str, dict[str, Json]] = {}
        for desired in call.request["DesiredWeightsAndCapacities"]:
            name = desired["VariantName"]
            if name not in shown:
                raise invalid(f'Could not find variant "{name}" of endpoint "{entity.arn}".')
            changes[name] = _change(desired, shown[name])
        if not sum(float(variant["CurrentWeight"]) for variant in shown.values()):
            raise invalid("The sum of the weights of all variants must be greater than 0.")
        snapshot = Snapshot(entity.body["Deployed"]).with_variants(changes)
        entity = entity.with_body({"FailureReason": None}, modified=call.now(), status=UPDATING)
        call.store.save(entity)
    call.service.hosting.reweigh(entity, {PRODUCTION: list(shown.values())}, snapshot)
    return {"EndpointArn": entity.arn}


def _refuse_unready(entity: Entity) -> None:
    refuse_in_progress(entity)
    if entity.status != IN_SERVICE:
        # "DeleteEndpoint is the only operation that can be performed on a failed endpoint" (API reference,
        # DescribeEndpoint, EndpointStatus).
        raise invalid(f'Cannot update endpoint "{entity.arn}" whose status is {entity.status}.')


def _deployment(request: Mapping[str, Json], entity: Entity) -> Mapping[str, Json] | None:
    """The request's DeploymentConfig, or the last one if that is to be used again."""
    given: Mapping[str, Json] | None = request.get("DeploymentConfig")
    if not request.get("RetainDeploymentConfig"):
        return given
    if given is not None:
        raise invalid("RetainDeploymentConfig cannot be true when DeploymentConfig is given.")
    return entity.body.get("LastDeploymentConfig")


def _retained(request: Mapping[str, Json], entity: Entity, snapshot: Snapshot) -> Snapshot:
    """The new configuration with what the variants of the same name have now, as far as that is to be retained."""
    excluded = {each["VariantPropertyType"] for each in request.get("ExcludeRetainedVariantProperties") or []}
    if not request.get("RetainAllVariantProperties"):
        if excluded:
            raise invalid("ExcludeRetainedVariantProperties is only for RetainAllVariantProperties true.")
        return snapshot
    kept = [pair for kind, pair in _RETAINED.items() if kind not in excluded]
    return snapshot.with_variants(
        {
            variant["VariantName"]: {new: variant[now] for new, now in kept if variant.get(now)}
            for variant in entity.body[PRODUCTION]
        }
    )


def _instances(snapshot: Snapshot) -> int:
    return sum(variant.get("InitialInstanceCount") or 0 for variant in snapshot.variants())


def _change(desired: Mapping[str, Json], shown: dict[str, Json]) -> dict[str, Json]:
    """Members of the configuration's variant that change; what is shown of it changes too."""
    changes: dict[str, Json] = {}
    if "DesiredWeight" in desired:
        shown["CurrentWeight"] = shown["DesiredWeight"] = desired["DesiredWeight"]
        changes["InitialVariantWeight"] = desired["DesiredWeight"]
    count = desired.get("DesiredInstanceCount")
    serverless = desired.get("ServerlessUpdateConfig")
    config = shown.get("CurrentServerlessConfig")
    if count is not None:
        if config is not None:
            raise invalid(f"The serverless variant {shown['VariantName']} has no instances.")
        shown["CurrentInstanceCount"] = shown["DesiredInstanceCount"] = count
        changes["InitialInstanceCount"] = count
    if serverless is not None:
        if config is None:
            raise invalid(f"The variant {shown['VariantName']} is not serverless.")
        shown["CurrentServerlessConfig"] = shown["DesiredServerlessConfig"] = {**config, **serverless}
        changes["ServerlessConfig"] = {**config, **serverless}
    return changes


OPERATIONS: Final[Mapping[str, Operation]] = {
    "UpdateEndpoint": update_endpoint,
    "UpdateEndpointWeightsAndCapacities": update_weights,
}
