"""The table that is redrawn: what stands in it of a ForEach's iterations."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from mlops_sm.cli.progress import LiveProgress
from mlops_sm.cli.ui import Ui
from mlops_sm.definition import parse
from mlops_sm.operations.runs import StepChanged, StepState

START = datetime(2026, 1, 1, tzinfo=UTC)


def step(name: str, kind: str, **arguments: Any) -> dict[str, Any]:
    return {"Name": name, "Type": kind, "Arguments": arguments}


def test_iterations_stand_below_their_step_until_they_have_succeeded() -> None:
    body = [step("Score", "Processing")]
    steps = [
        step("Each", "ForEach", IterableItems=[1, 2, 3], MaxConcurrency=2, ForEachBody=body),
        step("Last", "Model"),
    ]
    definition = parse(json.dumps({"Version": "2020-12-01", "Steps": steps}))
    progress = LiveProgress(Ui(io.StringIO(), io.StringIO(), {}), definition, lambda: START + timedelta(seconds=7))
    for name, status in (("Each", "Executing"), ("Score-0", "Executing"), ("Score-1", "Executing")):
        progress.show(StepChanged(StepState(name=name, status=status, started=START, metadata={})))
    progress.show(StepChanged(StepState(name="Score-0", status="Succeeded", started=START, ended=START, metadata={})))
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as drawn:
        console.print(progress.table())
    words = [line.split() for line in drawn.get().splitlines()]
    told = [line[:3] for line in words if len(line) > 2 and line[0] in {"Each", "Score", "Score-0", "Score-1", "Last"}]
    assert told == [
        ["Each", "ForEach", "Executing"],
        ["Score-1", "Processing", "Executing"],
        ["Last", "Model", "Waiting"],
    ]
