"""Reads each channel as it is given."""

import sys
from pathlib import Path

DATA = Path("/opt/ml/input/data")


def main() -> int:
    """Two epochs over the pipes."""
    rows = [(DATA / f"{channel}_{epoch}").read_bytes() for channel in ("rows", "labels") for epoch in range(2)]
    validation = sum(len(path.read_bytes()) for path in (DATA / "validation").iterdir())
    print(f"bytes={sum(map(len, rows)) + validation}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
