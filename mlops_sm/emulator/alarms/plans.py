"""What a metric alarm looks at, read from moto's record of it."""

from __future__ import annotations

import bisect
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, NamedTuple

from mlops_sm.emulator.alarms.evaluation import COMPARISONS, EXTRA_PERIODS, Missing, Settings
from mlops_sm.emulator.alarms.formulas import Formula, FormulaError, Series, parse_formula
from mlops_sm.emulator.alarms.records import MotoAlarm, MotoBackend, aware
from mlops_sm.emulator.alarms.samples import Point, Sample, is_statistic, percentile_of, statistic

_NO_UNIT: Final = "None"
_SHORT_PERIODS: Final = (10, 20, 30)
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400
_KEPT: Final = 8 * _DAY
"""Seconds that samples are of use: no alarm looks back further than a week and two periods."""


class PlanError(ValueError):
    """A configuration that CloudWatch refuses, or that is not available here; the message says which."""


class SeriesKey(NamedTuple):
    """A metric: namespace, name and exactly these dimensions."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Measure:
    """A statistic of a metric.

    Attributes:
        key: The metric.
        statistic: Its name.
        unit: Only samples of this unit; None for all.
        period: In seconds.
    """

    key: SeriesKey
    statistic: str
    unit: str | None
    period: int


@dataclass(frozen=True, slots=True)
class Plan:
    """How an alarm is evaluated.

    Attributes:
        settings: What it compares.
        period: In seconds.
        queries: Measures and formulas by id.
        returned: The id that is compared.
        significant: The percentile that needs enough values, for an alarm that ignores few; else None.
    """

    settings: Settings
    period: int
    queries: Mapping[str, Measure | Formula]
    returned: str
    significant: float | None

    @property
    def keys(self) -> frozenset[SeriesKey]:
        """The metrics it looks at."""
        return frozenset(query.key for query in self.queries.values() if isinstance(query, Measure))

    def points(self, now: float, samples: Callable[[SeriesKey, float, float], Sequence[Sample]]) -> list[Point | None]:
        """The data points of the evaluation range, oldest first.

        The range ends with the last period that is over, or with the current one when that is decided already.
        """
        current = now // self.period * self.period
        count = self.settings.periods + EXTRA_PERIODS
        starts = [current - self.period * back for back in range(count, -1, -1)]
        found = self._points(starts, samples)
        return found[1:] if found[-1] is not None and self._is_decided(found[-1]) else found[:-1]

    def _is_decided(self, point: Point) -> bool:
        """Whether the value of the current period is judged before the period is over.

        A sum that is too great already stays so; one that is too small may still grow. An average is judged as it
        stands, an expression when all that it is made of had time to come in.
        """
        query = self.queries[self.returned]
        if not isinstance(query, Measure):
            return False
        above = self.settings.comparison.startswith("Greater")
        breaches = self.settings.breaches(point)
        match query.statistic:
            case "Sum" | "SampleCount" | "Maximum":
                return breaches if above else not breaches
            case "Minimum":
                return not breaches if above else breaches
            case _:
                return True

    def _points(
        self, starts: Sequence[float], samples: Callable[[SeriesKey, float, float], Sequence[Sample]]
    ) -> list[Point | None]:
        measured: dict[str, dict[float, Point]] = {}
        for name, query in self.queries.items():
            if isinstance(query, Measure):
                found = (
                    statistic(query.statistic, start, _of_unit(samples(query.key, start, start + self.period), query))
                    for start in starts
                )
                measured[name] = {point.start: point for point in found if point is not None}
        query = self.queries[self.returned]
        if isinstance(query, Measure):
            return [measured[self.returned].get(start) for start in starts]
        given: dict[str, Series] = {
            name: {start: point.value for start, point in points.items()} for name, points in measured.items()
        }
        series = self._formula(self.returned, given, tuple(measured), starts)
        return [Point(start, series[start], 1.0) if start in series else None for start in starts]

    def _formula(
        self, name: str, given: dict[str, Series], metrics: tuple[str, ...], starts: Sequence[float]
    ) -> Series:
        query = self.queries[name]
        if isinstance(query, Formula) and name not in given:
            for each in query.names:
                self._formula(each, given, metrics, starts)
            given[name] = query.series(given, metrics, starts)
        return given[name]


def plan_of(alarm: MotoAlarm) -> Plan:
    """The plan of a metric alarm.

    Raises:
        PlanError: There is none.
    """
    if alarm.comparison_operator not in COMPARISONS:
        raise PlanError(
            f"ComparisonOperator {alarm.comparison_operator}, which needs an anomaly detection model,"
            " is not available in the local account."
        )
    if alarm.threshold is None:
        raise PlanError("An alarm needs a Threshold; anomaly detection is not available in the local account.")
    queries, returned = _queries(alarm)
    period = max((query.period for query in queries.values() if isinstance(query, Measure)), default=0)
    _check_period(period, alarm.evaluation_periods, alarm.datapoints_to_alarm)
    treatment = alarm.treat_missing_data or Missing.MISSING.value
    if treatment not in set(Missing):
        raise PlanError(
            f"Option {treatment} is not supported. Supported options for parameter TreatMissingData are"
            " breaching, notBreaching, ignore and missing."
        )
    measure = queries[returned]
    namespace = measure.key.namespace if isinstance(measure, Measure) else ""
    ignores_few = alarm.evaluate_low_sample_count_percentile == "ignore"
    return Plan(
        settings=Settings(
            comparison=alarm.comparison_operator,
            threshold=float(alarm.threshold),
            periods=int(alarm.evaluation_periods),
            to_alarm=None if alarm.datapoints_to_alarm is None else int(alarm.datapoints_to_alarm),
            # "Alarms that evaluate metrics in the AWS/DynamoDB namespace always ignore missing data".
            missing=Missing.IGNORE if namespace == "AWS/DynamoDB" else Missing(treatment),
        ),
        period=period,
        queries=queries,
        returned=returned,
        significant=percentile_of(measure.statistic) if ignores_few and isinstance(measure, Measure) else None,
    )


def _check_period(period: int, periods: int | None, to_alarm: int | None) -> None:
    if period not in _SHORT_PERIODS and (period <= 0 or period % _MINUTE):
        raise PlanError("Period must be 10, 20, 30 or a multiple of 60.")
    if not periods or periods < 1:
        raise PlanError("EvaluationPeriods must be at least 1.")
    if to_alarm is not None and not 1 <= to_alarm <= periods:
        raise PlanError("DatapointsToAlarm must be at least 1 and at most EvaluationPeriods.")
    longest, name = (7 * _DAY, "seven days") if period >= _HOUR else (_DAY, "a day")
    if period * periods > longest:
        raise PlanError(
            f"Metrics cannot be checked across more than {name} (EvaluationPeriods * Period must be <= {longest})."
        )


def _queries(alarm: MotoAlarm) -> tuple[dict[str, Measure | Formula], str]:
    if not alarm.metric_data_queries:
        name = alarm.statistic or alarm.extended_statistic
        if not (alarm.metric_name and alarm.namespace and name and alarm.period):
            raise PlanError("An alarm needs MetricName, Namespace, Statistic or ExtendedStatistic, and Period.")
        return {"m1": _measure(alarm, name, alarm.period, alarm.unit)}, "m1"
    queries: dict[str, Measure | Formula] = {}
    for query in alarm.metric_data_queries:
        if query.metric_stat is not None:
            stat = query.metric_stat
            queries[query.id] = _measure(stat.metric, stat.stat, stat.period, stat.unit)
        elif query.expression:
            try:
                queries[query.id] = parse_formula(query.expression)
            except FormulaError as error:
                raise PlanError(f"Invalid metrics list: the expression of {query.id}: {error}.") from error
        else:
            raise PlanError(f"Invalid metrics list: {query.id} needs a MetricStat or an Expression.")
    returned = [query.id for query in alarm.metric_data_queries if query.return_data is not False]
    if len(returned) != 1:
        raise PlanError("Exactly one element of the metrics list should return data.")
    for name in queries:
        _check_names(name, queries, ())
    return queries, returned[0]


def _measure(metric: Any, name: str, period: Any, unit: str | None) -> Measure:  # noqa: ANN401 - moto's alarm or metric
    if not is_statistic(str(name)):
        raise PlanError(f"The statistic {name} is not available for alarms in the local account.")
    return Measure(key_of(metric.namespace, metric.metric_name, metric.dimensions), str(name), unit, int(period))


def _check_names(name: str, queries: Mapping[str, Measure | Formula], above: tuple[str, ...]) -> None:
    if name in above:
        raise PlanError(f"Invalid metrics list: {name} refers to itself.")
    query = queries.get(name)
    if query is None:
        raise PlanError(f"Invalid metrics list: there is no query with the id {name}.")
    if isinstance(query, Formula):
        for each in query.names:
            _check_names(each, queries, (*above, name))


def _of_unit(samples: Sequence[Sample], query: Measure) -> Sequence[Sample]:
    return samples if query.unit is None else [sample for sample in samples if sample.unit == query.unit]


def key_of(namespace: str, name: str, dimensions: Iterable[Any]) -> SeriesKey:
    """The metric of moto's dimensions."""
    return SeriesKey(namespace, name, frozenset((each.name, each.value) for each in dimensions))


