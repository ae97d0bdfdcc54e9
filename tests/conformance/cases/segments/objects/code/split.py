import csv
import json
from pathlib import Path

OUTPUT = Path("/opt/ml/processing/output")
found = {}
with next(Path("/opt/ml/processing/input/data").glob("*.csv")).open() as file:
    for segment, value in csv.reader(file):
        found.setdefault(segment, []).append(value)
for segment, values in found.items():
    (OUTPUT / "train" / segment).mkdir(parents=True)
    (OUTPUT / "train" / segment / "values.txt").write_text(" ".join(values))
(OUTPUT / "segments" / "segments.json").write_text(json.dumps({"segments": json.dumps(sorted(found))}))
