from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlops_sm.errors import Problem
from mlops_sm.testing.aws import Frame

GROUP = "/aws/sagemaker/ProcessingJobs"


@pytest.fixture
def succeeding(world: Any) -> Any:
    for aws in (world.local, world.aws):
        aws.script(
            Frame("Executing", [world.ran("Prepare", "Executing")]),
            Frame("Succeeded", [world.ran("Prepare", "Succeeded", 2), world.ran("Train", "Succeeded", 3)]),
        )
    return world


@pytest.fixture
def failing(world: Any) -> Any:
    reason = "AlgorithmError: it broke, exit code: 3"
    steps = [world.ran("Prepare", "Failed", 2, FailureReason=reason)]
    world.local.script(Frame("Executing"), Frame("Failed", steps, "Step failure: One or multiple steps failed."))
    stream = "pipelines-exec00000001-Prepare-x/algo-1-5"
    world.local.events[GROUP, stream] = [f"line {i}" for i in range(30)]
    return world


def test_local_run(succeeding: Any) -> None:
    result = succeeding.run("run", "churn.build")
    assert result.code == 0
    assert result.out == (
        "step     kind        status     seconds  result\n"
        "Prepare  Processing  Succeeded  2.0\n"
        "Train    Processing  Succeeded  3.0\n"
        "\n"
        "churn-build execution exec00000001: Succeeded in 30.0 s\n"
    )
    assert result.err.splitlines() == [
        "warning: the module says something",
        "pipeline churn-build created, no asset uploaded",
        "execution exec00000001 started",
        "Prepare: Executing",
        "execution: Executing",
        "Prepare: Succeeded in 2.0 s",
        "Train: Succeeded in 3.0 s",
        "execution: Succeeded",
    ]
    assert succeeding.states == [succeeding.cwd / ".mlops_sm"]
    assert succeeding.closed == 1
    assert "churn-local-artifacts-123456789012-us-east-1" in succeeding.local.buckets


@pytest.mark.parametrize("arguments", [[], ["-p", "x"], ["--env", "nowhere"], ["--state", "here"]])
def test_warm_workers_are_closed_whatever_happens(succeeding: Any, arguments: list[str]) -> None:
    succeeding.run("run", "churn.build", *arguments)
    assert succeeding.warm is None or succeeding.warm.closed


def test_only_a_local_run_starts_warm_workers(succeeding: Any) -> None:
    succeeding.run("run", "churn.build", "--env", "dev")
    assert succeeding.warm is None
    succeeding.run("run", "churn.build")
    assert succeeding.warm.closed


def test_json_is_the_whole_stdout(succeeding: Any) -> None:
    result = succeeding.run("run", "churn.build", "--json")
    assert result.code == 0
    assert result.json["status"] == "Succeeded"
    assert result.json["published"] == "created"
    assert [(s["name"], s["kind"], s["seconds"]) for s in result.json["steps"]] == [
        ("Prepare", "Processing", 2.0),
        ("Train", "Processing", 3.0),
    ]


def test_only_given_parameters_are_sent_in_their_types(succeeding: Any) -> None:
    succeeding.run("run", "churn.build")
    succeeding.run("run", "churn.build", "-p", "MinAuc=1")
    starts = [c.request for c in succeeding.local.calls if c.operation == "start_pipeline_execution"]
    assert starts == [
        {"PipelineName": "churn-build"},
        {"PipelineName": "churn-build", "PipelineParameters": [{"Name": "MinAuc", "Value": "1.0"}]},
    ]


@pytest.mark.parametrize(
    ("arguments", "codes", "says"),
    [
        (["-p", "MinAcu=1"], ["E215"], 'Did you mean "MinAuc"?'),
        (["-p", "MinAuc=high"], ["E216"], "MinAuc"),
        (["-p", "MinAuc"], ["E120"], "-p NAME=VALUE"),
        (["-p", "=1"], ["E120"], "-p NAME=VALUE"),
        (["-p", "MinAuc=1", "-p", "MinAuc=2", "-p", "x"], ["E121", "E120"], "twice"),
        (["--env", "dve"], ["E106"], 'Did you mean "dev"?'),
        (["--detach"], ["E125"], "mlops-sm local up"),
        (["--env", "prod"], ["E124"], "Add --yes"),
        (["--evn", "dev"], ["E100"], "--env"),
    ],
)
def test_wrong_input_starts_nothing(world: Any, arguments: list[str], codes: list[str], says: str) -> None:
    result = world.run("run", "churn.build", *arguments, "--json")
    assert result.code == 2
    assert [p["code"] for p in result.json["problems"]] == codes
    assert says in result.err
    assert world.local.writes == world.aws.writes == []
    assert world.closed == len(world.states)


