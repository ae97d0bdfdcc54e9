"""``mlops-sm run --explain-cache``: what is foretold is what the run then does, and nothing is changed by asking.

Each test asks, runs the same thing for real in an account of this process, and holds the two against each other.
Rules: developer guide, "Caching pipeline steps" and "Default cache key attributes by pipeline step type".
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlops_sm.cli.accounts import Account
from mlops_sm.cli.main import main
from mlops_sm.cli.outside import Outside
from mlops_sm.cli.ui import Ui
from mlops_sm.compile import Asset, AssetForm, Compiled
from mlops_sm.compile.assets import file_digest, folder_digest
from mlops_sm.definition import canonical_json, digest
from mlops_sm.emulator import LocalAccount
from mlops_sm.local.warm import WarmWorkers
from mlops_sm.operations.clients import Clients
from mlops_sm.operations.runs import LOCAL_PACE
from mlops_sm.project import Environment, Project

BUCKET = "churn-local-artifacts-123456789012-us-east-1"
CACHE = {"Enabled": True, "ExpireAfter": "P1D"}
ROLE = "arn:aws:iam::123456789012:role/service"
WORD = {"Get": "Parameters.Word"}
CODE = "/opt/ml/processing/input/code"
Json = Any


class Here:
    """A project, an account in this process, and the command; a pipeline is whatever `steps` holds."""

    def __init__(self, folder: Path, local: LocalAccount) -> None:
        self.folder = folder
        self.local = local
        self.steps: list[dict[str, Json]] = []
        self.assets: list[Asset] = []

    def client(self, service: str) -> Any:
        return self.local.client(service)

    def command(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        out, err = io.StringIO(), io.StringIO()
        outside = Outside(
            cwd=self.folder,
            variables={},
            ui=Ui(out, err, {}),
            prewarm=lambda _state: None,
            open_local=self._open_local,
            connect=lambda _environment: Clients(self.local.client),
            compile=self._compile,
        )
        found = main(["run", "churn.build", *arguments], outside)
        assert found == code, out.getvalue() + err.getvalue()
        return out.getvalue(), err.getvalue()

    def foretell(self, *arguments: str) -> dict[str, dict[str, Json]]:
        out, _ = self.command("--explain-cache", "--json", *arguments)
        return {step["name"]: step for step in json.loads(out)["steps"]}

    def run(self, *arguments: str, code: int = 0) -> dict[str, bool]:
        """Which of the steps that ran were taken from an earlier run."""
        out, _ = self.command("--json", *arguments, code=code)
        steps = json.loads(out)["steps"]
        return {s["name"]: s["result"].startswith("reused") for s in steps if s["status"] != "NotRun"}

    def both(self, *arguments: str, code: int = 0) -> dict[str, dict[str, Json]]:
        """What is foretold, once it is certain that the run does the same."""
        foretold = self.foretell(*arguments)
        ran = self.run(*arguments, code=code)
        certain = {name: step for name, step in foretold.items() if step["prediction"] in {"hit", "miss"}}
        assert {name: step["prediction"] == "hit" for name, step in certain.items() if name in ran} == {
            name: hit for name, hit in ran.items() if name in certain
        }
        assert not [name for name in ran if name in foretold and foretold[name]["prediction"] == "skipped"]
        return foretold

    def put(self, key: str, body: str) -> str:
        self.client("s3").put_object(Bucket=BUCKET, Key=key, Body=body.encode())
        return f"s3://{BUCKET}/{key}"

    def asset(self, name: str, content: str) -> str:
        """A script, as a compile addresses it; the asset before it is no part of the pipeline any more."""
        path = self.folder / name
        path.write_text(content)
        found = file_digest(path)
        self.assets = [Asset(f"s3://{BUCKET}/churn-build/assets/{found[:16]}/{name}", path, AssetForm.FILE, found)]
        return self.assets[0].uri

    def archive(self, **files: str) -> str:
        folder = self.folder / "src"
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        for name, content in files.items():
            (folder / f"{name}.py").write_text(content)
        found = folder_digest(folder)
        uri = f"s3://{BUCKET}/churn-build/assets/{found[:16]}/sourcedir.tar.gz"
        self.assets = [Asset(uri, folder, AssetForm.ARCHIVE, found)]
        return uri

    @contextmanager
    def _open_local(
        self, _state: Path, _project: Project, environment: Environment, _warm: WarmWorkers | None
    ) -> Iterator[Account]:
        yield Account(
            environment=environment,
            clients=Clients(self.local.client),
            pace=LOCAL_PACE,
            prefix="",
            log_place=lambda job: job.name,
            prepare=lambda: self.local.ensure_bucket(BUCKET),
            kill=None,
            lasting=True,
            preflight=lambda _definition, _parameters: (),
            now=self.local.clock,
        )

    def _compile(self, project: Project, _environment: Environment, reference: str, _cache: Path) -> Compiled:
        word = {"Name": "Word", "Type": "String", "DefaultValue": "w"}
        document = {"Version": "2020-12-01", "Metadata": {}, "Parameters": [word], "Steps": self.steps}
        text = canonical_json(document)
        return Compiled(
            reference=reference,
            pipeline_name="churn-build",
            source=project.root / "build.py",
            definition=text,
            digest=digest(text),
            assets=tuple(self.assets),
            from_cache=True,
            warnings=(),
        )


@pytest.fixture
def here(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Here]:
    """An account by the machine's time, or so many hours ahead of it."""
    ahead = timedelta(hours=getattr(request, "param", 0))
    (tmp_path / "pyproject.toml").write_text(
        '[tool.mlops_sm]\nname = "churn"\n'
        '[tool.mlops_sm.environments.dev]\naccount = "123456789012"\nregion = "us-east-1"\n'
        '[tool.mlops_sm.environments.prod]\naccount = "123456789012"\nregion = "us-east-1"\nprotected = true\n'
    )
    with LocalAccount.open(tmp_path / "state", clock=lambda: datetime.now(UTC) + ahead) as local:
        yield Here(tmp_path, local)


