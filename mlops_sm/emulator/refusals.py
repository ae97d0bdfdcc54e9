"""Errors in the words of whatever protocol a request speaks: JSON, CBOR or one of the kinds of XML."""

from __future__ import annotations

from typing import Final
from xml.sax.saxutils import escape

from mlops_sm.checks.service import service_model
from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.protocol import Answer, refuse
from mlops_sm.emulator.service_names import folder_of, known_folders

_CBOR: Final = "smithy-rpc-v2-cbor"
_SERVER_ERRORS: Final = 500


def refusal(arrival: Arrival, error: AwsError) -> Answer:
    """An error as the client that sent a request can read it."""
    match speech(arrival):
        case "json" | "rest-json":
            return refuse(error)
        case "smithy-rpc-v2-cbor":
            headers = {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}
            return Answer(error.status, headers, _cbor({"__type": error.code, "message": error.message}))
        case "s3":
            body = f"<Error>{_xml(error)}</Error>"
        case "ec2":
            body = f"<Response><Errors><Error>{_xml(error)}</Error></Errors></Response>"
        case _:
            fault = "Receiver" if error.status >= _SERVER_ERRORS else "Sender"
            body = f"<ErrorResponse><Error><Type>{fault}</Type>{_xml(error)}</Error></ErrorResponse>"
    content = b"" if arrival.method == "HEAD" else f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'.encode()
    return Answer(error.status, {"Content-Type": "text/xml", "x-amzn-ErrorType": error.code}, content)


def unavailable(arrival: Arrival) -> AwsError:
    """The error for an operation that nobody here has, by the code the service's protocol has for it."""
    name = arrival.operation or f"{arrival.method} {arrival.path.partition('?')[0]}"
    message = f"The operation {name} of {arrival.service} is not available in the local account."
    match speech(arrival):
        case "query" | "ec2":
            return AwsError("InvalidAction", message)
        case "s3":
            return AwsError("NotImplemented", message, 501)
        case _:
            return AwsError("UnknownOperationException", message)


def is_s3(arrival: Arrival) -> bool:
    """Whether a request is for S3, whose errors are like nobody else's."""
    return arrival.service in {"s3", "s3-control"}


def speech(arrival: Arrival) -> str:
    """The protocol of a request by its own marks, else the one its service has."""
    content_type = arrival.headers.get("content-type", "")
    if arrival.headers.get("smithy-protocol") == "rpc-v2-cbor":
        return _CBOR
    if "x-amz-target" in arrival.headers or content_type.startswith("application/x-amz-json"):
        return "json"
    if is_s3(arrival):
        return "s3"
    folder = folder_of(arrival.service)
    if folder in known_folders():
        protocol = str(service_model(folder).metadata["protocol"])
        if protocol not in {_CBOR, "json"}:
            return protocol
    # Only the query protocol sends forms, also to services that have moved on to another.
    return "query" if content_type.startswith("application/x-www-form-urlencoded") else "json"


def _xml(error: AwsError) -> str:
    return f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"


def _cbor(texts: dict[str, str]) -> bytes:
    """A map of texts (RFC 8949: major types 5 and 3)."""
    encoded = bytearray([0xA0 + len(texts)])
    for text in (part for pair in texts.items() for part in pair):
        content = text.encode()
        encoded += b"\x7a" + len(content).to_bytes(4, "big") + content
    return bytes(encoded)
