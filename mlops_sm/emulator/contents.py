"""The contents of S3 objects: one file each, named by a random id, never changed after it was written.

A file counts only once the database names it: a crash between the two leaves a file that `sweep` removes.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import IO, Final

_BLOCK: Final = 1 << 20
_RANGE: Final = 1 << 30
_NOT_HERE: Final = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF})
"""What copy_file_range answers where it cannot work, as opposed to where the copy failed."""


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

    def path(self, content: str) -> Path:
        """Where a content is."""
        return self._folder / content[:2] / content

    def write(self, source: IO[bytes]) -> str:
        """Copy an open file from its start, block by block; returns the new content's id."""
        source.seek(0)
        content, path = self._fresh()
        try:
            with path.open("wb") as target:
                shutil.copyfileobj(source, target, _BLOCK)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return content

    def take(self, source: Path) -> str:
        """Copy a file by the fastest way the file system has; returns the new content's id."""
        content, path = self._fresh()
        try:
            copy_file(source, path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
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

    def _fresh(self) -> tuple[str, Path]:
        content = self._new_id()
        path = self.path(content)
        path.parent.mkdir(parents=True, exist_ok=True)
        return content, path


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's content; the kernel does it, and a file system that can share blocks copies nothing."""
    copy_range = getattr(os, "copy_file_range", None)  # Linux only
    if copy_range is None:
        shutil.copyfile(source, target)
        return
    with source.open("rb") as reader, target.open("wb") as writer:
        size = os.fstat(reader.fileno()).st_size
        try:
            while size > 0:
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
            writer.seek(0)
            writer.truncate()
            shutil.copyfileobj(reader, writer, _BLOCK)