def place(name: str) -> Json:
    """An output of an own for every execution."""
    return {"Std:Join": {"On": "/", "Values": [f"s3://{BUCKET}/{name}", {"Get": "Execution.PipelineExecutionId"}]}}


def written(name: str) -> Json:
    return {"Get": f"Steps.{name}.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri"}


def job(
    name: str, script: str = "", *, reads: Mapping[str, Json] | None = None, writes: Json = None, **more: Json
) -> dict[str, Json]:
    script = script or ("echo 1 > /opt/ml/processing/out/x" if writes else "true")
    arguments: dict[str, Json] = {
        "AppSpecification": {"ImageUri": "python:3.11", "ContainerEntrypoint": ["sh", "-c", script]},
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5}
        },
        "RoleArn": ROLE,
    }
    if reads:
        arguments["ProcessingInputs"] = [
            {
                "InputName": key,
                "S3Input": {
                    "S3Uri": uri,
                    "LocalPath": f"/opt/ml/processing/input/{key}",
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }
            for key, uri in reads.items()
        ]
    if writes:
        output = {"S3Uri": writes, "LocalPath": "/opt/ml/processing/out", "S3UploadMode": "EndOfJob"}
        arguments["ProcessingOutputConfig"] = {"Outputs": [{"OutputName": "out", "S3Output": output}]}
    return {"Name": name, "Type": "Processing", "Arguments": arguments, "CacheConfig": CACHE, **more}


def causes(foretold: Mapping[str, Mapping[str, Json]]) -> dict[str, tuple[str, str]]:
    return {name: (step["prediction"], step["cause"]) for name, step in foretold.items()}


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
    sagemaker = here.client("sagemaker")
    (name,) = [j["ProcessingJobName"] for j in sagemaker.list_processing_jobs()["ProcessingJobSummaries"]]
    sagemaker.delete_processing_job(ProcessingJobName=name)
    assert causes(here.both()) == {"A": ("miss", "earlier_run_gone")}


METRIC = "mkdir -p /opt/ml/processing/out; echo '{\"auc\": %s}' > /opt/ml/processing/out/m.json"
AUC = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.A.PropertyFiles.M"}, "Path": "auc"}}


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


def loop(items: Json, *body: Mapping[str, Json], **arguments: Json) -> dict[str, Json]:
    inner = {"IterableItems": items, "MaxConcurrency": 2, "ForEachBody": list(body), **arguments}
    return {"Name": "Loop", "Type": "ForEach", "Arguments": inner}


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
