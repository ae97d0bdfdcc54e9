"""Anybody's code, with nothing of ours but the endpoint in its environment: boto3, SDK v3, SDK v2."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from command import mlops

from mlops_sm.operations import resources

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "tests" / "clients"
SDK_V2 = ROOT / ".venv-sdk-v2" / "bin" / "python"
BUCKET = "clients"
TRUST = json.dumps(resources.TRUST)


def plain_environment(home: Path, **variables: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), **variables}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server is started: a project in which one image stands for the Python that has SDK v2."""
    folder = tmp_path_factory.mktemp("account")
    images = f'[tool.mlops_sm.local.images]\n"sdk-v2" = {{ interpreter = "{SDK_V2}" }}\n' if SDK_V2.exists() else ""
    (folder / "pyproject.toml").write_text(f'[tool.mlops_sm]\nname = "clients"\n{images}')
    return folder


@pytest.fixture(scope="module")
def endpoint(folder: Path) -> Iterator[str]:
    """A server as a user starts it."""
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlops_sm", "local", "up", "--port", "0", "--state", str(folder / "state")],
            cwd=folder,
            env=plain_environment(folder),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line.startswith("ready http://127.0.0.1:"), (folder / "log").read_text()
        yield line.split()[1]
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=60)
        server.stdout.close()


