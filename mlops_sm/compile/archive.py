"""Byte-stable tar.gz files: what goes in decides every byte, and nothing else does."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from mlops_sm.compile.assets import folder_members, listing_digest

_MODE: Final = 0o755
"""Of every member: a shell script must stay runnable, and file modes differ between file systems and checkouts."""


def write_archive(folder: Path, target: Path) -> str:
    """Pack a folder's files as tar.gz.

    Returns:
        The folder's digest, taken from the very bytes that were packed.

    Raises:
        InputError: A member cannot be part of an asset (E308).
    """
    packed: list[tuple[str, str]] = []
    with target.open("wb") as stream, _stable_tar(stream) as tar:
        for name, path in folder_members(folder):
            content = path.read_bytes()
            packed.append((name, hashlib.sha256(content).hexdigest()))
            _add(tar, name, content)
    return listing_digest(iter(packed))


def repack(content: bytes) -> bytes:
    """The same members sorted, without times, owners and modes; content that is no tar.gz comes back as it is.

    The SDK packs folders itself for some classes, with the clock in every header.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
            members = sorted((m.name, _content(tar, m)) for m in tar.getmembers() if m.isfile() or m.islnk())
    except (tarfile.TarError, OSError, EOFError, zlib.error):
        return content
    stream = io.BytesIO()
    with _stable_tar(stream) as tar:
        for name, body in members:
            _add(tar, name, body)
    return stream.getvalue()


def is_gzip(content: bytes) -> bool:
    """Whether the content begins like a gzip file."""
    return content.startswith(b"\x1f\x8b")


@contextmanager
def _stable_tar(stream: IO[bytes]) -> Iterator[tarfile.TarFile]:
    # no name and no time in the gzip header either
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=stream, mtime=0) as compressed,
        tarfile.TarFile(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        yield tar


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.mode = _MODE
    tar.addfile(member, io.BytesIO(content))


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = tar.extractfile(member)
    return stream.read() if stream is not None else b""
