"""What is refused of tuning jobs: requests that make no sense, parents that do not fit, what has not ended."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from mlops_sm.emulator.sagemaker.tuning_requests import definitions_of
from mlops_sm.local.images import BUILT_IN_ALGORITHMS

WAIT = 'import time\nprint("loss=3.0", flush=True)\ntime.sleep(600)'
CHOICES = {"CategoricalParameterRanges": [{"Name": "x", "Values": ["0", "1", "2", "3"]}]}


def _broken(request: Any, change: str) -> Any:
    config, definition = request["HyperParameterTuningJobConfig"], request["TrainingJobDefinition"]
    match change:
        case "min > max":
            config["ParameterRanges"] = {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "4", "MaxValue": "0"}]}
        case "no number":
            config["ParameterRanges"] = {"IntegerParameterRanges": [{"Name": "x", "MinValue": "0.5", "MaxValue": "3"}]}
        case "logarithm of 0":
            config["ParameterRanges"]["ContinuousParameterRanges"][0]["ScalingType"] = "Logarithmic"
        case "reverse logarithm of 1":
            config["ParameterRanges"]["ContinuousParameterRanges"][0]["ScalingType"] = "ReverseLogarithmic"
        case "no ranges":
            config["ParameterRanges"] = {}
        case "no limit":
            del config["ResourceLimits"]["MaxNumberOfTrainingJobs"]
        case "few":
            config["ParameterRanges"] = {"CategoricalParameterRanges": [{"Name": "x", "Values": ["1", "2", "3"]}]}
        case "static":
            definition["StaticHyperParameters"]["x"] = "1"
        case "metric":
            config["HyperParameterTuningJobObjective"]["MetricName"] = "accuracy"
        case "grid":
            config["Strategy"] = "Grid"
            del config["ResourceLimits"]["MaxNumberOfTrainingJobs"]
        case "hyperband":
            config["Strategy"] = "Hyperband"
        case "early":
            config |= {"Strategy": "Hyperband", "TrainingJobEarlyStoppingType": "Auto"}
        case "both":
            request["TrainingJobDefinitions"] = [definition]
        case "auto":
            config["ParameterRanges"] = {"AutoParameters": [{"Name": "x", "ValueHint": "1"}]}
        case "long name":
            request["HyperParameterTuningJobName"] = "x" * 33
        case _:
            raise AssertionError(change)
    return request


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("min > max", "the minimum of x, 4.0, is above its maximum, 0.0"),
        ("no number", "MinValue of x, '0.5', is no integer"),
        ("logarithm of 0", "logarithmic scaling of x needs values greater than 0"),
        ("reverse logarithm of 1", "reverse logarithmic scaling of x"),
        ("no ranges", "At least one hyperparameter range is required"),
        ("no limit", "MaxNumberOfTrainingJobs is required unless the strategy is Grid"),
        ("few", "You don't have enough combinations of hyperparameter ranges"),
        ("static", "cannot be both static and tunable: x"),
        ("metric", "Provide a metric in the metric definitions"),
        ("grid", "Grid strategy takes categorical ranges only"),
        ("hyperband", "needs MaxResource"),
        ("early", "must be Off to use Hyperband"),
        ("both", "either TrainingJobDefinition or TrainingJobDefinitions"),
        ("auto", "AutoParameters need Autotune"),
        ("long name", "Member must have length less than or equal to 32"),
    ],
)
def test_what_the_service_refuses(operations: Any, tuning_request: Any, change: str, words: str) -> None:
    code, message = operations.refused("CreateHyperParameterTuningJob", **_broken(tuning_request("bad"), change))
    assert code == "ValidationException"
    assert words in message


@pytest.mark.parametrize("name", [*sorted(BUILT_IN_ALGORITHMS), "sagemaker-xgboost"])
def test_an_algorithm_of_aws_brings_its_metrics(tuning_request: Any, name: str) -> None:
    request = tuning_request("aws")
    algorithm = request["TrainingJobDefinition"]["AlgorithmSpecification"]
    algorithm |= {"TrainingImage": f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/{name}:1", "MetricDefinitions": []}
    (definition,) = definitions_of(request)
    assert definition.metric == "loss"


def test_a_name_is_taken_once(operations: Any, tuning_request: Any, tuning_end: Any) -> None:
    operations("CreateHyperParameterTuningJob", **tuning_request("search", jobs=1))
    assert operations.refused("CreateHyperParameterTuningJob", **tuning_request("search"))[0] == "ResourceInUse"
    tuning_end("search")


def test_a_bayesian_search_without_its_optimiser_is_refused(
    operations: Any, tuning_request: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, message = operations.refused("CreateHyperParameterTuningJob", **tuning_request("learn", Strategy="Bayesian"))
    assert code == "ValidationException"
    assert "[tuning]" in message
    assert operations("ListHyperParameterTuningJobs")["HyperParameterTuningJobSummaries"] == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("unknown", "Could not find the parent tuning job nobody"),
        ("running", "it must have ended"),
        ("strategy", "go"),
        ("count", "total number of static and tunable hyperparameters"),
    ],
)
def test_warm_starts_that_are_refused(
    operations: Any, tuning_request: Any, tuning_end: Any, change: str, words: str
) -> None:
    request = tuning_request("child", jobs=1)
    name = "nobody" if change == "unknown" else "parent"
    operations(
        "CreateHyperParameterTuningJob",
        **(tuning_request("parent", WAIT) if change == "running" else tuning_request("parent", jobs=1)),
    )
    if change != "running":
        tuning_end("parent")
    match change:
        case "strategy":
            request = tuning_request("child", ranges=CHOICES, jobs=None, Strategy="Grid")
        case "count":
            request["TrainingJobDefinition"]["StaticHyperParameters"]["more"] = "1"
        case _:
            pass
    warm = {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": name}],
        "WarmStartType": "TransferLearning",
    }
    code, message = operations.refused("CreateHyperParameterTuningJob", **request, WarmStartConfig=warm)
    assert code == "ValidationException"
    assert words in message


def test_what_runs_cannot_be_deleted(operations: Any, tuning_request: Any, tuning_end: Any) -> None:
    operations("CreateHyperParameterTuningJob", **tuning_request("wait", WAIT))
    assert "stop it first" in operations.refused("DeleteHyperParameterTuningJob", HyperParameterTuningJobName="wait")[1]
    operations("StopHyperParameterTuningJob", HyperParameterTuningJobName="wait")
    tuning_end("wait")
    operations("DeleteHyperParameterTuningJob", HyperParameterTuningJobName="wait")
    for operation in (
        "DescribeHyperParameterTuningJob",
        "StopHyperParameterTuningJob",
        "ListTrainingJobsForHyperParameterTuningJob",
    ):
        assert operations.refused(operation, HyperParameterTuningJobName="wait")[0] == "ResourceNotFound"


def test_an_image_that_stands_for_nothing_fails_its_training_jobs(
    operations: Any, tuning_request: Any, tuning_end: Any, training_jobs: Any
) -> None:
    request = tuning_request("image", jobs=2)
    request["TrainingJobDefinition"]["AlgorithmSpecification"]["TrainingImage"] = "example.com/other:1"
    operations("CreateHyperParameterTuningJob", **request)
    end = tuning_end("image")
    assert end["FailureReason"].startswith("No training job succeeded after 2 attempts.")
    assert all("other" in job["FailureReason"] for job in training_jobs("image"))
