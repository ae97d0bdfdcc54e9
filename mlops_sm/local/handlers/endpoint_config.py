"""EndpointConfig steps: CreateEndpointConfig."""

from __future__ import annotations

from mlops_sm.engine.status import Failed, Succeeded
from mlops_sm.local.handlers.job import client_error, merged_tags
from mlops_sm.local.handlers.request import as_request
from mlops_sm.local.handlers.step import ServiceError, StepResult, StepRun


def run_endpoint_config(run: StepRun) -> StepResult:
    """Create the endpoint configuration; its properties are those of DescribeEndpointConfig."""
    try:
        request = as_request("CreateEndpointConfig", {**run.arguments, **merged_tags(run)})
        created = run.control.call("CreateEndpointConfig", request)
        described = run.control.call("DescribeEndpointConfig", {"EndpointConfigName": request["EndpointConfigName"]})
    except ServiceError as error:
        return StepResult(outcome=Failed(client_error(error)))
    metadata = {"EndpointConfig": {"Arn": created["EndpointConfigArn"]}}
    return StepResult(outcome=Succeeded(described), metadata=metadata)
