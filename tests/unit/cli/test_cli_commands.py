from __future__ import annotations

import errno
import fcntl
import importlib
import json
from pathlib import Path
from typing import Any

import click
import pytest

from mlops_sm.cli import options
from mlops_sm.cli.main import COMMANDS, cli
from mlops_sm.errors import Problem, RefusedError
from mlops_sm.project import LOCAL
from mlops_sm.testing.aws import Frame

GROUP = "/aws/sagemaker/ProcessingJobs"


def walk(command: click.Command, path: str = "") -> list[tuple[str, click.Command]]:
    found = [(path, command)]
    if isinstance(command, click.Group) and command is not cli:
        for name, child in command.commands.items():
            found += walk(child, f"{path} {name}")
    return found


ALL = [
    pair
    for name, (module, _) in COMMANDS.items()
    for pair in walk(importlib.import_module(f"mlops_sm.cli.{module}").command, name)
]


@pytest.mark.parametrize(("path", "command"), ALL, ids=[path for path, _ in ALL])
def test_every_command_has_help_json_and_an_example(path: str, command: click.Command) -> None:
    assert command.help
    if not isinstance(command, click.Group):
        assert f"Example: mlops-sm {path}" in command.help
        assert "--json" in [option for parameter in command.params for option in parameter.opts]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_page_says_what_the_commands_say(name: str) -> None:
    module, line = COMMANDS[name]
    command = importlib.import_module(f"mlops_sm.cli.{module}").command
    assert command.name == name
    assert command.get_short_help_str(200) == line


