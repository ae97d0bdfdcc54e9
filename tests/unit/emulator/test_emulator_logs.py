"""CloudWatch Logs' reads of job logs. Semantics of tokens and orders: API reference of GetLogEvents and others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_sm.emulator.database import Database
from mlops_sm.emulator.logs import GROUPS, JobLogs, Logs
from mlops_sm.emulator.store import Entity, Kind, Scope, Store

PROCESSING = "/aws/sagemaker/ProcessingJobs"
TRAINING = "/aws/sagemaker/TrainingJobs"


@pytest.fixture
def logs(account: Any) -> Any:
    return account.client("logs")


def ran(account: Any, name: str, script: str) -> str:
    """Run a processing job to its end; its stream."""
    account.sagemaker.create_processing_job(**account.processing_request(name, script))
    account.processing_end(name)
    (stream,) = account.client("logs").describe_log_streams(logGroupName=PROCESSING, logStreamNamePrefix=f"{name}/")[
        "logStreams"
    ]
    found: str = stream["logStreamName"]
    return found


def messages(events: list[dict[str, Any]]) -> list[str]:
    return [event["message"] for event in events]


def test_a_stream_is_named_after_its_job_and_holds_what_it_wrote(account: Any, logs: Any) -> None:
    stream = ran(account, "job", "import sys\nprint('out')\nprint('err', file=sys.stderr)\nprint('unfinished', end='')")
    described = account.sagemaker.describe_processing_job(ProcessingJobName="job")
    assert stream == f"job/algo-1-{round(described['CreationTime'].timestamp() * 1000)}"
    events = logs.get_log_events(logGroupName=PROCESSING, logStreamName=stream, startFromHead=True)["events"]
    assert sorted(messages(events)) == ["err", "out", "unfinished"]
    started = round(described["ProcessingStartTime"].timestamp() * 1000)
    assert {event["timestamp"] for event in events} == {started}


def test_a_reader_sees_each_line_once_while_the_job_runs(account: Any, logs: Any) -> None:
    go = account.local.state.parent / "go"
    script = f"""
import pathlib, time
print("one", flush=True)
print("half", end="", flush=True)
while not pathlib.Path("{go}").exists():
    time.sleep(0.01)
