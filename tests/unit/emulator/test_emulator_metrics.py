"""BatchPutMetrics, BatchGetMetrics and the statistics of a trial component.

Rules: SageMaker API reference, MetricQuery and BatchPutMetricsError; the time span: the SageMaker SDK's
``METRIC_TS_LOWER_BOUND_TO_NOW`` and ``METRIC_TS_UPPER_BOUND_FROM_NOW``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


@pytest.fixture
def account(open_account: Callable[..., Any], clock: Any) -> Any:
    opened = open_account(clock=clock)
    opened.component = opened.sagemaker.create_trial_component(TrialComponentName="c")["TrialComponentArn"]
    opened.metrics = opened.local.client("sagemaker-metrics")
    return opened


def point(value: float, *, step: int | None = None, after: float = 0, name: str = "loss") -> dict[str, Any]:
    told = {"MetricName": name, "Value": value, "Timestamp": NOW + timedelta(seconds=after)}
    return told if step is None else {**told, "Step": step}


def series(account: Any, **members: Any) -> dict[str, Any]:
    query = {
        "MetricName": "loss",
        "ResourceArn": account.component,
        "MetricStat": "Avg",
        "Period": "IterationNumber",
        "XAxisType": "IterationNumber",
        **members,
    }
    (result,) = account.metrics.batch_get_metrics(MetricQueries=[query])["MetricQueryResults"]
    assert isinstance(result, dict)
    return result


def test_statistics_are_in_the_description(account: Any) -> None:
    answer = account.metrics.batch_put_metrics(
        TrialComponentName="c",
        MetricData=[point(3, step=2, after=20), point(1, step=0), point(2, step=1, after=10), point(9, name="acc")],
    )
    assert "Errors" not in answer
    acc, loss = account.sagemaker.describe_trial_component(TrialComponentName="c")["Metrics"]
    assert (acc["MetricName"], acc["Count"], acc["StdDev"]) == ("acc", 1, 0.0)
    assert (loss["MetricName"], loss["SourceArn"]) == ("loss", account.component)
    assert (loss["Min"], loss["Max"], loss["Avg"], loss["Last"], loss["Count"]) == (1.0, 3.0, 2.0, 3.0, 3)
    assert loss["StdDev"] == pytest.approx(math.sqrt(2 / 3))
    assert loss["TimeStamp"] == NOW + timedelta(seconds=20)


def test_what_is_refused_is_told_by_its_index(account: Any) -> None:
    answer = account.metrics.batch_put_metrics(
        TrialComponentName="c",
        MetricData=[point(1), point(2, after=-15 * 86_400), point(3, after=3 * 3_600), point(4)],
    )
    assert answer["Errors"] == [
        {"Code": "VALIDATION_ERROR", "MetricIndex": 1},
        {"Code": "VALIDATION_ERROR", "MetricIndex": 2},
    ]
    (loss,) = account.sagemaker.describe_trial_component(TrialComponentName="c")["Metrics"]
    assert loss["Count"] == 2


def test_a_component_that_does_not_exist(account: Any) -> None:
    answer = account.metrics.batch_put_metrics(TrialComponentName="nobody", MetricData=[point(1)])
    assert answer["Errors"] == [{"Code": "VALIDATION_ERROR", "MetricIndex": 0}]


def test_a_series_by_step(account: Any) -> None:
    account.metrics.batch_put_metrics(
        TrialComponentName="c",
        MetricData=[point(4, step=1, after=60), point(1, step=0), point(3, step=0, after=1), point(7)],
    )
    assert series(account) == {"Status": "Complete", "XAxisValues": [0, 1], "MetricValues": [2.0, 4.0]}
    assert series(account, MetricStat="Last")["MetricValues"] == [3.0, 4.0]
    assert series(account, MetricStat="Count")["MetricValues"] == [2.0, 1.0]
    assert series(account, Start=1)["XAxisValues"] == [1]
    at = int(NOW.timestamp())
    assert series(account, XAxisType="Timestamp")["XAxisValues"] == [at + 1, at + 60]


def test_a_series_by_time(account: Any) -> None:
    account.metrics.batch_put_metrics(
        TrialComponentName="c", MetricData=[point(1), point(3, after=59), point(5, after=61), point(7, after=400)]
    )
    at = int(NOW.timestamp())
    assert series(account, Period="OneMinute", XAxisType="Timestamp") == {
        "Status": "Complete",
        "XAxisValues": [at, at + 60, at + 360],
        "MetricValues": [2.0, 5.0, 7.0],
    }
    five = series(account, Period="FiveMinute", XAxisType="Timestamp", MetricStat="Max")
    assert (five["XAxisValues"], five["MetricValues"]) == ([at, at + 300], [5.0, 7.0])


def test_a_query_that_makes_no_sense_fails_alone(account: Any) -> None:
    account.metrics.batch_put_metrics(TrialComponentName="c", MetricData=[point(1, step=0)])
    assert series(account, Period="OneMinute")["Status"] == "ValidationError"
    unknown = series(account, ResourceArn="arn:aws:sagemaker:us-east-1:123456789012:training-job/nobody")
    assert (unknown["Status"], unknown["MetricValues"]) == ("ValidationError", [])
    assert series(account, MetricName="never")["MetricValues"] == []


def test_metrics_go_with_their_component(account: Any) -> None:
    account.metrics.batch_put_metrics(TrialComponentName="c", MetricData=[point(1)])
    account.sagemaker.delete_trial_component(TrialComponentName="c")
    account.sagemaker.create_trial_component(TrialComponentName="c")
    assert account.sagemaker.describe_trial_component(TrialComponentName="c")["Metrics"] == []
