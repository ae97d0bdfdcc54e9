"""Answer with what the best model holds, and with the offset of the second best."""

import sys
import tarfile
from pathlib import Path

import numpy  # noqa: F401 - a warm worker has it

with tarfile.open("/opt/ml/processing/input/model/model.tar.gz") as model:
    member = next(name for name in model.getnames() if name.endswith("total.txt"))
    total = model.extractfile(member).read().decode()
Path("/opt/ml/processing/output/answer/answer.txt").write_text(f"{sys.argv[1]} {total} then {sys.argv[2]}")