print(" a line", flush=True)
"""
    account.sagemaker.create_training_job(**account.training_request("job", script))

    def streams() -> Any:
        return logs.describe_log_streams(logGroupName=TRAINING, logStreamNamePrefix="job")["logStreams"]

    account.until(lambda: bool(streams()), "a stream")
    where = {"logGroupName": TRAINING, "logStreamName": streams()[0]["logStreamName"], "startFromHead": True}
    seen: list[str] = []
    token: dict[str, str] = {}

    def read() -> None:
        answer = logs.get_log_events(**where, **token)
        seen.extend(messages(answer["events"]))
        token["nextToken"] = answer["nextForwardToken"]

    def has_seen(*lines: str) -> bool:
        read()
        return seen == list(lines)

    account.until(lambda: has_seen("one"), "the first line")
    read()
    assert seen == ["one"]
    go.touch()
    account.training_end("job")
    read()
    assert seen == ["one", "half a line"]
    before = token["nextToken"]
    read()
    assert (seen, token["nextToken"]) == (["one", "half a line"], before)


def test_the_newest_lines_come_first_when_nothing_else_is_asked(account: Any, logs: Any) -> None:
    stream = ran(account, "job", "for n in range(5): print(n)")
    where = {"logGroupName": PROCESSING, "logStreamName": stream, "limit": 2}
    answer = logs.get_log_events(**where)
    assert messages(answer["events"]) == ["3", "4"]
    earlier = logs.get_log_events(**where, nextToken=answer["nextBackwardToken"])
    assert messages(earlier["events"]) == ["1", "2"]
    first = logs.get_log_events(**where, nextToken=earlier["nextBackwardToken"])
    assert messages(first["events"]) == ["0"]
    assert messages(logs.get_log_events(**where, nextToken=first["nextForwardToken"])["events"]) == ["1", "2"]


@given(lines=st.lists(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=12), max_size=30))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_reading_forwards_and_backwards_gives_the_file(lines: list[str], account: Any, logs: Any) -> None:
    job = "written"
    if account.sagemaker.list_processing_jobs()["ProcessingJobSummaries"] == []:
        ran(account, job, "print()")
    log: Path = account.local.state / "jobs" / job / "log"
    log.write_text("".join(f"{line}\n" for line in lines))
    stream = logs.describe_log_streams(logGroupName=PROCESSING)["logStreams"][0]["logStreamName"]
    where = {"logGroupName": PROCESSING, "logStreamName": stream, "limit": 3}
    forwards: list[str] = []
    answer = logs.get_log_events(**where, startFromHead=True)
    while answer["events"]:
        forwards += messages(answer["events"])
        answer = logs.get_log_events(**where, nextToken=answer["nextForwardToken"])
    backwards: list[str] = []
    answer = logs.get_log_events(**where)
    while answer["events"]:
        backwards = messages(answer["events"]) + backwards
        answer = logs.get_log_events(**where, nextToken=answer["nextBackwardToken"])
    assert forwards == backwards == lines


def test_a_long_log_comes_in_pages_of_a_megabyte(account: Any, logs: Any) -> None:
    stream = ran(account, "job", "for n in range(30): print(str(n).ljust(100_000, '.'))")
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=PROCESSING, logStreamNames=[stream])
    read = [[event["message"].rstrip(".") for event in page["events"]] for page in pages]
    assert len(read) >= 3
    assert [line for page in read for line in page] == [str(number) for number in range(30)]


def test_binary_output_is_readable(account: Any, logs: Any) -> None:
    stream = ran(account, "job", "import sys\nsys.stdout.buffer.write(b'\\xff\\x00ok\\n')")
    events = logs.get_log_events(logGroupName=PROCESSING, logStreamName=stream)["events"]
    assert messages(events)[0].endswith("ok")


def test_lines_are_found_by_their_words(account: Any, logs: Any) -> None:
    first = ran(account, "a", "print('train ERROR one')\nprint('fine')")
    second = ran(account, "b", "print('ERROR two in train')")
    found = logs.filter_log_events(logGroupName=PROCESSING, filterPattern="ERROR train")["events"]
    assert [(e["logStreamName"], e["message"]) for e in found] == [
        (first, "train ERROR one"),
        (second, "ERROR two in train"),
    ]
    quoted = logs.filter_log_events(logGroupName=PROCESSING, filterPattern='"train ERROR"')["events"]
    assert messages(quoted) == ["train ERROR one"]
    only = logs.filter_log_events(logGroupName=PROCESSING, logStreamNamePrefix="b")["events"]
    assert messages(only) == ["ERROR two in train"]
    future = {"startTime": found[0]["timestamp"] + 10**9}
    assert logs.filter_log_events(logGroupName=PROCESSING, **future)["events"] == []
    with pytest.raises(ClientError, match=r"InvalidParameterException.*plain and quoted terms"):
        logs.filter_log_events(logGroupName=PROCESSING, filterPattern="{ $.level = 3 }")


def test_streams_are_listed_in_order_and_pages(account: Any, logs: Any) -> None:
    streams = [ran(account, name, "print()") for name in ("b", "a")]

    def names(**request: Any) -> list[str]:
        pages = logs.get_paginator("describe_log_streams").paginate(logGroupName=PROCESSING, **request)
        return [stream["logStreamName"] for page in pages for stream in page["logStreams"]]

    assert names() == sorted(streams)
    assert names(orderBy="LastEventTime", descending=True, limit=1) == streams[::-1]
    with pytest.raises(ClientError, match="Cannot order by LastEventTime"):
        logs.describe_log_streams(logGroupName=PROCESSING, logStreamNamePrefix="a", orderBy="LastEventTime")


def test_a_stream_that_does_not_exist(account: Any, logs: Any) -> None:
    ran(account, "job", "print()")
    for stream in ("nobody/algo-1-1", "job/algo-2-1"):
        with pytest.raises(logs.exceptions.ResourceNotFoundException, match="log stream does not exist"):
            logs.get_log_events(logGroupName=PROCESSING, logStreamName=stream)
    assert logs.describe_log_streams(logGroupName=TRAINING)["logStreams"] == []


def test_other_groups_are_as_in_moto(account: Any, logs: Any) -> None:
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.get_log_events(logGroupName="/mine", logStreamName="s")
    logs.create_log_group(logGroupName="/mine")
    logs.create_log_stream(logGroupName="/mine", logStreamName="s")
    assert logs.describe_log_streams(logGroupName="/mine")["logStreams"][0]["logStreamName"] == "s"


@pytest.mark.parametrize("kind", list(GROUPS.values()), ids=lambda kind: kind.name)
def test_what_a_job_wrote_has_the_time_of_its_start(tmp_path: Path, kind: Kind) -> None:
    database = Database(tmp_path / "account.db")
    store, scope = Store(database), Scope("111111111111", "eu-west-1")
    # TrainingStartTime and so on, as the Describe responses have it.
    member = f"{kind.name.split('_')[0].title()}StartTime"
    job = Entity(scope=scope, kind=kind, name="job", arn="arn", created=1000.0, modified=3000.0, body={member: 2000.0})
    assert store.add(job)
    (tmp_path / "log").write_text("line\n")
    logs = Logs([JobLogs(store, lambda _: tmp_path / "log")])
    group = next(group for group, of in GROUPS.items() if of is kind)
    (stream,) = logs.describe_streams(scope, {"logGroupName": group})["logStreams"]
    assert stream["arn"] == f"arn:aws:logs:eu-west-1:111111111111:log-group:{group}:log-stream:job/algo-1-1000000"
    read = logs.get_events(scope, {"logGroupName": group, "logStreamName": stream["logStreamName"]})
    assert [event["timestamp"] for event in read["events"]] == [2_000_000] == [stream["firstEventTimestamp"]]
    database.close()
