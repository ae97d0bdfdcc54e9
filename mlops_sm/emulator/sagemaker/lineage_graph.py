"""Associations between lineage entities, and which components are part of which trials: edges, by ARN."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from mlops_sm.emulator.store import Kind, Scope, Store

_BATCH: Final = 500
"""Bound values of one statement; SQLite's builds allow 999 at the least."""
_NAME: Final = "CASE {0}.kind WHEN 'artifact' THEN json_extract({0}.body, '$.ArtifactName') ELSE {0}.name END"
"""The name of an end; an artifact need not have one."""


class Association(NamedTuple):
    """A directed edge.

    Attributes:
        source: ARN of the entity it starts from.
        destination: ARN of the entity it leads to.
        type: ``ContributedTo``, ``Produced`` ...; empty when it was added without one.
        created: Epoch seconds.
    """

    source: str
    destination: str
    type: str
    created: float


class Node(NamedTuple):
    """What a walk has to know of an entity.

    Attributes:
        arn: Of the entity.
        kind: What it is.
        type: Its artifact, action, context or source type; empty when it has none.
        created: Epoch seconds.
        modified: Epoch seconds.
    """

    arn: str
    kind: Kind
    type: str
    created: float
    modified: float


class Graph:
    """The edges in a store's database.

    Args:
        store: Whose transactions the changes belong to.
    """

    def __init__(self, store: Store) -> None:
        self._database = store.database

    # ------------------------------------------------------------------ associations

    def associate(self, scope: Scope, association: Association, *, automatic: bool = False) -> bool:
        """Add an association; False when its two entities have one in this direction already."""
        return bool(
            self._database.execute(
                "INSERT INTO associations (account, region, source, destination, type, created, automatic)"
                " VALUES (?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
                (*scope, *association, automatic),
            )
        )

    def associations_by_hand(self, scope: Scope, limit: int) -> int:
        """How many associations clients have added; some number below the limit while all together are fewer."""
        return self._by_hand("associations WHERE account=? AND region=?", "NOT automatic", scope, limit)

    def entities_by_hand(self, scope: Scope, kind: Kind, limit: int) -> int:
        """How many artifacts, actions or contexts clients have created; likewise."""
        manual = "json_extract(body, '$.Automatic') IS NULL"
        return self._by_hand("entities WHERE account=? AND region=? AND kind=?", manual, (*scope, kind), limit)

    def _by_hand(self, rows: str, manual: str, values: Sequence[str], limit: int) -> int:
        count: int = self._database.query(f"SELECT count(*) FROM {rows}", values)[0][0]  # noqa: S608 - ours, values bound
        if count < limit:
            return count
        count = self._database.query(f"SELECT count(*) FROM {rows} AND {manual}", values)[0][0]  # noqa: S608 - likewise
        return count

    def dissociate(self, source: str, destination: str) -> bool:
        """Remove an association; False when there is none."""
        return bool(
            self._database.execute("DELETE FROM associations WHERE source=? AND destination=?", (source, destination))
        )

    def detach(self, arn: str) -> None:
        """Remove every association of an entity."""
        self._database.execute("DELETE FROM associations WHERE source=? OR destination=?", (arn, arn))

    def is_associated(self, arn: str) -> bool:
        """Whether an entity has an association in either direction."""
        return bool(
            self._database.query("SELECT 1 FROM associations WHERE source=? OR destination=? LIMIT 1", (arn, arn))
        )

    def outgoing(self, arns: Iterable[str]) -> list[Association]:
        """The associations that start from some entities, in a fixed order."""
        return self._edges("source", arns)

    def incoming(self, arns: Iterable[str]) -> list[Association]:
        """The associations that lead to some entities, in a fixed order."""
        return self._edges("destination", arns)

    def nodes(self, arns: Iterable[str]) -> dict[str, Node]:
        """The entities of some ARNs, in the order of the ARNs; what has no entity is left out."""
        wanted = list(arns)
        found: dict[str, Node] = {}
        for some in _batches(wanted):
            for arn, kind, *row in self._database.query(
                f"SELECT arn, kind, status, created, modified FROM entities WHERE arn IN ({_marks(some)})",  # noqa: S608 - values bound
                some,
            ):
                found[arn] = Node(arn, Kind(kind), *row)
        return {arn: found[arn] for arn in wanted if arn in found}

    def _edges(self, end: str, arns: Iterable[str]) -> list[Association]:
        found: list[Association] = []
        for some in _batches(list(arns)):
            found += [
                Association(*row)
                for row in self._database.query(
                    f"SELECT source, destination, type, created FROM associations WHERE {end} IN ({_marks(some)})",  # noqa: S608 - a column of our own, values bound
                    some,
                )
            ]
        return sorted(found, key=lambda edge: (edge.created, edge.source, edge.destination))

    def select(
        self,
        scope: Scope,
        conditions: Sequence[tuple[str, Sequence[Any]]],
        *,
        sort: str,
        descending: bool,
        after: Sequence[Any] | None,
        limit: int,
    ) -> list[dict[str, Any]]:
        """Associations with the names and types of their ends.

        Args:
            scope: Whose.
            conditions: SQL over ``a`` (the association), ``s`` and ``d`` (its ends' entities), with bound values.
            sort: The column to sort by; source and destination decide between equals.
            descending: The other way round.
            after: Values of the sort column, source and destination after which to start.
            limit: At most so many.
        """
        where, values = ["a.account=?", "a.region=?"], [*scope]
        for sql, bound in conditions:
            where.append(sql)
            values.extend(bound)
        if after is not None:
            where.append(f"({sort}, a.source, a.destination) {'<' if descending else '>'} (?, ?, ?)")
            values.extend(after)
        way = "DESC" if descending else "ASC"
        rows = self._database.query(
            f"SELECT a.source, a.destination, a.type, a.created, s.kind, {_NAME.format('s')}, s.status,"  # noqa: S608 - columns of our own, values bound
            f" d.kind, {_NAME.format('d')}, d.status, {sort}"
            " FROM associations a JOIN entities s ON s.arn = a.source JOIN entities d ON d.arn = a.destination"
            f" WHERE {' AND '.join(where)} ORDER BY {sort} {way}, a.source {way}, a.destination {way} LIMIT ?",
            (*values, limit),
        )
        names = (
            "source", "destination", "type", "created", "source_kind", "source_name", "source_type",
            "destination_kind", "destination_name", "destination_type", "sorted_by",
        )  # fmt: skip
        return [dict(zip(names, row, strict=True)) for row in rows]

    # ------------------------------------------------------------------ trials

    def join_trial(self, trial: str, component: str, now: float) -> bool:
        """Make a component part of a trial; False when it is already."""
        return bool(
            self._database.execute(
                "INSERT INTO memberships (trial, component, created) VALUES (?,?,?) ON CONFLICT DO NOTHING",
                (trial, component, now),
            )
        )

    def leave_trial(self, trial: str, component: str) -> bool:
        """Take a component out of a trial; False when it was not part of it."""
        return bool(self._database.execute("DELETE FROM memberships WHERE trial=? AND component=?", (trial, component)))

    def components(self, trial: str) -> list[str]:
        """ARNs of a trial's components, in the order they joined."""
        rows = self._database.query(
            "SELECT component FROM memberships WHERE trial=? ORDER BY created, component", (trial,)
        )
        return [row[0] for row in rows]

    def trials(self, component: str) -> list[str]:
        """ARNs of a component's trials, in the order it joined them."""
        rows = self._database.query(
            "SELECT trial FROM memberships WHERE component=? ORDER BY created, trial", (component,)
        )
        return [row[0] for row in rows]


def _batches(values: list[str]) -> Iterator[list[str]]:
    return (values[start : start + _BATCH] for start in range(0, len(values), _BATCH))


def _marks(values: Sequence[str]) -> str:
    return ",".join("?" * len(values))
