"""What the account holds: entities by account, region, kind and name, steps of executions, tags, client tokens."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, NamedTuple, Protocol

from mlops_sm import naming
from mlops_sm.definition.document import Json
from mlops_sm.emulator.database import Database, Row

_log = logging.getLogger(__name__)


class Kind(StrEnum):
    """What an entity is; the value is the resource part of its ARN."""

    PIPELINE = "pipeline"
    PIPELINE_VERSION = "pipeline-version"
    EXECUTION = "pipeline-execution"
    PROCESSING_JOB = "processing-job"
    TRAINING_JOB = "training-job"
    TRANSFORM_JOB = "transform-job"
    TUNING_JOB = "hyper-parameter-tuning-job"
    MODEL = "model"
    ENDPOINT = "endpoint"
    INFERENCE_COMPONENT = "inference-component"
    MODEL_PACKAGE_GROUP = "model-package-group"
    MODEL_PACKAGE = "model-package"
    EXPERIMENT = "experiment"
    TRIAL = "experiment-trial"
    TRIAL_COMPONENT = "experiment-trial-component"
    ARTIFACT = "artifact"
    ACTION = "action"
    CONTEXT = "context"
    CALLBACK = "pipeline-callback"
    RECORD = "record"
    """Of any other family of SageMaker's resources; the family is the parent, ``family/name`` the name."""


