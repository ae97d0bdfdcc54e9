"""Archives of a job: a model or output that leaves it, source code that enters it."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from mlops_sm.local.jobs.folder import JobFailureError

MAX_SOURCE_BYTES: Final = 1 << 30
"""Unpacked bytes of a source archive; far above any code, far below a full disk."""
MAX_SOURCE_MEMBERS: Final = 100_000
_COMPRESSION_LEVEL: Final = 1
"""Models are floats: level 6 takes three times as long for a few percent."""


def pack(sources: Sequence[Path], target: Path) -> None:
    """Write the content of folders as one ``tar.gz``, names relative to them; pipes, sockets and devices are left out.

    Args:
        sources: The folders; what an earlier one has, a later one cannot replace.
        target: The archive.

    Raises:
        OSError: A file cannot be read or the disk is full.
    """
    files: set[str] = set()
    folders: set[str] = set()

    def first(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if not (member.isfile() or member.isdir() or member.issym() or member.islnk()):
            return None
        if member.name in files or (member.name in folders and not member.isdir()):
            return None
        (folders if member.isdir() else files).add(member.name)
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    with tarfile.open(target, "w:gz", compresslevel=_COMPRESSION_LEVEL) as archive:
        for source in sources:
            for path in sorted(source.iterdir()):
                archive.add(path, path.name, filter=first)


def unpack(archive: Path, target: Path, *, limit: int | None = None) -> None:
    """Unpack source code or a model; nothing is written outside `target`, and only files, folders and links within it.

    Args:
        archive: The archive.
        target: Where its members go; made if missing.
        limit: How many bytes they may have; default `MAX_SOURCE_BYTES`.

    Raises:
        JobFailureError: Not a tar archive, too big, or a member that leads out of the folder or is a device.
    """
    target.mkdir(parents=True, exist_ok=True)
    allowed = MAX_SOURCE_BYTES if limit is None else limit
    room = allowed
    try:
        with tarfile.open(archive) as source:
            for count, member in enumerate(source):
                if count >= MAX_SOURCE_MEMBERS:
                    raise _refused(f"it has more than {MAX_SOURCE_MEMBERS} members")
                room -= max(0, member.size)
                if room < 0:
                    raise _refused(f"it unpacks to more than {allowed >> 20} MiB")
                _unpack_member(source, member, target)
    except (tarfile.TarError, EOFError, OSError, RuntimeError) as error:  # RuntimeError: links that go in a circle
        raise _refused(f"it cannot be unpacked ({error})") from error


def _unpack_member(source: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    name = PurePosixPath(member.name)
    path = _within(target, name, member.name)
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    if not name.parts:
        raise _refused(f"member {member.name!r} has no name")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or path.exists():
        path.unlink()
    if member.issym():
        _within(target, name.parent / member.linkname, member.linkname)
        path.symlink_to(member.linkname)
    elif member.islnk():
        shutil.copyfile(_within(target, PurePosixPath(member.linkname), member.linkname), path)
    elif member.isfile():
        content = source.extractfile(member)
        if content is None:
            raise _refused(f"member {member.name!r} has no content")
        with content, path.open("wb") as file:
            shutil.copyfileobj(content, file)
        path.chmod(0o755 if member.mode & 0o100 else 0o644)
    else:
        raise _refused(f"member {member.name!r} is a device or a pipe")


def _within(target: Path, name: PurePosixPath, shown: str) -> Path:
    """The path of a member, after every link on its way."""
    path = target / name
    if name.is_absolute() or not path.resolve().is_relative_to(target.resolve()):
        raise _refused(f"member {shown!r} leads out of the folder")
    return path


def _refused(why: str) -> JobFailureError:
    return JobFailureError(f"ClientError: the source archive is refused: {why}")
