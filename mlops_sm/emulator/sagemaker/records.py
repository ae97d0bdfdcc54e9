"""Resources that are records: created, described, changed, listed and deleted, and nothing runs because of them.

One family is one line of data; what AWS's model says about its requests and answers does the rest: an answer holds the
members of the record that its output shape knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from mlops_sm import naming
from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import AwsError, invalid
from mlops_sm.emulator.sagemaker.records_lists import Filter, list_records
from mlops_sm.emulator.sagemaker.tags import tag_new
from mlops_sm.emulator.service import Call, Operation, modelled, once
from mlops_sm.emulator.store import Condition, Entity, Kind, Scope, Store

IN_USE: Final = "ResourceInUse"
NOT_FOUND: Final = "ResourceNotFound"
CONFLICT: Final = "ConflictException"
INVALID: Final = "ValidationException"


def _nothing(_call: Call) -> dict[str, Json]:
    return {}


def _free(_call: Call, _entity: Entity) -> None:
    """Nothing stands in the way of a deletion."""


def _as_it_is(_described: Mapping[str, Json]) -> dict[str, Json]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One family of records.

    Attributes:
        name: The singular in the names of its operations, e.g. ``CodeRepository``.
        plural: The plural in the name of its List operation; the name and an s when empty.
        resource: The resource type in its ARNs, e.g. ``code-repository``.
        what: What it is here and what is different from AWS, for the document of fidelity.
        key: Members that name one; ``<name>Name`` when empty.
        generated: What the id starts with that the account makes; then `key` is the id's member.
        upper: Whether the rest of that id is in upper case.
        unique: A member that no two may share although it is not the key.
        arn: The member that holds the ARN; ``<name>Arn`` when empty.
        owner: Family and key member of what it belongs to.
        children: Families whose members belong to one of it: it is deleted after them.
        members: What the service shows beside what the request said, status included.
        refused: Members of requests that ask for something that does not exist here.
        made: Members that the service makes of a Create request; refuses what only this family refuses.
        changes: What an Update request changes; its members when None.
        free: Refuses, or makes room for, a deletion.
        summary: Members of List answers that Describe answers have not.
        filters: Filters of the List request that do not compare a member of that name.
        duplicate: The error's name and message for a name that is taken.
        missing: Likewise for one that nobody has.
        wrapped: The member around the description, if any.
        times: Members for the times of creation and of the last change.
        sort: What List sorts by when it is not told.
        descending: Whether List shows the last first when it is not told.
        updatable: Whether there is an Update operation.
    """

    name: str
    plural: str = ""
    resource: str
    what: str
    key: tuple[str, ...] = ()
    generated: str = ""
    upper: bool = False
    unique: str = ""
    arn: str = ""
    owner: tuple[str, str] | None = None
    children: tuple[str, ...] = ()
    members: Mapping[str, Json] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    made: Callable[[Call], dict[str, Json]] = _nothing
    changes: Callable[[Call, Entity], dict[str, Json]] | None = None
    free: Callable[[Call, Entity], None] = _free
    summary: Callable[[Mapping[str, Json]], dict[str, Json]] = _as_it_is
    filters: Mapping[str, Filter] = field(default_factory=dict)
    duplicate: tuple[str, str] = (IN_USE, "{arn} already exists.")
    missing: tuple[str, str] = (NOT_FOUND, "{arn} does not exist.")
    wrapped: str = ""
    times: tuple[str, str] = ("CreationTime", "LastModifiedTime")
    sort: str = "CreationTime"
    descending: bool = False
    updatable: bool = True

    @property
    def keys(self) -> tuple[str, ...]:
        """Members that name one."""
        return self.key or (f"{self.name}Name",)

    @property
    def arn_member(self) -> str:
        """The member that holds the ARN."""
        return self.arn or f"{self.name}Arn"

    def arn_of(self, scope: Scope, name: str) -> str:
        """The ARN of the record of a name."""
        return naming.sagemaker_arn(scope.region, scope.account, self.resource, name)

    def error(self, pair: tuple[str, str], call: Call, name: str) -> AwsError:
        """`duplicate` or `missing` about a name or an ARN."""
        code, message = pair
        arn = name if name.startswith("arn:") else self.arn_of(call.scope, name)
        return modelled(call, code, message.format(arn=arn, name=name.rsplit("/", 1)[-1]))


def describe_record(family: Family, entity: Entity) -> dict[str, Json]:
    """The members of a record, as its family's Describe operation names them."""
    created, modified = family.times
    return {**entity.body, family.arn_member: entity.arn, created: entity.created, modified: entity.modified}


def record_of(store: Store, scope: Scope, family: str, name: str) -> Entity | None:
    """The record of a family and a name, e.g. ``"Space"`` and ``"d-abc/mine"``."""
    return store.get(scope, Kind.RECORD, f"{family}/{name}")


