import json
import tarfile
from pathlib import Path

with tarfile.open("/opt/ml/processing/input/model/model.tar.gz") as archive:
    mean = float(archive.extractfile("mean.txt").read())
Path("/opt/ml/processing/output/evaluation/evaluation.json").write_text(json.dumps({"mean": mean}))
