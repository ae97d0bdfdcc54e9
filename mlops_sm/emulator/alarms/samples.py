"""What was measured of a metric, and the statistics of it over a period."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

_PERCENTILE: Final = re.compile(r"p([0-9]{1,3}(?:\.[0-9]{1,10})?)")
_WHOLE: Final = 100.0
_HALF: Final = 50.0
_BASIC: Final = frozenset({"SampleCount", "Average", "Sum", "Minimum", "Maximum"})


class Sample(NamedTuple):
    """One datum of PutMetricData.

    Attributes:
        time: Epoch seconds.
        number: How many values it stands for.
        total: Their sum.
        minimum: The least of them.
        maximum: The greatest of them.
        values: The values with how often each was seen; empty for a statistic set whose values are not known.
        unit: Its unit; ``None`` in words when it was given none.
    """

    time: float
    number: float
    total: float
    minimum: float
    maximum: float
    values: tuple[tuple[float, float], ...]
    unit: str

    @classmethod
    def of_value(cls, time: float, value: float, unit: str) -> Sample:
        """One value."""
        return cls(time, 1.0, value, value, value, ((value, 1.0),), unit)

    @classmethod
    def of_set(cls, time: float, *, count: float, total: float, minimum: float, maximum: float, unit: str) -> Sample:
        """A statistic set. Its values are known when it has but one."""
        values = ((minimum, count),) if count == 1 or minimum == maximum else ()
        return cls(time, count, total, minimum, maximum, values, unit)


class Point(NamedTuple):
    """A statistic over one period.

    Attributes:
        start: The period's start in epoch seconds.
        value: The statistic.
        number: Of how many values.
    """

    start: float
    value: float
    number: float


def is_statistic(name: str) -> bool:
    """Whether a statistic can be computed here."""
    return name in _BASIC or percentile_of(name) is not None


def percentile_of(name: str) -> float | None:
    """The percentile that a statistic like ``p99.9`` names."""
    match = _PERCENTILE.fullmatch(name)
    if match is None or not 0 <= float(match[1]) <= _WHOLE:
        return None
    return float(match[1])


def enough_for(percentile: float) -> float:
    """How many values make a percentile statistically significant.

    Source: "Percentile-based alarms and low data samples" of
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/percentiles-with-low-samples.html
    """
    tail = _WHOLE - percentile if percentile >= _HALF else percentile
    return math.inf if tail == 0 else 10 * _WHOLE / tail


def statistic(name: str, start: float, samples: Sequence[Sample]) -> Point | None:
    """A statistic of the samples of one period; None when there is nothing to compute it from."""
    count = sum(sample.number for sample in samples)
    if not samples or count == 0:
        return None
    match name:
        case "SampleCount":
            value: float | None = count
        case "Sum":
            value = math.fsum(sample.total for sample in samples)
        case "Average":
            value = math.fsum(sample.total for sample in samples) / count
        case "Minimum":
            value = min(sample.minimum for sample in samples)
        case "Maximum":
            value = max(sample.maximum for sample in samples)
        case _:
            value = _percentile(percentile_of(name), samples)
    return None if value is None else Point(start, value, count)


def _percentile(percentile: float | None, samples: Sequence[Sample]) -> float | None:
    # "CloudWatch needs raw data points to calculate percentile statistics"; there are none of negative values.
    if percentile is None or not all(sample.values and sample.minimum >= 0 for sample in samples):
        return None
    values = sorted(pair for sample in samples for pair in sample.values)
    rank = percentile / _WHOLE * (sum(count for _, count in values) - 1)
    below = above = values[-1][0]
    seen = 0.0
    for value, count in values:
        if seen <= math.floor(rank) < seen + count:
            below = value
        if seen <= math.ceil(rank) < seen + count:
            above = value
            break
        seen += count
    return below + (above - below) * (rank - math.floor(rank))
