"""Everything that happens as the account's clock moves, put together for one account: schedules and alarms."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager

from mlops_sm.emulator.alarms.hooks import SERVICES as ALARM_SERVICES
from mlops_sm.emulator.alarms.hooks import AlarmHooks
from mlops_sm.emulator.alarms.watch import Alarms
from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.clock import Clock
from mlops_sm.emulator.database import Database
from mlops_sm.emulator.events import Deliveries
from mlops_sm.emulator.timing.firing import Firing
from mlops_sm.emulator.timing.hooks import SERVICES as SCHEDULE_SERVICES
from mlops_sm.emulator.timing.hooks import ScheduleHooks
from mlops_sm.emulator.timing.timetable import Timetable


class TimeWork:
    """An account's schedules and alarms.

    Args:
        database: Keeps the timetable and the history of alarms.
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
        self._clock = clock
        self._timetable = Timetable(database, clock)
        self._schedule_hooks = ScheduleHooks(self._timetable, clock)
        self._firing = Firing(
            sender=deliveries,
            target=self._schedule_hooks.target,
            new_id=new_id,
            new_event_id=lambda: str(uuid.uuid4()),
        )
        self._alarms = Alarms(database, clock, deliveries, changing)
        self._alarm_hooks = AlarmHooks(self._alarms, clock)

    def notice(self, arrival: Arrival) -> None:
        """Be there when moto answers a request that may concern a schedule or an alarm."""
        if arrival.service in SCHEDULE_SERVICES:
            self._schedule_hooks.install()
        if arrival.service in ALARM_SERVICES:
            self._alarm_hooks.install()

    def begin(self) -> None:
        """Do from now on what becomes due."""
        self._timetable.begin(self._firing)
        self._clock.attend(self._alarms)

    def close(self) -> None:
        """Do nothing more, and give moto its own methods back."""
        self._clock.close()
        self._schedule_hooks.remove()
        self._alarm_hooks.remove()
