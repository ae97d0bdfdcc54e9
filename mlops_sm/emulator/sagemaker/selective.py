"""Selective execution: which steps run, and what is taken from the execution that is referred to.

Sources: API reference, SelectiveExecutionConfig; developer guide, "Selective execution of pipeline steps". Parameters
are not taken over: the SDK reads them from the other execution and sends them along
(``Pipeline.build_parameters_from_execution``), as it finds the latest execution for a request that names none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mlops_sm import naming
from mlops_sm.definition import Definition
from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import AwsError, invalid
from mlops_sm.emulator.service import Call
from mlops_sm.emulator.store import Entity, Kind
from mlops_sm.engine import ExecutionStatus, Selection

_SOURCE = "SourcePipelineExecutionArn"
_SOURCES = (ExecutionStatus.SUCCEEDED, ExecutionStatus.FAILED)
"""API reference, SelectiveExecutionConfig: "can be either Failed or Success"."""


def check_selection(call: Call, pipeline: Entity, definition: Definition) -> Selection | None:
    """The steps that a request selects, once nothing speaks against it; None when it selects none.

    Raises:
        AwsError: ResourceNotFound, the execution that is referred to does not exist; ValidationException, for the rest.
    """
    config = call.request.get("SelectiveExecutionConfig")
    if config is None:
        return None
    selection = Selection(definition, [step["StepName"] for step in config["SelectedSteps"]])
    unknown = selection.unknown()
    if unknown:
        raise invalid(f"SelectedSteps: the pipeline has no such step: {', '.join(unknown)}.")
    gaps = selection.gaps()
    if gaps:
        raise invalid(
            "SelectedSteps: all steps in all paths between two selected steps should be included; missing: "
            f"{', '.join(gaps)}."
        )
    inputs = selection.inputs()
    source = config.get(_SOURCE)
    if source is None:
        if inputs:
            raise invalid(
                f"{_SOURCE} is required: the selected steps depend on the outputs of steps that are not selected: "
                f"{', '.join(inputs)}."
            )
        return selection
    execution = call.named(source)
    if execution is None or execution.kind is not Kind.EXECUTION:
        raise AwsError("ResourceNotFound", f"Pipeline execution with ARN {source} does not exist.")
    if naming.pipeline_arn(execution.arn) != pipeline.arn:
        raise invalid(f"{_SOURCE}: {source} is not an execution of pipeline {pipeline.name}.")
    if execution.status not in _SOURCES:
        raise invalid(f"{_SOURCE}: {source} is in status {execution.status}; it should be {' or '.join(_SOURCES)}.")
    succeeded = _succeeded(call, source)
    missing = [name for name in inputs if name not in succeeded]
    if missing:
        raise invalid(
            f"{_SOURCE}: the selected steps depend on steps that did not succeed in {source}: {', '.join(missing)}."
        )
    return selection


def reused_steps(call: Call, selection: Selection) -> list[dict[str, Json]]:
    """The steps of a selective execution that come from the one it refers to, as it lists them."""
    source = call.request["SelectiveExecutionConfig"].get(_SOURCE)
    if source is None:
        return []
    before = set(selection.before())
    return [
        {**body, "SelectiveExecutionResult": {_SOURCE: source}}
        for name, body in _succeeded(call, source).items()
        # With a ForEach step come those of its iterations.
        if (body.get("IterationContext") or {}).get("ParentStepName", name) in before
    ]


def reduced(definition: Definition, selection: Selection) -> Definition:
    """Only the steps that a selective execution runs, for checks of what runs."""
    steps = tuple(replace(step, children=()) for step in definition.walk() if step.name in selection.names)
    return replace(definition, steps=steps)


def _succeeded(call: Call, execution: str) -> Mapping[str, dict[str, Json]]:
    return {body["StepName"]: body for _, body in call.store.steps(execution) if body["StepStatus"] == "Succeeded"}
