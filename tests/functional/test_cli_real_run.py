"""The command as a process, against the local account, with definitions in files."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import begin, mlops, processing, write

SECONDS = f"1000.{os.getpid()}"
"""How long the long job sleeps; no other process on the machine sleeps exactly so long."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder without a project."""
    return tmp_path


def test_a_hand_written_definition_runs_and_is_remembered(folder: Path) -> None:
    name = write(
        folder, processing("First", "echo one; echo two"), processing("Second", "echo 'three' >&2", DependsOn=["First"])
    )
    run = json.loads(mlops(folder, "run", name, "--json").stdout)
    assert [(s["name"], s["status"]) for s in run["steps"]] == [("First", "Succeeded"), ("Second", "Succeeded")]

    (listed,) = json.loads(mlops(folder, "executions", "list", "--json").stdout)
    assert (listed["execution_id"], listed["pipeline_name"]) == (run["execution_id"], "pipe")
    assert mlops(folder, "logs", "latest", "First").stdout == "one\ntwo\n"
    assert mlops(folder, "logs", run["execution_id"], "Second", "-n", "1").stdout == "three\n"
    assert json.loads(mlops(folder, "executions", "show", "--json").stdout)["status"] == "Succeeded"

    again = json.loads(mlops(folder, "run", name, "--json").stdout)
    assert (run["published"], again["published"]) == ("created", "unchanged")


def test_a_job_that_fails(folder: Path) -> None:
    name = write(
        folder, processing("Bad", "seq 1 30; echo broken >&2; exit 3"), processing("Next", "true", DependsOn=["Bad"])
    )
    done = mlops(folder, "run", name, code=1)
    assert "Next  Processing  NotRun" in done.stdout
    assert re.search(r"step Bad failed: .*\b3\b", done.stderr)
    assert "  | broken\n" in done.stderr
    assert "  | 12\n" in done.stderr
    assert "  | 11\n" not in done.stderr
    whole = re.search(r"^whole log: (.+)$", done.stderr, re.MULTILINE)
    assert whole
    assert Path(whole[1]).read_text().splitlines()[0] == "1"
    assert f"run again: mlops-sm run {name}" in done.stderr


def test_a_step_that_cannot_run_here_starts_nothing(folder: Path) -> None:
    step = {**processing("Odd", "true")}
    step["Arguments"] = {
        **step["Arguments"],
        "AppSpecification": {"ImageUri": "1.dkr.ecr.us-east-1.amazonaws.com/mine:1"},
    }
    done = mlops(folder, "run", write(folder, processing("First", "true"), step), code=3)
    assert "error[E4" in done.stderr
    assert json.loads(mlops(folder, "executions", "list", "--json").stdout) == []


def test_binary_and_long_output(folder: Path) -> None:
    name = write(folder, processing("Loud", "head -c 10000000 /dev/zero | tr '\\0' '\\377'; echo; echo end"))
    mlops(folder, "run", name)
    assert mlops(folder, "logs", "latest", "Loud", "-n", "1").stdout == "end\n"


@pytest.fixture
def started(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A run in the middle of a long job."""
    name = write(
        folder,
        processing("Long", f"exec sleep {SECONDS}"),
        processing("Next", "true", DependsOn=["Long"]),
    )
    process = begin(folder, "run", name)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("Long: Executing"):
            break
    yield process
    process.kill()
    process.communicate()


def sleepers() -> list[int]:
    """Processes of the long job."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cmdline").read_bytes() == f"sleep\0{SECONDS}\0".encode():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing(
    folder: Path, started: subprocess.Popen[str], number: signal.Signals
) -> None:
    busy = mlops(folder, "executions", "list", code=3)
    assert "error[E540]" in busy.stderr
    assert sleepers()
    started.send_signal(number)
    out, err = started.communicate(timeout=60)
    assert started.returncode == 130, err
    assert re.search(r"^Long +Processing +Stopped", out, re.MULTILINE)
    assert ": Stopped" in out
    assert not sleepers()

    shown = json.loads(mlops(folder, "executions", "show", "latest", "--json").stdout)
    assert shown["status"] == "Stopped"
    (folder / "ok.json").write_text((folder / "pipe.json").read_text().replace(f"exec sleep {SECONDS}", "true"))
    mlops(folder, "run", "ok.json")


def test_a_killed_run_is_told_by_the_next_command(folder: Path, started: subprocess.Popen[str]) -> None:
    started.kill()
    started.communicate(timeout=60)
    shown = json.loads(mlops(folder, "executions", "show", "latest", "--json").stdout)
    assert shown["status"] == "Failed"
    assert "ended before" in shown["failure_reason"]
    assert not sleepers()


def test_a_second_interrupt_kills_a_job_that_will_not_end(folder: Path) -> None:
    name = write(folder, processing("Stubborn", "trap '' TERM; echo ready; while true; do sleep 1; done"))
    process = begin(folder, "run", name)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("Stubborn: Executing"):
            process.send_signal(signal.SIGINT)
        if "Stubborn: Stopping" in line:
            process.send_signal(signal.SIGINT)
            break
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "killing the jobs" in err
    assert json.loads(mlops(folder, "executions", "show", "--json").stdout)["status"] == "Stopped"


def test_state_by_variable(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    state = tmp_path_factory.mktemp("elsewhere")
    mlops(folder, "run", write(folder, processing("Only", "true")), MLOPS_SM_STATE=str(state))
    assert (state / "account.db").exists()
    assert not (folder / ".mlops_sm").exists()


def test_closed_stdout_is_no_traceback(folder: Path) -> None:
    process = begin(folder, "doctor")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    process.wait()
    process.stderr.close()


def test_a_step_whose_result_is_reused_says_so(folder: Path) -> None:
    name = write(folder, processing("Only", "echo worked", CacheConfig={"Enabled": True, "ExpireAfter": "P1D"}))
    first = mlops(folder, "run", name, "--json")
    again = mlops(folder, "run", name)
    identifier = json.loads(first.stdout)["execution_arn"].rpartition("/")[2]
    assert f"reused from {identifier}" in again.stdout
