"""The command as a process of its own, and definitions in files for it to run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
REPOSITORY = Path(__file__).parents[2]


def processing(name: str, script: str, **more: object) -> Mapping[str, Any]:
    """A step that runs a line of shell."""
    return {
        "Name": name,
        "Type": "Processing",
        "Arguments": {
            "AppSpecification": {"ImageUri": IMAGE, "ContainerEntrypoint": ["sh", "-c", script]},
            "ProcessingResources": {
                "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30}
            },
            "RoleArn": "arn:aws:iam::123456789012:role/service",
        },
        **more,
    }


def write(folder: Path, *steps: Mapping[str, Any], name: str = "pipe.json") -> str:
    """Put a definition of these steps into a folder; the file's name."""
    document = {"Version": "2020-12-01", "Metadata": {}, "Parameters": [], "Steps": list(steps)}
    (folder / name).write_text(json.dumps(document))
    return name


def environment(**more: str) -> dict[str, str]:
    """The environment without anything that leads to an account."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "MLOPS_SM_"))}
    return kept | {"PYTHONPATH": str(REPOSITORY)} | more


def mlops(folder: Path, *arguments: str, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, which is this exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "mlops_sm", *arguments],
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def begin(folder: Path, *arguments: str, stdin: int | None = None) -> subprocess.Popen[str]:
    """Start the command; its output can be read."""
    return subprocess.Popen(
        [sys.executable, "-m", "mlops_sm", *arguments],
        cwd=folder,
        env=environment(),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
