"""What a user may get wrong about tuning, iterations, functions and callbacks: through the real command."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from command import IMAGE, mlops, processing, write

from mlops_sm.emulator import LocalAccount

ROLE = "arn:aws:iam::123456789012:role/service"


def tuning(low: object = "1", jobs: object = 2) -> dict[str, Any]:
    ranges = {"IntegerParameterRanges": [{"Name": "depth", "MinValue": low, "MaxValue": "5"}]}
    return {
        "Name": "Tune",
        "Type": "Tuning",
        "Arguments": {
            "HyperParameterTuningJobConfig": {
                "Strategy": "Random",
                "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "auc"},
                "ResourceLimits": {"MaxNumberOfTrainingJobs": jobs, "MaxParallelTrainingJobs": 1},
                "ParameterRanges": ranges,
            },
            "TrainingJobDefinition": {
                "AlgorithmSpecification": {
                    "TrainingImage": IMAGE,
                    "TrainingInputMode": "File",
                    "MetricDefinitions": [{"Name": "auc", "Regex": "auc=([0-9.]+)"}],
                },
                "StaticHyperParameters": {
                    "sagemaker_program": "train.py",
                    "sagemaker_submit_directory": "s3://code/source",
                },
                "RoleArn": ROLE,
                "OutputDataConfig": {"S3OutputPath": "s3://code/models"},
                "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
                "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            },
        },
    }


def each(field: str) -> dict[str, Any]:
    return {
        "Name": "Each",
        "Type": "ForEach",
        "Arguments": {
            "IterableItems": ["a", "b"],
            "MaxConcurrency": 2,
            "ForEachBody": [processing("Do", "true")],
            "Selector": {"Pick": "MaxBy", "Field": {"Get": field}},
        },
    }


def define(folder: Path, steps: Sequence[Mapping[str, Any]], **parameters: object) -> str:
    """A definition with parameters and their defaults."""
    name = write(folder, *steps)
    document = json.loads((folder / name).read_text())
    document["Parameters"] = [
        {"Name": key, "Type": "Integer" if isinstance(value, int) else "String", "DefaultValue": value}
        for key, value in parameters.items()
    ]
    (folder / name).write_text(json.dumps(document))
    return name


def get(name: str) -> dict[str, str]:
    return {"Get": f"Parameters.{name}"}


@pytest.mark.parametrize(
    ("steps", "given", "says"),
    [
        ([tuning("9")], [], ["error[E257]: MinValue (9) is greater than MaxValue (5)", "Swap them."]),
        ([tuning(jobs=0)], [], ["error[E246]: 0 is too small", "Give at least 1."]),
        (
            [tuning(get("Low"), get("Jobs"))],
            ["-p", "Low=9", "-p", "Jobs=0"],
            ['error[E246]: parameter "Jobs": 0 is too small', 'error[E257]: parameter "Low": MinValue (9)'],
        ),
        (
            [each("IterationOutput.Do.ProcessingJobNam"), processing("P", "true", DependsOn=[{"Step": "Q"}])],
            [],
            ["error[E224]", 'Did you mean "ProcessingJobName"', 'error[E223]: the definition has no step "Q"'],
        ),
        (
            [processing("P", "true", DependsOn=[{"Step": "Q", "Trigger": "Failed"}])],
            [],
            ['error[E223]: the definition has no step "Q"', "DependsOn[0]"],
        ),
    ],
)
def test_what_can_be_known_starts_nothing(
    tmp_path: Path, steps: list[Mapping[str, Any]], given: list[str], says: list[str]
) -> None:
    told = mlops(tmp_path, "run", define(tmp_path, steps, Low="1", Jobs=2), *given, code=2).stderr
    assert [text for text in says if text not in told] == [], told
    assert "started" not in told


def prepare(folder: Path) -> None:
    """A training that never says what it should, a function for each thing that goes wrong, and a queue."""
    with LocalAccount.open(folder / ".mlops_sm") as account:
        account.ensure_bucket("code")
        account.client("s3").put_object(Bucket="code", Key="source", Body=archive("print('accuracy=0.9')\n"))
        account.ensure_role(ROLE)
        for name, source in {
            "raises": "def handler(event, context):\n    raise ValueError('no such segment')\n",
            "answers": "def handler(event, context):\n    return {'score': {1, 2}}\n",
        }.items():
            account.client("lambda").create_function(
                FunctionName=name,
                Runtime="python3.12",
                Role=ROLE,
                Handler="index.handler",
                Code={"ZipFile": zipped(source)},
            )


def archive(script: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        member = tarfile.TarInfo("train.py")
        member.size = len(script)
        tar.addfile(member, io.BytesIO(script.encode()))
    return packed.getvalue()


def zipped(source: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("index.py", source)
    return packed.getvalue()


def function(name: str) -> dict[str, Any]:
    return {
        "Name": name.title(),
        "Type": "Lambda",
        "FunctionArn": f"arn:aws:lambda:us-east-1:123456789012:function:{name}",
        "Arguments": {},
        "OutputParameters": [{"OutputName": "score", "OutputType": "Float"}],
    }


def test_what_shows_only_in_a_run_says_what_and_where(tmp_path: Path) -> None:
    prepare(tmp_path)
    steps = [
        each("IterationOutput.Do.ProcessingJobName"),
        tuning(jobs=1),
        function("raises"),
        function("answers"),
        {
            "Name": "Ask",
            "Type": "Callback",
            "SqsQueueUrl": "https://sqs.us-east-1.amazonaws.com/123456789012/nobody",
            "Arguments": {},
        },
    ]
    reasons: dict[str, str] = {}
    # Together, what starts at once: after a failure no other step begins.
    for part in (steps[1:], steps[:1]):
        mlops(tmp_path, "run", write(tmp_path, *part), code=1)
        shown = json.loads(mlops(tmp_path, "executions", "show", "--json").stdout)["steps"]
        reasons |= {step["name"]: step["failure_reason"] for step in shown}
    assert reasons["Tune"].startswith("No objective metrics found after running 1 training jobs.")
    assert "Do.ProcessingJobName is a string" in reasons["Each"]
    assert "ValueError" in reasons["Raises"]
    assert "no such segment" in reasons["Raises"]
    assert "not JSON serializable" in reasons["Answers"]
    assert "nobody" in reasons["Ask"] or "queue" in reasons["Ask"].lower()
