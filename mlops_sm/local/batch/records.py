"""Payloads out of one input object: the whole of it, or lines of it, as many as fit or one at a time."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Protocol

MEGABYTE: Final = 1 << 20


class Readable(Protocol):
    """What payloads are read from."""

    def read(self, size: int = -1, /) -> bytes:
        """At most so many bytes; all of them when it is negative."""

    def readline(self, size: int | None = -1, /) -> bytes:
        """The rest of a line, at most so many bytes."""


class PayloadError(Exception):
    """An object that no payload can be made of; the message is the service's."""


def opened(path: Path, *, compressed: bool) -> AbstractContextManager[Readable]:
    """An input object's content, decompressed."""
    return gzip.open(path) if compressed else path.open("rb")


def payloads(content: Readable, *, lines: bool, single: bool, limit: int | None) -> Iterator[bytes]:
    """The payloads of an object in its order. Lines keep their ends; empty lines and empty objects are no payload.

    Args:
        content: The object.
        lines: Whether it is split at line ends; the service's SplitType Line.
        single: Whether a payload is one record; its BatchStrategy SingleRecord.
        limit: Bytes of a payload; None for any number.

    Raises:
        PayloadError: A record is bigger than a payload may be, or the object cannot be decompressed.
    """
    try:
        if not lines:
            yield from _whole(content, limit)
        elif single:
            yield from _each_line(content, limit)
        else:
            yield from _batches(content, limit)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise PayloadError(f"Unable to decompress the object: {error}") from error


def _whole(content: Readable, limit: int | None) -> Iterator[bytes]:
    body = content.read() if limit is None else content.read(limit + 1)
    if limit is not None and len(body) > limit:
        raise _too_much()
    if body:
        yield body


def _each_line(content: Readable, limit: int | None) -> Iterator[bytes]:
    while line := content.readline() if limit is None else content.readline(limit + 1):
        if limit is not None and len(line) > limit:
            raise _too_much()
        if line.strip(b"\r\n"):
            yield line


def _batches(content: Readable, limit: int | None) -> Iterator[bytes]:
    if limit is None:
        yield from _whole(content, None)
        return
    buffer = b""
    while True:
        buffer += content.read(limit + 1 - len(buffer))
        if len(buffer) <= limit:
            if buffer.strip(b"\r\n"):
                yield buffer
            return
        end = buffer.rfind(b"\n", 0, limit) + 1
        if not end:
            raise _too_much()
        yield buffer[:end]
        buffer = buffer[end:]


def _too_much() -> PayloadError:
    return PayloadError("Too much data for max payload size")
