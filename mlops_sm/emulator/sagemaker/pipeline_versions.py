"""Versions of pipelines: what a changed definition leaves, listed, named and found by id or alias.

Source of the rules on aliases: API reference, CreatePipeline, UpdatePipeline and AliasOperations. Aliases are kept with
the pipeline, so that each names one version.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import AwsError, invalid
from mlops_sm.emulator.pages import Listing, list_page
from mlops_sm.emulator.service import Call, Operation, find
from mlops_sm.emulator.store import Entity, Kind

ALIASES: Final = "VersionByAlias"
"""Member of a pipeline's body: the version that an alias names."""
LAST_EXECUTIONS: Final = "LastExecutionByVersion"
"""Member of a pipeline's body: the ARN of the last execution of a version, whose number is text here."""
_MAX_ALIASES: Final = 10


def pipeline_of(call: Call, value: str) -> Entity:
    """The pipeline of a name or ARN.

    Raises:
        AwsError: ResourceNotFound.
    """
    return find(
        call, Kind.PIPELINE, value, lambda arn: AwsError("ResourceNotFound", f"Pipeline '{arn}' does not exist.")
    )


def new_version(pipeline: Entity, number: int, definition: str, now: float) -> Entity:
    """A version, not in the store yet."""
    return Entity.new(
        pipeline.scope,
        Kind.PIPELINE_VERSION,
        _name(pipeline.name, number),
        now,
        arn=f"{pipeline.arn}/version/{number}",
        parent=pipeline.name,
        body={"PipelineVersionId": number, "PipelineDefinition": definition},
    )


def version_of(call: Call, pipeline: Entity, number: int) -> Entity:
    """A version of a pipeline.

    Raises:
        AwsError: ResourceNotFound, there is no such version.
    """
    entity = call.store.get(pipeline.scope, Kind.PIPELINE_VERSION, _name(pipeline.name, number))
    if entity is None:
        raise AwsError("ResourceNotFound", f"Version {number} of pipeline '{pipeline.arn}' does not exist.")
    return entity


def asked_version(call: Call, pipeline: Entity) -> Entity:
    """The version that a request names by id or alias, else the latest.

    Raises:
        AwsError: ResourceNotFound, there is no such version; ValidationException, it is named twice.
    """
    if "PipelineVersionId" in call.request and "PipelineVersionAlias" in call.request:
        raise invalid("PipelineVersionId and PipelineVersionAlias can't both be specified.")
    number = version_by_alias(call, pipeline) or call.request.get("PipelineVersionId")
    return version_of(call, pipeline, number or pipeline.body["PipelineVersionId"])


def version_by_alias(call: Call, pipeline: Entity) -> int | None:
    """The number of the version whose alias a request names; None when it names none.

    Raises:
        AwsError: ResourceNotFound, no version has that alias.
    """
    alias = call.request.get("PipelineVersionAlias")
    if alias is None:
        return None
    number: int | None = _aliases(pipeline).get(alias)
    if number is None:
        raise AwsError("ResourceNotFound", f"No version of pipeline '{pipeline.arn}' has the alias {alias}.")
    return number


def aliases_of(pipeline: Entity, number: int) -> list[str]:
    """The aliases of a version."""
    return sorted(alias for alias, version in _aliases(pipeline).items() if version == number)


def with_aliases(pipeline: Entity, number: int, added: Sequence[str], removed: Collection[str] = ()) -> Entity:
    """The pipeline after a change of a version's aliases.

    Raises:
        AwsError: ValidationException, the aliases break a rule; ConflictException, another version has one of them;
            ResourceNotFound, the version does not have what is to be removed.
    """
    if len(set(added)) < len(added) or set(added) & set(removed):
        raise invalid("An alias can't be given more than once.")
    for alias in added:
        if alias.isdecimal():
            raise invalid(f"The alias {alias} can't consist of numbers only.")
    aliases = dict(_aliases(pipeline))
    for alias in removed:
        if aliases.pop(alias, None) != number:
            raise AwsError("ResourceNotFound", f"Version {number} of '{pipeline.arn}' has no alias {alias}.")
    for alias in added:
        if aliases.setdefault(alias, number) != number:
            raise AwsError(
                "ConflictException",
                f"Version {aliases[alias]} of '{pipeline.arn}' has the alias {alias}: remove it there first.",
            )
    if sum(version == number for version in aliases.values()) > _MAX_ALIASES:
        raise invalid(f"A pipeline version can have up to {_MAX_ALIASES} aliases.")
    return pipeline.with_body({ALIASES: aliases}, modified=pipeline.modified)


def list_pipeline_versions(call: Call) -> dict[str, Json]:
    """One page of a pipeline's versions, newest first unless asked otherwise."""
    pipeline = pipeline_of(call, call.request["PipelineName"])
    executions = pipeline.body.get(LAST_EXECUTIONS) or {}

    def summary(version: Entity) -> dict[str, Json]:
        number: int = version.body["PipelineVersionId"]
        return {
            **version.body,
            "PipelineArn": pipeline.arn,
            "CreationTime": version.created,
            "LastExecutionPipelineExecutionArn": executions.get(str(number)),
            "PipelineVersionAliases": aliases_of(pipeline, number),
        }

    listing = Listing(
        kind=Kind.PIPELINE_VERSION,
        member="PipelineVersionSummaries",
        summary=summary,
        sort={"CreationTime": "created"},
        descending=True,
        page=100,
    )
    return list_page(call, listing, parent=pipeline.name)


def update_pipeline_version(call: Call) -> dict[str, Json]:
    """Change a version's names, description and aliases; its definition stays."""
    request, number = call.request, call.request["PipelineVersionId"]
    with call.store.transaction():
        pipeline = pipeline_of(call, request["PipelineArn"])
        version = version_of(call, pipeline, number)
        changes = call.members("PipelineArn", "PipelineVersionId", "PipelineVersionAliasOperations")
        call.store.save(version.with_body(changes, modified=call.now()))
        operations = request.get("PipelineVersionAliasOperations")
        if operations:
            added, removed = operations.get("Add") or [], operations.get("Remove") or []
            call.store.save(with_aliases(pipeline, number, added, removed))
    return {"PipelineArn": pipeline.arn, "PipelineVersionId": number}


def _aliases(pipeline: Entity) -> Mapping[str, int]:
    aliases: Mapping[str, int] = pipeline.body.get(ALIASES) or {}
    return aliases


def _name(pipeline: str, number: int) -> str:
    # Padded, so that names sort as versions do.
    return f"{pipeline}/{number:09d}"


OPERATIONS: Final[Mapping[str, Operation]] = {
    "ListPipelineVersions": list_pipeline_versions,
    "UpdatePipelineVersion": update_pipeline_version,
}
