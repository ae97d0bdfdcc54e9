"""A search with nothing but the SageMaker SDK v3: HyperparameterTuner.tune, its best training, a warm start.

Takes a role, a bucket and a scratch folder; prints one JSON object for whoever started it.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
from pathlib import Path

import boto3
from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.parameter import ContinuousParameter, IntegerParameter
from sagemaker.core.training.configs import Compute, OutputDataConfig, SourceCode
from sagemaker.train import ModelTrainer
from sagemaker.train.tuner import HyperparameterTuner

NO_TELEMETRY = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}
TRAIN = """
import argparse, os, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float)
parser.add_argument("--depth", type=int)
parser.add_argument("--offset", type=float)
given, _ = parser.parse_known_args()
score = given.offset - (given.rate - 0.1) ** 2 - (given.depth - 3) ** 2
(pathlib.Path(os.environ["SM_MODEL_DIR"]) / "score.txt").write_text(str(score))
print(f"score={score}")
"""


def main(role: str, bucket: str, scratch: Path) -> int:
    session = Session(boto_session=boto3.Session(), default_bucket=bucket, sagemaker_config=NO_TELEMETRY)
    image = image_uris.retrieve(
        "sklearn", region=session.boto_region_name, version="1.2-1", instance_type="ml.m5.large"
    )
    (scratch / "source").mkdir()
    (scratch / "source" / "train.py").write_text(TRAIN)
    data = f"s3://{bucket}/tuned/data.csv"
    boto3.client("s3").put_object(Bucket=bucket, Key="tuned/data.csv", Body=b"1,2\n")

    trainer = ModelTrainer(
        sagemaker_session=session,
        role=role,
        training_image=image,
        base_job_name="tuned",
        source_code=SourceCode(source_dir=str(scratch / "source"), entry_script="train.py"),
        hyperparameters={"offset": 10},
        compute=Compute(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=10),
        output_data_config=OutputDataConfig(s3_output_path=f"s3://{bucket}/tuned-models"),
    )
    tuner = HyperparameterTuner(
        trainer,
        objective_metric_name="score",
        hyperparameter_ranges={
            "rate": ContinuousParameter(0.001, 1.0, scaling_type="Logarithmic"),
            "depth": IntegerParameter(1, 6),
        },
        metric_definitions=[{"Name": "score", "Regex": r"score=([-0-9.e]+)"}],
        strategy="Bayesian",
        objective_type="Maximize",
        max_jobs=6,
        max_parallel_jobs=2,
        random_seed=3,
        base_tuning_job_name="search",
    )
    tuner.tune(inputs=data, wait=True)
    described = tuner.describe()
    best = tuner.best_training_job()
    archive = boto3.client("s3").get_object(Bucket=bucket, Key=f"tuned-models/{best}/output/model.tar.gz")["Body"]
    with tarfile.open(fileobj=io.BytesIO(archive.read())) as model:
        member = next(name for name in model.getnames() if name.endswith("score.txt"))
        score = model.extractfile(member).read().decode()  # type: ignore[union-attr] # it is a file
    found = {
        "status": described.hyper_parameter_tuning_job_status,
        "completed": described.training_job_status_counters.completed,
        "best": best == described.best_training_job.training_job_name,
        "score": float(score),
        "objective": described.best_training_job.final_hyper_parameter_tuning_job_objective_metric.value,
    }
    sys.stdout.write("\n" + json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
