"""What the image serves without a script: predictions of ``xgboost-model`` for CSV, LIBSVM and RecordIO-protobuf.

Source: developer guide, "Common Data Formats for Inference" and "Deploy models ... SAGEMAKER_INFERENCE_OUTPUT"; where
they are silent, aws/sagemaker-xgboost-container.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import xgboost

from . import encoder, recordio

CSV: Final = "text/csv"
JSON: Final = "application/json"
JSON_LINES: Final = "application/jsonlines"
RECORDIO: Final = "application/x-recordio-protobuf"
_ACCEPTED: Final = (JSON, JSON_LINES, RECORDIO, CSV)
_OUTPUT: Final = "SAGEMAKER_INFERENCE_OUTPUT"
_ROWS_SINCE: Final = (1, 5)
"""From this version on CSV has a row for each prediction (aws/sagemaker-xgboost-container #269), in batches always."""
_BAD_REQUEST, _NOT_ACCEPTABLE, _UNSUPPORTED, _NO_CONTENT = 400, 406, 415, 204

_LABEL, _LABELS = "predicted_label", "labels"
_PROBABILITY, _PROBABILITIES = "probability", "probabilities"
_RAW, _RAWS = "raw_score", "raw_scores"
_SCORE: Final = "predicted_score"
_CLASSES: Final = (_LABEL, _LABELS, _RAW, _RAWS)
_SELECTABLE: Final = {
    "reg:squarederror": (_SCORE,),
    "reg:logistic": (_SCORE,),
    "reg:gamma": (_SCORE,),
    "reg:tweedie": (_SCORE,),
    "binary:logistic": (*_CLASSES, _PROBABILITY, _PROBABILITIES),
    "binary:logitraw": _CLASSES,
    "binary:hinge": _CLASSES,
    "multi:softmax": _CLASSES,
    "multi:softprob": (*_CLASSES, _PROBABILITY, _PROBABILITIES),
}
"""What can be selected of the predictions for each objective."""


class InferenceError(Exception):
    """A request that cannot be answered.

    Attributes:
        status_code: Of the answer.
    """

    def __init__(self, status_code: int, message: str) -> None:
        self.status_code = status_code
        super().__init__(message)


def load_model(path: Path) -> xgboost.Booster:
    """A model, pickled or in one of XGBoost's own formats.

    Raises:
        RuntimeError: It is neither.
    """
    try:
        model = pickle.loads(path.read_bytes())  # noqa: S301 - the user's own model
        if isinstance(model, xgboost.XGBModel):
            model = model.get_booster()
    except Exception as pickled:
        model = xgboost.Booster()
        try:
            # As bytes: the library would guess the format from an ending that the file does not have.
            model.load_model(bytearray(path.read_bytes()))
        except xgboost.core.XGBoostError as error:
            why = str(error).partition("\nStack trace")[0].replace("\n", " ")
            raise RuntimeError(f"Model at {path} cannot be loaded: {pickled}; {why}") from error
    if not isinstance(model, xgboost.Booster):
        raise RuntimeError(f"Model at {path} cannot be loaded: it is a {type(model).__name__}")  # noqa: TRY004 - as above
    model.set_param({"nthread": 1})  # a server has a process for each core
    return model


def model_fn(model_dir: str) -> list[xgboost.Booster]:
    """The models of a job: one, or one of each fold."""
    found = sorted(path for path in Path(model_dir).iterdir() if path.is_file() and not path.name.startswith("."))
    if not found:
        raise RuntimeError(f"Unable to load model: there is none in {model_dir}")
    if os.environ.get("SAGEMAKER_INFERENCE_ENSEMBLE", "true") != "true":
        found = found[:1]
    return [load_model(path) for path in found]


def handlers(version: tuple[int, int]) -> dict[str, Any]:
    """What a script of an image's version would define; the content type and the type of answer are CSV if not said."""
    os.environ.setdefault("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", CSV)

    def transform_fn(
        models: list[xgboost.Booster],
        content: bytes | str,
        content_type: str,
        accept: str,
        context: Any,  # noqa: ANN401 - the server's
    ) -> tuple[bytes, str]:
        if not content:
            context.set_response_status(_NO_CONTENT)
            return b"", CSV
        return _answer(models, content, content_type, accept.partition(";")[0].strip().lower(), version)

    return {"model_fn": model_fn, "transform_fn": transform_fn, "DEFAULT_CONTENT_TYPE": CSV}


def _answer(
    models: list[xgboost.Booster], content: bytes | str, content_type: str, accept: str, version: tuple[int, int]
) -> tuple[bytes, str]:
    if accept not in _ACCEPTED:
        raise InferenceError(
            _NOT_ACCEPTABLE,
            f"Accept type {accept} is not supported. Please use supported accept types: {', '.join(_ACCEPTED)}.",
        )
    kind = content_type.partition(";")[0]
    try:
        matrix = encoder.decode(content, content_type)
    except encoder.UnsupportedFormatError as error:
        raise InferenceError(_UNSUPPORTED, str(error)) from error
    except Exception as error:
        what = f"Loading {kind} data failed with Exception, please ensure data is in {kind} format:\n {error}"
        raise InferenceError(_UNSUPPORTED, what) from error
    predictions = _predict(models, matrix, kind)
    if _OUTPUT in os.environ:
        return _encode(*_selected(models[0], predictions), accept), accept
    if accept != CSV:
        return _encode([{"score": value} for value in predictions.tolist()], ["score"], accept), accept
    if not _in_batch() and version >= _ROWS_SINCE:
        rows = predictions.tolist() if predictions.ndim > 1 else [[value] for value in predictions.tolist()]
        return "".join(",".join(map(str, row)) + "\n" for row in rows).encode(), CSV
    values = [str(value) for value in predictions.tolist()]
    return ("\n".join(values) + "\n" if _in_batch() else ",".join(values)).encode(), CSV


def _in_batch() -> bool:
    return os.environ.get("SAGEMAKER_BATCH", "").lower() == "true"


def _predict(models: Sequence[xgboost.Booster], matrix: xgboost.DMatrix, kind: str) -> Any:  # noqa: ANN401 - an array
    features, columns = models[0].num_features(), matrix.num_col()
    sparse = "libsvm" in kind.lower()
    if columns > features or (columns < features and not sparse):
        relation = "larger than" if sparse else "not consistent with"
        raise InferenceError(
            _BAD_REQUEST,
            f"Unable to evaluate payload provided: Feature size of {kind} inference data {columns} is {relation} "
            f"feature size of trained model {features}.",
        )
    matrix = encoder.as_wide_as(matrix, features)
    found = np.asarray([model.predict(matrix, validate_features=False) for model in models])
    if len(models) == 1:
        return found[0]
    if _objective(models[0])[0] == "multi:softmax":
        return np.asarray([np.bincount(votes.astype(int)).argmax() for votes in found.T], dtype=np.float32)
    return found.mean(axis=0)


def _objective(model: xgboost.Booster) -> tuple[str, int]:
    """A model's learning objective and its number of classes, 0 when it has none."""
    learner = json.loads(model.save_config())["learner"]
    return learner["objective"]["name"], int(learner["learner_model_param"].get("num_class") or 0)


def _selected(model: xgboost.Booster, predictions: Any) -> tuple[list[dict[str, Any]], list[str]]:  # noqa: ANN401 - an array
    """What SAGEMAKER_INFERENCE_OUTPUT selects of the predictions, and its names in order."""
    names = os.environ[_OUTPUT].replace(" ", "").lower().split(",")
    objective, classes = _objective(model)
    valid = _SELECTABLE.get(objective)
    if valid is None:
        raise ValueError(f"Objective `{objective}` unsupported for selectable inference predictions.")
    wrong = [name for name in names if name not in valid]
    if wrong:
        logging.warning(
            "Selected key(s) %s incompatible for objective '%s'. Please use list of compatible selectable inference "
            "predictions: %s",
            *(wrong, objective, valid),
        )
    return [_content(value, names, valid, objective, classes) for value in predictions], names


def _content(value: Any, names: Sequence[str], valid: Sequence[str], objective: str, classes: int) -> dict[str, Any]:  # noqa: ANN401 - a row
    several = objective == "multi:softprob"
    top = value.max().item() if several else value.item()
    # Of two classes the score is that of the second.
    each = value.tolist() if several else [1.0 - top, top]
    match objective:
        case "binary:logistic":
            label: float = int(top > 0.5)  # noqa: PLR2004 - the more probable class
        case "binary:logitraw":
            label = int(top > 0)
        case "multi:softprob":
            label = int(value.argmax())
        case _:
            label = top
    found = {
        _LABEL: label,
        _LABELS: list(range(classes)) if objective.startswith("multi:") else [0, 1],
        _PROBABILITY: top,
        _PROBABILITIES: each,
        _RAW: top,
        _RAWS: each,
        _SCORE: top,
    }
    return {name: found[name] if name in valid else float("nan") for name in names}


def _encode(predictions: list[dict[str, Any]], names: Sequence[str], accept: str) -> bytes:
    if accept == JSON:
        return json.dumps({"predictions": predictions}).encode()
    if accept == JSON_LINES:
        return "".join(json.dumps(each) + "\n" for each in predictions).encode()
    if accept == RECORDIO:
        return recordio.write(
            {name: value if isinstance(value, list) else [value] for name, value in each.items()}
            for each in predictions
        )
    rows = [[each[name] for name in names] for each in predictions]
    lines = [",".join(f'"{value}"' if isinstance(value, list) else str(value) for value in row) for row in rows]
    return ("\n".join(lines) + ("\n" if _in_batch() else "")).encode()
