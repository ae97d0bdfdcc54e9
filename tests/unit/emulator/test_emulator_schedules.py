"""Rules with a schedule and schedules of EventBridge Scheduler: what is accepted, and that they fire by the clock."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from mlops_sm.emulator import LocalAccount
from mlops_sm.emulator.clock import Clock
from mlops_sm.emulator.store import Scope
from mlops_sm.emulator.timing.expressions import Dialect
from mlops_sm.emulator.timing.timetable import Entry, Timetable

START = datetime(2026, 11, 24, 12, 0, 30, tzinfo=UTC)
ROLE = "arn:aws:iam::123456789012:role/scheduler"
OFF = {"Mode": "OFF"}
PATIENCE = 30.0
_CLIENTS: dict[str, Any] = {}


class Bench:
    """An open account with a frozen clock and a queue."""

    def __init__(self, local: LocalAccount) -> None:
        self.local = local
        self.clock = local.clock
        self.url = self.client("sqs").create_queue(QueueName="heard")["QueueUrl"]
        self.queue = "arn:aws:sqs:us-east-1:123456789012:heard"

    def client(self, service: str) -> Any:
        if service not in _CLIENTS:
            _CLIENTS[service] = self.local.client(service)
        return _CLIENTS[service]

    def heard(self) -> list[str]:
        """What is in the queue, which is empty afterwards."""
        bodies: list[str] = []
        while found := self.client("sqs").receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                bodies.append(message["Body"])
                self.client("sqs").delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return bodies

    def rule(self, name: str, expression: str, **target: Any) -> str:
        arn: str = self.client("events").put_rule(Name=name, ScheduleExpression=expression)["RuleArn"]
        self.client("events").put_targets(Rule=name, Targets=[{"Id": "1", "Arn": self.queue, **target}])
        return arn

    def schedule(self, name: str, expression: str, target: dict[str, Any] | None = None, **members: Any) -> str:
        arn: str = self.client("scheduler").create_schedule(
            Name=name,
            ScheduleExpression=expression,
            Target=target or {"Arn": self.queue, "RoleArn": ROLE, "Input": name},
            **{"FlexibleTimeWindow": OFF, **members},
        )["ScheduleArn"]
        return arn

    def pipeline(self, name: str) -> str:
        definition = {
            "Version": "2020-12-01",
            "Parameters": [{"Name": "Day", "Type": "String", "DefaultValue": "none"}],
            "Steps": [{"Name": "End", "Type": "Fail", "Arguments": {"ErrorMessage": "as planned"}}],
        }
        arn: str = self.client("sagemaker").create_pipeline(
            PipelineName=name, PipelineDefinition=json.dumps(definition), RoleArn=ROLE, ClientRequestToken="t" * 32
        )["PipelineArn"]
        return arn

    def started(self, name: str) -> list[dict[str, str]]:
        """The parameters of every execution, the first first."""
        sagemaker = self.client("sagemaker")
        found = sagemaker.list_pipeline_executions(PipelineName=name, SortOrder="Ascending")[
            "PipelineExecutionSummaries"
        ]
        arns = [each["PipelineExecutionArn"] for each in found]
        answers = [sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=arn) for arn in arns]
        return [{each["Name"]: each["Value"] for each in answer["PipelineParameters"]} for answer in answers]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with LocalAccount.open(tmp_path / "state", clock=Clock(frozen=START)) as local:
        yield Bench(local)


def refused(call: Callable[[], object]) -> tuple[str, str, int]:
    with pytest.raises(ClientError) as error:
        call()
    answer = error.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"], answer["ResponseMetadata"]["HTTPStatusCode"]


# ---------------------------------------------------------------------- rules


def test_a_rule_with_a_rate_sends_scheduled_events(bench: Bench) -> None:
    # Shape: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-run-lambda-schedule.html
    arn = bench.rule("tick", "rate(5 minutes)")
    bench.clock.advance(minutes=4)
    assert bench.heard() == []
    bench.clock.advance(minutes=6)
    events = [json.loads(body) for body in bench.heard()]
    assert [event.pop("time") for event in events] == ["2026-11-24T12:05:30Z", "2026-11-24T12:10:30Z"]
    assert len({event.pop("id") for event in events}) == 2
    assert (
        events[0]
        == events[1]
        == {
            "version": "0",
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": "123456789012",
            "region": "us-east-1",
            "resources": [arn],
            "detail": {},
        }
    )


def test_rules_fire_in_order_of_time_with_their_inputs(bench: Bench) -> None:
    bench.rule("hourly", "cron(0 * ? * * *)", Input='"hourly"')
    bench.rule(
        "quick", "rate(25 minutes)", InputTransformer={"InputPathsMap": {"at": "$.time"}, "InputTemplate": '"<at>"'}
    )
    bench.clock.advance(hours=1, minutes=20)
    times = ["2026-11-24T12:25:30Z", "2026-11-24T12:50:30Z", "hourly", "2026-11-24T13:15:30Z"]
    assert [json.loads(body) for body in bench.heard()] == times


def test_a_disabled_rule_is_silent_and_a_deleted_one_gone(bench: Bench) -> None:
    events = bench.client("events")
    bench.rule("tick", "rate(1 minute)", Input='"tick"')
    events.disable_rule(Name="tick")
    bench.clock.advance(minutes=3)
    assert bench.heard() == []
    events.enable_rule(Name="tick")
    bench.clock.advance(minutes=2)
    assert len(bench.heard()) == 2
    events.remove_targets(Rule="tick", Ids=["1"])
    events.delete_rule(Name="tick")
    bench.clock.advance(minutes=2)
    assert bench.heard() == []


def test_put_rule_again_changes_the_schedule_and_keeps_the_rhythm_of_the_same(bench: Bench) -> None:
    bench.rule("tick", "rate(10 minutes)")
    bench.clock.advance(minutes=9)
    bench.rule("tick", "rate(10 minutes)")
    bench.clock.advance(minutes=1)
    assert len(bench.heard()) == 1
    bench.rule("tick", "rate(1 hour)")
    bench.clock.advance(minutes=59)
    assert bench.heard() == []
    bench.clock.advance(minutes=1)
    assert len(bench.heard()) == 1
    bench.client("events").put_rule(Name="tick", EventPattern='{"source": ["mine"]}')
    bench.clock.advance(hours=3)
    assert bench.heard() == []


def test_a_rule_starts_a_pipeline_with_parameters_from_its_event(bench: Bench) -> None:
    pipeline = bench.pipeline("nightly")
    parameters = {"PipelineParameterList": [{"Name": "Day", "Value": "$.time"}]}
    bench.rule("night", "cron(0 3 * * ? *)", Arn=pipeline, RoleArn=ROLE, SageMakerPipelineParameters=parameters)
    bench.clock.advance(days=2)
    assert bench.started("nightly") == [{"Day": "2026-11-25T03:00:00Z"}, {"Day": "2026-11-26T03:00:00Z"}]


@pytest.mark.parametrize(
    "expression",
    ["rate(1 minutes)", "rate(0 minutes)", "cron(0 1 * * * *)", "cron()", "at(2027-01-01T00:00:00)", "daily"],
)
def test_put_rule_refuses_expressions_as_the_service_does(bench: Bench, expression: str) -> None:
    # Recorded from the service.
    events = bench.client("events")
    expected = ("ValidationException", "Parameter ScheduleExpression is not valid.", 400)
    assert refused(lambda: events.put_rule(Name="r", ScheduleExpression=expression)) == expected
    assert events.list_rules()["Rules"] == []


def test_a_schedule_needs_the_default_bus(bench: Bench) -> None:
    events = bench.client("events")
    events.create_event_bus(Name="other")
    expected = ("ValidationException", "ScheduleExpression is supported only on the default event bus.", 400)
    assert (
        refused(lambda: events.put_rule(Name="r", EventBusName="other", ScheduleExpression="rate(1 minute)"))
        == expected
    )


# ---------------------------------------------------------------------- EventBridge Scheduler


def test_a_rate_without_start_begins_at_once(bench: Bench) -> None:
    # "If you do not provide a StartDate ..., your schedule starts invoking the target immediately":
    # https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
    bench.schedule(
        "tick",
        "rate(10 minutes)",
        target={"Arn": bench.queue, "RoleArn": ROLE, "Input": "<aws.scheduler.scheduled-time>"},
    )
    bench.clock.advance(minutes=20)
    assert bench.heard() == ["2026-11-24T12:00:30Z", "2026-11-24T12:10:30Z", "2026-11-24T12:20:30Z"]


def test_start_and_end_date_bound_a_schedule(bench: Bench) -> None:
    bench.schedule(
        "bounded",
        "rate(1 hour)",
        StartDate=START + timedelta(hours=2),
        EndDate=START + timedelta(hours=4),
        target={"Arn": bench.queue, "RoleArn": ROLE, "Input": "<aws.scheduler.scheduled-time>"},
    )
    bench.clock.advance(hours=1)
    assert bench.heard() == []
    bench.clock.advance(hours=9)
    assert bench.heard() == ["2026-11-24T14:00:30Z", "2026-11-24T15:00:30Z", "2026-11-24T16:00:30Z"]


def test_cron_and_at_are_read_in_their_time_zone(bench: Bench) -> None:
    bench.schedule("tokyo", "cron(0 9 * * ? *)", ScheduleExpressionTimezone="Asia/Tokyo")
    bench.schedule("once", "at(2026-11-24T20:30:00)", ScheduleExpressionTimezone="Europe/Berlin")
    bench.clock.advance(hours=7)
    assert bench.heard() == []
    bench.clock.advance(hours=1)
    assert bench.heard() == ["once"]
    bench.clock.advance(days=1)
    assert bench.heard() == ["tokyo"]


def test_a_one_time_schedule_stays_unless_it_is_to_be_deleted(bench: Bench) -> None:
    scheduler = bench.client("scheduler")
    bench.schedule("stays", "at(2026-11-24T13:00:00)")
    bench.schedule("goes", "at(2026-11-24T13:00:00)", ActionAfterCompletion="DELETE")
    bench.schedule("ends", "rate(1 hour)", EndDate=START + timedelta(minutes=90), ActionAfterCompletion="DELETE")
    bench.schedule("past", "at(2020-01-01T00:00:00)", ActionAfterCompletion="DELETE")
    bench.clock.advance(days=2)
    assert sorted(bench.heard()) == ["ends", "ends", "goes", "stays"]
    assert {each["Name"] for each in scheduler.list_schedules()["Schedules"]} == {"stays", "past"}
    assert refused(lambda: scheduler.get_schedule(Name="goes"))[0] == "ResourceNotFoundException"


def test_groups_updates_and_states(bench: Bench) -> None:
    scheduler = bench.client("scheduler")
    scheduler.create_schedule_group(Name="team")
    bench.schedule("tick", "cron(0/10 * * * ? *)", GroupName="team", State="DISABLED", ActionAfterCompletion="DELETE")
    bench.clock.advance(hours=1)
    assert bench.heard() == []
    target = {"Arn": bench.queue, "RoleArn": ROLE, "Input": "updated"}
    scheduler.update_schedule(
        Name="tick", GroupName="team", ScheduleExpression="cron(0/30 * * * ? *)", FlexibleTimeWindow=OFF, Target=target
    )
    described = scheduler.get_schedule(Name="tick", GroupName="team")
    assert described["CreationDate"] == scheduler.get_schedule_group(Name="team")["CreationDate"] == START
    assert described["LastModificationDate"] == START + timedelta(hours=1)
    assert described["State"] == "ENABLED"
    assert described.get("ActionAfterCompletion") is None
    bench.clock.advance(hours=1)
    assert bench.heard() == ["updated", "updated"]
    scheduler.delete_schedule_group(Name="team")
    bench.clock.advance(hours=1)
    assert bench.heard() == []


def test_a_flexible_window_fires_at_its_start(bench: Bench) -> None:
    bench.schedule(
        "soon", "at(2026-11-24T13:00:00)", FlexibleTimeWindow={"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 30}
    )
    bench.clock.advance(minutes=59, seconds=30)
    assert bench.heard() == ["soon"]


def test_without_input_a_target_gets_an_event_of_the_scheduler(bench: Bench) -> None:
    arn = bench.schedule("bare", "at(2026-11-24T13:00:00)", {"Arn": bench.queue, "RoleArn": ROLE})
    bench.clock.advance(hours=1)
    (body,) = bench.heard()
    event = json.loads(body)
    assert len(event.pop("id")) == 36
    assert event == {
        "version": "0",
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": "123456789012",
        "time": "2026-11-24T13:00:00Z",
        "region": "us-east-1",
        "resources": [arn],
        "detail": "{}",
    }


def test_context_attributes_are_filled_in(bench: Bench) -> None:
    # https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
    names = ("schedule-arn", "scheduled-time", "attempt-number", "execution-id")
    text = " ".join(f"<aws.scheduler.{name}>" for name in names)
    arn = bench.schedule("told", "at(2026-11-24T13:00:00)", {"Arn": bench.queue, "RoleArn": ROLE, "Input": text})
    bench.clock.advance(hours=1)
    (body,) = bench.heard()
    *known, execution = body.split(" ")
    assert known == [arn, "2026-11-24T13:00:00Z", "1"]
    assert len(execution) == 16


def test_templated_and_universal_targets(bench: Bench) -> None:
    pipeline = bench.pipeline("scheduled")
    given = {"PipelineParameterList": [{"Name": "Day", "Value": "templated"}]}
    bench.schedule(
        "t", "at(2026-11-24T13:00:00)", {"Arn": pipeline, "RoleArn": ROLE, "SageMakerPipelineParameters": given}
    )
    request = {
        "PipelineName": "scheduled",
        "PipelineParameters": [{"Name": "Day", "Value": "<aws.scheduler.scheduled-time>"}],
    }
    universal = "arn:aws:scheduler:::aws-sdk:sagemaker:startPipelineExecution"
    bench.schedule("u", "at(2026-11-24T14:00:00)", {"Arn": universal, "RoleArn": ROLE, "Input": json.dumps(request)})
    message = json.dumps({"QueueUrl": bench.url, "MessageBody": "universal"})
    bench.schedule(
        "s",
        "at(2026-11-24T15:00:00)",
        {"Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage", "RoleArn": ROLE, "Input": message},
    )
    bench.clock.advance(hours=3)
    assert bench.started("scheduled") == [{"Day": "templated"}, {"Day": "2026-11-24T14:00:00Z"}]
    assert bench.heard() == ["universal"]


def test_a_schedule_puts_events_on_a_bus(bench: Bench) -> None:
    events = bench.client("events")
    events.put_rule(Name="mine", EventPattern='{"source": ["my.app"]}')
    events.put_targets(Rule="mine", Targets=[{"Id": "1", "Arn": bench.queue, "InputPath": "$.detail"}])
    target = {
        "Arn": "arn:aws:events:us-east-1:123456789012:event-bus/default",
        "RoleArn": ROLE,
        "EventBridgeParameters": {"Source": "my.app", "DetailType": "Hello"},
        "Input": '{"name": "world"}',
    }
    bench.schedule("put", "at(2026-11-24T13:00:00)", target)
    bench.clock.advance(hours=1)
    assert [json.loads(body) for body in bench.heard()] == [{"name": "world"}]


@pytest.mark.parametrize(
    "expression", ["cron(0 1 * * * *)", "rate(10 seconds)", " rate(10 minutes)", "at(2021-12-31)", "tomorrow"]
)
def test_create_schedule_refuses_expressions_as_the_service_does(bench: Bench, expression: str) -> None:
    # Recorded from the service.
    expected = ("ValidationException", f"Invalid Schedule Expression {expression}.", 400)
    assert refused(lambda: bench.schedule("s", expression)) == expected
    assert bench.client("scheduler").list_schedules()["Schedules"] == []


@pytest.mark.parametrize(
    "members",
    [
        {"ScheduleExpressionTimezone": "Mars/Phobos"},
        {"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}},
        {"FlexibleTimeWindow": {"Mode": "OFF", "MaximumWindowInMinutes": 5}},
        {"StartDate": START - timedelta(hours=1)},
        {"StartDate": START + timedelta(hours=2), "EndDate": START + timedelta(hours=1)},
    ],
)
def test_create_schedule_refuses_other_members(bench: Bench, members: dict[str, Any]) -> None:
    code, _, status = refused(lambda: bench.schedule("s", "rate(1 hour)", **members))
    assert (code, status) == ("ValidationException", 400)


@pytest.mark.parametrize(
    "members",
    [
        {"FlexibleTimeWindow": {"Mode": "SOMETIMES"}},
        {"target": {"Arn": "a", "RoleArn": "no role"}},
        {"State": "ASLEEP"},
        {"GroupName": "no spaces"},
    ],
)
def test_create_schedule_checks_its_model(bench: Bench, members: dict[str, Any]) -> None:
    assert refused(lambda: bench.schedule("s", "cron(0 0 1 1 ? *)", **members))[::2] == ("ValidationException", 400)


def test_missing_and_double_names(bench: Bench) -> None:
    scheduler = bench.client("scheduler")
    missing = ("ResourceNotFoundException", "Schedule group none does not exist.", 404)
    assert refused(lambda: bench.schedule("s", "rate(1 hour)", GroupName="none")) == missing
    assert refused(lambda: scheduler.delete_schedule_group(Name="none")) == missing
    scheduler.create_schedule_group(Name="team")
    assert refused(lambda: scheduler.create_schedule_group(Name="team"))[0] == "ConflictException"
    assert refused(lambda: scheduler.delete_schedule_group(Name="default"))[0] == "ValidationException"
    bench.schedule("s", "cron(0 0 1 1 ? *)")
    assert refused(lambda: bench.schedule("s", "cron(0 0 1 1 ? *)"))[0] == "ConflictException"


def test_every_account_and_region_has_its_own(bench: Bench) -> None:
    assumed = bench.client("sts").assume_role(RoleArn="arn:aws:iam::222222222222:role/other", RoleSessionName="test")
    keys = assumed["Credentials"]

    def there(service: str) -> Any:
        return bench.local.session()._session.create_client(
            service,
            region_name="eu-west-1",
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys["SessionToken"],
        )

    sqs, events, scheduler, cloudwatch = (there(name) for name in ("sqs", "events", "scheduler", "cloudwatch"))
    url = sqs.create_queue(QueueName="heard")["QueueUrl"]
    queue = "arn:aws:sqs:eu-west-1:222222222222:heard"
    rule = events.put_rule(Name="tick", ScheduleExpression="rate(1 hour)")["RuleArn"]
    assert rule == "arn:aws:events:eu-west-1:222222222222:rule/tick"
    events.put_targets(Rule="tick", Targets=[{"Id": "1", "Arn": queue, "InputPath": "$.resources"}])
    scheduler.create_schedule(
        Name="once",
        ScheduleExpression="at(2026-11-24T12:30:00)",
        FlexibleTimeWindow=OFF,
        Target={"Arn": queue, "RoleArn": ROLE, "Input": "<aws.scheduler.schedule-arn>"},
    )
    events.put_rule(Name="alarms", EventPattern='{"detail": {"state": {"value": ["ALARM"]}}}')
    events.put_targets(Rule="alarms", Targets=[{"Id": "1", "Arn": queue, "InputPath": "$.resources"}])
    cloudwatch.put_metric_alarm(
        AlarmName="high",
        Namespace="App",
        MetricName="load",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1.0,
        ComparisonOperator="GreaterThanThreshold",
    )
    cloudwatch.put_metric_data(Namespace="App", MetricData=[{"MetricName": "load", "Value": 2.0}])
    bench.clock.advance(hours=1)
    assert bench.heard() == []
    assert bench.client("events").list_rules()["Rules"] == []
    found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert [message["Body"] for message in found] == [
        '["arn:aws:cloudwatch:eu-west-1:222222222222:alarm:high"]',
        "arn:aws:scheduler:eu-west-1:222222222222:schedule/default/once",
        f'["{rule}"]',
    ]


# ---------------------------------------------------------------------- the account is closed and opened again


def test_schedules_go_on_in_their_rhythm_and_make_up_for_nothing(tmp_path: Path) -> None:
    with LocalAccount.open(tmp_path, clock=Clock(frozen=START)) as local:
        bench = Bench(local)
        bench.rule("tick", "rate(10 minutes)", Input='"rule"')
        bench.schedule("at", "at(2026-11-24T12:30:00)")
        bench.schedule("cron", "cron(0/20 * * * ? *)")
        bench.clock.advance(minutes=5)
    # Open again 40 minutes later, by another clock.
    with LocalAccount.open(tmp_path, clock=Clock(frozen=START + timedelta(minutes=40))) as local:
        bench = Bench(local)
        assert local.clock() == START + timedelta(minutes=45)
        assert bench.heard() == []
        bench.clock.advance(minutes=14)
        assert bench.heard() == ['"rule"']
        bench.clock.advance(minutes=2)
        assert bench.heard() == ["cron", '"rule"']


def test_what_was_acknowledged_outlives_the_process(tmp_path: Path) -> None:
    script = f"""
