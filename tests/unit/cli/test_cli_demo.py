from __future__ import annotations

import json
from typing import Any

import pytest

from mlops_sm.errors import Problem
from mlops_sm.testing.aws import Frame


@pytest.fixture
def lending(world: Any) -> Any:
    for name in ("data", "build"):
        module = world.cwd / "pipelines" / "lending" / f"{name}.py"
        module.parent.mkdir(parents=True, exist_ok=True)
        module.write_text("")
        world.definitions[f"lending.{name}"] = world.definitions["churn.build"]
    world.local.objects["reports", "evaluation.json"] = b'{"auc": {"value": 0.75}}'
    quality = {"ModelQuality": {"Statistics": {"S3Uri": "s3://reports/evaluation.json"}}}
    world.package = world.local.add_package("lending-approval", ModelMetrics=quality)
    registered = {
        "StepName": "Train",
        "StepStatus": "Succeeded",
        "Metadata": {"RegisterModel": {"Arn": world.package}},
    }
    world.local.script(Frame("Succeeded", [world.ran("Prepare", "Succeeded", 2), registered]))
    return world


def test_demo(lending: Any) -> None:
    result = lending.run("demo")
    assert result.code == 0
    summary = json.loads((lending.cwd / ".mlops_sm" / "demo" / "summary.json").read_text())
    assert [(s["name"], s["status"]) for s in summary["stages"]] == [
        ("compile data", "Succeeded"),
        ("data: Prepare", "Succeeded"),
        ("data: Train", "Succeeded"),
        ("compile build", "Succeeded"),
        ("build: Prepare", "Succeeded"),
        ("build: Train", "Succeeded"),
    ]
    assert all(isinstance(s["seconds"], float) for s in summary["stages"] if "compile" in s["name"])
    assert summary["model_package_arn"] == lending.package
    assert summary["metrics"] == {"auc": 0.75}
    assert "registered lending-approval/1 (PendingManualApproval): auc 0.75" in result.out
    assert "  mlops-sm run lending.build -p MinAuc=0.99" in result.out
    assert lending.closed == 1


def test_what_is_different_here_is_told_once(lending: Any) -> None:
    lending.different.append(Problem("W401", "Prepare", "the instance type has no effect here", "Nothing to do."))
    assert lending.run("demo").err.count("W401") == 1


def test_demo_in_another_state_directory(lending: Any) -> None:
    result = lending.run("demo", "--state", "scratch", "--json")
    assert result.json == json.loads((lending.cwd / "scratch" / "demo" / "summary.json").read_text())


def test_failed_stage(lending: Any) -> None:
    lending.local.script(Frame("Failed", [lending.ran("Prepare", "Failed", 1, FailureReason="broken")], "broken"))
    result = lending.run("demo")
    assert result.code == 1
    summary = json.loads((lending.cwd / ".mlops_sm" / "demo" / "summary.json").read_text())
    assert [s["status"] for s in summary["stages"]] == ["Succeeded", "Failed", "NotRun"]
    assert summary["model_package_arn"] is None
    assert "run again: mlops-sm run lending.data" in result.err


def test_a_run_that_registers_nothing_is_no_success(lending: Any) -> None:
    lending.local.script(Frame("Succeeded", [lending.ran("Prepare", "Succeeded", 1)]))
    assert lending.run("demo").code == 1


def test_stage_that_does_not_compile_is_in_the_summary(lending: Any) -> None:
    del lending.definitions["lending.build"]
    assert lending.run("demo").code == 2
    summary = json.loads((lending.cwd / ".mlops_sm" / "demo" / "summary.json").read_text())
    assert summary["stages"][-1]["name"] == "compile build"
    assert summary["stages"][-1]["status"] == "Failed"


def test_what_was_refused_is_told_even_if_no_summary_can_be_written(lending: Any) -> None:
    del lending.definitions["lending.data"]
    (lending.cwd / "scratch").mkdir()
    (lending.cwd / "scratch" / "demo").write_text("a file where the folder would be")
    result = lending.run("demo", "--state", "scratch")
    assert result.code == 2
    assert "error[E301]" in result.err


@pytest.mark.parametrize("folder", ["world", "bare"])
def test_demo_in_another_project(folder: str, request: pytest.FixtureRequest) -> None:
    world = request.getfixturevalue(folder)
    result = world.run("demo")
    assert result.code == 2
    assert "error[E126]" in result.err
    assert world.states == []
