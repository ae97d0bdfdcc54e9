"""A CreateHyperParameterTuningJob request as a search: what the service requires of it, and what is to be tried.

Sources: API reference, CreateHyperParameterTuningJob and the structures it holds; developer guide, "Perform Automatic
Model Tuning", "Run a Warm Start Hyperparameter Tuning Job". The words about too few combinations are the service's
(aws/amazon-sagemaker-operator-for-k8s #123).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import invalid
from mlops_sm.emulator.sagemaker.training_jobs import check_algorithm
from mlops_sm.local import built_in
from mlops_sm.local.images import BUILT_IN_ALGORITHMS, repository
from mlops_sm.local.tuning.bayesian import BayesianSearch
from mlops_sm.local.tuning.search import GridSearch, Known, RandomSearch, Search
from mlops_sm.local.tuning.space import Choice, Numbers, Range, Scaling, Space
from mlops_sm.local.tuning.stopping import Hyperband, MedianRule, NeverStop, Stopping
from mlops_sm.local.tuning.tuner import Limits, Task

MAX_RANGES: Final = 30
"""Hyperparameters that are searched (API reference, ParameterRanges)."""
MAX_EPOCHS: Final = 20_000
"""Of Hyperband (API reference, HyperbandStrategyConfig)."""
_EPOCHS: Final = ("epochs", "numepochs", "n-epochs", "n_epochs", "num_epochs")
"""Static hyperparameters that say how many epochs there are (API reference, HyperbandStrategyConfig)."""
OBJECTIVE_HYPERPARAMETER: Final = "_tuning_objective_metric"
"""By which the service tells a training job its objective (developer guide, "Define Hyperparameter Ranges")."""
_AUTOTUNED: Final = 20
"""Training jobs when Autotune is to choose."""
_AUTO_FACTOR: Final = 10.0
"""Autotune searches so far below and above the hint."""


@dataclass(frozen=True, slots=True)
class JobDefinition:
    """One kind of training job.

    Attributes:
        name: DefinitionName; empty when the request has only one definition.
        members: The definition.
        metric: The objective metric.
        maximize: Whether more of it is better.
        space: What is searched.
        static: Hyperparameters that do not change, with those that Autotune leaves alone.
    """

    name: str
    members: Mapping[str, Json]
    metric: str
    maximize: bool
    space: Space
    static: Mapping[str, str]


def definitions_of(request: Mapping[str, Json]) -> tuple[JobDefinition, ...]:
    """The training job definitions of a request.

    Raises:
        AwsError: ValidationException, the request is not one that the service takes.
    """
    config = request["HyperParameterTuningJobConfig"]
    single, several = request.get("TrainingJobDefinition"), request.get("TrainingJobDefinitions")
    if (single is None) is not bool(several):
        raise invalid("You must specify either TrainingJobDefinition or TrainingJobDefinitions, and not both.")
    _check_config(config)
    autotune = "Autotune" in request
    if single is not None:
        return (_definition(single, config, autotune=autotune, name=single.get("DefinitionName", "")),)
    for member, own in (
        ("HyperParameterTuningJobObjective", "TuningObjective"),
        ("ParameterRanges", "HyperParameterRanges"),
    ):
        if member in config:
            raise invalid(f"With TrainingJobDefinitions each definition has its own {own}; remove {member}.")
    several = several or []
    names = [each.get("DefinitionName") for each in several]
    if None in names or len(set(names)) < len(names):
        raise invalid("Every one of TrainingJobDefinitions needs a DefinitionName of its own.")
    return tuple(_definition(each, {}, autotune=autotune, name=each["DefinitionName"]) for each in several)


def limits_of(request: Mapping[str, Json], definitions: Sequence[JobDefinition]) -> Limits:
    """When the search ends.

    Raises:
        AwsError: ValidationException, the limits and the ranges do not go together.
    """
    config = request["HyperParameterTuningJobConfig"]
    resources = config["ResourceLimits"]
    if config["Strategy"] == "Grid":
        others = [r.name for each in definitions for r in each.space.ranges if not isinstance(r, Choice)]
        if others:
            raise invalid(f"The Grid strategy takes categorical ranges only, not those of {', '.join(others)}.")
    combinations = sum(each.space.count for each in definitions)
    asked = resources.get("MaxNumberOfTrainingJobs")
    if config["Strategy"] == "Grid":
        if asked is not None and asked != combinations:
            raise invalid(
                f"MaxNumberOfTrainingJobs [{asked}] must equal the number of distinct combinations of a grid "
                f"[{combinations:.0f}]."
            )
        asked = int(combinations)
    if asked is None:
        if "Autotune" not in request:
            raise invalid("MaxNumberOfTrainingJobs is required unless the strategy is Grid.")
        asked = int(min(_AUTOTUNED, combinations))
    if combinations < asked:
        raise invalid(
            "You don't have enough combinations of hyperparameter ranges. The total number of hyperparameter "
            f"combinations for the provided ranges [{combinations:.1f}] must be equal or greater than the value of "
            f"MaxNumberOfJobs, [{asked}]. Provide additional ranges."
        )
    criteria = config.get("TuningJobCompletionCriteria") or {}
    converged = (criteria.get("ConvergenceDetected") or {}).get("CompleteOnConvergence") == "Enabled"
    return Limits(
        trials=asked,
        parallel=resources["MaxParallelTrainingJobs"],
        target=criteria.get("TargetObjectiveMetricValue"),
        not_improving=(criteria.get("BestObjectiveNotImproving") or {}).get("MaxNumberOfTrainingJobsNotImproving"),
        converge=converged,
    )


def tasks_of(
    request: Mapping[str, Json],
    definitions: Sequence[JobDefinition],
    limits: Limits,
    *,
    seed: int,
    known: Sequence[Known] = (),
) -> list[Task]:
    """What is tried, by the request's strategy.

    Args:
        request: The request.
        definitions: Its definitions.
        limits: Its limits.
        seed: For everything that is drawn.
        known: Results of its parents; of a request with one definition.

    Raises:
        AwsError: ValidationException, the strategy does not go with the rest.
    """
    config = request["HyperParameterTuningJobConfig"]
    return [
        Task(
            name=each.name,
            search=_search(config, each, limits, seed=seed + index, known=known),
            maximize=each.maximize,
            stopping=_stopping(config, each),
        )
        for index, each in enumerate(definitions)
    ]


def _check_config(config: Mapping[str, Json]) -> None:
    strategy = config["Strategy"]
    if strategy != "Hyperband" and "StrategyConfig" in config:
        raise invalid("StrategyConfig is for the Hyperband strategy only.")
    if strategy == "Hyperband" and config.get("TrainingJobEarlyStoppingType", "Off") != "Off":
        raise invalid("TrainingJobEarlyStoppingType must be Off to use Hyperband, which stops training jobs itself.")


def _definition(members: Mapping[str, Json], config: Mapping[str, Json], *, autotune: bool, name: str) -> JobDefinition:
    objective = config.get("HyperParameterTuningJobObjective") or members.get("TuningObjective")
    if objective is None:
        raise invalid("An objective metric is required: HyperParameterTuningJobObjective or TuningObjective.")
    algorithm = members["AlgorithmSpecification"]
    check_algorithm(algorithm)
    if ("ResourceConfig" in members) == ("HyperParameterTuningResourceConfig" in members):
        raise invalid("You must specify either ResourceConfig or HyperParameterTuningResourceConfig, and not both.")
    _check_metric(algorithm, objective["MetricName"])
    given = config.get("ParameterRanges") or members.get("HyperParameterRanges") or {}
    static = dict(members.get("StaticHyperParameters") or {})
    static.pop(OBJECTIVE_HYPERPARAMETER, None)
    if given.get("AutoParameters") and not autotune:
        raise invalid("AutoParameters need Autotune with Mode Enabled.")
    try:
        space = Space([*_ranges(given), *_auto_ranges(given, static)])
    except ValueError as error:
        raise invalid(f"ParameterRanges: {error}.") from None
    if not space.ranges:
        raise invalid("At least one hyperparameter range is required.")
    if len(space.ranges) > MAX_RANGES:
        raise invalid(f"{len(space.ranges)} hyperparameters are searched; the limit is {MAX_RANGES}.")
    both = sorted({each.name for each in space.ranges} & static.keys())
    if both:
        raise invalid(f"Hyperparameters cannot be both static and tunable: {', '.join(both)}.")
    maximize = objective["Type"] == "Maximize"
    if built_in.is_algorithm(members) and not algorithm.get("MetricDefinitions"):
        image_uri = algorithm["TrainingImage"]
        problem = built_in.problem_of_objective(
            objective["MetricName"], image_uri, maximize=maximize
        ) or built_in.problem_of_ranges((each.name for each in space.ranges), image_uri)
        if problem is not None:
            raise invalid(problem)
    return JobDefinition(name, members, objective["MetricName"], maximize, space, static)


def _check_metric(algorithm: Mapping[str, Json], metric: str) -> None:
    defined = {each["Name"] for each in algorithm.get("MetricDefinitions") or []}
    # Algorithms of AWS bring their metrics with them; its XGBoost image, which also runs scripts, does so too.
    name = repository(algorithm.get("TrainingImage", "")).removeprefix("sagemaker-")
    if metric not in defined and (defined or name not in BUILT_IN_ALGORITHMS):
        raise invalid(
            "A metric is required for this hyperparameter tuning job objective. Provide a metric in the metric "
            f"definitions: {metric} is not one of {sorted(defined)}."
        )


def _ranges(given: Mapping[str, Json]) -> Iterator[Range]:
    for member, whole in (("IntegerParameterRanges", True), ("ContinuousParameterRanges", False)):
        for each in given.get(member) or []:
            scaling = Scaling(each.get("ScalingType", "Auto"))
            yield Numbers(
                each["Name"], _number(each, "MinValue", whole), _number(each, "MaxValue", whole), scaling, whole
            )
    for each in given.get("CategoricalParameterRanges") or []:
        yield Choice(each["Name"], tuple(each["Values"]))


def _number(given: Mapping[str, Json], member: str, whole: bool) -> float:
    try:
        return float(int(given[member]) if whole else float(given[member]))
    except ValueError:
        kind = "integer" if whole else "number"
        raise ValueError(f"{member} of {given['Name']}, {given[member]!r}, is no {kind}") from None


def _auto_ranges(given: Mapping[str, Json], static: dict[str, str]) -> Iterator[Range]:
    """Ranges around Autotune's hints; what is no number, or is 0, becomes static."""
    for each in given.get("AutoParameters") or []:
        name, hint = each["Name"], each["ValueHint"]
        try:
            value = float(hint)
        except ValueError:
            value = 0.0
        if value <= 0 or not math.isfinite(value):
            static[name] = hint
        elif hint.strip().isdigit():
            low, high = max(1, value // _AUTO_FACTOR), value * _AUTO_FACTOR
            yield Numbers(name, low, high, Scaling.LOGARITHMIC, whole=True)
        else:
            high = value * _AUTO_FACTOR
            # A share stays one.
            yield Numbers(name, value / _AUTO_FACTOR, min(high, 1.0) if value <= 1 else high, Scaling.LOGARITHMIC)


def _search(
    config: Mapping[str, Json], definition: JobDefinition, limits: Limits, *, seed: int, known: Iterable[Known]
) -> Search:
    match config["Strategy"]:
        case "Grid":
            return GridSearch(definition.space)
        case "Bayesian":
            return BayesianSearch(
                definition.space, seed, maximize=definition.maximize, trials=limits.trials, known=known
            )
        case _:
            return RandomSearch(definition.space, seed)


def _stopping(config: Mapping[str, Json], definition: JobDefinition) -> Stopping:
    if config["Strategy"] == "Hyperband":
        asked = (config.get("StrategyConfig") or {}).get("HyperbandStrategyConfig") or {}
        low, high = asked.get("MinResource", 1), asked.get("MaxResource") or _epochs(definition.static)
        if not low <= high <= MAX_EPOCHS:
            raise invalid(
                f"MinResource [{low}] must not be above MaxResource [{high}], and MaxResource not above {MAX_EPOCHS}."
            )
        return Hyperband(maximize=definition.maximize, min_resource=low, max_resource=high)
    if config.get("TrainingJobEarlyStoppingType") == "Auto":
        return MedianRule(maximize=definition.maximize)
    return NeverStop()


def _epochs(static: Mapping[str, str]) -> int:
    for name in _EPOCHS:
        if static.get(name, "").isdigit():
            return int(static[name])
    raise invalid(
        "HyperbandStrategyConfig needs MaxResource; it could not be inferred from the static hyperparameters "
        f"{', '.join(_EPOCHS)}."
    )
