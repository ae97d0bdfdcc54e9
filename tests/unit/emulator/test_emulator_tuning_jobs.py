"""Tuning jobs, created directly: what they start, what they show and how they end."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

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
CHOICES = {"CategoricalParameterRanges": [{"Name": "x", "Values": ["0", "1", "2", "3"]}]}


def test_random_search_starts_jobs_and_names_the_best(
    operations: Any, tuning_request: Any, tuning_end: Any, training_jobs: Any, account: Any
) -> None:
    made = operations("CreateHyperParameterTuningJob", **tuning_request("search"), Tags=[{"Key": "k", "Value": "v"}])
    assert made["HyperParameterTuningJobArn"].endswith(":hyper-parameter-tuning-job/search")
    end = tuning_end("search")
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
    listed = training_jobs("search")
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


def test_a_seed_draws_the_same_again(operations: Any, tuning_request: Any, tuning_end: Any, training_jobs: Any) -> None:
    for name in ("one", "two"):
        operations("CreateHyperParameterTuningJob", **tuning_request(name))
        tuning_end(name)
    one, two = ([job["TunedHyperParameters"] for job in training_jobs(name)] for name in ("one", "two"))
    assert one == two


def test_training_jobs_are_listed_in_order_and_on_pages(
    operations: Any, tuning_request: Any, tuning_end: Any, training_jobs: Any
) -> None:
    operations("CreateHyperParameterTuningJob", **tuning_request("search"))
    tuning_end("search")
    names = [job["TrainingJobName"] for job in training_jobs("search")]
    for sort in ("Name", "CreationTime", "Status", "FinalObjectiveMetricValue"):
        for order in ("Ascending", "Descending"):
            whole = training_jobs("search", SortBy=sort, SortOrder=order)
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
    assert training_jobs("search", StatusEquals="Failed") == []


def test_a_grid_tries_every_combination_once(
    operations: Any, tuning_request: Any, tuning_end: Any, training_jobs: Any
) -> None:
    operations("CreateHyperParameterTuningJob", **tuning_request("grid", ranges=CHOICES, jobs=None, Strategy="Grid"))
    assert tuning_end("grid")["BestTrainingJob"]["TunedHyperParameters"] == {"x": "2"}
    assert [job["TunedHyperParameters"]["x"] for job in training_jobs("grid")] == ["0", "1", "2", "3"]


def test_bayesian_search_learns(operations: Any, tuning_request: Any, tuning_end: Any, training_jobs: Any) -> None:
    operations("CreateHyperParameterTuningJob", **tuning_request("learn", jobs=12, Strategy="Bayesian"))
    assert tuning_end("learn")["ObjectiveStatusCounters"]["Succeeded"] == 12
    assert tuning_end("learn")["BestTrainingJob"][OBJECTIVE]["Value"] < 1.3


def test_a_target_ends_the_search(operations: Any, tuning_request: Any, tuning_end: Any, training_jobs: Any) -> None:
    criteria = {"TargetObjectiveMetricValue": 100.0}
    operations(
        "CreateHyperParameterTuningJob", **tuning_request("target", jobs=50, TuningJobCompletionCriteria=criteria)
    )
    end = tuning_end("target")
    assert end["HyperParameterTuningJobStatus"] == "Completed"
    assert len(training_jobs("target")) < 5
    assert end["TrainingJobStatusCounters"]["InProgress"] == end["ObjectiveStatusCounters"]["Pending"] == 0


def test_results_that_improve_no_more_end_the_search(
    operations: Any, tuning_request: Any, tuning_end: Any, training_jobs: Any
) -> None:
    criteria = {"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3}}
    request = tuning_request("flat", 'print("loss=1.0")', jobs=50, TuningJobCompletionCriteria=criteria)
    operations("CreateHyperParameterTuningJob", **request)
    end = tuning_end("flat")
    assert end["HyperParameterTuningJobStatus"] == "Completed"
    assert 4 <= len(training_jobs("flat")) <= 6
    assert end["TuningJobCompletionDetails"]["NumberOfTrainingJobsObjectiveNotImproving"] >= 3


def test_jobs_that_all_fail_make_it_fail(operations: Any, tuning_request: Any, tuning_end: Any) -> None:
    operations("CreateHyperParameterTuningJob", **tuning_request("broken", "raise SystemExit(3)", jobs=20))
    end = tuning_end("broken")
    assert end["HyperParameterTuningJobStatus"] == "Failed"
    assert end["FailureReason"].startswith("No training job succeeded after 5 attempts.")
    assert end["TrainingJobStatusCounters"]["NonRetryableError"] >= 5
    assert "BestTrainingJob" not in end


def test_an_objective_that_never_appears_makes_it_fail(
    operations: Any, tuning_request: Any, tuning_end: Any, training_jobs: Any
) -> None:
    operations("CreateHyperParameterTuningJob", **tuning_request("silent", 'print("nothing to see")', jobs=3))
    end = tuning_end("silent")
    assert end["HyperParameterTuningJobStatus"] == "Failed"
    assert end["FailureReason"].startswith("No objective metrics found after running 3 training jobs.")
    assert {(job["TrainingJobStatus"], job["ObjectiveStatus"]) for job in training_jobs("silent")} == {
        ("Completed", "Failed")
    }
    assert training_jobs("silent", SortBy="FinalObjectiveMetricValue") == []


def test_stopping_stops_what_runs(
    operations: Any, tuning_request: Any, tuning_end: Any, training_jobs: Any, account: Any
) -> None:
    operations("CreateHyperParameterTuningJob", **tuning_request("wait", WAIT))

    def training() -> bool:
        names = [job["TrainingJobName"] for job in training_jobs("wait")]
        jobs = [account.sagemaker.describe_training_job(TrainingJobName=name) for name in names]
        return [job["SecondaryStatus"] for job in jobs] == ["Training", "Training"]

    account.until(training, "two trainings")
    counters = operations("DescribeHyperParameterTuningJob", HyperParameterTuningJobName="wait")
    assert counters["TrainingJobStatusCounters"] == {**NONE, "InProgress": 2}
    assert counters["ObjectiveStatusCounters"]["Pending"] == 2
    operations("StopHyperParameterTuningJob", HyperParameterTuningJobName="wait")
    end = tuning_end("wait")
    assert end["HyperParameterTuningJobStatus"] == "Stopped"
    assert end["TrainingJobStatusCounters"] == {**NONE, "Stopped": 2}
    assert "FailureReason" not in end
    _, message = operations.refused("StopHyperParameterTuningJob", HyperParameterTuningJobName="wait")
    assert "is in status Stopped" in message


def test_early_stopping_gives_up_what_is_worse(
    operations: Any, tuning_request: Any, tuning_end: Any, training_jobs: Any, account: Any
) -> None:
    request = tuning_request(
        "median", EPOCHS, ranges=CHOICES, jobs=4, Strategy="Random", TrainingJobEarlyStoppingType="Auto"
    )
    request["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxParallelTrainingJobs"] = 1
    request["HyperParameterTuningJobConfig"]["Strategy"] = "Grid"
    operations("CreateHyperParameterTuningJob", **request)
    end = tuning_end("median")
    # The first runs to its end; the others are worse from their first epoch on.
    assert [job["TrainingJobStatus"] for job in training_jobs("median")] == [
        "Completed",
        "Stopped",
        "Stopped",
        "Stopped",
    ]
    assert end["BestTrainingJob"]["TunedHyperParameters"] == {"x": "0"}
    assert end["HyperParameterTuningJobStatus"] == "Completed"


def test_hyperband_stops_at_its_largest_resource(
    operations: Any, tuning_request: Any, tuning_end: Any, training_jobs: Any
) -> None:
    resources = {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 2}}
    endless = EPOCHS.replace("range(3)", "range(1000)")
    operations(
        "CreateHyperParameterTuningJob",
        **tuning_request("band", endless, ranges=CHOICES, jobs=4, Strategy="Hyperband", StrategyConfig=resources),
    )
    end = tuning_end("band")
    assert end["HyperParameterTuningJobStatus"] == "Completed"
    assert {job["TrainingJobStatus"] for job in training_jobs("band")} == {"Stopped"}
    assert end["ObjectiveStatusCounters"]["Succeeded"] == 4


def test_a_warm_start_knows_what_its_parent_found(
    operations: Any, tuning_request: Any, tuning_end: Any, training_jobs: Any
) -> None:
    operations("CreateHyperParameterTuningJob", **tuning_request("parent", ranges=CHOICES, jobs=None, Strategy="Grid"))
    parent = tuning_end("parent")
    warm = {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "parent"}],
        "WarmStartType": "IdenticalDataAndAlgorithm",
    }
    request = tuning_request("child", ranges={**CHOICES}, jobs=1)
    request["HyperParameterTuningJobConfig"]["ParameterRanges"] = {
        "CategoricalParameterRanges": [{"Name": "x", "Values": ["0", "1"]}]
    }
    operations("CreateHyperParameterTuningJob", **request, WarmStartConfig=warm)
    end = tuning_end("child")
    assert end["OverallBestTrainingJob"]["TuningJobName"] == "parent"
    assert end["OverallBestTrainingJob"]["TrainingJobName"] == parent["BestTrainingJob"]["TrainingJobName"]
    request = tuning_request("other", ranges=CHOICES, jobs=1)
    request["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["Type"] = "Maximize"
    assert "objective metric" in operations.refused("CreateHyperParameterTuningJob", **request, WarmStartConfig=warm)[1]


def test_several_definitions_take_turns(
    operations: Any, tuning_request: Any, tuning_end: Any, training_jobs: Any
) -> None:
    request = tuning_request("both", jobs=4)
    definition, config = request.pop("TrainingJobDefinition"), request["HyperParameterTuningJobConfig"]
    own = {
        "TuningObjective": config.pop("HyperParameterTuningJobObjective"),
        "HyperParameterRanges": config.pop("ParameterRanges"),
    }
    request["TrainingJobDefinitions"] = [{**definition, **own, "DefinitionName": name} for name in ("one", "two")]
    operations("CreateHyperParameterTuningJob", **request)
    end = tuning_end("both")
    assert [job["TrainingJobDefinitionName"] for job in training_jobs("both")] == ["one", "two", "one", "two"]
    assert end["BestTrainingJob"]["TrainingJobDefinitionName"] in {"one", "two"}


def test_a_tuning_job_is_listed_found_and_deleted(
    operations: Any, tuning_request: Any, tuning_end: Any, training_jobs: Any, account: Any
) -> None:
    for name in ("beta", "alpha"):
        operations("CreateHyperParameterTuningJob", **tuning_request(name, jobs=1))
        tuning_end(name)
    listed = operations("ListHyperParameterTuningJobs")["HyperParameterTuningJobSummaries"]
    assert [job["HyperParameterTuningJobName"] for job in listed] == ["alpha", "beta"]
    assert listed[0]["Strategy"] == "Random"
    found = operations("Search", Resource="HyperParameterTuningJob")["Results"]
    assert {each["HyperParameterTuningJob"]["HyperParameterTuningJobName"] for each in found} == {"alpha", "beta"}
    names = [job["TrainingJobName"] for job in training_jobs("alpha")]
    operations("DeleteHyperParameterTuningJob", HyperParameterTuningJobName="alpha")
    code, message = operations.refused("DescribeHyperParameterTuningJob", HyperParameterTuningJobName="alpha")
    assert (code, "can't find a tuning job called alpha" in message) == ("ResourceNotFound", True)
    assert account.sagemaker.describe_training_job(TrainingJobName=names[0])["TrainingJobStatus"] == "Completed"


def test_an_account_that_closes_leaves_nothing_running(
    open_account: Any, operations: Any, tuning_request: Any, training_jobs: Any
) -> None:
    operations("CreateHyperParameterTuningJob", **tuning_request("wait", WAIT))
    again = open_account()
    described = again.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="wait")
    assert described["HyperParameterTuningJobStatus"] == "Stopped"
    assert described["TrainingJobStatusCounters"]["InProgress"] == 0


def test_the_runtime_limit_ends_the_search(
    account: Any, operations: Any, tuning_request: Any, tuning_end: Any, training_jobs: Any
) -> None:
    request = tuning_request("long", WAIT)
    request["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxRuntimeInSeconds"] = 120
    operations("CreateHyperParameterTuningJob", **request)
    account.until(lambda: len(training_jobs("long")) == 2, "two training jobs")
    account.local.clock.advance(minutes=3)
    end = tuning_end("long")
    assert end["HyperParameterTuningJobStatus"] == "Completed"
    assert end["TrainingJobStatusCounters"] == {**NONE, "Stopped": 2}
    assert end["ConsumedResources"]["RuntimeInSeconds"] >= 180


def test_autotune_searches_around_its_hints(
    operations: Any, tuning_request: Any, tuning_end: Any, training_jobs: Any
) -> None:
    hints = {
        "AutoParameters": [
            {"Name": "x", "ValueHint": "0.5"},
            {"Name": "depth", "ValueHint": "3"},
            {"Name": "kind", "ValueHint": "plain"},
        ]
    }
    operations(
        "CreateHyperParameterTuningJob", **tuning_request("auto", ranges=hints, jobs=6), Autotune={"Mode": "Enabled"}
    )
    assert tuning_end("auto")["HyperParameterTuningJobStatus"] == "Completed"
    for job in training_jobs("auto"):
        tuned = job["TunedHyperParameters"]
        assert tuned.keys() == {"x", "depth"}
        assert 0.05 <= float(tuned["x"]) <= 1.0
        assert 1 <= int(tuned["depth"]) <= 30


def test_transfer_learning_starts_from_another_algorithm(
    operations: Any, tuning_request: Any, tuning_end: Any, training_jobs: Any
) -> None:
    operations("CreateHyperParameterTuningJob", **tuning_request("parent", jobs=12))
    tuning_end("parent")
    parents = {"ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "parent"}]}
    request = tuning_request("child", jobs=3, Strategy="Bayesian")
    request["TrainingJobDefinition"]["AlgorithmSpecification"]["TrainingImage"] = "python:3.12"
    identical = {**parents, "WarmStartType": "IdenticalDataAndAlgorithm"}
    assert (
        "training image" in operations.refused("CreateHyperParameterTuningJob", **request, WarmStartConfig=identical)[1]
    )
    request["TrainingJobDefinition"]["AlgorithmSpecification"]["TrainingImage"] = "python:3.11"
    transfer = {**parents, "WarmStartType": "TransferLearning"}
    operations("CreateHyperParameterTuningJob", **request, WarmStartConfig=transfer)
    end = tuning_end("child")
    assert "OverallBestTrainingJob" not in end
    # The best of twelve draws is known: the search begins near it.
    assert all(abs(float(job["TunedHyperParameters"]["x"]) - 2) < 1.5 for job in training_jobs("child"))


def test_it_takes_no_place_of_the_jobs_it_waits_for(open_account: Any) -> None:
    """One place for jobs, and two searches: neither keeps it from the training jobs of the other."""
    account = open_account(parallel_jobs=1)
    job = account.training_request("tuned", 'print("loss=1.0")')
    definition = {
        "AlgorithmSpecification": {**job["AlgorithmSpecification"]},
        "StaticHyperParameters": {
            "sagemaker_program": "tuned.py",
            "sagemaker_submit_directory": "/opt/ml/input/data/code",
        },
        **{key: job[key] for key in ("RoleArn", "InputDataConfig", "OutputDataConfig", "ResourceConfig")},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    }
    del definition["AlgorithmSpecification"]["ContainerEntrypoint"]
    names = ("one", "two")
    for name in names:
        account.sagemaker.create_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=name,
            HyperParameterTuningJobConfig={
                "Strategy": "Grid",
                "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
                "ResourceLimits": {"MaxParallelTrainingJobs": 3},
                "ParameterRanges": CHOICES,
            },
            TrainingJobDefinition=definition,
        )

    def statuses() -> set[str]:
        found = account.sagemaker.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"]
        return {each["HyperParameterTuningJobStatus"] for each in found}

    account.until(lambda: statuses() == {"Completed"}, "both")


DYING = """
import json, os, signal, sys, time
from pathlib import Path
from mlops_sm.emulator import LocalAccount

