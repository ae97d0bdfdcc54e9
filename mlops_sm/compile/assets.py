"""Assets: local code that a definition refers to, addressed by its content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from mlops_sm.errors import InputError, Problem

SKIPPED_NAMES: Final = (
    *("__pycache__", "*.py[co]", ".DS_Store", "Thumbs.db", "*~", "*.sw[op]", ".#*", "#*#"),
    *(".git", ".hg", ".svn", ".ipynb_checkpoints", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".venv", ".mlops_sm"),
)
"""Patterns of names that are never part of a folder's content: caches, editor backups, version control, our state."""

_CHUNK: Final = 1 << 20


class AssetForm(StrEnum):
    """What is uploaded: the file itself, or a folder as ``sourcedir.tar.gz``."""

    FILE = "file"
    ARCHIVE = "archive"


@dataclass(frozen=True, slots=True)
class Asset:
    """One object that a publish uploads unless it is there.

    Attributes:
        uri: Its S3 URI; the key contains the digest, so an object that is there is the right one.
        path: The file, or the folder of an ARCHIVE.
        form: Which of the two.
        digest: sha256, hex, of a file's bytes or of a folder's sorted relative paths and contents.
    """

    uri: str
    path: Path
    form: AssetForm
    digest: str


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes, hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_digest(folder: Path) -> str:
    """sha256 over a folder's sorted relative paths and the digests of their contents, hex.

    Raises:
        InputError: A member cannot be part of an asset (E308).
    """
    return listing_digest((name, file_digest(path)) for name, path in folder_members(folder))


def listing_digest(members: Iterator[tuple[str, str]]) -> str:
    """sha256 over (relative path, digest of the content) pairs, in their order, hex."""
    listing = hashlib.sha256()
    for name, digest in members:
        # a NUL cannot be part of a path, so two listings never read the same
        listing.update(f"{name}\0{digest}\n".encode())
    return listing.hexdigest()


def folder_members(folder: Path) -> list[tuple[str, Path]]:
    """The files of a folder, sorted by relative POSIX path; links are followed as long as they stay inside.

    Raises:
        InputError: A link leaves the folder or is broken, a link makes a circle, a member is neither file nor folder,
            or a name is not text (E308).
    """
    root = folder.resolve()
    problems: list[Problem] = []
    members = sorted(_walk(root, root, "", (root,), problems))
    if problems:
        raise InputError(*problems)
    return members


def _walk(
    root: Path, folder: Path, prefix: str, above: tuple[Path, ...], problems: list[Problem]
) -> Iterator[tuple[str, Path]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_skipped(entry.name):
                continue
            name = prefix + entry.name
            real = Path(entry.path).resolve()
            if fault := _fault(entry, name, real, root, above):
                problems.append(Problem("E308", f"{root.name}/{name}".encode(errors="replace").decode(), *fault))
            elif real.is_dir():
                yield from _walk(root, real, f"{name}/", (*above, real), problems)
            else:
                yield name, real


def _fault(
    entry: os.DirEntry[str], name: str, real: Path, root: Path, above: tuple[Path, ...]
) -> tuple[str, str] | None:
    try:
        name.encode()
    except UnicodeEncodeError:
        return "the name is not valid UTF-8, so no S3 key can hold it", "rename it"
    if entry.is_symlink() and not real.is_relative_to(root):
        return "the link leaves the asset's folder", "copy what it points at into the folder"
    if not real.exists():
        return "the link is broken", "repair or remove it"
    if entry.is_symlink() and real in above:
        return "the link points at a folder that contains it", "remove it"
    if not (real.is_file() or real.is_dir()):
        return "it is neither a file nor a folder", "remove it or move it out of the folder"
    return None


def is_skipped(name: str) -> bool:
    """Whether a file or folder of this name is left out of folders."""
    return any(fnmatchcase(name, pattern) for pattern in SKIPPED_NAMES)


def materialize(asset: Asset, target: Path) -> None:
    """Write the object to upload; the same content gives the same bytes on every machine.

    Args:
        asset: What to write.
        target: The file to write; its folder exists. It appears whole or not at all.

    Raises:
        InputError: The asset is gone or was changed since it was compiled (E315).
    """
    from mlops_sm.compile.archive import write_archive  # noqa: PLC0415 - tarfile costs 10 ms, and compiling packs nothing

    partial = target.with_name(target.name + ".partial")
    try:
        match asset.form:
            case AssetForm.FILE:
                written = _copy(asset.path, partial)
            case AssetForm.ARCHIVE:
                written = write_archive(asset.path, partial)
        if written != asset.digest:
            raise InputError(
                Problem("E315", str(asset.path), "the asset was changed after it was compiled", "run the command again")
            )
        partial.replace(target)
    except FileNotFoundError as gone:
        if Path(gone.filename) == partial:
            raise
        raise InputError(
            Problem("E315", str(asset.path), "the asset was removed after it was compiled", "run the command again")
        ) from gone
    finally:
        partial.unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> str:
    digest = hashlib.sha256()
    with source.open("rb") as reader, target.open("wb") as writer:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            writer.write(chunk)
    return digest.hexdigest()
