"""CloudWatch's alarms: evaluated as data come in and as time passes, acted on, told in their history."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import boto3
import pytest
from botocore.exceptions import ClientError

from mlops_sm.emulator import LocalAccount
from mlops_sm.emulator.clock import Clock

START = datetime(2026, 11, 24, 12, 0, 10, tzinfo=UTC)
ARN = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:"
_CLIENTS: dict[str, Any] = {}


class Bench:
    """An open account with a frozen clock, and a topic whose messages are in a queue."""

    def __init__(self, local: LocalAccount) -> None:
        self.local = local
        self.clock = local.clock
        self.cloudwatch = self.client("cloudwatch")
        self.url = self.client("sqs").create_queue(QueueName="heard")["QueueUrl"]
        self.queue = "arn:aws:sqs:us-east-1:123456789012:heard"
        self.topic = self.client("sns").create_topic(Name="alerts")["TopicArn"]
        self.client("sns").subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=self.queue)

    def client(self, service: str) -> Any:
        if service not in _CLIENTS:
            _CLIENTS[service] = self.local.client(service)
        return _CLIENTS[service]

    def heard(self) -> list[dict[str, Any]]:
        """What is in the queue, which is empty afterwards."""
        assert self.local.settle()
        bodies: list[dict[str, Any]] = []
        while found := self.client("sqs").receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                bodies.append(json.loads(message["Body"]))
                self.client("sqs").delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return bodies

    def alarm(self, name: str = "high", **members: Any) -> None:
        """An alarm on the average of one minute being over 50."""
        request = {
            "AlarmName": name,
            "Namespace": "App",
            "MetricName": "load",
            "Statistic": "Average",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 50.0,
            "ComparisonOperator": "GreaterThanThreshold",
            **members,
        }
        if "Metrics" in members or "ExtendedStatistic" in members:
            for member in (
                ("Namespace", "MetricName", "Statistic", "Period") if "Metrics" in members else ("Statistic",)
            ):
                del request[member]
        self.cloudwatch.put_metric_alarm(**request)

    def put(self, *values: float, name: str = "load", **members: Any) -> None:
        data = [{"MetricName": name, "Value": value, **members} for value in values]
        self.cloudwatch.put_metric_data(Namespace="App", MetricData=data)

    def described(self, name: str = "high") -> dict[str, Any]:
        answer = self.cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        (alarm,) = [*answer["MetricAlarms"], *answer["CompositeAlarms"]]
        found: dict[str, Any] = alarm
        return found

    def state(self, name: str = "high") -> str:
        return str(self.described(name)["StateValue"])

    def minutes(self, *drawn: str) -> list[str]:
        """Let minutes pass, each with a datum that breaches (X) or does not (0), or none (-); tells the states."""
        states = []
        for sign in drawn:
            if sign != "-":
                self.put(99.0 if sign == "X" else 1.0)
            self.clock.advance(minutes=1)
            states.append(self.state())
        return states

    def history(self, name: str | None = None, **members: Any) -> list[str]:
        request = members if name is None else {"AlarmName": name, **members}
        items = self.cloudwatch.describe_alarm_history(**request)["AlarmHistoryItems"]
        return [item["HistorySummary"] for item in items]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with LocalAccount.open(tmp_path / "state", clock=Clock(frozen=START)) as local:
        yield Bench(local)


def refused(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call()
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


# ---------------------------------------------------------------------- states


def test_a_new_alarm_knows_nothing(bench: Bench) -> None:
    # "When this operation creates an alarm, the alarm state is immediately set to INSUFFICIENT_DATA."
    bench.alarm()
    described = bench.described()
    assert described["StateValue"] == "INSUFFICIENT_DATA"
    assert described["StateReason"] == "Unchecked: Initial alarm creation"
    assert not {"StateReasonData", "Metrics"} & set(described)
    assert described["StateUpdatedTimestamp"] == described["AlarmConfigurationUpdatedTimestamp"] == START
    bench.clock.advance(hours=1)
    assert bench.state() == "INSUFFICIENT_DATA"


def test_data_bring_it_into_alarm_and_back(bench: Bench) -> None:
    bench.alarm()
    bench.put(99.5)
    described = bench.described()
    assert described["StateValue"] == "ALARM"
    assert described["StateReason"] == (
        "Threshold Crossed: 1 datapoint [99.5 (24/11/26 12:00:00)] was greater than the threshold (50.0)."
    )
    assert json.loads(described["StateReasonData"]) == {
        "version": "1.0",
        "queryDate": "2026-11-24T12:00:10.000+0000",
        "startDate": "2026-11-24T12:00:00.000+0000",
        "statistic": "Average",
        "period": 60,
        "recentDatapoints": [99.5],
        "threshold": 50.0,
        "evaluatedDatapoints": [{"timestamp": "2026-11-24T12:00:00.000+0000", "sampleCount": 1.0, "value": 99.5}],
    }
    assert described["StateUpdatedTimestamp"] == described["StateTransitionedTimestamp"] == START
    bench.clock.advance(minutes=1)
    bench.put(1.0)
    assert bench.state() == "OK"


def test_consecutive_periods(bench: Bench) -> None:
    bench.alarm(EvaluationPeriods=3)
    assert bench.minutes("0", "X", "X", "X", "X", "0") == ["OK", "OK", "OK", "ALARM", "ALARM", "OK"]


def test_m_out_of_n(bench: Bench) -> None:
    bench.alarm(EvaluationPeriods=3, DatapointsToAlarm=2)
    assert bench.minutes("0", "X", "0", "X", "0", "0") == ["OK", "OK", "OK", "ALARM", "OK", "OK"]
    assert "(minimum 2 datapoints for ALARM -> OK transition)" in bench.described()["StateReason"]


@pytest.mark.parametrize(
    ("treatment", "expected"),
    [
        (None, ["ALARM", "ALARM", "ALARM", "INSUFFICIENT_DATA", "INSUFFICIENT_DATA"]),
        ("missing", ["ALARM", "ALARM", "ALARM", "INSUFFICIENT_DATA", "INSUFFICIENT_DATA"]),
        ("ignore", ["ALARM", "ALARM", "ALARM", "ALARM", "ALARM"]),
        ("breaching", ["ALARM", "ALARM", "ALARM", "ALARM", "ALARM"]),
        ("notBreaching", ["ALARM", "ALARM", "ALARM", "OK", "OK"]),
    ],
)
def test_a_metric_that_stops(bench: Bench, treatment: str | None, expected: list[str]) -> None:
    # The last data are evaluated again while they lie in the evaluation range.
    bench.alarm(**({} if treatment is None else {"TreatMissingData": treatment}))
    assert bench.minutes("X", "-", "-", "-", "-") == expected


def test_missing_data_are_judged_when_a_period_ends(bench: Bench) -> None:
    bench.alarm("quiet", TreatMissingData="breaching")
    assert bench.state("quiet") == "INSUFFICIENT_DATA"
    bench.clock.advance(seconds=50)
    assert bench.described("quiet")["StateReason"] == (
        "Threshold Crossed: no datapoints were received for 1 period and 1 missing datapoint"
        " was treated as [Breaching]."
    )
    assert bench.described("quiet")["StateUpdatedTimestamp"] == datetime(2026, 11, 24, 12, 1, tzinfo=UTC)


def test_dynamodb_always_ignores_missing_data(bench: Bench) -> None:
    # API reference of PutMetricAlarm, TreatMissingData.
    bench.alarm(Namespace="AWS/DynamoDB", TreatMissingData="breaching")
    bench.clock.advance(hours=1)
    assert bench.state() == "INSUFFICIENT_DATA"


def test_only_data_of_exactly_its_dimensions_and_unit_count(bench: Bench) -> None:
    one = [{"Name": "Endpoint", "Value": "a"}]
    bench.alarm(Dimensions=one, Unit="Percent")
    bench.put(99.0)
    bench.put(99.0, Dimensions=one)
    bench.put(99.0, Dimensions=one, Unit="Count")
    bench.put(99.0, Dimensions=[*one, {"Name": "Variant", "Value": "b"}], Unit="Percent")
    bench.put(99.0, name="other", Dimensions=one, Unit="Percent")
    assert bench.state() == "INSUFFICIENT_DATA"
    bench.put(99.0, Dimensions=one, Unit="Percent")
    assert bench.state() == "ALARM"


@pytest.mark.parametrize(
    ("statistic", "threshold", "expected"),
    [
        ("Sum", 109.0, "ALARM"),
        ("Sum", 110.0, "OK"),
        ("SampleCount", 3.0, "ALARM"),
        ("Minimum", 9.0, "ALARM"),
        ("Maximum", 40.0, "OK"),
        ("Average", 27.0, "ALARM"),
    ],
)
def test_statistics(bench: Bench, statistic: str, threshold: float, expected: str) -> None:
    bench.alarm(Statistic=statistic, Threshold=threshold)
    bench.put(10.0, 40.0)
    values = [{"MetricName": "load", "StatisticValues": {"SampleCount": 2, "Sum": 60, "Minimum": 20, "Maximum": 40}}]
    bench.cloudwatch.put_metric_data(Namespace="App", MetricData=values)
    bench.clock.advance(minutes=1)
    assert bench.state() == expected


@pytest.mark.parametrize(
    ("statistic", "comparison", "values", "expected"),
    [
        ("Sum", "GreaterThanThreshold", (40.0, 20.0), ["INSUFFICIENT_DATA", "ALARM", "ALARM"]),
        ("Sum", "LessThanThreshold", (40.0, 20.0), ["INSUFFICIENT_DATA", "OK", "OK"]),
        ("Sum", "LessThanThreshold", (40.0, 5.0), ["INSUFFICIENT_DATA", "INSUFFICIENT_DATA", "ALARM"]),
        ("Maximum", "GreaterThanThreshold", (40.0, 60.0), ["INSUFFICIENT_DATA", "ALARM", "ALARM"]),
        ("Minimum", "LessThanThreshold", (40.0, 60.0), ["ALARM", "ALARM", "ALARM"]),
        ("Minimum", "GreaterThanThreshold", (60.0, 60.0), ["INSUFFICIENT_DATA", "INSUFFICIENT_DATA", "ALARM"]),
        ("Average", "GreaterThanThreshold", (60.0, 20.0), ["ALARM", "OK", "OK"]),
    ],
)
def test_the_current_period_counts_when_nothing_that_comes_can_undo_it(
    bench: Bench, statistic: str, comparison: str, values: tuple[float, float], expected: list[str]
) -> None:
    bench.alarm(Statistic=statistic, ComparisonOperator=comparison)
    states = []
    for value in values:
        bench.put(value)
        states.append(bench.state())
    bench.clock.advance(seconds=50)
    assert [*states, bench.state()] == expected


def test_percentiles_and_too_few_data_for_them(bench: Bench) -> None:
    bench.alarm("p", ExtendedStatistic="p90")
    bench.alarm("careful", ExtendedStatistic="p90", EvaluateLowSampleCountPercentile="ignore")
    values = [{"MetricName": "load", "Values": [1.0, 99.0], "Counts": [80, 15]}]
    bench.cloudwatch.put_metric_data(Namespace="App", MetricData=values)
    assert (bench.state("p"), bench.state("careful")) == ("ALARM", "INSUFFICIENT_DATA")
    bench.put(*[99.0] * 5)
    assert bench.state("careful") == "ALARM"


def test_data_have_the_time_of_the_accounts_clock_or_their_own(bench: Bench) -> None:
    bench.clock.advance(days=3)
    bench.put(1.0)
    bench.put(99.0, Timestamp=START + timedelta(days=2))
    found = bench.cloudwatch.get_metric_statistics(
        Namespace="App",
        MetricName="load",
        StartTime=START,
        EndTime=START + timedelta(days=4),
        Period=3600,
        Statistics=["Maximum"],
    )["Datapoints"]
    assert {(each["Timestamp"], each["Maximum"]) for each in found} == {
        (START.replace(second=0) + timedelta(days=2), 99.0),
        (START.replace(second=0) + timedelta(days=3), 1.0),
    }


def test_data_from_before_the_alarm_count(bench: Bench) -> None:
    bench.put(99.0)
    bench.alarm()
    assert bench.state() == "ALARM"


def test_each_datum_counts_once_for_every_alarm(tmp_path: Path) -> None:
    # Whether the alarms were there before, come to it, go, or are those of an account that is opened again.
    def reason(bench: Bench, name: str) -> list[float]:
        found: list[float] = json.loads(bench.described(name)["StateReasonData"])["recentDatapoints"]
        return found

    total = {"Statistic": "Sum", "Threshold": 0.0, "ComparisonOperator": "GreaterThanThreshold"}
    with LocalAccount.open(tmp_path, clock=Clock(frozen=START)) as local:
        bench = Bench(local)
        bench.alarm("first", **total)
        bench.alarm("other", MetricName="other", **total)
        bench.put(1.0)
        bench.alarm("second", **total)
        bench.put(1.0, name="other")
        assert [reason(bench, name) for name in ("first", "second", "other")] == [[1.0], [1.0], [1.0]]
        bench.cloudwatch.delete_alarms(AlarmNames=["other"])
        bench.cloudwatch.set_alarm_state(AlarmName="first", StateValue="OK", StateReason="test")
        bench.put(1.0)
        assert reason(bench, "first") == [2.0]
        bench.cloudwatch.set_alarm_state(AlarmName="first", StateValue="OK", StateReason="test")
    with LocalAccount.open(tmp_path, clock=Clock(frozen=START)) as local:
        bench = Bench(local)
        bench.put(1.0)
        assert reason(bench, "first") == [3.0]


def test_an_update_leaves_the_state_as_it_is(bench: Bench) -> None:
    # "When you update an existing alarm, its state is left unchanged".
    bench.alarm()
    bench.put(99.0)
    bench.clock.advance(hours=2)
    bench.cloudwatch.set_alarm_state(AlarmName="high", StateValue="OK", StateReason="by hand")
    bench.alarm(AlarmDescription="changed")
    described = bench.described()
    assert (described["StateValue"], described["StateReason"]) == ("OK", "by hand")
    assert described["AlarmDescription"] == "changed"


def test_a_state_set_by_hand_lasts_until_the_next_evaluation(bench: Bench) -> None:
    bench.alarm()
    bench.put(1.0)
    bench.cloudwatch.set_alarm_state(
        AlarmName="high", StateValue="ALARM", StateReason="test", StateReasonData='{"a":1}'
    )
    assert bench.described()["StateReasonData"] == '{"a":1}'
    bench.clock.advance(seconds=49)
    assert bench.state() == "ALARM"
    bench.clock.advance(seconds=1)
    assert bench.state() == "OK"


# ---------------------------------------------------------------------- metric math


def _metrics(expression: str, **members: Any) -> list[dict[str, Any]]:
    def stat(identity: str, name: str) -> dict[str, Any]:
        metric = {"Namespace": "App", "MetricName": name}
        return {"Id": identity, "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}, "ReturnData": False}

    result = {"Id": "e1", "Expression": expression, "Label": "rate", "ReturnData": True, **members}
    return [result, stat("errors", "errors"), stat("calls", "calls")]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("100 * errors / calls", "ALARM"),
        ("errors / calls", "OK"),
        ("IF(calls > 100, 100 * errors / calls, 0)", "OK"),
        ("MAX([errors, calls, 51 + 0 * calls])", "ALARM"),
        ("SUM(METRICS()) * 4", "ALARM"),
        ("FILL(errors, 0) - calls", "OK"),
        ("ABS(errors - calls) ^ 2 + 51 - AVG(METRICS())", "ALARM"),
    ],
)
def test_expressions(bench: Bench, expression: str, expected: str) -> None:
    bench.alarm(Metrics=_metrics(expression))
    bench.put(6.0, name="errors")
    bench.put(10.0, name="calls")
    assert bench.state() == "INSUFFICIENT_DATA"
    bench.clock.advance(seconds=50)
    assert bench.state() == expected


def test_an_expression_without_data_has_none(bench: Bench) -> None:
    bench.alarm(Metrics=_metrics("errors / calls"), TreatMissingData="notBreaching")
    bench.put(1.0, name="errors")
    bench.put(0.0, name="calls")
    assert bench.state() == "INSUFFICIENT_DATA"
    bench.clock.advance(minutes=1)
    assert bench.state() == "OK"


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"Period": 45}, "Period must be"),
        ({"EvaluationPeriods": 1441}, "Metrics cannot be checked across more than a day"),
        ({"Period": 3600, "EvaluationPeriods": 169}, "seven days"),
        ({"DatapointsToAlarm": 2}, "DatapointsToAlarm"),
        ({"TreatMissingData": "zero"}, "Option zero is not supported"),
        ({"ComparisonOperator": "GreaterThanUpperThreshold"}, "not available in the local account"),
        ({"Metrics": _metrics("ANOMALY_DETECTION_BAND(errors)")}, "ANOMALY_DETECTION_BAND"),
        ({"Metrics": _metrics("errors +")}, "not a metric math expression"),
        ({"Metrics": _metrics("errors / nothing")}, "no query with the id nothing"),
        ({"Metrics": _metrics("e1 + 1")}, "refers to itself"),
        ({"Metrics": _metrics("errors", ReturnData=False)}, "Exactly one"),
        ({"Metrics": _metrics("__import__('os')")}, "not available"),
    ],
)
def test_put_metric_alarm_refuses(bench: Bench, members: dict[str, Any], message: str) -> None:
    code, told = refused(lambda: bench.alarm(**members))
    assert code == "ValidationError"
    assert message in told
    assert bench.cloudwatch.describe_alarms()["MetricAlarms"] == []


def test_a_refused_update_leaves_the_alarm(bench: Bench) -> None:
    bench.alarm()
    refused(lambda: bench.alarm(Period=45))
    assert bench.described()["Period"] == 60


@pytest.mark.parametrize(
    "datum",
    [{"Value": 1e300}, {"Values": [1.0, -1e300]}, {"Values": [1.0], "Counts": [float("inf")]}],
)
def test_put_metric_data_refuses_numbers_outside_of_its_range(bench: Bench, datum: dict[str, Any]) -> None:
    data = [{"MetricName": "load", **datum}]
    code, _ = refused(lambda: bench.cloudwatch.put_metric_data(Namespace="App", MetricData=data))
    assert code == "InvalidParameterValue"


def test_a_value_may_be_seen_very_often(bench: Bench) -> None:
    bench.alarm(Statistic="SampleCount", Threshold=1e9)
    data = [{"MetricName": "load", "Values": [1.0, 2.0], "Counts": [1e9, 1.0]}]
    bench.cloudwatch.put_metric_data(Namespace="App", MetricData=data)
    assert bench.state() == "ALARM"


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("PutMetricAlarm", {"AlarmName": ""}),
        (
            "PutMetricAlarm",
            {"AlarmName": "a", "EvaluationPeriods": "many", "ComparisonOperator": "GreaterThanThreshold"},
        ),
        ("PutCompositeAlarm", {"AlarmName": "a"}),
        ("SetAlarmState", {"AlarmName": "a", "StateValue": "RED", "StateReason": "r"}),
        ("DescribeAlarms", {"MaxRecords": 0}),
        ("DescribeAlarmHistory", {"ScanBy": "Colour"}),
        ("DeleteAlarms", {"AlarmNames": [None]}),
        ("DescribeAlarms", []),
    ],
)
def test_malformed_requests_get_modelled_errors(bench: Bench, operation: str, members: Any) -> None:
    status, answer = _post(bench, operation, json.dumps(members).encode())
    assert status == 400
    assert answer["__type"] in {"ValidationError", "SerializationException"}


def test_a_body_that_is_not_json(bench: Bench) -> None:
    assert _post(bench, "PutMetricAlarm", b"{")[1]["__type"] == "SerializationException"


def _post(bench: Bench, operation: str, body: bytes) -> tuple[int, dict[str, Any]]:
    scope = "Credential=test/20261124/us-east-1/monitoring/aws4_request"
    request = Request(  # noqa: S310 - to the account's server on loopback
        bench.local.endpoint_url,
        data=body,
        headers={
            "Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0",
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"GraniteServiceVersion20100801.{operation}",
        },
    )
    with pytest.raises(HTTPError) as error:
        urlopen(request)  # noqa: S310 - likewise
    with error.value:
        return error.value.code, json.loads(error.value.read())


# ---------------------------------------------------------------------- actions


def test_a_topic_gets_the_documented_message(bench: Bench) -> None:
    bench.alarm(
        AlarmDescription="too much",
        AlarmActions=[bench.topic],
        Dimensions=[{"Name": "Endpoint", "Value": "a"}],
        TreatMissingData="ignore",
    )
    bench.put(99.0, Dimensions=[{"Name": "Endpoint", "Value": "a"}])
    (notification,) = bench.heard()
    assert notification["Subject"] == 'ALARM: "high" in US East (N. Virginia)'
    assert notification["TopicArn"] == bench.topic
    assert json.loads(notification["Message"]) == {
        "AlarmName": "high",
        "AlarmDescription": "too much",
        "AWSAccountId": "123456789012",
        "AlarmConfigurationUpdatedTimestamp": "2026-11-24T12:00:10.000+0000",
        "NewStateValue": "ALARM",
        "NewStateReason": bench.described()["StateReason"],
        "StateChangeTime": "2026-11-24T12:00:10.000+0000",
        "Region": "US East (N. Virginia)",
        "AlarmArn": f"{ARN}high",
        "OldStateValue": "INSUFFICIENT_DATA",
        "OKActions": [],
        "AlarmActions": [bench.topic],
        "InsufficientDataActions": [],
        "Trigger": {
            "MetricName": "load",
            "Namespace": "App",
            "StatisticType": "Statistic",
            "Statistic": "AVERAGE",
            "Unit": None,
            "Dimensions": [{"value": "a", "name": "Endpoint"}],
            "Period": 60,
            "EvaluationPeriods": 1,
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": 50.0,
            "TreatMissingData": "ignore",
            "EvaluateLowSampleCountPercentile": "",
        },
    }


def test_each_state_has_its_actions_and_they_can_be_disabled(bench: Bench) -> None:
    bench.alarm(OKActions=[bench.topic], InsufficientDataActions=[bench.topic])
    bench.minutes("X", "0", "-", "-", "-")
    states = [json.loads(each["Message"])["NewStateValue"] for each in bench.heard()]
    assert states == ["OK", "INSUFFICIENT_DATA"]
    bench.cloudwatch.disable_alarm_actions(AlarmNames=["high"])
    bench.minutes("X", "0")
    assert bench.heard() == []
    assert bench.state() == "OK"
    bench.cloudwatch.enable_alarm_actions(AlarmNames=["high"])
    bench.cloudwatch.set_alarm_state(AlarmName="high", StateValue="INSUFFICIENT_DATA", StateReason="test")
    assert [json.loads(each["Message"])["NewStateReason"] for each in bench.heard()] == ["test"]


def test_only_a_change_of_state_acts(bench: Bench) -> None:
    bench.alarm(AlarmActions=[bench.topic])
    bench.minutes("X", "X", "X")
    bench.cloudwatch.set_alarm_state(AlarmName="high", StateValue="ALARM", StateReason="again")
    assert len(bench.heard()) == 1


def test_eventbridge_hears_of_it(bench: Bench) -> None:
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
    events = bench.client("events")
    pattern = {"source": ["aws.cloudwatch"], "detail-type": ["CloudWatch Alarm State Change"]}
    events.put_rule(Name="alarms", EventPattern=json.dumps({**pattern, "detail": {"state": {"value": ["ALARM"]}}}))
    events.put_targets(Rule="alarms", Targets=[{"Id": "1", "Arn": bench.queue}])
    bench.alarm(AlarmDescription="too much", ActionsEnabled=False)
    bench.put(99.0)
    (event,) = bench.heard()
    described = bench.described()
    assert len(event.pop("id")) == 36
    (metric,) = event["detail"]["configuration"]["metrics"]
    assert len(metric.pop("id")) == 36
    assert event == {
        "version": "0",
        "detail-type": "CloudWatch Alarm State Change",
        "source": "aws.cloudwatch",
        "account": "123456789012",
        "time": "2026-11-24T12:00:10Z",
        "region": "us-east-1",
        "resources": [f"{ARN}high"],
        "detail": {
            "alarmName": "high",
            "state": {
                "value": "ALARM",
                "reason": described["StateReason"],
                "reasonData": described["StateReasonData"],
                "timestamp": "2026-11-24T12:00:10.000+0000",
            },
            "previousState": {
                "value": "INSUFFICIENT_DATA",
                "reason": "Unchecked: Initial alarm creation",
                "timestamp": "2026-11-24T12:00:10.000+0000",
            },
            "configuration": {
                "description": "too much",
                "metrics": [
                    {
                        "metricStat": {
                            "metric": {"namespace": "App", "name": "load", "dimensions": {}},
                            "period": 60,
                            "stat": "Average",
                        },
                        "returnData": True,
                    }
                ],
            },
        },
    }


def test_changes_of_configuration_are_events_too(bench: Bench) -> None:
    events = bench.client("events")
    events.put_rule(Name="c", EventPattern='{"detail-type": ["CloudWatch Alarm Configuration Change"]}')
    target = {"Id": "1", "Arn": bench.queue, "InputPath": "$.detail.operation"}
    events.put_targets(Rule="c", Targets=[target])
    bench.alarm()
    bench.alarm(Threshold=60.0)
    bench.cloudwatch.delete_alarms(AlarmNames=["high"])
    assert bench.heard() == ["create", "update", "delete"]


def test_an_alarm_starts_a_pipeline_by_a_rule(bench: Bench) -> None:
    definition = {
        "Version": "2020-12-01",
        "Steps": [{"Name": "End", "Type": "Fail", "Arguments": {"ErrorMessage": "x"}}],
    }
    sagemaker, role = bench.client("sagemaker"), "arn:aws:iam::123456789012:role/r"
    arn = sagemaker.create_pipeline(
        PipelineName="retrain", PipelineDefinition=json.dumps(definition), RoleArn=role, ClientRequestToken="t" * 32
    )["PipelineArn"]
    events = bench.client("events")
    events.put_rule(
        Name="drift", EventPattern='{"source": ["aws.cloudwatch"], "detail": {"state": {"value": ["ALARM"]}}}'
    )
    events.put_targets(Rule="drift", Targets=[{"Id": "1", "Arn": arn, "RoleArn": role}])
    bench.alarm("drift")
    bench.put(99.0)
    assert bench.local.settle()
    assert len(sagemaker.list_pipeline_executions(PipelineName="retrain")["PipelineExecutionSummaries"]) == 1


def test_an_action_that_cannot_be_done_here_is_told(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    action = "arn:aws:ssm:us-east-1:123456789012:opsitem:1"
    bench.alarm(AlarmActions=[action])
    bench.put(99.0)
    assert bench.history("high", HistoryItemType="Action") == [f"Failed to execute action {action}"]
    assert "not available in the local account" in caplog.text


# ---------------------------------------------------------------------- composite alarms


def test_a_composite_alarm_follows_its_children(bench: Bench) -> None:
    bench.alarm("a")
    bench.alarm("b", MetricName="other")
    bench.cloudwatch.put_composite_alarm(
        AlarmName="both", AlarmRule='ALARM("a") AND NOT OK(b)', AlarmActions=[bench.topic], AlarmDescription="worse"
    )
    assert bench.described("both")["StateReason"] == f"{ARN}both was created and its alarm rule evaluates to OK"
    bench.put(99.0)
    described = bench.described("both")
    assert described["StateValue"] == "ALARM"
    assert described["AlarmRule"] == 'ALARM("a") AND NOT OK(b)'
    assert described["StateReason"] == f"{ARN}a transitioned to ALARM at Tuesday 24 November, 2026 12:00:10 UTC"
    child = {"arn": f"{ARN}a", "state": {"value": "ALARM", "timestamp": "2026-11-24T12:00:10.000+0000"}}
    assert json.loads(described["StateReasonData"]) == {"triggeringAlarms": [child]}
    (notification,) = bench.heard()
    message = json.loads(notification["Message"])
    assert message["AlarmRule"] == 'ALARM("a") AND NOT OK(b)'
    assert message["TriggeringChildren"] == [
        {"Arn": f"{ARN}a", "State": {"Value": "ALARM", "Timestamp": message["StateChangeTime"]}}
    ]
    assert "Trigger" not in message
    bench.put(1.0, name="other")
    assert bench.state("both") == "OK"


def test_composite_alarms_of_composite_alarms(bench: Bench) -> None:
    bench.alarm("a")
    bench.cloudwatch.put_composite_alarm(AlarmName="middle", AlarmRule="ALARM(a)")
    bench.cloudwatch.put_composite_alarm(AlarmName="top", AlarmRule="ALARM(middle) OR FALSE")
    bench.put(99.0)
    assert [bench.state(name) for name in ("a", "middle", "top")] == ["ALARM", "ALARM", "ALARM"]
    bench.cloudwatch.set_alarm_state(AlarmName="a", StateValue="OK", StateReason="test")
    assert [bench.state(name) for name in ("a", "middle", "top")] == ["OK", "OK", "OK"]


def test_what_a_composite_alarm_refuses(bench: Bench) -> None:
    put = bench.cloudwatch.put_composite_alarm
    bench.alarm("a")
    assert refused(lambda: put(AlarmName="c", AlarmRule="ALARM(none)")) == (
        "ValidationError",
        "Could not save the composite alarm as alarms [none] in the alarm rule do not exist",
    )
    assert refused(lambda: put(AlarmName="c", AlarmRule="RED(a)"))[0] == "ValidationError"
    assert "ActionsSuppressor" in refused(lambda: put(AlarmName="c", AlarmRule="ALARM(a)", ActionsSuppressor="a"))[1]
    put(AlarmName="c", AlarmRule="ALARM(a)")
    put(AlarmName="d", AlarmRule="ALARM(c)")
    assert "leads back" in refused(lambda: put(AlarmName="c", AlarmRule="ALARM(d)"))[1]
    code, message = refused(lambda: bench.cloudwatch.delete_alarms(AlarmNames=["a"]))
    assert (code, message) == ("ValidationError", "Cannot delete a as there are composite alarm(s) depending on it.")
    bench.cloudwatch.delete_alarms(AlarmNames=["d"])
    bench.cloudwatch.delete_alarms(AlarmNames=["a", "c"])
    assert bench.cloudwatch.describe_alarms(AlarmTypes=["MetricAlarm", "CompositeAlarm"])["MetricAlarms"] == []


# ---------------------------------------------------------------------- lists and history


def test_describe_alarms_filters_and_pages(bench: Bench) -> None:
    for name in ("a1", "a2", "b1"):
        bench.alarm(name, AlarmActions=[bench.topic] if name == "a2" else [])
    bench.cloudwatch.put_composite_alarm(AlarmName="c1", AlarmRule="ALARM(a1) OR ALARM(a2)")
    describe = bench.cloudwatch.describe_alarms

    def names(**request: Any) -> list[str]:
        answer = describe(**request)
        return [each["AlarmName"] for each in [*answer["MetricAlarms"], *answer["CompositeAlarms"]]]

    # "If you omit this parameter, only metric alarms are returned": AlarmTypes of DescribeAlarms.
    assert names() == ["a1", "a2", "b1"]
    assert names(AlarmTypes=["CompositeAlarm"]) == ["c1"]
    assert names(AlarmNamePrefix="a") == ["a1", "a2"]
    assert names(AlarmNamePrefix="a", ActionPrefix="arn:aws:sns") == ["a2"]
    assert names(ChildrenOfAlarmName="c1") == ["a1", "a2"]
    assert names(ParentsOfAlarmName="a1") == ["c1"]
    bench.cloudwatch.set_alarm_state(AlarmName="b1", StateValue="OK", StateReason="test")
    assert names(StateValue="OK") == ["b1"]
    pages = bench.cloudwatch.get_paginator("describe_alarms").paginate(PaginationConfig={"PageSize": 2})
    assert [[each["AlarmName"] for each in page["MetricAlarms"]] for page in pages] == [["a1", "a2"], ["b1"]]
    assert refused(lambda: describe(NextToken="!"))[0] == "InvalidNextToken"


def test_describe_alarms_for_metric(bench: Bench) -> None:
    one = [{"Name": "Endpoint", "Value": "a"}]
    bench.alarm("plain")
    bench.alarm("narrow", Dimensions=one)
    find = bench.cloudwatch.describe_alarms_for_metric
    request = {"Namespace": "App", "MetricName": "load"}
    assert [each["AlarmName"] for each in find(**request)["MetricAlarms"]] == ["plain"]
    assert [each["AlarmName"] for each in find(**request, Dimensions=one)["MetricAlarms"]] == ["narrow"]
    assert find(**request, Statistic="Sum")["MetricAlarms"] == []


def test_history_tells_everything_latest_first(bench: Bench) -> None:
    bench.alarm(AlarmActions=[bench.topic])
    bench.minutes("X", "0")
    bench.cloudwatch.put_composite_alarm(AlarmName="c", AlarmRule="ALARM(high)")
    assert bench.history("high") == [
        "Alarm updated from ALARM to OK",
        f"Successfully executed action {bench.topic}",
        "Alarm updated from INSUFFICIENT_DATA to ALARM",
        'Alarm "high" created',
    ]
    assert bench.history("high", ScanBy="TimestampAscending")[0] == 'Alarm "high" created'
    assert bench.history(HistoryItemType="StateUpdate", EndDate=START) == [
        "Alarm updated from INSUFFICIENT_DATA to ALARM"
    ]
    assert bench.history(StartDate=START + timedelta(seconds=1)) == ["Alarm updated from ALARM to OK"]
    assert len(bench.history(AlarmTypes=["CompositeAlarm"])) == 2
    item = bench.cloudwatch.describe_alarm_history(AlarmName="high", HistoryItemType="StateUpdate")[
        "AlarmHistoryItems"
    ][1]
    assert item["Timestamp"] == START
    assert item["AlarmType"] == "MetricAlarm"
    data = json.loads(item["HistoryData"])
    assert data["oldState"] == {"stateValue": "INSUFFICIENT_DATA", "stateReason": "Unchecked: Initial alarm creation"}
    assert data["newState"]["stateReasonData"]["recentDatapoints"] == [99.0]
    bench.cloudwatch.delete_alarms(AlarmNames=["c"])
    bench.cloudwatch.delete_alarms(AlarmNames=["high"])
    assert bench.history("high")[0] == 'Alarm "high" deleted'
    pages = bench.cloudwatch.get_paginator("describe_alarm_history").paginate(
        AlarmName="high", PaginationConfig={"PageSize": 2}
    )
    assert [len(page["AlarmHistoryItems"]) for page in pages] == [2, 2, 1]


# ---------------------------------------------------------------------- the account is closed and opened again


def test_alarms_go_on_where_they_were(tmp_path: Path) -> None:
    with LocalAccount.open(tmp_path, clock=Clock(frozen=START)) as local:
        bench = Bench(local)
        bench.alarm(TreatMissingData="notBreaching")
        bench.put(99.0)
        bench.clock.advance(minutes=1)
        before = bench.described()
    with LocalAccount.open(tmp_path, clock=Clock(frozen=START)) as local:
        bench = Bench(local)
        after = bench.described()
        assert {name: value for name, value in after.items() if name != "ResponseMetadata"} == before
        assert len(bench.history("high")) == 2
        bench.clock.advance(minutes=5)
        assert bench.state() == "OK"
    # A change that no request made is kept, too.
    with LocalAccount.open(tmp_path, clock=Clock(frozen=START)) as local:
        assert Bench(local).state() == "OK"


@pytest.mark.parametrize("protocol", ["json", "query"])
def test_over_http_in_json_and_query(bench: Bench, protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.config import Config  # noqa: PLC0415 - this test only

    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")  # noqa: S106 - opens nothing
    loader = session._session.get_component("data_loader")
    load = loader.load_service_model

    def speaking(name: str, kind: str, **options: Any) -> Any:
        model = load(name, kind, **options)
        if (name, kind) == ("cloudwatch", "service-2"):
            model = {**model, "metadata": {**model["metadata"], "protocol": protocol, "protocols": [protocol]}}
        return model

    monkeypatch.setattr(loader, "load_service_model", speaking)
    once = Config(retries={"total_max_attempts": 1})
    client = session.client("cloudwatch", endpoint_url=bench.local.endpoint_url, config=once)
    bench.alarm()
    client.put_composite_alarm(AlarmName="c", AlarmRule="ALARM(high)")
    client.put_metric_data(Namespace="App", MetricData=[{"MetricName": "load", "Value": 99.0}])
    answer = client.describe_alarms(AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    assert [answer["MetricAlarms"][0]["StateValue"], answer["CompositeAlarms"][0]["StateValue"]] == ["ALARM", "ALARM"]
    assert len(client.describe_alarm_history(AlarmName="high")["AlarmHistoryItems"]) == 2
    with pytest.raises(ClientError) as error:
        client.put_composite_alarm(AlarmName="c", AlarmRule="nonsense")
    assert error.value.response["Error"]["Code"] == "ValidationError"


def test_many_data_do_not_slow_each_other_down(bench: Bench) -> None:
    bench.alarm(EvaluationPeriods=5)
    for _ in range(20):
        bench.put(*[1.0] * 500)
        bench.clock.advance(seconds=30)
    assert bench.state() == "OK"