account = LocalAccount.open(Path(sys.argv[1]))
account.ensure_bucket("emulator-tests")
request, script = json.loads(sys.argv[2]), sys.argv[3]
account.client("s3").put_object(Bucket="emulator-tests", Key="code/tuned.py", Body=script.encode())
sagemaker = account.client("sagemaker")
sagemaker.create_hyper_parameter_tuning_job(**request)
while len(sagemaker.list_training_jobs(StatusEquals="InProgress")["TrainingJobSummaries"]) < 2:
    time.sleep(0.01)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_search_whose_owner_was_killed_is_closed_and_its_name_is_free_again(
    account: Any, open_account: Any, tuning_request: Any, state: Path
) -> None:
    request = tuning_request("search", WAIT)
    account.local.close()
    died = subprocess.run([sys.executable, "-c", DYING, str(state), json.dumps(request), WAIT], check=False)
    assert died.returncode == -signal.SIGKILL
    again = open_account()
    described = again.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="search")
    assert described["HyperParameterTuningJobStatus"] == "Failed"
    assert described["FailureReason"].startswith("InternalServerError: the process that owned the local account ended")
    assert described["TrainingJobStatusCounters"] == {**NONE, "RetryableError": 2}
    assert described["ObjectiveStatusCounters"] == {"Succeeded": 0, "Pending": 0, "Failed": 2}
    assert again.sagemaker.list_training_jobs(StatusEquals="InProgress")["TrainingJobSummaries"] == []
    again.sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="search")
    again.sagemaker.create_hyper_parameter_tuning_job(**request)
    listed = again.sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName="search")
    assert {job["TrainingJobStatus"] for job in listed["TrainingJobSummaries"]} <= {"InProgress"}
