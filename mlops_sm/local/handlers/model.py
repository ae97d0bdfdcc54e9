"""Model steps: CreateModel."""

from __future__ import annotations

from mlops_sm.engine.status import Failed, Succeeded
from mlops_sm.local.handlers.job import client_error, merged_tags
from mlops_sm.local.handlers.request import as_request
from mlops_sm.local.handlers.step import ServiceError, StepResult, StepRun
from mlops_sm.naming import step_job_name


def run_model(run: StepRun) -> StepResult:
    """Create the model; its properties are those of DescribeModel."""
    name = run.arguments.get("ModelName") or step_job_name(run.execution_id, run.step.name, run.new_suffix())
    try:
        request = as_request("CreateModel", {**run.arguments, "ModelName": name, **merged_tags(run)})
        created = run.control.call("CreateModel", request)
        described = run.control.call("DescribeModel", {"ModelName": name})
    except ServiceError as error:
        return StepResult(outcome=Failed(client_error(error)))
    return StepResult(outcome=Succeeded(described), metadata={"Model": {"Arn": created["ModelArn"]}})