class Scope(NamedTuple):
    """Whose entities: one account in one region."""

    account: str
    region: str

    @classmethod
    def of(cls, arn: str) -> Scope:
        """The account and region in an ARN that has both."""
        region, account = arn.split(":")[3:5]
        return cls(account, region)

    def arn(self, kind: Kind, name: str) -> str:
        """The ARN of an entity whose resource part is ``kind/name``."""
        return naming.sagemaker_arn(self.region, self.account, kind, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """One thing of the account.

    Attributes:
        name: Unique in its scope and kind.
        parent: The pipeline of an execution or version, the group of a model package; else empty.
        status: What lists filter by; empty when the kind has none.
        created: Epoch seconds.
        modified: Epoch seconds.
        body: Members of its Describe response, timestamps as epoch seconds, and what only we need.
    """

    scope: Scope
    kind: Kind
    name: str
    arn: str
    created: float
    modified: float
    parent: str = ""
    status: str = ""
    body: dict[str, Json] = field(default_factory=dict)

    @classmethod
    def new(
        cls,
        scope: Scope,
        kind: Kind,
        name: str,
        now: float,
        *,
        arn: str = "",
        parent: str = "",
        status: str = "",
        body: dict[str, Json],
    ) -> Entity:
        """An entity that is created at an epoch second; its ARN follows from its kind and name unless it is given."""
        return cls(
            scope=scope,
            kind=kind,
            name=name,
            arn=arn or scope.arn(kind, name),
            created=now,
            modified=now,
            parent=parent,
            status=status,
            body=body,
        )

    def with_body(self, changes: Mapping[str, Json], *, modified: float, status: str | None = None) -> Entity:
        """The entity after a change; a member that becomes None is taken out."""
        body = {key: value for key, value in {**self.body, **changes}.items() if value is not None}
        return replace(self, body=body, modified=modified, status=self.status if status is None else status)


class Token(NamedTuple):
    """An idempotency token that was used: the request it came with and the answer it got."""

    request: str
    answer: dict[str, Json]


class Condition(NamedTuple):
    """One SQL condition over the columns of entities; `sql` is ours, `value` may be anybody's."""

    sql: str
    value: str | float


_COLUMNS: Final = "account, region, kind, name, parent, arn, status, created, modified, body"
SORTABLE: Final = frozenset({"created", "name", "status", "arn"})


class Listener(Protocol):
    """Hears of every change, inside its transaction: what it writes is kept or lost together with the change."""

    def entity_changed(self, before: Entity | None, after: Entity) -> None:
        """An entity was added (`before` is None) or overwritten."""

    def step_changed(self, execution: str, before: str | None, body: Mapping[str, Json]) -> None:
        """A step of an execution was written; `before` is its status until now, None for a new one."""


class Store:
    """Entities, steps, tags and tokens in the account's database. Safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._unsaved: dict[str, Entity] = {}
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Tell somebody of every change from now on."""
        self._listeners.append(listener)

    @property
    def database(self) -> Database:
        """Where everything is: other tables can be written in the same transactions."""
        return self._database

    def transaction(self) -> AbstractContextManager[None]:
        """Several changes as one; nobody else writes meanwhile."""
        return self._database.transaction()

    def add(self, entity: Entity) -> bool:
        """Insert an entity; False when there is one of that name."""
        sql = f"INSERT INTO entities ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING"  # noqa: S608 - names of our own columns
        with self.transaction():
            added = self._database.execute(sql, _row(entity)) == 1
            if added:
                for listener in self._listeners:
                    listener.entity_changed(None, entity)
            return added

    def save(self, entity: Entity) -> None:
        """Overwrite the entity of the same scope, kind and name."""
        with self.transaction():
            before = self.get(entity.scope, entity.kind, entity.name) if self._listeners else None
            self._database.execute(
                "UPDATE entities SET parent=?, arn=?, status=?, created=?, modified=?, body=?"
                " WHERE account=? AND region=? AND kind=? AND name=?",
                (*_row(entity)[4:], *entity.scope, entity.kind, entity.name),
            )
            self._unsaved.pop(entity.arn, None)
            if before is not None:
                for listener in self._listeners:
                    listener.entity_changed(before, entity)

    def end(self, arn: str, change: Callable[[Entity], Entity]) -> None:
        """Bring an entity into its last status, and show that even if the disk refuses to take it.

        Whoever waits for the end sees it; the next owner of the state finds what the disk holds, something that runs no
        more.
        """
        try:
            with self.transaction():
                entity = self.by_arn(arn)
                if entity is not None:
                    self.save(change(entity))
        except sqlite3.Error as error:
            _log.warning("the end of %s could not be written down: %s", arn, error)
            entity = self.by_arn(arn)
            if entity is not None:
                self._unsaved[arn] = change(entity)

    def get(self, scope: Scope, kind: Kind, name: str) -> Entity | None:
        """The entity of that name."""
        sql = f"SELECT {_COLUMNS} FROM entities WHERE account=? AND region=? AND kind=? AND name=?"  # noqa: S608 - see add
        rows = self._database.query(sql, (*scope, kind, name))
        return _entity(rows[0]) if rows else None

    def by_arn(self, arn: str) -> Entity | None:
        """The entity of that ARN, whatever its scope."""
        if arn in self._unsaved:
            return self._unsaved[arn]
        rows = self._database.query(f"SELECT {_COLUMNS} FROM entities WHERE arn=?", (arn,))  # noqa: S608 - see add
        return _entity(rows[0]) if rows else None

    def delete(self, entity: Entity) -> None:
        """Remove an entity with its tags; steps and children are the caller's."""
        with self.transaction():
            self._database.execute("DELETE FROM tags WHERE arn=?", (entity.arn,))
            self._database.execute(
                "DELETE FROM entities WHERE account=? AND region=? AND kind=? AND name=?",
                (*entity.scope, entity.kind, entity.name),
            )

    def select(
        self,
        scope: Scope,
        kind: Kind,
        *,
        parent: str | None = None,
        conditions: Iterable[Condition] = (),
        sort: str = "created",
        descending: bool = False,
        after: Sequence[Any] | None = None,
        limit: int = -1,
    ) -> list[Entity]:
        """Entities of one kind in order of a column, then of the name.

        Args:
            scope: Whose.
            kind: What.
            parent: Only those of this parent; None for all.
            conditions: Further conditions, all of which hold.
            sort: One of `SORTABLE`.
            descending: The other way round.
            after: The sort column's value and the name of the entity after which to start.
            limit: At most so many; -1 for all.
        """
        if sort not in SORTABLE:
            raise ValueError(f"entities cannot be sorted by {sort}")
        where = ["account=?", "region=?", "kind=?"]
        values: list[Any] = [*scope, kind]
        if parent is not None:
            where.append("parent=?")
            values.append(parent)
        for condition in conditions:
            where.append(condition.sql)
            values.append(condition.value)
        if after is not None:
            where.append(f"({sort}, name) {'<' if descending else '>'} (?, ?)")
            values.extend(after)
        way = "DESC" if descending else "ASC"
        sql = (
            f"SELECT {_COLUMNS} FROM entities WHERE {' AND '.join(where)}"  # noqa: S608 - column names of our own, values bound
            f" ORDER BY {sort} {way}, name {way} LIMIT ?"
        )
        return [_entity(row) for row in self._database.query(sql, (*values, limit))]

    def in_status(self, kind: Kind, statuses: Sequence[str]) -> list[Entity]:
        """Entities of a kind in one of some statuses, in every scope."""
        marks = ",".join("?" * len(statuses))
        sql = f"SELECT {_COLUMNS} FROM entities WHERE kind=? AND status IN ({marks})"  # noqa: S608 - see add
        return [_entity(row) for row in self._database.query(sql, (kind, *statuses))]

    def put_step(self, execution: str, position: int, name: str, body: Mapping[str, Json]) -> None:
        """Write one step of an execution; `position` counts the steps in the order of their start."""
        with self.transaction():
            rows = (
                self._database.query("SELECT status FROM steps WHERE execution=? AND position=?", (execution, position))
                if self._listeners
                else []
            )
            self._database.execute(
                "INSERT OR REPLACE INTO steps (execution, position, name, status, body) VALUES (?,?,?,?,?)",
                (execution, position, name, body["StepStatus"], json.dumps(body)),
            )
            for listener in self._listeners:
                listener.step_changed(execution, rows[0][0] if rows else None, body)

    def steps(
        self, execution: str, *, descending: bool = False, after: int | None = None, limit: int = -1
    ) -> list[tuple[int, dict[str, Json]]]:
        """Steps of an execution with their positions."""
        way, sign = ("DESC", "<") if descending else ("ASC", ">")
        bound = f"AND position {sign} ?" if after is not None else ""
        rows = self._database.query(
            f"SELECT position, body FROM steps WHERE execution=? {bound} ORDER BY position {way} LIMIT ?",  # noqa: S608 - see add
            (execution, *(() if after is None else (after,)), limit),
        )
        return [(position, json.loads(body)) for position, body in rows]

    def succeeded_steps(self, pipeline_arn: str, name: str) -> list[tuple[str, dict[str, Json]]]:
        """The steps of that name that succeeded in a pipeline's executions, each with its execution's ARN.

        The one that ended last comes first.
        """
        first = f"{pipeline_arn}/execution/"
        rows = self._database.query(
            "SELECT execution, body FROM steps WHERE execution > ? AND execution < ? AND name=? AND status='Succeeded'",
            (first, f"{pipeline_arn}/execution0", name),  # 0 is the character after the slash
        )
        found = [(execution, json.loads(body)) for execution, body in rows]
        return sorted(found, key=lambda step: step[1]["EndTime"], reverse=True)

    def delete_step(self, execution: str, position: int) -> None:
        """Forget one step of an execution."""
        self._database.execute("DELETE FROM steps WHERE execution=? AND position=?", (execution, position))

    def delete_steps(self, execution: str) -> None:
        """Forget the steps of an execution."""
        self._database.execute("DELETE FROM steps WHERE execution=?", (execution,))

    def tags(self, arn: str) -> list[dict[str, str]]:
        """The tags of a resource in the order they were added."""
        rows = self._database.query("SELECT key, value FROM tags WHERE arn=? ORDER BY rowid", (arn,))
        return [{"Key": key, "Value": value} for key, value in rows]

    def put_tags(self, arn: str, tags: Iterable[Mapping[str, str]]) -> None:
        """Add tags to a resource; a tag of the same key gets the new value."""
        with self.transaction():
            for tag in tags:
                self._database.execute(
                    "INSERT INTO tags (arn, key, value) VALUES (?,?,?) ON CONFLICT DO UPDATE SET value=excluded.value",
                    (arn, tag["Key"], tag["Value"]),
                )

    def delete_tags(self, arn: str, keys: Iterable[str]) -> None:
        """Take tags from a resource; keys it does not have are no error."""
        with self.transaction():
            for key in keys:
                self._database.execute("DELETE FROM tags WHERE arn=? AND key=?", (arn, key))

    def token(self, scope: Scope, operation: str, token: str) -> Token | None:
        """What an idempotency token was used for."""
        rows = self._database.query(
            "SELECT request, answer FROM tokens WHERE account=? AND region=? AND operation=? AND token=?",
            (*scope, operation, token),
        )
        return Token(rows[0][0], json.loads(rows[0][1])) if rows else None

    def put_token(self, scope: Scope, operation: str, token: str, used: Token) -> None:
        """Remember an idempotency token."""
        self._database.execute(
            "INSERT OR REPLACE INTO tokens (account, region, operation, token, request, answer) VALUES (?,?,?,?,?,?)",
            (*scope, operation, token, used.request, json.dumps(used.answer)),
        )

    def forget_tokens(self, arn: str) -> None:
        """Forget what was answered about a resource and what is below it: it comes to be, or is no more."""
        self._database.execute(
            "DELETE FROM tokens WHERE instr(answer, ?) OR instr(answer, ?)", (f'"{arn}"', f'"{arn}/')
        )


def _row(entity: Entity) -> Row:
    return (
        *entity.scope,
        entity.kind,
        entity.name,
        entity.parent,
        entity.arn,
        entity.status,
        entity.created,
        entity.modified,
        json.dumps(entity.body),
    )


def _entity(row: Row) -> Entity:
    account, region, kind, name, parent, arn, status, created, modified, body = row
    return Entity(
        scope=Scope(account, region),
        kind=Kind(kind),
        name=name,
        parent=parent,
        arn=arn,
        status=status,
        created=created,
        modified=modified,
        body=json.loads(body),
    )
