"""``mlops-sm run --only STEP`` as a process: one step again, with the inputs of an execution that has ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from command import mlops, processing, write

WRITTEN = "Steps.Prepare.ProcessingOutputConfig.Outputs['data'].S3Output.S3Uri"


def prepare(buckets: str, script: str = 'date +%s%N > "/opt/ml/processing/output/data/stamp"') -> dict[str, Any]:
    step = dict(processing("Prepare", script))
    output = {
        "S3Uri": {"Std:Join": {"On": "/", "Values": [f"s3://{buckets}", {"Get": "Execution.PipelineExecutionId"}]}},
        "LocalPath": "/opt/ml/processing/output/data",
        "S3UploadMode": "EndOfJob",
    }
    step["Arguments"] = {
        **step["Arguments"],
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "data", "S3Output": output}]},
    }
    return step


def use(script: str, **more: object) -> dict[str, Any]:
    step = dict(processing("Use", script, **more))
    source = {
        "S3Uri": {"Get": WRITTEN},
        "LocalPath": "/opt/ml/processing/input/data",
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
    }
    step["Arguments"] = {
        **step["Arguments"],
        "ProcessingInputs": [{"InputName": "data", "S3Input": source}],
        "Environment": {"WORD": {"Get": "Parameters.Word"}},
    }
    return step


def pipeline(folder: Path, *steps: Mapping[str, Any]) -> str:
    name = write(folder, *steps)
    document = json.loads((folder / name).read_text())
    document["Parameters"] = [{"Name": "Word", "Type": "String", "DefaultValue": "default"}]
    (folder / name).write_text(json.dumps(document))
    return name


@pytest.fixture
def bucket(tmp_path: Path) -> str:
    """A bucket that the commands make: that of the artifacts."""
    (tmp_path / "pyproject.toml").write_text('[tool.mlops_sm]\nname = "only"\n')
    return "only-local-artifacts-123456789012-us-east-1"


SHOW = 'cat /opt/ml/processing/input/data/stamp; echo "$WORD"'


def log(folder: Path, execution: str, step: str) -> list[str]:
    return mlops(folder, "logs", execution, step).stdout.splitlines()


def test_a_step_that_failed_runs_again_with_the_inputs_it_had_and_todays_code(tmp_path: Path, bucket: str) -> None:
    last = processing("Last", "true", DependsOn=["Use"])
    name = pipeline(tmp_path, prepare(bucket), use(f"{SHOW}; exit 3"), last)
    failed = json.loads(mlops(tmp_path, "run", name, "-p", "Word=given", "--json", code=1).stdout)
    had = log(tmp_path, failed["execution_id"], "Use")
    assert had[1] == "given"

    pipeline(tmp_path, prepare(bucket), use(f"{SHOW}; echo mended"), last)
    done = mlops(tmp_path, "run", name, "--only", "Use", "--json")
    again = json.loads(done.stdout)
    assert [(s["name"], s["status"]) for s in again["steps"]] == [("Prepare", "Succeeded"), ("Use", "Succeeded")]
    assert again["steps"][0]["result"] == f"reused from {failed['execution_id']}"
    assert f"those of execution {failed['execution_id']}" in done.stderr
    assert log(tmp_path, again["execution_id"], "Use") == [*had, "mended"]

    # The execution of one step has what that step needs, too; a parameter may be given another value.
    third = json.loads(mlops(tmp_path, "run", name, "--only", "Use", "-p", "Word=other", "--json").stdout)
    assert log(tmp_path, third["execution_id"], "Use") == [had[0], "other", "mended"]


@pytest.mark.slow
def test_the_inputs_are_those_of_the_execution_that_is_named(tmp_path: Path, bucket: str) -> None:
    name = pipeline(tmp_path, prepare(bucket), use(SHOW))
    first = json.loads(mlops(tmp_path, "run", name, "--json").stdout)["execution_id"]
    second = json.loads(mlops(tmp_path, "run", name, "--json").stdout)["execution_id"]
    stamps = [log(tmp_path, execution, "Use") for execution in (first, second)]
    assert stamps[0] != stamps[1]
    for arguments, stamp in (((), stamps[1]), (("--execution", first), stamps[0])):
        again = json.loads(mlops(tmp_path, "run", name, "--only", "Use", *arguments, "--json").stdout)
        assert log(tmp_path, again["execution_id"], "Use") == stamp


def test_an_execution_without_the_inputs_is_passed_over_unless_it_is_named(tmp_path: Path, bucket: str) -> None:
    name = pipeline(tmp_path, prepare(bucket), use(SHOW))
    good = json.loads(mlops(tmp_path, "run", name, "--json").stdout)["execution_id"]
    pipeline(tmp_path, prepare(bucket, "exit 1"), use(SHOW))
    bad = json.loads(mlops(tmp_path, "run", name, "--json", code=1).stdout)["execution_id"]
    assert f"those of execution {good}" in mlops(tmp_path, "run", name, "--only", "Use").stderr

    refused = mlops(tmp_path, "run", name, "--only", "Use", "--execution", bad, code=2).stderr
    assert "error[E143]" in refused
    assert f'"Prepare", which did not succeed in execution {bad}' in refused


def test_a_step_that_another_repeats_does_not_run_alone(tmp_path: Path) -> None:
    body = processing("Each", 'echo "item"')
    loop = {
        "Name": "Loop",
        "Type": "ForEach",
        "Arguments": {"IterableItems": ["a", "b"], "MaxConcurrency": 2, "ForEachBody": [body]},
    }
    name = write(tmp_path, processing("First", "true"), {**loop, "DependsOn": ["First"]})
    refused = mlops(tmp_path, "run", name, "--only", "Each", code=2).stderr
    assert "error[E140]" in refused
    assert "--only Loop" in refused
    mlops(tmp_path, "run", name)
    again = json.loads(mlops(tmp_path, "run", name, "--only", "Loop", "--json").stdout)
    assert {s["name"] for s in again["steps"] if s["status"] == "Succeeded"} >= {"First", "Loop", "Each-0", "Each-1"}
