"""Whether an alarm's data cross its threshold.

Source: "Alarm evaluation" and "Configuring how CloudWatch alarms treat missing data" of the CloudWatch user guide:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, assert_never

from mlops_sm.emulator.alarms.samples import Point

EXTRA_PERIODS: Final = 2
"""Periods that are looked at beyond EvaluationPeriods; the guide's examples have 5 for 3."""


class State(StrEnum):
    """An alarm's StateValue."""

    OK = "OK"
    ALARM = "ALARM"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


class Missing(StrEnum):
    """An alarm's TreatMissingData."""

    MISSING = "missing"
    IGNORE = "ignore"
    BREACHING = "breaching"
    NOT_BREACHING = "notBreaching"


COMPARISONS: Final[Mapping[str, tuple[Callable[[float, float], bool], str]]] = {
    "GreaterThanThreshold": (operator.gt, "greater than"),
    "GreaterThanOrEqualToThreshold": (operator.ge, "greater than or equal to"),
    "LessThanThreshold": (operator.lt, "less than"),
    "LessThanOrEqualToThreshold": (operator.le, "less than or equal to"),
}
"""Each ComparisonOperator with a fixed threshold, and the words of StateReason for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an alarm compares.

    Attributes:
        comparison: Its ComparisonOperator, one of `COMPARISONS`.
        threshold: Its Threshold.
        periods: Its EvaluationPeriods, N.
        to_alarm: Its DatapointsToAlarm, M; None when it was given none, which means N.
        missing: Its TreatMissingData.
    """

    comparison: str
    threshold: float
    periods: int
    to_alarm: int | None
    missing: Missing

    @property
    def needed(self) -> int:
        """M."""
        return self.to_alarm or self.periods

    def breaches(self, point: Point) -> bool:
        """Whether a data point crosses the threshold."""
        return COMPARISONS[self.comparison][0](point.value, self.threshold)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of an evaluation.

    Attributes:
        state: The state the data ask for; None: the alarm keeps the one it has.
        points: The data points that were evaluated, oldest first.
        filled: How many missing data points were put in.
    """

    state: State | None
    points: tuple[Point, ...]
    filled: int


def judge(points: Sequence[Point | None], settings: Settings) -> Verdict:
    """Evaluate the data points of the evaluation range, oldest first, None for one that is missing."""
    real = [point for point in points if point is not None]
    evaluated = tuple(real[-settings.periods :])
    filled = settings.periods - len(evaluated)
    breaching = sum(settings.breaches(point) for point in evaluated)
    return Verdict(_state(points, settings, breaching, filled, len(evaluated)), evaluated, filled)


def _state(
    points: Sequence[Point | None], settings: Settings, breaching: int, filled: int, evaluated: int
) -> State | None:
    if breaching >= settings.needed:
        return State.ALARM
    if filled == 0:
        return State.OK
    match settings.missing:
        case Missing.BREACHING:
            return State.ALARM if breaching + filled >= settings.needed else State.OK
        case Missing.NOT_BREACHING:
            return State.OK
        case Missing.MISSING if evaluated == 0:
            return State.INSUFFICIENT_DATA
        case Missing.MISSING | Missing.IGNORE if breaching < evaluated:
            return State.OK
        case Missing.MISSING:
            return State.ALARM if _old_enough(points, settings.needed) else None
        case Missing.IGNORE:
            return None
        case _:
            assert_never(settings.missing)


def _old_enough(points: Sequence[Point | None], needed: int) -> bool:
    """Whether the oldest of the data points, all of which breach, is as old as DatapointsToAlarm.

    Source: "Avoiding premature transitions to alarm state" of the same page.
    """
    oldest = next(index for index, point in enumerate(points) if point is not None)
    return len(points) - oldest >= needed


def reason(verdict: Verdict, settings: Settings, state: State, before: State) -> str:
    """The StateReason of a transition, in CloudWatch's words."""
    if state is State.INSUFFICIENT_DATA:
        unknown = "datapoint was" if settings.periods == 1 else "datapoints were"
        return f"Insufficient Data: {settings.periods} {unknown} unknown."
    if not verdict.points:
        silent = _plural(settings.periods, "period")
        return f"Threshold Crossed: no datapoints were received for {silent}{_filled(verdict, settings)}."
    told = [point for point in verdict.points if settings.breaches(point) == (state is State.ALARM)] or list(
        verdict.points
    )
    values = ", ".join(f"{point.value!r} ({_short(point.start)})" for point in reversed(told))
    was = "was" if len(told) == 1 else "were"
    negation = "" if state is State.ALARM else "not "
    words = COMPARISONS[settings.comparison][1]
    crossed = f"{was} {negation}{words} the threshold ({float(settings.threshold)!r})"
    if settings.to_alarm is None:
        return f"Threshold Crossed: {_plural(len(told), 'datapoint')} [{values}] {crossed}{_filled(verdict, settings)}."
    least = settings.needed if state is State.ALARM else settings.periods - settings.needed + 1
    return (
        f"Threshold Crossed: {len(told)} out of the last {settings.periods} datapoints [{values}] {crossed}"
        f" (minimum {_plural(least, 'datapoint')} for {before} -> {state} transition)."
    )


def _filled(verdict: Verdict, settings: Settings) -> str:
    if settings.missing not in {Missing.BREACHING, Missing.NOT_BREACHING} or not verdict.filled:
        return ""
    treated = "Breaching" if settings.missing is Missing.BREACHING else "NonBreaching"
    was = "was" if verdict.filled == 1 else "were"
    return f" and {_plural(verdict.filled, 'missing datapoint')} {was} treated as [{treated}]"


def _plural(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _short(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%d/%m/%y %H:%M:%S")
