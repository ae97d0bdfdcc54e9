import json
import sys
from pathlib import Path

reports = sorted(Path("/opt/ml/processing/input/reports").glob("*/evaluation/evaluation.json"))
means = {path.parts[-3]: json.loads(path.read_text())["mean"] for path in reports}
Path("/opt/ml/processing/output/report/means.json").write_text(json.dumps({"means": means, "best": sys.argv[1]}))
