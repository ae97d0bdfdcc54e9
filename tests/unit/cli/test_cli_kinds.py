"""Which step a name belongs to when a ForEach has iterations."""

from __future__ import annotations

import json
from typing import Any

from mlops_sm.cli.kinds import StepKinds
from mlops_sm.definition import parse


def step(name: str, kind: str, **arguments: Any) -> dict[str, Any]:
    return {"Name": name, "Type": kind, "Arguments": arguments}


DEFINITION = parse(
    json.dumps(
        {
            "Version": "2020-12-01",
            "Steps": [
                step("Part-1", "Model"),
                step("Each", "ForEach", IterableItems=[1, 2], MaxConcurrency=1, ForEachBody=[step("Score", "Lambda")]),
                step("If", "Condition", Conditions=[], IfSteps=[step("Then", "Training")], ElseSteps=[]),
            ],
        }
    )
)


def test_a_body_is_a_template_and_its_iterations_are_steps() -> None:
    kinds = StepKinds.of(DEFINITION)
    assert kinds.own == {"Part-1": "Model", "Each": "ForEach", "If": "Condition", "Then": "Training"}
    assert [kinds.kind(name) for name in ("Score-0", "Score-12", "Part-1", "Then", "Score", "Other-1")] == [
        "Lambda",
        "Lambda",
        "Model",
        "Training",
        "",
        "",
    ]
    assert [kinds.loop(name) for name in ("Score-1", "Part-1", "Then")] == ["Each", None, None]


def test_without_a_definition_nothing_is_known() -> None:
    kinds = StepKinds.of(None)
    assert (kinds.own, kinds.kind("Score-0"), kinds.loop("Score-0")) == ({}, "", None)
