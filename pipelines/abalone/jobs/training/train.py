"""Grow a forest of boosted trees that tells the rings of an abalone.

By hand:  SM_CHANNEL_TRAIN=/tmp/abalone/train SM_CHANNEL_VALIDATION=/tmp/abalone/validation \
              SM_MODEL_DIR=/tmp/abalone/model python train.py --learning-rate 0.05

Plain Python 3.9 and scikit-learn 1.2 or newer, so that it runs in AWS's scikit-learn image as it is.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import joblib
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import mean_squared_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder


def read(channel: str) -> pd.DataFrame:
    """Every CSV of a channel."""
    folder = Path(os.environ[f"SM_CHANNEL_{channel.upper()}"])
    return pd.concat([pd.read_csv(file) for file in sorted(folder.glob("*.csv"))], ignore_index=True)


def main(given: list) -> int:
    """Run the job; the exit code says whether it worked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument("--max-iter", type=int, default=200)
    arguments, _ = parser.parse_known_args(given)
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(sparse_output=False), ["sex"]), remainder="passthrough"),
        HistGradientBoostingRegressor(
            learning_rate=arguments.learning_rate, max_iter=arguments.max_iter, early_stopping=False, random_state=0
        ),
    )
    train, validation = read("train"), read("validation")
    model.fit(train.drop(columns="rings"), train["rings"])
    for name, table in (("train", train), ("validation", validation)):
        error = mean_squared_error(table["rings"], model.predict(table.drop(columns="rings")))
        print(f"{name}:mse={error:.4f}")
    joblib.dump(model, Path(os.environ["SM_MODEL_DIR"]) / "model.joblib")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
