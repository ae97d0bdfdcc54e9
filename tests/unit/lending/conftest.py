"""The lending scripts, run by hand once: every test reads what they made."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

LENDING = Path(__file__).parents[3] / "pipelines" / "lending"
JOBS = LENDING / "jobs"
RAW = LENDING / "data" / "loanapp.csv"


RunJob = Callable[..., "subprocess.CompletedProcess[str]"]


def _run(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """One script in its own process, as a person runs it."""
    command = [sys.executable, "-W", "error", str(JOBS / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def run_job() -> RunJob:
    """Runs a script: ``run_job("prepare.py", "--raw", path)``."""
    return _run


@dataclass(frozen=True)
class Lending:
    """What running all scripts by hand leaves behind."""

    applications: Path
    features: Path
    model: Path
    archive: Path
    outcome: Path
    training_log: str


@pytest.fixture(scope="session")
def lending(tmp_path_factory: pytest.TempPathFactory) -> Lending:
    """The four scripts, one after another, on the shipped CSV with their defaults."""
    root = tmp_path_factory.mktemp("lending")
    done = Lending(root / "a", root / "f", root / "m", root / "model.tar.gz", root / "o", "")
    steps = [
        ("prepare.py", "--raw", RAW, "--output", done.applications),
        ("features.py", "--input", done.applications, "--output", done.features),
        (
            "training/train.py",
            *("--train", done.features / "train", "--validation", done.features / "validation"),
            *("--model-dir", done.model),
        ),
    ]
    for script, *arguments in steps:
        job = _run(script, *arguments)
        assert job.returncode == 0, job.stderr
    with tarfile.open(done.archive, "w:gz") as tar:
        tar.add(done.model, arcname=".")
    evaluated = _run("evaluate.py", "--model", done.archive, "--test", done.features / "test", "--output", done.outcome)
    assert evaluated.returncode == 0, evaluated.stderr
    return Lending(done.applications, done.features, done.model, done.archive, done.outcome, job.stdout)
