"""Pipeline executions: start, describe, list, steps, stop, and what they were started with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mlops_sm.definition import Definition, bind_parameters, parse
from mlops_sm.definition.document import Json, Scalar
from mlops_sm.emulator.errors import AwsError, invalid
from mlops_sm.emulator.pages import Listing, list_page, make_token, read_token
from mlops_sm.emulator.runner import ACTIVE, Order
from mlops_sm.emulator.sagemaker.pipelines import definition_of, pipeline_of
from mlops_sm.emulator.service import Call, Operation, once
from mlops_sm.emulator.store import Entity, Kind
from mlops_sm.engine import ExecutionStatus
from mlops_sm.errors import InputError

_ID_LENGTH: Final = 12
"""Characters of an execution's id, as in the service's ARNs."""
_PAGE: Final = 100


def start_pipeline_execution(call: Call) -> dict[str, Json]:
    """Start an execution unless this machine would refuse one of its steps."""
    call.refuse_members("SelectiveExecutionConfig", "PipelineVersionAlias", "MlflowExperimentName")
    request = call.request
    pipeline = pipeline_of(call, request["PipelineName"])
    version = request.get("PipelineVersionId") or pipeline.body["PipelineVersionId"]
    definition = parse(definition_of(call, pipeline, version))
    given = request.get("PipelineParameters") or []
    parameters = _bind(call, definition, given)
    started: list[Entity] = []

    def add() -> dict[str, Json]:
        now = call.now()
        identifier = call.service.new_id(_ID_LENGTH)
        name = request.get("PipelineExecutionDisplayName") or f"execution-{round(now * 1000)}"
        execution = Entity(
            scope=pipeline.scope,
            kind=Kind.EXECUTION,
            name=identifier,
            arn=f"{pipeline.arn}/execution/{identifier}",
            created=now,
            modified=now,
            parent=pipeline.name,
            status=ExecutionStatus.EXECUTING,
            body={
                **call.members("PipelineName", "PipelineParameters"),
                "PipelineExecutionDisplayName": name,
                "PipelineVersionId": version,
                "PipelineParameters": given,
                "ParallelismConfiguration": request.get("ParallelismConfiguration")
                or pipeline.body.get("ParallelismConfiguration"),
                "PipelineExperimentConfig": _experiment(definition, pipeline.name, identifier),
            },
        )
        call.store.add(execution)
        current = pipeline_of(call, pipeline.arn)
        call.store.save(current.with_body({"LastRunTime": now}, modified=current.modified))
        started.append(execution)
        return {"PipelineExecutionArn": execution.arn}

    answer = once(call, add)
    for execution in started:
        parallelism = execution.body.get("ParallelismConfiguration") or {}
        call.service.executions.start(
            Order(
                execution=execution,
                pipeline_name=pipeline.name,
                pipeline_arn=pipeline.arn,
                definition=definition,
                parameters=parameters,
                max_parallel_steps=parallelism.get("MaxParallelExecutionSteps"),
                tags=tuple(call.store.tags(pipeline.arn)),
            )
        )
    return answer


def describe_pipeline_execution(call: Call) -> dict[str, Json]:
    """An execution as it stands now."""
    execution = _execution(call)
    return {
        **execution.body,
        "PipelineArn": _pipeline_arn(execution),
        "PipelineExecutionArn": execution.arn,
        "PipelineExecutionStatus": execution.status,
        "CreationTime": execution.created,
        "LastModifiedTime": execution.modified,
        "CreatedBy": {},
        "LastModifiedBy": {},
    }


def list_pipeline_executions(call: Call) -> dict[str, Json]:
    """One page of a pipeline's executions."""
    call.refuse_members("PipelineVersionAlias")
    return list_page(call, _LISTING, parent=pipeline_of(call, call.request["PipelineName"]).name)


def list_pipeline_execution_steps(call: Call) -> dict[str, Json]:
    """One page of an execution's steps, the last started first unless asked otherwise."""
    if "PipelineExecutionArn" not in call.request:
        raise invalid(
            "1 validation error detected: Value null at 'pipelineExecutionArn' failed to satisfy constraint: "
            "Member must not be null"
        )
    execution = _execution(call)
    position = read_token(call)
    size = call.request.get("MaxResults") or _PAGE
    found = call.store.steps(
        execution.arn,
        descending=call.request.get("SortOrder", "Descending") == "Descending",
        after=position[0] if position else None,
        limit=size + 1,
    )
    answer: dict[str, Json] = {"PipelineExecutionSteps": [step for _, step in found[:size]]}
    if len(found) > size:
        answer["NextToken"] = make_token(call, [found[size - 1][0]])
    return answer


