"""Tuning jobs, created directly: what they start, what they show, what is refused and how they end."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

TRAIN = """
import json
values = json.load(open("/opt/ml/input/config/hyperparameters.json"))
x = float(values["x"])
print(f"loss={(x - 2) ** 2 + 1:.4f}", flush=True)
open("/opt/ml/model/x.txt", "w").write(values["x"])
"""
WAIT = 'import time\nprint("loss=3.0", flush=True)\ntime.sleep(600)'
EPOCHS = """
import json, time
x = float(json.load(open("/opt/ml/input/config/hyperparameters.json"))["x"])
for epoch in range(3):
    print(f"loss={x + 1 / (epoch + 1):.4f}", flush=True)
    time.sleep(0.5 if x else 0.01)
"""
OBJECTIVE = "FinalHyperParameterTuningJobObjectiveMetric"
NONE = {"Completed": 0, "InProgress": 0, "RetryableError": 0, "NonRetryableError": 0, "Stopped": 0}
X = {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "4"}]}
CHOICES = {"CategoricalParameterRanges": [{"Name": "x", "Values": ["0", "1", "2", "3"]}]}


@pytest.fixture
def request_of(account: Any) -> Any:
    """A request for a tuning job that minimizes `loss`; `config` members replace those of its configuration."""

    def make(name: str, script: str = TRAIN, *, ranges: Any = X, jobs: int | None = 4, **config: Any) -> dict[str, Any]:
        job = account.training_request("tuned", script)
        definition = {
            "AlgorithmSpecification": {
                "TrainingImage": "python:3.11",
                "TrainingInputMode": "File",
                "MetricDefinitions": job["AlgorithmSpecification"]["MetricDefinitions"],
            },
            "StaticHyperParameters": {
                "sagemaker_program": "tuned.py",
                "sagemaker_submit_directory": "/opt/ml/input/data/code",
            },
            **{key: job[key] for key in ("RoleArn", "InputDataConfig", "OutputDataConfig", "ResourceConfig")},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        }
        limits = {"MaxParallelTrainingJobs": 2, **({} if jobs is None else {"MaxNumberOfTrainingJobs": jobs})}
        return {
            "HyperParameterTuningJobName": name,
            "HyperParameterTuningJobConfig": {
                "Strategy": "Random",
                "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
                "ResourceLimits": limits,
                "ParameterRanges": copy.deepcopy(ranges),
                "RandomSeed": 7,
                **config,
            },
            "TrainingJobDefinition": definition,
        }

    return make


@pytest.fixture
def ended(account: Any, operations: Any) -> Any:
    def wait(name: str) -> dict[str, Any]:
        def described() -> dict[str, Any]:
            answer: dict[str, Any] = operations("DescribeHyperParameterTuningJob", HyperParameterTuningJobName=name)
            return answer

        account.until(
            lambda: described()["HyperParameterTuningJobStatus"] not in {"InProgress", "Stopping"}, "the tuning job"
        )
        return described()

    return wait


@pytest.fixture
def children(operations: Any) -> Any:
    def listed(name: str, **options: Any) -> list[dict[str, Any]]:
        answer = operations(
            "ListTrainingJobsForHyperParameterTuningJob",
            HyperParameterTuningJobName=name,
            **{"MaxResults": 100, **options},
        )
        found: list[dict[str, Any]] = answer["TrainingJobSummaries"]
        return found

    return listed


def test_random_search_starts_jobs_and_names_the_best(
    operations: Any, request_of: Any, ended: Any, children: Any, account: Any
) -> None:
    made = operations("CreateHyperParameterTuningJob", **request_of("search"), Tags=[{"Key": "k", "Value": "v"}])
    assert made["HyperParameterTuningJobArn"].endswith(":hyper-parameter-tuning-job/search")
    end = ended("search")
    assert end["HyperParameterTuningJobStatus"] == "Completed"
    assert end["TrainingJobStatusCounters"] == {**NONE, "Completed": 4}
    assert end["ObjectiveStatusCounters"] == {"Succeeded": 4, "Pending": 0, "Failed": 0}
    assert end["CreationTime"] <= end["HyperParameterTuningEndTime"] <= end["LastModifiedTime"]
    definition, config = end["TrainingJobDefinition"], end["HyperParameterTuningJobConfig"]
    assert definition["StaticHyperParameters"]["_tuning_objective_metric"] == "loss"
    assert definition["EnableNetworkIsolation"] is False
    assert config["TrainingJobEarlyStoppingType"] == "Off"
    assert config["ParameterRanges"]["ContinuousParameterRanges"] == [
        {"Name": "x", "MinValue": "0", "MaxValue": "4", "ScalingType": "Auto"}
    ]
    listed = children("search")
    assert [re.fullmatch(r"search-(\d{3})-[0-9a-f]{8}", job["TrainingJobName"])[1] for job in listed] == [  # type: ignore[index] # all match
        "001",
        "002",
        "003",
        "004",
    ]
    best = min(listed, key=lambda job: job[OBJECTIVE]["Value"])
    assert end["BestTrainingJob"] == best
    assert best[OBJECTIVE]["Type"] == "Minimize"
    assert best["ObjectiveStatus"] == "Succeeded"
    job = account.sagemaker.describe_training_job(TrainingJobName=best["TrainingJobName"])
    assert job["TuningJobArn"] == made["HyperParameterTuningJobArn"]
    assert job["HyperParameters"] | best["TunedHyperParameters"] == job["HyperParameters"]
    assert job["HyperParameters"]["_tuning_objective_metric"] == "loss"
    assert job["ModelArtifacts"]["S3ModelArtifacts"].endswith(f"{best['TrainingJobName']}/output/model.tar.gz")
    for arn in (made["HyperParameterTuningJobArn"], best["TrainingJobArn"]):
        assert account.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "k", "Value": "v"}]


def test_a_seed_draws_the_same_again(operations: Any, request_of: Any, ended: Any, children: Any) -> None:
    for name in ("one", "two"):
        operations("CreateHyperParameterTuningJob", **request_of(name))
        ended(name)
    one, two = ([job["TunedHyperParameters"] for job in children(name)] for name in ("one", "two"))
    assert one == two


def test_training_jobs_are_listed_in_order_and_on_pages(
    operations: Any, request_of: Any, ended: Any, children: Any
) -> None:
    operations("CreateHyperParameterTuningJob", **request_of("search"))
    ended("search")
    names = [job["TrainingJobName"] for job in children("search")]
    for sort in ("Name", "CreationTime", "Status", "FinalObjectiveMetricValue"):
        for order in ("Ascending", "Descending"):
            whole = children("search", SortBy=sort, SortOrder=order)
            if sort == "FinalObjectiveMetricValue":
                values = [job[OBJECTIVE]["Value"] for job in whole]
                assert values == sorted(values, reverse=order == "Descending")
            paged, token = [], {}
            while True:
                page = operations(
                    "ListTrainingJobsForHyperParameterTuningJob",
                    HyperParameterTuningJobName="search",
                    SortBy=sort,
                    SortOrder=order,
                    MaxResults=1,
                    **token,
                )
                paged += page["TrainingJobSummaries"]
                if "NextToken" not in page:
                    break
                token = {"NextToken": page["NextToken"]}
            assert paged == whole
            assert sorted(job["TrainingJobName"] for job in paged) == names
    assert children("search", StatusEquals="Failed") == []


def test_a_grid_tries_every_combination_once(operations: Any, request_of: Any, ended: Any, children: Any) -> None:
    operations("CreateHyperParameterTuningJob", **request_of("grid", ranges=CHOICES, jobs=None, Strategy="Grid"))
    assert ended("grid")["BestTrainingJob"]["TunedHyperParameters"] == {"x": "2"}
    assert [job["TunedHyperParameters"]["x"] for job in children("grid")] == ["0", "1", "2", "3"]


def test_bayesian_search_learns(operations: Any, request_of: Any, ended: Any, children: Any) -> None:
    operations("CreateHyperParameterTuningJob", **request_of("learn", jobs=12, Strategy="Bayesian"))
    assert ended("learn")["ObjectiveStatusCounters"]["Succeeded"] == 12
    assert ended("learn")["BestTrainingJob"][OBJECTIVE]["Value"] < 1.3


def test_a_target_ends_the_search(operations: Any, request_of: Any, ended: Any, children: Any) -> None:
    criteria = {"TargetObjectiveMetricValue": 100.0}
    operations("CreateHyperParameterTuningJob", **request_of("target", jobs=50, TuningJobCompletionCriteria=criteria))
    end = ended("target")
    assert end["HyperParameterTuningJobStatus"] == "Completed"
    assert len(children("target")) < 5
    assert end["TrainingJobStatusCounters"]["InProgress"] == end["ObjectiveStatusCounters"]["Pending"] == 0


def test_results_that_improve_no_more_end_the_search(
    operations: Any, request_of: Any, ended: Any, children: Any
) -> None:
    criteria = {"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3}}
    request = request_of("flat", 'print("loss=1.0")', jobs=50, TuningJobCompletionCriteria=criteria)
    operations("CreateHyperParameterTuningJob", **request)
    end = ended("flat")
    assert end["HyperParameterTuningJobStatus"] == "Completed"
    assert 4 <= len(children("flat")) <= 6
    assert end["TuningJobCompletionDetails"]["NumberOfTrainingJobsObjectiveNotImproving"] >= 3


def test_jobs_that_all_fail_make_it_fail(operations: Any, request_of: Any, ended: Any) -> None:
    operations("CreateHyperParameterTuningJob", **request_of("broken", "raise SystemExit(3)", jobs=20))
    end = ended("broken")
    assert end["HyperParameterTuningJobStatus"] == "Failed"
    assert end["FailureReason"].startswith("No training job succeeded after 5 attempts.")
    assert end["TrainingJobStatusCounters"]["NonRetryableError"] >= 5
    assert "BestTrainingJob" not in end


def test_an_objective_that_never_appears_makes_it_fail(
    operations: Any, request_of: Any, ended: Any, children: Any
) -> None:
    operations("CreateHyperParameterTuningJob", **request_of("silent", 'print("nothing to see")', jobs=3))
    end = ended("silent")
    assert end["HyperParameterTuningJobStatus"] == "Failed"
    assert end["FailureReason"].startswith("No objective metrics found after running 3 training jobs.")
    assert {(job["TrainingJobStatus"], job["ObjectiveStatus"]) for job in children("silent")} == {
        ("Completed", "Failed")
    }
    assert children("silent", SortBy="FinalObjectiveMetricValue") == []


def test_stopping_stops_what_runs(operations: Any, request_of: Any, ended: Any, children: Any, account: Any) -> None:
    operations("CreateHyperParameterTuningJob", **request_of("wait", WAIT))

    def training() -> bool:
        names = [job["TrainingJobName"] for job in children("wait")]
        jobs = [account.sagemaker.describe_training_job(TrainingJobName=name) for name in names]
        return [job["SecondaryStatus"] for job in jobs] == ["Training", "Training"]

    account.until(training, "two trainings")
    counters = operations("DescribeHyperParameterTuningJob", HyperParameterTuningJobName="wait")
    assert counters["TrainingJobStatusCounters"] == {**NONE, "InProgress": 2}
    assert counters["ObjectiveStatusCounters"]["Pending"] == 2
    operations("StopHyperParameterTuningJob", HyperParameterTuningJobName="wait")
    end = ended("wait")
    assert end["HyperParameterTuningJobStatus"] == "Stopped"
    assert end["TrainingJobStatusCounters"] == {**NONE, "Stopped": 2}
    assert "FailureReason" not in end
    _, message = operations.refused("StopHyperParameterTuningJob", HyperParameterTuningJobName="wait")
    assert "is in status Stopped" in message


def test_early_stopping_gives_up_what_is_worse(
    operations: Any, request_of: Any, ended: Any, children: Any, account: Any
) -> None:
    request = request_of(
        "median", EPOCHS, ranges=CHOICES, jobs=4, Strategy="Random", TrainingJobEarlyStoppingType="Auto"
    )
    request["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxParallelTrainingJobs"] = 1
    request["HyperParameterTuningJobConfig"]["Strategy"] = "Grid"
    operations("CreateHyperParameterTuningJob", **request)
    end = ended("median")
    # The first runs to its end; the others are worse from their first epoch on.
    assert [job["TrainingJobStatus"] for job in children("median")] == ["Completed", "Stopped", "Stopped", "Stopped"]
    assert end["BestTrainingJob"]["TunedHyperParameters"] == {"x": "0"}
    assert end["HyperParameterTuningJobStatus"] == "Completed"


def test_hyperband_stops_at_its_largest_resource(operations: Any, request_of: Any, ended: Any, children: Any) -> None:
    resources = {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 2}}
    endless = EPOCHS.replace("range(3)", "range(1000)")
    operations(
        "CreateHyperParameterTuningJob",
        **request_of("band", endless, ranges=CHOICES, jobs=4, Strategy="Hyperband", StrategyConfig=resources),
    )
    end = ended("band")
    assert end["HyperParameterTuningJobStatus"] == "Completed"
    assert {job["TrainingJobStatus"] for job in children("band")} == {"Stopped"}
    assert end["ObjectiveStatusCounters"]["Succeeded"] == 4


def test_a_warm_start_knows_what_its_parent_found(operations: Any, request_of: Any, ended: Any, children: Any) -> None:
    operations("CreateHyperParameterTuningJob", **request_of("parent", ranges=CHOICES, jobs=None, Strategy="Grid"))
    parent = ended("parent")
    warm = {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "parent"}],
        "WarmStartType": "IdenticalDataAndAlgorithm",
    }
    request = request_of("child", ranges={**CHOICES}, jobs=1)
    request["HyperParameterTuningJobConfig"]["ParameterRanges"] = {
        "CategoricalParameterRanges": [{"Name": "x", "Values": ["0", "1"]}]
    }
    operations("CreateHyperParameterTuningJob", **request, WarmStartConfig=warm)
    end = ended("child")
    assert end["OverallBestTrainingJob"]["TuningJobName"] == "parent"
    assert end["OverallBestTrainingJob"]["TrainingJobName"] == parent["BestTrainingJob"]["TrainingJobName"]
    request = request_of("other", ranges=CHOICES, jobs=1)
    request["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["Type"] = "Maximize"
    assert "objective metric" in operations.refused("CreateHyperParameterTuningJob", **request, WarmStartConfig=warm)[1]


def test_several_definitions_take_turns(operations: Any, request_of: Any, ended: Any, children: Any) -> None:
    request = request_of("both", jobs=4)
    definition, config = request.pop("TrainingJobDefinition"), request["HyperParameterTuningJobConfig"]
    own = {
        "TuningObjective": config.pop("HyperParameterTuningJobObjective"),
        "HyperParameterRanges": config.pop("ParameterRanges"),
    }
    request["TrainingJobDefinitions"] = [{**definition, **own, "DefinitionName": name} for name in ("one", "two")]
    operations("CreateHyperParameterTuningJob", **request)
    end = ended("both")
    assert [job["TrainingJobDefinitionName"] for job in children("both")] == ["one", "two", "one", "two"]
    assert end["BestTrainingJob"]["TrainingJobDefinitionName"] in {"one", "two"}


def test_a_tuning_job_is_listed_found_and_deleted(
    operations: Any, request_of: Any, ended: Any, children: Any, account: Any
) -> None:
    for name in ("beta", "alpha"):
        operations("CreateHyperParameterTuningJob", **request_of(name, jobs=1))
        ended(name)
    listed = operations("ListHyperParameterTuningJobs")["HyperParameterTuningJobSummaries"]
    assert [job["HyperParameterTuningJobName"] for job in listed] == ["alpha", "beta"]
    assert listed[0]["Strategy"] == "Random"
    found = operations("Search", Resource="HyperParameterTuningJob")["Results"]
    assert {each["HyperParameterTuningJob"]["HyperParameterTuningJobName"] for each in found} == {"alpha", "beta"}
    names = [job["TrainingJobName"] for job in children("alpha")]
    operations("DeleteHyperParameterTuningJob", HyperParameterTuningJobName="alpha")
    code, message = operations.refused("DescribeHyperParameterTuningJob", HyperParameterTuningJobName="alpha")
    assert (code, "can't find a tuning job called alpha" in message) == ("ResourceNotFound", True)
    assert account.sagemaker.describe_training_job(TrainingJobName=names[0])["TrainingJobStatus"] == "Completed"


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
def test_what_the_service_refuses(operations: Any, request_of: Any, change: str, words: str) -> None:
    code, message = operations.refused("CreateHyperParameterTuningJob", **_broken(request_of("bad"), change))
    assert code == "ValidationException"
    assert words in message


def test_a_name_is_taken_once(operations: Any, request_of: Any, ended: Any) -> None:
    operations("CreateHyperParameterTuningJob", **request_of("search", jobs=1))
    assert operations.refused("CreateHyperParameterTuningJob", **request_of("search"))[0] == "ResourceInUse"
    ended("search")


def test_an_account_that_closes_leaves_nothing_running(
    open_account: Any, operations: Any, request_of: Any, children: Any
) -> None:
    operations("CreateHyperParameterTuningJob", **request_of("wait", WAIT))
    again = open_account()
    described = again.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="wait")
    assert described["HyperParameterTuningJobStatus"] == "Stopped"
    assert described["TrainingJobStatusCounters"]["InProgress"] == 0
