from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sm.errors import InputError
from mlops_sm.operations import runs
from mlops_sm.operations.clients import Clients
from mlops_sm.operations.logs import read_log
from mlops_sm.testing.aws import FakeAws

GROUP = "/aws/sagemaker/ProcessingJobs"


def execution(job_name: str = "pipelines-abc-a-1") -> runs.Execution:
    arn = f"arn:aws:sagemaker:us-east-1:1:processing-job/{job_name}"
    return runs.Execution(
        arn="arn:aws:sagemaker:us-east-1:1:pipeline/p/execution/abc",
        pipeline_name="p",
        status="Failed",
        started=None,
        ended=None,
        failure_reason=None,
        steps=(
            runs.StepState(name="A", status="Failed", metadata={"ProcessingJob": {"Arn": arn}}),
            runs.StepState(name="Gate", status="Succeeded", metadata={"Condition": {"Outcome": "True"}}),
        ),
    )


def read(aws: FakeAws, last: int | None = None, run: runs.Execution | None = None) -> list[str]:
    log = read_log(Clients(aws.client), run or execution(), "A", last=last)
    return [line.message for line in log.lines]


def test_whole_log_and_its_end() -> None:
    aws = FakeAws()
    aws.events[GROUP, "pipelines-abc-a-1/algo-1-5"] = [f"line {i}" for i in range(25_000)]
    aws.events[GROUP, "pipelines-abc-a-10/algo-1-5"] = ["another job"]
    assert read(aws) == [f"line {i}" for i in range(25_000)]
    assert read(aws, 2) == ["line 24998", "line 24999"]
    assert read(aws, 12_000) == [f"line {i}" for i in range(13_000, 25_000)]
    assert read(aws, 0) == []


def test_stream_that_spells_the_name_in_capitals() -> None:
    aws = FakeAws()
    aws.events[GROUP, "pipelines-abc-A-1/algo-1-5"] = ["here"]
    assert read(aws) == ["here"]


def test_each_host_has_a_stream() -> None:
    aws = FakeAws()
    for host in (2, 1):
        aws.events[GROUP, f"pipelines-abc-a-1/algo-{host}-5"] = [f"host {host}"]
    log = read_log(Clients(aws.client), execution(), "A")
    assert [(line.stream.rpartition("/")[2], line.message) for line in log.lines] == [
        ("algo-1-5", "host 1"),
        ("algo-2-5", "host 2"),
    ]
    assert len(log.streams) == 2


def test_no_log_yet() -> None:
    assert read(FakeAws()) == []


def test_step_without_a_job() -> None:
    with pytest.raises(InputError) as caught:
        read_log(Clients(FakeAws().client), execution(), "Gate")
    (problem,) = caught.value.problems
    assert (problem.code, problem.fix) == ("E112", "Steps with a log: A.")


def test_step_that_is_not_there() -> None:
    with pytest.raises(InputError) as caught:
        read_log(Clients(FakeAws().client), execution(), "B")
    assert caught.value.problems[0].code == "E111"


@given(total=st.integers(0, 60), last=st.integers(0, 80))
def test_the_end_is_the_end_of_the_whole(total: int, last: int) -> None:
    aws = FakeAws()
    aws.events[GROUP, "pipelines-abc-a-1/algo-1-5"] = [str(i) for i in range(total)]
    whole = [str(i) for i in range(total)]
    assert read(aws, last) == (whole[-last:] if last else [])
