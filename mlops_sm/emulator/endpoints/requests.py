"""Requests of SageMaker Runtime: InvokeEndpoint and its like.

Source: API reference of SageMaker Runtime, whose members are headers; the body is the payload.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from mlops_sm.checks.service import service_model
from mlops_sm.definition.document import Json
from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.endpoints import eventstream
from mlops_sm.emulator.endpoints.asynchronous import Asynchronous
from mlops_sm.emulator.endpoints.invocations import Invocation, Invocations, Streamed
from mlops_sm.emulator.endpoints.refusals import not_valid, refused
from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.file_parts import Flow
from mlops_sm.emulator.protocol import Answer
from mlops_sm.emulator.store import Scope
from mlops_sm.emulator.validation import read_request
from mlops_sm.local.serving.host import ContainerError
from mlops_sm.local.serving.server import TooSlowError

SERVICE: Final = "sagemaker-runtime"
_ATTRIBUTES: Final = "X-Amzn-SageMaker-Custom-Attributes"
_log = logging.getLogger(__name__)


class RuntimeRequests:
    """Answers the requests of SageMaker Runtime.

    Args:
        invocations: Performs them.
        asynchronous: Takes those that nobody waits for.
        region: Of requests that are not signed.
    """

    def __init__(self, invocations: Invocations, asynchronous: Asynchronous, region: str) -> None:
        self._invocations = invocations
        self._asynchronous = asynchronous
        self._region = region

    def __call__(self, arrival: Arrival) -> Answer | None:
        """Answer a request; None for an operation that is not here."""
        performs: dict[str, Callable[[Scope, dict[str, Json], bytes], Answer]] = {
            "InvokeEndpoint": self._invoke,
            "InvokeEndpointAsync": self._later,
            "InvokeEndpointWithResponseStream": self._stream,
        }
        perform = performs.get(arrival.operation)
        if perform is None:
            return None
        scope = Scope(arrival.account, arrival.region or self._region)
        try:
            return perform(scope, _members(arrival), arrival.read())
        except AwsError as error:
            return refused(error)
        except Exception:
            _log.exception("%s failed inside the local account", arrival.operation)
            message = "The local account failed; the log of this process has the traceback."
            return refused(AwsError("InternalFailure", message, 500))

    def _invoke(self, scope: Scope, members: dict[str, Json], body: bytes) -> Answer:
        answered = self._invocations.invoke(scope, _invocation(members, body))
        headers = {
            "Content-Type": answered.response.content_type,
            "x-Amzn-Invoked-Production-Variant": answered.variant,
            **_own(answered.response.attributes),
        }
        return Answer(200, headers, answered.response.body)

    def _later(self, scope: Scope, members: dict[str, Json], body: bytes) -> Answer:
        waiting = self._asynchronous.accept(scope, members, body)
        places = {"OutputLocation": waiting.output, "FailureLocation": waiting.failure}
        headers = {f"X-Amzn-SageMaker-{name}": place for name, place in places.items() if place}
        content = json.dumps({"InferenceId": waiting.id}).encode()
        return Answer(202, {"Content-Type": "application/json", **headers}, content)

    def _stream(self, scope: Scope, members: dict[str, Json], body: bytes) -> Answer:
        streamed = self._invocations.stream(scope, _invocation(members, body))
        headers = {
            "Content-Type": eventstream.CONTENT_TYPE,
            "X-Amzn-SageMaker-Content-Type": streamed.first.content_type,
            "x-Amzn-Invoked-Production-Variant": streamed.variant,
            **_own(streamed.first.attributes),
        }
        return Answer(200, headers, Flow.of(_events(streamed)))


def _events(streamed: Streamed) -> Iterator[bytes]:
    """The parts of an answer as events; a failure on the way is the last one."""
    try:
        for part in streamed.parts:
            if part.broken:
                yield eventstream.failure("ModelStreamError", "The model failed while it answered.", "StreamBroken")
            elif part.body:
                yield eventstream.part(part.body)
    except ContainerError as error:
        slow = isinstance(error.cause, TooSlowError)
        code = "ModelInvocationTimeExceeded" if slow else "StreamBroken"
        yield eventstream.failure("ModelStreamError", str(error.cause), code)


def _invocation(members: dict[str, Json], body: bytes) -> Invocation:
    for unavailable in ("EnableExplanations", "SessionId"):
        if unavailable in members:
            raise not_valid(f"{unavailable}: not available in the local account.")
    return Invocation(
        endpoint=members["EndpointName"],
        body=body,
        content_type=members.get("ContentType"),
        accept=members.get("Accept"),
        attributes=members.get("CustomAttributes"),
        variant=members.get("TargetVariant"),
        model=members.get("TargetModel"),
        container=members.get("TargetContainerHostname"),
        component=members.get("InferenceComponentName"),
        inference_id=members.get("InferenceId"),
    )


def _members(arrival: Arrival) -> dict[str, Json]:
    """The members of a request but for its body.

    Raises:
        AwsError: ValidationError, one does not satisfy its constraints.
    """
    shape = service_model(SERVICE).operation_model(arrival.operation).input_shape
    given: dict[str, Any] = {"Body": ""}
    for name, member in shape.members.items():
        match member.serialization.get("location"):
            case "uri":
                given[name] = unquote(arrival.path.partition("?")[0].split("/")[2])
            case "header":
                value = arrival.headers.get(member.serialization["name"].lower())
                if value is not None:
                    given[name] = int(value) if member.type_name == "integer" and value.isdigit() else value
            case _:
                continue
    try:
        return read_request(given, shape)
    except AwsError as error:
        raise not_valid(error.message) from error


def _own(attributes: Mapping[str, str]) -> dict[str, str]:
    """The headers of a container's answer that the service hands on."""
    given = [value for name, value in attributes.items() if name.lower() == _ATTRIBUTES.lower()]
    return {_ATTRIBUTES: given[-1]} if given else {}
