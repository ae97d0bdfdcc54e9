"""Endpoint steps: CreateEndpoint, or UpdateEndpoint when there is one of that name, and the wait for its end."""

from __future__ import annotations

from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.engine.status import Failed, Outcome, Stopped, Succeeded
from mlops_sm.local.handlers.job import client_error, merged_tags
from mlops_sm.local.handlers.request import as_request
from mlops_sm.local.handlers.step import ServiceError, StepResult, StepRun

_LOOK: Final = 0.05
"""Seconds between looks at something that is being deployed."""
_UNDER_WAY: Final = frozenset({"Creating", "Updating", "RollingBack", "SystemUpdating"})


def run_endpoint(run: StepRun) -> StepResult:
    """Deploy the endpoint; its properties are those of DescribeEndpoint once it is in service."""
    arguments = run.arguments
    metadata: dict[str, Json] = {}
    try:
        if _exists(run, arguments):
            request = as_request("UpdateEndpoint", {k: v for k, v in arguments.items() if k != "Tags"})
            created = run.control.call("UpdateEndpoint", request)
        else:
            request = as_request("CreateEndpoint", {**arguments, **merged_tags(run)})
            created = run.control.call("CreateEndpoint", request)
        metadata = {"Endpoint": {"Arn": created["EndpointArn"]}}
        name = {"EndpointName": request["EndpointName"]}
        outcome = await_deployed(run, "DescribeEndpoint", name, "EndpointStatus")
    except ServiceError as error:
        outcome = Failed(client_error(error))
    match outcome:
        case Succeeded(properties) if properties.get("FailureReason"):
            # An update that was rolled back leaves an endpoint in service, with what it had before.
            outcome = Failed(f"ClientError: {properties['FailureReason']}")
        case _:
            pass
    return StepResult(outcome=outcome, metadata=metadata)


def await_deployed(run: StepRun, describe: str, request: dict[str, Json], status: str) -> Outcome:
    """The end of a deployment; a step that is stopped does not wait for it, and what it began goes on.

    Args:
        run: The step.
        describe: The operation that shows what is deployed.
        request: Its request.
        status: The member of its answer with the status.

    Raises:
        ServiceError: It is gone.
    """
    while True:
        described = run.control.call(describe, request)
        if described[status] not in _UNDER_WAY:
            break
        if run.stop.wait(_LOOK):
            return Stopped()
    if described[status] == "InService":
        return Succeeded(described)
    return Failed(f"ClientError: {described.get('FailureReason') or f'it is {described[status]}'}")


def _exists(run: StepRun, arguments: dict[str, Json]) -> bool:
    try:
        found = run.control.call("DescribeEndpoint", {"EndpointName": arguments.get("EndpointName")})
    except ServiceError:
        return False
    return str(found["EndpointStatus"]) != "Failed"
