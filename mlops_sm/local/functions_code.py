"""The code of functions and layers: zip archives, unpacked once per content and never outside their folder."""

from __future__ import annotations

import hashlib
import io
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import Final

MAX_UNPACKED_BYTES: Final = 250 << 20
"""A function's unzipped code with its layers ("Lambda quotas" of the Lambda developer guide)."""
_MAX_MEMBERS: Final = 100_000
_MAX_LINK: Final = 4096


class BadCodeError(Exception):
    """An archive that cannot be used; the text says why."""


class TooBigError(BadCodeError):
    """An archive with more in it than a function may have."""


_UNREADABLE: Final = (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError)
"""What `zipfile` raises for content that it cannot read: damaged, compressed in a way it lacks, or encrypted."""


def check_code(content: bytes) -> None:
    """Look through an archive without unpacking it.

    Raises:
        BadCodeError: It is no zip archive, too big, or a member leads out of it or is a device.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _members(archive)
    except (*_UNREADABLE, OSError) as error:
        raise BadCodeError(str(error)) from error


def unpacked(content: bytes, folder: Path) -> Path:
    """The folder with the archive's content; unpacked when it is not there yet.

    Args:
        content: The zip archive.
        folder: Where archives are unpacked, each in a folder named by its digest.

    Raises:
        BadCodeError: See `check_code`.
        OSError: The disk refused.
    """
    target = folder / hashlib.sha256(content).hexdigest()
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=folder, prefix="unpacking."))
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in _members(archive):
                _unpack(archive, member, scratch)
        scratch.chmod(0o755)
        if not target.is_dir():
            scratch.rename(target)
    except _UNREADABLE as error:
        raise BadCodeError(str(error)) from error
    except OSError:
        # Another thread may have been faster; anything else is the disk's.
        if not target.is_dir():
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    members = archive.infolist()
    if len(members) > _MAX_MEMBERS:
        raise BadCodeError(f"it has more than {_MAX_MEMBERS} members")
    if sum(member.file_size for member in members) > MAX_UNPACKED_BYTES:
        raise TooBigError(f"Unzipped size must be smaller than {MAX_UNPACKED_BYTES} bytes")
    for member in members:
        name = PurePosixPath(member.filename)
        if name.is_absolute() or ".." in name.parts or "\0" in member.filename:
            raise BadCodeError(f"member {member.filename!r} leads out of the archive")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in {0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}:
            raise BadCodeError(f"member {member.filename!r} is a device or a pipe")
    return members


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    mode = member.external_attr >> 16
    path = _within(target, member.filename, member.filename)
    if member.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or path.exists():
        path.unlink()
    if stat.S_ISLNK(mode):
        if member.file_size > _MAX_LINK:
            raise BadCodeError(f"link {member.filename!r} is too long")
        link = archive.read(member).decode()
        _within(target, str(PurePosixPath(member.filename).parent / link), link)
        path.symlink_to(link)
        return
    room = member.file_size
    with archive.open(member) as content, path.open("wb") as file:
        # What the directory of the archive says is what its limit was checked with.
        while part := content.read(1 << 16):
            room -= len(part)
            if room < 0:
                raise BadCodeError(f"member {member.filename!r} is bigger than the archive says")
            file.write(part)
    path.chmod(0o755 if mode & 0o111 else 0o644)


def _within(target: Path, name: str, shown: str) -> Path:
    """The path of a member, after every link on its way."""
    path = target / name
    if PurePosixPath(name).is_absolute() or not path.resolve().is_relative_to(target.resolve()):
        raise BadCodeError(f"{shown!r} leads out of the archive")
    return path
