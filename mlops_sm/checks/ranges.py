"""Rules about what a tuning step searches: ranges that exist, a strategy that takes them, an objective that is there.

Sources: the SageMaker API reference, HyperParameterTuningJobConfig and the structures it holds; developer guide,
"Define Hyperparameter Ranges" and "Understand the hyperparameter tuning strategies".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final

from mlops_sm.checks.subject import Subject, place
from mlops_sm.definition.document import Json, Step
from mlops_sm.definition.expressions import is_expression
from mlops_sm.definition.kinds import StepKind
from mlops_sm.definition.wording import item, member, shown
from mlops_sm.errors import Problem

_NUMBERS: Final = ("IntegerParameterRanges", "ContinuousParameterRanges")
_LISTS: Final = (*_NUMBERS, "CategoricalParameterRanges")
_ARGUMENTS: Final = "Arguments"


def check_ranges(subject: Subject) -> Iterator[Problem]:
    """Ranges are of numbers and begin before they end (E257), have names (E256, E251) and suit the strategy (E251)."""
    for step in subject.definition.walk():
        if step.kind is StepKind.TUNING:
            for code, path, what, fix in _tuning(step):
                yield Problem(code, place(step, path), what, fix)


_Finding = tuple[str, str, str, str]


def _tuning(step: Step) -> Iterator[_Finding]:
    config = _object(step.arguments.get("HyperParameterTuningJobConfig"))
    config_path = member(_ARGUMENTS, "HyperParameterTuningJobConfig")
    strategy = config.get("Strategy")
    limits = member(config_path, "ResourceLimits")
    if strategy in ("Bayesian", "Random", "Hyperband") and "Autotune" not in step.arguments:
        resources = config.get("ResourceLimits")
        if isinstance(resources, dict) and not is_expression(resources) and "MaxNumberOfTrainingJobs" not in resources:
            why = f'"MaxNumberOfTrainingJobs" is missing: only a Grid has a number of its own, {strategy} has none'
            yield "E250", limits, why, 'Add "MaxNumberOfTrainingJobs".'
    if strategy == "Hyperband" and config.get("TrainingJobEarlyStoppingType") == "Auto":
        what = "Hyperband stops training jobs itself: TrainingJobEarlyStoppingType excludes it"
        yield "E251", member(config_path, "TrainingJobEarlyStoppingType"), what, 'Set it to "Off".'
    single = _object(step.arguments.get("TrainingJobDefinition"))
    yield from _searched(
        _object(config.get("ParameterRanges")), member(config_path, "ParameterRanges"), strategy, single
    )
    yield from _objective(config.get("HyperParameterTuningJobObjective"), config_path, single)
    several = step.arguments.get("TrainingJobDefinitions")
    for index, definition in enumerate(several if isinstance(several, list) else ()):
        path = item(member(_ARGUMENTS, "TrainingJobDefinitions"), index)
        own = _object(definition)
        ranges = _object(own.get("HyperParameterRanges"))
        yield from _searched(ranges, member(path, "HyperParameterRanges"), strategy, own)
        yield from _objective(own.get("TuningObjective"), path, own)


def _searched(
    ranges: Mapping[str, Json], path: str, strategy: Json, definition: Mapping[str, Json]
) -> Iterator[_Finding]:
    static = _object(definition.get("StaticHyperParameters"))
    seen: set[str] = set()
    for kind in _LISTS:
        found = ranges.get(kind)
        for index, entry in enumerate(found if isinstance(found, list) else ()):
            each, where = _object(entry), item(member(path, kind), index)
            name = each.get("Name")
            if isinstance(name, str):
                if name in seen:
                    yield "E256", member(where, "Name"), f'Name "{shown(name)}" is used twice', "Rename one of them."
                if name in static:
                    what = f'the hyperparameter "{shown(name)}" is static and searched at once'
                    yield "E251", member(where, "Name"), what, "Keep one of them."
                seen.add(name)
            if kind in _NUMBERS:
                if strategy == "Grid":
                    what = "the strategy Grid excludes ranges of numbers"
                    yield "E251", where, what, "Give the values as CategoricalParameterRanges."
                yield from _no_numbers(each, where, whole=kind == _NUMBERS[0])
                yield from _ends(each, where)


def _no_numbers(each: Mapping[str, Json], where: str, *, whole: bool) -> Iterator[_Finding]:
    """The API takes the ends as texts, and any text."""
    for end in ("MinValue", "MaxValue"):
        value = each.get(end)
        if isinstance(value, str) and not _is_number(value, whole=whole):
            kind = "whole number" if whole else "number"
            yield "E257", member(where, end), f'"{shown(value)}" is no {kind}', f"Write a {kind} as text."


def _is_number(text: str, *, whole: bool) -> bool:
    try:
        return math.isfinite(int(text) if whole else float(text))
    except (ValueError, OverflowError):
        return False


def _ends(each: Mapping[str, Json], where: str) -> Iterator[_Finding]:
    low, high = _number(each.get("MinValue")), _number(each.get("MaxValue"))
    if low is None or high is None:
        return
    if low > high:
        what = f"MinValue ({each['MinValue']}) is greater than MaxValue ({each['MaxValue']})"
        yield "E257", member(where, "MinValue"), what, "Swap them."
    elif each.get("ScalingType") == "Logarithmic" and low <= 0:
        what = f"logarithmic scaling needs values greater than 0, and MinValue is {each['MinValue']}"
        yield "E257", member(where, "MinValue"), what, 'Start above 0, or use "Linear".'
    elif each.get("ScalingType") == "ReverseLogarithmic" and (low < 0 or high >= 1):
        what = f"reverse logarithmic scaling needs 0 <= x < 1, not {each['MinValue']} to {each['MaxValue']}"
        yield "E257", member(where, "ScalingType"), what, "Change the ends, or the scale."


def _objective(objective: Json, path: str, definition: Mapping[str, Json]) -> Iterator[_Finding]:
    """An objective that is not among the metrics that are defined; an algorithm of AWS's may define none."""
    name = _object(objective).get("MetricName")
    defined = _object(definition.get("AlgorithmSpecification")).get("MetricDefinitions")
    if not isinstance(name, str) or not isinstance(defined, list) or not defined:
        return
    names = [_object(each).get("Name") for each in defined]
    if name not in names and all(isinstance(each, str) for each in names):
        what = f'the objective "{shown(name)}" is missing among the MetricDefinitions: {", ".join(map(str, names))}'
        yield "E250", path, what, "Define it, or name one of them."


def _object(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) and not is_expression(value) else {}


def _number(value: Json) -> float | None:
    try:
        return float(value) if isinstance(value, str | int | float) else None
    except ValueError:
        return None
