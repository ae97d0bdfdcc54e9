"""Inference components: Create, Describe, List, Update, Delete.

Source: API reference, CreateInferenceComponent and its like; "Deploy models with inference components".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.endpoints.hosting import CREATING, DELETING, IN_PROGRESS, IN_SERVICE, UPDATING
from mlops_sm.emulator.endpoints.snapshot import PRODUCTION, image_of
from mlops_sm.emulator.errors import AwsError, invalid
from mlops_sm.emulator.pages import Listing, list_page
from mlops_sm.emulator.sagemaker.endpoints import missing as no_endpoint
from mlops_sm.emulator.sagemaker.endpoints_snapshots import model_copy
from mlops_sm.emulator.sagemaker.tags import tag_new
from mlops_sm.emulator.service import Call, Operation, find
from mlops_sm.emulator.store import Condition, Entity, Kind

_ADAPTERS: Final = "BaseInferenceComponentName"
_COPIED: Final = ("ComputeResourceRequirements", "StartupParameters", "SchedulingConfig")
"""Members of a specification that are shown as they were given."""


def create_component(call: Call) -> dict[str, Json]:
    """Start a model on an endpoint that is in service."""
    call.refuse_members("Specifications")
    request, now = call.request, call.now()
    name = request["InferenceComponentName"]
    specification, runtime = request.get("Specification"), request.get("RuntimeConfig")
    if specification is None or runtime is None:
        raise invalid("Specification and RuntimeConfig are required to create an inference component.")
    with call.store.transaction():
        endpoint = find(call, Kind.ENDPOINT, request["EndpointName"], no_endpoint)
        variant = _variant(endpoint, request)
        body = {
            "EndpointName": endpoint.name,
            "EndpointArn": endpoint.arn,
            "VariantName": variant,
            **_members(call, specification, runtime["CopyCount"], now),
        }
        body["RuntimeConfig"]["CurrentCopyCount"] = 0
        entity = Entity.new(
            call.scope, Kind.INFERENCE_COMPONENT, name, now, parent=endpoint.name, status=CREATING, body=body
        )
        if not call.store.add(entity):
            raise invalid(f'Cannot create already existing inference component "{entity.arn}".')
        tag_new(call, entity.arn)
    call.service.components.deploy(entity, _serving(entity.body))
    return {"InferenceComponentArn": entity.arn}


def describe_component(call: Call) -> dict[str, Json]:
    """An inference component as it stands now."""
    entity = _component(call)
    return {**entity.body, **_summary(entity)}


def list_components(call: Call) -> dict[str, Json]:
    """One page of inference components."""
    variant = call.request.get("VariantNameEquals")
    conditions = [] if variant is None else [Condition("json_extract(body, '$.VariantName') = ?", variant)]
    return list_page(call, _LISTING, parent=call.request.get("EndpointNameEquals"), conditions=conditions)


def update_component(call: Call) -> dict[str, Json]:
    """Give an inference component another model or another number of copies; it serves meanwhile."""
    call.refuse_members("Specifications")
    request = call.request
    return _update(call, request.get("Specification"), request.get("RuntimeConfig"), request.get("DeploymentConfig"))


def update_runtime_config(call: Call) -> dict[str, Json]:
    """Give an inference component another number of copies."""
    return _update(call, None, call.request["DesiredRuntimeConfig"], None)


def delete_component(call: Call) -> dict[str, Json]:
    """End an inference component; requests that are under way are answered."""
    with call.store.transaction():
        entity = _component(call)
        _refuse_in_progress(entity)
        entity = entity.with_body({}, modified=call.now(), status=DELETING)
        call.store.save(entity)
    call.service.components.delete(entity)
    return {}


def _update(
    call: Call,
    specification: Mapping[str, Json] | None,
    runtime: Mapping[str, Json] | None,
    deployment: Mapping[str, Json] | None,
) -> dict[str, Json]:
    now = call.now()
    with call.store.transaction():
        entity = _component(call)
        _refuse_in_progress(entity)
        if entity.status != IN_SERVICE:
            raise invalid(f'Cannot update inference component "{entity.arn}" whose status is {entity.status}.')
        copies = entity.body["RuntimeConfig"]["DesiredCopyCount"] if runtime is None else runtime["CopyCount"]
        members: dict[str, Json] = {"LastDeploymentConfig": deployment} if deployment is not None else {}
        if specification is None:
            members |= {
                **{name: entity.body[name] for name in ("Specification", "Deployed")},
                "RuntimeConfig": {**entity.body["RuntimeConfig"], "DesiredCopyCount": copies},
            }
        else:
            members |= _members(call, specification, copies, now)
        entity = entity.with_body({"FailureReason": None}, modified=now, status=UPDATING)
        call.store.save(entity)
    call.service.components.deploy(entity, _serving(members))
    return {"InferenceComponentArn": entity.arn}


def _members(call: Call, specification: Mapping[str, Json], copies: int, now: float) -> dict[str, Json]:
    """Members of a component's record for a specification."""
    if _ADAPTERS in specification:
        raise invalid(f"{_ADAPTERS}: adapters are not available in the local account.")
    name, container = specification.get("ModelName"), specification.get("Container")
    if (name is None) == (container is None):
        raise invalid("Exactly one of ModelName and Container is needed in the Specification.")
    if "ComputeResourceRequirements" not in specification:
        raise invalid("ComputeResourceRequirements is required in the Specification of a base inference component.")
    shown: dict[str, Json] = {member: specification[member] for member in _COPIED if member in specification}
    if "DataCacheConfig" in specification:
        shown["DataCacheConfig"] = specification["DataCacheConfig"]
    if name is not None:
        deployed = model_copy(call, name)
        shown["ModelName"] = name
    else:
        assert container is not None  # noqa: S101 - one of the two is there
        if "Image" not in container:
            raise invalid("Container.Image is required in the Specification of a base inference component.")
        definition = {"Image": container["Image"], "Environment": container.get("Environment") or {}}
        if "ArtifactUrl" in container:
            definition["ModelDataUrl"] = container["ArtifactUrl"]
        deployed = {"Containers": [definition], "EnableNetworkIsolation": False, "Direct": False}
        shown["Container"] = {
            "DeployedImage": image_of(definition, now),
            "ArtifactUrl": container.get("ArtifactUrl"),
            "Environment": container.get("Environment"),
        }
    return {
        "Specification": shown,
        "RuntimeConfig": {"DesiredCopyCount": copies, "CurrentCopyCount": copies},
        "Deployed": deployed,
    }


