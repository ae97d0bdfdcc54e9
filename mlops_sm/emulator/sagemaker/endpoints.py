"""Endpoints: Create, Describe, List, Delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.endpoints.hosting import CREATING, DELETING, IN_PROGRESS
from mlops_sm.emulator.endpoints.shifting import Shifts
from mlops_sm.emulator.endpoints.snapshot import PRODUCTION, SHADOW, Snapshot
from mlops_sm.emulator.errors import AwsError, invalid
from mlops_sm.emulator.pages import Listing, list_page
from mlops_sm.emulator.sagemaker.endpoints_snapshots import snapshot_of
from mlops_sm.emulator.sagemaker.records import record_of
from mlops_sm.emulator.sagemaker.tags import tag_new
from mlops_sm.emulator.service import Call, Operation, find
from mlops_sm.emulator.store import Condition, Entity, Kind


def create_endpoint(call: Call) -> dict[str, Json]:
    """Start an endpoint on a configuration and its models as they are now."""
    name, now = call.request["EndpointName"], call.now()
    entity = Entity.new(call.scope, Kind.ENDPOINT, name, now, status=CREATING, body={})
    with call.store.transaction():
        config = config_of(call, call.request["EndpointConfigName"])
        # "The name is case-insensitive in CreateEndpoint" (API reference).
        same = Condition("lower(name) = ?", name.lower())
        if call.store.select(call.scope, Kind.ENDPOINT, conditions=[same], limit=1):
            raise invalid(f'Cannot create already existing endpoint "{entity.arn}".')
        snapshot = snapshot_of(call, config)
        # Of a first deployment only its shape counts: there is no other fleet to move from.
        Shifts.of(call.request.get("DeploymentConfig"), len(snapshot.variants()))
        entity = entity.with_body(
            {
                "EndpointConfigName": config.body["EndpointConfigName"],
                "LastDeploymentConfig": call.request.get("DeploymentConfig"),
                "Pending": dict(snapshot.body),
                "PendingDeploymentSummary": pending_summary(snapshot, now),
            },
            modified=now,
        )
        call.store.add(entity)
        tag_new(call, entity.arn)
    call.service.hosting.create(entity)
    return {"EndpointArn": entity.arn}


def describe_endpoint(call: Call) -> dict[str, Json]:
    """An endpoint as it stands now; what has just begun with it gets a moment first."""
    entity = endpoint_of(call)
    if entity.status in IN_PROGRESS:
        call.service.hosting.linger(entity)
        entity = endpoint_of(call)
    return {**entity.body, **_summary(entity)}


def list_endpoints(call: Call) -> dict[str, Json]:
    """One page of endpoints."""
    return list_page(call, _LISTING)


def delete_endpoint(call: Call) -> dict[str, Json]:
    """End an endpoint; requests that are under way are answered."""
    with call.store.transaction():
        entity = endpoint_of(call)
        refuse_in_progress(entity)
        if call.store.select(call.scope, Kind.INFERENCE_COMPONENT, parent=entity.name, limit=1):
            raise invalid(f'Cannot delete endpoint "{entity.arn}": it still hosts inference components.')
        entity = entity.with_body({}, modified=call.now(), status=DELETING)
        call.store.save(entity)
    call.service.hosting.delete(entity)
    return {}


def endpoint_of(call: Call) -> Entity:
    """The endpoint of the request.

    Raises:
        AwsError: ValidationException, there is none.
    """
    return find(call, Kind.ENDPOINT, call.request["EndpointName"], missing)


def missing(arn: str) -> AwsError:
    """There is no endpoint of an ARN."""
    return invalid(f'Could not find endpoint "{arn}".')


def config_of(call: Call, name: str) -> Entity:
    """The endpoint configuration of a name.

    Raises:
        AwsError: ValidationException, there is none.
    """
    config = record_of(call.store, call.scope, "EndpointConfig", name)
    if config is None:
        arn = f"{call.scope.arn(Kind.ENDPOINT, name)}".replace(":endpoint/", ":endpoint-config/")
        raise invalid(f'Could not find endpoint configuration "{arn}".')
    return config


def refuse_in_progress(entity: Entity) -> None:
    """Refuse to change an endpoint that is being changed.

    Raises:
        AwsError: ValidationException.
    """
    if entity.status in IN_PROGRESS:
        raise invalid(f'Cannot update in-progress endpoint "{entity.arn}".')


def pending_summary(snapshot: Snapshot, now: float) -> dict[str, Json]:
    """What DescribeEndpoint shows of a deployment that goes on (API reference, PendingDeploymentSummary)."""
    status = [{"Status": "Creating", "StartTime": now}]

    def pending(member: str) -> list[dict[str, Json]] | None:
        return [{**each, "VariantStatus": status} for each in snapshot.summaries(now, member)] or None

    return {
        "EndpointConfigName": snapshot.name,
        PRODUCTION: pending(PRODUCTION),
        SHADOW: pending(SHADOW),
        "StartTime": now,
    }


def _summary(entity: Entity) -> dict[str, Json]:
    return {
        "EndpointName": entity.name,
        "EndpointArn": entity.arn,
        "CreationTime": entity.created,
        "LastModifiedTime": entity.modified,
        "EndpointStatus": entity.status,
    }


_LISTING: Final = Listing(
    kind=Kind.ENDPOINT,
    member="Endpoints",
    summary=_summary,
    sort={"CreationTime": "created", "Name": "name", "Status": "status"},
    # API reference, ListEndpoints, SortOrder: "The default is Descending".
    descending=True,
)

OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateEndpoint": create_endpoint,
    "DescribeEndpoint": describe_endpoint,
    "ListEndpoints": list_endpoints,
    "DeleteEndpoint": delete_endpoint,
}
