"""Models: Create, Describe, List, Delete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import invalid
from mlops_sm.emulator.pages import Listing, list_page
from mlops_sm.emulator.sagemaker.packages import package_of
from mlops_sm.emulator.sagemaker.tags import tag_new
from mlops_sm.emulator.service import Call, Operation, find
from mlops_sm.emulator.store import Entity, Kind

PACKAGE: Final = "ModelPackageName"
"""The member of a container that names the package it comes from."""


def create_model(call: Call) -> dict[str, Json]:
    """Keep a model; nothing is loaded until something serves it."""
    request = call.request
    if "PrimaryContainer" in request and "Containers" in request:
        raise invalid("You can't specify both PrimaryContainer and Containers in the request.")
    if "PrimaryContainer" not in request and not request.get("Containers"):
        raise invalid("The request has neither a PrimaryContainer nor Containers.")
    _check_hostnames(request.get("Containers") or [])
    name, now = request["ModelName"], call.now()
    body = {"EnableNetworkIsolation": False, **call.members()}
    primary = [body["PrimaryContainer"]] if "PrimaryContainer" in body else []
    for container in [*primary, *(body.get("Containers") or [])]:
        _check_container(call, container)
        # As DescribeModel shows every container.
        container.setdefault("Mode", "SingleModel")
    entity = Entity.new(call.scope, Kind.MODEL, name, now, body=body)
    with call.store.transaction():
        if not call.store.add(entity):
            raise invalid(f'Cannot create already existing model "{entity.arn}".')
        tag_new(call, entity.arn)
    return {"ModelArn": entity.arn}


def _check_container(call: Call, container: Mapping[str, Json]) -> None:
    """API reference, ContainerDefinition: an image, or a model package that is there."""
    package = container.get(PACKAGE)
    if package is None:
        if "Image" not in container:
            raise invalid("A container needs an Image or a ModelPackageName.")
        return
    package_of(call, package)


def _check_hostnames(containers: Sequence[Mapping[str, Json]]) -> None:
    """API reference, ContainerDefinition: a host name identifies its container, and if one has a name all must."""
    names = [container.get("ContainerHostname") for container in containers]
    given = [name for name in names if name is not None]
    if len(set(given)) < len(given):
        raise invalid("The ContainerHostname of each container of an inference pipeline must be unique.")
    if 0 < len(given) < len(names):
        raise invalid("Specify a ContainerHostname for every container of an inference pipeline, or for none.")


def describe_model(call: Call) -> dict[str, Json]:
    """A model as it was created."""
    entity = model_of(call)
    return {**entity.body, "ModelArn": entity.arn, "CreationTime": entity.created}


def delete_model(call: Call) -> dict[str, Json]:
    """Forget a model; its artifacts stay where they are."""
    call.store.delete(model_of(call))
    return {}


def model_of(call: Call) -> Entity:
    """The model of the request.

    Raises:
        AwsError: ValidationException, there is none.
    """
    return named_model(call, call.request["ModelName"])


def named_model(call: Call, name: str) -> Entity:
    """The model of a name.

    Raises:
        AwsError: ValidationException, there is none.
    """
    return find(call, Kind.MODEL, name, lambda arn: invalid(f'Could not find model "{arn}".'))


def containers_of(call: Call, model: Entity) -> list[dict[str, Json]]:
    """The containers of a model, each with what its model package says: image, artifacts and variables.

    Raises:
        AwsError: ValidationException, a package is gone or has several containers.
    """
    primary = model.body.get("PrimaryContainer")
    containers: list[dict[str, Json]] = [primary] if primary else model.body["Containers"]
    return [_resolved(call, container) for container in containers]


def _resolved(call: Call, container: dict[str, Json]) -> dict[str, Json]:
    package = container.get(PACKAGE)
    if package is None:
        return container
    found = package_of(call, package)
    kept = (found.body.get("InferenceSpecification") or {}).get("Containers") or []
    if len(kept) != 1:
        raise invalid(f"ModelPackage {found.arn} has {len(kept)} containers: one is needed to serve it.")
    environment = {**(kept[0].get("Environment") or {}), **(container.get("Environment") or {})}
    return {**kept[0], "Environment": environment, PACKAGE: found.arn}


def list_models(call: Call) -> dict[str, Json]:
    """One page of models."""
    return list_page(call, _LISTING)


def _summary(entity: Entity) -> dict[str, Json]:
    return {"ModelName": entity.name, "ModelArn": entity.arn, "CreationTime": entity.created}


_LISTING: Final = Listing(kind=Kind.MODEL, member="Models", summary=_summary, descending=True)

OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateModel": create_model,
    "DescribeModel": describe_model,
    "DeleteModel": delete_model,
    "ListModels": list_models,
}
