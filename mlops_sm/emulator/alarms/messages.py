"""What CloudWatch tells of an alarm: to topics, functions and EventBridge, and in its history."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from mlops_sm.checks.service import data_loader
from mlops_sm.emulator.alarms.evaluation import State
from mlops_sm.emulator.alarms.records import MotoAlarm, aware
from mlops_sm.emulator.events.envelope import envelope
from mlops_sm.emulator.store import Scope

_NAMESPACE: Final = uuid.UUID("6d6c6f70-732d-736d-8000-616c61726d73")
"""Of the ids of metrics in events, which stay the same for an alarm."""


@dataclass(frozen=True, slots=True)
class Situation:
    """An alarm's state with its reason.

    Attributes:
        value: StateValue.
        reason: StateReason.
        data: StateReasonData, JSON text; None without.
        time: StateUpdatedTimestamp.
    """

    value: State
    reason: str
    data: str | None
    time: datetime

    @classmethod
    def of(cls, alarm: MotoAlarm) -> Situation:
        """The state that moto's record has."""
        data = alarm.state_reason_data
        return cls(
            State(alarm.state_value),
            alarm.state_reason or "",
            data if data not in {None, "{}"} else None,
            aware(alarm.state_updated_timestamp),
        )


def compact(value: Any) -> str:  # noqa: ANN401 - any JSON
    """JSON as CloudWatch writes it, without blanks."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def precise(time: datetime) -> str:
    """A time as CloudWatch writes it into messages: ``2026-11-24T12:00:00.000+0000``."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"


def subject(alarm: MotoAlarm, state: State, scope: Scope) -> str:
    """The subject of a notification; SNS takes at most 100 characters."""
    return f'{state}: "{alarm.name}" in {_region_name(scope.region)}'[:99]


def notification(alarm: MotoAlarm, before: Situation, after: Situation, scope: Scope) -> dict[str, Any]:
    """The message to a topic.

    Source: "Amazon SNS notifications and alarm state change" of the CloudWatch user guide; for composite alarms
    with their rule and the children that caused the change.
    """
    message: dict[str, Any] = {
        "AlarmName": alarm.name,
        "AlarmDescription": alarm.description,
        "AWSAccountId": scope.account,
        "AlarmConfigurationUpdatedTimestamp": precise(aware(alarm.configuration_updated_timestamp)),
        "NewStateValue": after.value,
        "NewStateReason": after.reason,
        "StateChangeTime": precise(after.time),
        "Region": _region_name(scope.region),
        "AlarmArn": alarm.alarm_arn,
        "OldStateValue": before.value,
        "OKActions": list(alarm.ok_actions or []),
        "AlarmActions": list(alarm.alarm_actions or []),
        "InsufficientDataActions": list(alarm.insufficient_data_actions or []),
    }
    if alarm.rule is None:
        return message | {"Trigger": _trigger(alarm)}
    triggering = json.loads(after.data or "{}").get("triggeringAlarms", [])
    children = [
        {"Arn": child["arn"], "State": {"Value": child["state"]["value"], "Timestamp": child["state"]["timestamp"]}}
        for child in triggering
    ]
    return message | {"AlarmRule": alarm.rule, "TriggeringChildren": children}


def _trigger(alarm: MotoAlarm) -> dict[str, Any]:
    shared = {
        "Period": alarm.period,
        "EvaluationPeriods": alarm.evaluation_periods,
        **({} if alarm.datapoints_to_alarm is None else {"DatapointsToAlarm": alarm.datapoints_to_alarm}),
        "ComparisonOperator": alarm.comparison_operator,
        "Threshold": alarm.threshold,
        "TreatMissingData": alarm.treat_missing_data or "missing",
        "EvaluateLowSampleCountPercentile": alarm.evaluate_low_sample_count_percentile or "",
    }
    if alarm.metric_data_queries:
        return shared | {"Metrics": [_trigger_query(query) for query in alarm.metric_data_queries]}
    statistic = (
        {"StatisticType": "Statistic", "Statistic": _shouted(alarm.statistic)}
        if alarm.statistic
        else {"StatisticType": "ExtendedStatistic", "ExtendedStatistic": alarm.extended_statistic}
    )
    return {
        "MetricName": alarm.metric_name,
        "Namespace": alarm.namespace,
        **statistic,
        "Unit": alarm.unit,
        "Dimensions": _pairs(alarm.dimensions),
        **shared,
    }


def _trigger_query(query: Any) -> dict[str, Any]:  # noqa: ANN401 - one of moto's
    told: dict[str, Any] = {"Id": query.id, "ReturnData": query.return_data is not False}
    if query.label:
        told["Label"] = query.label
    if query.metric_stat is None:
        return {"Expression": query.expression, **told}
    stat = query.metric_stat
    metric = {
        "Dimensions": _pairs(stat.metric.dimensions),
        "MetricName": stat.metric.metric_name,
        "Namespace": stat.metric.namespace,
    }
    return told | {"MetricStat": {"Metric": metric, "Period": stat.period, "Stat": stat.stat}}


def _pairs(dimensions: Any) -> list[dict[str, str]]:  # noqa: ANN401 - moto's
    return [{"value": each.value, "name": each.name} for each in dimensions]


def _shouted(statistic: str) -> str:
    return "SAMPLE_COUNT" if statistic == "SampleCount" else statistic.upper()


