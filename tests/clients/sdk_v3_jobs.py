"""Jobs without a pipeline, with nothing but the SageMaker SDK v3: a processor's run and a trainer's train.

Takes a role, a bucket and a scratch folder; prints one JSON object for whoever started it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import boto3
from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.processing import ScriptProcessor
from sagemaker.core.shapes import ProcessingOutput, ProcessingS3Output
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, OutputDataConfig, SourceCode

NO_TELEMETRY = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}
MAKE = """
import pathlib
pathlib.Path("/opt/ml/processing/out/numbers.csv").write_text("1\\n2\\n3\\n")
print("made three numbers")
"""
TRAIN = """
import os, pathlib
numbers = [int(line) for line in (pathlib.Path(os.environ["SM_CHANNEL_NUMBERS"]) / "numbers.csv").read_text().split()]
(pathlib.Path(os.environ["SM_MODEL_DIR"]) / "mean.txt").write_text(str(sum(numbers) / len(numbers)))
print(f"mean={sum(numbers) / len(numbers)}")
"""


def main(role: str, bucket: str, scratch: Path) -> int:
    session = Session(boto_session=boto3.Session(), default_bucket=bucket, sagemaker_config=NO_TELEMETRY)
    image = image_uris.retrieve(
        "sklearn", region=session.boto_region_name, version="1.2-1", instance_type="ml.m5.large"
    )
    (scratch / "make.py").write_text(MAKE)
    (scratch / "source").mkdir()
    (scratch / "source" / "train.py").write_text(TRAIN)

    processor = ScriptProcessor(
        image_uri=image,
        command=["python3"],
        role=role,
        instance_type="ml.m5.large",
        instance_count=1,
        base_job_name="make",
        sagemaker_session=session,
    )
    target = ProcessingS3Output(
        s3_uri=f"s3://{bucket}/numbers", local_path="/opt/ml/processing/out", s3_upload_mode="EndOfJob"
    )
    processor.run(
        code=str(scratch / "make.py"),
        outputs=[ProcessingOutput(output_name="out", s3_output=target)],
        wait=True,
        logs=True,
    )

    trainer = ModelTrainer(
        sagemaker_session=session,
        role=role,
        training_image=image,
        base_job_name="mean",
        source_code=SourceCode(source_dir=str(scratch / "source"), entry_script="train.py"),
        compute=Compute(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=10),
        output_data_config=OutputDataConfig(s3_output_path=f"s3://{bucket}/models"),
    )
    trainer.train(
        input_data_config=[InputData(channel_name="numbers", data_source=f"s3://{bucket}/numbers")],
        wait=True,
        logs=True,
    )
    sagemaker = boto3.client("sagemaker")
    jobs = {
        **{job["ProcessingJobName"]: job["ProcessingJobStatus"] for job in processing(sagemaker)},
        **{job["TrainingJobName"]: job["TrainingJobStatus"] for job in training(sagemaker)},
    }
    sys.stdout.write("\n" + json.dumps({"jobs": jobs}) + "\n")
    return 0


def processing(sagemaker: object) -> list[dict[str, str]]:
    return list(sagemaker.list_processing_jobs()["ProcessingJobSummaries"])  # type: ignore[attr-defined] # boto3's


def training(sagemaker: object) -> list[dict[str, str]]:
    return list(sagemaker.list_training_jobs()["TrainingJobSummaries"])  # type: ignore[attr-defined] # boto3's


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
