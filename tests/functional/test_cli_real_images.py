"""What images stand for, through the command: own programs, another Python, packages; data in each of its modes."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from command import mlops, write

from mlops_sm.testing import local_account

ROLE = "arn:aws:iam::123456789012:role/service"
REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
PROJECT = """[tool.mlops_sm]
name = "images"
[tool.mlops_sm.local.images]
"mine" = "containers/any"
"*/mine" = "containers/mine"
"other-python" = { interpreter = "other" }
"packaged" = { requirements = "containers/needs.txt" }
"one" = { program = "containers/one" }
"""
TRAIN = """#!/bin/sh
set -e
test "$(cat /opt/ml/input/data/train_0)" = "$(cat /opt/ml/input/data/train_1)"
cp /opt/ml/input/data/same/part.csv /opt/ml/model/ 2>&1
echo x >> /opt/ml/input/data/same/part.csv || echo "read-only"
"""
SERVE = """#!/usr/bin/env python3
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200); self.end_headers(); self.wfile.write(body.upper())
http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
"""
ONE = """#!/bin/sh
echo "called with: $*"
test -d /opt/ml/processing || mkdir -p /opt/ml/model
"""


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose images stand for programs, a second virtual environment and a package."""
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    program(tmp_path / "containers/any/train", "#!/bin/sh\nexit 1\n")
    program(tmp_path / "containers/mine/train", TRAIN)
    program(tmp_path / "containers/mine/serve", SERVE)
    program(tmp_path / "containers/one", ONE)
    (tmp_path / "containers/needs.txt").write_text("of-a-test\n")
    command = [sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "other")]
    subprocess.run(command, check=True)
    return tmp_path


def job(name: str, image: str, script: str, **more: Any) -> dict[str, Any]:
    """A processing step; `more` are members of its arguments."""
    application: dict[str, Any] = {"ImageUri": f"{REGISTRY}/{image}"}
    if script:
        application["ContainerEntrypoint"] = ["python3", "-c", script]
    cluster = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30}
    arguments = {"AppSpecification": application, "ProcessingResources": {"ClusterConfig": cluster}, "RoleArn": ROLE}
    return {"Name": name, "Type": "Processing", "Arguments": {**arguments, **more}}


def training(bucket: str, image: str = "mine:2") -> dict[str, Any]:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/data/"}}
    return {
        "Name": "Train",
        "Type": "Training",
        "DependsOn": ["Prepare"],
        "Arguments": {
            "AlgorithmSpecification": {"TrainingImage": f"{REGISTRY}/{image}", "TrainingInputMode": "FastFile"},
            "InputDataConfig": [
                {"ChannelName": "train", "InputMode": "Pipe", "DataSource": source},
                {"ChannelName": "same", "DataSource": source},
            ],
            "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/models"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
            "RoleArn": ROLE,
        },
    }


def model_and_transform(bucket: str) -> list[dict[str, Any]]:
    artifacts = {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}
    container = {"Image": f"{REGISTRY}/mine@sha256:{'0' * 64}", "ModelDataUrl": artifacts}
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/data/"}}
    return [
        {
            "Name": "Model",
            "Type": "Model",
            "Arguments": {"PrimaryContainer": container, "ExecutionRoleArn": ROLE},
        },
        {
            "Name": "Score",
            "Type": "Transform",
            "Arguments": {
                "ModelName": {"Get": "Steps.Model.ModelName"},
                "TransformInput": {"DataSource": source, "ContentType": "text/csv"},
                "TransformOutput": {"S3OutputPath": f"s3://{bucket}/scores"},
                "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
            },
        },
    ]


def test_own_programs_another_python_and_all_modes_in_one_pipeline(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where the account finds what images stand for.
    monkeypatch.chdir(project)
    with local_account() as account:
        state = {"MLOPS_SM_STATE": str(account.state)}
        output = {
            "S3Uri": f"s3://{account.bucket}/data/",
            "LocalPath": "/opt/ml/processing/out",
            "S3UploadMode": "EndOfJob",
        }
        script = "import sys; print(sys.prefix); open('/opt/ml/processing/out/part.csv', 'w').write('a,b\\n')"
        prepare = job(
            "Prepare",
            "other-python:1",
            script,
            ProcessingOutputConfig={"Outputs": [{"OutputName": "out", "S3Output": output}]},
        )
        itself = job("ItsEntryPoint", "one:1", "")
        itself["Arguments"]["AppSpecification"]["ContainerArguments"] = ["--fast"]
        steps = [prepare, itself, training(account.bucket), *model_and_transform(account.bucket)]
        run = json.loads(mlops(project, "run", write(project, *steps), "--json", **state).stdout)
        assert {step["name"]: step["status"] for step in run["steps"]} == dict.fromkeys(
            ["Prepare", "ItsEntryPoint", "Train", "Model", "Score"], "Succeeded"
        )
        assert mlops(project, "logs", "latest", "Prepare", **state).stdout.strip() == str(project / "other")
        assert mlops(project, "logs", "latest", "ItsEntryPoint", **state).stdout == "called with: --fast\n"
        assert "read-only" in mlops(project, "logs", "latest", "Train", **state).stdout.lower()
        s3 = account.client("s3")
        scored = s3.get_object(Bucket=account.bucket, Key="scores/part.csv.out")["Body"].read()
        assert scored == b"A,B\n"
        assert s3.get_object(Bucket=account.bucket, Key="data/part.csv")["Body"].read() == b"a,b\n"


def test_packages_of_an_image(project: Path) -> None:
    wheels = project / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "of_a_test-1.0-py3-none-any.whl", "w") as wheel:
        info = "of_a_test-1.0.dist-info"
        wheel.writestr("of_a_test.py", "VERSION = 'one'\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: of_a_test\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"of_a_test.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    offline = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null"}
    name = write(project, job("Use", "packaged:1", "import of_a_test; print(of_a_test.VERSION)"))
    refused = mlops(project, "run", name, code=1, **offline, PIP_FIND_LINKS="")
    assert '"of-a-test" of ' in refused.stderr
    assert "cannot be installed" in refused.stderr
    mlops(project, "run", name, **offline, PIP_FIND_LINKS=str(wheels))
    assert mlops(project, "logs", "latest", "Use").stdout.endswith("one\n")
    # Kept: neither wheels nor an index are needed again.
    mlops(project, "run", name, **offline, PIP_FIND_LINKS="")


def test_a_program_that_is_missing_is_told_before_anything_starts(project: Path) -> None:
    (project / "containers/mine/train").unlink()
    name = write(project, job("Prepare", "other-python:1", "print('ran')"), training("bucket"))
    done = mlops(project, "run", name, code=3)
    assert "E423" in done.stderr
    assert str(project / "containers/mine") in done.stderr
    assert json.loads(mlops(project, "executions", "list", "--json").stdout) == []


def test_lines_that_lead_nowhere_are_mistakes_of_the_input(project: Path) -> None:
    with (project / "pyproject.toml").open("a") as file:
        file.write('a = { interpreter = "nowhere/bin/python" }\nb = { requirements = "nowhere.txt" }\n')
        file.write('c = { program = "nowhere" }\nd = { interpeter = "other" }\n')
    done = mlops(project, "run", write(project, job("Prepare", "other-python:1", "print()")), code=2)
    assert [code for code in ("E424", "E425", "E423", "E410") if code in done.stderr] == [
        "E424",
        "E425",
        "E423",
        "E410",
    ]
    assert str(project / "nowhere.txt") in done.stderr
