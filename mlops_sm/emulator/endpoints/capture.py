"""Data capture: what went in and what came out of an endpoint, as lines of JSON in S3.

Source: "Capture data from real-time endpoint" of the SageMaker developer guide: the lines, and the keys
``prefix/endpoint/variant/yyyy/mm/dd/hh/file.jsonl``; API reference, DataCaptureConfig and CaptureContentTypeHeader.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from mlops_sm.definition.document import Json
from mlops_sm.emulator.store import Scope
from mlops_sm.local.site import ObjectStore, StoreError
from mlops_sm.naming import parse_s3_uri

_DEFAULT_TYPE: Final = "application/octet-stream"
_HOUR: Final = "%Y/%m/%d/%H"
_MAX_FILE: Final = 8 << 20
"""Bytes of lines after which a file is written at once."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and its answer.

    Attributes:
        request: The payload.
        request_type: Its content type.
        response: The answer.
        response_type: Its content type.
        inference_id: What the caller calls it.
        attributes: The request's custom attributes.
    """

    request: bytes
    request_type: str | None
    response: bytes
    response_type: str
    inference_id: str | None = None
    attributes: str | None = None

    def line(self, config: Mapping[str, Json], time: datetime) -> bytes:
        """The line for it.

        Args:
            config: The DataCaptureConfig.
            time: When it was.
        """
        modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
        data: dict[str, Json] = {}
        if modes & {"Input", "InputAndOutput"}:
            data["endpointInput"] = _side("INPUT", self.request, self.request_type, config)
        if modes & {"Output", "InputAndOutput"}:
            data["endpointOutput"] = _side("OUTPUT", self.response, self.response_type, config)
        about: dict[str, Json] = {"eventId": str(uuid.uuid4()), "inferenceTime": f"{time:%Y-%m-%dT%H:%M:%SZ}"}
        if self.inference_id is not None:
            about["inferenceId"] = self.inference_id
        if self.attributes is not None:
            about["customAttributes"] = [self.attributes]
        return json.dumps({"captureData": data, "eventMetadata": about, "eventVersion": "0"}).encode() + b"\n"


class _File(NamedTuple):
    scope: Scope
    folder: str
    """S3 URI, with the hour."""


class Captures:
    """Gathers lines and writes them into S3. Safe to use from several threads.

    Args:
        store: The S3 of a scope.
        scratch: A folder for files on their way.
        clock: The account's time.
    """

    def __init__(self, store: Callable[[Scope], ObjectStore], scratch: Path, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._scratch = scratch
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: dict[_File, bytearray] = {}

    def add(self, scope: Scope, endpoint: str, variant: str, config: Mapping[str, Json], exchange: Exchange) -> None:
        """Keep a line until it is written."""
        now = self._clock().astimezone(UTC)
        folder = f"{config['DestinationS3Uri'].rstrip('/')}/{endpoint}/{variant}/{now.strftime(_HOUR)}"
        line = exchange.line(config, now)
        with self._lock:
            lines = self._waiting.setdefault(_File(scope, folder), bytearray())
            lines += line
            full = len(lines) > _MAX_FILE
        if full:
            self.write()

    def write(self) -> None:
        """Write what was gathered, one file for each variant and hour."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for file, lines in waiting.items():
            now = self._clock().astimezone(UTC)
            name = f"{now:%M-%S}-{now.microsecond // 1000:03d}-{uuid.uuid4()}.jsonl"
            self._scratch.mkdir(parents=True, exist_ok=True)
            path = self._scratch / name
            try:
                path.write_bytes(lines)
                target = parse_s3_uri(f"{file.folder}/{name}")
                self._store(file.scope).store(path, target.bucket, target.key)
            except (StoreError, OSError, ValueError) as error:
                _log.warning("captured data could not be written below %s: %s", file.folder, error)
            finally:
                path.unlink(missing_ok=True)


def _side(mode: str, content: bytes, content_type: str | None, config: Mapping[str, Json]) -> dict[str, Json]:
    encoding = _encoding(content_type or "", config.get("CaptureContentTypeHeader") or {})
    text = base64.b64encode(content).decode() if encoding == "BASE64" else content.decode(errors="replace")
    return {
        "observedContentType": content_type or _DEFAULT_TYPE,
        "mode": mode,
        "data": text,
        "encoding": encoding,
    }


def _encoding(content_type: str, header: Mapping[str, Json]) -> str:
    """How data of a content type is written: "If no headers are specified SageMaker AI will by default base64 encode".

    Parameters such as a charset do not count.
    """
    kind = content_type.partition(";")[0].strip().lower()
    for encoding, member in (("CSV", "CsvContentTypes"), ("JSON", "JsonContentTypes")):
        if kind in {given.partition(";")[0].strip().lower() for given in header.get(member) or []}:
            return encoding
    return "BASE64"
