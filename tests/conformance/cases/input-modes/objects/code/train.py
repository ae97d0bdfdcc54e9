"""Reads two epochs of every pipe, and the fast files; what was read is the model."""

import struct
from collections.abc import Iterator
from pathlib import Path

DATA = Path("/opt/ml/input/data")


def records(stream: bytes) -> Iterator[str]:
    """The records of a RecordIO stream."""
    while stream:
        magic, length = struct.unpack_from("<II", stream)
        assert magic == 0xCED7230A
        yield stream[8 : 8 + length].decode()
        stream = stream[8 + (length + 3) // 4 * 4 :]


lines = []
for epoch in range(2):
    lines.append((DATA / f"rows_{epoch}").read_text())
    found = list(records((DATA / f"labels_{epoch}").read_bytes()))
    lines.append(" ".join(sorted(zip(found[::2], found[1::2], strict=True))[0]) + "\n")
try:
    (DATA / "fast/x").write_text("changed")
except OSError as error:
    lines.append(f"{type(error).__name__} {[path.name for path in (DATA / 'fast').iterdir()]}")
Path("/opt/ml/model/read.txt").write_text("".join(lines))
