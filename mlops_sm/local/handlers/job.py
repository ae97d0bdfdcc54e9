"""What the handlers of job steps share: create the job, wait for its end, say how the step ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from mlops_sm.definition.document import Json
from mlops_sm.engine.status import Failed, Outcome, Stopped, Succeeded
from mlops_sm.local.handlers.request import as_request
from mlops_sm.local.handlers.step import ServiceError, StepResult, StepRun
from mlops_sm.naming import step_job_name


class JobKind(NamedTuple):
    """The names that one kind of job goes by in the API.

    Attributes:
        create: Operation that starts it.
        describe: Operation that shows it.
        name_member: Member of both requests that holds its name.
        arn_member: Member of the Create response.
        status_member: Member of the Describe response.
        metadata: Member of a step's Metadata.
        new_name: Its name, from the execution's id, the step's name and ten random characters.
    """

    create: str
    describe: str
    name_member: str
    arn_member: str
    status_member: str
    metadata: str
    new_name: Callable[[str, str, str], str] = step_job_name


def run_job(run: StepRun, kind: JobKind) -> StepResult:
    """Run the step's job to its end; `run.stop` stops it."""
    name = run.arguments.get(kind.name_member)
    name = name or kind.new_name(run.execution_id, run.step.name, run.new_suffix())
    request = as_request(kind.create, {**run.arguments, kind.name_member: name, **merged_tags(run)})
    try:
        created = run.control.call(kind.create, request)
        metadata = {kind.metadata: {"Arn": created[kind.arn_member]}}
    except ServiceError as error:
        return StepResult(outcome=Failed(client_error(error)))
    try:
        described = run.control.wait_for_job(kind.describe, {kind.name_member: name}, run.stop)
    except ServiceError as error:
        return StepResult(outcome=Failed(client_error(error)), metadata=metadata)
    return StepResult(outcome=_outcome(run, described, kind), metadata=metadata)


def _outcome(run: StepRun, described: dict[str, Json], kind: JobKind) -> Outcome:
    match described[kind.status_member]:
        case "Completed":
            return Succeeded(described)
        case "Stopped" if run.stop.is_set():
            return Stopped()
        case "Stopped":
            # Whatever it left is not what the step was to produce: later steps must not build on it.
            why = described.get("SecondaryStatus", "Stopped")
            member = "MaxWaitTimeInSeconds" if why == "MaxWaitTimeExceeded" else "MaxRuntimeInSeconds"
            limit = (described.get("StoppingCondition") or {}).get(member)
            cut = f", {member} is {limit}" if limit else ""
            return Failed(f"ClientError: the job was stopped before its end ({why}{cut})", described)
        case status:
            return Failed(described.get("FailureReason") or f"The job ended as {status}", described)


def merged_tags(run: StepRun) -> dict[str, Json]:
    """The request's Tags: the step's own, then the execution's with other keys; no member when there are none."""
    own: list[Mapping[str, str]] = list(run.arguments.get("Tags") or [])
    taken = {tag["Key"] for tag in own}
    tags = own + [dict(tag) for tag in run.tags if tag["Key"] not in taken]
    return {"Tags": tags} if tags else {}


def client_error(error: ServiceError) -> str:
    """A refused call as a step's failure reason."""
    return f"ClientError: {error.code}: {error.message}"
