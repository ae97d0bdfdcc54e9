"""CloudWatch's metrics of endpoints and of training jobs: gathered in memory, sent together.

Source: "Amazon SageMaker AI metrics in Amazon CloudWatch", endpoint invocation metrics: names, units, and that every
request sends a 1 or a 0 for errors.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from mlops_sm.emulator.store import Scope

NAMESPACE: Final = "AWS/SageMaker"
_SERVICE: Final = "cloudwatch"
_DATA: Final = 1000
"""Data of one request (API reference, PutMetricData)."""
_STEPS: Final = 20
"""Different latencies from one power of ten to the next, so that what is kept of many requests is little."""
_CLIENT_ERRORS: Final = range(400, 500)
_OK: Final = 200

Dimensions = tuple[tuple[str, str], ...]


class _Metric(NamedTuple):
    scope: Scope
    namespace: str
    name: str
    unit: str
    dimensions: Dimensions


class _Value(NamedTuple):
    """How often a value was seen, in the second of an epoch."""

    moment: int
    metric: _Metric
    value: float
    times: int


class Measured(NamedTuple):
    """What was measured of one request.

    Attributes:
        status: What the container said, as HTTP says it; 500 when it said nothing.
        instances: Of the variant.
        model: Seconds that the containers took.
        overhead: Seconds that everything else took.
    """

    status: int
    instances: int
    model: float
    overhead: float

    def values(self) -> Iterable[tuple[str, str, float]]:
        """Names, units and values of the metrics."""
        yield "Invocations", "None", 1.0
        yield "InvocationsPerInstance", "None", 1.0 / self.instances
        yield "Invocation4XXErrors", "None", float(self.status in _CLIENT_ERRORS)
        yield "Invocation5XXErrors", "None", float(self.status > _CLIENT_ERRORS[-1])
        yield "InvocationModelErrors", "None", float(self.status != _OK)
        yield "ModelLatency", "Microseconds", _rounded(self.model * 1e6)
        yield "OverheadLatency", "Microseconds", _rounded(self.overhead * 1e6)


class Measures:
    """Gathers metrics. Safe to use from several threads.

    Args:
        client: A client of CloudWatch that acts for a scope.
        clock: The account's time.
        kept: A file for what nobody has asked for.
    """

    def __init__(self, client: Callable[[Scope, str], Any], clock: Callable[[], datetime], kept: Path) -> None:
        self._client = client
        self._clock = clock
        self._kept = kept
        self._lock = threading.Lock()
        self._waiting: dict[_Metric, Counter[float]] = {}
        self._since: datetime | None = None
        self._first = 0.0

    @property
    def waits(self) -> float:
        """For how many seconds of the machine the first value has waited; 0 when there is none."""
        with self._lock:
            return time.monotonic() - self._first if self._since is not None else 0.0

    def add(
        self,
        scope: Scope,
        dimensions: Iterable[Dimensions],
        values: Iterable[tuple[str, str, float]],
        *,
        namespace: str = NAMESPACE,
    ) -> None:
        """Keep values for every set of dimensions until they are sent."""
        given = list(values)
        with self._lock:
            if self._since is None:
                self._since, self._first = self._clock(), time.monotonic()
            for each in dimensions:
                for name, unit, value in given:
                    self._waiting.setdefault(_Metric(scope, namespace, name, unit, each), Counter())[value] += 1

    def send(self) -> None:
        """Send what was gathered, and what was kept of it before."""
        data: dict[tuple[Scope, str], list[Mapping[str, Any]]] = {}
        for moment, metric, value, times in [*self._taken_out(), *self._taken()]:
            datum = _datum(metric, datetime.fromtimestamp(moment, UTC), value, times)
            data.setdefault((metric.scope, metric.namespace), []).append(datum)
        for (scope, namespace), each in data.items():
            client = self._client(scope, _SERVICE)
            for start in range(0, len(each), _DATA):
                client.put_metric_data(Namespace=namespace, MetricData=each[start : start + _DATA])

    def keep(self) -> None:
        """Put what was gathered aside, until the next `send`: to start CloudWatch takes longer than many a job."""
        lines = [json.dumps(value) for value in self._taken()]
        if lines:
            self._kept.parent.mkdir(parents=True, exist_ok=True)
            with self._kept.open("a", encoding="utf-8") as file:
                file.write("\n".join([*lines, ""]))

    def _taken(self) -> list[_Value]:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            since, self._since = self._since, None
        moment = 0 if since is None else int(since.timestamp())
        return [_Value(moment, metric, *pair) for metric, counts in waiting.items() for pair in counts.items()]

    def _taken_out(self) -> list[_Value]:
        if not self._kept.exists():
            return []
        lines = self._kept.read_text(encoding="utf-8").splitlines(keepends=True)
        self._kept.unlink()
        # The last one is not whole if its writer was killed.
        return [_read(line) for line in lines if line.endswith("\n")]


def _read(line: str) -> _Value:
    moment, (scope, namespace, name, unit, dimensions), value, count = json.loads(line)
    named = tuple((key, dimension) for key, dimension in dimensions)
    return _Value(moment, _Metric(Scope(*scope), namespace, name, unit, named), value, count)


def _datum(metric: _Metric, moment: datetime, value: float, count: int) -> dict[str, Any]:
    """One value with how often it was seen, as a statistic set: those of equal values keep their percentiles."""
    return {
        "MetricName": metric.name,
        "Dimensions": [{"Name": name, "Value": value} for name, value in metric.dimensions],
        "Timestamp": moment,
        "Unit": metric.unit,
        "StatisticValues": {"SampleCount": count, "Sum": value * count, "Minimum": value, "Maximum": value},
    }


def _rounded(value: float) -> float:
    """A latency as the next step above; two significant digits are more than enough to name it."""
    if value <= 0:
        return 0.0
    return float(f"{10 ** (math.ceil(math.log10(value) * _STEPS) / _STEPS):.3g}")
