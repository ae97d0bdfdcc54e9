"""A training step of two instances through the command: it runs, and the log of each instance can be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from command import IMAGE, mlops, write

from mlops_sm.testing import local_account

SCRIPT = (
    'grep -q \'"current_host": "algo-2"\' /opt/ml/input/config/resourceconfig.json '
    "&& { echo up: algo-2; exit CODE; }; getent hosts algo-2 >/dev/null && echo up: algo-1"
)


def training(code: int, **members: Any) -> dict[str, Any]:
    return {
        "Name": "Train",
        "Type": "Training",
        "Arguments": {
            "AlgorithmSpecification": {
                "TrainingImage": IMAGE,
                "TrainingInputMode": "File",
                "ContainerEntrypoint": ["sh", "-c", SCRIPT.replace("CODE", str(code))],
            },
            "OutputDataConfig": {"S3OutputPath": "s3://instances/models"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 5},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
            "RoleArn": "arn:aws:iam::123456789012:role/service",
            **members,
        },
    }


def test_two_instances_from_the_command_to_their_logs(tmp_path: Path) -> None:
    with local_account() as account:
        output = {"S3OutputPath": f"s3://{account.bucket}/models"}
        state = {"MLOPS_SM_STATE": str(account.state)}
        run = mlops(tmp_path, "run", write(tmp_path, training(0, OutputDataConfig=output)), "--json", **state)
        assert [(step["name"], step["status"]) for step in json.loads(run.stdout)["steps"]] == [("Train", "Succeeded")]
        logs = mlops(tmp_path, "logs", "latest", "Train", **state).stdout
    assert "up: algo-1" in logs
    assert "up: algo-2" in logs


def test_the_instance_that_fails_is_told(tmp_path: Path) -> None:
    name = write(tmp_path, training(4))
    done = mlops(tmp_path, "run", name, code=1)
    assert "step Train failed: AlgorithmError: , exit code: 4" in done.stderr
    assert "up: algo-2" in done.stderr


def test_what_cannot_work_here_is_refused_before_it_starts(tmp_path: Path) -> None:
    name = write(tmp_path, training(0, EnableNetworkIsolation=True))
    done = mlops(tmp_path, "run", name, code=3)
    assert "E418" in done.stderr
    assert "Set EnableNetworkIsolation to false" in done.stderr
