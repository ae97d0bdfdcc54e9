"""CloudWatch's metrics of endpoints and of training jobs: gathered in memory, sent together.

Source: "Amazon SageMaker AI metrics in Amazon CloudWatch", endpoint invocation metrics: names, units, and that every
request sends a 1 or a 0 for errors.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
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
    """

    def __init__(self, client: Callable[[Scope, str], Any], clock: Callable[[], datetime]) -> None:
        self._client = client
        self._clock = clock
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
        """Send what was gathered."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            since, self._since = self._since, None
        if since is None:
            return
        moment = since.astimezone(UTC).replace(microsecond=0)
        by_namespace: dict[tuple[Scope, str], list[Mapping[str, Any]]] = {}
        for metric, counts in waiting.items():
            data = by_namespace.setdefault((metric.scope, metric.namespace), [])
            data.extend(_datum(metric, moment, *pair) for pair in counts.items())
        for (scope, namespace), data in by_namespace.items():
            client = self._client(scope, _SERVICE)
            for start in range(0, len(data), _DATA):
                client.put_metric_data(Namespace=namespace, MetricData=data[start : start + _DATA])


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
