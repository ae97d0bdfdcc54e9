"""``mlops-sm run --explain-cache`` on pipelines that nobody thought of: what is foretold is what the run then does."""

from __future__ import annotations

import copy
from random import Random
from typing import Any

import pytest
from explained import BUCKET, METRIC, WORD, Here, auc_of, here, job, loop, place, written

__all__ = ["here"]
Json = Any


def any_pipeline(chance: Random) -> list[dict[str, Json]]:
    """Jobs that read from each other, files and values, with a gate and a loop; their outputs are fixed or not."""
    steps: list[dict[str, Json]] = []
    for number in range(chance.randint(2, 5)):
        name, before = f"S{number}", [step["Name"] for step in steps]
        reads = {up: written(up) for up in chance.sample(before, min(len(before), chance.randint(0, 2)))}
        step = job(
            name,
            METRIC % chance.choice([0.3, 0.9]),
            reads=reads,
            writes=chance.choice([f"s3://{BUCKET}/{name}", place(name)]),
            PropertyFiles=[{"PropertyFileName": "M", "OutputName": "out", "FilePath": "m.json"}],
        )
        variables = {}
        if chance.random() < 0.3:
            variables["W"] = chance.choice([WORD, {"Get": "Execution.StartDateTime"}, "x", "y"])
        if before and chance.random() < 0.3:
            variables["AUC"] = {"Std:Join": {"On": "", "Values": [auc_of(chance.choice(before))]}}
        if variables:
            step["Arguments"]["Environment"] = variables
        if chance.random() < 0.2:
            del step["CacheConfig"]
        steps.append(step)
    names = [step["Name"] for step in steps]
    if chance.random() < 0.7:
        up = chance.choice(names)
        condition = {"Type": "GreaterThan", "LeftValue": auc_of(up), "RightValue": 0.5}
        otherwise: dict[str, Json] = {"Name": "No", "Type": "Fail", "Arguments": {"ErrorMessage": "no"}}
        branches = {
            "IfSteps": [job("Good", reads={"d": written(up)})],
            "ElseSteps": [chance.choice([job("Bad"), otherwise])],
        }
        steps.append({"Name": "Gate", "Type": "Condition", "Arguments": {"Conditions": [condition], **branches}})
        steps.append(job("Tail", DependsOn=["Gate"]))
    if chance.random() < 0.4:
        each = job("Each", writes=place("each"))
        each["Arguments"]["Environment"] = {"ITEM": {"Get": "ForEach.CurrentItem"}}
        items = [chance.choice("ab") for _ in range(chance.randint(1, 3))]
        repeated = loop(items, each, job("Next", reads={"d": written("Each")}))
        steps.append({**repeated, "DependsOn": [chance.choice(names)]})
    return steps


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_any_pipeline_any_change(here: Here, seed: int) -> None:
    chance = Random(seed)  # noqa: S311 - the same pipelines every time
    variants = [any_pipeline(chance), any_pipeline(chance)]
    certain = 0
    for _ in range(5):
        here.steps = copy.deepcopy(chance.choice(variants))
        if chance.random() < 0.3:
            here.steps[0]["Arguments"]["AppSpecification"]["ContainerEntrypoint"][2] += "; true"
        foretold = here.both("-p", f"Word={chance.choice('uv')}", code=None)
        certain += len([step for step in foretold.values() if step["prediction"] in {"hit", "miss"}])
        if chance.random() < 0.3:
            here.run("--only", "S0", code=None)
    assert certain
