"""Recipes: what takes several steps, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.step_collections import StepCollection
from sagemaker.mlops.workflow.steps import Step

from mlops_sm.builders.context import Context
from mlops_sm.builders.fail import fail
from mlops_sm.builders.gate import Threshold, gate
from mlops_sm.builders.settings import StepOptions
from mlops_sm.builders.values import Scalar


def quality_gate(
    ctx: Context,
    name: str,
    *,
    thresholds: Sequence[Threshold],
    if_met: Sequence[Step | StepCollection],
    **options: Unpack[StepOptions],
) -> ConditionStep:
    """A gate, and behind it a step ``<name>Missed`` that fails with every threshold and what was measured.

    Args:
        ctx: The context of the pipeline.
        name: The gate's name.
        thresholds: All of them must be met.
        if_met: Steps that run then.
        **options: See `StepOptions`.

    Raises:
        InputError: As `gate`.
    """
    missed = fail(ctx, f"{name}Missed", message=_message(thresholds)) if thresholds else None
    return gate(ctx, name, thresholds=thresholds, if_met=if_met, otherwise=[missed] if missed else [], **options)


def _message(thresholds: Sequence[Threshold]) -> list[Scalar]:
    parts: list[Scalar] = ["The model did not pass the gate: "]
    for threshold in thresholds:
        parts += [*threshold.sentence(), "; "]
    return [*parts[:-1], "."]
