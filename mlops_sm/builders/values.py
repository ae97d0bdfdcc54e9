"""Values a builder takes: constants, or pipeline variables that get their value when an execution runs."""

from __future__ import annotations

import json
from typing import TypeAlias

from sagemaker.core.helper.pipeline_variable import PipelineVariable
from sagemaker.core.workflow.functions import JsonGet
from sagemaker.core.workflow.parameters import Parameter, ParameterString
from sagemaker.mlops.workflow.for_each_step import CurrentItem

_FOR_EACH_REFERENCE = CurrentItem.__base__
"""What a field of a ForEach's item is, and a result of one of its iterations; the SDK does not export it."""

Text: TypeAlias = "str | PipelineVariable"
Whole: TypeAlias = "int | PipelineVariable"
Scalar: TypeAlias = "str | int | float | bool | PipelineVariable"


def is_variable(value: object) -> bool:
    """Whether the value is known only when an execution runs."""
    return isinstance(value, PipelineVariable)


def as_text(value: Scalar) -> Text:
    """The value as AWS wants arguments, hyperparameters and messages: as text.

    Numbers and booleans are written as JSON (``0.1``, ``true``). A parameter that is not a string, a value out of a
    JSON report, and an item of a ForEach are converted when the execution runs.
    """
    match value:
        case str():
            return value
        case ParameterString():
            return value
        case Parameter() | JsonGet():
            return value.to_string()
        case _ if isinstance(value, _FOR_EACH_REFERENCE):
            return value.to_string()
        case PipelineVariable():
            return value
        case _:
            return json.dumps(value)
