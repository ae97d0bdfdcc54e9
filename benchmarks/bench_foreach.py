"""A ForEach over 200 items against its jobs by hand, spread over the cores."""

from __future__ import annotations

import json
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.measure import Row, ratio_row
from mlops_sm.emulator import LocalAccount

BUCKET = "benchmark"
ROLE = "arn:aws:iam::123456789012:role/benchmark"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
ITEMS = 200
CORES = os.cpu_count() or 1
SCRIPT = """
import os, sys
import pandas as pd

item = int(os.environ["ITEM"])
frame = pd.DataFrame({"x": range(item, item + 20_000)})
answer = frame["x"].rolling(50).mean().sum()
with open(os.path.join(os.environ["OUT"], "answer.txt"), "w") as file:
    file.write(str(answer))
"""


class Jobs:
    """The same processing job for each item."""

    def __init__(self, account: LocalAccount, scratch: Path) -> None:
        self._sagemaker, self._names = account.client("sagemaker"), count(1)
        script = scratch / "item.py"
        script.write_text(SCRIPT, encoding="utf-8")
        account.ensure_bucket(BUCKET)
        account.client("s3").upload_file(str(script), BUCKET, "code/item.py")

    def repeated(self) -> float:
        """Seconds of an execution whose ForEach step has so many items."""
        name = f"repeated-{next(self._names)}"
        body = {"Name": "Item", "Type": "Processing", "Arguments": _request({"Get": "ForEach.CurrentItem"}, name)}
        loop = {
            "IterableItems": {"Get": "Parameters.Items"},
            "MaxConcurrency": min(CORES, 50),
            "ForEachBody": [body],
        }
        definition = {
            "Version": "2020-12-01",
            "Metadata": {},
            "Parameters": [{"Name": "Items", "Type": "String"}],
            "Steps": [{"Name": "Each", "Type": "ForEach", "Arguments": loop}],
        }
        self._sagemaker.create_pipeline(PipelineName=name, PipelineDefinition=json.dumps(definition), RoleArn=ROLE)
        items = json.dumps(list(range(ITEMS)), separators=(",", ":"))
        started = time.perf_counter()
        arn = self._sagemaker.start_pipeline_execution(
            PipelineName=name, PipelineParameters=[{"Name": "Items", "Value": items}]
        )["PipelineExecutionArn"]
        while True:
            status = self._sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)["PipelineExecutionStatus"]
            if status != "Executing":
                break
            time.sleep(0.01)
        seconds = time.perf_counter() - started
        if status != "Succeeded":
            raise RuntimeError(status)
        return seconds

    def by_hand(self) -> float:
        """Seconds of the same jobs, each created as soon as one before it has ended."""
        prefix = f"by-hand-{next(self._names)}"
        started = time.perf_counter()
        with ThreadPoolExecutor(CORES) as pool:
            list(pool.map(lambda item: self._job(prefix, item), range(ITEMS)))
        return time.perf_counter() - started

    def _job(self, prefix: str, item: int) -> None:
        name = f"{prefix}-{item}"
        self._sagemaker.create_processing_job(ProcessingJobName=name, **_request(str(item), prefix))
        while self._sagemaker.describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"] == "InProgress":
            time.sleep(0.005)


def _request(item: Any, folder: str) -> dict[str, Any]:  # noqa: ANN401 - a value or an expression
    return {
        "AppSpecification": {
            "ImageUri": IMAGE,
            "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/item.py"],
        },
        "Environment": {"ITEM": item, "OUT": "/opt/ml/processing/out"},
        "ProcessingInputs": [
            {
                "InputName": "code",
                "S3Input": {
                    "S3Uri": f"s3://{BUCKET}/code/item.py",
                    "LocalPath": "/opt/ml/processing/input/code",
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }
        ],
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": "out",
                    "S3Output": {
                        "S3Uri": f"s3://{BUCKET}/{folder}",
                        "LocalPath": "/opt/ml/processing/out",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ]
        },
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5}
        },
        "RoleArn": ROLE,
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    }


def rows() -> list[Row]:
    """Against the jobs by hand."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with LocalAccount.open(folder / "state") as account:
            jobs = Jobs(account, folder)
            return [
                ratio_row(
                    f"ForEach over {ITEMS} items / its jobs by hand", jobs.repeated, jobs.by_hand, bound=1.2, pairs=3
                )
            ]
