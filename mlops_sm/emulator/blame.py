"""Whose fault it is when moto fails at a request: the client's, whose request nobody could read, or moto's.

moto does not check what botocore's clients check before they send, so a request that is not theirs may fail anywhere in
it. Only then is the request held against the service's model.
"""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any, Final
from urllib.parse import parse_qs
from xml.parsers import expat

from mlops_sm.checks.service import Shape, service_model
from mlops_sm.definition.document import Json
from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.refusals import is_s3, speech, unavailable
from mlops_sm.emulator.service_names import folder_of, known_folders
from mlops_sm.emulator.validation import null_member, read_request, violations

_NO_XML: Final = b"<Nothing/>"
_COMPOSED: Final = frozenset({"list", "map", "structure"})
_NOT_JSON: Final = "The request's body is not a JSON object."


def blame(arrival: Arrival, failure: Exception) -> AwsError:
    """The error that answers a request at which moto failed.

    Its status is one that botocore does not retry: it would be no better the fifth time.
    """
    operation = _operation(arrival)
    if operation is None:
        return unavailable(arrival)
    found = None if operation.input_shape is None else _fault(arrival, operation.input_shape)
    if found is not None:
        return found
    what = f"{type(failure).__name__}: {failure}"
    message = f"The local account failed at {arrival.operation} of {arrival.service}: {what}"
    return AwsError("InternalFailure", message, 501)


def incomplete(arrival: Arrival) -> AwsError | None:
    """The error for a request without what its operation requires; moto would make things without a name of it.

    botocore's clients require the same before they send. Told only for the protocols that name members plainly.
    """
    operation = _operation(arrival)
    shape = None if operation is None else operation.input_shape
    if shape is None or not shape.required_members:
        return None
    try:
        match speech(arrival):
            case "json":
                given = _parsed(_body(arrival))
                missing = next((name for name in shape.required_members if given.get(name) is None), None)
                return None if missing is None else violations([null_member("", missing)])
            case "query":
                sent = _parameters(arrival)
                scalars = [n for n in shape.required_members if shape.members[n].type_name not in _COMPOSED]
                _require([_wire_name(shape, name) for name in scalars], sent)
            case _:
                return None
    except AwsError as error:
        return error
    except UnicodeDecodeError:
        return AwsError("MalformedQueryString", "The request's parameters are not UTF-8.")
    return None


def _operation(arrival: Arrival) -> Any:  # noqa: ANN401 - botocore's OperationModel
    """The model of a request's operation; None when botocore knows no such operation."""
    folder = folder_of(arrival.service)
    if folder not in known_folders() or arrival.operation not in service_model(folder).operation_names:
        return None
    return service_model(folder).operation_model(arrival.operation)


def _parameters(arrival: Arrival) -> set[str]:
    given = parse_qs(_body(arrival).decode() or arrival.path.partition("?")[2], keep_blank_values=True)
    return {name.split(".")[0] for name in given}


def _fault(arrival: Arrival, shape: Shape) -> AwsError | None:
    """What is wrong with a request, as far as the model says; None when it looks right."""
    # A payload is data, such as an object's content: whatever it is, it is right.
    has_data = shape.serialization.get("payload") in shape.members and (
        shape.members[shape.serialization["payload"]].type_name in {"blob", "string"}
    )
    try:
        body = b"" if has_data else _body(arrival)
        match speech(arrival):
            case "json":
                read_request(_parsed(body), shape)
            case "rest-json":
                _require(_in_the_body(shape), set(_parsed(body)))
            case "query" | "ec2":
                _require([_wire_name(shape, name) for name in shape.required_members], _parameters(arrival))
            case _:
                expat.ParserCreate().Parse(body or _NO_XML, True)
    except AwsError as error:
        return error
    except expat.ExpatError:
        return AwsError("MalformedXML", "The XML you provided was not well-formed.")
    except UnicodeDecodeError:
        return AwsError("MalformedQueryString", "The request's parameters are not UTF-8.")
    return None


def _body(arrival: Arrival) -> bytes:
    """The body as its protocol has it: botocore compresses what is long, such as metric data."""
    body = arrival.read()
    if arrival.headers.get("content-encoding") != "gzip" or is_s3(arrival):
        return body
    try:
        return gzip.decompress(body)
    except (OSError, EOFError, zlib.error):
        raise AwsError("SerializationException", "The request's body is not gzip, as its header says.") from None


def _parsed(body: bytes) -> dict[str, Json]:
    try:
        value = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise AwsError("SerializationException", _NOT_JSON)
    return value


def _require(names: list[str], given: set[str]) -> None:
    missing = [name for name in names if name not in given]
    if missing:
        raise AwsError("MissingParameter", f"The request must contain the parameter {missing[0]}.")


def _in_the_body(shape: Shape) -> list[str]:
    return [_wire_name(shape, name) for name in shape.required_members if not _is_elsewhere(shape, name)]


def _is_elsewhere(shape: Shape, name: str) -> bool:
    """Whether a member is in the path, the query or a header, or is the whole body."""
    return "location" in shape.members[name].serialization or shape.serialization.get("payload") == name


def _wire_name(shape: Shape, name: str) -> str:
    return str(shape.members[name].serialization.get("name", name))