def test_unknown_pipeline(world: Any) -> None:
    result = world.run("run", "churn.biuld")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error[E301]")


def test_failure_says_why_and_how_to_go_on(failing: Any) -> None:
    result = failing.run("run", "churn.build", "-p", "MinAuc=0.9", "--state", "here")
    assert result.code == 1
    assert "Train    Processing  NotRun" in result.out
    assert "reason: Step failure: One or multiple steps failed." in result.out
    assert "step Prepare failed: AlgorithmError: it broke, exit code: 3" in result.err
    assert "  | line 10\n" in result.err
    assert "  | line 29\n" in result.err
    assert "  | line 9\n" not in result.err
    assert f"whole log: {failing.cwd}/here/jobs/pipelines-exec00000001-Prepare-x/log" in result.err
    assert "mlops-sm logs exec00000001 Prepare --state here" in result.err
    assert "run again: mlops-sm run churn.build -p MinAuc=0.9 --state here" in result.err
    assert failing.states == [failing.cwd / "here"]


def test_failure_without_a_job_gives_the_reason(world: Any) -> None:
    fail = {"StepName": "Prepare", "StepStatus": "Failed", "FailureReason": "MinAuc was not met", "Metadata": {}}
    world.local.script(Frame("Failed", [fail], "MinAuc was not met"))
    result = world.run("run", "churn.build")
    assert result.code == 1
    assert "reason: MinAuc was not met" in result.out
    assert "whole log" not in result.err


def test_log_that_cannot_be_read_hides_nothing(failing: Any) -> None:
    failing.local.refuse("describe_log_streams", "AccessDeniedException", "no")
    result = failing.run("run", "churn.build")
    assert result.code == 1
    assert "its log cannot be read: AWS denied logs:DescribeLogStreams" in result.err
    assert "run again: " in result.err


def test_state_variable(succeeding: Any, tmp_path: Path) -> None:
    succeeding.variables["MLOPS_SM_STATE"] = str(tmp_path / "elsewhere")
    succeeding.run("run", "churn.build")
    succeeding.run("run", "churn.build", "--state", str(tmp_path / "option"))
    assert succeeding.states == [tmp_path / "elsewhere", tmp_path / "option"]


def test_differences_are_told_and_stop_nothing(succeeding: Any) -> None:
    succeeding.different.append(Problem("W401", "Prepare", "the instance type has no effect here", "Nothing to do."))
    result = succeeding.run("run", "churn.build", "--json")
    assert result.code == 0
    assert "warning[W401]: the instance type has no effect here\n" in result.err
    assert "Nothing to do." not in result.err
    assert [w["code"] for w in result.json["warnings"]] == ["W401"]
    assert result.json["compile_warnings"] == ["the module says something"]


def test_what_cannot_run_here_is_refused_before_anything_is_written(world: Any) -> None:
    world.different.append(Problem("E402", "Prepare", "the image stands for nothing here", "Map it."))
    result = world.run("run", "churn.build")
    assert result.code == 3
    assert "error[E402]" in result.err
    assert world.local.writes == []
    assert world.closed == 1


def test_aws_run_makes_no_bucket_and_no_role(succeeding: Any) -> None:
    result = succeeding.run("run", "churn.build", "--env", "dev")
    assert result.code == 0
    assert [c.operation for c in succeeding.aws.writes] == ["create_pipeline", "start_pipeline_execution"]
    assert succeeding.states == []


def test_detached_run_prints_the_arn(succeeding: Any) -> None:
    result = succeeding.run("run", "churn.build", "--env", "dev", "--detach")
    assert result.code == 0
    assert result.out == "arn:aws:sagemaker:us-east-1:111111111111:pipeline/churn-build/execution/exec00000001\n"
    assert "mlops-sm executions show exec00000001 --env dev" in result.err
    assert not [c for c in succeeding.aws.calls if c.operation == "describe_pipeline_execution"]


def test_detached_run_needs_a_server_here(succeeding: Any) -> None:
    succeeding.served = True
    result = succeeding.run("run", "churn.build", "--detach", "--state", "here")
    assert result.code == 0
    assert result.out == "arn:aws:sagemaker:us-east-1:123456789012:pipeline/churn-build/execution/exec00000001\n"
    assert "follow it: mlops-sm executions show exec00000001 --state here\n" in result.err
    assert not [c for c in succeeding.local.calls if c.operation == "describe_pipeline_execution"]


