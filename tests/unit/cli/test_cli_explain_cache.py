"""``mlops-sm run --explain-cache``: what is foretold is what the run then does, and nothing is changed by asking.

Each test asks, runs the same thing for real in an account of this process, and holds the two against each other.
Rules: developer guide, "Caching pipeline steps" and "Default cache key attributes by pipeline step type".
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import pytest
from explained import AUC, BUCKET, CACHE, CODE, METRIC, ROLE, WORD, Here, causes, here, job, loop, place, written

__all__ = ["here"]
Json = Any


def test_nothing_is_there_yet_and_nothing_is_made(here: Here) -> None:
    here.steps = [job("A", writes=place("a")), job("B", reads={"data": written("A")})]
    assert set(causes(here.foretell()).values()) == {("miss", "no_earlier_run")}
    assert here.client("sagemaker").list_pipelines()["PipelineSummaries"] == []
    assert here.client("s3").list_buckets()["Buckets"] == []
    here.both()


def test_asking_changes_nothing(here: Here) -> None:
    here.asset("clean.py", "print(1)")
    here.steps = [job("A", f"python {CODE}/clean.py", reads={"code": here.assets[0].uri}, writes=place("a"))]
    here.run()
    sagemaker, s3 = here.client("sagemaker"), here.client("s3")

    def everything() -> Json:
        described = sagemaker.describe_pipeline(PipelineName="churn-build")
        return (
            {name: described[name] for name in ("PipelineDefinition", "LastModifiedTime")},
            sagemaker.list_pipeline_executions(PipelineName="churn-build")["PipelineExecutionSummaries"],
            sagemaker.list_processing_jobs()["ProcessingJobSummaries"],
            [(entry["Key"], entry["LastModified"]) for entry in s3.list_objects_v2(Bucket=BUCKET)["Contents"]],
        )

    before = everything()
    uri = here.asset("clean.py", "print(2)")
    here.steps[0]["Arguments"]["ProcessingInputs"][0]["S3Input"]["S3Uri"] = uri
    assert here.foretell()["A"]["prediction"] == "miss"
    assert everything() == before


def test_the_same_again_is_a_hit_down_to_the_last_step(here: Here) -> None:
    here.steps = [job("A", writes=place("a")), job("B", reads={"data": written("A")})]
    here.run()
    foretold = here.both()
    assert set(causes(foretold).values()) == {("hit", "same_key")}
    (first,) = [
        e["PipelineExecutionArn"]
        for e in here.client("sagemaker").list_pipeline_executions(PipelineName="churn-build", SortOrder="Ascending")[
            "PipelineExecutionSummaries"
        ][:1]
    ]
    assert foretold["B"]["execution_arn"] == first
    # What was taken from the cache is no run of its own.
    assert here.both()["A"]["execution_arn"] == first


def test_what_is_in_no_key_may_change(here: Here) -> None:
    here.steps = [job("A")]
    here.run()
    here.steps[0]["Arguments"]["ProcessingResources"]["ClusterConfig"]["InstanceType"] = "ml.m5.4xlarge"
    here.steps[0]["Arguments"]["StoppingCondition"] = {"MaxRuntimeInSeconds": 60}
    assert here.both()["A"]["prediction"] == "hit"


def test_a_parameter(here: Here) -> None:
    here.steps = [job("A"), job("B")]
    here.steps[0]["Arguments"]["Environment"] = {"WORD": WORD}
    here.run("-p", "Word=old")
    assert here.both("-p", "Word=old")["A"]["prediction"] == "hit"
    foretold = here.both("-p", "Word=new")
    assert causes(foretold) == {"A": ("miss", "key_changed"), "B": ("hit", "same_key")}
    (change,) = foretold["A"]["changes"]
    assert (change["path"], change["before"], change["after"]) == ("Environment.WORD", "old", "new")
    # The other value's run is still there.
    assert here.both("-p", "Word=old")["A"]["prediction"] == "hit"


def test_a_byte_of_a_script(here: Here) -> None:
    def use(content: str) -> str:
        here.steps = [job("A", f"python {CODE}/clean.py", reads={"code": here.asset("clean.py", content)})]
        return here.assets[0].uri

    old = use("print(1)\n")
    here.run()
    new = use("print(12)\n")
    foretold = here.foretell()["A"]
    assert (foretold["prediction"], foretold["cause"]) == ("miss", "key_changed")
    (change,) = foretold["changes"]
    assert change["path"] == "ProcessingInputs['code'].S3Input.S3Uri"
    assert (change["before"], change["after"]) == (old, new)
    before, after = (
        {"digest": hashlib.sha256(text).hexdigest(), "size": len(text)} for text in (b"print(1)\n", b"print(12)\n")
    )
    assert change["files"] == [{"name": "clean.py", "before": before, "after": after}]
    text, _ = here.command("--explain-cache")
    assert f"clean.py: sha256 {before['digest'][:12]}, 9 bytes -> sha256 {after['digest'][:12]}, 10 bytes" in text
    here.both()
    use("print(1)\n")
    assert here.both()["A"]["prediction"] == "hit"


def test_a_file_in_an_archive(here: Here) -> None:
    def use(**files: str) -> None:
        here.steps = [job("A", reads={"code": here.archive(**files)})]

    use(train="x = 1", same="y = 1", gone="z = 1")
    here.run()
    use(train="x = 2", same="y = 1", added="")
    (change,) = here.both()["A"]["changes"]
    assert {f["name"]: (bool(f["before"]), bool(f["after"])) for f in change["files"]} == {
        "sourcedir.tar.gz!added.py": (False, True),
        "sourcedir.tar.gz!gone.py": (True, False),
        "sourcedir.tar.gz!train.py": (True, True),
    }


@pytest.mark.slow
def test_the_same_bytes_at_another_place(here: Here) -> None:
    here.local.ensure_bucket(BUCKET)
    here.steps = [job("A", reads={"data": here.put("one/a.csv", "1")})]
    here.run()
    here.steps = [job("A", reads={"data": here.put("two/a.csv", "1")})]
    text, _ = here.command("--explain-cache")
    assert "the same bytes at another place" in text
    foretold = here.both()["A"]
    assert (foretold["prediction"], foretold["changes"][0]["files"]) == ("miss", [])


@pytest.mark.slow
def test_a_folder_of_objects(here: Here) -> None:
    here.local.ensure_bucket(BUCKET)
    for key, body in {"v1/a": "1", "v1/b": "2", "v1/sub/c": "3", "v10/x": "0"}.items():
        here.put(key, body)
    for key, body in {"v2/a": "1", "v2/b": "22", "v2/d": "4"}.items():
        here.put(key, body)
    here.steps = [job("A", reads={"data": f"s3://{BUCKET}/v1/"})]
    here.run()
    here.steps = [job("A", reads={"data": f"s3://{BUCKET}/v2/"})]
    (change,) = here.both()["A"]["changes"]
    assert [file["name"] for file in change["files"]] == ["b", "d", "sub/c"]


@pytest.mark.parametrize(("here", "noted"), [(-1, True), (1, False)], indirect=["here"])
def test_an_object_with_the_same_uri_and_other_bytes_is_a_hit_and_that_is_said(here: Here, *, noted: bool) -> None:
    """Developer guide, "Caching pipeline steps": only "certain attributes" are compared.

    The times of S3 are the machine's and have no fractions: the account is an hour behind, or ahead.
    """
    here.local.ensure_bucket(BUCKET)
    here.steps = [job("A", reads={"data": here.put("data.csv", "1")})]
    here.run()
    here.put("data.csv", "2")
    notes = here.both()["A"]["notes"]
    start = f"s3://{BUCKET}/data.csv was written after that run had started; a key holds URIs"
    assert [note.startswith(start) for note in notes] == [True] * noted


def test_too_old(here: Here) -> None:
    here.steps = [job("A"), job("B", CacheConfig={"Enabled": True, "ExpireAfter": "P3D"})]
    here.run()
    here.local.clock.advance(hours=23)
    assert here.both()["A"]["prediction"] == "hit"
    here.local.clock.advance(hours=2)
    foretold = here.both()
    assert causes(foretold) == {"A": ("miss", "expired"), "B": ("hit", "same_key")}
    assert "ExpireAfter is P1D" in foretold["A"]["reason"]


def test_what_a_step_makes_anew_makes_the_next_one_miss(here: Here) -> None:
    here.steps = [job("A", writes=place("a")), job("B", reads={"data": written("A")})]
    here.run()
    here.steps[0]["Arguments"]["Environment"] = {"X": "1"}
    foretold = here.both()
    assert causes(foretold) == {"A": ("miss", "key_changed"), "B": ("miss", "new_in_every_run")}
    (change,) = foretold["B"]["changes"]
    assert change["after"] is None
    assert change["upstream"] == ["A"]
    assert "Execution.PipelineExecutionId is new in every run, and A runs" in foretold["B"]["reason"]


@pytest.mark.slow
def test_a_step_that_writes_to_the_same_place_lets_the_next_one_hit(here: Here) -> None:
    here.steps = [job("A", writes=f"s3://{BUCKET}/a"), job("B", reads={"data": written("A")})]
    here.run()
    here.steps[0]["Arguments"]["Environment"] = {"X": "1"}
    foretold = here.both()
    assert causes(foretold) == {"A": ("miss", "key_changed"), "B": ("hit", "same_key")}
    assert foretold["B"]["notes"][0].startswith(f"A runs and writes to s3://{BUCKET}/a, which this step reads")


@pytest.mark.slow
def test_caching_that_is_not_on_and_how_to_turn_it_on(here: Here) -> None:
    off, half = job("Off"), job("Half")
    del off["CacheConfig"]
    half["CacheConfig"] = {"Enabled": False, "ExpireAfter": "P1D"}
    here.steps = [off, half]
    here.run()
    foretold = here.both()
    assert set(causes(foretold).values()) == {("miss", "caching_off")}
    assert "CacheConfig(enable_caching=True" in foretold["Off"]["fix"]
    assert '"ExpireAfter": "P30D"' in here.command("--explain-cache")[0]
    # Runs from before it was turned on count.
    here.steps = [job("Off"), job("Half")]
    assert {step["prediction"] for step in here.both().values()} == {"hit"}


@pytest.mark.slow
def test_only_failed_runs(here: Here) -> None:
    here.steps = [job("A", "exit 1")]
    here.run(code=1)
    foretold = here.both(code=1)["A"]
    assert (foretold["cause"], foretold["reason"]) == ("no_earlier_run", "no earlier run of it has succeeded")


def test_a_run_whose_job_is_gone(here: Here) -> None:
    here.steps = [job("A")]
    here.run()
    delete_job_of(here, "A")
    assert causes(here.both()) == {"A": ("miss", "earlier_run_gone")}


def delete_job_of(here: Here, step: str) -> None:
    sagemaker = here.client("sagemaker")
    (name,) = [
        listed["ProcessingJobName"]
        for listed in sagemaker.list_processing_jobs()["ProcessingJobSummaries"]
        if f"-{step}-" in listed["ProcessingJobName"]
    ]
    sagemaker.delete_processing_job(ProcessingJobName=name)


def test_a_run_whose_input_came_from_a_job_that_is_gone(here: Here) -> None:
    here.steps = [job("A", writes=f"s3://{BUCKET}/a"), job("B", reads={"data": written("A")})]
    here.run()
    delete_job_of(here, "A")
    assert causes(here.both()) == {"A": ("miss", "earlier_run_gone"), "B": ("hit", "same_key")}


def gate(auc: float, writes: Json) -> list[dict[str, Json]]:
    files = [{"PropertyFileName": "M", "OutputName": "out", "FilePath": "m.json"}]
    condition = {
        "Name": "Gate",
        "Type": "Condition",
        "Arguments": {
            "Conditions": [{"Type": "GreaterThan", "LeftValue": AUC, "RightValue": 0.5}],
            "IfSteps": [job("Good")],
            "ElseSteps": [job("Bad")],
        },
    }
    after = job("After", DependsOn=["Gate"])
    after["Arguments"]["Environment"] = {"AUC": {"Std:Join": {"On": "", "Values": [AUC]}}}
    return [job("A", METRIC % auc, writes=writes, PropertyFiles=files), condition, after]


@pytest.mark.parametrize(
    "writes",
    [f"s3://{BUCKET}/m", pytest.param(place("m"), marks=pytest.mark.slow)],
    ids=["one place", "a place per execution"],
)
def test_a_condition_is_decided_where_it_can_be_and_else_gone_through_both_ways(here: Here, writes: Json) -> None:
    here.steps = gate(0.9, writes)
    here.run()
    foretold = here.both()
    assert causes(foretold) == {
        "A": ("hit", "same_key"),
        "Gate": ("decided", "condition"),
        "Good": ("hit", "same_key"),
        "Bad": ("skipped", "condition"),
        "After": ("hit", "same_key"),
    }
    assert foretold["Bad"]["reason"] == "it does not run: of Gate the condition is true"
    # A file of an earlier run may lie where A is to write: it says nothing.
    here.steps = gate(0.3, writes)
    foretold = here.both()
    assert causes(foretold) == {
        "A": ("miss", "key_changed"),
        "Gate": ("unknown", "unknown_until_run"),
        "Good": ("hit", "same_key"),
        "Bad": ("miss", "no_earlier_run"),
        "After": ("unknown", "unknown_until_run"),
    }
    assert {name: foretold[name]["only_if"] for name in ("Good", "Bad", "After")} == {
        "Good": "Gate",
        "Bad": "Gate",
        "After": None,
    }
    assert foretold["Gate"]["reason"] == "Steps.A.PropertyFiles.M.auc is unknown until A has run" or (
        writes == f"s3://{BUCKET}/m"
    )
    assert "unknown until A has run" in foretold["After"]["reason"]


@pytest.mark.slow
def test_what_follows_from_an_unknown_value_is_a_miss_where_anything_else_differs(here: Here) -> None:
    here.steps = gate(0.9, place("m"))
    here.run()
    here.steps = gate(0.3, place("m"))
    here.steps[2]["Arguments"]["Environment"]["B"] = "1"
    foretold = here.both()["After"]
    assert (foretold["prediction"], foretold["cause"]) == ("miss", "key_changed")
    assert {change["path"]: bool(change["because"]) for change in foretold["changes"]} == {
        "Environment.AUC": True,
        "Environment.B": False,
    }


def test_a_file_that_was_written_anew_since_does_not_hide_what_a_run_was_given(here: Here) -> None:
    def steps(auc: float) -> list[dict[str, Json]]:
        first, _, after = gate(auc, f"s3://{BUCKET}/m")
        after["Arguments"]["Environment"]["NUMBER"] = AUC
        return [first, {**after, "DependsOn": ["A"]}]

    here.steps = steps(0.9)
    here.run()
    here.steps = steps(0.3)
    here.run()
    # A is taken from its first run, but the file it left there is that of the second.
    here.steps = steps(0.9)
    foretold = here.both()
    assert causes(foretold) == {"A": ("hit", "same_key"), "After": ("hit", "same_key")}
    executions = [step["execution_arn"] for step in foretold.values()]
    assert executions[0] != executions[1]


@pytest.mark.slow
def test_a_fail_step_ends_the_execution_and_what_runs_beside_it_is_shown(here: Here) -> None:
    no = {"Name": "No", "Type": "Fail", "Arguments": {"ErrorMessage": "no"}, "DependsOn": ["A"]}
    here.steps = [job("A"), no, job("B", DependsOn=["A"])]
    here.run(code=1)
    foretold = here.both(code=1)
    assert causes(foretold) == {
        "A": ("hit", "same_key"),
        "No": ("decided", "fails"),
        "B": ("hit", "same_key"),
    }


def test_the_steps_of_iterations(here: Here) -> None:
    def steps(items: Sequence[str]) -> list[dict[str, Json]]:
        write, use = job("Write", writes=place("w")), job("Use", reads={"data": written("Write")})
        write["Arguments"]["Environment"] = {"ITEM": {"Get": "ForEach.CurrentItem"}}
        return [loop(list(items), write, use)]

    here.steps = steps(["a", "b"])
    here.run()
    foretold = here.both()
    assert list(foretold) == ["Loop", "Write-0", "Write-1", "Use-0", "Use-1"]
    assert {step["prediction"] for step in foretold.values()} == {"decided", "hit"}
    here.steps = steps(["a", "c", "d"])
    foretold = here.both()
    assert {name: step["prediction"] for name, step in foretold.items() if name != "Loop"} == {
        "Write-0": "hit",
        "Use-0": "hit",
        "Write-1": "miss",
        "Use-1": "miss",
        "Write-2": "miss",
        "Use-2": "miss",
    }
    assert foretold["Use-1"]["changes"][0]["upstream"] == ["Write-1"]


@pytest.mark.slow
def test_iterations_over_what_is_not_known_yet(here: Here) -> None:
    items = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.A.PropertyFiles.M"}, "Path": "items"}}
    first, *_ = gate(0.9, place("m"))
    first["Arguments"]["AppSpecification"]["ContainerEntrypoint"][2] = METRIC % '0.9, "items": ["x"]'
    here.steps = [first, loop(items, job("Each"))]
    foretold = here.both() if here.foretell()["Loop"]["prediction"] == "unknown" else {}
    assert "Each-0" not in foretold
    assert here.both()["Each-0"]["prediction"] == "hit"


def train(name: str, script: str) -> dict[str, Json]:
    return {
        "Name": name,
        "Type": "Training",
        "CacheConfig": CACHE,
        "Arguments": {
            "AlgorithmSpecification": {
                "TrainingImage": "python:3.11",
                "TrainingInputMode": "File",
                "ContainerEntrypoint": ["sh", "-c", script],
            },
            "RoleArn": ROLE,
            "HyperParameters": {"depth": "3"},
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/models"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        },
    }


def test_a_models_artifact_is_new_and_so_is_a_models_name(here: Here) -> None:
    model = {
        "Name": "Model",
        "Type": "Model",
        "Arguments": {
            "ExecutionRoleArn": ROLE,
            "PrimaryContainer": {
                "Image": "python:3.11",
                "ModelDataUrl": {"Get": "Steps.T.ModelArtifacts.S3ModelArtifacts"},
            },
        },
    }
    uses = job("Use", reads={"model": {"Get": "Steps.T.ModelArtifacts.S3ModelArtifacts"}})
    knows = job("Knows")
    knows["Arguments"]["Environment"] = {
        "MODEL": {"Get": "Steps.Model.ModelName"},
        "D": {"Get": "Steps.T.HyperParameters['depth']"},
    }
    here.steps = [train("T", "echo 1 > /opt/ml/model/m"), model, uses, knows]
    here.run()
    foretold = here.both()
    assert causes(foretold) == {
        "T": ("hit", "same_key"),
        "Model": ("miss", "kind_not_cached"),
        "Use": ("hit", "same_key"),
        "Knows": ("miss", "new_in_every_run"),
    }
    here.steps[0] = train("T", "echo 2 > /opt/ml/model/m")
    foretold = here.both()
    assert causes(foretold)["Use"] == ("miss", "new_in_every_run")
    assert foretold["Use"]["reason"] == "Steps.T.ModelArtifacts.S3ModelArtifacts is new, because T runs"


def test_an_account_of_aws_is_asked_in_the_same_way(here: Here) -> None:
    here.steps = [job("A", writes=place("a")), job("B", reads={"data": written("A")})]
    here.run()
    # A protected environment is not changed by a question.
    for environment in ("dev", "prod"):
        assert {step["prediction"] for step in here.foretell("--env", environment).values()} == {"hit"}
    changed = copy.deepcopy(here.steps)
    changed[1]["Arguments"]["Environment"] = {"X": "1"}
    here.steps = changed
    assert causes(here.foretell("--env", "dev"))["B"] == ("miss", "key_changed")


@pytest.mark.parametrize("option", [("--only", "A"), ("--detach",), ("--only", "A", "--execution", "latest")])
def test_options_that_say_how_to_run(here: Here, option: tuple[str, ...]) -> None:
    here.steps = [job("A")]
    out, err = here.command("--explain-cache", "--json", *option, code=2)
    assert [problem["code"] for problem in json.loads(out)["problems"]] == ["E144"]
    assert "Leave" in err


def test_wrong_parameters_are_refused_as_a_run_refuses_them(here: Here) -> None:
    here.steps = [job("A")]
    out, _ = here.command("--explain-cache", "--json", "-p", "Wrod=x", code=2)
    assert [problem["code"] for problem in json.loads(out)["problems"]] == ["E215"]
