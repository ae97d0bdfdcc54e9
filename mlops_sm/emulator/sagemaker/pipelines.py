"""Pipelines: Create, Update, Describe, Delete, List, and the versions that updates leave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import AwsError, invalid
from mlops_sm.emulator.pages import Listing, list_page
from mlops_sm.emulator.runner import ACTIVE
from mlops_sm.emulator.sagemaker.tags import tag_new
from mlops_sm.emulator.service import Call, Operation, find, once
from mlops_sm.emulator.store import Condition, Entity, Kind
from mlops_sm.local.site import StoreError

_DEFINITION: Final = ("PipelineDefinition", "PipelineDefinitionS3Location")


def create_pipeline(call: Call) -> dict[str, Json]:
    """Keep a pipeline whose definition has no error."""
    call.refuse_members("PipelineVersionAliases")
    definition = _definition(call)
    if definition is None:
        raise invalid("Either Pipeline Definition or Pipeline Definition S3 location should be provided")
    name = call.request["PipelineName"]

    def add() -> dict[str, Json]:
        now = call.now()
        pipeline = Entity(
            scope=call.scope,
            kind=Kind.PIPELINE,
            name=name,
            arn=call.scope.arn(Kind.PIPELINE, name),
            created=now,
            modified=now,
            body={
                "PipelineDisplayName": name,
                **call.members(*_DEFINITION),
                "PipelineStatus": "Active",
                "PipelineVersionId": 1,
            },
        )
        if not call.store.add(pipeline):
            raise invalid(
                "Pipeline names must be unique within an AWS account and region. "
                f"Pipeline with name ({name}) already exists."
            )
        call.store.add(_version(pipeline, 1, definition, now))
        tag_new(call, pipeline.arn)
        return {"PipelineArn": pipeline.arn}

    return once(call, add)


def update_pipeline(call: Call) -> dict[str, Json]:
    """Change what the request names; a definition becomes a new version."""
    call.refuse_members("PipelineVersionAliases")
    definition = _definition(call)
    with call.store.transaction():
        pipeline, now = pipeline_of(call, call.request["PipelineName"]), call.now()
        changes = call.members("PipelineName", *_DEFINITION)
        if definition is not None:
            changes["PipelineVersionId"] = pipeline.body["PipelineVersionId"] + 1
            call.store.add(_version(pipeline, changes["PipelineVersionId"], definition, now))
        pipeline = pipeline.with_body(changes, modified=now)
        call.store.save(pipeline)
    return {"PipelineArn": pipeline.arn, "PipelineVersionId": pipeline.body["PipelineVersionId"]}


def describe_pipeline(call: Call) -> dict[str, Json]:
    """A pipeline with the definition of its latest version or of the one that is asked for."""
    call.refuse_members("PipelineVersionAlias")
    pipeline = pipeline_of(call, call.request["PipelineName"])
    version = call.request.get("PipelineVersionId") or pipeline.body["PipelineVersionId"]
    return {
        **pipeline.body,
        **_summary(pipeline),
        "PipelineDefinition": definition_of(call, pipeline, version),
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
        return {"PipelineArn": pipeline.arn}

    return once(call, delete)


def list_pipelines(call: Call) -> dict[str, Json]:
    """One page of pipelines."""
    if call.request.get("ManagedBy") == "AWS":
        return {"PipelineSummaries": []}
    return list_page(call, _LISTING)


def pipeline_of(call: Call, value: str) -> Entity:
    """The pipeline of a name or ARN.

    Raises:
        AwsError: ResourceNotFound.
    """
    return find(
        call, Kind.PIPELINE, value, lambda arn: AwsError("ResourceNotFound", f"Pipeline '{arn}' does not exist.")
    )


def definition_of(call: Call, pipeline: Entity, version: int) -> str:
    """The definition of a pipeline's version, as it was given.

    Raises:
        AwsError: ResourceNotFound, there is no such version.
    """
    entity = call.store.get(pipeline.scope, Kind.PIPELINE_VERSION, _version_name(pipeline.name, version))
    if entity is None:
        raise AwsError("ResourceNotFound", f"Version {version} of pipeline '{pipeline.arn}' does not exist.")
    text: str = entity.body["PipelineDefinition"]
    return text


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


def _version(pipeline: Entity, number: int, definition: str, now: float) -> Entity:
    name = _version_name(pipeline.name, number)
    return Entity(
        scope=pipeline.scope,
        kind=Kind.PIPELINE_VERSION,
        name=name,
        arn=f"{pipeline.arn}/version/{number}",
        created=now,
        modified=now,
        parent=pipeline.name,
        body={"PipelineVersionId": number, "PipelineDefinition": definition},
    )


def _version_name(pipeline: str, number: int) -> str:
    # Padded, so that names sort as versions do.
    return f"{pipeline}/{number:09d}"


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
