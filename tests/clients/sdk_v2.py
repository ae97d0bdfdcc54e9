"""A pipeline with nothing but the SageMaker SDK v2, which is installed in a virtual environment of its own.

Takes a role, a bucket and a scratch folder; prints one JSON object for whoever started it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import boto3
import sagemaker
from sagemaker.inputs import TrainingInput
from sagemaker.model import Model
from sagemaker.processing import ProcessingOutput
from sagemaker.sklearn import SKLearn, SKLearnProcessor
from sagemaker.workflow.condition_step import ConditionStep
from sagemaker.workflow.conditions import ConditionGreaterThan
from sagemaker.workflow.functions import JsonGet
from sagemaker.workflow.model_step import ModelStep
from sagemaker.workflow.parameters import ParameterFloat
from sagemaker.workflow.pipeline import Pipeline
from sagemaker.workflow.pipeline_context import PipelineSession
from sagemaker.workflow.properties import PropertyFile
from sagemaker.workflow.steps import ProcessingStep, TrainingStep

NO_TELEMETRY = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}
MAKE = """
import json, pathlib
pathlib.Path("/opt/ml/processing/out/numbers.csv").write_text("1\\n2\\n3\\n")
pathlib.Path("/opt/ml/processing/report/report.json").write_text(json.dumps({"count": 3}))
"""
TRAIN = """
import argparse, os, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--factor", type=float, required=True)
factor = parser.parse_args().factor
numbers = [int(line) for line in (pathlib.Path(os.environ["SM_CHANNEL_NUMBERS"]) / "numbers.csv").read_text().split()]
(pathlib.Path(os.environ["SM_MODEL_DIR"]) / "mean.txt").write_text(str(factor * sum(numbers) / len(numbers)))
print(f"mean={factor * sum(numbers) / len(numbers)};")
"""


def main(role: str, bucket: str, scratch: Path) -> int:
    session = PipelineSession(boto_session=boto3.Session(), default_bucket=bucket, sagemaker_config=NO_TELEMETRY)
    (scratch / "make.py").write_text(MAKE)
    (scratch / "source").mkdir()
    (scratch / "source" / "train.py").write_text(TRAIN)
    factor = ParameterFloat("Factor", default_value=2.0)
    processor = SKLearnProcessor(
        framework_version="1.2-1", role=role, instance_type="ml.m5.large", instance_count=1, sagemaker_session=session
    )
    report = PropertyFile(name="Report", output_name="report", path="report.json")
    make = ProcessingStep(
        name="Make",
        step_args=processor.run(
            code=str(scratch / "make.py"),
            outputs=[
                ProcessingOutput(output_name=name, source=f"/opt/ml/processing/{name}") for name in ("out", "report")
            ],
        ),
        property_files=[report],
    )
    estimator = SKLearn(
        entry_point="train.py",
        source_dir=str(scratch / "source"),
        framework_version="1.2-1",
        role=role,
        instance_type="ml.m5.large",
        instance_count=1,
        hyperparameters={"factor": factor},
        metric_definitions=[{"Name": "mean", "Regex": "mean=([0-9.]+);"}],
        sagemaker_session=session,
    )
    numbers = make.properties.ProcessingOutputConfig.Outputs["out"].S3Output.S3Uri
    train = TrainingStep(name="Train", step_args=estimator.fit({"numbers": TrainingInput(numbers)}))
    model = Model(
        image_uri=estimator.training_image_uri(),
        model_data=train.properties.ModelArtifacts.S3ModelArtifacts,
        role=role,
        sagemaker_session=session,
    )
    register = ModelStep(
        name="Register",
        step_args=model.register(
            content_types=["text/csv"], response_types=["text/csv"], model_package_group_name="means"
        ),
    )
    count = JsonGet(step_name=make.name, property_file=report, json_path="count")
    gate = ConditionStep(name="Gate", conditions=[ConditionGreaterThan(count, 2)], if_steps=[train, register])
    pipeline = Pipeline(name="means", parameters=[factor], steps=[make, gate], sagemaker_session=session)
    pipeline.upsert(role_arn=role)
    execution = pipeline.start(parameters={"Factor": 3.0})
    execution.wait(delay=1, max_attempts=120)
    found = execution.list_steps()
    steps = {step["StepName"]: step["StepStatus"] for step in found}
    client = boto3.client("sagemaker")
    (job,) = [
        step["Metadata"]["TrainingJob"]["Arn"].rpartition("/")[2] for step in found if step["StepName"] == "Train"
    ]
    metrics = client.describe_training_job(TrainingJobName=job)["FinalMetricDataList"]
    packages = client.list_model_packages(ModelPackageGroupName="means")["ModelPackageSummaryList"]
    result = {
        "sdk": sagemaker.__version__,
        "status": execution.describe()["PipelineExecutionStatus"],
        "steps": steps,
        "mean": metrics[0]["Value"],
        "packages": [package["ModelApprovalStatus"] for package in packages],
    }
    sys.stdout.write("\n" + json.dumps(result) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