def test_help(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.run("--help").code == 0
    page = capsys.readouterr().out
    assert all(name in page and line in page for name, (_, line) in COMMANDS.items())


def test_version(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.run("--version").code == 0
    assert capsys.readouterr().out == "mlops-sm 0.1.0\n"


def test_unknown_command_names_the_nearest(world: Any) -> None:
    result = world.run("excutions")
    assert result.code == 2
    assert 'Did you mean "executions"?' in result.err


def test_the_default_environment_is_the_local_one() -> None:
    assert options.LOCAL == LOCAL


# ---------------------------------------------------------------- exit codes


def test_a_bug_is_70_with_its_traceback(world: Any) -> None:
    def broken(*_: object) -> Any:
        raise AssertionError("never")

    world.compile = broken
    result = world.run("compile", "churn.build", "--json")
    assert result.code == 70
    assert "Traceback" in result.err
    assert "Please report it" in result.err
    assert result.json == {"exit_code": 70, "problems": []}


@pytest.mark.parametrize(
    ("number", "code", "problem"), [(errno.ENOSPC, 3, "E131"), (errno.EACCES, 3, "E132"), (errno.EBADF, 70, None)]
)
def test_what_the_machine_refuses(world: Any, number: int, code: int, problem: str | None) -> None:
    def refused(*_: object) -> Any:
        raise OSError(number, "no", "/some/file")

    world.compile = refused
    result = world.run("compile", "churn.build")
    assert result.code == code
    assert "/some/file" in result.err
    assert problem is None or f"error[{problem}]" in result.err


def test_ctrl_c_anywhere_is_130(world: Any) -> None:
    def interrupted(*_: object) -> Any:
        raise KeyboardInterrupt

    world.compile = interrupted
    result = world.run("compile", "churn.build")
    assert (result.code, result.out) == (130, "")
    assert "Traceback" not in result.err


def test_refused_is_3(world: Any) -> None:
    def refused(*_: object) -> Any:
        raise RefusedError(Problem("E541", "state", "in use", "Wait."))

    world.open_local = refused
    result = world.run("executions", "list")
    assert result.code == 3
    assert result.err == "error[E541]: in use\n  where: state\n  fix:   Wait.\n"


# ---------------------------------------------------------------- compile and check


def test_compile_prints_exactly_the_definition(world: Any) -> None:
    result = world.run("compile", "churn.build")
    assert result.code == 0
    assert result.out.startswith('{"Metadata":{}')
    assert result.out.endswith("}")
    assert json.loads(result.out) == world.definitions["churn.build"]
    assert "warning: the module says something" in result.err


def test_compile_into_a_file(world: Any) -> None:
    printed = world.run("compile", "churn.build").out
    result = world.run("compile", "churn.build", "-o", "build.json")
    assert (result.code, result.out) == (0, "")
    assert (world.cwd / "build.json").read_text() == printed


def test_compile_into_a_folder_that_is_not_there(world: Any) -> None:
    result = world.run("compile", "churn.build", "-o", "nowhere/build.json")
    assert result.code == 2
    assert "error[E127]" in result.err


def test_compile_as_json(world: Any) -> None:
    result = world.run("compile", "churn.build", "--env", "dev", "--json").json
    assert result["definition"] == world.definitions["churn.build"]
    assert (result["environment"], result["from_cache"], result["assets"]) == ("dev", True, [])


def test_compile_of_a_file(world: Any) -> None:
    result = world.run("compile", "x.json")
    assert result.code == 2
    assert "error[E123]" in result.err


def test_check_of_a_clean_pipeline(world: Any) -> None:
    result = world.run("check", "churn.build")
    assert (result.code, result.out) == (0, "churn.build: nothing wrong in 2 step(s)\n")


def test_check_tells_everything_and_exits_2(world: Any) -> None:
    world.write("broken.json", world.processing("A", DependsOn=["B"]), world.processing("A"))
    result = world.run("check", "broken.json")
    assert result.code == 2
    assert result.out.count("error[") == 2
    assert "broken.json: 2 error(s), 0 warning(s)" in result.out
    as_json = world.run("check", "broken.json", "--json").json
    assert (as_json["ok"], len(as_json["problems"])) == (False, 2)


@pytest.mark.parametrize("content", [b"", b"no json", b"\xff\xfe", b"[]"])
def test_check_of_what_is_no_definition(bare: Any, content: bytes) -> None:
    (bare.cwd / "x.json").write_bytes(content)
    result = bare.run("check", "x.json")
    assert result.code == 2
    assert result.out.startswith("error[E2")


def test_check_of_a_folder_and_of_what_cannot_be_read(bare: Any) -> None:
    (bare.cwd / "x.json").mkdir()
    assert "error[E122]" in bare.run("check", "x.json").err


# ---------------------------------------------------------------- executions, logs, models


@pytest.fixture
def used(world: Any) -> Any:
    """A world with one finished and one running execution, and two models."""
    world.local.script(Frame("Succeeded", [world.ran("Prepare", "Succeeded", 2)]))
    world.run("run", "churn.build")
    steps = [world.ran("Prepare", "Executing")]
    world.local.script(Frame("Executing", steps))
    client = world.local.client("sagemaker")
    client.start_pipeline_execution(PipelineName="churn-build")
    world.local.events[GROUP, "pipelines-exec00000001-Prepare-x/algo-1-5"] = ["one", "two", "three"]
    world.local.objects["reports", "evaluation.json"] = (
        b'{"m_metrics": {"auc": {"value": 0.75}, "n": 3}, "a": {"b": 1}}'
    )
    quality = {"ModelQuality": {"Statistics": {"S3Uri": "s3://reports/evaluation.json"}}}
    world.local.add_package("churn-model", ModelMetrics=quality, ModelPackageDescription="the first")
    world.local.add_package("churn-model")
    world.states.clear()
    return world


def test_executions_list(used: Any) -> None:
    result = used.run("executions", "list")
    rows = [line.split() for line in result.out.splitlines()]
    assert rows[0][:3] == ["execution", "pipeline", "status"]
    assert [row[:3] for row in rows[1:]] == [
        ["exec00000002", "churn-build", "Executing"],
        ["exec00000001", "churn-build", "Succeeded"],
    ]
    assert len(used.run("executions", "list", "churn.build", "-n", "1", "--json").json) == 1


def test_executions_list_of_a_pipeline_that_is_not_there(used: Any) -> None:
    result = used.run("executions", "list", "churn-biuld")
    assert result.code == 2
    assert 'Did you mean "churn-build"?' in result.err


def test_executions_show(used: Any) -> None:
    result = used.run("executions", "show", "exec00000001")
    assert "Prepare  Succeeded  2.0" in result.out
    assert used.run("executions", "show", "--json").json["execution_id"] == "exec00000002"
    assert used.run("executions", "show", "exec9").code == 2


def test_executions_stop(used: Any) -> None:
    result = used.run("executions", "stop", "latest")
    assert result.code == 0
    assert "churn-build execution exec00000002: Stopped" in result.out
    assert "already ended" in used.run("executions", "stop", "latest").err


def test_executions_retry(used: Any) -> None:
    used.local.script(Frame("Failed", [used.ran("Prepare", "Failed", 1, FailureReason="no")], "a step failed"))
    used.run("run", "churn.build")
    used.local.script(
        Frame("Executing", [used.ran("Prepare", "Executing")]),
        Frame("Succeeded", [used.ran("Prepare", "Succeeded", 2)]),
    )
    result = used.run("executions", "retry")
    assert result.code == 0
    assert "execution exec00000003 retried\n" in result.err
    assert "Prepare: Succeeded in 2.0 s" in result.err
    assert "churn-build execution exec00000003: Succeeded" in result.out
    again = used.run("executions", "retry", "exec00000003")
    assert (again.code, used.closed) == (3, 4)


def test_executions_retry_that_fails_again(used: Any) -> None:
    failed = Frame("Failed", [used.ran("Prepare", "Failed", 1, FailureReason="no")], "a step failed")
    used.local.script(failed)
    used.run("run", "churn.build")
    result = used.run("executions", "retry", "latest", "--state", "here")
    assert result.code == 1
    assert "step Prepare failed: no" in result.err
    assert "run again: mlops-sm executions retry exec00000003 --state here" in result.err


def test_executions_retry_detached(used: Any) -> None:
    used.local.script(Frame("Failed"))
    used.run("run", "churn.build")
    assert "error[E125]" in used.run("executions", "retry", "--detach").err
    used.served = True
    result = used.run("executions", "retry", "--detach", "--json")
    assert (result.code, result.json["status"]) == (0, "Executing")
    assert used.run("executions", "retry", "--env", "prod").code == 2


def test_executions_of_an_aws_account_are_those_of_the_project(used: Any) -> None:
    client = used.aws.client("sagemaker")
    for name in ("churn-build", "somebody-elses"):
        client.create_pipeline(PipelineName=name, RoleArn="r", PipelineDefinition="{}")
        client.start_pipeline_execution(PipelineName=name)
    listed = used.run("executions", "list", "--env", "dev", "--json").json
    assert [e["pipeline_name"] for e in listed] == ["churn-build"]
    assert used.states == []


def test_logs(used: Any) -> None:
    result = used.run("logs", "exec00000001", "Prepare", "-n", "2")
    assert (result.code, result.out) == (0, "two\nthree\n")
    assert "whole log: " in result.err
    as_json = used.run("logs", "exec00000001", "Prepare", "--json").json
    assert [line["message"] for line in as_json["lines"]] == ["one", "two", "three"]


def test_logs_of_several_hosts_name_them(used: Any) -> None:
    used.local.events[GROUP, "pipelines-exec00000001-Prepare-x/algo-2-5"] = ["other"]
    assert "algo-2-5  other\n" in used.run("logs", "exec00000001", "Prepare").out


def test_logs_that_are_not_there(used: Any) -> None:
    assert used.run("logs", "exec00000001", "Prepared").code == 2
    used.local.events.clear()
    result = used.run("logs", "exec00000001", "Prepare")
    assert (result.code, result.out) == (0, "")
    assert "the log is empty" in result.err


def test_models_list(used: Any) -> None:
    result = used.run("models", "list")
    assert [line.split()[:2] for line in result.out.splitlines()[1:]] == [
        ["churn-model/2", "PendingManualApproval"],
        ["churn-model/1", "PendingManualApproval"],
    ]
    assert "auc=0.75 n=3" in result.out
    assert [m["version"] for m in used.run("models", "list", "churn-model", "--json").json] == [2, 1]


def test_models_show(used: Any) -> None:
    result = used.run("models", "show", "churn-model/1")
    assert "description  the first" in result.out
    assert "auc     0.75" in result.out
    assert "a.b     1" in result.out
    assert used.run("models", "show", "--json").json["version"] == 2
    assert used.run("models", "show", "churn-model/3").code == 2


def test_empty_account_without_a_project(bare: Any) -> None:
    assert bare.run("executions", "list", "--json").json == []
    assert bare.run("models", "list", "--json").json == []
    result = bare.run("executions", "show")
    assert result.code == 2
    assert "there is no execution yet" in result.err


# ---------------------------------------------------------------- doctor


def test_doctor_names_project_and_environments(world: Any) -> None:
    result = world.run("doctor", "--json")
    facts = {fact["name"]: fact for fact in result.json["facts"]}
    assert facts["project"]["detail"] == f"churn at {world.cwd}"
    assert "111111111111" in facts["environment dev"]["detail"]
    assert facts["state"]["ok"]
    assert not (world.cwd / ".mlops_sm").exists()
    assert facts["extra [xgboost]"]["detail"].startswith("xgboost")
    assert not facts["extra [xgboost]"]["needed_for_local_runs"]
    assert result.code == (0 if result.json["local_runs_possible"] else 3)


def test_doctor_without_a_project(bare: Any) -> None:
    result = bare.run("doctor")
    assert "none around this folder" in result.out
    assert "fix: Only definitions in files can run here." in result.out


def test_doctor_with_wrong_settings(world: Any) -> None:
    (world.cwd / "pyproject.toml").write_text('[tool.mlops_sm]\nname = "churn"\nenv = 1\n')
    result = world.run("doctor")
    assert result.code == 3
    assert 'unknown setting "env"' in result.out


def test_doctor_when_the_state_is_a_file(world: Any, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    result = world.run("doctor", "--state", "taken/state")
    assert result.code == 3
    assert "pipelines cannot run here yet" in result.out


def test_doctor_when_the_state_is_in_use(world: Any, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    with (state / "lock").open("w") as lock:
        lock.write("4711 mlops-sm run")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = world.run("doctor", "--state", "state")
    assert result.code == 3
    assert "in use by 4711 mlops-sm run" in result.out


def test_doctor_when_a_server_runs(world: Any, fake_server: Any) -> None:
    server = fake_server(world.cwd / "state")
    result = world.run("doctor", "--state", "state", "--json")
    facts = {fact["name"]: fact for fact in result.json["facts"]}
    assert facts["state"]["ok"]
    assert server.url in facts["state"]["detail"]
