"""Fit the sum of the data plus an offset, and print a loss twice."""

import json
from pathlib import Path

import numpy as np

ml = Path("/opt/ml")
offset = float(json.loads((ml / "input/config/hyperparameters.json").read_text())["offset"])
total = np.loadtxt(ml / "input/data/train/values.csv", delimiter=",").sum() + offset
print("loss=0.5")
print("loss=0.25")
(ml / "model" / "total.txt").write_text(str(float(total)))
