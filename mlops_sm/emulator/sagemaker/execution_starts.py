"""StartPipelineExecution and RetryPipelineExecution: an execution begins, or goes on where it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

from mlops_sm import naming
from mlops_sm.definition import Definition, bind_parameters, parse
from mlops_sm.definition.document import Json, Scalar
from mlops_sm.definition.wording import repeated
from mlops_sm.emulator.errors import AwsError, invalid
from mlops_sm.emulator.runner import Order
from mlops_sm.emulator.sagemaker.pipeline_versions import LAST_EXECUTIONS, asked_version, pipeline_of, version_of
from mlops_sm.emulator.sagemaker.selective import check_selection, reduced, reused_steps
from mlops_sm.emulator.service import Call, Operation, once
from mlops_sm.emulator.store import Entity, Kind
from mlops_sm.engine import ExecutionStatus, Selection
from mlops_sm.errors import InputError

_ID_LENGTH: Final = 12
"""Characters of an execution's id, as in the service's ARNs."""
_RETRIED: Final = (ExecutionStatus.FAILED, ExecutionStatus.STOPPED)


def start_pipeline_execution(call: Call) -> dict[str, Json]:
    """Start an execution unless this machine would refuse one of its steps."""
    call.refuse_members("MlflowExperimentName")
    request = call.request
    if "RoleArn" in request:
        # API reference, StartPipelineExecution: only for pipelines that AWS manages.
        raise invalid("RoleArn can't be specified for a pipeline that you created: its executions use its own role.")
    pipeline = pipeline_of(call, request["PipelineName"])
    version = asked_version(call, pipeline)
    number: int = version.body["PipelineVersionId"]
    definition = _parse(version.body["PipelineDefinition"])
    selection = check_selection(call, pipeline, definition)
    given = request.get("PipelineParameters") or []
    parameters = _bind(call, definition, given, selection)
    started: list[Entity] = []

    def add() -> dict[str, Json]:
        now = call.now()
        identifier = call.service.new_id(_ID_LENGTH)
        name = request.get("PipelineExecutionDisplayName") or f"execution-{round(now * 1000)}"
        current = pipeline_of(call, pipeline.arn)
        execution = Entity.new(
            pipeline.scope,
            Kind.EXECUTION,
            identifier,
            now,
            arn=f"{pipeline.arn}/execution/{identifier}",
            parent=pipeline.name,
            status=ExecutionStatus.EXECUTING,
            body={
                **call.members("PipelineName", "PipelineParameters", "PipelineVersionAlias"),
                "PipelineExecutionDisplayName": name,
                "PipelineVersionId": number,
                "PipelineParameters": given,
                "ParallelismConfiguration": request.get("ParallelismConfiguration")
                or current.body.get("ParallelismConfiguration"),
                "PipelineExperimentConfig": _experiment(definition, pipeline.name, identifier),
            },
        )
        call.store.add(execution)
        if selection is not None:
            for position, body in enumerate(reused_steps(call, selection)):
                call.store.put_step(execution.arn, position, body["StepName"], body)
        executions = {**(current.body.get(LAST_EXECUTIONS) or {}), str(number): execution.arn}
        changes = {"LastRunTime": now, LAST_EXECUTIONS: executions}
        call.store.save(current.with_body(changes, modified=current.modified))
        started.append(execution)
        return {"PipelineExecutionArn": execution.arn}

    answer = once(call, add)
    for execution in started:
        call.service.executions.start(_order(call, execution, pipeline, definition, parameters))
    return answer


def retry_pipeline_execution(call: Call) -> dict[str, Json]:
    """Run an execution again that failed or was stopped: what succeeded is kept, everything else starts anew.

    Parameters and definition are those it was started with. An execution that a Fail step ended cannot be retried
    (developer guide, "Fail step").
    """
    orders: list[Order] = []

    def reset() -> dict[str, Json]:
        execution = execution_of(call)
        if execution.status not in _RETRIED:
            raise AwsError(
                "ConflictException",
                f"Pipeline execution with ARN {execution.arn} is in status {execution.status} and cannot be retried: "
                f"only {' and '.join(_RETRIED)} executions can.",
            )
        pipeline = pipeline_of(call, naming.pipeline_arn(execution.arn))
        definition = _parse(version_of(call, pipeline, execution.body["PipelineVersionId"]).body["PipelineDefinition"])
        selection = selection_of(execution, definition)
        parameters = _bind(call, definition, execution.body["PipelineParameters"], selection)
        attempts: dict[str, int] = {}
        for position, body in call.store.steps(execution.arn):
            if body["StepStatus"] == "Succeeded":
                continue
            if "Fail" in (body.get("Metadata") or {}):
                raise AwsError(
                    "ConflictException",
                    f"Pipeline execution with ARN {execution.arn} was ended by the Fail step {body['StepName']} and "
                    "cannot be retried.",
                )
            attempts[body["StepName"]] = body["AttemptCount"]
            call.store.delete_step(execution.arn, position)
        changes: dict[str, Json] = {"FailureReason": None, **call.members("PipelineExecutionArn")}
        execution = execution.with_body(changes, modified=call.now(), status=ExecutionStatus.EXECUTING)
        call.store.save(execution)
        orders.append(replace(_order(call, execution, pipeline, definition, parameters), attempts=attempts))
        return {"PipelineExecutionArn": execution.arn}

    answer = once(call, reset)
    for order in orders:
        call.service.executions.start(order)
    return answer


def execution_of(call: Call) -> Entity:
    """The execution of the request.

    Raises:
        AwsError: ResourceNotFound.
    """
    arn = call.request["PipelineExecutionArn"]
    execution = call.named(arn)
    if execution is None or execution.kind is not Kind.EXECUTION:
        raise AwsError("ResourceNotFound", f"Pipeline execution with ARN {arn} does not exist.")
    return execution


def selection_of(execution: Entity, definition: Definition) -> Selection | None:
    """What a selective execution runs; None for any other."""
    config = execution.body.get("SelectiveExecutionConfig")
    if config is None:
        return None
    return Selection(definition, [step["StepName"] for step in config["SelectedSteps"]])


@lru_cache(maxsize=32)
def _parse(text: str) -> Definition:
    """Executions of one version share the parsed definition, which nobody changes."""
    return parse(text)


def _order(
    call: Call,
    execution: Entity,
    pipeline: Entity,
    definition: Definition,
    parameters: Mapping[str, Scalar],
) -> Order:
    selection = selection_of(execution, definition)
    return Order(
        execution=execution,
        pipeline_name=pipeline.name,
        pipeline_arn=pipeline.arn,
        definition=definition,
        parameters=parameters,
        max_parallel_steps=(execution.body.get("ParallelismConfiguration") or {}).get("MaxParallelExecutionSteps"),
        tags=tuple(call.store.tags(pipeline.arn)),
        selected=selection.names if selection is not None else None,
    )


def _bind(
    call: Call, definition: Definition, given: Sequence[Mapping[str, str]], selection: Selection | None
) -> dict[str, Scalar]:
    """The execution's parameters, once nothing speaks against running it."""
    several = repeated(parameter["Name"] for parameter in given)
    if several:
        raise invalid(f"Parameters are given more than once: {', '.join(several)}.")
    try:
        parameters = bind_parameters(definition, {parameter["Name"]: parameter["Value"] for parameter in given})
        runs = definition if selection is None else reduced(definition, selection)
        refusals = [problem for problem in call.service.preflight(runs, parameters) if problem.is_error]
    except InputError as error:
        refusals = list(error.problems)
    if refusals:
        raise invalid("\n".join(problem.render() for problem in refusals))
    return parameters


def _experiment(definition: Definition, pipeline: str, execution: str) -> dict[str, Json] | None:
    """PipelineExperimentConfig as the service shows it: the names resolved, the experiment's in lower case."""
    config = definition.raw.get("PipelineExperimentConfig")
    if not isinstance(config, dict):
        return None
    variables = {"Execution.PipelineName": pipeline.lower(), "Execution.PipelineExecutionId": execution}
    resolved = {
        member: variables.get(value.get("Get", "")) if isinstance(value, dict) else value
        for member, value in config.items()
    }
    return {member: value for member, value in resolved.items() if isinstance(value, str)} or None


OPERATIONS: Final[Mapping[str, Operation]] = {
    "StartPipelineExecution": start_pipeline_execution,
    "RetryPipelineExecution": retry_pipeline_execution,
}
