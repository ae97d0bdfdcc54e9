"""The metrics the image computes: XGBoost's own, and those it adds.

Source: developer guide, "Tune an XGBoost Model"; the regular expressions are those that DescribeTrainingJob shows.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, Final

MAXIMIZED: Final = (
    *("accuracy", "auc", "aucpr", "balanced_accuracy", "f1", "f1_binary", "f1_macro", "map", "ndcg", "precision"),
    *("precision_macro", "precision_micro", "r2", "recall", "recall_macro", "recall_micro"),
)
MINIMIZED: Final = (
    *("aft-nloglik", "cox-nloglik", "error", "gamma-deviance", "gamma-nloglik", "interval-regression-accuracy"),
    *("logloss", "mae", "mape", "merror", "mlogloss", "mphe", "mse", "poisson-nloglik", "rmse", "rmsle"),
    "tweedie-nloglik",
)
EVALUATED: Final = (*MAXIMIZED, *MINIMIZED)
"""What eval_metric may name."""
NAMES: Final = tuple(f"validation:{name}" for name in EVALUATED)
"""What a tuning job may optimise."""
_COMMON: Final = (
    *("accuracy", "auc", "error", "f1", "logloss", "mae", "map", "merror", "mlogloss", "mse", "ndcg", "rmse"),
    *("aft-nloglik", "aucpr", "cox-nloglik", "gamma-nloglik", "mphe", "poisson-nloglik", "rmsle", "tweedie-nloglik"),
)
"""Those that the developer guide lists, and what an objective is judged by unless eval_metric says otherwise."""
_DEFINITIONS: Final = 40
"""MetricDefinitions of a job at most (API reference, AlgorithmSpecification)."""
_WITH_THRESHOLD: Final = ("error", "ndcg", "map")

Evaluation = Callable[[Any, Any], "list[tuple[str, float]]"]


def definitions(names: Sequence[str]) -> list[dict[str, str]]:
    """MetricDefinitions of a job of the image.

    Args:
        names: Metrics that it is to compute.
    """
    number = r"([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)"
    known = [name for name in names if name in EVALUATED and name not in _COMMON]
    return [
        {"Name": f"{data}:{name}", "Regex": rf".*\[[0-9]+\].*#011{data}-{name}:{number}.*"}
        for name in (*known, *_COMMON)
        for data in ("train", "validation")
    ][:_DEFINITIONS]


def base_name(metric: str) -> str:
    """A metric without its threshold."""
    return metric.partition("@")[0].strip()


def problem_of_threshold(metric: str) -> str | None:
    """What is wrong with the threshold of a metric, None when nothing is."""
    name, separator, threshold = metric.partition("@")
    if not separator:
        return None
    if name.strip() not in _WITH_THRESHOLD:
        return (
            f"Metric '{metric}' is not supported. Parameter 'eval_metric' with customized threshold should be one of "
            "these options: 'error', 'ndcg', 'map'."
        )
    try:
        float(threshold.removesuffix("-"))
    except ValueError:
        return f"Threshold value 't' in '{name}@t' expects float input."
    return None


def wanted(objective: str | None, evaluated: Sequence[str] | None) -> list[str]:
    """The metrics to compute, the one that decides last; none leaves it to XGBoost.

    Args:
        objective: What a tuning job optimises, e.g. ``validation:f1``.
        evaluated: The hyperparameter eval_metric.
    """
    names = list(dict.fromkeys(evaluated or ()))
    if objective is not None:
        decisive = objective.partition(":")[2]
        names = [*(name for name in names if name != decisive), decisive]
    return names


def added(names: Sequence[str], objective: str) -> tuple[list[str], Evaluation | None]:
    """The metrics that XGBoost itself knows, and a function for the others; None when there are none.

    Args:
        names: The metrics.
        objective: The learning objective, which decides what a prediction is.
    """
    ours = [name for name in names if name in _SCORES]
    theirs = [name for name in names if name not in _SCORES]
    if not ours:
        return theirs, None

    def evaluate(predictions: Any, data: Any) -> list[tuple[str, float]]:  # noqa: ANN401 - an array, a DMatrix
        labels = data.get_label()
        return [(name, float(_SCORES[name](labels, predictions, objective))) for name in ours]

    return theirs, evaluate


def _classes(predictions: Any, objective: str) -> Any:  # noqa: ANN401 - arrays
    """Predicted classes: the most probable one, or the side of the threshold."""
    if predictions.ndim > 1:
        return predictions.argmax(axis=1)
    if objective.startswith("multi:"):
        return predictions
    return (predictions > (0.0 if objective == "binary:logitraw" else 0.5)).astype(int)


def _score(function: str, *, of_classes: bool = True, **arguments: Any) -> Callable[[Any, Any, str], float]:  # noqa: ANN401 - scikit-learn's
    def compute(labels: Any, predictions: Any, objective: str) -> float:  # noqa: ANN401 - arrays
        scores = importlib.import_module("sklearn.metrics")
        result: float = getattr(scores, function)(
            labels, _classes(predictions, objective) if of_classes else predictions, **arguments
        )
        return result

    return compute


_SCORES: Final[dict[str, Callable[[Any, Any, str], float]]] = {
    "accuracy": _score("accuracy_score"),
    "balanced_accuracy": _score("balanced_accuracy_score"),
    "f1": _score("f1_score", average="macro"),
    "f1_binary": _score("f1_score", average="binary"),
    "f1_macro": _score("f1_score", average="macro"),
    "mse": _score("mean_squared_error", of_classes=False),
    "precision": _score("precision_score", average="binary", zero_division=0),
    "precision_macro": _score("precision_score", average="macro", zero_division=0),
    "precision_micro": _score("precision_score", average="micro", zero_division=0),
    "r2": _score("r2_score", of_classes=False),
    "recall": _score("recall_score", average="binary", zero_division=0),
    "recall_macro": _score("recall_score", average="macro", zero_division=0),
    "recall_micro": _score("recall_score", average="micro", zero_division=0),
}
