"""Keep a factor, and the script that serves it."""

import json
import shutil
from pathlib import Path

import numpy  # noqa: F401 - a warm worker has it

ml = Path("/opt/ml")
parameters = json.loads((ml / "input/config/hyperparameters.json").read_text())
(ml / "model" / "factor.json").write_text(parameters["factor"])
(ml / "model" / "code").mkdir()
shutil.copy(ml / "input/data/code/inference.py", ml / "model/code/inference.py")
