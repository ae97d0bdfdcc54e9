"""Notifications of S3: what moto sends within a request to S3, or not at all, is sent afterwards, in S3's words."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast
from urllib.parse import quote

from mlops_sm import naming
from mlops_sm.definition.document import Json
from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.events.envelope import envelope
from mlops_sm.emulator.events.letters import BusEvent, Letter, TargetCall
from mlops_sm.emulator.events.times import precise
from mlops_sm.emulator.replacing import Method, Replaced
from mlops_sm.emulator.store import Scope

_REASONS: Final[Mapping[str, str]] = {
    "Put": "PutObject",
    "Post": "POST Object",
    "Copy": "CopyObject",
    "CompleteMultipartUpload": "CompleteMultipartUpload",
    "Delete": "DeleteObject",
    "DeleteMarkerCreated": "DeleteObject",
}

_SILENT: Final = frozenset({"s3:ObjectTagging", "s3:ObjectAcl"})
"""Events that moto sends with every put, and S3 only for requests that are about tags or ACLs."""

MotoObject = Any
"""A bucket, key or backend of moto, which has no types that mypy sees."""


class _Request(threading.local):
    """The request of this thread.

    Attributes:
        silent: What the names of events begin with that it does not send.
    """

    silent: frozenset[str] = _SILENT


class NotificationHooks:
    """The hooks on moto's S3.

    Args:
        send: Takes notifications.
        now: Epoch seconds.
    """

    def __init__(self, send: Callable[[Sequence[Letter]], None], now: Callable[[], float]) -> None:
        self._send = send
        self._now = now
        self._request = _Request()

    def install(self, replaced: Replaced) -> None:
        """Replace what is replaced."""
        from moto.s3 import notifications  # noqa: PLC0415 - 0.1 s that other requests do without
        from moto.s3.models import S3Backend  # noqa: PLC0415 - likewise

        module = cast(type, notifications)
        replaced.method(module, "send_event", self._filtered)
        replaced.method(module, "_get_s3_event", lambda _: self._s3_event)
        replaced.method(module, "_send_sqs_message", lambda _: self._notify_queue)
        replaced.method(module, "_send_sns_message", lambda _: self._notify)
        replaced.method(module, "_invoke_awslambda", lambda _: self._notify)
        replaced.method(module, "_send_event_bridge_message", self._notify_bus)
        replaced.method(S3Backend, "delete_object", self._deleted)

    def begins(self, arrival: Arrival) -> None:
        """A request begins on this thread: which notifications it is about is read from it."""
        keys = {part.partition("=")[0] for part in arrival.path.partition("?")[2].split("&")}
        self._request.silent = _SILENT - {
            kind
            for kind, wanted in (("s3:ObjectTagging", "tagging" in keys), ("s3:ObjectAcl", "acl" in keys))
            if wanted
        }
        if arrival.method == "POST" and "uploadId" in keys:
            # An object that was put together is one event, not that of a put as well.
            self._request.silent |= {"s3:ObjectCreated:Put"}

    def _filtered(self, original: Method) -> Method:
        def send_event(account: str, event_name: str, bucket: MotoObject, key: MotoObject) -> None:
            name = str(getattr(event_name, "value", event_name))
            if not name.startswith(tuple(self._request.silent)):
                original(account, event_name, bucket, key)

        return send_event

    def _deleted(self, original: Method) -> Method:
        """Moto tells of some deletions in a bucket with versions; S3 of every one, and of every delete marker."""
        from moto.s3 import notifications  # noqa: PLC0415 - see install

        kinds = notifications.S3NotificationEvent

        def delete_object(
            backend: MotoObject,
            bucket_name: str,
            key_name: str,
            version_id: str | None = None,
            bypass: bool = False,
        ) -> tuple[bool, dict[str, Any]]:
            bucket = backend.get_bucket(bucket_name)
            if not bucket.is_versioned:
                return cast(tuple[bool, dict[str, Any]], original(backend, bucket_name, key_name, version_id, bypass))
            before = [key for key in bucket.keys.getlist(key_name, []) if str(key.version_id) == str(version_id)]
            silent, self._request.silent = self._request.silent, frozenset({"s3:ObjectRemoved"})
            try:
                answer: tuple[bool, dict[str, Any]] = original(backend, bucket_name, key_name, version_id, bypass)
            finally:
                self._request.silent = silent
            removed = before
            event = kinds.OBJECT_REMOVED_DELETE_EVENT
            if version_id is None:
                removed = bucket.keys.getlist(key_name, [])[-1:]
                event = kinds.OBJECT_REMOVED_DELETE_MARKER_CREATED_EVENT
            if answer[0] and removed:
                notifications.send_event(backend.account_id, event, bucket, removed[0])
            return answer

        return delete_object

    def _notify_queue(self, account: str, body: Json, queue: str, region: str) -> None:
        self._notify(account, body, naming.arn("sqs", region, account, queue), region)

    def _notify(self, account: str, body: Json, arn: str, region: str) -> None:
        call = TargetCall(
            scope=Scope(account, region),
            target={"Arn": arn},
            payload=json.dumps(body),
            origin="arn:aws:s3:::" + _bucket_of(body),
            created=self._now(),
        )
        self._send([call])

    def _s3_event(self, event_name: str, bucket: MotoObject, key: MotoObject, notification: str) -> dict[str, Json]:
        """The message of a notification.

        Source: "Event message structure" of the S3 user guide.
        """
        name = str(getattr(event_name, "value", event_name)).removeprefix("s3:")
        described: dict[str, Json] = {"key": quote(key.name, safe="/!-_.*'()").replace("%20", "+")}
        if name.startswith("ObjectCreated"):
            described |= {"size": key.size, "eTag": key.etag.strip('"')}
        version = getattr(key, "version_id", None)
        if version not in {None, "null"}:
            described["versionId"] = version
        identity = {"principalId": f"AWS:{bucket.account_id}"}
        record: dict[str, Json] = {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": bucket.region_name,
            "eventTime": precise(self._now()),
            "eventName": name,
            "userIdentity": identity,
            "requestParameters": {"sourceIPAddress": "127.0.0.1"},
            "responseElements": {"x-amz-request-id": uuid.uuid4().hex[:16].upper(), "x-amz-id-2": uuid.uuid4().hex},
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": notification,
                "bucket": {"name": bucket.name, "ownerIdentity": identity, "arn": bucket.arn},
                "object": {**described, "sequencer": self._sequencer()},
            },
        }
        return {"Records": [record]}

    def _notify_bus(self, _: Method) -> Method:
        from moto.s3.notifications import _detail_type  # noqa: PLC0415 - see install

        def notify_bus(account: str, bucket: MotoObject, event_name: str, key: MotoObject) -> None:
            """Source: "Amazon S3 event message structure" for EventBridge, S3 user guide."""
            what = str(getattr(event_name, "value", event_name)).rsplit(":", 1)[-1]
            described: dict[str, Json] = {"key": key.name}
            detail: dict[str, Json] = {"version": "0", "bucket": {"name": bucket.name}, "object": described}
            detail |= {
                "request-id": uuid.uuid4().hex[:16].upper(),
                "requester": account,
                "source-ip-address": "127.0.0.1",
            }
            detail_type = _detail_type(event_name)
            if detail_type == "Object Created":
                described |= {"size": key.size, "etag": key.etag.strip('"')}
            if detail_type == "Object Deleted":
                marked = what == "DeleteMarkerCreated"
                detail["deletion-type"] = "Delete Marker Created" if marked else "Permanently Deleted"
            version = getattr(key, "version_id", None)
            if version not in {None, "null"}:
                described["version-id"] = version
            described["sequencer"] = self._sequencer()
            detail["reason"] = _REASONS.get(what, what)
            scope = Scope(bucket.account_id, bucket.region_name)
            event = envelope(scope, "aws.s3", detail_type, resources=[bucket.arn], detail=detail, seconds=self._now())
            self._send([BusEvent(scope=scope, event=event)])

        return notify_bus

    def _sequencer(self) -> str:
        return f"{round(self._now() * 1_000_000):018X}"


def _bucket_of(body: Json) -> str:
    records = body.get("Records")
    return str(records[0]["s3"]["bucket"]["name"] if records else body.get("Bucket", ""))
