"""From a step's resolved arguments to a request: text where the service's model wants text."""

from __future__ import annotations

from collections.abc import Mapping

from mlops_sm.checks.service import Shape, sagemaker_model
from mlops_sm.definition.document import Json
from mlops_sm.engine.resolve import ResolveError, as_text


def as_request(operation: str, arguments: Mapping[str, Json]) -> dict[str, Json]:
    """Arguments with every number and boolean as text that stands where the operation takes a string.

    An Integer parameter may be used as a hyperparameter, an environment variable or a container argument; the pipeline
    service prints it there. What cannot be printed stays as it is, for the operation to refuse.
    """
    printed: dict[str, Json] = _printed(arguments, sagemaker_model().operation_model(operation).input_shape)
    return printed


def _printed(value: Json, shape: Shape) -> Json:
    match shape.type_name:
        case "structure" if isinstance(value, Mapping):
            members = shape.members
            return {k: _printed(v, members[k]) if k in members else v for k, v in value.items()}
        case "map" if isinstance(value, Mapping):
            return {k: _printed(v, shape.value) for k, v in value.items()}
        case "list" if isinstance(value, list):
            return [_printed(item, shape.member) for item in value]
        case "string" if value is not None:
            try:
                return as_text(value)
            except ResolveError:
                return value
        case _:
            return value
