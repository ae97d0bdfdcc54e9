"""The SageMaker SDK's experiments and lineage against the local account, with nothing but its endpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_sm.emulator import LocalAccount

SCRIPT = Path(__file__).parents[1] / "clients" / "sdk_v3_experiments.py"


@pytest.mark.sdk
def test_a_run_and_the_lineage_of_a_job(tmp_path: Path) -> None:
    with LocalAccount.open(tmp_path / "state") as account:
        account.ensure_bucket("experiments")
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "AWS_ENDPOINT_URL": account.endpoint_url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "anybody",
            "AWS_SECRET_ACCESS_KEY": "anything",
        }
        role = "arn:aws:iam::123456789012:role/execution"
        done = subprocess.run(
            [sys.executable, str(SCRIPT), role, "experiments", str(tmp_path)],
            check=False,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.strip().splitlines()[-1]) == {
        "parameters": {"rate": 0.1, "loss": "mse", "more": 1.0},
        "files": ["notes"],
        "loss": [12, pytest.approx(1 / 12), 1.0],
        "lineage": [["DataSet", "Produced"], ["Image", "ContributedTo"]],
        "dataset": "DataSet",
    }
