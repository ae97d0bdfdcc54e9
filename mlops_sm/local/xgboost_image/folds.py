"""Cross-validation, hyperparameters ``_kfold`` and ``_num_cv_round``: a model of each fold, and what it predicts."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import model_selection

from . import callbacks, data
from .errors import UserError

if TYPE_CHECKING:
    from .training import Run


def train(run: Run, output: Path) -> list[Any]:
    """Train the models of all folds.

    Args:
        run: The job. Both of its channels are split; what a round scores is about the channels, as in the image.
        output: Where ``predictions.csv`` goes: label, for classes the probability, and prediction of every row.

    Raises:
        UserError: There are more folds than rows to split.
    """
    folds, repeats = run.values["_kfold"], run.values.get("_num_cv_round", 1)
    rows = data.stacked([run.train, run.validation]) if run.validation is not None else run.train
    classes = "num_class" in run.values or run.objective.startswith("binary:")
    logging.info("Run %d-round of %d-fold cross validation with %d rows", repeats, folds, rows.rows)
    splitter = model_selection.RepeatedStratifiedKFold if classes else model_selection.RepeatedKFold
    seen = splitter(n_splits=folds, n_repeats=repeats, random_state=run.values.get("seed"))
    try:
        parts = list(seen.split(np.zeros(rows.rows), rows.labels if classes else None))
    except ValueError as error:
        raise UserError(str(error)) from error
    models, scores, predicted = [], list[Any](), [list[Any]() for _ in range(rows.rows)]
    for number, (learned, held) in enumerate(parts):
        logging.info("Train cross validation fold %d", number % folds + 1)
        log: dict[str, Any] = {}
        test = rows.part(held).matrix()
        models.append(run.boost(rows.part(learned).matrix(), test, f"-{number}", log))
        scores.append(log)
        for row, value in zip(held, models[-1].predict(test), strict=True):
            predicted[row].append(value)
        if len(models) % folds == 0:
            logging.info("The metrics of round %d cross validation", len(models) // folds)
            sys.stdout.write(_means(run.values["num_round"], scores[-folds:]) + "\n")
    if repeats > 1:
        logging.info("The overall metrics of %d-round cross validation", repeats)
        sys.stdout.write(_means(run.values["num_round"], scores) + "\n")
    output.mkdir(parents=True, exist_ok=True)
    table = np.column_stack([rows.labels, *_columns(predicted, classes=classes)])
    np.savetxt(output / "predictions.csv", table, delimiter=",", fmt="%f")
    return models


def _means(rounds: int, scores: Sequence[dict[str, Any]]) -> str:
    means = [
        (part, name, float(np.mean([each[part][name][-1] for each in scores])))
        for name in scores[0]["train"]
        for part in ("train", "validation")
    ]
    return callbacks.log_line(rounds, means)


def _columns(predicted: Sequence[Sequence[Any]], *, classes: bool) -> list[Any]:
    values = np.asarray(predicted)
    if not classes:
        return [values.mean(axis=1)]
    if values.ndim > 2:  # noqa: PLR2004 - rows, repetitions, classes
        return [values.max(axis=2).mean(axis=1), _most_frequent(values.argmax(axis=2))]
    return [values.mean(axis=1), _most_frequent(values.round().astype(int))]


def _most_frequent(labels: Any) -> Any:  # noqa: ANN401 - arrays
    return np.asarray([np.bincount(row).argmax() for row in labels])