def _serving(members: Mapping[str, Json]) -> dict[str, Json]:
    """The members once as many copies run as are wanted."""
    copies = members["RuntimeConfig"]["DesiredCopyCount"]
    return {**members, "RuntimeConfig": {"DesiredCopyCount": copies, "CurrentCopyCount": copies}}


def _variant(endpoint: Entity, request: Mapping[str, Json]) -> str:
    """The variant that hosts the component: one without a model of its own."""
    if endpoint.status != IN_SERVICE:
        raise invalid(f'Cannot create an inference component on endpoint "{endpoint.arn}": it is {endpoint.status}.')
    name: str | None = request.get("VariantName")
    if name is None:
        raise invalid("VariantName is required to create a base inference component.")
    config = endpoint.body["Deployed"]["Config"]
    found = next((variant for variant in config[PRODUCTION] if variant["VariantName"] == name), None)
    if found is None:
        raise invalid(f'Could not find variant "{name}" of endpoint "{endpoint.arn}".')
    if "ModelName" in found:
        raise invalid(
            f"The variant {name} has a model of its own: inference components are deployed to variants without one."
        )
    return name


def _component(call: Call) -> Entity:
    return find(call, Kind.INFERENCE_COMPONENT, call.request["InferenceComponentName"], _missing)


def _missing(arn: str) -> AwsError:
    return invalid(f'Could not find inference component "{arn}".')


def _refuse_in_progress(entity: Entity) -> None:
    if entity.status in IN_PROGRESS:
        raise invalid(f'Cannot update in-progress inference component "{entity.arn}".')


def _summary(entity: Entity) -> dict[str, Json]:
    return {
        "InferenceComponentName": entity.name,
        "InferenceComponentArn": entity.arn,
        "EndpointName": entity.parent,
        "EndpointArn": entity.body["EndpointArn"],
        "VariantName": entity.body["VariantName"],
        "CreationTime": entity.created,
        "LastModifiedTime": entity.modified,
        "InferenceComponentStatus": entity.status,
    }


_LISTING: Final = Listing(
    kind=Kind.INFERENCE_COMPONENT,
    member="InferenceComponents",
    summary=_summary,
    sort={"CreationTime": "created", "Name": "name", "Status": "status"},
    # API reference, ListInferenceComponents, SortOrder: "The default is Descending".
    descending=True,
)

OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateInferenceComponent": create_component,
    "DescribeInferenceComponent": describe_component,
    "ListInferenceComponents": list_components,
    "UpdateInferenceComponent": update_component,
    "UpdateInferenceComponentRuntimeConfig": update_runtime_config,
    "DeleteInferenceComponent": delete_component,
}
