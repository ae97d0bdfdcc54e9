from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlops_sm.errors import InputError
from mlops_sm.operations import runs
from mlops_sm.operations.clients import Clients
from mlops_sm.operations.refusals import AwsError
from mlops_sm.testing.aws import FakeAws, Frame

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PACE = runs.Pace(1.0, 4.0)


def step(name: str, status: str, *, seconds: int | None = None, **more: object) -> Mapping[str, Any]:
    ended = {} if seconds is None else {"EndTime": NOW + timedelta(seconds=seconds)}
    return {"StepName": name, "StepStatus": status, "StartTime": NOW, **ended, **more}


def account(*names: str) -> tuple[FakeAws, Clients]:
    aws = FakeAws()
    clients = Clients(aws.client)
    for name in names:
        clients.sagemaker.create_pipeline(PipelineName=name, RoleArn="r", PipelineDefinition="{}")
    return aws, clients


def test_start_sends_parameters_as_text() -> None:
    aws, clients = account("p")
    arn = runs.start(clients, "p", {"Rows": 3, "Min": 0.5, "Fast": True, "Name": "x"})
    assert aws.parameters_of(arn) == {"Rows": "3", "Min": "0.5", "Fast": "true", "Name": "x"}
    assert runs.pipeline_of(arn) == "p"


def test_follow_tells_each_change_once() -> None:
    aws, clients = account("p")
    aws.script(
        Frame("Executing", [step("A", "Executing")]),
        Frame("Executing", [step("A", "Executing")]),
        Frame("Executing", [step("A", "Succeeded", seconds=2), step("B", "Executing")]),
        Frame("Failed", [step("A", "Succeeded", seconds=2), step("B", "Failed", seconds=3)], "step B failed"),
    )
    arn = runs.start(clients, "p", {})
    pauses: list[float] = []
    events = list(runs.follow(clients, arn, pace=PACE, sleep=pauses.append))
    told = [
        (e.step.name, e.step.status) if isinstance(e, runs.StepChanged) else (e.status, e.failure_reason)
        for e in events
    ]
    assert told == [
        ("A", "Executing"),
        ("Executing", None),
        ("A", "Succeeded"),
        ("B", "Executing"),
        ("B", "Failed"),
        ("Failed", "step B failed"),
    ]
    assert pauses == [1.0, 1.5, 1.0]


def test_pauses_grow_to_the_longest() -> None:
    aws, clients = account("p")
    aws.script(*[Frame("Executing")] * 7, Frame("Succeeded"))
    pauses: list[float] = []
    list(runs.follow(clients, runs.start(clients, "p", {}), pace=PACE, sleep=pauses.append))
    assert pauses == [1.0, 1.5, 2.25, 3.375, 4.0, 4.0, 4.0]


def test_a_new_attempt_is_a_change() -> None:
    aws, clients = account("p")
    aws.script(
        Frame("Executing", [step("A", "Executing", AttemptCount=1)]),
        Frame("Succeeded", [step("A", "Executing", AttemptCount=2)]),
    )
    arn = runs.start(clients, "p", {})
    events = list(runs.follow(clients, arn, pace=PACE, sleep=lambda _: None))
    assert [e.step.attempts for e in events if isinstance(e, runs.StepChanged)] == [1, 2]


def test_passing_failures_are_waited_out() -> None:
    aws, clients = account("p")
    arn = runs.start(clients, "p", {})
    aws.refuse("describe_pipeline_execution", "ThrottlingException", times=3)
    pauses: list[float] = []
    events = list(runs.follow(clients, arn, pace=PACE, sleep=pauses.append))
    assert events == [runs.ExecutionChanged("Succeeded", None)]
    assert pauses == [4.0, 8.0, 12.0]


def test_failures_that_stay_end_following() -> None:
    aws, clients = account("p")
    arn = runs.start(clients, "p", {})
    aws.refuse("describe_pipeline_execution", "ThrottlingException")
    with pytest.raises(AwsError):
        list(runs.follow(clients, arn, pace=PACE, sleep=lambda _: None))


def test_a_denied_poll_ends_following_at_once() -> None:
    aws, clients = account("p")
    arn = runs.start(clients, "p", {})
    aws.refuse("list_pipeline_execution_steps", "AccessDeniedException", times=1)
    with pytest.raises(AwsError):
        list(runs.follow(clients, arn, pace=PACE, sleep=lambda _: None))


