"""A search with nothing but the SageMaker SDK v2: HyperparameterTuner.fit, its analytics, a warm start.

Takes a role, a bucket and a scratch folder; prints one JSON object for whoever started it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import boto3
import sagemaker
from sagemaker.inputs import TrainingInput
from sagemaker.session import Session
from sagemaker.sklearn import SKLearn
from sagemaker.tuner import CategoricalParameter, ContinuousParameter, HyperparameterTuner

NO_TELEMETRY = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}
TRAIN = """
import argparse, os, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float)
parser.add_argument("--kind", choices=["good", "bad"])
parser.add_argument("--offset", type=float)
given, _ = parser.parse_known_args()
score = given.offset + (given.kind == "good") - given.rate
(pathlib.Path(os.environ["SM_MODEL_DIR"]) / "score.txt").write_text(str(score))
print(f"score={score};")
"""


def main(role: str, bucket: str, scratch: Path) -> int:
    session = Session(boto_session=boto3.Session(), default_bucket=bucket, sagemaker_config=NO_TELEMETRY)
    (scratch / "source").mkdir()
    (scratch / "source" / "train.py").write_text(TRAIN)
    boto3.client("s3").put_object(Bucket=bucket, Key="v2/data.csv", Body=b"1\n")
    estimator = SKLearn(
        entry_point="train.py",
        source_dir=str(scratch / "source"),
        framework_version="1.2-1",
        role=role,
        instance_type="ml.m5.large",
        instance_count=1,
        hyperparameters={"offset": 10},
        sagemaker_session=session,
    )
    tuner = HyperparameterTuner(
        estimator,
        objective_metric_name="score",
        hyperparameter_ranges={
            "rate": ContinuousParameter(0.001, 1.0, scaling_type="Logarithmic"),
            "kind": CategoricalParameter(["good", "bad"]),
        },
        metric_definitions=[{"Name": "score", "Regex": "score=([0-9.]+);"}],
        strategy="Random",
        max_jobs=4,
        max_parallel_jobs=2,
        base_tuning_job_name="v2",
    )
    tuner.fit({"train": TrainingInput(f"s3://{bucket}/v2/")}, wait=True)
    warm = tuner.identical_dataset_and_algorithm_tuner()
    # The SDK forgets them, and the service wants them.
    warm.metric_definitions = tuner.metric_definitions
    warm.fit({"train": TrainingInput(f"s3://{bucket}/v2/")}, wait=True)
    frame = tuner.analytics().dataframe()
    described = warm.describe()
    found = {
        "sdk": sagemaker.__version__,
        "statuses": sorted(set(frame["TrainingJobStatus"])),
        "kinds": sorted({kind.strip('"') for kind in frame["kind"]}),
        "best": tuner.best_training_job() == frame.sort_values("FinalObjectiveValue").iloc[-1]["TrainingJobName"],
        "overall": described["OverallBestTrainingJob"]["TuningJobName"]
        in {tuner.latest_tuning_job.name, warm.latest_tuning_job.name},
    }
    sys.stdout.write("\n" + json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
