"""The compile cache: structures by what they were made from, one folder each."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlops_sm.compile.dependencies import unchanged
from mlops_sm.compile.structure import Structure, dump, load
from mlops_sm.errors import Problem, RefusedError

MAX_ENTRIES: Final = 64
"""Entries kept, the least recently used go first; one holds a definition and what the SDK made, rarely over 1 MB."""

_STRUCTURE: Final = "structure.json"
_CONTENT: Final = "content"
_NAME_DIGITS: Final = 32


@dataclass(frozen=True, slots=True)
class Entry:
    """A structure in the cache and the folder for the content no other file has."""

    folder: Path
    structure: Structure

    def keep(self, content: bytes) -> Path:
        """Store content; the same content has the same path.

        Raises:
            RefusedError: The cache cannot be written (E317).
        """
        path = self.folder / _CONTENT / hashlib.sha256(content).hexdigest()
        with _refusing(self.folder):
            if not path.exists() or path.read_bytes() != content:
                path.parent.mkdir(exist_ok=True)
                _put(path, content)
        return path


@dataclass(frozen=True, slots=True)
class CompileCache:
    """Entries ``<key>-<digest of the structure>/`` in one folder, shared by any number of processes.

    Its files are written aside and appear by one rename each. One that cannot be read, or is not what its name says,
    is a miss.

    Attributes:
        folder: Made when the first entry is stored.
        max_entries: Entries kept.
    """

    folder: Path
    max_entries: int = MAX_ENTRIES

    def find(self, key: str, project_root: Path) -> Entry | None:
        """The entry whose dependencies are all unchanged, or None.

        Args:
            key: Digest of everything that is known without looking at files: settings and versions.
            project_root: Where the dependencies are.
        """
        for folder in self._newest_first(f"{key[:_NAME_DIGITS]}-*"):
            structure = _read(folder)
            if structure is not None and structure.repeatable and unchanged(structure.dependencies, project_root):
                _touch(folder)
                return Entry(folder, structure)
        return None

    def store(self, key: str, structure: Structure) -> Entry:
        """Add a structure, and drop the oldest entries beyond the limit.

        Raises:
            RefusedError: The cache cannot be written (E317).
        """
        text = dump(structure)
        folder = self.folder / _entry_name(key, text)
        with _refusing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            if _read(folder) is None:
                folder.mkdir(exist_ok=True)
                _put(folder / _STRUCTURE, text.encode())
        _touch(folder)
        others = [other for other in self._newest_first("*-*") if other != folder]
        for old in others[self.max_entries - 1 :]:
            shutil.rmtree(old, ignore_errors=True)
        return Entry(folder, structure)

    def _newest_first(self, pattern: str) -> Iterator[Path]:
        dated = []
        for folder in self.folder.glob(pattern):
            try:
                dated.append((folder.stat().st_mtime_ns, folder))
            except FileNotFoundError:
                continue  # another process dropped it just now
        yield from (folder for _, folder in sorted(dated, reverse=True))


def _entry_name(key: str, text: str) -> str:
    return f"{key[:_NAME_DIGITS]}-{hashlib.sha256(text.encode()).hexdigest()[:_NAME_DIGITS]}"


def _read(folder: Path) -> Structure | None:
    try:
        text = (folder / _STRUCTURE).read_text(encoding="utf-8")
        key = folder.name.partition("-")[0]
        return load(text) if folder.name == _entry_name(key, text) else None
    except (OSError, ValueError):
        return None


def _put(path: Path, content: bytes) -> None:
    """Give a file its content in one step, so that any number of writers leave one whole file."""
    handle, aside = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(aside).replace(path)
    except OSError:
        Path(aside).unlink(missing_ok=True)
        raise


def _touch(folder: Path) -> None:
    """Mark an entry as used; on a file system that is read-only it stays as old as it is."""
    try:
        os.utime(folder)
    except OSError:
        return


@contextmanager
def _refusing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as refused:
        raise RefusedError(
            Problem(
                "E317",
                str(folder),
                f"the compile cache cannot be written: {refused.strerror or refused}",
                "make the folder writable, free space, or choose another state directory",
            )
        ) from refused
