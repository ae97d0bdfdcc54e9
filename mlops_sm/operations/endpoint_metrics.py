"""What CloudWatch has measured of an endpoint: traffic, errors and latency over time.

Source: "Amazon SageMaker AI metrics in Amazon CloudWatch", endpoint invocation metrics; latencies are in microseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from mlops_sm.operations.clients import Clients

_NAMESPACE: Final = "AWS/SageMaker"
_QUERIES: Final = (
    ("invocations", "Invocations", "Sum"),
    ("errors_4xx", "Invocation4XXErrors", "Sum"),
    ("errors_5xx", "Invocation5XXErrors", "Sum"),
    ("latency_p50", "ModelLatency", "p50"),
    ("latency_p90", "ModelLatency", "p90"),
    ("latency_p99", "ModelLatency", "p99"),
    ("overhead_p50", "OverheadLatency", "p50"),
)
LATENCIES: Final = ("latency_p50", "latency_p90", "latency_p99", "overhead_p50")
"""Series of milliseconds; the others count requests."""
_MICROSECONDS: Final = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Measured values of one variant over time.

    Attributes:
        variant: The variant.
        period_seconds: What each value is about.
        values: By name (``invocations``, ``errors_4xx``, ``latency_p50`` ...) values by the start of their period.
            Latencies are milliseconds. A period without requests has none.
    """

    variant: str
    period_seconds: int
    values: Mapping[str, Mapping[datetime, float]]

    def total(self, name: str) -> float:
        """The sum of all values of a name."""
        return sum(self.values.get(name, {}).values())

    def worst(self, name: str) -> float | None:
        """The largest value of a name; None without values."""
        return max(self.values.get(name, {}).values(), default=None)

    def last(self, name: str) -> float | None:
        """The newest value of a name; None without values."""
        values = self.values.get(name, {})
        return values[max(values)] if values else None


def measured(
    clients: Clients, endpoint: str, variant: str, *, start: datetime, end: datetime, period_seconds: int = 60
) -> Series:
    """What was measured of a variant.

    Args:
        clients: The account.
        endpoint: The endpoint.
        variant: One of its variants.
        start: From then on.
        end: Until then, exclusive.
        period_seconds: What each value is about: a multiple of 60.
    """
    # Periods start at multiples of themselves, so the one that `start` lies in is asked for as a whole.
    start -= timedelta(seconds=start.timestamp() % period_seconds)
    request: dict[str, Any] = {
        "MetricDataQueries": list(_queries(endpoint, variant, period_seconds)),
        "StartTime": start,
        "EndTime": end,
        "ScanBy": "TimestampAscending",
    }
    values: dict[str, dict[datetime, float]] = {name: {} for name, _, _ in _QUERIES}
    while True:
        page = clients.cloudwatch.get_metric_data(**request)
        for result in page["MetricDataResults"]:
            scale = _MICROSECONDS if result["Id"] in LATENCIES else 1.0
            values[result["Id"]] |= {
                moment: value / scale for moment, value in zip(result["Timestamps"], result["Values"], strict=True)
            }
        if not page.get("NextToken"):
            return Series(variant=variant, period_seconds=period_seconds, values=values)
        request["NextToken"] = page["NextToken"]


def _queries(endpoint: str, variant: str, period_seconds: int) -> Iterator[dict[str, Any]]:
    dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}]
    for name, metric, statistic in _QUERIES:
        yield {
            "Id": name,
            "MetricStat": {
                "Metric": {"Namespace": _NAMESPACE, "MetricName": metric, "Dimensions": dimensions},
                "Period": period_seconds,
                "Stat": statistic,
            },
        }