class Measured:
    """The samples of the metrics that alarms look at; others are not held. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[SeriesKey, list[Sample]] = {}

    def hold(self, keys: Iterable[SeriesKey], backend: MotoBackend) -> None:
        """Have the samples of some metrics, reading what moto has of those that are not held yet."""
        with self._lock:
            missing = {key for key in keys if key not in self._held}
            if not missing:
                return
            self._held.update({key: [] for key in missing})
            for datum in list(backend.metric_data):
                key = key_of(datum.namespace, datum.name, datum.dimensions)
                if key in missing:
                    bisect.insort(self._held[key], sample_of(datum), key=attrgetter("time"))

    def add(self, data: Iterable[Any], now: float) -> frozenset[SeriesKey]:
        """Take what moto was just given of the metrics that are held; returns every metric among it."""
        touched: set[SeriesKey] = set()
        with self._lock:
            for datum in data:
                key = key_of(datum.namespace, datum.name, datum.dimensions)
                touched.add(key)
                if key in self._held:
                    bisect.insort(self._held[key], sample_of(datum), key=attrgetter("time"))
            for key in touched & self._held.keys():
                held = self._held[key]
                del held[: bisect.bisect_left(held, now - _KEPT, key=attrgetter("time"))]
        return frozenset(touched)

    def forget(self) -> None:
        """Hold nothing any more."""
        with self._lock:
            self._held.clear()

    def between(self, key: SeriesKey, start: float, end: float) -> Sequence[Sample]:
        """The samples of a metric that is held, from a moment on and before another."""
        with self._lock:
            held = self._held[key]
            first = bisect.bisect_left(held, start, key=attrgetter("time"))
            return held[first : bisect.bisect_left(held, end, lo=first, key=attrgetter("time"))]


def sample_of(datum: Any) -> Sample:  # noqa: ANN401 - one of moto's
    """What one of moto's data says."""
    time = aware(datum.timestamp).timestamp()
    unit = datum.unit or _NO_UNIT
    if hasattr(datum, "value"):
        return Sample.of_value(time, datum.value, unit)
    return Sample.of_set(
        time, count=datum.sample_count, total=datum.sum, minimum=datum.min, maximum=datum.max, unit=unit
    )
