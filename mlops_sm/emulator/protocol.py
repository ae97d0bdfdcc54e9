"""AWS's JSON 1.1 protocol: a body in, an answer out, whatever happens in between."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from mlops_sm.checks.service import ServiceModel, Shape
from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.validation import read_request

_CONTENT_TYPE: Final = "application/x-amz-json-1.1"
_REQUEST_IDS: Final = frozenset({"x-amzn-requestid", "x-amz-request-id"})
_log = logging.getLogger(__name__)


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


def answer(model: ServiceModel, operation: str, body: bytes, perform: Callable[[dict[str, Json]], Json]) -> Answer:
    """Perform an operation on a request's body.

    Args:
        model: The ``botocore.model.ServiceModel`` of the service.
        operation: The operation's name, known to the model.
        body: The request's body.
        perform: Gets the validated request; returns the members of the output shape.

    Returns:
        The serialised output; the service's error when `AwsError` is raised; InternalFailure, with the traceback in the
        log, for anything else.
    """
    try:
        shapes = model.operation_model(operation)
        request = read_request(read_json(body), shapes.input_shape)
        result = perform(request)
        # An operation without output answers with an empty body.
        content = b"" if shapes.output_shape is None else _dump(render(result or {}, shapes.output_shape))
        return Answer(200, {"Content-Type": _CONTENT_TYPE}, content)
    except AwsError as error:
        return refuse(error)
    except RecursionError:
        return refuse(AwsError("SerializationException", "The request's body is nested too deeply"))
    except Exception:
        _log.exception("operation %s failed inside the local account", operation)
        return refuse(
            AwsError(
                "InternalFailure",
                f"The local account failed while it performed {operation}; the log of this process has the traceback.",
                500,
            )
        )


def refuse(error: AwsError) -> Answer:
    """The service's answer for an error."""
    content = {"__type": error.code, "message": error.message, "Message": error.message}
    return Answer(error.status, {"Content-Type": _CONTENT_TYPE, "x-amzn-ErrorType": error.code}, _dump(content))


def with_request_id(given: Answer) -> Answer:
    """An answer that says which request it answers, as every one of AWS's does."""
    if any(name.lower() in _REQUEST_IDS for name in given.headers):
        return given
    return given._replace(headers={**given.headers, "x-amzn-RequestId": str(uuid.uuid4())})


def render(value: Json, shape: Shape) -> Json:
    """A result as its output shape serialises it: unknown members and None dropped, times as epoch seconds."""
    match shape.type_name:
        case "structure":
            return {
                name: render(value[name], member)
                for name, member in shape.members.items()
                if isinstance(value, Mapping) and value.get(name) is not None
            }
        case "list":
            return [render(item, shape.member) for item in value]
        case "map":
            return {key: render(item, shape.value) for key, item in value.items() if item is not None}
        case "timestamp" if isinstance(value, datetime):
            return round(value.timestamp(), 3)
        case "timestamp":
            return round(float(value), 3)
        case _:
            return value


def read_json(body: bytes) -> Json:
    """What a request's body says; one without a body asks for nothing.

    Raises:
        AwsError: SerializationException, it is not JSON.
    """
    if not body.strip():
        return {}
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise AwsError("SerializationException", f"The request's body is not JSON: {error}") from None


def _no_constant(word: str) -> Json:
    raise ValueError(f"{word} is not JSON")


def _dump(value: Json) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
