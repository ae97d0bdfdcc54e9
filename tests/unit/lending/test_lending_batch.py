"""The credit model in batch: what its archive answers is what it answers by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from mlops_sm.emulator import LocalAccount

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
SCORE = Path(__file__).parents[3] / "pipelines" / "lending" / "score.py"
# Read, not imported: the module imports the SDK.
(FEATURES,) = re.findall(r'^FEATURES = "(.+)"$', SCORE.read_text(), re.MULTILINE)


def test_every_application_of_the_test_part_is_scored(lending: Any, tmp_path: Path) -> None:
    table = pd.read_csv(lending.features / "test" / "test.csv")
    names = [name for name in table.columns if name != "approve" and not name.startswith("protected_")]
    # The filter takes the features and nothing else.
    start, end = map(int, re.findall(r"\d+", FEATURES))
    assert list(table.columns[start:end]) == names
    with LocalAccount.open(tmp_path / "state") as account:
        account.ensure_bucket("lending")
        s3, sagemaker = account.client("s3"), account.client("sagemaker")
        s3.upload_file(str(lending.archive), "lending", "model.tar.gz")
        s3.upload_file(str(lending.features / "test" / "test.csv"), "lending", "test/test.csv")
        sagemaker.create_model(
            ModelName="credit",
            ExecutionRoleArn="arn:aws:iam::123456789012:role/execution",
            PrimaryContainer={
                "Image": IMAGE,
                "ModelDataUrl": "s3://lending/model.tar.gz",
                "Environment": {
                    "SAGEMAKER_PROGRAM": "inference.py",
                    "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
                },
            },
        )
        sagemaker.create_transform_job(
            TransformJobName="score",
            ModelName="credit",
            DataProcessing={"InputFilter": FEATURES},
            TransformInput={
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://lending/test/"}},
                "ContentType": "text/csv",
                "SplitType": "Line",
            },
            TransformOutput={"S3OutputPath": "s3://lending/scores", "Accept": "text/csv", "AssembleWith": "Line"},
            TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        )
        waiter = sagemaker.get_waiter("transform_job_completed_or_stopped")
        waiter.wait(TransformJobName="score", WaiterConfig={"Delay": 1, "MaxAttempts": 100})
        answer = s3.get_object(Bucket="lending", Key="scores/test.csv.out")["Body"].read().decode()
    scores = [float(line) for line in answer.splitlines()]
    assert len(scores) == len(table)
    by_hand = pd.read_csv(next(lending.outcome.rglob("predictions/*.csv")))
    column = next(name for name in by_hand.columns if "prob" in name)
    assert max(abs(a - b) for a, b in zip(scores, by_hand[column], strict=True)) < 1e-5