def records_below(call: Call, family: str, owner: str = "") -> list[Entity]:
    """The records of a family, or those of it whose name starts with the owner's."""
    prefix = f"{family}/{owner}/" if owner else f"{family}/"
    return call.store.select(
        call.scope, Kind.RECORD, parent=family, conditions=[Condition("instr(name, ?) = 1", prefix)]
    )


def find_record(call: Call, family: Family) -> Entity:
    """The record that a request names, by name or ARN.

    Raises:
        AwsError: There is none.
    """
    return named_record(call, family, "/".join(call.request[member] for member in family.keys))


def named_record(call: Call, family: Family, name: str) -> Entity:
    """The record of a name or ARN.

    Raises:
        AwsError: There is none.
    """
    if name.startswith("arn:"):
        entity = call.named(name)
        if entity is None or entity.parent != family.name:
            raise family.error(family.missing, call, name)
        return entity
    entity = record_of(call.store, call.scope, family.name, name)
    if entity is None:
        raise family.error(family.missing, call, name)
    return entity


def new_record(
    call: Call, family: Family, name: str, body: Mapping[str, Json], *, arn: str = "", tagged: bool = True
) -> Entity:
    """Keep a record, with the tags of the request unless they are another's.

    Raises:
        AwsError: The name is taken.
    """
    now = call.now()
    entity = Entity.new(
        call.scope,
        Kind.RECORD,
        f"{family.name}/{name}",
        now,
        arn=arn or family.arn_of(call.scope, name),
        parent=family.name,
        body=dict(body),
    )
    if not call.store.add(entity):
        raise family.error(family.duplicate, call, name)
    if tagged:
        tag_new(call, entity.arn)
    return entity


def operations_of(family: Family) -> dict[str, Operation]:
    """Create, Describe, Delete and List of a family, and Update where there is one."""

    def answer(call: Call, entity: Entity) -> dict[str, Json]:
        described = describe_record(family, entity)
        described["Tags"] = call.store.tags(entity.arn)
        return {**described, family.wrapped: described} if family.wrapped else described

    def create(call: Call) -> dict[str, Json]:
        refuse_members(call, family)
        return once(call, lambda: answer(call, add(call)))

    def add(call: Call) -> Entity:
        _own(call, family)
        body = {**family.members, **call.members(), **family.made(call)}
        if family.generated:
            identity = call.service.new_id(12)
            name = f"{family.generated}{identity.upper() if family.upper else identity}"
            if family.key[0] != family.arn_member:
                body[family.key[0]] = name
        else:
            name = "/".join(call.request[member] for member in family.keys)
        if family.unique and any(
            other.body[family.unique] == body[family.unique] for other in records_below(call, family.name)
        ):
            raise family.error(family.duplicate, call, body[family.unique])
        return new_record(call, family, name, body)

    def describe(call: Call) -> dict[str, Json]:
        return answer(call, find_record(call, family))

    def update(call: Call) -> dict[str, Json]:
        refuse_members(call, family)
        with call.store.transaction():
            entity = find_record(call, family)
            changes = family.changes(call, entity) if family.changes else call.members(*family.keys)
            entity = entity.with_body(changes, modified=call.now())
            call.store.save(entity)
        return answer(call, entity)

    def delete(call: Call) -> dict[str, Json]:
        with call.store.transaction():
            entity = find_record(call, family)
            name = entity.name.removeprefix(f"{family.name}/")
            for child in family.children:
                if records_below(call, child, name):
                    raise modelled(call, IN_USE, f"{entity.arn} cannot be deleted: it still has a {child}.")
            family.free(call, entity)
            call.store.delete(entity)
        return {**answer(call, entity), "Success": True}

    def list_all(call: Call) -> dict[str, Json]:
        rows = ((entity, describe_record(family, entity)) for entity in records_below(call, family.name))
        return list_records(
            call,
            ((entity, {**row, **family.summary(row)}) for entity, row in rows),
            family.filters,
            sort=family.sort,
            descending=family.descending,
        )

    table: dict[str, Operation] = {
        f"Create{family.name}": create,
        f"Describe{family.name}": describe,
        f"Delete{family.name}": delete,
        f"List{family.plural or f'{family.name}s'}": list_all,
    }
    if family.updatable:
        table[f"Update{family.name}"] = update
    return table


def refuse_members(call: Call, family: Family) -> None:
    """Refuse members that ask for what does not exist here; one that says no to it is no request for it.

    Raises:
        AwsError: ValidationException.
    """
    call.refuse_members(*(name for name in family.refused if call.request.get(name)))


def _own(call: Call, family: Family) -> None:
    if family.owner is None:
        return
    kind, member = family.owner
    if record_of(call.store, call.scope, kind, call.request[member]) is None:
        raise invalid(f"{kind} {call.request[member]} does not exist.")


def members_given(call: Call, *names: str) -> Iterator[tuple[str, Json]]:
    """Members of the request among some names."""
    return ((name, call.request[name]) for name in names if name in call.request)
