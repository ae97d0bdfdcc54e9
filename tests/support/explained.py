"""A project whose pipeline is whatever a test wants, in an account of this process, and the command that runs it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
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


METRIC = "mkdir -p /opt/ml/processing/out; echo '{\"auc\": %s}' > /opt/ml/processing/out/m.json"
AUC = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.A.PropertyFiles.M"}, "Path": "auc"}}


class Here:
    """A project, an account in this process, and the command; a pipeline is whatever `steps` holds."""

    def __init__(self, folder: Path, local: LocalAccount) -> None:
        self.folder = folder
        self.local = local
        self.steps: list[dict[str, Json]] = []
        self.assets: list[Asset] = []

    def client(self, service: str) -> Any:
        return self.local.client(service)

    def command(self, *arguments: str, code: int | None = 0) -> tuple[str, str]:
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
        assert code is None or found == code, out.getvalue() + err.getvalue()
        return out.getvalue(), err.getvalue()

    def foretell(self, *arguments: str) -> dict[str, dict[str, Json]]:
        out, _ = self.command("--explain-cache", "--json", *arguments)
        return {step["name"]: step for step in json.loads(out)["steps"]}

    def run(self, *arguments: str, code: int | None = 0) -> dict[str, bool]:
        """Which of the steps that ran were taken from an earlier run."""
        out, _ = self.command("--json", *arguments, code=code)
        steps = json.loads(out)["steps"]
        return {s["name"]: s["result"].startswith("reused") for s in steps if s["status"] != "NotRun"}

    def both(self, *arguments: str, code: int | None = 0) -> dict[str, dict[str, Json]]:
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


def auc_of(step: str) -> Json:
    return {"Std:JsonGet": {"PropertyFile": {"Get": f"Steps.{step}.PropertyFiles.M"}, "Path": "auc"}}


def loop(items: Json, *body: Mapping[str, Json], **arguments: Json) -> dict[str, Json]:
    inner = {"IterableItems": items, "MaxConcurrency": 2, "ForEachBody": list(body), **arguments}
    return {"Name": "Loop", "Type": "ForEach", "Arguments": inner}


def causes(foretold: Mapping[str, Mapping[str, Json]]) -> dict[str, tuple[str, str]]:
    return {name: (step["prediction"], step["cause"]) for name, step in foretold.items()}
