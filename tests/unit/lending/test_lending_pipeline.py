"""The compiled lending pipeline and its scripts fit together; the documents are the golden ones."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_sm.definition import Definition, Json, Step, bind_parameters, parse
from mlops_sm.engine import Run, Succeeded

ROOT = Path(__file__).parents[3]
JOBS = ROOT / "pipelines" / "lending" / "jobs"
GOLDEN = ROOT / "tests" / "golden" / "cases"
VARIABLES = {"PipelineExecutionId": "execution1", "PipelineExecutionArn": "arn:execution1", "PipelineName": "build"}


@pytest.fixture(scope="module")
def build() -> Definition:
    return parse((GOLDEN / "lending_build" / "expected.json").read_text())


def execute(definition: Definition, parameters: dict[str, str], measured: dict[str, float]) -> tuple[list[str], Any]:
    """The steps that ran, and the arguments of the last one. Jobs succeed; the evaluation finds what was `measured`."""
    report: Json = {"binary_classification_metrics": {name: {"value": value} for name, value in measured.items()}}
    run = Run(definition, parameters=bind_parameters(definition, parameters), variables=VARIABLES)
    ran: list[str] = []
    arguments: Any = None
    while ready := run.take_ready():
        for step in ready:
            ran.append(step.name)
            arguments = run.resolve(step, lambda uri: report)
            if step.name == "Gate":
                run.complete(step.name, Succeeded({}, outcome=run.evaluate(step, lambda uri: report)))
            elif step.name != "GateMissed":
                run.complete(step.name, Succeeded({**arguments, "BestTrainingJob": {"TrainingJobName": "best"}}))
    return ran, arguments


def test_a_model_that_meets_every_threshold_is_registered_and_waits_for_approval(build: Definition) -> None:
    ran, package = execute(build, {}, {"auc": 0.75, "accuracy": 0.85, "log_loss": 0.35})
    assert ran == ["PrepareData", "Features", "Tune", "Evaluate", "Gate", "Register"]
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert package["CustomerMetadataProperties"]["pipeline_execution_arn"] == "arn:execution1"
    statistics = package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"]
    assert statistics.endswith("/execution1/Evaluate/evaluation/evaluation.json")


@pytest.mark.parametrize(
    ("parameters", "measured", "message"),
    [
        ({"MinAuc": "0.99"}, {}, "auc must be at least 0.99 and is 0.8"),
        ({}, {"auc": 0.7499}, "auc must be at least 0.75 and is 0.7499"),
        ({}, {"accuracy": 0.8}, "accuracy must be at least 0.85 and is 0.8"),
        ({}, {"log_loss": 0.36}, "log_loss must be at most 0.35 and is 0.36"),
    ],
)
def test_a_missed_threshold_fails_with_what_was_demanded_and_measured(
    build: Definition, parameters: dict[str, str], measured: dict[str, float], message: str
) -> None:
    ran, failure = execute(build, parameters, {"auc": 0.8, "accuracy": 0.9, "log_loss": 0.3} | measured)
    assert ran[-2:] == ["Gate", "GateMissed"]
    assert failure["ErrorMessage"].startswith("The model did not pass the gate: auc must be at least ")
    assert message in failure["ErrorMessage"]


def processing_steps(definition: Definition) -> Iterator[Step]:
    return (s for s in definition.steps if "AppSpecification" in s.arguments)


def test_scripts_read_and_write_where_the_definition_puts_things(build: Definition) -> None:
    for step in processing_steps(build):
        arguments: Any = step.arguments
        script = Path(arguments["AppSpecification"]["ContainerEntrypoint"][-1]).name
        defaults = set(re.findall(r'Path\("(/opt/ml/processing/[^"]+)"\)', (JOBS / script).read_text()))
        mounted = {i["S3Input"]["LocalPath"] for i in arguments["ProcessingInputs"]}
        mounted |= {o["S3Output"]["LocalPath"] for o in arguments["ProcessingOutputConfig"]["Outputs"]}
        unknown = {d for d in defaults if not any(m == d or m.startswith(d + "/") for m in mounted)}
        assert not unknown, f"{script} uses {unknown}, and {step.name} has {mounted}"


def load(script: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(script).stem, JOBS / script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PREPARE = load("prepare.py")


@settings(deadline=None)
@given(
    outcomes=st.lists(st.sampled_from([0, 1]), min_size=20, max_size=60).filter(lambda o: 5 <= sum(o) <= len(o) - 5),
    seed=st.integers(0, 2**32 - 1),
    share=st.sampled_from([0.2, 0.25, 0.3]),
)
def test_a_split_is_a_partition_and_keeps_the_balance(outcomes: list[int], seed: int, share: float) -> None:
    frame = pd.DataFrame({"approve": outcomes}, index=range(100, 100 + len(outcomes)))
    parts = PREPARE.split(frame, validation_share=share, test_share=share, seed=seed)
    assert sorted(i for part in parts.values() for i in part.index) == list(frame.index)
    for part in parts.values():
        assert list(part.index) == sorted(part.index)
    for outcome in (0, 1):
        there = outcomes.count(outcome)
        assert (parts["test"]["approve"] == outcome).sum() == round(there * share)
        assert (parts["validation"]["approve"] == outcome).sum() == round(there * share)
    again = PREPARE.split(frame, validation_share=share, test_share=share, seed=seed)
    assert all(again[name].index.equals(part.index) for name, part in parts.items())
