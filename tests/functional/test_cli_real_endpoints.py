"""Deploying through the command, in this process and with one account: what is approved serves, and is taken back."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hosting import DOUBLE, IMAGE, packed

from mlops_sm.cli.accounts import Account
from mlops_sm.cli.main import main
from mlops_sm.cli.outside import real_outside
from mlops_sm.cli.ui import Ui
from mlops_sm.emulator import LocalAccount
from mlops_sm.local.warm import WarmWorkers
from mlops_sm.operations.clients import Clients
from mlops_sm.operations.deploying import Wish, deploy, find_version
from mlops_sm.operations.runs import LOCAL_PACE
from mlops_sm.project import LOCAL, Environment, Project, load_project

GROUP = "shop-limit"
BUCKET = "shop-local-models-123456789012-us-east-1"
SETTINGS = """
[tool.mlops_sm]
name = "shop"
[tool.mlops_sm.environments.prod]
account = "222222222222"
region = "us-east-1"
protected = true
"""


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


class Shop:
    """A project, and its local account that stays open from command to command."""

    def __init__(self, folder: Path, local: LocalAccount) -> None:
        self.folder = folder
        self.local = local
        self.sagemaker = local.client("sagemaker")

    @contextmanager
    def open(self, _state: Path, _project: Project, environment: Environment, _warm: object) -> Iterator[Account]:
        yield Account(
            environment=environment,
            clients=Clients(self.local.client),
            pace=LOCAL_PACE,
            prefix="",
            log_place=str,
            prepare=lambda: None,
            kill=None,
            lasting=True,
            preflight=lambda _definition, _parameters: (),
        )

    def run(self, *arguments: str, code: int = 0) -> Done:
        out, err = io.StringIO(), io.StringIO()
        outside = replace(real_outside(), cwd=self.folder, variables={}, ui=Ui(out, err, {}), open_local=self.open)
        assert main(arguments, outside) == code, out.getvalue() + err.getvalue()
        return Done(code, out.getvalue(), err.getvalue())

    def endpoints(self, *arguments: str, code: int = 0) -> Done:
        return self.run("endpoints", *arguments, code=code)

    def register(self, factor: int, approval: str = "Approved", script: str = DOUBLE) -> str:
        """A version whose model multiplies by a factor; its ARN."""
        key = f"{factor}/model.tar.gz"
        archive = packed({"code/inference.py": script, "factor.json": str(factor)})
        self.local.client("s3").put_object(Bucket=BUCKET, Key=key, Body=archive)
        arn: str = self.sagemaker.create_model_package(
            ModelPackageGroupName=GROUP,
            ModelApprovalStatus=approval,
            InferenceSpecification={
                "Containers": [{"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/{key}"}],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
        )["ModelPackageArn"]
        return arn

    def made(self) -> tuple[int, int, int]:
        """How many models, configurations and endpoints there are."""
        return (
            len(self.sagemaker.list_models()["Models"]),
            len(self.sagemaker.list_endpoint_configs()["EndpointConfigs"]),
            len(self.sagemaker.list_endpoints()["Endpoints"]),
        )

    def answer(self, row: str = "1,2,3") -> Any:
        (self.folder / "row.csv").write_text(f"{row}\n")
        return self.endpoints("invoke", GROUP, "row.csv", "--json").data["answer"]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    (tmp_path / "pyproject.toml").write_text(SETTINGS)
    with LocalAccount.open(tmp_path / ".mlops_sm", warm=WarmWorkers(enabled=False)) as local:
        local.ensure_bucket(BUCKET)
        local.client("sagemaker").create_model_package_group(ModelPackageGroupName=GROUP)
        yield Shop(tmp_path, local)


def test_approved_versions_serve_and_are_taken_back(shop: Shop) -> None:
    shop.register(2)
    first = shop.endpoints("deploy", GROUP)
    assert "shop-limit: created, shop-limit/1 serves" in first.out
    assert shop.answer() == [12.0]
    assert shop.made() == (1, 1, 1)
    again = shop.endpoints("deploy", f"{GROUP}/1", "--json").data
    assert (again["action"], again["made"], shop.made()) == ("no change", [], (1, 1, 1))
    nothing = shop.endpoints("rollback", GROUP, code=3)
    assert "error[E152]" in nothing.err
    assert "nothing to roll back to" in nothing.err

    shop.register(5)
    second = shop.endpoints("deploy", f"{GROUP}@latest-approved", "--canary", "10", "--json").data
    assert second["action"] == "updated"
    assert second["endpoint"]["variants"][0]["version"] == "shop-limit/2"
    assert shop.answer() == [30.0]
    described = shop.sagemaker.describe_endpoint(EndpointName=GROUP)
    routing = described["LastDeploymentConfig"]["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    assert routing == {
        "Type": "CANARY",
        "WaitIntervalInSeconds": 0,
        "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 10},
    }

    bad = "def model_fn(folder): raise ValueError('half a model')"
    shop.register(7, script=bad)
    broken = shop.endpoints("deploy", GROUP, code=1)
    assert "shop-limit: rolled back, shop-limit/3 does not serve" in broken.out
    assert "half a model" in broken.out
    assert shop.answer() == [30.0]

    back = shop.endpoints("rollback", GROUP)
    assert "rolled back from shop-limit/2 to shop-limit/1" in back.out
    assert shop.answer() == [12.0]
    assert "error[E152]" in shop.endpoints("rollback", GROUP, code=3).err

    assert "Add --yes" in shop.endpoints("delete", GROUP, code=2).err
    other = shop.sagemaker.create_model(
        ModelName="shop-limit-other",
        ExecutionRoleArn="arn:aws:iam::123456789012:role/execution",
        PrimaryContainer={"Image": IMAGE},
    )
    gone = shop.endpoints("delete", GROUP, "--yes", "--json").data
    assert (gone["endpoint"], len(gone["configs"]), len(gone["models"])) == (True, 3, 3)
    assert shop.made() == (1, 0, 0)
    assert shop.sagemaker.list_models()["Models"][0]["ModelArn"] == other["ModelArn"]
    assert "error[E151]" in shop.endpoints("delete", GROUP, "--yes", code=2).err


def test_only_approved_versions_are_deployed(shop: Shop) -> None:
    shop.register(2, "PendingManualApproval")
    pending = shop.endpoints("deploy", f"{GROUP}@1", code=3)
    assert "error[E150]: it is PendingManualApproval, not Approved" in pending.err
    assert 'mlops-sm models approve shop-limit/1 --why "..."' in pending.err
    nobody = shop.endpoints("deploy", GROUP, code=3)
    assert "error[E150]: no version of it is approved" in nobody.err
    shop.run("models", "reject", f"{GROUP}/1", "--why", "wrong month")
    rejected = shop.endpoints("deploy", f"{GROUP}@1", code=3)
    assert "it is Rejected, not Approved (rejected by" in rejected.err
    assert "error[E113]" in shop.endpoints("deploy", f"{GROUP}@9", code=2).err
    assert shop.made() == (0, 0, 0)


def test_what_an_endpoint_is_and_what_was_measured_of_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    arn = shop.register(2)
    shop.endpoints("deploy", GROUP, "--name", "limit", "--instances", "2", "--capture", "20")
    (shop.folder / "rows.csv").write_text("1,2\n3,4\n")
    done = shop.endpoints("invoke", "limit", "rows.csv")
    assert done.out == "prediction\n6\n14\n"
    assert shop.endpoints("invoke", "limit", "rows.csv", "--raw").out == "[6.0, 14.0]"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"1,2,3\n")))
    assert shop.endpoints("invoke", "limit", "-", "--variant", "AllTraffic").out == "prediction\n12\n"
    failed = shop.endpoints("invoke", "limit", "income=much", "--content-type", "text/csv", code=1)
    assert "could not convert string to float: 'income'" in failed.err
    assert "AllTraffic answered" not in failed.err

    page = shop.folder / "limit.html"
    shown = shop.endpoints("show", "limit", "--html", "limit.html", "--json").data
    (variant,) = shown["variants"]
    assert (variant["package"], variant["version"], variant["approval"]) == (arn, "shop-limit/1", "Approved")
    assert (variant["instances"], variant["instance_type"]) == (2, "ml.m5.large")
    assert shown["capture"] == [20, "s3://shop-local-artifacts-123456789012-us-east-1/captured"]
    (metrics,) = shown["metrics"]
    assert sum(point["value"] for point in metrics["invocations"]) == 4
    assert sum(point["value"] for point in metrics["errors_5xx"]) == 1
    assert metrics["latency_p50"][0]["value"] < 60_000
    text = page.read_text()
    assert text.count("<svg") == 2
    assert "http" not in text.replace("http-equiv", "")
    listed = shop.endpoints("list").out.splitlines()
    assert listed[1].split()[:3] == ["limit", "InService", "shop-limit/1"]


def test_a_deployment_that_was_interrupted_goes_on(shop: Shop) -> None:
    shop.register(2)
    project = load_project(shop.folder, variables={})
    clients = Clients(shop.local.client)
    wish = Wish(endpoint=GROUP, package=find_version(clients, GROUP))

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deploy(clients, project.environment(LOCAL), wish, pace=LOCAL_PACE, sleep=lambda _: None, told=interrupt)
    assert shop.made() == (1, 1, 1)
    done = shop.endpoints("deploy", GROUP, "--json").data
    assert (done["made"], shop.made()) == ([], (1, 1, 1))
    assert shop.answer() == [12.0]


def test_what_is_said_of_wrong_words(shop: Shop) -> None:
    for arguments, code, told in [
        (("deploy", GROUP, "--canary", "10", "--linear", "10"), "E154", "Give one of them"),
        (("deploy", GROUP, "--serverless", "2"), "E154", "--serverless 2048:5"),
        (("deploy", GROUP, "--serverless", "2000:5"), "E154", "1024, 2048"),
        (("deploy", GROUP, "--serverless", "2048:5", "--capture", "10"), "E154", "no captured data"),
        (("deploy", GROUP, "--env", "prod"), "E124", "--yes"),
        (("rollback", "limit"), "E151", "endpoints list"),
        (("show", "limit"), "E151", "endpoints list"),
        (("invoke", "limit", "a=1"), "E151", "endpoints list"),
        (("invoke", "limit", "rows.csv"), "E156", "neither a file nor key=value"),
        (("invoke", "limit", "a=1", "a=2"), "E156", "given twice"),
        (("invoke", "limit", "a=1", "--content-type", "text/libsvm"), "E156", "cannot be written"),
    ]:
        done = shop.endpoints(*arguments, code=2)
        assert f"error[{code}]" in done.err
        assert told in done.err
    shop.register(2)
    name = shop.endpoints("deploy", GROUP, "--name", "shop_limit", code=2)
    assert "error[E154]" in name.err


def test_a_version_that_serves_is_not_deleted(shop: Shop) -> None:
    arn = shop.register(2)
    shop.endpoints("deploy", GROUP, "--serverless", "1024:2")
    with pytest.raises(ClientError, match="shop-limit") as refused:
        shop.sagemaker.delete_model_package(ModelPackageName=arn)
    assert refused.value.response["Error"]["Code"] == "ConflictException"
    shop.endpoints("delete", GROUP, "--yes")
    shop.sagemaker.delete_model_package(ModelPackageName=arn)
