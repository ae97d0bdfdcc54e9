"""Pipelines: Create, Update, Describe, Delete, List; a changed definition is a new version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import AwsError, invalid
from mlops_sm.emulator.pages import Listing, list_page
from mlops_sm.emulator.runner import ACTIVE
from mlops_sm.emulator.sagemaker.pipeline_versions import (
    aliases_of,
    asked_version,
    new_version,
    pipeline_of,
    version_of,
    with_aliases,
)
from mlops_sm.emulator.sagemaker.tags import tag_new
from mlops_sm.emulator.service import Call, Operation, once
from mlops_sm.emulator.store import Condition, Entity, Kind
from mlops_sm.local.site import StoreError

_DEFINITION: Final = ("PipelineDefinition", "PipelineDefinitionS3Location")
_ALIASES: Final = "PipelineVersionAliases"


def create_pipeline(call: Call) -> dict[str, Json]:
    """Keep a pipeline whose definition has no error."""
    definition = _definition(call)
    if definition is None:
        raise invalid("Either Pipeline Definition or Pipeline Definition S3 location should be provided")
    name = call.request["PipelineName"]

    def add() -> dict[str, Json]:
        now = call.now()
        pipeline = Entity.new(
            call.scope,
            Kind.PIPELINE,
            name,
            now,
            body={
                "PipelineDisplayName": name,
                **call.members(*_DEFINITION, _ALIASES),
                "PipelineStatus": "Active",
                "PipelineVersionId": 1,
            },
        )
        pipeline = with_aliases(pipeline, 1, call.request.get(_ALIASES) or [])
        if not call.store.add(pipeline):
            raise invalid(
                "Pipeline names must be unique within an AWS account and region. "
                f"Pipeline with name ({name}) already exists."
            )
        call.store.forget_tokens(pipeline.arn)
        call.store.add(new_version(pipeline, 1, definition, now))
        tag_new(call, pipeline.arn)
        return {"PipelineArn": pipeline.arn}

    return once(call, add)


def update_pipeline(call: Call) -> dict[str, Json]:
    """Change what the request names; a definition that differs from the latest becomes a new version."""
    definition = _definition(call)
    with call.store.transaction():
        pipeline, now = pipeline_of(call, call.request["PipelineName"]), call.now()
        changes = call.members("PipelineName", *_DEFINITION, _ALIASES)
        number: int = pipeline.body["PipelineVersionId"]
        current = version_of(call, pipeline, number).body["PipelineDefinition"]
        if definition is not None and definition != current:
            number += 1
            call.store.add(new_version(pipeline, number, definition, now))
            pipeline = with_aliases(pipeline, number, call.request.get(_ALIASES) or [])
        elif call.request.get(_ALIASES):
            raise invalid("PipelineVersionAliases can be specified only when the pipeline definition changes.")
        call.store.save(pipeline.with_body({**changes, "PipelineVersionId": number}, modified=now))
    return {"PipelineArn": pipeline.arn, "PipelineVersionId": number}


def describe_pipeline(call: Call) -> dict[str, Json]:
    """A pipeline with its latest version or the one that is asked for."""
    pipeline = pipeline_of(call, call.request["PipelineName"])
    version = asked_version(call, pipeline)
    return {
        **pipeline.body,
        **_summary(pipeline),
        **version.body,
        "PipelineVersionAliases": aliases_of(pipeline, version.body["PipelineVersionId"]) or None,
        "LastRunTime": pipeline.body.get("LastRunTime"),
        "CreatedBy": {},
        "LastModifiedBy": {},
    }


def delete_pipeline(call: Call) -> dict[str, Json]:
    """Forget a pipeline with its versions and executions; what they produced stays."""

    def delete() -> dict[str, Json]:
        pipeline = pipeline_of(call, call.request["PipelineName"])
        store, scope = call.store, pipeline.scope
        for status in ACTIVE:
            running = [Condition("status = ?", status.value)]
            if store.select(scope, Kind.EXECUTION, parent=pipeline.name, conditions=running, limit=1):
                raise AwsError(
                    "ConflictException",
                    f"Pipeline '{pipeline.arn}' has running executions. Stop them before you delete the pipeline.",
                )
        for execution in store.select(scope, Kind.EXECUTION, parent=pipeline.name):
            store.delete_steps(execution.arn)
            store.delete(execution)
        for version in store.select(scope, Kind.PIPELINE_VERSION, parent=pipeline.name):
            store.delete(version)
        store.delete(pipeline)
        store.forget_tokens(pipeline.arn)
        return {"PipelineArn": pipeline.arn}

    return once(call, delete)


def list_pipelines(call: Call) -> dict[str, Json]:
    """One page of pipelines."""
    if call.request.get("ManagedBy") == "AWS":
        return {"PipelineSummaries": []}
    return list_page(call, _LISTING)


def _definition(call: Call) -> str | None:
    """The request's definition, fetched and checked; None when it has none."""
    given = [name for name in _DEFINITION if name in call.request]
    if not given:
        return None
    if len(given) > 1:
        raise invalid("Both Pipeline Definition and Pipeline Definition S3 Location shouldn't be present")
    text = call.request.get("PipelineDefinition")
    if text is None:
        text = _fetch(call, call.request["PipelineDefinitionS3Location"])
    from mlops_sm.checks import check  # noqa: PLC0415 - 0.04 s that only a new definition needs

    errors = [problem for problem in check(text) if problem.is_error]
    if errors:
        findings = "; ".join(f"[{problem.code}] {problem.what} (at {problem.where})" for problem in errors)
        raise invalid(f"Unable to parse pipeline definition. Model Validation failed: {findings}")
    return text


def _fetch(call: Call, location: Mapping[str, str]) -> str:
    where = f"s3://{location['Bucket']}/{location['ObjectKey']}"
    try:
        content = call.service.objects(call.scope).read(
            location["Bucket"], location["ObjectKey"], version=location.get("VersionId")
        )
        return content.decode()
    except StoreError as error:
        raise invalid(f"Unable to read the pipeline definition from {where}: {error.code}: {error.message}") from error
    except UnicodeDecodeError as error:
        raise invalid(f"Unable to parse pipeline definition. {where} is not UTF-8 text: {error}") from error


def _summary(entity: Entity) -> dict[str, Json]:
    return {
        "PipelineArn": entity.arn,
        "PipelineName": entity.name,
        "PipelineDisplayName": entity.body.get("PipelineDisplayName"),
        "PipelineDescription": entity.body.get("PipelineDescription"),
        "RoleArn": entity.body.get("RoleArn"),
        "CreationTime": entity.created,
        "LastModifiedTime": entity.modified,
        "LastExecutionTime": entity.body.get("LastRunTime"),
    }


_LISTING: Final = Listing(kind=Kind.PIPELINE, member="PipelineSummaries", summary=_summary, descending=True, page=100)

OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreatePipeline": create_pipeline,
    "UpdatePipeline": update_pipeline,
    "DescribePipeline": describe_pipeline,
    "DeletePipeline": delete_pipeline,
    "ListPipelines": list_pipelines,
}
