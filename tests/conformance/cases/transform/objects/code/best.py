"""Name the row with the highest score."""

from pathlib import Path

rows = [
    line.split(",")
    for path in Path("/opt/ml/processing/input/scores").rglob("*.out")
    for line in path.read_text().splitlines()
]
best = max(rows, key=lambda row: float(row[-1]))
Path("/opt/ml/processing/output/best/best.txt").write_text(best[0])
