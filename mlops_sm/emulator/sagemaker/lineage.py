"""Lineage entities: artifacts, actions and contexts, with what is common to every entity that experiments also have.

Source of the rules: SageMaker API reference, CreateArtifact and its neighbours; developer guide, "Manually Create
Tracking Entities" (an error occurs when the entity exists) and "Lineage Tracking Entities" (one per SourceUri).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Final

from mlops_sm import naming
from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import AwsError, invalid
from mlops_sm.emulator.pages import Listing, list_page
from mlops_sm.emulator.sagemaker.lineage_graph import Graph
from mlops_sm.emulator.sagemaker.tags import tag_new
from mlops_sm.emulator.service import Call, Operation
from mlops_sm.emulator.store import Condition, Entity, Kind, Scope

GROUP: Final = "sagemaker-default-lineage-group"
"""The lineage group that every account has (developer guide, "Cross-Account Lineage Tracking")."""
_LIMITS: Final[Mapping[Kind, int]] = {Kind.ACTION: 3_000, Kind.ARTIFACT: 6_000, Kind.CONTEXT: 500}
"""How many clients can create; SageMaker itself has no limit (developer guide, as above)."""


def entity_arn(scope: Scope, kind: Kind, value: str) -> str:
    """The ARN for a name or an ARN of an experiment or lineage entity: lower-case, as names are not case-sensitive."""
    return (value if value.startswith("arn:") else scope.arn(kind, value)).lower()


def lineage_entity(call: Call, kind: Kind, value: str) -> Entity:
    """The experiment or lineage entity of a name or an ARN.

    Raises:
        AwsError: ResourceNotFound.
    """
    arn = entity_arn(call.scope, kind, value)
    entity = call.named(arn)
    if entity is None or entity.kind is not kind:
        raise missing(kind, arn)
    return entity


def missing(kind: Kind, arn: str) -> AwsError:
    """ResourceNotFound for an ARN that nothing has."""
    return AwsError("ResourceNotFound", f"{_noun(kind)} {arn} does not exist.")


def check_limit(kind: str, count: int, limit: int) -> None:
    """Raise ResourceLimitExceeded when one more would be too many."""
    if count >= limit:
        raise AwsError(
            "ResourceLimitExceeded",
            f"The account-level service limit 'Maximum number of manually created {kind}' is {limit}, "
            f"with current utilization of {count}. Delete what you do not need.",
        )


def add_entity(call: Call, entity: Entity) -> None:
    """Keep a new entity with the request's tags.

    Raises:
        AwsError: ValidationException, it exists; callers match on the words "already exists".
    """
    with call.store.transaction():
        if not call.store.add(entity):
            raise invalid(f"{_noun(entity.kind)} ({entity.arn}) already exists.")
        tag_new(call, entity.arn)


def timed(entity: Entity) -> dict[str, Json]:
    """The times of an entity as Describe responses and summaries have them."""
    return {"CreationTime": entity.created, "LastModifiedTime": entity.modified}


def group_arn(scope: Scope) -> str:
    """The ARN of a scope's lineage group."""
    return naming.sagemaker_arn(scope.region, scope.account, "lineage-group", GROUP)


def artifact(
    scope: Scope, source: Mapping[str, Json], kind: str, now: float, members: Mapping[str, Json] | None = None
) -> Entity:
    """An artifact; its id follows from its source, so that one source has one artifact.

    Args:
        scope: Whose.
        source: ArtifactSource.
        kind: ArtifactType, e.g. ``DataSet``.
        now: Epoch seconds.
        members: Further members of its Describe response.
    """
    types = sorted(json.dumps(each, sort_keys=True) for each in source.get("SourceTypes") or [])
    identifier = hashlib.sha256("\n".join([source["SourceUri"], *types]).encode()).hexdigest()[:32]
    return Entity.new(
        scope,
        Kind.ARTIFACT,
        identifier,
        now,
        arn=entity_arn(scope, Kind.ARTIFACT, identifier),
        parent=source["SourceUri"],
        status=kind,
        body={"Source": dict(source), "ArtifactType": kind, **(members or {})},
    )


def named(kind: Kind, scope: Scope, name: str, now: float, members: Mapping[str, Json]) -> Entity:
    """An action or a context from its Create request's members."""
    return Entity.new(
        scope,
        kind,
        name,
        now,
        arn=entity_arn(scope, kind, name),
        parent=members["Source"]["SourceUri"],
        status=members[f"{_noun(kind)}Type"],
        body={f"{_noun(kind)}Name": name, **members},
    )


def _noun(kind: Kind) -> str:
    return {Kind.TRIAL: "Trial", Kind.TRIAL_COMPONENT: "TrialComponent"}.get(kind, kind.value.capitalize())


# ---------------------------------------------------------------------- operations


def create_artifact(call: Call) -> dict[str, Json]:
    """Keep an artifact; one with the same source exists only once."""
    members = call.members("Source", "ArtifactType")
    entity = artifact(call.scope, call.request["Source"], call.request["ArtifactType"], call.now(), members)
    _add_by_hand(call, entity)
    return {"ArtifactArn": entity.arn}


def describe_artifact(call: Call) -> dict[str, Json]:
    """An artifact."""
    return _described(lineage_entity(call, Kind.ARTIFACT, call.request["ArtifactArn"]))


def update_artifact(call: Call) -> dict[str, Json]:
    """Change an artifact's name or properties."""
    return _update(call, Kind.ARTIFACT, "ArtifactArn", ("ArtifactName",))


