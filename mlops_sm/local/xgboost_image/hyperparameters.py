"""The hyperparameters the image takes: their types and ranges, and what goes with what.

Source: developer guide, "XGBoost hyperparameters"; where that page is silent, what the image refuses.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from . import metrics

_LARGEST: Final = 2**31 - 1


@dataclass(frozen=True)
class Interval:
    """Numbers between two ends, each of which may be missing, and open or closed."""

    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False

    def __contains__(self, value: float) -> bool:
        above = self.low is None or (value > self.low if self.low_open else value >= self.low)
        below = self.high is None or (value < self.high if self.high_open else value <= self.high)
        return above and below

    def __str__(self) -> str:
        low = "(-inf" if self.low is None else f"{'(' if self.low_open else '['}{self.low:g}"
        high = "+inf)" if self.high is None else f"{self.high:g}{')' if self.high_open else ']'}"
        return f"{low}, {high}"


@dataclass(frozen=True)
class Hyperparameter:
    """One hyperparameter.

    Attributes:
        parse: Its value from the text that the service passes on.
        allowed: What a value, or each item of a list, must be in.
        items: The things that must be in `allowed`.
    """

    parse: Callable[[str], Any]
    allowed: Interval | Sequence[Any]
    items: Callable[[Any], Sequence[Any]] = lambda value: (value,)

    def problem(self, name: str, value: object) -> str | None:
        """What is wrong with a value, None when nothing is."""
        if all(item in self.allowed for item in self.items(value)):
            return None
        shown = self.allowed if isinstance(self.allowed, Interval) else list(self.allowed)
        return f"Hyperparameter {name}: {value} is not in {shown}"


def _integer(low: float | None = None, high: float | None = None) -> Hyperparameter:
    return Hyperparameter(int, Interval(low, high))


def _number(allowed: Interval) -> Hyperparameter:
    return Hyperparameter(float, allowed)


def _one_of(*values: str) -> Hyperparameter:
    return Hyperparameter(str, values)


def _list(*values: str) -> Hyperparameter:
    return Hyperparameter(_separated, values, tuple)


def _separated(value: str) -> list[str]:
    return [item.strip() for item in value.split(",")]


def _literal(value: str) -> Any:  # noqa: ANN401 - tuples and lists of numbers
    try:
        return ast.literal_eval(value)
    except SyntaxError as error:
        raise ValueError(str(error)) from None


_SHARE: Final = Interval(0, 1)
_OPEN_SHARE: Final = Interval(0, 1, low_open=True)
_NOT_NEGATIVE: Final = Interval(0)
_BUILDERS: Final = ("grow_colmaker", "distcol", "grow_histmaker", "grow_local_histmaker", "grow_quantile_histmaker")
_TREE_UPDATERS: Final = (*_BUILDERS, "grow_skmaker", "sync", "refresh", "prune")
_LINEAR_UPDATERS: Final = ("shotgun", "coord_descent")

OBJECTIVES: Final = (
    *("binary:hinge", "binary:logistic", "binary:logitraw", "count:poisson", "multi:softmax", "multi:softprob"),
    *("rank:map", "rank:ndcg", "rank:pairwise", "reg:absoluteerror", "reg:gamma", "reg:linear", "reg:logistic"),
    *("reg:pseudohubererror", "reg:squarederror", "reg:squaredlogerror", "reg:tweedie", "survival:aft", "survival:cox"),
)

KNOWN: Final[Mapping[str, Hyperparameter]] = {
    "_kfold": _integer(2),
    "_num_cv_round": _integer(1),
    "_tuning_objective_metric": _one_of(*metrics.NAMES),
    "aft_loss_distribution": _one_of("normal", "logistic", "extreme"),
    "aft_loss_distribution_scale": _number(_NOT_NEGATIVE),
    "alpha": _number(_NOT_NEGATIVE),
    "base_score": _number(_NOT_NEGATIVE),
    "booster": _one_of("gbtree", "gblinear", "dart"),
    "colsample_bylevel": _number(_OPEN_SHARE),
    "colsample_bynode": _number(_OPEN_SHARE),
    "colsample_bytree": _number(_OPEN_SHARE),
    "csv_weights": _integer(0, 1),
    "deterministic_histogram": _one_of("true", "false"),
    "dsplit": _one_of("row", "col"),
    "early_stopping_rounds": _integer(1),
    "eta": _number(_SHARE),
    "eval_metric": Hyperparameter(_separated, metrics.EVALUATED, lambda value: [metrics.base_name(v) for v in value]),
    "gamma": _number(_NOT_NEGATIVE),
    "grow_policy": _one_of("depthwise", "lossguide"),
    "interaction_constraints": Hyperparameter(
        _literal, Interval(0), lambda value: [i for group in value for i in group]
    ),
    "lambda": _number(_NOT_NEGATIVE),
    "lambda_bias": _number(_SHARE),
    "max_bin": _integer(0),
    "max_delta_step": _number(_NOT_NEGATIVE),
    "max_depth": _integer(0),
    "max_leaves": _integer(0),
    "min_child_weight": _number(_NOT_NEGATIVE),
    "monotone_constraints": Hyperparameter(_literal, (-1, 0, 1), tuple),
    "normalize_type": _one_of("tree", "forest"),
    "nthread": _integer(1),
    "num_class": _integer(2),
    "num_parallel_tree": _integer(1),
    "num_round": _integer(1),
    "objective": _one_of(*OBJECTIVES),
    "one_drop": _integer(0, 1),
    "predictor": _one_of("auto", "cpu_predictor", "gpu_predictor"),
    "prob_buffer_row": Hyperparameter(int, Interval(1, low_open=True)),
    "process_type": _one_of("default", "update"),
    "rate_drop": _number(_SHARE),
    "refresh_leaf": _integer(0, 1),
    "sample_type": _one_of("uniform", "weighted"),
    "sampling_method": _one_of("uniform", "gradient_based"),
    "save_model_on_termination": _one_of("true", "false"),
    "scale_pos_weight": _number(Interval(0, low_open=True)),
    "seed": Hyperparameter(int, Interval(-_LARGEST - 1, _LARGEST)),
    "silent": _integer(0, 1),
    "single_precision_histogram": _one_of("true", "false"),
    "sketch_eps": _number(Interval(0, 1, low_open=True, high_open=True)),
    "skip_drop": _number(_SHARE),
    "subsample": _number(_OPEN_SHARE),
    "tree_method": _one_of("auto", "exact", "approx", "hist", "gpu_hist"),
    "tweedie_variance_power": _number(Interval(1, 2, low_open=True, high_open=True)),
    "updater": _list(*_TREE_UPDATERS, *_LINEAR_UPDATERS),
    "use_dask_gpu_training": _one_of("true", "false"),
    "verbosity": _integer(0, 3),
}
_ALIASES: Final = {"learning_rate": "eta", "min_split_loss": "gamma", "reg_alpha": "alpha", "reg_lambda": "lambda"}
TUNABLE: Final = (
    *("alpha", "colsample_bylevel", "colsample_bynode", "colsample_bytree", "eta", "gamma", "lambda"),
    *("max_delta_step", "max_depth", "min_child_weight", "num_round", "subsample"),
)
"""What a tuning job may search (developer guide, "Tune an XGBoost Model")."""

_NEEDS_CLASSES: Final = ("multi:softmax", "multi:softprob")
_NOT_XGBOOSTS: Final = frozenset(
    {
        *("_kfold", "_num_cv_round", "_tuning_objective_metric", "csv_weights", "early_stopping_rounds", "num_round"),
        *("save_model_on_termination", "use_dask_gpu_training"),
    }
)
"""What the image itself acts on."""
_RETIRED: Final = frozenset(
    {
        *("deterministic_histogram", "dsplit", "predictor", "prob_buffer_row", "silent", "single_precision_histogram"),
        "sketch_eps",
    }
)
"""What the installed XGBoost no longer has a setting for; none of it decides what a model learns on a processor."""


def validate(given: Mapping[str, str], *, open_names: frozenset[str] = frozenset()) -> tuple[dict[str, Any], list[str]]:
    """The values of hyperparameters, and everything that is wrong with them in the image's words.

    Args:
        given: What the request says.
        open_names: Hyperparameters that have a value which is not known yet.
    """
    values: dict[str, Any] = {}
    problems = []
    if "num_round" not in given.keys() | open_names:
        problems.append("Missing required hyperparameter: num_round")
    for said, text in given.items():
        name = _ALIASES.get(said, said)
        known = KNOWN.get(name)
        if known is None:
            problems.append(f"Extraneous hyperparameter found: {name}")
            continue
        try:
            value = known.parse(text)
            problem = known.problem(name, value)
        except (ValueError, TypeError):
            problem = f"Hyperparameter {name}: could not parse value"
        if problem is None:
            values[name] = value
        else:
            problems.append(problem)
    if not open_names:
        problems += _combined(values)
    return values, problems


def parameters_of(
    values: Mapping[str, Any], version: tuple[int, int], rows: int, *, distributed: bool
) -> dict[str, Any]:
    """What the library is given, so that it does what the image's own version of it does.

    Args:
        values: Validated values.
        version: Of the image.
        rows: Of the training data.
        distributed: Whether several instances train together; the exact method cannot do that.
    """
    parameters = {k: v for k, v in values.items() if k not in _NOT_XGBOOSTS | _RETIRED}
    if "updater" in parameters:
        parameters["updater"] = ",".join(parameters["updater"])
    if parameters.get("tree_method") == "gpu_hist":
        parameters["tree_method"] = "hist"
    if version < (2, 0):
        # 2.0 began to estimate base_score from the labels, and to build trees by histograms unless told otherwise.
        parameters.setdefault("base_score", 0.5)
        plain = parameters.get("booster") != "gblinear" and not parameters.keys() & {"updater", "grow_policy"}
        if parameters.get("tree_method", "auto") == "auto" and plain:
            parameters["tree_method"] = "exact" if rows < 1 << 22 and not distributed else "approx"
    return parameters


def _combined(values: Mapping[str, Any]) -> Iterator[str]:
    objective = values.get("objective", "reg:squarederror")
    if objective in _NEEDS_CLASSES and "num_class" not in values:
        yield "Require input for parameter 'num_class' for multi-classification"
    if "num_class" in values and "objective" not in values:
        yield "Do not need to setup parameter 'num_class' for learning task other than multi-classification."
    wanted = values.get("eval_metric", [])
    if "auc" in wanted and not objective.startswith(("binary:", "multi:", "rank:")):
        yield "Metric 'auc' can only be applied for classification and ranking problems."
    if "aft-nloglik" in wanted and objective != "survival:aft":
        yield "Metric 'aft-nloglik' can only be applied for 'survival:aft' objective."
    yield from (problem for each in wanted if (problem := metrics.problem_of_threshold(each)))
    method = values.get("tree_method")
    if "monotone_constraints" in values and method not in {"exact", "hist"}:
        yield (
            "monotone_constraints can be used only when the tree_method parameter is set to either 'exact' or 'hist'."
        )
    if "interaction_constraints" in values and method not in {"exact", "hist", "approx"}:
        yield (
            "interaction_constraints can be used only when the tree_method parameter is set to either 'exact', 'hist' "
            "or 'approx'."
        )
    yield from _updaters(values.get("updater", []), values)


def _updaters(updaters: Sequence[str], values: Mapping[str, Any]) -> Iterator[str]:
    if not updaters:
        return
    if values.get("booster") == "gblinear":
        if len(updaters) != 1 or updaters[0] not in _LINEAR_UPDATERS:
            yield "Linear updater should be one of these options: 'shotgun', 'coord_descent'."
    elif values.get("process_type") == "update":
        if not set(updaters) <= {"refresh", "prune"}:
            yield "process_type 'update' can only be used with updater 'refresh' and 'prune'"
    elif not set(updaters) <= set(_TREE_UPDATERS):
        yield f"Tree updater should be selected from these options: {', '.join(map(repr, _TREE_UPDATERS))}."
    elif sum(each in _BUILDERS for each in updaters) > 1:
        yield f"Only one tree grow plugin can be selected. Choose one from the following: {', '.join(_BUILDERS)}"
