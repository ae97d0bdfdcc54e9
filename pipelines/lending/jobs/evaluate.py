"""Measure a trained model on applications it has not seen.

By hand:  python evaluate.py --model /tmp/lending/model.tar.gz --test /tmp/lending/features/test --output /tmp/lending

`evaluation.json` has the layout of SageMaker's model quality reports, so the model registry shows it.
`predictions.csv` has one row per application, with what the model must be fair to.

Plain Python 3.9 and scikit-learn 1.2 or newer, so that it runs in AWS's scikit-learn image as it is.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tarfile
from pathlib import Path

import joblib
import pandas as pd
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss, roc_auc_score
from sklearn.pipeline import Pipeline

TARGET = "approve"
PROTECTED_PREFIX = "protected_"
DIGITS = 6


class DataError(Exception):
    """The input cannot be used; the message says what is wrong with it."""


def load_model(path: Path) -> Pipeline:
    """The pipeline inside a model.tar.gz, or in a folder that holds one. Nothing is unpacked to disk."""
    archive = path / "model.tar.gz" if path.is_dir() else path
    try:
        with tarfile.open(archive) as tar:
            member = next((m for m in tar if m.isfile() and Path(m.name) == Path("model.joblib")), None)
            stream = None if member is None else tar.extractfile(member)
            if stream is None:
                raise DataError(f"{archive}: there is no model.joblib in it")
            return joblib.load(io.BytesIO(stream.read()))
    except FileNotFoundError:
        raise DataError(f"{archive}: there is no such file") from None
    except tarfile.TarError as error:
        raise DataError(f"{archive}: not a tar.gz: {error}") from error


def read_test(folder: Path, features: list) -> pd.DataFrame:
    """The rows to measure on, with every feature the model knows."""
    files = sorted(folder.glob("*.csv"))
    if not files:
        raise DataError(f"{folder}: no CSV file is there")
    try:
        table = pd.concat([pd.read_csv(file) for file in files], ignore_index=True)
    except pd.errors.EmptyDataError:
        raise DataError(f"{folder}: a file is empty") from None
    missing = [c for c in (TARGET, *features) if c not in table.columns]
    if missing:
        raise DataError(f"{folder}: {len(missing)} column(s) missing: {', '.join(missing)}")
    text = [c for c in (TARGET, *features) if not pd.api.types.is_numeric_dtype(table[c])]
    if text:
        raise DataError(f"{folder}: not all values are numbers in: {', '.join(text)}")
    if table[TARGET].nunique() != 2:  # noqa: PLR2004 - approved and denied
        raise DataError(f"{folder}: {len(table)} row(s) and not both outcomes in {TARGET}: nothing can be measured")
    return table


def measure(target: pd.Series, probability: pd.Series, *, approve_from: float) -> dict:
    """The report. Rows of the confusion matrix are what happened, columns what the model says; 1 is approved."""
    predicted = (probability >= approve_from).astype(int)
    matrix = confusion_matrix(target, predicted, labels=[0, 1])
    return {
        "binary_classification_metrics": {
            "auc": {"value": round(float(roc_auc_score(target, probability)), DIGITS)},
            "accuracy": {"value": round(float(accuracy_score(target, predicted)), DIGITS)},
            "accuracy_best_constant_classifier": {"value": round(float(max(target.mean(), 1 - target.mean())), DIGITS)},
            "log_loss": {"value": round(float(log_loss(target, probability)), DIGITS)},
            "confusion_matrix": {
                str(actual): {str(said): int(matrix[actual][said]) for said in (0, 1)} for actual in (0, 1)
            },
        },
        "rows": len(target),
        "approve_from": approve_from,
    }


def parse_arguments(given: list) -> argparse.Namespace:
    """The command line; the defaults are the paths inside a processing job."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("/opt/ml/processing/input/model"), help="file or its folder")
    parser.add_argument("--test", type=Path, default=Path("/opt/ml/processing/input/test"))
    parser.add_argument("--output", type=Path, default=Path("/opt/ml/processing/output"))
    parser.add_argument("--approve-from", type=float, default=0.5, help="probability from which an answer is yes")
    return parser.parse_args(given)


def main(given: list) -> int:
    """Run the job; the exit code says whether it worked."""
    arguments = parse_arguments(given)
    try:
        model = load_model(arguments.model)
        features = list(model.feature_names_in_)
        table = read_test(arguments.test, features)
    except DataError as error:
        return refuse(str(error))
    probability = pd.Series(model.predict_proba(table[features])[:, 1], index=table.index)
    evaluation = measure(table[TARGET], probability, approve_from=arguments.approve_from)
    write(arguments.output / "evaluation" / "evaluation.json", json.dumps(evaluation, indent=2) + "\n")
    predictions = table[[TARGET, *(c for c in table.columns if c.startswith(PROTECTED_PREFIX))]].copy()
    predictions.insert(1, "probability", probability.round(DIGITS))
    write(arguments.output / "predictions" / "predictions.csv", predictions.to_csv(index=False))
    for name, metric in evaluation["binary_classification_metrics"].items():
        print(f"{name}: {metric['value']:.4f}" if "value" in metric else f"{name}: {metric}")
    return 0


def write(path: Path, text: str) -> None:
    """Write a file and the folders it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def refuse(message: str) -> int:
    """Say why the job failed: on stderr, and where SageMaker looks for a processing job's exit message."""
    print(f"error: {message}", file=sys.stderr)
    exit_message = Path("/opt/ml/output/message")
    if exit_message.parent.is_dir():
        exit_message.write_text(message[:1024], encoding="utf-8")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
