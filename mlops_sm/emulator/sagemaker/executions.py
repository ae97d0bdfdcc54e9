"""Pipeline executions: describe, list, steps, stop, update, and what they were started with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from mlops_sm import naming
from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import AwsError, invalid
from mlops_sm.emulator.pages import Listing, list_page, make_token, read_token, slice_page
from mlops_sm.emulator.runner import ACTIVE
from mlops_sm.emulator.sagemaker.execution_starts import execution_of
from mlops_sm.emulator.sagemaker.pipeline_versions import aliases_of, pipeline_of, version_by_alias, version_of
from mlops_sm.emulator.service import Call, Operation, once
from mlops_sm.emulator.store import Condition, Entity, Kind
from mlops_sm.engine import ExecutionStatus

_PAGE: Final = 100


def describe_pipeline_execution(call: Call) -> dict[str, Json]:
    """An execution as it stands now."""
    execution = execution_of(call)
    pipeline = pipeline_of(call, naming.pipeline_arn(execution.arn))
    return {
        **execution.body,
        "PipelineVersionAliases": aliases_of(pipeline, execution.body["PipelineVersionId"]) or None,
        "PipelineArn": naming.pipeline_arn(execution.arn),
        "PipelineExecutionArn": execution.arn,
        "PipelineExecutionStatus": execution.status,
        "CreationTime": execution.created,
        "LastModifiedTime": execution.modified,
        "CreatedBy": {},
        "LastModifiedBy": {},
    }


def list_pipeline_executions(call: Call) -> dict[str, Json]:
    """One page of a pipeline's executions, of one version when an alias names it."""
    pipeline = pipeline_of(call, call.request["PipelineName"])
    number = version_by_alias(call, pipeline)
    of_version = [] if number is None else [Condition("json_extract(body, '$.PipelineVersionId') = ?", number)]

    def summary(execution: Entity) -> dict[str, Json]:
        aliases = aliases_of(pipeline, execution.body["PipelineVersionId"])
        return {**_summary(execution), "PipelineVersionAliases": aliases or None}

    return list_page(call, replace(_LISTING, summary=summary), parent=pipeline.name, conditions=of_version)


def list_pipeline_execution_steps(call: Call) -> dict[str, Json]:
    """One page of an execution's steps, the last started first unless asked otherwise."""
    if "PipelineExecutionArn" not in call.request:
        raise invalid(
            "1 validation error detected: Value null at 'pipelineExecutionArn' failed to satisfy constraint: "
            "Member must not be null"
        )
    execution = execution_of(call)
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
        execution = execution_of(call)
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


def update_pipeline_execution(call: Call) -> dict[str, Json]:
    """Change an execution's names and how many steps run at once."""
    with call.store.transaction():
        execution = execution_of(call)
        call.store.save(execution.with_body(call.members("PipelineExecutionArn"), modified=call.now()))
    parallelism = call.request.get("ParallelismConfiguration")
    if parallelism:
        call.service.executions.limit(execution.arn, parallelism["MaxParallelExecutionSteps"])
    return {"PipelineExecutionArn": execution.arn}


def describe_pipeline_definition_for_execution(call: Call) -> dict[str, Json]:
    """The definition an execution runs, whatever became of the pipeline."""
    execution = execution_of(call)
    pipeline = pipeline_of(call, naming.pipeline_arn(execution.arn))
    return {
        "PipelineDefinition": version_of(call, pipeline, execution.body["PipelineVersionId"]).body[
            "PipelineDefinition"
        ],
        # "The time when the pipeline was created" (API reference, DescribePipelineDefinitionForExecution).
        "CreationTime": pipeline.created,
    }


def list_pipeline_parameters_for_execution(call: Call) -> dict[str, Json]:
    """One page of the parameters an execution was started with; defaults are in the definition."""
    given = execution_of(call).body["PipelineParameters"]
    page, more = slice_page(call, given, size=call.request.get("MaxResults") or _PAGE)
    return {"PipelineParameters": page, **more}


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
    "DescribePipelineExecution": describe_pipeline_execution,
    "ListPipelineExecutions": list_pipeline_executions,
    "ListPipelineExecutionSteps": list_pipeline_execution_steps,
    "StopPipelineExecution": stop_pipeline_execution,
    "UpdatePipelineExecution": update_pipeline_execution,
    "DescribePipelineDefinitionForExecution": describe_pipeline_definition_for_execution,
    "ListPipelineParametersForExecution": list_pipeline_parameters_for_execution,
}
