"""What a schedule sends when its time has come."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, assert_never

from mlops_sm.definition.document import Json
from mlops_sm.emulator.events.delivery import Deliveries
from mlops_sm.emulator.events.envelope import envelope
from mlops_sm.emulator.events.times import iso
from mlops_sm.emulator.timing.expressions import Dialect
from mlops_sm.emulator.timing.timetable import Entry

_DELETE: Final = {"Arn": "arn:aws:scheduler:::aws-sdk:scheduler:deleteSchedule"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """Sends what schedules send.

    Attributes:
        sender: Takes it.
        target: The target of a schedule of EventBridge Scheduler; None when the schedule is gone.
        new_id: So many random characters of [a-z0-9].
    """

    sender: Deliveries
    target: Callable[[Entry], Mapping[str, Json] | None]
    new_id: Callable[[int], str]

    def fire(self, entry: Entry, time: datetime) -> None:
        """Send what an entry sends at one of its times."""
        match entry.dialect:
            case Dialect.RULE:
                self.sender.rule(entry.scope, entry.name, self._event(entry, time), bus=entry.holder)
            case Dialect.SCHEDULE:
                self._invoke(entry, time)
            case _:
                assert_never(entry.dialect)

    def ended(self, entry: Entry) -> None:
        """Delete a schedule that has had its last time, as its ActionAfterCompletion says."""
        request = {"Name": entry.name, "GroupName": entry.holder}
        self.sender.target(entry.scope, _DELETE, json.dumps(request), origin=entry.arn)

    def _invoke(self, entry: Entry, time: datetime) -> None:
        target = self.target(entry)
        if target is None:
            return
        event = self._event(entry, time)
        given = target.get("Input")
        payload = json.dumps(event, separators=(",", ":")) if given is None else self._filled(str(given), entry, time)
        self.sender.target(entry.scope, target, payload, origin=entry.arn, event=event)

    def _filled(self, text: str, entry: Entry, time: datetime) -> str:
        """An Input with its context attributes.

        Source: https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
        """
        attributes = {
            "schedule-arn": entry.arn,
            "scheduled-time": iso(time.timestamp()),
            "execution-id": self.new_id(16),
            "attempt-number": "1",
        }
        for name, value in attributes.items():
            text = text.replace(f"<aws.scheduler.{name}>", value)
        return text

    def _event(self, entry: Entry, time: datetime) -> dict[str, Json]:
        """The "Scheduled Event" that targets get; Scheduler's has its detail as text."""
        of_rule = entry.dialect is Dialect.RULE
        return envelope(
            entry.scope,
            "aws.events" if of_rule else "aws.scheduler",
            "Scheduled Event",
            resources=[entry.arn],
            detail={} if of_rule else "{}",
            seconds=time.timestamp(),
        )