import os, pathlib, signal
from datetime import datetime
from mlops_sm.emulator import LocalAccount
from mlops_sm.emulator.clock import Clock
clock = Clock(frozen=datetime.fromisoformat("{START.isoformat()}"))
account = LocalAccount.open(pathlib.Path({str(tmp_path)!r}), clock=clock)
queue = "arn:aws:sqs:us-east-1:123456789012:heard"
account.client("sqs").create_queue(QueueName="heard")
account.client("events").put_rule(Name="tick", ScheduleExpression="rate(45 minutes)")
account.client("events").put_targets(Rule="tick", Targets=[{{"Id": "1", "Arn": queue, "Input": '"rule"'}}])
account.client("scheduler").create_schedule(Name="once", ScheduleExpression="at(2026-11-24T13:00:00)",
    FlexibleTimeWindow={{"Mode": "OFF"}}, Target={{"Arn": queue, "RoleArn": "{ROLE}", "Input": "schedule"}})
clock.advance(minutes=30)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -signal.SIGKILL
    with LocalAccount.open(tmp_path, clock=Clock(frozen=START)) as local:
        bench = Bench(local)
        assert local.clock() == START + timedelta(minutes=30)
        bench.clock.advance(minutes=30)
        assert bench.heard() == ['"rule"', "schedule"]


