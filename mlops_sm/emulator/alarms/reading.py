"""GetMetricStatistics and GetMetricData: what was measured, by period, with percentiles and metric math.

Sources: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricStatistics.html and
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
"""

from __future__ import annotations

import base64
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from mlops_sm.emulator.alarms.formulas import Formula, FormulaError, Series, parse_formula
from mlops_sm.emulator.alarms.plans import SeriesKey, key_of, sample_of
from mlops_sm.emulator.alarms.records import aware, naive
from mlops_sm.emulator.alarms.samples import Sample, is_statistic, statistic

Request = Mapping[str, Any]
Samples = Sequence[Sample]

_MINUTE: Final = 60
_DAY: Final = 86_400
_SHORT: Final = (1, 5, 10, 20, 30)
_MOST_POINTS: Final = 1440
_MOST_DATA: Final = 100_800
_MOST_PERIODS: Final = 1_000_000
_COARSE: Final = ((63 * _DAY, 3600), (15 * _DAY, 300), (0, _MINUTE))
"""Ages of a start time in seconds, and to what it is rounded down."""


class ReadError(ValueError):
    """A request that CloudWatch refuses.

    Attributes:
        code: The error's name.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


def read_statistics(request: Request, data: Iterable[Any], now: datetime) -> dict[str, Any]:
    """The answer to GetMetricStatistics; units are told apart.

    Args:
        request: The request's members.
        data: Everything moto has measured.
        now: The time; what a start time is rounded to depends on its age.

    Raises:
        ReadError: The service refuses it.
    """
    basic, extended = list(request.get("Statistics") or []), list(request.get("ExtendedStatistics") or [])
    if not basic and not extended:
        raise ReadError("InvalidParameterCombination", "Must specify either Statistics or ExtendedStatistics")
    _require_statistics([*basic, *extended])
    period = int(request["Period"])
    starts = _starts(request, period, now)
    if len(starts) > _MOST_POINTS:
        raise ReadError(
            "InvalidParameterCombination",
            f"You have requested up to {len(starts)} datapoints, which exceeds the limit of {_MOST_POINTS}. You may"
            " reduce the datapoints requested by increasing Period, or decreasing the time range.",
        )
    key = _key(request)
    by_unit: dict[str, list[Sample]] = defaultdict(list)
    for sample in _held({key}, data, starts, _epoch(request["EndTime"]))[key]:
        if request.get("Unit") in {None, sample.unit}:
            by_unit[sample.unit].append(sample)
    points = []
    for unit, samples in sorted(by_unit.items()):
        for start, inside in _buckets(samples, starts, period).items():
            point: dict[str, Any] = {"Timestamp": _time(start), "Unit": unit}
            point |= {name: found.value for name in basic if (found := statistic(name, start, inside))}
            percentiles = {name: found.value for name in extended if (found := statistic(name, start, inside))}
            points.append(point | ({"ExtendedStatistics": percentiles} if percentiles else {}))
    return {"Label": request["MetricName"], "Datapoints": points}


def read_data(request: Request, data: Iterable[Any], now: datetime) -> dict[str, Any]:
    """The answer to GetMetricData.

    Args:
        request: The request's members.
        data: Everything moto has measured.
        now: The time.

    Raises:
        ReadError: The service refuses it.
    """
    queries: dict[str, Request] = {query["Id"]: query for query in request.get("MetricDataQueries") or []}
    if len(queries) != len(request.get("MetricDataQueries") or []):
        raise ReadError("ValidationError", "The values for parameter Id in MetricDataQueries are not unique.")
    given: dict[str, Series] = {}
    measured = {name: query["MetricStat"] for name, query in queries.items() if query.get("MetricStat")}
    _require_statistics([stat["Stat"] for stat in measured.values()])
    periods = {name: int(stat["Period"]) for name, stat in measured.items()}
    all_starts = {name: _starts(request, period, now) for name, period in periods.items()}
    keys = {name: _key(stat["Metric"]) for name, stat in measured.items()}
    first = min((starts[0] for starts in all_starts.values()), default=0.0)
    held = _held(set(keys.values()), data, [first], _epoch(request["EndTime"]))
    for name, stat in measured.items():
        samples = [each for each in held[keys[name]] if stat.get("Unit") in {None, each.unit}]
        points = (
            statistic(stat["Stat"], start, inside)
            for start, inside in _buckets(samples, all_starts[name], periods[name]).items()
        )
        given[name] = {point.start: point.value for point in points if point is not None}
    # Expressions are computed over the periods of what they are made of.
    starts = max(all_starts.values(), key=len, default=[])
    for name in queries:
        _compute(name, queries, given, metrics=tuple(measured), starts=starts)
    shown = [query for query in queries.values() if query.get("ReturnData") is not False]
    return _paged(request, [(query["Id"], _label(query), given[query["Id"]]) for query in shown])


def _compute(
    name: str,
    queries: Mapping[str, Request],
    given: dict[str, Series],
    *,
    metrics: tuple[str, ...],
    starts: Sequence[float],
    above: tuple[str, ...] = (),
) -> None:
    """Have the series of a query in `given`; what its expression refers to before."""
    if name in given:
        return
    expression = (queries.get(name) or {}).get("Expression")
    if not expression or name in above:
        raise ReadError(
            "ValidationError", f"Error in expression: {name} is not a query with a metric or an expression."
        )
    try:
        formula: Formula = parse_formula(expression)
        for each in formula.names:
            _compute(each, queries, given, metrics=metrics, starts=starts, above=(*above, name))
        given[name] = formula.series(given, metrics, starts)
    except FormulaError as error:
        raise ReadError("ValidationError", f"Error in expression '{name}': {error}.") from error


def _paged(request: Request, found: Sequence[tuple[str, str, Series]]) -> dict[str, Any]:
    """As many values as MaxDatapoints allows, the series one after the other; the token says how many were told."""
    ascending = request.get("ScanBy") == "TimestampAscending"
    most = int(request.get("MaxDatapoints") or _MOST_DATA)
    told = read_number(request["NextToken"]) if request.get("NextToken") is not None else 0
    results, position, left = [], 0, most
    for identity, label, series in found:
        times = sorted(series, reverse=not ascending)
        skipped = min(max(told - position, 0), len(times))
        taken = times[skipped : skipped + left]
        position += len(times)
        left -= len(taken)
        if told and skipped == len(times) and times:
            continue
        results.append(
            {
                "Id": identity,
                "Label": label,
                "Timestamps": [_time(each) for each in taken],
                "Values": [series[each] for each in taken],
                "StatusCode": "Complete" if skipped + len(taken) == len(times) else "PartialData",
            }
        )
    more = told + most < position
    return {"MetricDataResults": results, "NextToken": make_token(str(told + most)) if more else None, "Messages": []}


def _starts(request: Request, period: int, now: datetime) -> list[float]:
    """The starts of the periods from the start time, rounded down by its age, to the end time."""
    if period not in _SHORT and (period <= 0 or period % _MINUTE):
        raise ReadError("InvalidParameterValue", f"The parameter Period must be a multiple of {_MINUTE}.")
    start, end = _epoch(request["StartTime"]), _epoch(request["EndTime"])
    if start >= end:
        raise ReadError("ValidationError", "The parameter StartTime must be less than the parameter EndTime.")
    age = now.timestamp() - start
    whole = period if period in _SHORT else next((to for older, to in _COARSE if age > older), _MINUTE)
    first = start // whole * whole
    if (end - first) / period > _MOST_PERIODS:
        raise ReadError("ValidationError", f"The time range has more than {_MOST_PERIODS} periods.")
    return [first + period * number for number in range(math.ceil((end - first) / period))]


def _held(
    keys: set[SeriesKey], data: Iterable[Any], starts: Sequence[float], end: float
) -> dict[SeriesKey, list[Sample]]:
    found: dict[SeriesKey, list[Sample]] = {key: [] for key in keys}
    names = {(key.namespace, key.name) for key in keys}
    for datum in list(data):
        if (datum.namespace, datum.name) not in names:
            continue
        key = key_of(datum.namespace, datum.name, datum.dimensions)
        if key in found:
            sample = sample_of(datum)
            if starts[0] <= sample.time < end:
                found[key].append(sample)
    return found


def _buckets(samples: Samples, starts: Sequence[float], period: int) -> dict[float, list[Sample]]:
    buckets: dict[float, list[Sample]] = defaultdict(list)
    for sample in samples:
        buckets[starts[0] + (sample.time - starts[0]) // period * period].append(sample)
    return dict(sorted(buckets.items()))


def _require_statistics(names: Iterable[str]) -> None:
    for name in names:
        if not is_statistic(name):
            raise ReadError("InvalidParameterValue", f"The statistic {name} is not available in the local account.")


def _key(metric: Request) -> SeriesKey:
    dimensions = frozenset((each["Name"], each["Value"]) for each in metric.get("Dimensions") or [])
    return SeriesKey(metric["Namespace"], metric["MetricName"], dimensions)


def _label(query: Request) -> str:
    if query.get("Label"):
        return str(query["Label"])
    return str(query["MetricStat"]["Metric"]["MetricName"] if query.get("MetricStat") else query["Id"])


def _epoch(time: datetime) -> float:
    return aware(time).timestamp()


def _time(seconds: float) -> datetime:
    return naive(datetime.fromtimestamp(seconds, UTC))


def make_token(place: str) -> str:
    """A NextToken for a place."""
    return base64.urlsafe_b64encode(place.encode()).decode()


def read_token(token: str) -> str:
    """The place that a NextToken was made for.

    Raises:
        ReadError: It was made for none.
    """
    try:
        return base64.b64decode(token.encode(), b"-_", validate=True).decode()
    except ValueError as error:
        raise ReadError("InvalidNextToken", "The specified next token is invalid.") from error


def read_number(token: str) -> int:
    """Likewise, of a place that is a number.

    Raises:
        ReadError: It was made for none.
    """
    place = read_token(token)
    if not place.isdecimal():
        raise ReadError("InvalidNextToken", "The specified next token is invalid.")
    return int(place)
