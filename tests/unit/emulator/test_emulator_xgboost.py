"""AWS's XGBoost image through the API: its metrics need no definitions, and a tuning job searches what it lets it."""

from __future__ import annotations

import sys
from typing import Any

import pytest

pytest.importorskip("xgboost", reason="XGBOOST IS NOT INSTALLED: its image is not tested here")

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
ROWS = "".join(f"{int(a + b > 9)},{a},{b}\n" for a in range(10) for b in range(10))


@pytest.fixture
def members(account: Any, tuning_request: Any) -> dict[str, Any]:
    """What a training job of the image and the definition of a tuning job have in common."""
    definition = tuning_request("any")["TrainingJobDefinition"]
    bucket = definition["OutputDataConfig"]["S3OutputPath"].split("/")[2]
    account.client("s3").put_object(Bucket=bucket, Key="rows/rows.csv", Body=ROWS.encode())
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/rows/", "S3DataDistributionType": "FullyReplicated"}
    return {
        **{key: definition[key] for key in ("RoleArn", "OutputDataConfig", "ResourceConfig", "StoppingCondition")},
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "InputDataConfig": [
            {"ChannelName": name, "ContentType": "text/csv", "DataSource": {"S3DataSource": source}}
            for name in ("train", "validation")
        ],
    }


def search(members: dict[str, Any], name: str, **changes: Any) -> dict[str, Any]:
    objective = {"Type": "Maximize", "MetricName": "validation:f1_macro", **changes.pop("objective", {})}
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": "Random",
            "HyperParameterTuningJobObjective": objective,
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 2},
            "ParameterRanges": {
                "IntegerParameterRanges": [
                    {"Name": changes.pop("searched", "max_depth"), "MinValue": "1", "MaxValue": "3"}
                ]
            },
        },
        "TrainingJobDefinition": {
            **members,
            "StaticHyperParameters": {"objective": "binary:logistic", "num_round": "3"},
        },
    }


def test_metrics_are_found_without_definitions(account: Any, operations: Any, members: dict[str, Any]) -> None:
    given = {"objective": "binary:logistic", "num_round": "3", "eval_metric": "auc,recall"}
    operations("CreateTrainingJob", TrainingJobName="boosted", HyperParameters=given, **members)

    def described() -> Any:
        return account.sagemaker.describe_training_job(TrainingJobName="boosted")

    account.until(lambda: described()["TrainingJobStatus"] != "InProgress", "the training job")
    job = described()
    assert job["TrainingJobStatus"] == "Completed", job
    found = {each["MetricName"]: each["Value"] for each in job["FinalMetricDataList"]}
    assert found.keys() == {f"{part}:{name}" for part in ("train", "validation") for name in ("auc", "recall")}
    definitions = job["AlgorithmSpecification"]["MetricDefinitions"]
    # It can be sent again as it is described.
    assert len(definitions) == 40
    assert {
        "Name": "validation:auc",
        "Regex": r".*\[[0-9]+\].*#011validation-auc:([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?).*",
    } in definitions


def test_a_search_by_a_metric_of_the_image(operations: Any, members: dict[str, Any], tuning_end: Any) -> None:
    operations("CreateHyperParameterTuningJob", **search(members, "search"))
    job = tuning_end("search")

    assert job["HyperParameterTuningJobStatus"] == "Completed", job
    best = job["BestTrainingJob"]
    assert best["FinalHyperParameterTuningJobObjectiveMetric"]["MetricName"] == "validation:f1_macro"
    assert best["TunedHyperParameters"].keys() == {"max_depth"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"objective": {"MetricName": "validation:loss"}}, "[validation:loss], isn't valid for the ["),
        ({"objective": {"Type": "Minimize"}}, "The objective metric type, [Minimize], that you specified"),
        ({"searched": "num_parallel_tree"}, "the following untunable hyperparameters: [num_parallel_tree]"),
    ],
)
def test_searches_that_are_refused(
    operations: Any, members: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    code, message = operations.refused("CreateHyperParameterTuningJob", **search(members, "bad", **changes))
    assert code == "ValidationException"
    assert words in message


def test_without_the_extra_a_job_is_refused(
    operations: Any, members: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)
    code, message = operations.refused(
        "CreateTrainingJob", TrainingJobName="boosted", HyperParameters={"num_round": "3"}, **members
    )
    assert code == "ValidationException"
    assert "[xgboost]" in message
