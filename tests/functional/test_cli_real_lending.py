"""The reference project through the command: real data, real SDK, real jobs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

pytestmark = pytest.mark.sdk


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory in which the demo has run."""
    state = tmp_path_factory.mktemp("state")
    done = mlops("demo", "--state", str(state))
    assert done.returncode == 0, done.stdout + done.stderr
    return state


def mlops(*arguments: str) -> subprocess.CompletedProcess[str]:
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "MLOPS_SM_"))}
    return subprocess.run(
        [sys.executable, "-m", "mlops_sm", *arguments],
        cwd=REPOSITORY,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )


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
    listed = json.loads(mlops("models", "list", "--json", "--state", str(state)).stdout)
    assert [(m["group"], m["version"], m["approval"]) for m in listed] == [
        ("lending-approval", 1, "PendingManualApproval")
    ]
    assert listed[0]["metrics"]["accuracy"] > 0.8
    assert "auc" in mlops("logs", "latest", "Tune", "--state", str(state)).stdout


def test_a_gate_that_is_missed_is_the_answer_no(state: Path) -> None:
    done = mlops("run", "lending.build", "-p", "MinAuc=0.99", "--state", str(state))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "GateMissed" in done.stderr
    assert "MinAuc" in done.stdout + done.stderr
    assert "Register     RegisterModel  NotRun" in done.stdout
    assert "run again: mlops-sm run lending.build -p MinAuc=0.99" in done.stderr
    listed = json.loads(mlops("models", "list", "--json", "--state", str(state)).stdout)
    assert len(listed) == 1


def test_a_server_on_the_same_state_runs_it_for_another_process(state: Path) -> None:
    command = [sys.executable, "-m", "mlops_sm", "local", "up", "--port", "0", "--state", str(state)]
    with subprocess.Popen(
        [*command, "--end-with-stdin"], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline().startswith("ready http://127.0.0.1:")
        done = mlops("run", "lending.build", "--json", "--state", str(state))
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["status"] == "Succeeded"
        newest = json.loads(mlops("models", "show", "latest", "--json", "--state", str(state)).stdout)
        assert newest["version"] > 1
        server.communicate(timeout=60)
    assert server.returncode == 0
    kept = json.loads(mlops("models", "show", "latest", "--json", "--state", str(state)).stdout)
    assert kept == newest
