"""Contents that are not in memory: parts of files, and what comes bit by bit.

The content of a large object as moto hands it on is bytes by its type, and a part of a file in truth. moto asks it for
its length and for a slice, when a range is wanted; nothing of the file is read for that. Whoever sends the answer reads
it block by block.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self, SupportsIndex

_BLOCK: Final = 1024**2


class _Descriptor:
    """An open file, closed when the last part of it is gone; what has been deleted since can still be read."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        number = self.__dict__.get("number")
        if number is not None:
            os.close(number)


class FilePart(bytes):
    """A part of a file.

    Attributes:
        start: Where it begins.
        size: How many bytes it has.
    """

    _file: _Descriptor
    start: int
    size: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """A whole file.

        Raises:
            FileNotFoundError: It is not there.
        """
        file = _Descriptor(path)
        return cls._part(file, 0, os.fstat(file.number).st_size)

    @classmethod
    def _part(cls, file: _Descriptor, start: int, size: int) -> Self:
        made = cls()
        made._file, made.start, made.size = file, start, size
        return made

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: SupportsIndex | slice) -> Any:  # noqa: ANN401 - a part of this one, or one byte
        if not isinstance(index, slice):
            raise TypeError("a part of a file is read in slices")
        begin, end, step = index.indices(self.size)
        if step != 1:
            raise ValueError("a part of a file is read in one direction")
        return self._part(self._file, self.start + begin, max(end - begin, 0))

    def read_at(self, offset: int, size: int) -> bytes:
        """At most so many bytes from an offset in this part."""
        return os.pread(self._file.number, max(min(size, self.size - offset), 0), self.start + offset)

    def blocks(self) -> Iterator[bytes]:
        """Its bytes in order, never much of it at once."""
        offset = 0
        while block := self.read_at(offset, _BLOCK):
            yield block
            offset += len(block)


class Flow(bytes):
    """A content that comes bit by bit: bytes by its type, of which nobody knows how many there will be.

    Attributes:
        parts: They, once.
    """

    parts: Iterator[bytes]

    @classmethod
    def of(cls, parts: Iterator[bytes]) -> Self:
        """A content that comes so."""
        made = cls()
        made.parts = parts
        return made


class RawFlow:
    """What comes bit by bit as the body of an answer in this process."""

    def __init__(self, flow: Flow) -> None:
        self._parts = flow.parts

    def stream(self, **_: object) -> Iterator[bytes]:
        """All of it, bit by bit."""
        return self._parts

    def read(self) -> bytes:
        """All of it."""
        return b"".join(self._parts)

    def close(self) -> None:
        """Nobody reads the rest."""
        close = getattr(self._parts, "close", None)
        if close is not None:
            close()


class PartReader(io.RawIOBase):
    """A part of a file as botocore reads an answer that comes over the network."""

    def __init__(self, part: FilePart) -> None:
        super().__init__()
        self._part = part
        self._offset = 0

    def readable(self) -> bool:
        """As for any file."""
        return True

    def readinto(self, target: Any) -> int:  # noqa: ANN401 - any writable buffer
        """As for any file."""
        block = self._part.read_at(self._offset, len(target))
        target[: len(block)] = block
        self._offset += len(block)
        return len(block)


class Raw(io.BufferedReader):
    """What botocore takes for the body of an answer."""

    def stream(self, **_: object) -> Iterator[bytes]:
        """All of it, block by block."""
        while block := self.read(_BLOCK):
            yield block


def raw(content: FilePart | Flow) -> Raw | RawFlow:
    """A content as the body of an answer in this process."""
    return RawFlow(content) if isinstance(content, Flow) else Raw(PartReader(content), _BLOCK)


def whole(content: bytes) -> bytes:
    """A content in memory."""
    if isinstance(content, Flow):
        return b"".join(content.parts)
    return b"".join(content.blocks()) if isinstance(content, FilePart) else content
