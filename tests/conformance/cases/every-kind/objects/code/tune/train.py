"""Fit the sum of the data plus an offset; the loss is least for an offset of 2."""

import json
from pathlib import Path

import numpy as np

ml = Path("/opt/ml")
offset = float(json.loads((ml / "input/config/hyperparameters.json").read_text())["offset"])
total = np.loadtxt(ml / "input/data/train/values.csv", delimiter=",").sum() + offset
print(f"loss={abs(offset - 2) + 0.5}")
(ml / "model" / "total.txt").write_text(str(float(total)))
