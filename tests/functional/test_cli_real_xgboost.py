"""Built-in XGBoost through the command: it trains, its log shows its rounds, its refusals come before and after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from command import mlops, write

from mlops_sm.testing import local_account

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"


def training(bucket: str, hyperparameters: dict[str, str]) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/rows/", "S3DataDistributionType": "FullyReplicated"}
    return {
        "Name": "Boost",
        "Type": "Training",
        "Arguments": {
            "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            "HyperParameters": hyperparameters,
            "InputDataConfig": [
                {"ChannelName": "train", "ContentType": "text/csv", "DataSource": {"S3DataSource": source}}
            ],
            "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/models"},
            "ResourceConfig": {"InstanceType": "ml.g4dn.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 5},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
            "RoleArn": "arn:aws:iam::123456789012:role/service",
        },
    }


def test_xgboost_from_the_command(tmp_path: Path) -> None:
    with local_account() as account:
        rows = "".join(f"{number % 2},{number % 2 + 0.5},{number}\n" for number in range(20))
        account.client("s3").put_object(Bucket=account.bucket, Key="rows/rows.csv", Body=rows.encode())
        state = {"MLOPS_SM_STATE": str(account.state)}
        good = write(tmp_path, training(account.bucket, {"objective": "binary:logistic", "num_round": "3"}))
        run = mlops(tmp_path, "run", good, "--json", **state)
        assert [(step["name"], step["status"]) for step in json.loads(run.stdout)["steps"]] == [("Boost", "Succeeded")]
        assert "W422" in run.stderr
        assert "[2]#011train-logloss:" in mlops(tmp_path, "logs", "latest", "Boost", **state).stdout

        bad = write(
            tmp_path, training(account.bucket, {"objective": "multi:softmax", "num_round": "3"}), name="bad.json"
        )
        done = mlops(tmp_path, "run", bad, code=1, **state)
    what = "Require input for parameter 'num_class' for multi-classification"
    assert f"the image will refuse its hyperparameters: {what}" in done.stderr
    assert f"sagemaker_algorithm_toolkit.exceptions.UserError: {what}" in done.stderr