def state_event(alarm: MotoAlarm, before: Situation, after: Situation, scope: Scope) -> dict[str, Any]:
    """The event "CloudWatch Alarm State Change".

    Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
    """
    detail = {
        "alarmName": alarm.name,
        "state": _told(after),
        "previousState": _told(before),
        "configuration": _configuration(alarm),
    }
    return _event("CloudWatch Alarm State Change", alarm, detail, scope, after.time)


def configuration_event(alarm: MotoAlarm, operation: str, scope: Scope, now: datetime) -> dict[str, Any]:
    """The event "CloudWatch Alarm Configuration Change"; `operation` is create, update or delete."""
    situation = Situation.of(alarm)
    detail = {
        "alarmName": alarm.name,
        "operation": operation,
        "state": {"value": situation.value, "timestamp": precise(situation.time)},
        "configuration": {**_configuration(alarm), **_full_configuration(alarm, precise(now))},
    }
    return _event("CloudWatch Alarm Configuration Change", alarm, detail, scope, now)


def function_event(alarm: MotoAlarm, before: Situation, after: Situation, scope: Scope) -> dict[str, Any]:
    """What a function that is an alarm's action gets.

    Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-actions-Lambda.html
    """
    return {
        "source": "aws.cloudwatch",
        "alarmArn": alarm.alarm_arn,
        "accountId": scope.account,
        "time": precise(after.time),
        "region": scope.region,
        "alarmData": {
            "alarmName": alarm.name,
            "state": _told(after),
            "previousState": _told(before),
            "configuration": _configuration(alarm),
        },
    }


def history_of_state(before: Situation, after: Situation) -> dict[str, Any]:
    """HistoryData of a StateUpdate."""
    return {"version": "1.0", "oldState": _recorded(before), "newState": _recorded(after)}


def history_of_configuration(alarm: MotoAlarm, kind: str, now: datetime) -> dict[str, Any]:
    """HistoryData of a ConfigurationUpdate; `kind` is Create, Update or Delete."""
    name = {"Create": "createdAlarm", "Update": "updatedAlarm", "Delete": "deletedAlarm"}[kind]
    situation = Situation.of(alarm)
    told = {
        **_full_configuration(alarm, precise(now)),
        "stateValue": situation.value,
        "stateUpdatedTimestamp": precise(situation.time),
    }
    return {"version": "1.0", "type": kind, name: told}


def _event(kind: str, alarm: MotoAlarm, detail: dict[str, Any], scope: Scope, time: datetime) -> dict[str, Any]:
    return envelope(scope, "aws.cloudwatch", kind, resources=[alarm.alarm_arn], detail=detail, seconds=time.timestamp())


def _told(situation: Situation) -> dict[str, Any]:
    told = {"value": situation.value, "reason": situation.reason, "timestamp": precise(situation.time)}
    return told if situation.data is None else told | {"reasonData": situation.data}


def _recorded(situation: Situation) -> dict[str, Any]:
    recorded: dict[str, Any] = {"stateValue": situation.value, "stateReason": situation.reason}
    if situation.data is not None:
        recorded["stateReasonData"] = json.loads(situation.data)
    return recorded


def _configuration(alarm: MotoAlarm) -> dict[str, Any]:
    told: dict[str, Any] = {} if not alarm.description else {"description": alarm.description}
    if alarm.rule is not None:
        return {"alarmRule": alarm.rule} | told
    if alarm.metric_data_queries:
        return told | {"metrics": [_query(query) for query in alarm.metric_data_queries]}
    identity = f"{alarm.namespace}\n{alarm.metric_name}\n{sorted((each.name, each.value) for each in alarm.dimensions)}"
    stat = _stat(alarm, alarm.statistic or alarm.extended_statistic, alarm.period)
    metric = {"id": str(uuid.uuid5(_NAMESPACE, identity)), "metricStat": stat, "returnData": True}
    return told | {"metrics": [metric]}


def _query(query: Any) -> dict[str, Any]:  # noqa: ANN401 - one of moto's
    told: dict[str, Any] = {"id": query.id, "returnData": query.return_data is not False}
    if query.label:
        told["label"] = query.label
    if query.metric_stat is None:
        return told | {"expression": query.expression}
    return told | {"metricStat": _stat(query.metric_stat.metric, query.metric_stat.stat, query.metric_stat.period)}


def _stat(metric: Any, statistic: str, period: int) -> dict[str, Any]:  # noqa: ANN401 - moto's alarm or metric
    described = {
        "namespace": metric.namespace,
        "name": metric.metric_name,
        "dimensions": {each.name: each.value for each in metric.dimensions},
    }
    return {"metric": described, "period": period, "stat": statistic}


def _full_configuration(alarm: MotoAlarm, now: str) -> dict[str, Any]:
    shared = {
        "alarmName": alarm.name,
        "actionsEnabled": alarm.actions_enabled,
        "okActions": list(alarm.ok_actions or []),
        "alarmActions": list(alarm.alarm_actions or []),
        "insufficientDataActions": list(alarm.insufficient_data_actions or []),
        "timestamp": now,
    }
    if alarm.rule is not None:
        return {"alarmRule": alarm.rule, **shared}
    return shared | {
        "evaluationPeriods": alarm.evaluation_periods,
        "threshold": alarm.threshold,
        "comparisonOperator": alarm.comparison_operator,
        "treatMissingData": alarm.treat_missing_data or "missing",
    }


def _region_name(region: str) -> str:
    for partition in data_loader().load_data("partitions")["partitions"]:
        if region in partition["regions"]:
            return str(partition["regions"][region]["description"])
    return region
