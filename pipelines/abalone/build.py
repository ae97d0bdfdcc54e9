"""Prepare -> Train -> Evaluate -> Gate -> Register, or TooCoarse: with the SageMaker SDK v3 and nothing else.

By hand, against whatever account the environment leads to (a running `mlops-sm local up`, or AWS):

    python -m pipelines.abalone.build --role ROLE --bucket BUCKET
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import boto3
from sagemaker.core import image_uris
from sagemaker.core.model_metrics import MetricsSource, ModelMetrics
from sagemaker.core.processing import ScriptProcessor
from sagemaker.core.shapes import ProcessingInput, ProcessingOutput, ProcessingS3Input, ProcessingS3Output
from sagemaker.core.workflow.conditions import ConditionLessThanOrEqualTo
from sagemaker.core.workflow.functions import Join, JsonGet
from sagemaker.core.workflow.parameters import ParameterFloat, ParameterInteger, ParameterString
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.model_step import ModelStep
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.steps import ProcessingStep, TrainingStep
from sagemaker.serve import ModelBuilder
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, OutputDataConfig, SourceCode

JOBS = Path(__file__).parent / "jobs"
DATA = Path(__file__).parent / "data" / "abalone.csv"
NAME = "abalone"
# The SDK reports every call to a server of its own unless it is told not to.
NO_TELEMETRY = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}


def new_session(bucket: str) -> PipelineSession:
    """A session that records jobs as steps, with the environment's account and region."""
    return PipelineSession(boto_session=boto3.Session(), default_bucket=bucket, sagemaker_config=NO_TELEMETRY)


def _input(name: str, uri: object, folder: str) -> ProcessingInput:
    source = ProcessingS3Input(s3_uri=uri, local_path=folder, s3_data_type="S3Prefix", s3_input_mode="File")
    return ProcessingInput(input_name=name, s3_input=source)


def _output(name: str) -> ProcessingOutput:
    folder = f"/opt/ml/processing/{name}"
    # A path that is not in S3 makes the SDK choose one that names pipeline, execution and step.
    target = ProcessingS3Output(s3_uri=folder, local_path=folder, s3_upload_mode="EndOfJob")
    return ProcessingOutput(output_name=name, s3_output=target)


def build(session: PipelineSession, role: str, data: str) -> Pipeline:
    """The pipeline; `data` is where abalone.csv is in S3."""
    region, bucket = session.boto_region_name, session.default_bucket()
    image = image_uris.retrieve("sklearn", region=region, version="1.2-1", instance_type="ml.m5.large")
    input_data = ParameterString("InputData", default_value=data)
    seed = ParameterInteger("Seed", default_value=7)
    max_mse = ParameterFloat("MaxMse", default_value=6.0)

    def processor(name: str) -> ScriptProcessor:
        return ScriptProcessor(
            image_uri=image,
            command=["python3"],
            role=role,
            instance_type="ml.m5.large",
            instance_count=1,
            base_job_name=name,
            sagemaker_session=session,
        )

    prepare = ProcessingStep(
        name="Prepare",
        step_args=processor("abalone-prepare").run(
            code=str(JOBS / "prepare.py"),
            inputs=[_input("input", input_data, "/opt/ml/processing/input")],
            outputs=[_output(part) for part in ("train", "validation", "test")],
            arguments=["--seed", seed.to_string()],
        ),
    )

    def part(name: str) -> Any:  # noqa: ANN401 - a reference; the SDK has no type for it
        return prepare.properties.ProcessingOutputConfig.Outputs[name].S3Output.S3Uri

    trainer = ModelTrainer(
        sagemaker_session=session,
        role=role,
        training_image=image,
        base_job_name="abalone-train",
        source_code=SourceCode(source_dir=str(JOBS / "training"), entry_script="train.py"),
        compute=Compute(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=10),
        output_data_config=OutputDataConfig(s3_output_path=f"s3://{bucket}/{NAME}/models"),
        hyperparameters={"learning-rate": 0.05},
    )
    train = TrainingStep(
        name="Train",
        step_args=trainer.train(
            input_data_config=[
                InputData(channel_name=name, data_source=part(name), content_type="text/csv")
                for name in ("train", "validation")
            ]
        ),
    )
    model_data = train.properties.ModelArtifacts.S3ModelArtifacts

    report = PropertyFile(name="Report", output_name="evaluation", path="evaluation.json")
    evaluate = ProcessingStep(
        name="Evaluate",
        step_args=processor("abalone-evaluate").run(
            code=str(JOBS / "evaluate.py"),
            inputs=[
                _input("model", model_data, "/opt/ml/processing/model"),
                _input("test", part("test"), "/opt/ml/processing/test"),
            ],
            outputs=[_output("evaluation")],
        ),
        property_files=[report],
    )
    report_folder = evaluate.properties.ProcessingOutputConfig.Outputs["evaluation"].S3Output.S3Uri
    builder = ModelBuilder(s3_model_data_url=model_data, image_uri=image, sagemaker_session=session, role_arn=role)
    register = ModelStep(
        name="Register",
        step_args=builder.register(
            model_package_group_name=NAME,
            content_types=["text/csv"],
            response_types=["text/csv"],
            inference_instances=["ml.m5.large"],
            transform_instances=["ml.m5.large"],
            approval_status="PendingManualApproval",
            model_metrics=ModelMetrics(
                model_statistics=MetricsSource(
                    content_type="application/json", s3_uri=Join(on="/", values=[report_folder, "evaluation.json"])
                )
            ),
        ),
    )
    mse = JsonGet(step_name=evaluate.name, property_file=report, json_path="regression_metrics.mse.value")
    coarse = FailStep(
        name="TooCoarse", error_message=Join(on=" ", values=["The mean squared error is above", max_mse.to_string()])
    )
    gate = ConditionStep(
        name="Gate",
        conditions=[ConditionLessThanOrEqualTo(left=mse, right=max_mse)],
        if_steps=[register],
        else_steps=[coarse],
    )
    return Pipeline(
        name=NAME,
        parameters=[input_data, seed, max_mse],
        steps=[prepare, train, evaluate, gate],
        sagemaker_session=session,
    )


def main(given: list[str]) -> int:
    """Upload the data, create or update the pipeline, run it and print its steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--role", required=True, help="name or ARN of the execution role")
    parser.add_argument("--bucket", required=True, help="an existing bucket, for data, code and models")
    parser.add_argument("--max-mse", type=float, help="the largest mean squared error that is good enough")
    arguments = parser.parse_args(given)
    session = new_session(arguments.bucket)
    data = session.upload_data(str(DATA), key_prefix=f"{NAME}/data")
    pipeline = build(session, arguments.role, data)
    pipeline.upsert(role_arn=arguments.role)
    execution = pipeline.start(parameters={} if arguments.max_mse is None else {"MaxMse": arguments.max_mse})
    sys.stdout.write(f"{execution.arn}\n")
    try:
        execution.wait(delay=1, max_attempts=600)
    finally:
        for step in reversed(execution.list_steps()):
            sys.stdout.write(f"{step['StepName']:<10} {step['StepStatus']:<10} {step.get('FailureReason', '')}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