def stop_pipeline_execution(call: Call) -> dict[str, Json]:
    """Start no further step and stop the running ones."""

    def stop() -> dict[str, Json]:
        execution = _execution(call)
        if execution.status not in ACTIVE:
            raise AwsError(
                "ConflictException",
                f"Pipeline execution with ARN {execution.arn} is in status {execution.status} and cannot be stopped.",
            )
        call.store.save(execution.with_body({}, modified=call.now(), status=ExecutionStatus.STOPPING))
        return {"PipelineExecutionArn": execution.arn}

    answer = once(call, stop)
    call.service.executions.request_stop(answer["PipelineExecutionArn"])
    return answer


def describe_pipeline_definition_for_execution(call: Call) -> dict[str, Json]:
    """The definition an execution runs, whatever became of the pipeline."""
    execution = _execution(call)
    pipeline = pipeline_of(call, _pipeline_arn(execution))
    return {
        "PipelineDefinition": definition_of(call, pipeline, execution.body["PipelineVersionId"]),
        "CreationTime": execution.created,
    }


def list_pipeline_parameters_for_execution(call: Call) -> dict[str, Json]:
    """One page of the parameters an execution was started with; defaults are in the definition."""
    given = _execution(call).body["PipelineParameters"]
    position = read_token(call)
    start = position[0] if position else 0
    end = start + (call.request.get("MaxResults") or _PAGE)
    answer: dict[str, Json] = {"PipelineParameters": given[start:end]}
    if end < len(given):
        answer["NextToken"] = make_token(call, [end])
    return answer


def _bind(call: Call, definition: Definition, given: list[Mapping[str, str]]) -> dict[str, Scalar]:
    """The execution's parameters, once nothing speaks against starting it."""
    names = [parameter["Name"] for parameter in given]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise invalid(f"Parameters are given more than once: {', '.join(repeated)}.")
    try:
        parameters = bind_parameters(definition, {parameter["Name"]: parameter["Value"] for parameter in given})
        refusals = [problem for problem in call.service.preflight(definition, parameters) if problem.is_error]
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


def _execution(call: Call) -> Entity:
    arn = call.request["PipelineExecutionArn"]
    execution = call.store.by_arn(arn)
    if execution is None or execution.kind is not Kind.EXECUTION:
        raise AwsError("ResourceNotFound", f"Pipeline execution with ARN {arn} does not exist.")
    return execution


def _pipeline_arn(execution: Entity) -> str:
    return execution.arn.rsplit("/execution/", 1)[0]


def _summary(entity: Entity) -> dict[str, Json]:
    return {
        "PipelineExecutionArn": entity.arn,
        "StartTime": entity.created,
        "PipelineExecutionStatus": entity.status,
        "PipelineExecutionDescription": entity.body.get("PipelineExecutionDescription"),
        "PipelineExecutionDisplayName": entity.body.get("PipelineExecutionDisplayName"),
        "PipelineExecutionFailureReason": entity.body.get("FailureReason"),
    }


_LISTING: Final = Listing(
    kind=Kind.EXECUTION,
    member="PipelineExecutionSummaries",
    summary=_summary,
    sort={"CreationTime": "created", "PipelineExecutionArn": "arn"},
    descending=True,
    page=_PAGE,
)

OPERATIONS: Final[Mapping[str, Operation]] = {
    "StartPipelineExecution": start_pipeline_execution,
    "DescribePipelineExecution": describe_pipeline_execution,
    "ListPipelineExecutions": list_pipeline_executions,
    "ListPipelineExecutionSteps": list_pipeline_execution_steps,
    "StopPipelineExecution": stop_pipeline_execution,
    "DescribePipelineDefinitionForExecution": describe_pipeline_definition_for_execution,
    "ListPipelineParametersForExecution": list_pipeline_parameters_for_execution,
}