def test_protected_environment_runs_with_yes(succeeding: Any) -> None:
    assert succeeding.run("run", "churn.build", "--env", "prod", "--yes").code == 0


def test_aws_refusal(world: Any) -> None:
    message = "User: x is not authorized to perform: sagemaker:CreatePipeline on resource: y"
    world.aws.refuse("create_pipeline", "AccessDeniedException", message)
    result = world.run("run", "churn.build", "--env", "dev", "--json")
    assert result.code == 3
    assert result.json["problems"][0]["code"] == "E522"
    assert "Traceback" not in result.err


def test_definition_in_a_file_needs_no_project(bare: Any) -> None:
    bare.write("My Model.json", bare.processing("Only"))
    bare.local.script(Frame("Succeeded", [bare.ran("Only", "Succeeded", 1)]))
    result = bare.run("run", "My Model.json")
    assert (result.code, result.err.splitlines()[0]) == (0, "pipeline my-model created, no asset uploaded")
    assert bare.states == [bare.cwd / ".mlops_sm"]


def test_every_problem_of_a_file_is_told(bare: Any) -> None:
    bare.write("broken.json", bare.processing("A", DependsOn=["B"]), bare.processing("A"))
    result = bare.run("run", "broken.json")
    assert result.code == 2
    assert result.err.count("error[") == 2
    assert bare.local.calls == []


@pytest.mark.parametrize(("name", "says"), [("modle.json", 'Did you mean "model.json"?'), ("a/b.json", "FILE.json")])
def test_missing_file(bare: Any, name: str, says: str) -> None:
    bare.write("model.json", bare.processing("Only"))
    result = bare.run("run", name)
    assert result.code == 2
    assert "error[E122]" in result.err
    assert says in result.err


def test_file_without_a_name(bare: Any) -> None:
    bare.write("___.json", bare.processing("Only"))
    assert bare.run("run", "___.json").code == 2


def test_pipeline_without_a_project(bare: Any) -> None:
    result = bare.run("run", "churn.build")
    assert result.code == 2
    assert "error[E101]" in result.err


class Interrupts:
    """Ctrl-C at the given calls of sleep, counted from 1."""

    def __init__(self, *at: int) -> None:
        self.at = at
        self.calls = 0

    def __call__(self, _seconds: float) -> None:
        self.calls += 1
        if self.calls in self.at:
            raise KeyboardInterrupt


def test_ctrl_c_stops_and_waits(world: Any) -> None:
    world.local.script(Frame("Executing", [world.ran("Prepare", "Executing")]))
    world.sleep = Interrupts(3)
    result = world.run("run", "churn.build")
    assert result.code == 130
    assert "Prepare  Processing  Stopped" in result.out
    assert "churn-build execution exec00000001: Stopped" in result.out
    assert "execution: Stopping" in result.err
    assert "run again: mlops-sm run churn.build" in result.err
    assert (world.killed, world.closed) == (0, 1)


def test_second_ctrl_c_kills(world: Any) -> None:
    world.local.script(Frame("Executing", [world.ran("Prepare", "Executing")]))
    world.sleep = Interrupts(2, 3)
    result = world.run("run", "churn.build")
    assert result.code == 130
    assert "killing the jobs" in result.err
    assert (world.killed, world.closed) == (1, 1)


def test_second_ctrl_c_leaves_the_jobs_of_a_server_alone(world: Any) -> None:
    world.served = True
    world.local.script(Frame("Executing", [world.ran("Prepare", "Executing")]))
    world.sleep = Interrupts(2, 3)
    result = world.run("run", "churn.build")
    assert result.code == 130
    assert "Ctrl-C again does not wait for them" in result.err
    assert "killing" not in result.err
    assert [c.operation for c in world.local.writes][-1] == "stop_pipeline_execution"


def test_live_table_on_a_terminal(succeeding: Any) -> None:
    succeeding.tty = True
    result = succeeding.run("run", "churn.build")
    assert result.code == 0
    assert "Prepare" in result.err
    assert "\x1b[" in result.err
    assert "Prepare: Executing" not in result.err


@pytest.mark.parametrize(("name", "value"), [("TERM", "dumb"), ("NO_COLOR", "1")])
def test_no_colour(world: Any, name: str, value: str) -> None:
    world.tty = True
    world.variables[name] = value
    result = world.run("run", "nothing.here")
    assert result.err.startswith("error[E301]")


def test_colour_on_a_terminal(world: Any) -> None:
    world.tty = True
    assert world.run("run", "nothing.here").err.startswith("\x1b[")
