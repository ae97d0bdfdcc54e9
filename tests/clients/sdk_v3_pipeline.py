"""A pipeline of whatever SDK v3 writes by itself, with nothing but that: its processors, trainers, tuners, conditions.

Takes a role, a bucket, a scratch folder and names of executions; prints one JSON object: how they ended.
The definition is in the folder afterwards.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import boto3
from sagemaker.core import image_uris
from sagemaker.core.parameter import ContinuousParameter
from sagemaker.core.processing import FrameworkProcessor, ScriptProcessor
from sagemaker.core.shapes import ProcessingInput, ProcessingOutput, ProcessingS3Input, ProcessingS3Output
from sagemaker.core.training.configs import Compute, InputData, OutputDataConfig, SourceCode
from sagemaker.core.workflow.conditions import ConditionLessThanOrEqualTo
from sagemaker.core.workflow.functions import Join, JsonGet
from sagemaker.core.workflow.parameters import ParameterFloat, ParameterInteger, ParameterString
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.parallelism_config import ParallelismConfiguration
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.steps import CacheConfig, ProcessingStep, TrainingStep, TuningStep
from sagemaker.train import ModelTrainer
from sagemaker.train.tuner import HyperparameterTuner

NO_TELEMETRY = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}
FILES = {
    "prepare/main.py": """
        import argparse, json, pathlib
        from helper import rows
        parser = argparse.ArgumentParser()
        parser.add_argument("--count", type=int)
        config = json.loads(pathlib.Path("/opt/ml/config/resourceconfig.json").read_text())
        out = pathlib.Path("/opt/ml/processing/out", config["current_host"] + ".csv")
        out.write_text(rows(parser.parse_args().count))
    """,
    "prepare/helper.py": """
        def rows(count):
            return "".join(f"{n}\\n" for n in range(count))
    """,
    "prepare/requirements.txt": "pandas",
    "train/train.py": """
        import argparse, os, pathlib
        parser = argparse.ArgumentParser()
        parser.add_argument("--slope", type=float)
        parser.add_argument("--broken", default="no")
        given, _ = parser.parse_known_args()
        if given.broken == "yes":
            raise ValueError("the data make no sense")
        files = sorted(path.name for path in pathlib.Path(os.environ["SM_CHANNEL_ROWS"]).iterdir())
        print(os.environ["SM_CURRENT_HOST"], "of", os.environ["SM_HOSTS"], "has", files)
        pathlib.Path(os.environ["SM_MODEL_DIR"], "slope.txt").write_text(str(given.slope))
        print(f"mse={(given.slope - 2) ** 2};")
    """,
    "train/requirements.txt": "scikit-learn",
    "evaluate.py": """
        import json, pathlib, sys, tarfile
        tarfile.open("/opt/ml/processing/model/model.tar.gz").extractall("/tmp/model")
        slope = float(pathlib.Path("/tmp/model/slope.txt").read_text())
        report = {"mse": (slope - 2) ** 2}
        pathlib.Path("/opt/ml/processing/out/report.json").write_text(json.dumps(report))
    """,
}


def outcome(execution: Any) -> dict[str, Any]:
    """How an execution ended, step by step."""
    try:
        execution.wait(delay=1, max_attempts=240)
    except Exception as ended:  # the waiter's way of saying that it failed
        sys.stderr.write(f"{ended}\n")
    steps = execution.list_steps()
    found = {
        "status": execution.describe()["PipelineExecutionStatus"],
        "steps": {each["StepName"]: each["StepStatus"] for each in steps},
    }
    reasons = {each["StepName"]: each["FailureReason"] for each in steps if "FailureReason" in each}
    return found | ({"reasons": reasons} if reasons else {})


def out(uri: str) -> list[ProcessingOutput]:
    end = ProcessingS3Output(s3_uri=uri, local_path="/opt/ml/processing/out", s3_upload_mode="EndOfJob")
    return [ProcessingOutput(output_name="out", s3_output=end)]


def model_of(uri: Any) -> list[ProcessingInput]:
    end = ProcessingS3Input(
        s3_uri=uri, local_path="/opt/ml/processing/model", s3_data_type="S3Prefix", s3_input_mode="File"
    )
    return [ProcessingInput(input_name="model", s3_input=end)]


def build(session: PipelineSession, role: str, bucket: str, scratch: Path) -> Pipeline:
    """Prepare and train on two instances, evaluate; search; decide by the better of both."""
    image = image_uris.retrieve(
        "sklearn", region=session.boto_region_name, version="1.2-1", instance_type="ml.m5.large"
    )
    count, slope = ParameterInteger("Count", default_value=3), ParameterFloat("Slope", default_value=2.5)
    most, broken = ParameterFloat("Most", default_value=1.0), ParameterString("Broken", default_value="no")
    common = {"role": role, "instance_type": "ml.m5.large", "sagemaker_session": session}
    framework = FrameworkProcessor(image_uri=image, command=["python3"], instance_count=2, **common)
    prepare = ProcessingStep(
        name="Prepare",
        step_args=framework.run(
            code="main.py",
            source_dir=str(scratch / "prepare"),
            requirements="requirements.txt",
            arguments=["--count", count.to_string()],
            outputs=out(f"s3://{bucket}/v3/rows"),
        ),
        cache_config=CacheConfig(enable_caching=True, expire_after="P1D"),
    )

    def trainer(instances: int, **hyperparameters: Any) -> ModelTrainer:
        return ModelTrainer(
            sagemaker_session=session,
            role=role,
            training_image=image,
            source_code=SourceCode(
                source_dir=str(scratch / "train"), entry_script="train.py", requirements="requirements.txt"
            ),
            hyperparameters=hyperparameters,
            compute=Compute(instance_type="ml.m5.large", instance_count=instances, volume_size_in_gb=10),
            output_data_config=OutputDataConfig(s3_output_path=f"s3://{bucket}/v3/models"),
        )

    rows = InputData(
        channel_name="rows", data_source=prepare.properties.ProcessingOutputConfig.Outputs["out"].S3Output.S3Uri
    )
    train = TrainingStep(
        name="Train", step_args=trainer(2, slope=slope.to_string(), broken=broken).train(input_data_config=[rows])
    )
    tuner = HyperparameterTuner(
        trainer(1, broken="no"),
        objective_metric_name="mse",
        objective_type="Minimize",
        hyperparameter_ranges={"slope": ContinuousParameter(1.0, 3.0)},
        metric_definitions=[{"Name": "mse", "Regex": "mse=([0-9.e-]+);"}],
        strategy="Random",
        max_jobs=2,
        max_parallel_jobs=2,
    )
    tune = TuningStep(name="Tune", step_args=tuner.tune(inputs=[rows]))
    script = ScriptProcessor(image_uri=image, command=["python3"], instance_count=1, **common)
    report = PropertyFile(name="Report", output_name="out", path="report.json")

    def evaluate(name: str, model: Any) -> ProcessingStep:
        return ProcessingStep(
            name=name,
            step_args=script.run(
                code=str(scratch / "evaluate.py"), inputs=model_of(model), outputs=out(f"s3://{bucket}/v3/{name}")
            ),
            property_files=[report],
        )

    trained = evaluate("Trained", train.properties.ModelArtifacts.S3ModelArtifacts)
    tuned = evaluate("Tuned", tune.get_top_model_s3_uri(top_k=0, s3_bucket=bucket, prefix="v3/models"))
    value = JsonGet(step_name="Trained", property_file=report, json_path="mse")
    fail = FailStep(name="Refuse", error_message=Join(on=" ", values=["more than", most, "with", slope]))
    decide = ConditionStep(
        name="Decide",
        conditions=[ConditionLessThanOrEqualTo(left=value, right=most)],
        if_steps=[tune, tuned],
        else_steps=[fail],
    )
    return Pipeline(
        name="sdk-v3",
        parameters=[count, slope, most, broken],
        steps=[prepare, train, trained, decide],
        sagemaker_session=session,
    )


def main(role: str, bucket: str, scratch: Path, *names: str) -> int:
    for name, text in FILES.items():
        (scratch / name).parent.mkdir(exist_ok=True)
        lines = text.strip("\n").splitlines()
        (scratch / name).write_text("\n".join(line.removeprefix(" " * 8) for line in lines) + "\n")
    session = PipelineSession(boto_session=boto3.Session(), default_bucket=bucket, sagemaker_config=NO_TELEMETRY)
    pipeline = build(session, role, bucket, scratch)
    pipeline.upsert(role_arn=role, parallelism_config=ParallelismConfiguration(2))
    (scratch / "sdk-v3.json").write_text(pipeline.definition())
    given: dict[str, dict[str, Any]] = {
        "good": {},
        "bad": {"Slope": 4.5, "Count": 1},
        "broken": {"Broken": "yes"},
    }
    started = {name: pipeline.start(parameters=given[name]) for name in names}
    found: dict[str, Any] = {name: outcome(execution) for name, execution in started.items()}
    s3 = boto3.client("s3")
    found["rows"] = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket, Prefix="v3/rows/")["Contents"]]
    if "good" in names:
        tuned = json.loads(s3.get_object(Bucket=bucket, Key="v3/Tuned/report.json")["Body"].read())
        found["tuned"] = tuned["mse"] <= 1
    sys.stdout.write("\n" + json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), *sys.argv[4:]))
