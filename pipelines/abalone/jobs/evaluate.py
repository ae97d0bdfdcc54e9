"""Measure the model on shells it has never seen.

By hand:  python evaluate.py --model /tmp/abalone --test /tmp/abalone/test --output /tmp/abalone/evaluation

Plain Python 3.9 and scikit-learn 1.2 or newer, so that it runs in AWS's scikit-learn image as it is.
"""

from __future__ import annotations

import argparse
import json
import sys
import tarfile
import tempfile
from pathlib import Path

import joblib
import pandas as pd
from sklearn.metrics import mean_absolute_error, mean_squared_error


def main(given: list) -> int:
    """Run the job; the exit code says whether it worked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("/opt/ml/processing/model"))
    parser.add_argument("--test", type=Path, default=Path("/opt/ml/processing/test"))
    parser.add_argument("--output", type=Path, default=Path("/opt/ml/processing/evaluation"))
    arguments = parser.parse_args(given)
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(arguments.model / "model.tar.gz") as archive:
            member = archive.extractfile("model.joblib")
            if member is None:
                print("error: the archive holds no model.joblib", file=sys.stderr)
                return 1
            path = Path(folder) / "model.joblib"
            path.write_bytes(member.read())
        model = joblib.load(path)
    test = pd.concat([pd.read_csv(file) for file in sorted(arguments.test.glob("*.csv"))], ignore_index=True)
    predicted = model.predict(test.drop(columns="rings"))
    report = {
        "regression_metrics": {
            "mse": {"value": float(mean_squared_error(test["rings"], predicted))},
            "mae": {"value": float(mean_absolute_error(test["rings"], predicted))},
        }
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "evaluation.json").write_text(json.dumps(report, indent=2))
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
