"""The history of alarms, in the account's database; it outlives the alarm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from mlops_sm.emulator.alarms.messages import compact
from mlops_sm.emulator.database import Database
from mlops_sm.emulator.store import Scope

_KEPT: Final = 30 * 86_400
"""Seconds; "The history of an alarm is kept for 30 days"."""


class Item(StrEnum):
    """HistoryItemType."""

    CONFIGURATION_UPDATE = "ConfigurationUpdate"
    STATE_UPDATE = "StateUpdate"
    ACTION = "Action"


class Entry(NamedTuple):
    """One item with its number, which grows."""

    number: int
    name: str
    type: str
    item: str
    time: float
    summary: str
    data: str


@dataclass(frozen=True, slots=True)
class History:
    """The table ``alarm_history``."""

    database: Database

    def add(
        self,
        scope: Scope,
        name: str,
        kind: str,
        item: Item,
        *,
        time: datetime,
        summary: str,
        data: Mapping[str, Any],
    ) -> None:
        """Write an item of an alarm.

        Args:
            scope: Whose.
            name: The alarm's name.
            kind: MetricAlarm or CompositeAlarm.
            item: The item's type.
            time: When.
            summary: HistorySummary.
            data: HistoryData, written as JSON.
        """
        with self.database.transaction():
            self.database.execute(
                "DELETE FROM alarm_history WHERE account=? AND region=? AND time<?",
                (*scope, time.timestamp() - _KEPT),
            )
            self.database.execute(
                "INSERT INTO alarm_history (account, region, name, type, item, time, summary, data)"
                " VALUES (?,?,?,?,?,?,?,?)",
                (*scope, name, kind, item, time.timestamp(), summary, compact(data)),
            )

    def select(
        self,
        scope: Scope,
        *,
        name: str | None = None,
        kinds: Sequence[str] = (),
        item: str | None = None,
        start: float | None = None,
        end: float | None = None,
        descending: bool = True,
        after: int | None = None,
        limit: int,
    ) -> list[Entry]:
        """Items in order of time.

        Args:
            scope: Whose.
            name: Only of this alarm.
            kinds: Only of these types of alarms; empty for all.
            item: Only of this type.
            start: From this epoch second on.
            end: Until this epoch second.
            descending: The latest first.
            after: The number of the item after which to go on.
            limit: At most so many.
        """
        narrowing: list[tuple[str, Any]] = [
            ("account=?", scope.account),
            ("region=?", scope.region),
            ("name=?", name),
            ("item=?", item),
            ("time>=?", start),
            ("time<=?", end),
            ("id<?" if descending else "id>?", after),
        ]
        conditions = [condition for condition, value in narrowing if value is not None]
        bound = [value for _, value in narrowing if value is not None]
        if kinds:
            conditions.append(f"type IN ({','.join('?' * len(kinds))})")
            bound.extend(kinds)
        # Items are written in order of time.
        rows = self.database.query(
            "SELECT id, name, type, item, time, summary, data FROM alarm_history"  # noqa: S608 - conditions of our own, values bound
            f" WHERE {' AND '.join(conditions)} ORDER BY id {'DESC' if descending else 'ASC'} LIMIT ?",
            (*bound, limit),
        )
        return [Entry(*row) for row in rows]
