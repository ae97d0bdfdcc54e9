"""Serve the credit model in AWS's scikit-learn image: applications in, probabilities of approval out.

Requests:  text/csv          one application a line, in the order of the model's features; a header line is optional
           application/json  {"instances": [{"loanamt": 120, ...}, ...]}; what is left out is missing
Responses: text/csv          one probability a line
           application/json  {"predictions": [{"probability": 0.93, "approve": 1}, ...]}

The image calls the four functions below (https://sagemaker.readthedocs.io, "Using Scikit-learn", "Serve a model").
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

CSV = "text/csv"
JSON = "application/json"
APPROVE_FROM = 0.5


def model_fn(model_dir: str) -> Pipeline:
    """The trained pipeline; it knows its features by name."""
    return joblib.load(Path(model_dir) / "model.joblib")


def input_fn(body: bytes | str, content_type: str) -> pd.DataFrame:
    """The request as a table; its columns are named when the request names them.

    Raises:
        ValueError: The content type is not supported or the body does not fit it.
    """
    text = body.decode("utf-8") if isinstance(body, (bytes, bytearray)) else body
    kind = content_type.split(";", maxsplit=1)[0].strip().lower()
    if kind == CSV:
        return from_csv(text)
    if kind == JSON:
        return from_json(text)
    raise ValueError(f"content type {content_type!r} is not supported: send {CSV} or {JSON}")


def predict_fn(table: pd.DataFrame, model: Pipeline) -> np.ndarray:
    """The probability of approval of each application.

    Raises:
        ValueError: The columns are not the model's features.
    """
    features = list(model.feature_names_in_)
    if list(table.columns) == list(range(table.shape[1])):
        if table.shape[1] != len(features):
            raise ValueError(f"{table.shape[1]} columns, but the model has {len(features)}: {', '.join(features)}")
        table = table.set_axis(features, axis=1)
    unknown = [str(c) for c in table.columns if c not in features]
    if unknown:
        raise ValueError(f"not features of the model: {', '.join(unknown)}")
    return model.predict_proba(table.reindex(columns=features).astype(float))[:, 1]


def output_fn(probabilities: np.ndarray, accept: str) -> tuple[str, str]:
    """The response body and its content type.

    Raises:
        ValueError: The accepted type is not supported.
    """
    kind = accept.split(";", maxsplit=1)[0].strip().lower()
    if kind == JSON:
        predictions = [{"probability": float(p), "approve": int(p >= APPROVE_FROM)} for p in probabilities]
        return json.dumps({"predictions": predictions}), JSON
    if kind in (CSV, "*/*"):
        return "".join(f"{p:.6f}\n" for p in probabilities), CSV
    raise ValueError(f"accept {accept!r} is not supported: ask for {CSV} or {JSON}")


def from_csv(text: str) -> pd.DataFrame:
    """Rows of numbers; an empty cell is missing. A first line that holds a name is the header."""
    try:
        table = pd.read_csv(io.StringIO(text), header=None, dtype=str, skipinitialspace=True)
    except pd.errors.EmptyDataError:
        raise ValueError("the body is empty") from None
    first = table.iloc[0]
    if pd.to_numeric(first, errors="coerce").isna().eq(first.isna()).all():
        return table.apply(pd.to_numeric)
    return table.iloc[1:].set_axis(list(first), axis=1).apply(pd.to_numeric)


def from_json(text: str) -> pd.DataFrame:
    """One row for each instance; a feature an instance does not give is missing."""
    document = json.loads(text)
    instances = document.get("instances") if isinstance(document, dict) else None
    if not instances or not isinstance(instances, list) or not all(isinstance(row, dict) for row in instances):
        raise ValueError('the body must be {"instances": [{"FEATURE": NUMBER, ...}, ...]}')
    return pd.DataFrame(instances)
