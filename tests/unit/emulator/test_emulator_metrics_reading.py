"""GetMetricStatistics and GetMetricData, as CloudWatch's API reference has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from mlops_sm.emulator import LocalAccount
from mlops_sm.emulator.clock import Clock

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ONE = [{"Name": "Endpoint", "Value": "a"}]
_CLIENTS: dict[str, Any] = {}


@pytest.fixture
def cloudwatch(tmp_path: Path) -> Iterator[Any]:
    """A client of an account whose metric ``load`` has a value a minute: 1, 2, 3, 4, 5, 6."""
    with LocalAccount.open(tmp_path / "state", clock=Clock(frozen=NOON + timedelta(hours=1))) as local:
        client = _CLIENTS.setdefault("cloudwatch", local.client("cloudwatch"))
        put(client, *range(1, 7))
        yield client


def put(client: Any, *values: float, name: str = "load", **members: Any) -> None:
    data = [
        {"MetricName": name, "Value": float(value), "Timestamp": NOON + timedelta(minutes=minute), **members}
        for minute, value in enumerate(values)
    ]
    client.put_metric_data(Namespace="App", MetricData=data)


def statistics(client: Any, **members: Any) -> list[tuple[str, dict[str, Any]]]:
    request = {
        "Namespace": "App",
        "MetricName": "load",
        "StartTime": NOON,
        "EndTime": NOON + timedelta(minutes=10),
        "Period": 120,
        "Statistics": ["Sum"],
        **members,
    }
    points = client.get_metric_statistics(**{name: value for name, value in request.items() if value})["Datapoints"]
    points.sort(key=lambda point: (point["Timestamp"], point["Unit"]))
    return [(point.pop("Timestamp").astimezone(UTC).strftime("%H:%M"), point) for point in points]


def stat(identity: str, name: str = "load", **members: Any) -> dict[str, Any]:
    metric = {"Namespace": "App", "MetricName": name, "Dimensions": members.pop("Dimensions", [])}
    return {"Id": identity, "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Average", **members}}


def series(client: Any, *queries: dict[str, Any], **members: Any) -> dict[str, list[float]]:
    request = {"StartTime": NOON, "EndTime": NOON + timedelta(minutes=10), "ScanBy": "TimestampAscending", **members}
    results = client.get_metric_data(MetricDataQueries=list(queries), **request)["MetricDataResults"]
    return {result["Id"]: result["Values"] for result in results}


def refused(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call()
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def test_values_are_aggregated_by_period(cloudwatch: Any) -> None:
    all_five = ["Sum", "Average", "Minimum", "Maximum", "SampleCount"]
    found = statistics(cloudwatch, Statistics=all_five)
    assert [time for time, _ in found] == ["12:00", "12:02", "12:04"]
    assert found[1][1] == {
        "Sum": 7.0,
        "Average": 3.5,
        "Minimum": 3.0,
        "Maximum": 4.0,
        "SampleCount": 2.0,
        "Unit": "None",
    }


def test_periods_count_from_the_start_time_rounded_down(cloudwatch: Any) -> None:
    # "Start time less than 15 days ago - Round down to the nearest whole minute."
    found = statistics(cloudwatch, StartTime=NOON + timedelta(minutes=1, seconds=59))
    assert [(time, point["Sum"]) for time, point in found] == [("12:01", 5.0), ("12:03", 9.0), ("12:05", 6.0)]


def test_percentiles(cloudwatch: Any) -> None:
    found = statistics(cloudwatch, Period=600, Statistics=[], ExtendedStatistics=["p0", "p50", "p100"])
    assert found == [("12:00", {"Unit": "None", "ExtendedStatistics": {"p0": 1.0, "p50": 3.5, "p100": 6.0}})]


def test_dimensions_are_exact_and_units_are_told_apart(cloudwatch: Any) -> None:
    put(cloudwatch, 100, Dimensions=ONE)
    put(cloudwatch, 7, Unit="Count")
    both = [("12:00", {"Sum": 7.0, "Unit": "Count"}), ("12:00", {"Sum": 21.0, "Unit": "None"})]
    assert statistics(cloudwatch, Period=600) == both
    assert statistics(cloudwatch, Period=600, Unit="Count") == [("12:00", {"Sum": 7.0, "Unit": "Count"})]
    assert statistics(cloudwatch, Period=600, Dimensions=ONE) == [("12:00", {"Sum": 100.0, "Unit": "None"})]
    assert statistics(cloudwatch, Period=600, Dimensions=[{"Name": "Endpoint", "Value": "b"}]) == []


@pytest.mark.parametrize(
    ("members", "code", "message"),
    [
        ({"Statistics": []}, "InvalidParameterCombination", "Must specify either"),
        ({"EndTime": NOON}, "ValidationError", "StartTime must be less than"),
        ({"Period": 45}, "InvalidParameterValue", "Period"),
        ({"EndTime": NOON + timedelta(days=3)}, "InvalidParameterCombination", "exceeds the limit of 1440"),
        ({"ExtendedStatistics": ["tm90"]}, "InvalidParameterValue", "tm90"),
    ],
)
def test_what_get_metric_statistics_refuses(cloudwatch: Any, members: dict[str, Any], code: str, message: str) -> None:
    found_code, found_message = refused(lambda: statistics(cloudwatch, **members))
    assert found_code == code
    assert message in found_message


def test_metric_data_come_by_id_latest_first(cloudwatch: Any) -> None:
    request = {"StartTime": NOON, "EndTime": NOON + timedelta(minutes=3)}
    (result,) = cloudwatch.get_metric_data(MetricDataQueries=[stat("a")], **request)["MetricDataResults"]
    assert result["Label"] == "load"
    assert result["StatusCode"] == "Complete"
    assert result["Values"] == [3.0, 2.0, 1.0]
    assert result["Timestamps"] == [NOON + timedelta(minutes=minute) for minute in (2, 1, 0)]


def test_expressions_are_computed_over_other_queries(cloudwatch: Any) -> None:
    put(cloudwatch, 10, 10, 10, name="calls")
    hidden = {**stat("calls", "calls"), "ReturnData": False}
    found = series(
        cloudwatch,
        {"Id": "percent", "Expression": "100 * twice / calls"},
        {"Id": "twice", "Expression": "a * 2"},
        stat("a"),
        hidden,
    )
    assert found == {
        "percent": [20.0, 40.0, 60.0],
        "twice": [2.0, 4.0, 6.0, 8.0, 10.0, 12.0],
        "a": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
    }
    assert series(cloudwatch, stat("p", Stat="p50", Period=300)) == {"p": [3.0, 6.0]}
    assert series(cloudwatch, stat("none", "missing")) == {"none": []}


def test_metric_data_come_in_pages(cloudwatch: Any) -> None:
    put(cloudwatch, 10, 20, name="calls")
    pages = cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=[stat("a"), stat("b", "calls")],
        StartTime=NOON,
        EndTime=NOON + timedelta(minutes=10),
        ScanBy="TimestampAscending",
        MaxDatapoints=4,
    )
    found: dict[str, list[float]] = {"a": [], "b": []}
    sizes = []
    for page in pages:
        sizes.append(sum(len(result["Values"]) for result in page["MetricDataResults"]))
        for result in page["MetricDataResults"]:
            found[result["Id"]] += result["Values"]
    assert found == {"a": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "b": [10.0, 20.0]}
    assert sizes == [4, 4]


@pytest.mark.parametrize(
    ("queries", "code"),
    [
        ([{"Id": "e", "Expression": "SEARCH('x', 'Sum')"}], "ValidationError"),
        ([{"Id": "e", "Expression": "other + 1"}], "ValidationError"),
        ([{"Id": "e", "Expression": "e + 1"}], "ValidationError"),
        ([{"Id": "e"}], "ValidationError"),
        ([stat("a"), stat("a")], "ValidationError"),
        ([stat("a", Stat="tm90")], "InvalidParameterValue"),
        ([stat("a", Period=7)], "InvalidParameterValue"),
    ],
)
def test_what_get_metric_data_refuses(cloudwatch: Any, queries: list[dict[str, Any]], code: str) -> None:
    assert refused(lambda: series(cloudwatch, *queries))[0] == code


def test_a_token_that_is_none_of_ours(cloudwatch: Any) -> None:
    assert refused(lambda: series(cloudwatch, stat("a"), NextToken="!"))[0] == "InvalidNextToken"