def delete_artifact(call: Call) -> dict[str, Json]:
    """Forget an artifact, named by its ARN or its source."""
    request = call.request
    if ("ArtifactArn" in request) == ("Source" in request):
        raise invalid("Either ArtifactArn or Source must be specified, and not both.")
    arn = request.get("ArtifactArn") or artifact(call.scope, request["Source"], "", 0).arn
    return _delete(call, Kind.ARTIFACT, arn)


def list_artifacts(call: Call) -> dict[str, Json]:
    """One page of artifacts."""
    return _list(call, _ARTIFACTS, "ArtifactType")


def create_action(call: Call) -> dict[str, Json]:
    """Keep an action."""
    return _create(call, Kind.ACTION)


def describe_action(call: Call) -> dict[str, Json]:
    """An action."""
    return _described(lineage_entity(call, Kind.ACTION, call.request["ActionName"]))


def update_action(call: Call) -> dict[str, Json]:
    """Change an action's description, status or properties."""
    return _update(call, Kind.ACTION, "ActionName", ("Description", "Status"))


def delete_action(call: Call) -> dict[str, Json]:
    """Forget an action."""
    return _delete(call, Kind.ACTION, call.request["ActionName"])


def list_actions(call: Call) -> dict[str, Json]:
    """One page of actions."""
    return _list(call, _ACTIONS, "ActionType")


def create_context(call: Call) -> dict[str, Json]:
    """Keep a context."""
    return _create(call, Kind.CONTEXT)


def describe_context(call: Call) -> dict[str, Json]:
    """A context."""
    return _described(lineage_entity(call, Kind.CONTEXT, call.request["ContextName"]))


def update_context(call: Call) -> dict[str, Json]:
    """Change a context's description or properties."""
    return _update(call, Kind.CONTEXT, "ContextName", ("Description",))


def delete_context(call: Call) -> dict[str, Json]:
    """Forget a context."""
    return _delete(call, Kind.CONTEXT, call.request["ContextName"])


def list_contexts(call: Call) -> dict[str, Json]:
    """One page of contexts."""
    return _list(call, _CONTEXTS, "ContextType")


def _create(call: Call, kind: Kind) -> dict[str, Json]:
    noun = _noun(kind)
    entity = named(kind, call.scope, call.request[f"{noun}Name"], call.now(), call.members(f"{noun}Name"))
    _add_by_hand(call, entity)
    return {f"{noun}Arn": entity.arn}


def _add_by_hand(call: Call, entity: Entity) -> None:
    with call.store.transaction():
        limit = _LIMITS[entity.kind]
        made = Graph(call.store).entities_by_hand(call.scope, entity.kind, limit)
        check_limit(f"{_noun(entity.kind).lower()}s", made, limit)
        add_entity(call, entity)


def _described(entity: Entity) -> dict[str, Json]:
    return {
        **entity.body,
        **timed(entity),
        f"{_noun(entity.kind)}Arn": entity.arn,
        "CreatedBy": {},
        "LastModifiedBy": {},
        "LineageGroupArn": group_arn(entity.scope),
    }


def _update(call: Call, kind: Kind, member: str, replaced: Sequence[str]) -> dict[str, Json]:
    """Properties overwrite the whole list (API reference, UpdateArtifact and its neighbours)."""
    with call.store.transaction():
        entity = lineage_entity(call, kind, call.request[member])
        properties: dict[str, Json] = {**(call.request.get("Properties", entity.body.get("Properties")) or {})}
        for key in call.request.get("PropertiesToRemove") or []:
            properties.pop(key, None)
        changes = {name: call.request[name] for name in replaced if name in call.request}
        call.store.save(entity.with_body({**changes, "Properties": properties or None}, modified=call.now()))
    return {f"{_noun(kind)}Arn": entity.arn}


def _delete(call: Call, kind: Kind, value: str) -> dict[str, Json]:
    """Associations are deleted first (SageMaker SDK, Artifact.delete(disassociate))."""
    with call.store.transaction():
        entity = lineage_entity(call, kind, value)
        if Graph(call.store).is_associated(entity.arn):
            raise invalid(f"{_noun(kind)} ({entity.arn}) has associations. Delete them before you delete it.")
        call.store.delete(entity)
    return {f"{_noun(kind)}Arn": entity.arn}


def _list(call: Call, listing: Listing, filter_member: str) -> dict[str, Json]:
    wanted = call.request.get(filter_member)
    conditions = [] if wanted is None else [Condition("status = ?", wanted)]
    return list_page(call, listing, parent=call.request.get("SourceUri"), conditions=conditions)


def _summary(entity: Entity) -> dict[str, Json]:
    return {**entity.body, f"{_noun(entity.kind)}Arn": entity.arn, **timed(entity)}


_ARTIFACTS: Final = Listing(kind=Kind.ARTIFACT, member="ArtifactSummaries", summary=_summary, descending=True)
_ACTIONS: Final = Listing(kind=Kind.ACTION, member="ActionSummaries", summary=_summary, descending=True)
_CONTEXTS: Final = Listing(kind=Kind.CONTEXT, member="ContextSummaries", summary=_summary, descending=True)

OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateArtifact": create_artifact,
    "DescribeArtifact": describe_artifact,
    "UpdateArtifact": update_artifact,
    "DeleteArtifact": delete_artifact,
    "ListArtifacts": list_artifacts,
    "CreateAction": create_action,
    "DescribeAction": describe_action,
    "UpdateAction": update_action,
    "DeleteAction": delete_action,
    "ListActions": list_actions,
    "CreateContext": create_context,
    "DescribeContext": describe_context,
    "UpdateContext": update_context,
    "DeleteContext": delete_context,
    "ListContexts": list_contexts,
}
