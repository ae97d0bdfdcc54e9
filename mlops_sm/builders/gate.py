"""Gate: go on only if every threshold is met."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias, Unpack, assert_never

from sagemaker.core.helper.pipeline_variable import PipelineVariable
from sagemaker.core.workflow.conditions import (
    Condition,
    ConditionEquals,
    ConditionGreaterThanOrEqualTo,
    ConditionLessThanOrEqualTo,
)
from sagemaker.core.workflow.functions import JsonGet
from sagemaker.core.workflow.parameters import Parameter, ParameterTypeEnum
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.step_collections import StepCollection
from sagemaker.mlops.workflow.steps import Step

from mlops_sm.builders.context import Context
from mlops_sm.builders.problems import location, refuse
from mlops_sm.builders.settings import StepOptions, step_option_problems
from mlops_sm.builders.values import Scalar, is_variable
from mlops_sm.errors import Problem

Bound: TypeAlias = "float | PipelineVariable"


class Comparison(StrEnum):
    """How a value is compared; the value is what a message calls it."""

    AT_LEAST = "at least"
    AT_MOST = "at most"
    EQUALS = "equal to"


@dataclass(frozen=True, slots=True)
class Threshold:
    """One demand on one value; made by `at_least`, `at_most` and `equals`.

    Attributes:
        value: What was measured, usually a `metric`.
        comparison: How it is compared.
        bound: What it is compared with.
        label: What a message calls the value.
    """

    value: PipelineVariable
    comparison: Comparison
    bound: Bound
    label: str

    def condition(self) -> Condition:
        """The demand as the SDK has it."""
        match self.comparison:
            case Comparison.AT_LEAST:
                return ConditionGreaterThanOrEqualTo(left=self.value, right=self.bound)
            case Comparison.AT_MOST:
                return ConditionLessThanOrEqualTo(left=self.value, right=self.bound)
            case Comparison.EQUALS:
                return ConditionEquals(left=self.value, right=self.bound)
            case _:
                assert_never(self.comparison)

    def sentence(self) -> tuple[Scalar, ...]:
        """The demand and what was measured, as parts of a message."""
        return (f"{self.label} must be {self.comparison} ", self.bound, " and is ", self.value)

    def problems(self, where: str) -> Iterator[Problem]:
        """What makes it a demand that cannot be checked (E334)."""
        if not is_variable(self.value):
            yield Problem(
                "E334",
                where,
                f"{self.label}: {self.value!r} is known already",
                "compare what was measured: metric(...)",
            )
        if not _is_number(self.bound):
            shown = getattr(self.bound, "name", None) or repr(self.bound)
            yield Problem(
                "E334", where, f"{self.label}: the threshold {shown} is no number", "give a number or a ParameterFloat"
            )


def at_least(value: PipelineVariable, bound: Bound, *, label: str | None = None) -> Threshold:
    """The value must be greater than the bound, or equal."""
    return Threshold(value, Comparison.AT_LEAST, bound, label or _label(value))


def at_most(value: PipelineVariable, bound: Bound, *, label: str | None = None) -> Threshold:
    """The value must be less than the bound, or equal."""
    return Threshold(value, Comparison.AT_MOST, bound, label or _label(value))


def equals(value: PipelineVariable, bound: Bound, *, label: str | None = None) -> Threshold:
    """The value must be the bound exactly; for counts, never for measurements."""
    return Threshold(value, Comparison.EQUALS, bound, label or _label(value))


def gate(
    ctx: Context,
    name: str,
    *,
    thresholds: Sequence[Threshold],
    if_met: Sequence[Step | StepCollection],
    otherwise: Sequence[Step | StepCollection] = (),
    **options: Unpack[StepOptions],
) -> ConditionStep:
    """A step that runs others only if all thresholds are met.

    Args:
        ctx: The context of the pipeline.
        name: The step's name.
        thresholds: All of them must be met.
        if_met: Steps that run then.
        otherwise: Steps that run when one is missed. `quality_gate` fails with a message instead.
        **options: See `StepOptions`; there is nothing to retry.

    Raises:
        InputError: No threshold, or one that is no number (E334); no step behind the gate (E333); a wrong name (E330).
    """
    where = location(ctx, name)
    problems = [*step_option_problems(where, name, options), *(p for t in thresholds for p in t.problems(where))]
    if not thresholds:
        problems.append(
            Problem("E334", where, "it has no thresholds, so it stops nothing", "add at_least(...) or at_most(...)")
        )
    if not if_met and not otherwise:
        problems.append(Problem("E333", where, "nothing depends on it", "give the steps that run if_met, or otherwise"))
    if "retry_policies" in options:
        problems.append(Problem("E331", where, "a gate has nothing to retry", "leave retry_policies out"))
    refuse(problems)
    return ConditionStep(
        name=name,
        conditions=[t.condition() for t in thresholds],
        if_steps=list(if_met),
        else_steps=list(otherwise),
        depends_on=list(options.get("depends_on", ())) or None,
        display_name=options.get("display_name"),
        description=options.get("description"),
    )


def _is_number(bound: object) -> bool:
    if isinstance(bound, Parameter):
        return bound.parameter_type in {ParameterTypeEnum.FLOAT, ParameterTypeEnum.INTEGER}
    if is_variable(bound):
        return True
    return isinstance(bound, (int, float)) and not isinstance(bound, bool) and math.isfinite(bound)


_WRAPPER: Final = "value"
"""AWS's reports write a metric as ``{"auc": {"value": 0.9}}``."""


def _label(value: object) -> str:
    """What a value is called where nobody said it: the last telling part of its path in the report."""
    path = value.json_path if isinstance(value, JsonGet) else ""
    parts = [p for p in str(path).split(".") if p and p != _WRAPPER]
    return parts[-1] if parts else "the value"
