"""Metrics of trial components: BatchPutMetrics, BatchGetMetrics, and their statistics in Describe responses."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from mlops_sm.checks.service import service_model
from mlops_sm.definition.document import Json
from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.database import Database
from mlops_sm.emulator.protocol import Answer, answer
from mlops_sm.emulator.sagemaker.lineage import entity_arn
from mlops_sm.emulator.store import Entity, Kind, Scope, Store

SERVICE: Final = "sagemaker-metrics"
_LATE: Final = 14 * 86_400
_EARLY: Final = 2 * 3_600
"""Seconds that a timestamp may lie in the past and in the future (SageMaker SDK, experiments/_metrics.py)."""
_PERIODS: Final[Mapping[str, int]] = {"OneMinute": 60, "FiveMinute": 300, "OneHour": 3_600}
_STATISTICS: Final[Mapping[str, Callable[[Sequence[float]], float]]] = {
    "Min": min,
    "Max": max,
    "Avg": statistics.fmean,
    "Count": len,
    "StdDev": statistics.pstdev,
    "Last": lambda values: values[-1],
}


class Point(NamedTuple):
    """One value of a metric.

    Attributes:
        step: The iteration, None when it was not said.
        time: Epoch seconds.
        value: The value.
    """

    step: int | None
    time: float
    value: float


class Metrics:
    """Every value of every metric in an account's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, component: str, name: str, source: str, points: Iterable[Point]) -> None:
        """Add values of a metric of a component.

        Args:
            component: The component's ARN.
            name: The metric.
            source: ARN of what measured it.
            points: The values.
        """
        for point in points:
            self._database.execute(
                "INSERT INTO metrics (component, name, source, step, time, value) VALUES (?,?,?,?,?,?)",
                (component, name, source, *point),
            )

    def points(self, component: str, name: str) -> list[Point]:
        """The values of a metric in the order of their time; of equal times, as they came."""
        rows = self._database.query(
            "SELECT step, time, value FROM metrics WHERE component=? AND name=? ORDER BY time, rowid", (component, name)
        )
        return [Point(*row) for row in rows]

    def summaries(self, component: str) -> list[dict[str, Json]]:
        """TrialComponentMetricSummary of every metric of a component, by name."""
        rows = self._database.query(
            "SELECT name, source, time, value FROM metrics WHERE component=? ORDER BY name, time, rowid", (component,)
        )
        by_name: dict[str, list[tuple[Any, ...]]] = {}
        for name, *row in rows:
            by_name.setdefault(name, []).append(tuple(row))
        return [
            {
                "MetricName": name,
                "SourceArn": values[-1][0],
                "TimeStamp": values[-1][1],
                **{statistic: compute([value for *_, value in values]) for statistic, compute in _STATISTICS.items()},
            }
            for name, values in by_name.items()
        ]

    def forget(self, component: str) -> None:
        """Remove a component's metrics."""
        self._database.execute("DELETE FROM metrics WHERE component=?", (component,))


class MetricsFront:
    """Answers the requests of the service ``sagemaker-metrics``.

    Args:
        store: Where components and their metrics are.
        clock: The time, timezone-aware.
        region: Of requests that are not signed.
    """

    def __init__(self, store: Store, clock: Callable[[], datetime], region: str) -> None:
        self._store = store
        self._clock = clock
        self._region = region

    def __call__(self, arrival: Arrival) -> Answer | None:
        """Answer a request; None for an operation that is not here."""
        operation = arrival.operation or urlsplit(arrival.path).path.strip("/")
        perform = {"BatchPutMetrics": self._put, "BatchGetMetrics": self._get}.get(operation)
        if perform is None:
            return None
        scope = Scope(arrival.account, arrival.region or self._region)
        found = answer(service_model(SERVICE), operation, arrival.read(), lambda request: perform(scope, request))
        return found._replace(headers={**found.headers, "Content-Type": "application/json"})

    def _put(self, scope: Scope, request: Mapping[str, Any]) -> dict[str, Json]:
        """Keep what is valid; each value that is not is answered with its index."""
        now, refused = self._clock().timestamp(), []
        with self._store.transaction():
            component = self._store.by_arn(entity_arn(scope, Kind.TRIAL_COMPONENT, request["TrialComponentName"]))
            for index, metric in enumerate(request["MetricData"]):
                time, value = metric["Timestamp"], metric["Value"]
                if component is None or not now - _LATE <= time <= now + _EARLY or not math.isfinite(value):
                    refused.append({"Code": "VALIDATION_ERROR", "MetricIndex": index})
                    continue
                source = (component.body.get("Source") or {}).get("SourceArn", component.arn)
                point = Point(metric.get("Step"), time, value)
                Metrics(self._store.database).put(component.arn, metric["MetricName"], source, [point])
        return {"Errors": refused or None}

    def _get(self, _scope: Scope, request: Mapping[str, Any]) -> dict[str, Json]:
        return {"MetricQueryResults": [self._query(query) for query in request["MetricQueries"]]}

    def _query(self, query: Mapping[str, Any]) -> dict[str, Json]:
        """One series: a statistic of the values of each step or of each period of time."""
        by_step = query["Period"] == "IterationNumber"
        if query["XAxisType"] == "IterationNumber" and not by_step:
            return _failed("XAxisType IterationNumber needs Period IterationNumber.")
        component = self._component(query["ResourceArn"])
        if component is None:
            return _failed(f"The resource {query['ResourceArn']} does not exist or has no metrics.")
        groups: dict[int, list[Point]] = {}
        for point in Metrics(self._store.database).points(component.arn, query["MetricName"]):
            if by_step and point.step is None:
                continue
            group = point.step if by_step and point.step is not None else _period(point.time, query["Period"])
            groups.setdefault(group, []).append(point)
        axis = {
            key: int(points[-1].time) if by_step and query["XAxisType"] == "Timestamp" else key
            for key, points in groups.items()
        }
        low, high = query.get("Start", -math.inf), query.get("End", math.inf)
        shown = [key for key in sorted(groups) if low <= axis[key] <= high]
        compute = _STATISTICS[query["MetricStat"]]
        return {
            "Status": "Complete",
            "XAxisValues": [axis[key] for key in shown],
            "MetricValues": [float(compute([point.value for point in groups[key]])) for key in shown],
        }

    def _component(self, arn: str) -> Entity | None:
        """The component of its own ARN or of its job's."""
        found = self._store.by_arn(arn.lower() if f":{Kind.TRIAL_COMPONENT}/" in arn else arn)
        if found is None or found.kind is Kind.TRIAL_COMPONENT:
            return found
        made = self._store.select(found.scope, Kind.TRIAL_COMPONENT, parent=found.arn, limit=1)
        return made[0] if made else None


def _period(time: float, period: str) -> int:
    """The start of the period that a time is in, in epoch seconds."""
    seconds = _PERIODS[period]
    return int(time // seconds) * seconds


def _failed(message: str) -> dict[str, Json]:
    return {"Status": "ValidationError", "Message": message, "XAxisValues": [], "MetricValues": []}
