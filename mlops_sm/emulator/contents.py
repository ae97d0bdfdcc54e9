"""The contents of S3 objects: one file each, named by a random id, never changed after it was written.

A file counts only once the database names it: a crash between the two leaves a file that `sweep` removes.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from mlops_sm.emulator.file_parts import FilePart

_BLOCK: Final = 1 << 20
_RANGE: Final = 1 << 30
_NOT_HERE: Final = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF})
"""What copy_file_range answers where it cannot work, as opposed to where the copy failed."""


class _Local(threading.local):
    lending = False
    lent: FilePart | None = None
    offered: tuple[str, str | None] | None = None


class Contents:
    """The folder of the files.

    Args:
        folder: Made when it is not there.
        new_id: A fresh id of at least three characters that are safe in a file name.
    """

    def __init__(self, folder: Path, new_id: Callable[[], str]) -> None:
        self._folder = folder
        self._new_id = new_id
        self._discarded: list[str] = []
        self._local = _Local()

    @contextmanager
    def lending(self) -> Iterator[None]:
        """Inside, on this thread, a large content that somebody reads is given as a part of its file."""
        self._local.lending = True
        try:
            yield
        finally:
            self.end_lending()

    def lend(self, part: FilePart) -> FilePart:
        """Give out a part of a file."""
        self._local.lent = part
        return part

    def end_lending(self) -> FilePart | None:
        """From here on contents are read into memory; returns what was lent last."""
        lent, self._local.lent, self._local.lending = self._local.lent, None, False
        return lent

    @property
    def is_lending(self) -> bool:
        """Whether this thread is inside of `lending`."""
        return self._local.lending

    def offer(self, content: str, etag: str | None = None) -> None:
        """Have this thread's next new object adopt a content.

        Args:
            content: Its id.
            etag: Its entity tag, unless the object brings its own.
        """
        self._local.offered = (content, etag)

    @property
    def has_offer(self) -> bool:
        """Whether something was offered to this thread and not taken yet."""
        return self._local.offered is not None

    def drop_offer(self) -> None:
        """Remove what was offered to this thread and not taken."""
        offered = self.take_offer()
        if offered is not None:
            self.remove([offered[0]])

    def take_offer(self) -> tuple[str, str | None] | None:
        """What was offered to this thread and not taken yet."""
        offered, self._local.offered = self._local.offered, None
        return offered

    def path(self, content: str) -> Path:
        """Where a content is."""
        return self._folder / content[:2] / content

    def write(self, source: IO[bytes]) -> str:
        """Copy an open file from its start, block by block; returns the new content's id."""
        source.seek(0)
        with self._fresh() as (content, path), path.open("wb") as target:
            shutil.copyfileobj(source, target, _BLOCK)
        return content

    def receive(self, blocks: Iterable[bytes]) -> str:
        """Write blocks one after the other; returns the new content's id."""
        with self._fresh() as (content, path), path.open("wb") as target:
            target.writelines(blocks)
        return content

    def join(self, contents: Iterable[str]) -> str:
        """Contents one after the other as a new one; returns its id. The kernel copies where it can."""
        with self._fresh() as (content, path), path.open("wb") as target:
            for part in contents:
                with self.path(part).open("rb") as source:
                    _append(source, target)
        return content

    def take(self, source: Path) -> str:
        """Copy a file by the fastest way the file system has; returns the new content's id."""
        with self._fresh() as (content, path):
            copy_file(source, path)
        return content

    def discard(self, content: str) -> None:
        """Remember that nothing in memory needs a content any more."""
        self._discarded.append(content)

    def take_discarded(self) -> list[str]:
        """What was discarded since the last call; to be removed once the database does not name it either."""
        taken, self._discarded = self._discarded, []
        return taken

    def remove(self, contents: Iterable[str]) -> None:
        """Delete contents that nothing names any more."""
        for content in contents:
            self.path(content).unlink(missing_ok=True)

    def sweep(self, known: Collection[str]) -> None:
        """Delete every content that is not among the known ones."""
        for path in self._folder.glob("*/*"):
            if path.name not in known:
                path.unlink(missing_ok=True)

    @contextmanager
    def _fresh(self) -> Iterator[tuple[str, Path]]:
        """A new content's id and where to write it; nothing is left of one that could not be written."""
        content = self._new_id()
        path = self.path(content)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield content, path
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's content; the kernel does it, and a file system that can share blocks copies nothing."""
    with source.open("rb") as reader, target.open("wb") as writer:
        _append(reader, writer)


def _append(reader: IO[bytes], writer: IO[bytes]) -> None:
    """Copy an open file to where another one is."""
    copy_range = getattr(os, "copy_file_range", None)  # Linux only
    start = writer.tell()
    size = os.fstat(reader.fileno()).st_size
    try:
        while copy_range is not None and size > 0:
            copied = copy_range(reader.fileno(), writer.fileno(), min(size, _RANGE))
            if copied == 0:
                break
            size -= copied
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
    if size > 0:
        # Some network file systems, or two file systems under an old kernel.
        reader.seek(0)
        writer.seek(start)
        writer.truncate()
        shutil.copyfileobj(reader, writer, _BLOCK)
    else:
        writer.seek(0, os.SEEK_END)
