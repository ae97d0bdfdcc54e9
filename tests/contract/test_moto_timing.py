"""Every place of moto that schedules and alarms touch or count on.

When one of these fails after an upgrade of moto, `emulator.timing.hooks`, `emulator.alarms.hooks` or
`emulator.alarms.plans` needs a look before the pin in pyproject.toml moves.
"""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.cloudwatch.exceptions import InvalidParameterValue, ValidationError
from moto.cloudwatch.models import CloudWatchBackend, cloudwatch_backends
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.core.responses import ActionResult, EmptyResult
from moto.events.models import EventsBackend, events_backends
from moto.scheduler.exceptions import ScheduleGroupNotFound
from moto.scheduler.models import EventBridgeSchedulerBackend, scheduler_backends
from moto.scheduler.responses import EventBridgeSchedulerResponse

from mlops_sm.emulator.alarms.hooks import AlarmHooks
from mlops_sm.emulator.alarms.plans import plan_of
from mlops_sm.emulator.replacing import Replaced
from mlops_sm.emulator.timing.hooks import ScheduleHooks

REGION = "us-east-1"


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_the_methods_that_are_replaced() -> None:
    assert parameters(EventsBackend.put_rule)[:2] == ["self", "name"]
    assert {"scheduled_expression", "event_bus_arn"} <= set(parameters(EventsBackend.put_rule))
    for name in ("delete_rule", "enable_rule", "disable_rule"):
        assert parameters(getattr(EventsBackend, name)) == ["self", "name", "event_bus_arn"]
    assert parameters(EventsBackend._normalize_event_bus_arn) == ["self", "event_bus_arn"]
    assert parameters(EventBridgeSchedulerBackend.delete_schedule) == ["self", "group_name", "name"]
    assert parameters(EventBridgeSchedulerBackend.create_schedule_group) == ["self", "name", "tags"]
    assert parameters(EventBridgeSchedulerBackend.delete_schedule_group) == ["self", "name"]
    for name in ("create_schedule", "update_schedule"):
        given = set(parameters(getattr(EventBridgeSchedulerBackend, name)))
        assert {"schedule_expression", "schedule_expression_timezone", "start_date", "end_date", "state"} <= given
    assert parameters(EventBridgeSchedulerResponse.update_schedule) == ["self"]
    assert {"name", "rule", "tags", "actions_enabled"} <= set(parameters(CloudWatchBackend.put_metric_alarm))
    assert parameters(CloudWatchBackend.put_metric_data) == ["self", "namespace", "metric_data"]
    assert parameters(CloudWatchBackend.set_alarm_state) == [
        "self",
        "alarm_name",
        "reason",
        "reason_data",
        "state_value",
    ]
    assert parameters(CloudWatchBackend.delete_alarms) == ["self", "alarm_names"]
    for name in ("describe_alarms", "describe_alarms_for_metric", "get_metric_statistics", "get_metric_data"):
        assert parameters(getattr(CloudWatchResponse, name)) == ["self"]


def test_what_moto_does_not_have_and_is_added() -> None:
    # As soon as moto has one of these, ours has to be weighed against it.
    assert not hasattr(CloudWatchResponse, "put_composite_alarm")
    assert not hasattr(CloudWatchResponse, "describe_alarm_history")


def test_everything_is_given_back() -> None:
    owners = (
        EventsBackend,
        EventBridgeSchedulerBackend,
        EventBridgeSchedulerResponse,
        CloudWatchBackend,
        CloudWatchResponse,
    )
    before = [dict(vars(owner)) for owner in owners]
    schedules = ScheduleHooks(None, lambda: datetime.now(UTC))  # type: ignore[arg-type] # no request comes
    alarms = AlarmHooks(None, lambda: datetime.now(UTC))  # type: ignore[arg-type] # likewise
    schedules.install()
    alarms.install()
    assert [dict(vars(owner)) for owner in owners] != before
    schedules.remove()
    alarms.remove()
    assert [dict(vars(owner)) for owner in owners] == before