@pytest.fixture(scope="module")
def role(endpoint: str) -> str:
    """An execution role as an account has one, and a bucket."""
    session = boto3.Session(aws_access_key_id="anybody", aws_secret_access_key="anything", region_name="us-east-1")  # noqa: S106 - opens nothing
    session.client("s3", endpoint_url=endpoint).create_bucket(Bucket=BUCKET)
    iam = session.client("iam", endpoint_url=endpoint)
    arn: str = iam.create_role(RoleName="clients", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    for policy in ("AmazonSageMakerFullAccess", "AmazonS3FullAccess"):
        iam.attach_role_policy(RoleName="clients", PolicyArn=f"arn:aws:iam::aws:policy/{policy}")
    return arn


Run = Callable[..., str]


@pytest.fixture
def run(endpoint: str, tmp_path: Path) -> Run:
    def run(*command: str) -> str:
        environment = plain_environment(
            tmp_path,
            AWS_ENDPOINT_URL=endpoint,
            AWS_DEFAULT_REGION="us-east-1",
            AWS_ACCESS_KEY_ID="anybody",
            AWS_SECRET_ACCESS_KEY="anything",  # noqa: S106 - opens nothing
        )
        done = subprocess.run(
            command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def last_json(output: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    return found


def test_boto3_alone(run: Run) -> None:
    assert last_json(run(sys.executable, str(CLIENTS / "boto3_only.py"))) == {
        "account": "123456789012",
        "status": "Succeeded",
        "steps": {"Sum": "Succeeded", "LargeEnough": "Succeeded", "Train": "Succeeded"},
        "missed": "Failed",
        "missed_steps": {"Sum": "Succeeded", "LargeEnough": "Succeeded", "TooSmall": "Failed"},
        "sum": 6,
        "model_bytes": pytest.approx(250, abs=100),
        "loss": pytest.approx(1 / 6, abs=1e-6),
        "log": ["summed 3 numbers"],
    }


@pytest.mark.sdk
def test_the_abalone_pipeline_of_the_plain_sdk(run: Run, role: str) -> None:
    command = (sys.executable, "-m", "pipelines.abalone.build", "--role", role, "--bucket", BUCKET)
    lines = run(*command).splitlines()
    steps = dict(line.split()[:2] for line in lines if line.split()[1:2] == ["Succeeded"])
    assert list(steps) == ["Prepare", "Train", "Evaluate", "Gate", "Register"]


@pytest.mark.sdk
def test_jobs_of_the_plain_sdk(run: Run, role: str, tmp_path: Path) -> None:
    output = run(sys.executable, str(CLIENTS / "sdk_v3_jobs.py"), role, BUCKET, str(tmp_path))
    jobs = last_json(output)["jobs"]
    ours = {name: status for name, status in jobs.items() if name.startswith(("make", "mean-"))}
    assert sorted(ours.values()) == ["Completed", "Completed"]
    assert "made three numbers" in output


@pytest.mark.sdk
def test_tuning_of_the_plain_sdk(run: Run, role: str, tmp_path: Path) -> None:
    found = last_json(run(sys.executable, str(CLIENTS / "sdk_v3_tuner.py"), role, BUCKET, str(tmp_path)))
    assert found.pop("score") == pytest.approx(found.pop("objective"), rel=1e-6)
    assert found == {"status": "Completed", "completed": 6, "best": True}


@pytest.mark.sdk
def test_batch_transform_of_the_plain_sdk(run: Run, role: str) -> None:
    output = run(sys.executable, str(CLIENTS / "sdk_v3_transform.py"), role, BUCKET)
    assert last_json(output) == {"status": "Completed", "rows": ["1,3.0", "2,6.0"]}


@pytest.mark.sdk
def test_functions_and_iterations_of_the_plain_sdk(run: Run, role: str, tmp_path: Path) -> None:
    found = last_json(run(sys.executable, str(CLIENTS / "sdk_v3_fan_out.py"), role, BUCKET, str(tmp_path)))
    assert found == {
        "steps": dict.fromkeys(["Plan", "Segments", "Score-0", "Score-1", "Score-2", "Tell"], "Succeeded"),
        "best": "ccc with 3.0 of 3",
        "item": '{"name":"ccc"}',
    }


def steps(**others: str) -> dict[str, str]:
    """A step is expected to succeed unless another end is given."""
    return {name: status or "Succeeded" for name, status in others.items()}


def run_file(folder: Path, definition: Path, *parameters: str) -> dict[str, Any]:
    """How a definition ends that the SDK wrote into a file, run by our command on the account of the server."""
    given = [part for parameter in parameters for part in ("-p", parameter)]
    ran = json.loads(mlops(folder, "run", str(definition), *given, "--state", str(folder / "state"), "--json").stdout)
    return {"status": ran["status"], "steps": {step["name"]: step["status"] for step in ran["steps"]}}


@pytest.mark.sdk
def test_a_pipeline_of_the_plain_sdk(run: Run, role: str, tmp_path: Path) -> None:
    found = last_json(run(sys.executable, str(CLIENTS / "sdk_v3_pipeline.py"), role, BUCKET, str(tmp_path), "good"))
    assert found == {
        "good": {
            "status": "Succeeded",
            "steps": steps(Prepare="", Train="", Trained="", Decide="", Tune="", Tuned=""),
        },
        "rows": ["v3/rows/algo-1.csv", "v3/rows/algo-2.csv"],
        "tuned": True,
    }


@pytest.mark.slow
@pytest.mark.sdk
def test_a_pipeline_of_the_plain_sdk_that_fails(run: Run, role: str, folder: Path, tmp_path: Path) -> None:
    command = (sys.executable, str(CLIENTS / "sdk_v3_pipeline.py"), role, BUCKET, str(tmp_path), "bad", "broken")
    found = last_json(run(*command))
    assert found["bad"] == {
        "status": "Failed",
        "steps": steps(Prepare="", Train="", Trained="", Decide="", Refuse="Failed"),
        "reasons": {"Refuse": "more than 1.0 with 4.5"},
    }
    reason = found["broken"].pop("reasons").pop("Train")
    assert reason.startswith("AlgorithmError: ")
    assert "returned non-zero exit status 1" in reason
    assert found["broken"] == {"status": "Failed", "steps": steps(Prepare="", Train="Failed")}
    assert run_file(folder, tmp_path / "sdk-v3.json", "Slope=2.25") == {
        "status": "Succeeded",
        "steps": steps(Prepare="", Train="", Trained="", Decide="", Tune="", Tuned="", Refuse="NotRun"),
    }


FUNCTIONS = {
    "succeeded": {
        "status": "Succeeded",
        "steps": steps(Split="", Fit="", Score="", Gate="", Publish=""),
        "reasons": {},
        "result": "mean: 2.0",
    },
    "overridden": {
        "status": "Failed",
        "steps": steps(Split="", Fit="", Score="", Gate="", TooGood="Failed"),
        "reasons": {"TooGood": "the error is too small to be true"},
    },
    "broken": {
        "status": "Failed",
        "steps": {"Break": "Failed"},
        "reasons": {"Break": "AlgorithmError: ValueError('no use with 2 rows'), exit code: 1"},
    },
    "remote": {"error": 2.0, "checks": [{"rows": 2}]},
}
"""How the pipelines of clients/sdk_steps.py end, whatever version of the SDK runs it."""


@pytest.mark.slow
@pytest.mark.sdk
def test_functions_as_steps_of_the_plain_sdk(run: Run, role: str, tmp_path: Path) -> None:
    assert last_json(run(sys.executable, str(CLIENTS / "sdk_steps.py"), role, BUCKET, str(tmp_path))) == FUNCTIONS


@pytest.mark.slow
@pytest.mark.skipif(not SDK_V2.exists(), reason="VERSION 2 OF THE SDK IS NOT TESTED HERE: make test-all installs it")
def test_a_pipeline_of_sdk_v2(run: Run, role: str, tmp_path: Path) -> None:
    result = last_json(run(str(SDK_V2), str(CLIENTS / "sdk_v2.py"), role, BUCKET, str(tmp_path)))
    assert result.pop("sdk").startswith("2.")
    assert result == {
        "status": "Succeeded",
        "steps": dict.fromkeys(["Make", "Gate", "Train", "Register-RegisterModel"], "Succeeded"),
        "mean": 6.0,
        "packages": ["PendingManualApproval"],
    }


@pytest.mark.slow
@pytest.mark.skipif(not SDK_V2.exists(), reason="VERSION 2 OF THE SDK IS NOT TESTED HERE: make test-all installs it")
def test_tuning_of_sdk_v2(run: Run, role: str, tmp_path: Path) -> None:
    result = last_json(run(str(SDK_V2), str(CLIENTS / "sdk_v2_tuner.py"), role, BUCKET, str(tmp_path)))
    assert result.pop("sdk").startswith("2.")
    assert result.pop("kinds") in (["bad"], ["bad", "good"], ["good"])
    assert result == {"statuses": ["Completed"], "best": True, "overall": True}


@pytest.mark.slow
@pytest.mark.skipif(not SDK_V2.exists(), reason="VERSION 2 OF THE SDK IS NOT TESTED HERE: make test-all installs it")
def test_functions_as_steps_of_sdk_v2(run: Run, role: str, tmp_path: Path) -> None:
    assert last_json(run(str(SDK_V2), str(CLIENTS / "sdk_steps.py"), role, BUCKET, str(tmp_path))) == FUNCTIONS


SCENARIOS: dict[str, dict[str, Any]] = {
    "processing": {
        "status": "Succeeded",
        "steps": steps(First="", Second="", Package="", Hosts=""),
        "rows": ["1", "64", "729"],
        "name": "helped",
        "hosts": [["algo-1", "algo-2"]] * 2,
    },
    "training": {
        "status": "Succeeded",
        "steps": {"Train": "Succeeded", "Make-CreateModel": "Succeeded", "Predict": "Succeeded"},
        "rows": ["3.0", "6.0", "9.0"],
    },
    "gate": {
        "good": {
            "status": "Succeeded",
            "steps": {**steps(Train="", Evaluate="", Decide=""), "Register-RegisterModel": "Succeeded"},
        },
        "bad": {
            "status": "Failed",
            "steps": steps(Train="", Evaluate="", Decide="", Refuse="Failed"),
            "reasons": {"Refuse": "More than 1.0 in v2-gate"},
        },
        "broken": {
            "status": "Failed",
            "steps": {"Train": "Failed"},
            "reasons": {
                "Train": "AlgorithmError: ExecuteUserScriptError:\nExitCode 1\n"
                'ErrorMessage "ValueError: the data make no sense"\n'
                'Command "python3 train.py --broken yes --slope 2.5", exit code: 1'
            },
        },
    },
    "collections": {
        "status": "Succeeded",
        "steps": {
            **steps(Train="", Create="", BatchRepackModel="", BatchCreateModelStep="", BatchTransformStep=""),
            **dict.fromkeys(
                ["v2-model-1-RepackModel", "v2-model-2-RepackModel", "Register-RegisterModel"], "Succeeded"
            ),
        },
        "containers": 2,
        "rows": ["2.0", "4.0", "6.0"],
    },
    "tuning": {
        "status": "Succeeded",
        "steps": steps(Tune="", Evaluate="", Grade="", Ask=""),
        "grade": "best",
        "asked_for_the_best": True,
        "evaluated_the_best": True,
    },
}


@pytest.mark.slow
@pytest.mark.skipif(not SDK_V2.exists(), reason="VERSION 2 OF THE SDK IS NOT TESTED HERE: make test-all installs it")
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_what_the_local_mode_of_sdk_v2_does(scenario: str, run: Run, role: str, folder: Path, tmp_path: Path) -> None:
    command = (str(SDK_V2), str(CLIENTS / "sdk_v2_scenarios.py"), role, BUCKET, str(tmp_path), scenario)
    expected = SCENARIOS[scenario]
    assert last_json(run(*command))[scenario] == expected
    if scenario in {"processing", "training", "collections"}:
        assert run_file(folder, tmp_path / f"v2-{scenario}.json") == {
            "status": expected["status"],
            "steps": expected["steps"],
        }


@pytest.mark.slow
@pytest.mark.sdk
def test_xgboost_of_the_plain_sdk(run: Run, role: str) -> None:
    found = last_json(run(sys.executable, str(CLIENTS / "sdk_v3_xgboost.py"), role, BUCKET))
    assert found == {"status": "Completed", "metrics": ["train:auc", "validation:auc"], "best": True}


@pytest.mark.slow
@pytest.mark.skipif(not SDK_V2.exists(), reason="VERSION 2 OF THE SDK IS NOT TESTED HERE: make test-all installs it")
def test_xgboost_of_sdk_v2(run: Run, role: str) -> None:
    assert last_json(run(str(SDK_V2), str(CLIENTS / "sdk_v2_xgboost.py"), role, BUCKET)) == {
        "metrics": ["train:auc", "validation:auc"],
        "series": ["train:auc", "validation:auc"],
        "scored": [True, False],
        "objective": True,
        "predicted": [True, False],
    }
