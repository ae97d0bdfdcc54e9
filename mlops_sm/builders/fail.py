"""Fail: end the execution on purpose, with a reason a person understands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from sagemaker.core.workflow.functions import Join
from sagemaker.mlops.workflow.fail_step import FailStep

from mlops_sm.builders.context import Context
from mlops_sm.builders.problems import location, refuse
from mlops_sm.builders.settings import StepOptions, step_option_problems
from mlops_sm.builders.values import Scalar, Text, as_text, is_variable
from mlops_sm.errors import Problem


def fail(ctx: Context, name: str, *, message: Text | Sequence[Scalar], **options: Unpack[StepOptions]) -> FailStep:
    """A step that fails the execution.

    Args:
        ctx: The context of the pipeline.
        name: The step's name.
        message: The reason, as one text or as parts that are put together without anything between them: text, numbers,
            parameters, values out of reports.
        **options: See `StepOptions`; there is nothing to retry.

    Raises:
        InputError: The name is wrong (E330) or the message is empty (E333).
    """
    where = location(ctx, name)
    problems = list(step_option_problems(where, name, options))
    if "retry_policies" in options:
        problems.append(Problem("E331", where, "a step that fails has nothing to retry", "leave retry_policies out"))
    if not is_variable(message) and not message:
        problems.append(Problem("E333", where, "it fails without a message", "say what went wrong and what to do"))
    refuse(problems)
    return FailStep(
        name=name,
        error_message=message if is_variable(message) or isinstance(message, str) else _joined(message),
        display_name=options.get("display_name"),
        description=options.get("description"),
        depends_on=list(options.get("depends_on", ())) or None,
    )


def _joined(parts: Sequence[Scalar]) -> Join:
    return Join(on="", values=[p if is_variable(p) else as_text(p) for p in parts])