def test_nothing_fires_twice_when_the_account_is_opened_again(tmp_path: Path) -> None:
    for expected in (['"tick"'], []):
        with LocalAccount.open(tmp_path, clock=Clock(frozen=START)) as local:
            bench = Bench(local)
            if expected:
                bench.rule("tick", "cron(0 13 * * ? *)", Input='"tick"')
                bench.clock.advance(hours=2)
            assert bench.heard() == expected


def test_an_account_without_schedules_has_no_thread_for_them(bench: Bench) -> None:
    def threads() -> set[str]:
        return {thread.name for thread in threading.enumerate()} & {"clock"}

    bench.client("events").put_rule(Name="pattern", EventPattern='{"source": ["mine"]}')
    bench.clock.advance(hours=1)
    assert not threads()
    bench.rule("tick", "rate(1 minute)")
    assert threads()


def test_in_real_time_a_schedule_fires_by_itself(tmp_path: Path) -> None:
    with LocalAccount.open(tmp_path) as local:
        bench = Bench(local)
        bench.schedule("now", "rate(1 hour)")
        heard: list[str] = []
        for _ in range(3000):
            heard += bench.heard()
            if heard:
                break
            threading.Event().wait(0.01)
        assert heard == ["now"]


# ---------------------------------------------------------------------- the timetable


def test_a_worker_that_fails_does_not_stop_the_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from mlops_sm.emulator.database import Database  # noqa: PLC0415 - this test only

    class Worker:
        def __init__(self) -> None:
            self.done: list[str] = []

        def fire(self, entry: Entry, time: datetime) -> None:
            if entry.name == "bad":
                raise OSError("broken")
            self.done.append(entry.name)

        def ended(self, entry: Entry) -> None:
            self.done.append(f"{entry.name} ended")

    database, clock, worker = Database(tmp_path / "account.db"), Clock(frozen=START), Worker()
    timetable = Timetable(database, clock)
    timetable.begin(worker)
    for name in ("bad", "good"):
        timetable.put(
            Entry(
                arn=name,
                scope=Scope("123456789012", "us-east-1"),
                dialect=Dialect.SCHEDULE,
                holder="default",
                name=name,
                expression="at(2026-11-24T13:00:00)",
                ends_with_last=True,
            )
        )
    clock.advance(hours=1)
    assert worker.done == ["good", "good ended"]
    assert "bad could not be fired" in caplog.text
    assert timetable.get("good") == Timetable(database, clock).get("good")
    clock.close()
    database.close()
