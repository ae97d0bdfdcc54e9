"""What flows through a pipe: whole objects one after the other, or records."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from mlops_sm.definition.document import Json
from mlops_sm.local.jobs.channels.channel import Channel
from mlops_sm.local.jobs.folder import JobFailureError
from mlops_sm.local.jobs.transfer import as_job_failure
from mlops_sm.local.site import ObjectStore
from mlops_sm.naming import S3Uri, parse_s3_uri

_CHUNK: Final = 1 << 20
_MAGIC: Final = 0xCED7230A
_HEAD: Final = struct.Struct("<II")
_MAX_RECORD: Final = (1 << 29) - 1
"""Bytes of one record: its length has 29 bits."""
_ALIGNED: Final = 4
_REFERENCE: Final = "-ref"
"""The end of the names of attributes that name an object ("Augmented Manifest Files for Training Jobs")."""

Line = dict[str, Json]


def lines_of(channel: Channel, store: ObjectStore) -> list[Line]:
    """The lines of an augmented manifest.

    Raises:
        JobFailureError: It is not there, is not JSON Lines, or a line lacks one of the attributes.
    """
    if not channel.attributes:
        raise _refused(channel, "needs AttributeNames")
    source = parse_s3_uri(channel.uri)
    lines = []
    for number, text in enumerate(store.read(source.bucket, source.key).splitlines(), start=1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
        except ValueError as error:
            raise _refused(channel, f"line {number} is not JSON ({error})") from error
        if not isinstance(line, dict):
            raise _refused(channel, f"line {number} is not a JSON object")
        missing = [name for name in channel.attributes if name not in line]
        if missing:
            raise _refused(channel, f"line {number} has no attribute {', '.join(missing)}")
        lines.append(line)
    if not lines:
        raise _refused(channel, "has no lines")
    return lines


def objects(channel: Channel, found: list[S3Uri], store: ObjectStore, scratch: Path) -> Iterator[bytes]:
    """The contents of objects one after the other, each a record of its own where the channel wraps."""
    for location in found:
        yield from _content(channel, location, store, scratch)


def attributes(channel: Channel, lines: list[Line], store: ObjectStore, scratch: Path) -> Iterator[bytes]:
    """The attributes of lines, each a record of its own: what it refers to, or its value.

    As AWS streams them: ``recordio_formatted(image1.jpg) recordio_formatted("1") ...`` ("Augmented Manifest File Format
    for Pipe Mode Training").
    """
    for line in lines:
        for name in channel.attributes:
            value = line[name]
            if name.endswith(_REFERENCE):
                yield from _content(channel, parse_s3_uri(str(value)), store, scratch)
            else:
                text = value if isinstance(value, str) else json.dumps(value)
                yield from _record(channel, text.encode())


def record(content: bytes) -> bytes:
    """A record of RecordIO: magic number, length, content, zeros up to the next multiple of four."""
    return _HEAD.pack(_MAGIC, len(content)) + content + b"\0" * (-len(content) % _ALIGNED)


def _record(channel: Channel, content: bytes) -> Iterator[bytes]:
    if channel.wrapped and len(content) > _MAX_RECORD:
        raise JobFailureError(
            f"ClientError: channel {channel.name}: a record of RecordIO has at most {_MAX_RECORD} bytes"
        )
    yield record(content) if channel.wrapped else content


def _content(channel: Channel, location: S3Uri, store: ObjectStore, scratch: Path) -> Iterator[bytes]:
    lent = scratch / f"{channel.name}.lent"
    with as_job_failure("Data download failed", scratch):
        store.lend(location.bucket, location.key, lent)
        with lent.open("rb") as file:
            lent.unlink()
            with _unpacked(file, location, compressed=channel.compressed) as content:
                if channel.wrapped:
                    yield from _record(channel, content.read())
                    return
                while chunk := content.read(_CHUNK):
                    yield chunk


@contextmanager
def _unpacked(file: IO[bytes], location: S3Uri, *, compressed: bool) -> Iterator[IO[bytes] | gzip.GzipFile]:
    if not compressed:
        yield file
        return
    try:
        with gzip.open(file) as content:
            yield content
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise JobFailureError(f"ClientError: Data download failed: {location} is not gzip ({error})") from error


def _refused(channel: Channel, what: str) -> JobFailureError:
    return JobFailureError(f"ClientError: Data download failed: augmented manifest {channel.uri} {what}")