def test_show_reads_all_pages_of_steps() -> None:
    aws, clients = account("p")
    aws.script(Frame("Succeeded", [step(f"S{i}", "Succeeded", seconds=i) for i in range(250)]))
    execution = runs.show(clients, runs.start(clients, "p", {}))
    assert [s.name for s in execution.steps] == [f"S{i}" for i in range(250)]
    assert execution.succeeded
    assert execution.seconds == 30
    assert execution.step("S7").seconds == 7


def test_unknown_step_names_the_nearest() -> None:
    aws, clients = account("p")
    aws.script(Frame("Succeeded", [step("Train", "Succeeded", seconds=1)]))
    with pytest.raises(InputError) as caught:
        runs.show(clients, runs.start(clients, "p", {})).step("Trian")
    (problem,) = caught.value.problems
    assert problem.code == "E111"
    assert '"Train"' in problem.fix


def test_list_is_newest_first_over_all_pipelines() -> None:
    _, clients = account("a", "b", "other")
    order = [runs.start(clients, name, {}) for name in ("a", "b", "other", "a")]
    assert [s.arn for s in runs.list_executions(clients)] == order[::-1]
    assert [s.arn for s in runs.list_executions(clients, pipeline="a")] == [order[3], order[0]]
    assert [s.arn for s in runs.list_executions(clients, prefix="o")] == [order[2]]
    assert [s.arn for s in runs.list_executions(clients, limit=2)] == order[:1:-1]


def test_list_reads_all_pages() -> None:
    _, clients = account(*(f"p{i:03}" for i in range(101)))
    for _ in range(101):
        runs.start(clients, "p100", {})
    assert len(runs.list_executions(clients, limit=None)) == 101


def test_find_takes_arn_id_and_latest() -> None:
    _, clients = account("a")
    first, second = runs.start(clients, "a", {}), runs.start(clients, "a", {})
    assert runs.find(clients, first) == first
    assert runs.find(clients, first.rpartition("/")[2]) == first
    assert runs.find(clients, "latest") == second


@pytest.mark.parametrize("reference", ["latest", "exec0000000"])
def test_find_says_what_is_not_there(reference: str) -> None:
    _, clients = account("a")
    with pytest.raises(InputError) as caught:
        runs.find(clients, reference)
    assert caught.value.problems[0].code == "E110"


def test_stop_and_follow_to_the_end() -> None:
    aws, clients = account("p")
    aws.script(Frame("Executing", [step("A", "Executing")]))
    arn = runs.start(clients, "p", {})
    assert runs.stop(clients, arn)
    assert runs.stop(clients, arn)
    events = list(runs.follow(clients, arn, pace=PACE, sleep=lambda _: None))
    assert events[-1] == runs.ExecutionChanged("Stopped", None)
    assert not runs.stop(clients, arn)
    assert [call.operation for call in aws.writes].count("stop_pipeline_execution") == 1


def test_a_steps_job_and_result() -> None:
    aws, clients = account("p")
    job = "arn:aws:sagemaker:us-east-1:1:processing-job/pipelines-x-A-1"
    package = "arn:aws:sagemaker:us-east-1:1:model-package/churn/3"
    aws.script(
        Frame(
            "Failed",
            [
                step("A", "Succeeded", Metadata={"ProcessingJob": {"Arn": job}}),
                step("Gate", "Succeeded", Metadata={"Condition": {"Outcome": "True"}}),
                step("Register", "Succeeded", Metadata={"RegisterModel": {"Arn": package}}),
                step("B", "Failed", FailureReason="ClientError: no\nmore", Metadata={}),
            ],
        )
    )
    execution = runs.show(clients, runs.start(clients, "p", {}))
    a, gate, register, b = execution.steps
    assert a.job == runs.Job(kind="ProcessingJob", arn=job)
    assert a.job.name == "pipelines-x-A-1"
    assert gate.job is None
    assert [s.result for s in (a, gate, register, b)] == ["", "the condition is true", "churn/3", "ClientError: no"]
    assert execution.failed_steps() == (b,)


@pytest.mark.parametrize("member", ["CacheHitResult", "SelectiveExecutionResult"])
def test_a_step_that_took_over_a_result_says_from_where(member: str) -> None:
    aws, clients = account("p")
    source = {"SourcePipelineExecutionArn": "arn:aws:sagemaker:us-east-1:1:pipeline/p/execution/abc"}
    aws.script(
        Frame("Succeeded", [step("A", "Succeeded", seconds=0, **{member: source}), step("B", "Succeeded", seconds=1)])
    )
    shown = runs.show(clients, runs.start(clients, "p", {}))
    assert [found.result for found in shown.steps] == ["reused from abc", ""]
