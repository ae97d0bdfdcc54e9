"""Train the credit model: a logistic regression, because a declined applicant has a right to the reasons.

By hand:  python train.py --train /tmp/lending/features/train --validation /tmp/lending/features/validation \
              --model-dir /tmp/lending/model

The whole way from a row with natural units and missing values to a probability is in the saved pipeline, so training
and serving cannot drift apart. `inference.py` goes into the model folder: the model package needs nothing else.

Plain Python 3.9 and scikit-learn 1.2 or newer, so that it runs in AWS's scikit-learn image as it is.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

TARGET = "approve"
PROTECTED_PREFIX = "protected_"

# Amounts and counts whose effect shrinks as they grow: the tenth thousand matters less than the first.
SKEWED = ("loanamt", "liq", "netw", "other", "lines", "income")


class DataError(Exception):
    """The input cannot be used; the message says what is wrong with it."""


def read_channel(folder: Path, like: pd.DataFrame | None = None) -> tuple[pd.DataFrame, pd.Series]:
    """The features and the target of every CSV in a channel; `like` is a table that must have the same features."""
    files = sorted(folder.glob("*.csv"))
    if not files:
        raise DataError(f"{folder}: no CSV file is there")
    try:
        table = pd.concat([pd.read_csv(file) for file in files], ignore_index=True)
    except pd.errors.EmptyDataError:
        raise DataError(f"{folder}: a file is empty") from None
    if TARGET not in table.columns:
        raise DataError(f"{folder}: there is no column {TARGET}")
    text = [c for c in table.columns if not pd.api.types.is_numeric_dtype(table[c])]
    if text:
        raise DataError(f"{folder}: not all values are numbers in: {', '.join(text)}")
    if table[TARGET].nunique() != 2:  # noqa: PLR2004 - approved and denied
        raise DataError(f"{folder}: {len(table)} row(s) and not both outcomes in {TARGET}")
    columns = [c for c in table.columns if c != TARGET and not c.startswith(PROTECTED_PREFIX)]
    if like is not None and columns != list(like.columns):
        raise DataError(f"{folder}: its features are not those of the train channel")
    return table[columns], table[TARGET]


def build_model(columns: list, *, inverse_regularization: float, max_iter: int) -> Pipeline:
    """Impute, tame, scale and regress."""
    skewed = [column for column in columns if column in SKEWED]
    plain = [column for column in columns if column not in SKEWED]
    # arcsinh is a logarithm that also takes zero and debts
    tame = [("impute", SimpleImputer(strategy="median")), ("tame", FunctionTransformer(np.arcsinh))]
    prepare = ColumnTransformer(
        [
            ("skewed", Pipeline([*tame, ("scale", StandardScaler())]), skewed),
            ("plain", Pipeline([("impute", SimpleImputer(strategy="median")), ("scale", StandardScaler())]), plain),
        ]
    )
    return Pipeline(
        [("prepare", prepare), ("regress", LogisticRegression(C=inverse_regularization, max_iter=max_iter))]
    )


def report(name: str, model: Pipeline, rows: pd.DataFrame, target: pd.Series) -> None:
    """Print the metrics of one channel; the training step's metric definitions read them from the log."""
    probability = model.predict_proba(rows)[:, 1]
    print(f"{name}:auc={roc_auc_score(target, probability):.4f}")
    print(f"{name}:log_loss={log_loss(target, probability):.4f}")


def parse_arguments(given: list) -> argparse.Namespace:
    """The command line; the defaults are the paths inside a training job."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, default=Path("/opt/ml/input/data/train"))
    parser.add_argument("--validation", type=Path, default=Path("/opt/ml/input/data/validation"))
    parser.add_argument("--model-dir", type=Path, default=Path("/opt/ml/model"))
    parser.add_argument("--inverse-regularization", type=float, default=0.1, help="smaller is more regular")
    parser.add_argument("--max-iter", type=int, default=500)
    arguments = parser.parse_args(given)
    if arguments.inverse_regularization <= 0:
        parser.error("--inverse-regularization must be greater than 0")
    return arguments


def main(given: list) -> int:
    """Run the job; the exit code says whether it worked."""
    arguments = parse_arguments(given)
    try:
        rows, target = read_channel(arguments.train)
        validation_rows, validation_target = read_channel(arguments.validation, like=rows)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    model = build_model(
        list(rows.columns), inverse_regularization=arguments.inverse_regularization, max_iter=arguments.max_iter
    ).fit(rows, target)
    report("train", model, rows, target)
    report("validation", model, validation_rows, validation_target)
    code = arguments.model_dir / "code"
    code.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, arguments.model_dir / "model.joblib")
    shutil.copyfile(Path(__file__).with_name("inference.py"), code / "inference.py")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
