"""Steps that cannot run here, done by functions of the project: through the real command."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from command import mlops, processing, write

EMR = {
    "Name": "Spark",
    "Type": "EMR",
    "Arguments": {"ClusterId": "j-1", "StepConfig": {"HadoopJarStep": {"Jar": "s3://bucket/job.jar"}}},
}
READS = {
    "Name": "Say",
    "Type": "Fail",
    "Arguments": {"ErrorMessage": {"Get": "Steps.Spark.ClusterId"}},
}


def project(folder: Path, source: str, **handlers: str) -> None:
    (folder / "stand_ins.py").write_text(source)
    lines = ["[tool.mlops_sm]", 'name = "shop"', "[tool.mlops_sm.local.handlers]"]
    (folder / "pyproject.toml").write_text("\n".join([*lines, *(f'{k} = "{v}"' for k, v in handlers.items())]))


def run(folder: Path, *steps: Mapping[str, Any], code: int) -> str:
    return mlops(folder, "run", write(folder, *steps), code=code).stderr


def test_a_function_stands_in_for_a_step(tmp_path: Path) -> None:
    project(
        tmp_path,
        "def run_emr(arguments):\n    return {'ClusterId': arguments['ClusterId'] + ' has counted'}\n",
        EMR="stand_ins:run_emr",
    )
    assert "step Say failed: j-1 has counted" in run(tmp_path, EMR, READS, code=1)


def test_a_function_that_raises_fails_its_step_with_what_it_printed(tmp_path: Path) -> None:
    project(
        tmp_path,
        "def run_emr(arguments):\n    print('asked for 3 nodes')\n    raise RuntimeError('no capacity')\n",
        EMR="stand_ins:run_emr",
    )
    told = run(tmp_path, EMR, code=1)
    assert "handler stand_ins:run_emr: RuntimeError: no capacity" in told
    assert "asked for 3 nodes" in told


@pytest.mark.parametrize(
    ("handlers", "code", "says"),
    [
        ({"EMR": "stand_ins:run_spark"}, 3, 'has no function "run_spark"'),
        ({"EMR": "stand_in:run_emr"}, 3, 'there is no module "stand_in"'),
        ({"Processing": "stand_ins:run_emr"}, 2, "Processing steps run here already"),
        ({"EMR": "stand_ins"}, 2, "EMR is handled by 'stand_ins'"),
        ({"Emr": "stand_ins:run_emr"}, 2, "EMR, EMRServerless"),
        ({}, 3, 'EMR = "module:function"'),
    ],
)
def test_what_cannot_be_called_starts_nothing(
    tmp_path: Path, handlers: Mapping[str, str], code: int, says: str
) -> None:
    project(tmp_path, "def run_emr(arguments):\n    pass\n", **handlers)
    told = run(tmp_path, processing("First", "touch begun"), {**EMR, "DependsOn": ["First"]}, code=code)
    assert says in told
    assert not (tmp_path / ".mlops_sm" / "jobs").exists() or not list((tmp_path / ".mlops_sm" / "jobs").iterdir())
