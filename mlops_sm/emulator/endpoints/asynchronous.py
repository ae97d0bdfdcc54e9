"""Asynchronous inference: requests in a queue on disk, answers in S3, notifications by SNS.

Source: API reference, InvokeEndpointAsync and AsyncInferenceConfig; "Check prediction results" of the SageMaker
developer guide for the notifications; "Monitor asynchronous endpoint" for the metrics.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.endpoints.background import Background
from mlops_sm.emulator.endpoints.invocations import Invocation, Invocations
from mlops_sm.emulator.endpoints.observation import Observation
from mlops_sm.emulator.endpoints.refusals import not_valid
from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.sites import Sites
from mlops_sm.emulator.store import Scope
from mlops_sm.local.site import StoreError
from mlops_sm.naming import S3Uri, parse_s3_uri

QUEUE: Final = ".queue"
"""The folder of an endpoint's requests that wait."""
_TTL: Final = 21_600
_TIMEOUT: Final = 900
_MAX_INLINE: Final = 128_000
_MAX_INCLUDED: Final = 128 * 1024
_CONCURRENT: Final = 4
"""Requests at once, when the configuration leaves it to the service."""
_MOST: Final = 16
_PLAIN: Final = ("text/", "application/json")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One request that waits, as it is written down.

    Attributes:
        scope: Account and region.
        endpoint: Its name.
        id: The inference's.
        received: Epoch seconds.
        config: The endpoint's AsyncInferenceConfig.
        source: Where the payload is: S3 URI; empty when it is beside the request.
        output: S3 URI of the answer; empty when nobody wants it in S3.
        failure: S3 URI of an error; empty likewise.
        content_type: Of the payload.
        accept: Of the answer.
        attributes: Custom attributes.
        ttl: Seconds that it may wait.
        timeout: Seconds that it may take.
    """

    scope: tuple[str, str]
    endpoint: str
    id: str
    received: float
    config: dict[str, Json]
    source: str
    output: str
    failure: str
    content_type: str | None
    accept: str | None
    attributes: str | None
    ttl: int
    timeout: int

    @property
    def topics(self) -> Mapping[str, Json]:
        """Its NotificationConfig."""
        found: Mapping[str, Json] | None = self.config["OutputConfig"].get("NotificationConfig")
        return found or {}


class Asynchronous:
    """The queues of an account's endpoints. What waits when the account is closed waits for its next opening.

    Args:
        invocations: Perform the requests.
        sites: Where endpoints live, and their S3.
        client: A client of a service that acts for a scope.
        observation: Takes metrics.
        background: Knows who works.
    """

    def __init__(
        self,
        invocations: Invocations,
        sites: Sites,
        *,
        client: Callable[[Scope, str], Any],
        observation: Observation,
        background: Background,
    ) -> None:
        self._invocations = invocations
        self._sites = sites
        self._client = client
        self._observation = observation
        self._clock = sites.clock
        self._background = background
        self._lock = threading.Lock()
        self._pools: dict[tuple[Scope, str], ThreadPoolExecutor] = {}

    def begin(self, state: Path) -> None:
        """Go on with what waited when the account was closed."""
        for request in sorted(state.glob(f"**/{QUEUE}/*.json")):
            try:
                fields = json.loads(request.read_text(encoding="utf-8"))
                waiting = Waiting(**{**fields, "scope": tuple(fields["scope"])})
            except (ValueError, TypeError) as error:
                _log.warning("%s is no request that waits: %s", request, error)
                continue
            self._submit(waiting, request)

    def accept(self, scope: Scope, members: Mapping[str, Json], body: bytes) -> Waiting:
        """Take a request into the queue.

        Raises:
            AwsError: ValidationError.
        """
        name = members["EndpointName"]
        config = self._invocations.config(scope, name)
        if config is None:
            raise not_valid(f"Endpoint {name} of account {scope.account} is not an asynchronous endpoint.")
        source = members.get("InputLocation")
        if bool(source) == bool(body):
            raise not_valid("Exactly one of InputLocation and Body is needed.")
        if len(body) > _MAX_INLINE:
            raise not_valid(
                "1 validation error detected: Value at 'body' failed to satisfy constraint: Member must have length "
                f"less than or equal to {_MAX_INLINE}"
            )
        inference = members.get("InferenceId") or str(uuid.uuid4())
        output = config["OutputConfig"]
        extension = (members.get("S3OutputPathExtension") or "").strip("/")
        waiting = Waiting(
            scope=(scope.account, scope.region),
            endpoint=name,
            id=inference,
            received=self._clock().timestamp(),
            config=dict(config),
            source=source or "",
            output=_below(output.get("S3OutputPath"), extension, members.get("Filename") or f"{inference}.out"),
            failure=_below(output.get("S3FailurePath"), extension, f"{inference}-error.out"),
            content_type=members.get("ContentType"),
            accept=members.get("Accept"),
            attributes=members.get("CustomAttributes"),
            ttl=members.get("RequestTTLSeconds") or _TTL,
            timeout=members.get("InvocationTimeoutSeconds") or _TIMEOUT,
        )
        queue = self._sites.endpoints(scope) / name / QUEUE
        queue.mkdir(parents=True, exist_ok=True)
        request = queue / f"{waiting.received:020.6f}-{uuid.uuid4()}.json"
        if body:
            request.with_suffix(".body").write_bytes(body)
        request.write_text(json.dumps(asdict(waiting)), encoding="utf-8")
        self._submit(waiting, request)
        return waiting

    def close(self) -> None:
        """End after the requests that are under way; the others wait."""
        with self._lock:
            pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            pool.shutdown(wait=True, cancel_futures=True)

    def _submit(self, waiting: Waiting, request: Path) -> None:
        scope = Scope(*waiting.scope)
        with self._lock:
            key = (scope, waiting.endpoint)
            if key not in self._pools:
                client = waiting.config.get("ClientConfig") or {}
                size = min(client.get("MaxConcurrentInvocationsPerInstance") or _CONCURRENT, _MOST)
                self._pools[key] = ThreadPoolExecutor(size, thread_name_prefix=f"async {waiting.endpoint}")
            working = self._background.moments.working()
            working.__enter__()
            future = self._pools[key].submit(self._perform, scope, waiting, request)
        future.add_done_callback(lambda _: working.__exit__(None, None, None))

    def _perform(self, scope: Scope, waiting: Waiting, request: Path) -> None:
        if self._background.is_closing():
            return
        began = self._clock().timestamp()
        try:
            try:
                content_type, content = self._answer(scope, waiting, request, began)
            except _FailedError as error:
                self._failed(scope, waiting, str(error))
            else:
                self._completed(scope, waiting, content_type, content)
        except Exception:
            _log.exception("an asynchronous request to %s failed inside the local account", waiting.endpoint)
        finally:
            request.unlink(missing_ok=True)
            request.with_suffix(".body").unlink(missing_ok=True)
        self._measure(scope, waiting, began)

    def _answer(self, scope: Scope, waiting: Waiting, request: Path, began: float) -> tuple[str, bytes]:
        if began - waiting.received > waiting.ttl:
            raise _FailedError(f"ClientError: The request expired after {waiting.ttl} seconds in the queue.")
        invocation = Invocation(
            endpoint=waiting.endpoint,
            body=self._payload(scope, waiting, request),
            content_type=waiting.content_type,
            accept=waiting.accept,
            attributes=waiting.attributes,
            inference_id=waiting.id,
            timeout=float(waiting.timeout),
        )
        try:
            response = self._invocations.perform(scope, invocation).response
        except AwsError as error:
            blame = "ClientError" if "client error" in error.message else "InternalServerError"
            raise _FailedError(f"{blame}: {error.message}") from error
        return response.content_type, response.body

    def _payload(self, scope: Scope, waiting: Waiting, request: Path) -> bytes:
        if not waiting.source:
            return request.with_suffix(".body").read_bytes()
        try:
            place = parse_s3_uri(waiting.source)
            return self._sites.site(scope).store.read(place.bucket, place.key)
        except (StoreError, ValueError) as error:
            raise _FailedError(f"ClientError: The input {waiting.source} could not be read: {error}") from error

    def _completed(self, scope: Scope, waiting: Waiting, content_type: str, content: bytes) -> None:
        if waiting.output:
            try:
                self._put(scope, waiting.output, content)
            except (StoreError, ValueError) as error:
                self._failed(scope, waiting, f"ClientError: The output could not be written: {error}")
                return
        told: dict[str, Json] = {"responseParameters": {"contentType": content_type}}
        if waiting.output:
            told["responseParameters"]["outputLocation"] = waiting.output
        if "SUCCESS_NOTIFICATION_TOPIC" in (waiting.topics.get("IncludeInferenceResponseIn") or []):
            told |= _included(content_type, content)
        self._notify(waiting, "SuccessTopic", "Completed", told)
        self._count(scope, waiting, failed=False)

    def _failed(self, scope: Scope, waiting: Waiting, reason: str) -> None:
        if waiting.failure:
            try:
                self._put(scope, waiting.failure, reason.encode())
            except (StoreError, ValueError) as error:
                _log.warning("the failure of a request could not be written to %s: %s", waiting.failure, error)
        told: dict[str, Json] = {"failureReason": reason}
        if waiting.failure:
            told["responseParameters"] = {"failureLocation": waiting.failure}
        self._notify(waiting, "ErrorTopic", "Failed", told)
        self._count(scope, waiting, failed=True)

    def _put(self, scope: Scope, uri: str, content: bytes) -> None:
        place: S3Uri = parse_s3_uri(uri)
        path = self._sites.endpoints(scope) / f".{uuid.uuid4()}"
        path.write_bytes(content)
        try:
            self._sites.site(scope).store.store(path, place.bucket, place.key)
        finally:
            path.unlink(missing_ok=True)

    def _notify(self, waiting: Waiting, topic: str, status: str, told: Mapping[str, Json]) -> None:
        arn = waiting.topics.get(topic)
        if not arn:
            return
        message = {
            "awsRegion": waiting.scope[1],
            "eventTime": _time(self._clock()),
            "receivedTime": _time(datetime.fromtimestamp(waiting.received, UTC)),
            "invocationStatus": status,
            "requestParameters": {
                "contentType": waiting.content_type,
                "accept": waiting.accept,
                "endpointName": waiting.endpoint,
                "inputLocation": waiting.source or None,
            },
            **told,
            "inferenceId": waiting.id,
            "eventVersion": "1.0",
            "eventSource": "aws:sagemaker",
            "eventName": "InferenceResult",
        }
        message["requestParameters"] = {k: v for k, v in message["requestParameters"].items() if v is not None}
        try:
            self._client(Scope.of(arn), "sns").publish(TopicArn=arn, Message=json.dumps(message))
        except Exception as error:
            _log.warning("the topic %s was not told: %s", arn, error)

    def _count(self, scope: Scope, waiting: Waiting, *, failed: bool) -> None:
        values = [("InvocationsProcessed", "None", 1.0), ("InvocationFailures", "None", float(failed))]
        self._note(scope, waiting, values)

    def _measure(self, scope: Scope, waiting: Waiting, began: float) -> None:
        queue = self._sites.endpoints(scope) / waiting.endpoint / QUEUE
        values = [
            ("TimeInBacklog", "Milliseconds", round((began - waiting.received) * 1000, 1)),
            ("TotalProcessingTime", "Milliseconds", round((self._clock().timestamp() - waiting.received) * 1000, 1)),
            ("ApproximateBacklogSize", "Count", float(sum(1 for _ in queue.glob("*.json")))),
        ]
        self._note(scope, waiting, values)

    def _note(self, scope: Scope, waiting: Waiting, values: list[tuple[str, str, float]]) -> None:
        self._observation.measures.add(scope, [(("EndpointName", waiting.endpoint),)], values)
        self._observation.noted()


class _FailedError(Exception):
    """A request failed; the message is its failureReason."""


def _below(root: str | None, extension: str, name: str) -> str:
    return "/".join(part for part in (root.rstrip("/"), extension, name) if part) if root else ""


def _included(content_type: str, content: bytes) -> dict[str, Json]:
    """The response in a notification: "included only if the response size is less than or equal to 128 KB"."""
    if len(content) > _MAX_INCLUDED:
        return {}
    plain = content_type.startswith(_PLAIN)
    text = content.decode(errors="replace") if plain else base64.b64encode(content).decode()
    kind = "JSON" if "json" in content_type else "CSV" if "csv" in content_type else "TEXT"
    return {"responseBody": {"content": text, "encoding": kind if plain else "BASE64"}}


def _time(moment: datetime) -> str:
    shown = moment.astimezone(UTC)
    return f"{shown:%Y-%m-%dT%H:%M:%S}.{shown.microsecond // 1000:03d}Z"
