"""AWS's event stream encoding, in which InvokeEndpointWithResponseStream answers.

Source: "Event stream encoding" of the Amazon Transcribe developer guide, and botocore's ``eventstream.py``, which reads
it: a prelude with lengths and its checksum, headers, the payload, the checksum of all.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Final

CONTENT_TYPE: Final = "application/vnd.amazon.eventstream"
_PRELUDE: Final = struct.Struct("!II")
_CHECKSUM: Final = struct.Struct("!I")
_STRING: Final = 7
"""The type of a header whose value is text."""


def part(content: bytes) -> bytes:
    """A PayloadPart."""
    headers = {":message-type": "event", ":event-type": "PayloadPart", ":content-type": "application/octet-stream"}
    return _message(headers, content)


def failure(kind: str, message: str, code: str) -> bytes:
    """An error after the stream has begun, e.g. a ModelStreamError with its ErrorCode."""
    headers = {":message-type": "exception", ":exception-type": kind, ":content-type": "application/json"}
    return _message(headers, json.dumps({"Message": message, "ErrorCode": code}).encode())


def _message(headers: Mapping[str, str], payload: bytes) -> bytes:
    encoded = b"".join(_header(name, value) for name, value in headers.items())
    prelude = _PRELUDE.pack(16 + len(encoded) + len(payload), len(encoded))
    body = prelude + _CHECKSUM.pack(zlib.crc32(prelude)) + encoded + payload
    return body + _CHECKSUM.pack(zlib.crc32(body))


def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return bytes([len(key)]) + key + bytes([_STRING]) + struct.pack("!H", len(text)) + text
