"""InferenceComponent steps: CreateInferenceComponent, or UpdateInferenceComponent when there is one of that name."""

from __future__ import annotations

from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.engine.status import Failed
from mlops_sm.local.handlers.endpoint import await_deployed
from mlops_sm.local.handlers.job import client_error, merged_tags
from mlops_sm.local.handlers.request import as_request
from mlops_sm.local.handlers.step import ServiceError, StepResult, StepRun

_FIXED: Final = frozenset({"EndpointName", "VariantName", "Tags"})
"""Members that an update does not take."""


def run_inference_component(run: StepRun) -> StepResult:
    """Deploy the component; its properties are those of DescribeInferenceComponent once it is in service."""
    metadata: dict[str, Json] = {}
    try:
        if _exists(run):
            members = {name: value for name, value in run.arguments.items() if name not in _FIXED}
            request = as_request("UpdateInferenceComponent", members)
            created = run.control.call("UpdateInferenceComponent", request)
        else:
            request = as_request("CreateInferenceComponent", {**run.arguments, **merged_tags(run)})
            created = run.control.call("CreateInferenceComponent", request)
        metadata = {"InferenceComponent": {"Arn": created["InferenceComponentArn"]}}
        name = {"InferenceComponentName": request["InferenceComponentName"]}
        outcome = await_deployed(run, "DescribeInferenceComponent", name, "InferenceComponentStatus")
    except ServiceError as error:
        outcome = Failed(client_error(error))
    return StepResult(outcome=outcome, metadata=metadata)


def _exists(run: StepRun) -> bool:
    name = run.arguments.get("InferenceComponentName")
    try:
        run.control.call("DescribeInferenceComponent", {"InferenceComponentName": name})
    except ServiceError:
        return False
    return True
