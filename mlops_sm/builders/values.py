"""Values a builder takes: constants, or pipeline variables that get their value when an execution runs."""

from __future__ import annotations

import json
from typing import TypeAlias

from sagemaker.core.helper.pipeline_variable import PipelineVariable
from sagemaker.core.workflow.functions import JsonGet
from sagemaker.core.workflow.parameters import Parameter, ParameterString

Text: TypeAlias = "str | PipelineVariable"
Whole: TypeAlias = "int | PipelineVariable"
Scalar: TypeAlias = "str | int | float | bool | PipelineVariable"


def is_variable(value: object) -> bool:
    """Whether the value is known only when an execution runs."""
    return isinstance(value, PipelineVariable)


def as_text(value: Scalar) -> Text:
    """The value as AWS wants arguments, hyperparameters and messages: as text.

    Numbers and booleans are written as JSON (``0.1``, ``true``). A parameter that is not a string, and a value out of a
    JSON report, are converted when the execution runs.
    """
    match value:
        case str():
            return value
        case ParameterString():
            return value
        case Parameter() | JsonGet():
            return value.to_string()
        case PipelineVariable():
            return value
        case _:
            return json.dumps(value)
