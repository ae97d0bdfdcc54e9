"""Split the abalones into a training, a validation and a test set.

By hand:  python prepare.py --input pipelines/abalone/data --output /tmp/abalone --seed 7

Plain Python 3.9 and pandas, so that it runs in AWS's scikit-learn image as it is.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

MEASURES = ["length", "diameter", "height", "whole_weight", "shucked_weight", "viscera_weight", "shell_weight"]
COLUMNS = ["sex", *MEASURES, "rings"]
SHARES = {"train": 0.7, "validation": 0.15, "test": 0.15}


def read(folder: Path) -> pd.DataFrame:
    """Every CSV of a folder as one table.

    Raises:
        ValueError: There is none, or it is not abalones.
    """
    files = sorted(folder.glob("*.csv"))
    if not files:
        raise ValueError(f"{folder}: no CSV file is there")
    table = pd.concat([pd.read_csv(file) for file in files], ignore_index=True)
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise ValueError(f"{folder}: columns are missing: {', '.join(missing)}")
    return table[COLUMNS]


def main(given: list) -> int:
    """Run the job; the exit code says whether it worked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, default=Path("/opt/ml/processing/input"))
    parser.add_argument("--output", type=Path, default=Path("/opt/ml/processing"))
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args(given)
    try:
        table = read(arguments.input)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    # A shell without height was measured wrongly.
    rows = table[(table[MEASURES] > 0).all(axis=1) & table["sex"].isin(["M", "F", "I"])].drop_duplicates()
    print(f"rows={len(rows)} dropped={len(table) - len(rows)}")
    shuffled = rows.sample(frac=1.0, random_state=arguments.seed)
    start = 0
    for part, share in SHARES.items():
        end = len(shuffled) if part == "test" else start + round(share * len(shuffled))
        folder = arguments.output / part
        folder.mkdir(parents=True, exist_ok=True)
        shuffled.iloc[start:end].to_csv(folder / f"{part}.csv", index=False)
        start = end
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
