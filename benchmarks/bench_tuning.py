"""A tuning job against its trainings by hand: the same jobs with the same values, spread over the cores."""

from __future__ import annotations

import os
import subprocess
import sys
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
LENDING = Path(__file__).parents[1] / "pipelines" / "lending"
TRIALS = 10
CORES = os.cpu_count() or 1
METRIC = {"Name": "validation:auc", "Regex": "validation:auc=([0-9.]+)"}


class Trainings:
    """The lending model's training jobs in one account."""

    def __init__(self, account: LocalAccount, scratch: Path) -> None:
        self._sagemaker, self._names = account.client("sagemaker"), count(1)
        account.ensure_bucket(BUCKET)
        self._definition = _definition(_stored(account.client("s3"), scratch))
        self._values = [str(0.01 * 2**number) for number in range(TRIALS)]

    def tuned(self, strategy: str) -> float:
        """Seconds of a tuning job with so many trials."""
        name = f"tuned-{next(self._names)}"
        config: dict[str, Any] = {
            "Strategy": strategy,
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": METRIC["Name"]},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": TRIALS, "MaxParallelTrainingJobs": CORES},
            "ParameterRanges": {
                "ContinuousParameterRanges": [
                    {
                        "Name": "inverse-regularization",
                        "MinValue": "0.01",
                        "MaxValue": "10",
                        "ScalingType": "Logarithmic",
                    }
                ]
            },
            "RandomSeed": 7,
        }
        started = time.perf_counter()
        self._sagemaker.create_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=name,
            HyperParameterTuningJobConfig=config,
            TrainingJobDefinition=self._definition,
        )
        while True:
            described = self._sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
            if described["HyperParameterTuningJobStatus"] != "InProgress":
                break
            time.sleep(0.01)
        seconds = time.perf_counter() - started
        if described["TrainingJobStatusCounters"]["Completed"] != TRIALS:
            raise RuntimeError(str(described.get("FailureReason")))
        return seconds

    def by_hand(self) -> float:
        """Seconds of the same trainings, each created as soon as one before it has ended."""
        started = time.perf_counter()
        with ThreadPoolExecutor(CORES) as pool:
            list(pool.map(self._train, self._values))
        return time.perf_counter() - started

    def _train(self, value: str) -> None:
        name = f"trained-{next(self._names)}"
        request = dict(self._definition)
        static = request.pop("StaticHyperParameters")
        self._sagemaker.create_training_job(
            TrainingJobName=name, HyperParameters={**static, "inverse-regularization": value}, **request
        )
        while self._sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] == "InProgress":
            time.sleep(0.01)


def _stored(s3: Any, scratch: Path) -> dict[str, str]:  # noqa: ANN401 - boto3 has no types
    """Channels with the lending data as its jobs prepare it, and the training program."""
    split, features, archive = scratch / "split", scratch / "features", scratch / "sourcedir.tar.gz"
    jobs, raw = LENDING / "jobs", LENDING / "data" / "loanapp.csv"
    for command in (
        [sys.executable, jobs / "prepare.py", "--raw", raw, "--output", split],
        [sys.executable, jobs / "features.py", "--input", split, "--output", features],
        ["tar", "-czf", archive, "-C", jobs / "training", "."],
    ):
        subprocess.run(command, check=True, capture_output=True)
    for part in ("train", "validation"):
        for file in (features / part).iterdir():
            s3.upload_file(str(file), BUCKET, f"{part}/{file.name}")
    s3.upload_file(str(archive), BUCKET, "sourcedir.tar.gz")
    return {part: f"s3://{BUCKET}/{part}/" for part in ("train", "validation")}


def _definition(channels: dict[str, str]) -> dict[str, Any]:
    return {
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "MetricDefinitions": [METRIC],
        },
        "StaticHyperParameters": {
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": f"s3://{BUCKET}/sourcedir.tar.gz",
        },
        "RoleArn": ROLE,
        "InputDataConfig": [
            {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}}
            for name, uri in channels.items()
        ],
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/models"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    }


def rows() -> list[Row]:
    """Every strategy that learns, and one that does not, against the trainings by hand."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with LocalAccount.open(folder / "state") as account:
            trainings = Trainings(account, folder)
            return [
                ratio_row(
                    f"{TRIALS} {strategy} trials / the trainings by hand",
                    lambda strategy=strategy: trainings.tuned(strategy),
                    trainings.by_hand,
                    bound=1.1,
                    pairs=7,
                )
                for strategy in ("Random", "Bayesian")
            ]
