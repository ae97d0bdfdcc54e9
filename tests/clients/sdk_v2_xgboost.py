"""Built-in XGBoost with nothing but the SageMaker SDK v2: fit, tune, transform, deploy, predict.

Takes a role and a bucket; prints one JSON object for whoever started it.
"""

from __future__ import annotations

import json
import sys

import boto3
import sagemaker
from sagemaker import image_uris
from sagemaker.deserializers import CSVDeserializer
from sagemaker.inputs import TrainingInput
from sagemaker.serializers import CSVSerializer
from sagemaker.session import Session
from sagemaker.tuner import HyperparameterTuner, IntegerParameter

NO_TELEMETRY = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}
ROWS = "".join(f"{int(a + b > 9)},{a},{b}\n" for a in range(10) for b in range(10))


def main(role: str, bucket: str) -> int:
    session = Session(boto_session=boto3.Session(), default_bucket=bucket, sagemaker_config=NO_TELEMETRY)
    s3 = boto3.client("s3")
    s3.put_object(Bucket=bucket, Key="v2-xgboost/train/rows.csv", Body=ROWS.encode())
    s3.put_object(Bucket=bucket, Key="v2-xgboost/new/rows.csv", Body=b"9,9\n0,0\n")
    channels = {
        name: TrainingInput(f"s3://{bucket}/v2-xgboost/train", content_type="csv") for name in ("train", "validation")
    }
    estimator = sagemaker.estimator.Estimator(
        image_uris.retrieve("xgboost", session.boto_region_name, "1.7-1"),
        role,
        instance_count=1,
        instance_type="ml.m5.xlarge",
        output_path=f"s3://{bucket}/v2-xgboost/models",
        sagemaker_session=session,
    )
    estimator.set_hyperparameters(objective="binary:logistic", num_round=20, eval_metric="auc", early_stopping_rounds=5)
    estimator.fit(channels, logs="All")
    metrics = estimator.latest_training_job.describe()["FinalMetricDataList"]
    series = estimator.training_job_analytics.dataframe()

    transformer = estimator.transformer(1, "ml.m5.xlarge", output_path=f"s3://{bucket}/v2-xgboost/out")
    transformer.transform(f"s3://{bucket}/v2-xgboost/new", content_type="text/csv", split_type="Line", wait=True)
    scored = s3.get_object(Bucket=bucket, Key="v2-xgboost/out/rows.csv.out")["Body"].read().decode().split()

    tuner = HyperparameterTuner(
        estimator,
        "validation:auc",
        {"max_depth": IntegerParameter(1, 4)},
        max_jobs=2,
        max_parallel_jobs=2,
        strategy="Random",
    )
    tuner.fit(channels, wait=True)

    predictor = tuner.deploy(1, "ml.m5.xlarge", serializer=CSVSerializer(), deserializer=CSVDeserializer())
    predicted = predictor.predict([[9, 9], [0, 0]])
    predictor.delete_endpoint()
    found = {
        "metrics": sorted(each["MetricName"] for each in metrics),
        "series": sorted(series.metric_name),
        "scored": [float(value) > 0.5 for value in scored],
        "objective": tuner.analytics().dataframe().FinalObjectiveValue.max() > 0.9,
        "predicted": [float(row[0]) > 0.5 for row in predicted],
    }
    sys.stdout.write("\n" + json.dumps(found, default=bool) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
