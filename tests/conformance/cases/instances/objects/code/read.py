"""What every instance has left in the one model."""

import sys
import tarfile
from pathlib import Path

import numpy  # noqa: F401 - a warm worker has it

Path("/opt/ml/code").mkdir()
with tarfile.open("/opt/ml/processing/input/model/model.tar.gz") as model:
    model.extractall("/opt/ml/code", filter="data")
left = [f"{path.name}: {path.read_text()}" for path in sorted(Path("/opt/ml/code").iterdir())]
Path("/opt/ml/processing/output/answer/answer.txt").write_text("; ".join([*sys.argv[1:], *left]))
