"""The data of PutMetricData before moto takes them: numbers in range, stamped, and none repeated a million times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

_GREATEST: Final = 2.0**360
_REPEATED: Final = 100.0
"""Moto keeps a value that was seen so often as so many data."""

Datum = Mapping[str, Any]


class DataError(ValueError):
    """A number that CloudWatch refuses; the message says where."""


def prepared(data: Iterable[Datum], now: datetime) -> list[dict[str, Any]]:
    """The data as moto shall take them.

    Args:
        data: MetricData of a request.
        now: Of data without a time of their own; UTC without saying so, as moto keeps times.

    Raises:
        DataError: A number is out of the range that the API reference of MetricDatum gives.
    """
    taken: list[dict[str, Any]] = []
    for number, datum in enumerate(data, start=1):
        _check(number, datum)
        taken.extend(_gathered({**datum, "Timestamp": datum.get("Timestamp") or now}))
    return taken


def _check(number: int, datum: Datum) -> None:
    values = [datum.get("Value"), *(datum.get("Values") or []), *(datum.get("Counts") or [])]
    values += (datum.get("StatisticValues") or {}).values()
    # Whatever is not a number is left to moto, which has words for it.
    if any(value is not None and abs(float(value)) > _GREATEST for value in values):
        raise DataError(f"A value of MetricData.member.{number} is invalid: it must be between -2^360 and 2^360.")


def _gathered(datum: dict[str, Any]) -> list[dict[str, Any]]:
    """A datum whose values were seen very often as one statistic set for each of them."""
    values, counts = datum.get("Values") or [], datum.get("Counts") or []
    if len(counts) != len(values) or max(map(float, counts), default=0.0) <= _REPEATED:
        return [datum]
    rest = {name: member for name, member in datum.items() if name not in {"Values", "Counts"}}
    return [
        {
            **rest,
            "StatisticValues": {
                "SampleCount": float(count),
                "Sum": float(value) * float(count),
                "Minimum": float(value),
                "Maximum": float(value),
            },
        }
        for value, count in zip(values, counts, strict=True)
    ]
