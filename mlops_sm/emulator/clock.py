"""The account's clock: the machine's time plus what it was advanced by, and what becomes due as it moves."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from mlops_sm.emulator.database import Database

_LONGEST_WAIT: Final = timedelta(days=1)
_log = logging.getLogger(__name__)


def utc_now() -> datetime:
    """The machine's time."""
    return datetime.now(UTC)


class Timed(Protocol):
    """Something that has to be done at moments of the clock, such as schedules."""

    def due(self) -> datetime | None:
        """The moment of what is to be done next, in the past when it is late; None when there is nothing."""

    def fire(self, moment: datetime) -> None:
        """Do what is due until a moment, after which `due` lies later than that."""


class Clock:
    """The time of one account, timezone-aware; called, it says the time. Safe to use from several threads.

    Time passes by itself as it does for the machine; `advance` adds to it. It never goes back.

    Args:
        source: The time that passes by itself, timezone-aware.
        frozen: Instead of `source`: a moment at which the clock stands until it is advanced.
    """

    def __init__(self, source: Callable[[], datetime] = utc_now, *, frozen: datetime | None = None) -> None:
        if frozen is not None and frozen.tzinfo is None:
            raise ValueError("the moment at which a clock stands needs a time zone")
        self._source = source if frozen is None else lambda: frozen
        self._ahead = timedelta()
        self._pinned: datetime | None = None
        self._changed = threading.Condition()
        self._firing = threading.RLock()
        self._attended: list[Timed] = []
        self._settle: list[Callable[[], object]] = []
        self._moved: list[Callable[[timedelta], None]] = []
        self._generation = 0
        self._ticker: threading.Thread | None = None
        self._closing = False

    def __call__(self) -> datetime:
        """Now."""
        with self._changed:
            return self._pinned or self._source() + self._ahead

    def now(self) -> datetime:
        """Now, as calling the clock says it."""
        return self()

    @property
    def ahead(self) -> timedelta:
        """How far it was advanced in all."""
        with self._changed:
            return self._ahead

    def advance(
        self,
        *,
        weeks: float = 0,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        milliseconds: float = 0,
    ) -> datetime:
        """Let time pass: everything that becomes due meanwhile is done, in order of time, each at its own moment.

        Returns:
            The time afterwards.

        Raises:
            ValueError: The span is negative, or leads out of the calendar.
        """
        try:
            span = timedelta(
                weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds, milliseconds=milliseconds
            )
            target = self() + span
        except OverflowError as error:
            raise ValueError("the clock cannot be advanced beyond the year 9999") from error
        if span < timedelta():
            raise ValueError("the clock can only be advanced, not turned back")
        # What requests have set off before happens before; a span of nothing waits for just that.
        self._settled()
        with self._firing:
            while not self._closing and (due := self._earliest()) is not None and due <= target:
                self._pin(max(due, self()))
                try:
                    self._fire(due)
                    self._settled()
                finally:
                    self._unpin()
            self._move_to(target)
        self.changed()
        return self()

    def go_on(self, ahead: timedelta) -> None:
        """Be at least so far ahead of what passes by itself; nothing is done for the time in between."""
        with self._changed:
            self._ahead = max(self._ahead, ahead)
            self._changed.notify_all()

    def attend(self, timed: Timed) -> None:
        """Have something done at its moments from now on; a thread waits for them while there are any."""
        self._attended.append(timed)
        self.changed()

    def settle_with(self, settled: Callable[[], object]) -> None:
        """Have `advance` call this after each moment: it returns when what was set off is done."""
        self._settle.append(settled)

    def remember_with(self, remember: Callable[[timedelta], None]) -> None:
        """Have every advance told, in all, before it returns."""
        self._moved.append(remember)

    def changed(self) -> None:
        """Look again for what is due; to be called when something attended has got an earlier moment."""
        wanted = self._ticker is None and self._earliest() is not None
        with self._changed:
            self._generation += 1
            self._changed.notify_all()
            if wanted and self._ticker is None and not self._closing:
                self._ticker = threading.Thread(target=self._tick, name="clock", daemon=True)
                self._ticker.start()

    def close(self) -> None:
        """Forget everything that is to be done; returns when what is being done is done. The time goes on."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            ticker = self._ticker
        if ticker is not None and ticker is not threading.current_thread():
            ticker.join()
        with self._firing:
            self._attended.clear()
            self._settle.clear()
            self._moved.clear()
        with self._changed:
            self._closing, self._ticker = False, None

    def _tick(self) -> None:
        while True:
            with self._changed:
                generation = self._generation
            # Outside the lock: what is attended has locks of its own.
            due = self._earliest()
            with self._changed:
                if self._closing:
                    return
                if generation != self._generation:
                    continue
                if due is None:
                    self._ticker = None
                    return
                remaining = due - self()
                if remaining > timedelta():
                    self._changed.wait(min(remaining, _LONGEST_WAIT).total_seconds())
                    continue
            with self._firing:
                self._fire(due)

    def _earliest(self) -> datetime | None:
        moments = [due for timed in self._attended if (due := timed.due()) is not None]
        return min(moments, default=None)

    def _fire(self, moment: datetime) -> None:
        for timed in tuple(self._attended):
            due = timed.due()
            if due is None or due > moment:
                continue
            try:
                timed.fire(moment)
            except Exception:
                _log.exception("what was due at %s failed", moment)
                if timed.due() == due:
                    # It would be due for ever.
                    self._attended.remove(timed)

    def _settled(self) -> None:
        for settled in tuple(self._settle):
            settled()

    def _pin(self, moment: datetime) -> None:
        self._move_to(moment)
        with self._changed:
            self._pinned = moment
            self._changed.notify_all()

    def _unpin(self) -> None:
        with self._changed:
            self._pinned = None

    def _move_to(self, moment: datetime) -> None:
        with self._changed:
            self._ahead = max(self._ahead, moment - self._source())
            ahead = self._ahead
        for remember in tuple(self._moved):
            remember(ahead)


def keep_ahead(clock: Clock, database: Database) -> None:
    """Go on from how far the account of a database was advanced, and write every further advance down there.

    So the account's time never goes back, and nothing that was done at a moment becomes due at it again.
    """
    rows = database.query("SELECT ahead FROM clock")
    if rows:
        clock.go_on(timedelta(seconds=rows[0][0]))

    def write(ahead: timedelta) -> None:
        database.execute("INSERT OR REPLACE INTO clock (id, ahead) VALUES (1, ?)", (ahead.total_seconds(),))

    clock.remember_with(write)
