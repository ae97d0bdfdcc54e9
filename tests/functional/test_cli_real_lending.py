"""The reference project through the command: real data, real SDK, real jobs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command import REPOSITORY, mlops

pytestmark = pytest.mark.sdk


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory in which the demo has run."""
    state = tmp_path_factory.mktemp("state")
    lending("demo", "--state", str(state))
    return state


def lending(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    return mlops(REPOSITORY, *arguments, code=code)


def test_the_demo_registers_a_model_and_writes_its_summary(state: Path) -> None:
    summary = json.loads((state / "demo" / "summary.json").read_text())
    stages = {stage["name"]: stage["status"] for stage in summary["stages"]}
    assert stages.pop("build: GateMissed") == "NotRun"
    assert set(stages.values()) == {"Succeeded"}
    assert list(stages) == [
        "compile data",
        "data: PrepareData",
        "compile build",
        "build: PrepareData",
        "build: Features",
        "build: Tune",
        "build: Evaluate",
        "build: Gate",
        "build: Register",
    ]
    assert summary["model_package_arn"].endswith(":model-package/lending-approval/1")
    assert summary["metrics"]["auc"] > 0.8


def test_the_model_is_in_the_registry(state: Path) -> None:
    listed = json.loads(lending("models", "list", "--json", "--state", str(state)).stdout)
    assert [(m["group"], m["version"], m["approval"]) for m in listed] == [
        ("lending-approval", 1, "PendingManualApproval")
    ]
    assert listed[0]["metrics"]["accuracy"] > 0.8
    assert "auc" in lending("logs", "latest", "Tune", "--state", str(state)).stdout


def test_what_the_demo_says_to_do_next_can_be_done(state: Path, tmp_path: Path) -> None:
    own = shutil.copytree(state, tmp_path / "state")
    told = lending("demo", "--state", str(own)).stdout
    following = [line.split()[1:] for line in told.splitlines() if line.startswith("  mlops-sm ")]
    assert [words[0] for words in following] == ["models", "executions", "logs", "run"]
    for words in following:
        lending(*words, code=1 if words[0] == "run" else 0)


def test_a_gate_that_is_missed_is_the_answer_no(state: Path) -> None:
    done = lending("run", "lending.build", "-p", "MinAuc=0.99", "--state", str(state), code=1)
    assert "GateMissed" in done.stderr
    assert "MinAuc" in done.stdout + done.stderr
    assert "Register     RegisterModel  NotRun" in done.stdout
    assert "run again: mlops-sm run lending.build -p MinAuc=0.99" in done.stderr
    listed = json.loads(lending("models", "list", "--json", "--state", str(state)).stdout)
    assert len(listed) == 1


def test_a_server_on_the_same_state_runs_it_for_another_process(state: Path) -> None:
    command = [sys.executable, "-m", "mlops_sm", "local", "up", "--port", "0", "--state", str(state)]
    with subprocess.Popen(
        [*command, "--end-with-stdin"], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline().startswith("ready http://127.0.0.1:")
        done = lending("run", "lending.build", "--json", "--state", str(state))
        assert json.loads(done.stdout)["status"] == "Succeeded"
        newest = json.loads(lending("models", "show", "latest", "--json", "--state", str(state)).stdout)
        assert newest["version"] > 1
        server.communicate(timeout=60)
    assert server.returncode == 0
    kept = json.loads(lending("models", "show", "latest", "--json", "--state", str(state)).stdout)
    assert kept == newest
