"""Everything that happens as the account's clock moves, put together for one account: schedules and alarms."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.clock import Clock
from mlops_sm.emulator.database import Database
from mlops_sm.emulator.events.delivery import Deliveries
from mlops_sm.emulator.protocol import Answer

if TYPE_CHECKING:
    from mlops_sm.emulator.alarms.hooks import AlarmHooks
    from mlops_sm.emulator.timing.hooks import ScheduleHooks

_OF_SCHEDULES: Final = frozenset({"eventbridge", "scheduler", "cloudformation"})
"""Services through which schedules come and go, by botocore's id."""
_OF_ALARMS: Final = frozenset({"cloudwatch", "application-auto-scaling"})
"""Services whose requests make alarms or their data."""


class TimeWork:
    """An account's schedules and alarms; each is there from the first request, or state, that has any.

    Args:
        database: Keeps the timetable, and which alarms there are with their history.
        clock: The account's.
        deliveries: Takes what is to be sent.
        changing: Around changes of moto's state that no request makes.
        new_id: So many random characters of [a-z0-9].
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        deliveries: Deliveries,
        *,
        changing: Callable[[], AbstractContextManager[None]],
        new_id: Callable[[int], str],
    ) -> None:
        self._database = database
        self._clock = clock
        self._deliveries = deliveries
        self._changing = changing
        self._new_id = new_id
        self._lock = threading.Lock()
        self._schedules: ScheduleHooks | None = None
        self._alarms: AlarmHooks | None = None

    def intercept(self, arrival: Arrival) -> Answer | None:
        """Refuse what the services refuse, and be there when moto answers what concerns a schedule or an alarm."""
        if arrival.service in _OF_SCHEDULES:
            self._have_schedules().install()
        elif arrival.service in _OF_ALARMS:
            self._have_alarms().install()
        else:
            return None
        from mlops_sm.emulator.timing.requests import check  # noqa: PLC0415 - see _have_schedules

        return check(arrival)

    @property
    def has_alarms(self) -> bool:
        """Whether there was an alarm, or anybody asked for metrics."""
        return self._alarms is not None

    def begin(self) -> None:
        """Do from now on what becomes due."""
        if self._database.query("SELECT 1 FROM schedules LIMIT 1"):
            self._have_schedules()
        if self._database.query("SELECT 1 FROM alarms LIMIT 1"):
            self._have_alarms()

    def close(self) -> None:
        """Do nothing more, and give moto its own methods back."""
        self._clock.close()
        with self._lock:
            if self._schedules is not None:
                self._schedules.remove()
            if self._alarms is not None:
                self._alarms.remove()

    def _have_schedules(self) -> ScheduleHooks:
        with self._lock:
            if self._schedules is None:
                # 20 ms that accounts without schedules do without.
                from mlops_sm.emulator.timing.firing import Firing  # noqa: PLC0415 - see above
                from mlops_sm.emulator.timing.hooks import ScheduleHooks  # noqa: PLC0415 - see above
                from mlops_sm.emulator.timing.timetable import Timetable  # noqa: PLC0415 - see above

                timetable = Timetable(self._database, self._clock)
                self._schedules = ScheduleHooks(timetable, self._clock)
                timetable.begin(Firing(sender=self._deliveries, target=self._schedules.target, new_id=self._new_id))
            return self._schedules

    def _have_alarms(self) -> AlarmHooks:
        with self._lock:
            if self._alarms is None:
                # 40 ms that accounts without alarms do without.
                from mlops_sm.emulator.alarms.hooks import AlarmHooks  # noqa: PLC0415 - see above
                from mlops_sm.emulator.alarms.watch import Alarms  # noqa: PLC0415 - see above

                alarms = Alarms(self._database, self._clock, self._deliveries, self._changing)
                self._alarms = AlarmHooks(alarms, self._clock)
                self._clock.attend(alarms)
            return self._alarms
