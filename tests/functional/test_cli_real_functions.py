"""Functions as steps through the real command: compiled here, run here, their results passed on and asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import mlops

PIPELINE = '''
"""Functions as steps."""

import boto3
from sagemaker.core.workflow.conditions import ConditionGreaterThan
from sagemaker.core.workflow.parameters import ParameterInteger
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.function_step import step
from sagemaker.mlops.workflow.pipeline import Pipeline

from mlops_sm.builders import framework_image
from pipelines.demo.shared import Total


def read(uri: str, factor: int):
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    body = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    print("read", body)
    return Total(factor * int(line) for line in body.split())


def judge(total):
    return {"total": total.value, "checks": [{"rows": total.rows}]}


def pipeline(ctx):
    settings = {"image_uri": framework_image(ctx, "sklearn", "1.2-1"), "instance_type": "ml.m5.large"}
    factor = ParameterInteger("Factor", default_value=1)
    total = step(read, name="Read", **settings)(ctx.asset("numbers.txt"), factor)
    judged = step(judge, name="Judge", **settings)(total)
    gate = ConditionStep(
        name="Gate",
        conditions=[ConditionGreaterThan(judged["total"], 10), ConditionGreaterThan(judged["checks"][0]["rows"], 2)],
        if_steps=[],
        else_steps=[FailStep(name="TooLittle", error_message="too little")],
    )
    return Pipeline(name=ctx.pipeline_name, parameters=[factor], steps=[judged, gate], sagemaker_session=ctx.session)
'''
SHARED = """
class Total:
    def __init__(self, numbers):
        numbers = list(numbers)
        self.value, self.rows = sum(numbers), len(numbers)
"""


@pytest.mark.sdk
def test_functions_run_with_what_they_are_given(tmp_path: Path) -> None:
    demo = tmp_path / "pipelines" / "demo"
    demo.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text('[tool.mlops_sm]\nname = "demo"\n')
    (demo / "build.py").write_text(PIPELINE)
    (demo / "shared.py").write_text(SHARED)
    (demo / "numbers.txt").write_text("1\n2\n3\n")
    run = json.loads(mlops(tmp_path, "run", "demo.build", "-p", "Factor=2", "--json").stdout)
    assert {s["name"]: s["status"] for s in run["steps"]} == {
        "Read": "Succeeded",
        "Judge": "Succeeded",
        "Gate": "Succeeded",
        "TooLittle": "NotRun",
    }
    assert "read b'1\\n2\\n3\\n'" in mlops(tmp_path, "logs", "latest", "Read").stdout
