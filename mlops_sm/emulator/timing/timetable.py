"""Every schedule of the account, kept in its database, and what is due when."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from mlops_sm.emulator.clock import Clock
from mlops_sm.emulator.database import Database
from mlops_sm.emulator.store import Scope
from mlops_sm.emulator.timing.expressions import Dialect, Rate, next_after, parse, zone

_INSTANT: Final = timedelta(microseconds=1)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A rule with a schedule, or a schedule of EventBridge Scheduler.

    Attributes:
        arn: Its ARN.
        scope: Whose.
        dialect: What it is.
        holder: The bus of a rule, the group of a schedule.
        name: Its name.
        expression: Its ScheduleExpression, accepted by the service.
        zone: Its ScheduleExpressionTimezone.
        enabled: Its state.
        start: Its StartDate in epoch seconds.
        end: Its EndDate in epoch seconds.
        anchor: Epoch second from which a rate counts: when the expression was given, unless there is a start.
        ends_with_last: Its ActionAfterCompletion is DELETE.
    """

    arn: str
    scope: Scope
    dialect: Dialect
    holder: str
    name: str
    expression: str
    zone: str = "UTC"
    enabled: bool = True
    start: float | None = None
    end: float | None = None
    anchor: float = 0.0
    ends_with_last: bool = False

    def after(self, moment: datetime) -> datetime | None:
        """Its first time after a moment; None when there is none any more, or it is disabled."""
        if not self.enabled:
            return None
        expression = parse(self.expression, self.dialect)
        start = None if self.start is None else _moment(self.start)
        if start is not None:
            moment = max(moment, start - _INSTANT)
        anchor = start or _moment(self.anchor)
        if isinstance(expression, Rate) and self.dialect is Dialect.RULE:
            # A rule's rate comes first when its time has passed once; a schedule's with its start.
            anchor += expression.every
        found = next_after(expression, moment, zone(self.zone), anchor=anchor)
        return None if found is None or (self.end is not None and found > _moment(self.end)) else found

    def first(self, now: datetime) -> datetime | None:
        """Its first time when it was just given.

        "If you do not provide a StartDate for a rate-based schedule, your schedule starts invoking the target
        immediately" (https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html).
        """
        at_once = self.dialect is Dialect.SCHEDULE and self.start is None and self.expression.startswith("rate(")
        return self.after(now - _INSTANT if at_once else now)


@dataclass(slots=True)
class _Row:
    entry: Entry
    next: datetime | None


class Worker(Protocol):
    """Does what entries are for."""

    def fire(self, entry: Entry, time: datetime) -> None:
        """Do it, at one of its times."""

    def ended(self, entry: Entry) -> None:
        """An entry that ends with its last time has had it."""


class Timetable:
    """The table ``schedules``. Safe to use from several threads.

    A time that passed while the account was closed, as with a clock that stood still, is not made up for.

    Args:
        database: Keeps the entries.
        clock: The account's; its `advance` goes from time to time.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._worker: Worker | None = None
        self._lock = threading.Lock()
        # Not the lock that `due` takes: the clock asks from wherever something has changed, also within a transaction.
        self._writing = threading.Lock()
        now = clock()
        entries = (_read(body) for (body,) in database.query("SELECT body FROM schedules"))
        self._rows = {entry.arn: _Row(entry, entry.after(now)) for entry in entries}

    def begin(self, worker: Worker) -> None:
        """Have everything that is due done from now on."""
        self._worker = worker
        self._clock.attend(self)

    def get(self, arn: str) -> Entry | None:
        """The entry of that ARN."""
        with self._lock:
            row = self._rows.get(arn)
        return None if row is None else row.entry

    def put(self, entry: Entry) -> None:
        """Add an entry or change it; one whose expression, zone and start stay the same goes on in its rhythm."""
        now = self._clock()
        with self._writing:
            known = self.get(entry.arn)
            if known is not None and _rhythm(known) == _rhythm(entry):
                entry = replace(entry, anchor=known.anchor)
                following = entry.after(now)
            else:
                entry = replace(entry, anchor=now.timestamp())
                following = entry.first(now)
            self._database.execute(
                "INSERT OR REPLACE INTO schedules (arn, body) VALUES (?, ?)", (entry.arn, _written(entry))
            )
            with self._lock:
                self._rows[entry.arn] = _Row(entry, following)
        self._clock.changed()

    def drop(self, arn: str) -> None:
        """Forget an entry; one that is not there is no error."""
        with self._writing:
            with self._lock:
                known = self._rows.pop(arn, None)
            if known is not None:
                self._database.execute("DELETE FROM schedules WHERE arn=?", (arn,))

    def due(self) -> datetime | None:
        """The first time of any entry."""
        with self._lock:
            return min((row.next for row in self._rows.values() if row.next is not None), default=None)

    def fire(self, moment: datetime) -> None:
        """Do what is due until a moment, in order of time."""
        while self._worker is not None and (taken := self._take(moment)) is not None:
            entry, time, is_last = taken
            try:
                self._worker.fire(entry, time)
                if is_last and entry.ends_with_last:
                    self._worker.ended(entry)
            except Exception:
                _log.exception("%s could not be fired at %s", entry.arn, time)

    def _take(self, moment: datetime) -> tuple[Entry, datetime, bool] | None:
        """The next entry that is due with its time; it has its following time then."""
        with self._lock:
            due = [(row.next, arn) for arn, row in self._rows.items() if row.next is not None and row.next <= moment]
            if not due:
                return None
            time, arn = min(due)
            row = self._rows[arn]
            row.next = row.entry.after(time)
            return row.entry, time, row.next is None


def _rhythm(entry: Entry) -> tuple[str, str, float | None]:
    return entry.expression, entry.zone, entry.start


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _written(entry: Entry) -> str:
    return json.dumps({**asdict(entry), "dialect": entry.dialect.value})


def _read(body: str) -> Entry:
    members = json.loads(body)
    return Entry(**{**members, "scope": Scope(*members["scope"]), "dialect": Dialect(members["dialect"])})
