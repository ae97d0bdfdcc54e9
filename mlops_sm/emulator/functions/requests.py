"""Lambda's requests that concern running code: Invoke, and archives that would not run later.

Source: API reference of Lambda's Invoke (headers, statuses, errors) and "Lambda quotas".
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import uuid
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import parse_qs, unquote

from mlops_sm.definition.document import Json
from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.events.letters import Invocation, Letter
from mlops_sm.emulator.functions.calls import FunctionCalls, Named, named
from mlops_sm.emulator.protocol import Answer, read_json, refuse
from mlops_sm.emulator.store import Scope
from mlops_sm.local.functions_code import BadCodeError, TooBigError, check_code

SERVICE: Final = "lambda"
_MAX_SYNCHRONOUS: Final = 6_291_456
_MAX_ASYNCHRONOUS: Final = 1_048_576
_TAIL: Final = 4096
_WITHOUT_EFFECT: Final = (
    *("VpcConfig", "TracingConfig", "EphemeralStorage", "KMSKeyArn", "SnapStart", "Architectures", "LoggingConfig"),
    *("CodeSigningConfigArn", "RuntimeManagementConfig", "TenancyConfig"),
)
"""Settings that a function here runs without; each is named in the log."""
_UNAVAILABLE: Final = ("FileSystemConfigs", "CapacityProviderConfig", "DurableConfig")
"""Settings without which a function would not do what it is meant to."""
_log = logging.getLogger(__name__)
_CONFIGURING: Final = frozenset({"CreateFunction", "UpdateFunctionConfiguration"})
_WITH_CODE: Final = frozenset({"CreateFunction", "UpdateFunctionCode", "PublishLayerVersion"})


class FunctionRequests:
    """Answers Invoke and checks archives; every other request of Lambda is moto's.

    Args:
        calls: Calls functions.
        send: Takes asynchronous calls.
        now: Epoch seconds.
        region: Of requests that are not signed.
    """

    def __init__(
        self, calls: FunctionCalls, send: Callable[[Sequence[Letter]], None], now: Callable[[], float], region: str
    ) -> None:
        self._calls = calls
        self._send = send
        self._now = now
        self._region = region

    def __call__(self, arrival: Arrival) -> Answer | None:
        """Answer a request, or leave it to moto."""
        try:
            if arrival.operation in {"Invoke", "InvokeAsync"}:
                return self._invoke(arrival)
            if arrival.operation in _CONFIGURING:
                _check_settings(arrival)
            if arrival.operation in _WITH_CODE:
                _check_archive(arrival)
        except AwsError as error:
            return refuse(error)
        return None

    def _invoke(self, arrival: Arrival) -> Answer:
        path, _, query = arrival.path.partition("?")
        scope = Scope(arrival.account, arrival.region or self._region)
        name = unquote(path.split("/functions/", 1)[1].rstrip("/").rsplit("/", 1)[0])
        which = named(scope, name, parse_qs(query).get("Qualifier", [""])[0])
        kind = arrival.headers.get("x-amz-invocation-type") or "RequestResponse"
        if arrival.operation == "InvokeAsync":
            kind = "Event"
        payload = _payload(arrival.read(), _MAX_ASYNCHRONOUS if kind == "Event" else _MAX_SYNCHRONOUS)
        request_id = str(uuid.uuid4())
        match kind:
            case "DryRun":
                self._calls.find(which)
                return Answer(204, {"x-amzn-RequestId": request_id}, b"")
            case "Event":
                return self._later(which, payload, request_id, arrival.operation)
            case "RequestResponse":
                tail = arrival.headers.get("x-amz-log-type") == "Tail"
                return self._now_and_here(
                    which, payload, request_id, arrival.headers.get("x-amz-client-context"), tail=tail
                )
            case _:
                raise AwsError(
                    "ValidationException",
                    f"1 validation error detected: Value '{kind}' at 'invocationType' failed to satisfy constraint: "
                    "Member must satisfy enum value set: [Event, RequestResponse, DryRun]",
                )

    def _later(self, which: Named, payload: str, request_id: str, operation: str) -> Answer:
        self._calls.find(which)
        self._send(
            [
                Invocation(
                    scope=which.scope,
                    function=which.name,
                    qualifier=which.qualifier,
                    payload=payload,
                    request_id=request_id,
                    created=self._now(),
                )
            ]
        )
        body = b'{"Status":202}' if operation == "InvokeAsync" else b""
        return Answer(202, {"Content-Type": "application/json", "x-amzn-RequestId": request_id}, body)

    def _now_and_here(self, which: Named, payload: str, request_id: str, context: str | None, *, tail: bool) -> Answer:
        called, version = self._calls.call(which, payload, request_id, context)
        headers = {
            "Content-Type": "application/json",
            "x-amzn-RequestId": request_id,
            "X-Amz-Executed-Version": version,
        }
        if called.failed:
            headers["X-Amz-Function-Error"] = "Unhandled"
        if tail:
            headers["X-Amz-Log-Result"] = base64.b64encode(called.log.encode()[-_TAIL:]).decode()
        return Answer(200, headers, called.payload.encode("utf-8", "surrogatepass"))


def _payload(body: bytes, limit: int) -> str:
    if len(body) > limit:
        raise AwsError(
            "RequestTooLargeException",
            f"Request must be smaller than {limit} bytes for the InvokeFunction operation",
            413,
        )
    if not body.strip():
        return "{}"
    try:
        text = body.decode()
        json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AwsError("InvalidRequestContentException", f"Could not parse request body into json: {error}") from error
    return text


def _body(arrival: Arrival) -> dict[str, Json]:
    """The request's members; none when it is no structure, which moto says then."""
    request = read_json(arrival.read())
    return request if isinstance(request, dict) else {}


def _check_settings(arrival: Arrival) -> None:
    request = _body(arrival)
    for name in _UNAVAILABLE:
        if request.get(name):
            raise AwsError("InvalidParameterValueException", f"{name}: not available in the local account.")
    ignored = [name for name in _WITHOUT_EFFECT if request.get(name)]
    if ignored:
        _log.warning("%s: without effect in the local account for %s", ", ".join(ignored), arrival.operation)


def _check_archive(arrival: Arrival) -> None:
    request = _body(arrival)
    code = request if arrival.operation == "UpdateFunctionCode" else request.get("Code") or request.get("Content")
    encoded = code.get("ZipFile") if isinstance(code, dict) else None
    if not isinstance(encoded, str):
        return
    try:
        check_code(base64.b64decode(encoded, validate=True))
    except TooBigError as error:
        raise AwsError("InvalidParameterValueException", str(error)) from error
    except (BadCodeError, binascii.Error) as error:
        raise AwsError(
            "InvalidParameterValueException",
            f"Could not unzip uploaded file. Please check your file, then try to upload again. ({error})",
        ) from error
