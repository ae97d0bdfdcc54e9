"""What a batch transform of 50 MB costs beside the same model predicting the same file in one process."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import joblib
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.measure import Row, ratio_row
from mlops_sm.emulator import LocalAccount

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
BUCKET = "bench"
MEGABYTES = 50
COLUMNS = 20
SCRIPT = """
import io, os
import joblib
import pandas as pd

def model_fn(folder):
    return joblib.load(os.path.join(folder, "model.joblib"))

def input_fn(body, content_type):
    return pd.read_csv(io.StringIO(body), header=None)

def predict_fn(table, model):
    return model.predict_proba(table.to_numpy())[:, 1]

def output_fn(probabilities, accept):
    return "".join(f"{p:.6f}\\n" for p in probabilities), accept
"""
BY_HAND = """
import sys
from inference import input_fn, model_fn, output_fn, predict_fn

with open(sys.argv[1]) as source, open(sys.argv[2], "w") as target:
    target.write(output_fn(predict_fn(input_fn(source.read(), "text/csv"), model_fn(".")), "text/csv")[0])
"""


def prepare(folder: Path) -> Path:
    """A model with its script, the program by hand, and a CSV of 50 MB; the path of the CSV."""
    random = np.random.default_rng(7)
    sample = random.normal(size=(2000, COLUMNS))
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(sample, sample[:, 0] > 0)
    joblib.dump(model, folder / "model.joblib")
    (folder / "inference.py").write_text(SCRIPT)
    (folder / "by_hand.py").write_text(BY_HAND)
    block = io.StringIO()
    np.savetxt(block, sample, fmt="%.6f", delimiter=",")
    text = block.getvalue()
    data = folder / "data.csv"
    data.write_text(text * (MEGABYTES * (1 << 20) // len(text)))
    with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
        archive.add(folder / "model.joblib", "model.joblib")
        archive.add(folder / "inference.py", "code/inference.py")
    return data


def transform(account: LocalAccount, name: str) -> float:
    """Wall seconds from the request to the job's end."""
    sagemaker = account.client("sagemaker")
    started = time.perf_counter()
    sagemaker.create_transform_job(
        TransformJobName=name,
        ModelName="bench",
        TransformInput={
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/data.csv"}},
            "ContentType": "text/csv",
            "SplitType": "Line",
        },
        TransformOutput={"S3OutputPath": f"s3://{BUCKET}/out", "Accept": "text/csv"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    )
    while (found := sagemaker.describe_transform_job(TransformJobName=name))["TransformJobStatus"] == "InProgress":
        time.sleep(0.005)
    if found["TransformJobStatus"] != "Completed":
        raise RuntimeError(found["FailureReason"])
    return time.perf_counter() - started


def rows() -> list[Row]:
    """One row."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        data = prepare(folder)
        with LocalAccount.open(folder / "state") as account:
            account.ensure_bucket(BUCKET)
            s3 = account.client("s3")
            s3.upload_file(str(data), BUCKET, "data.csv")
            s3.upload_file(str(folder / "model.tar.gz"), BUCKET, "model.tar.gz")
            account.client("sagemaker").create_model(
                ModelName="bench",
                ExecutionRoleArn="arn:aws:iam::123456789012:role/bench",
                PrimaryContainer={"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/model.tar.gz"},
            )
            numbers = iter(range(100))

            def by_hand() -> float:
                started = time.perf_counter()
                command = [sys.executable, "by_hand.py", str(data), str(folder / "by_hand.out")]
                subprocess.run(command, cwd=folder, check=True)
                return time.perf_counter() - started

            row = ratio_row(
                f"batch transform of {MEGABYTES} MB of CSV / predicting it in one process",
                lambda: transform(account, f"bench-{next(numbers)}"),
                by_hand,
                bound=2.0,
                pairs=3,
            )
            answer = s3.get_object(Bucket=BUCKET, Key="out/data.csv.out")["Body"].read()
            if answer != (folder / "by_hand.out").read_bytes():
                raise RuntimeError("the two predictions differ")
            return [row]