def test_replacing_refuses_what_is_there_already() -> None:
    replaced = Replaced()
    with pytest.raises(AttributeError):
        replaced.addition(CloudWatchResponse, "describe_alarms", lambda: None)
    replaced.restore()


def test_records_of_rules_and_schedules() -> None:
    with mock_aws():
        boto3.client("events", region_name=REGION).put_rule(Name="r", ScheduleExpression="rate(1 minute)")
        (rule,) = events_backends[DEFAULT_ACCOUNT_ID][REGION].event_buses["default"].rules.values()
        assert (rule.account_id, rule.region_name, rule.event_bus_name, rule.state) == (
            DEFAULT_ACCOUNT_ID,
            REGION,
            "default",
            "ENABLED",
        )
        assert rule.scheduled_expression == "rate(1 minute)"
        target = {
            "Arn": "arn:aws:sqs:us-east-1:123456789012:q",
            "RoleArn": "arn:aws:iam::123456789012:role/r",
            "Input": "x",
        }
        boto3.client("scheduler", region_name=REGION).create_schedule(
            Name="s",
            ScheduleExpression="rate(1 hour)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target=target,
            StartDate=datetime(2999, 1, 1, tzinfo=UTC),
        )
        groups = scheduler_backends[DEFAULT_ACCOUNT_ID][REGION].schedule_groups
        schedule = groups["default"].schedules["s"]
        assert schedule.target["Input"] == "x"
        assert float(schedule.start_date) == datetime(2999, 1, 1, tzinfo=UTC).timestamp()
        assert (schedule.schedule_expression_timezone, schedule.group_name) == ("UTC", "default")
        assert ScheduleGroupNotFound("g").code == 404


def test_records_of_alarms_and_data() -> None:
    with mock_aws():
        client = boto3.client("cloudwatch", region_name=REGION)
        stat = {"Metric": {"Namespace": "n", "MetricName": "a"}, "Period": 60, "Stat": "Sum"}
        client.put_metric_alarm(
            AlarmName="math",
            EvaluationPeriods=2,
            DatapointsToAlarm=1,
            Threshold=1.0,
            ComparisonOperator="GreaterThanThreshold",
            Metrics=[{"Id": "e", "Expression": "m1 * 2"}, {"Id": "m1", "MetricStat": stat, "ReturnData": False}],
        )
        backend = cloudwatch_backends[DEFAULT_ACCOUNT_ID][REGION]
        plan = plan_of(backend.alarms["math"])
        assert (plan.period, plan.returned, plan.settings.needed) == (60, "e", 1)
        client.put_metric_data(Namespace="n", MetricData=[{"MetricName": "a", "Values": [1.0, 2.0], "Counts": [2, 1]}])
        values = {"SampleCount": 2, "Sum": 3, "Minimum": 1, "Maximum": 2}
        client.put_metric_data(
            Namespace="n", MetricData=[{"MetricName": "a", "StatisticValues": values, "Unit": "Count"}]
        )
        assert [getattr(datum, "value", None) for datum in backend.metric_data] == [1.0, 1.0, 2.0, None]
        assert backend.metric_data[-1].sample_count == 2
        assert backend.get_all_metrics() == backend.metric_data
        # Times are UTC and do not say so.
        assert backend.metric_data[0].timestamp.tzinfo is None
        assert backend.alarms["math"].state_updated_timestamp.tzinfo is None
        assert (backend.account_id, backend.region_name) == (DEFAULT_ACCOUNT_ID, REGION)


def test_forms_of_answers_and_errors() -> None:
    assert ActionResult({"a": 1}).result == {"a": 1}
    EmptyResult()
    assert ValidationError("m").code == "ValidationError"
    error = InvalidParameterValue("m")
    error.code = "InvalidNextToken"
    assert error.code == "InvalidNextToken"
