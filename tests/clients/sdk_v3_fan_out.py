"""Functions from a script, and an iteration over what one of them returns, with nothing but the SageMaker SDK v3.

Takes a role, a bucket and a scratch folder; prints one JSON object for whoever started it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import boto3
from sagemaker.core.lambda_helper import Lambda
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.mlops.workflow.for_each_step import CurrentItem, ForEachSelector, ForEachStep, IterationOutput
from sagemaker.mlops.workflow.lambda_step import LambdaOutput, LambdaOutputTypeEnum, LambdaStep
from sagemaker.mlops.workflow.pipeline import Pipeline

NO_TELEMETRY = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}
PLAN = """
import json

def handler(event, context):
    return {"segments": json.dumps([{"name": name} for name in event["names"]])}
"""
SCORE = """
def handler(event, context):
    return {"score": float(len(event["segment"])), "segment": event["segment"]}
"""
TELL = """
def handler(event, context):
    return {"best": f"{event['segment']} with {event['score']} of {event['count']}"}
"""


def main(role: str, bucket: str, scratch: Path) -> int:
    boto_session = boto3.Session()
    session = PipelineSession(boto_session=boto_session, default_bucket=bucket, sagemaker_config=NO_TELEMETRY)

    def function(name: str, source: str) -> Lambda:
        script = scratch / f"{name}.py"
        script.write_text(source)
        return Lambda(
            function_name=name,
            execution_role_arn=role,
            script=str(script),
            handler=f"{name}.handler",
            runtime="python3.12",
            session=session,
        )

    def text(name: str) -> LambdaOutput:
        return LambdaOutput(output_name=name, output_type=LambdaOutputTypeEnum.String)

    plan = LambdaStep(
        name="Plan",
        lambda_func=function("plan", PLAN),
        inputs={"names": ["a", "ccc", "bb"]},
        outputs=[text("segments")],
    )
    score = LambdaStep(
        name="Score",
        lambda_func=function("score", SCORE),
        inputs={"segment": CurrentItem().name},
        outputs=[LambdaOutput(output_name="score", output_type=LambdaOutputTypeEnum.Float), text("segment")],
    )
    each = ForEachStep(
        name="Segments",
        iterable_items=plan.properties.Outputs["segments"],
        max_concurrency=2,
        for_each_body=[score],
        selector=ForEachSelector("MaxBy", IterationOutput(score).OutputParameters["score"]),
    )
    tell = LambdaStep(
        name="Tell",
        lambda_func=function("tell", TELL),
        inputs={
            "segment": each.properties.Selected.OutputParameters["segment"],
            "score": each.properties.Selected.OutputParameters["score"],
            "count": each.properties.SucceededStepCount,
        },
        outputs=[text("best")],
    )
    pipeline = Pipeline(name="fan-out", steps=[plan, each, tell], sagemaker_session=session)
    pipeline.upsert(role_arn=role)
    execution = pipeline.start()
    execution.wait(delay=1, max_attempts=120)
    steps = {step["StepName"]: step for step in execution.list_steps()}
    [best] = steps["Tell"]["Metadata"]["Lambda"]["OutputParameters"]
    found = {
        "steps": {name: step["StepStatus"] for name, step in steps.items()},
        "best": best["Value"],
        "item": steps["Score-1"]["IterationContext"]["Item"],
    }
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
