"""Pipelines of ``@step`` functions with nothing but a SageMaker SDK, v3 or v2: results passed on, decisions, failures.

Takes a role, a bucket and a scratch folder; prints one JSON object for whoever started it.
"""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import boto3

if metadata.version("sagemaker").startswith("2."):
    from sagemaker.remote_function import remote
    from sagemaker.session import Session
    from sagemaker.workflow.condition_step import ConditionStep
    from sagemaker.workflow.conditions import ConditionGreaterThanOrEqualTo
    from sagemaker.workflow.fail_step import FailStep
    from sagemaker.workflow.function_step import step
    from sagemaker.workflow.parameters import ParameterFloat, ParameterInteger
    from sagemaker.workflow.pipeline import Pipeline
    from sagemaker.workflow.pipeline_context import PipelineSession

    # An image that stands for the Python that has version 2, which a job would look for a newer one of otherwise.
    IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sdk-v2:1"
    ENVIRONMENT = {"PIP_NO_INDEX": "1"}
else:
    from sagemaker.core import image_uris
    from sagemaker.core.helper.session_helper import Session
    from sagemaker.core.remote_function import remote
    from sagemaker.core.workflow.conditions import ConditionGreaterThanOrEqualTo
    from sagemaker.core.workflow.parameters import ParameterFloat, ParameterInteger
    from sagemaker.core.workflow.pipeline_context import PipelineSession
    from sagemaker.mlops.workflow.condition_step import ConditionStep
    from sagemaker.mlops.workflow.fail_step import FailStep
    from sagemaker.mlops.workflow.function_step import step
    from sagemaker.mlops.workflow.pipeline import Pipeline

    IMAGE = image_uris.retrieve("sklearn", region="us-east-1", version="1.2-1", instance_type="ml.m5.large")
    ENVIRONMENT = {}

NO_TELEMETRY = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}


def split(count: int) -> tuple[list[int], list[int]]:
    """Numbers to learn from and numbers to test with."""
    numbers = list(range(1, count + 1))
    return numbers[: count // 2], numbers[count // 2 :]


def fit(numbers: list[int], factor: float) -> dict[str, Any]:
    """A model: something that JSON could not hold is in it too."""
    sys.stdout.write(f"fitting {len(numbers)} numbers\n")
    return {"mean": factor * sum(numbers) / len(numbers), "values": frozenset(numbers)}


def score(model: dict[str, Any], numbers: list[int]) -> dict[str, Any]:
    """What a condition can ask for."""
    assert isinstance(model["values"], frozenset)
    return {"error": abs(sum(numbers) / len(numbers) - model["mean"]), "checks": [{"rows": len(numbers)}]}


def publish(name: str, evaluation: dict[str, Any]) -> str:
    """The last of them."""
    return f"{name}: {evaluation['error']}"


def break_down(evaluation: dict[str, Any]) -> None:
    """A step that fails as user code does."""
    raise ValueError(f"no use with {evaluation['checks'][0]['rows']} rows")


def settings_of(role: str) -> dict[str, Any]:
    """What every function is given to run with."""
    return {
        "image_uri": IMAGE,
        "instance_type": "ml.m5.large",
        "role": role,
        "environment_variables": ENVIRONMENT,
    }


def graph(session: PipelineSession, role: str, name: str, *, broken: bool = False, **extra: Any) -> Pipeline:
    """Split, fit, score; then publish, or fail. Or one step that raises."""
    settings = settings_of(role)
    if broken:
        failing = step(break_down, name="Break", **settings)({"checks": [{"rows": 2}]})
        return Pipeline(name=name, steps=[failing], sagemaker_session=session)
    count, factor = ParameterInteger("Count", default_value=4), ParameterFloat("Factor", default_value=1.0)
    parts = step(split, name="Split", **settings)(count)
    model = step(fit, name="Fit", **settings)(parts[0], factor)
    evaluation = step(score, name="Score", **settings, **extra)(model, numbers=parts[1])
    published = step(publish, name="Publish", **settings)("mean", evaluation)
    gate = ConditionStep(
        name="Gate",
        conditions=[
            ConditionGreaterThanOrEqualTo(evaluation["error"], 1.5),
            ConditionGreaterThanOrEqualTo(evaluation["checks"][0]["rows"], 2),
        ],
        if_steps=[published],
        else_steps=[FailStep(name="TooGood", error_message="the error is too small to be true")],
    )
    return Pipeline(name=name, parameters=[count, factor], steps=[evaluation, gate], sagemaker_session=session)


def outcome(execution: Any) -> dict[str, Any]:
    """How an execution ended, step by step."""
    try:
        execution.wait(delay=1, max_attempts=240)
    except Exception as ended:  # the waiter's way of saying that it failed
        sys.stderr.write(f"{ended}\n")
    steps = execution.list_steps()
    return {
        "status": execution.describe()["PipelineExecutionStatus"],
        "steps": {each["StepName"]: each["StepStatus"] for each in steps},
        "reasons": {each["StepName"]: each["FailureReason"] for each in steps if "FailureReason" in each},
    }


def main(role: str, bucket: str, scratch: Path) -> int:
    session = PipelineSession(boto_session=boto3.Session(), default_bucket=bucket, sagemaker_config=NO_TELEMETRY)
    (scratch / "requirements.txt").write_text("pandas>=1\n")
    pipeline = graph(session, role, "functions", dependencies=str(scratch / "requirements.txt"))
    pipeline.upsert(role_arn=role)
    execution = pipeline.start()
    found: dict[str, Any] = {"succeeded": outcome(execution)}
    found["succeeded"]["result"] = execution.result("Publish")
    failing = graph(session, role, "functions-broken", broken=True)
    failing.upsert(role_arn=role)
    execution = failing.start()
    found["broken"] = outcome(execution)
    plain = Session(boto_session=boto3.Session(), default_bucket=bucket, sagemaker_config=NO_TELEMETRY)
    found["remote"] = remote(score, sagemaker_session=plain, **settings_of(role))(
        {"mean": 1.0, "values": frozenset()}, [2, 4]
    )
    found["overridden"] = outcome(pipeline.start(parameters={"Count": 6, "Factor": 2.4}))
    sys.stdout.write("\n" + json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
