"""Built-in XGBoost with nothing but the SageMaker SDK v3: a trainer's train and a tuner's tune.

Takes a role and a bucket; prints one JSON object for whoever started it.
"""

from __future__ import annotations

import json
import sys

import boto3
from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.parameter import IntegerParameter
from sagemaker.core.resources import TrainingJob
from sagemaker.core.shapes import Channel, DataSource, S3DataSource
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, OutputDataConfig
from sagemaker.train.tuner import HyperparameterTuner

NO_TELEMETRY = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}
ROWS = "".join(f"{int(a + b > 9)} 0:{a} 1:{b}\n" for a in range(10) for b in range(10))


def main(role: str, bucket: str) -> int:
    session = Session(boto_session=boto3.Session(), default_bucket=bucket, sagemaker_config=NO_TELEMETRY)
    boto3.client("s3").put_object(Bucket=bucket, Key="v3-xgboost/data/rows.libsvm", Body=ROWS.encode())
    trainer = ModelTrainer(
        sagemaker_session=session,
        role=role,
        training_image=image_uris.retrieve("xgboost", session.boto_region_name, version="3.0-5"),
        base_job_name="boosted",
        compute=Compute(instance_type="ml.m5.xlarge", instance_count=1, volume_size_in_gb=10),
        output_data_config=OutputDataConfig(s3_output_path=f"s3://{bucket}/v3-xgboost/models"),
        hyperparameters={"objective": "binary:logistic", "num_round": 10, "eval_metric": "auc"},
    )
    inputs = [channel(name, f"s3://{bucket}/v3-xgboost/data/") for name in ("train", "validation")]
    trainer.train(input_data_config=inputs, wait=True, logs=True)
    job = TrainingJob.get(trainer._latest_training_job.training_job_name)
    tuner = HyperparameterTuner(
        trainer,
        objective_metric_name="validation:auc",
        hyperparameter_ranges={"max_depth": IntegerParameter(1, 4)},
        max_jobs=2,
        max_parallel_jobs=2,
        strategy="Random",
        base_tuning_job_name="boosted",
    )
    tuner.tune(inputs=inputs, wait=True)
    found = {
        "status": job.training_job_status,
        "metrics": sorted(each.metric_name for each in job.final_metric_data_list),
        "best": tuner.best_training_job() != "",
    }
    sys.stdout.write("\n" + json.dumps(found) + "\n")
    return 0


def channel(name: str, uri: str) -> Channel:
    source = S3DataSource(s3_data_type="S3Prefix", s3_uri=uri, s3_data_distribution_type="FullyReplicated")
    return Channel(channel_name=name, data_source=DataSource(s3_data_source=source))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
