"""An update of an endpoint: a new fleet beside the old one, traffic step by step, alarms, and the way back.

Source: "Blue/Green Deployments" and "Auto-Rollback Configuration and Monitoring" of the SageMaker developer guide.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.endpoints.fleet import Fleet, Share, Traffic
from mlops_sm.emulator.endpoints.moments import Moments
from mlops_sm.emulator.endpoints.shifting import Shifts
from mlops_sm.emulator.store import Scope
from mlops_sm.local.serving.host import HostError

_LOOK: Final = timedelta(seconds=5)
"""Between looks at the alarms."""
_ALARMS: Final = 100
_log = logging.getLogger(__name__)


class RolledBackError(Exception):
    """An update was given up; the message is the endpoint's FailureReason."""


class ClosedError(Exception):
    """The account is being closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One update.

    Attributes:
        scope: Whose endpoint it is.
        old: The fleet of the configuration until now.
        new: That of the new one, not started yet.
        shifts: The steps.
        set_traffic: Changes whose fleets get the requests.
        set_stage: Told what goes on, as a variant's status: ``Creating``, ``ActivatingTraffic``, ``Baking``.
        client: A client of a service that acts for a scope.
        clock: The account's time.
        moments: What is waited for.
        is_closed: Whether the account is being closed.
    """

    scope: Scope
    old: Fleet
    new: Fleet
    shifts: Shifts
    set_traffic: Callable[[Traffic], None]
    set_stage: Callable[[str], None]
    client: Callable[[Scope, str], Any]
    clock: Callable[[], datetime]
    moments: Moments
    is_closed: Callable[[], bool]

    def run(self) -> None:
        """Update the endpoint; no request fails because of it.

        Raises:
            RolledBackError: The new fleet does not start, or an alarm went off: the old one serves.
            ClosedError: The account is being closed.
        """
        self.set_stage("Creating")
        try:
            self._check_alarms()
            self.new.start(self.is_closed)
        except HostError as error:
            if self.is_closed():
                raise ClosedError from error
            raise RolledBackError(str(error)) from error
        try:
            for part in self.shifts.parts:
                self.set_stage("ActivatingTraffic")
                self.set_traffic(self._traffic(part))
                if self.shifts.wait:
                    self.set_stage("Baking")
                self._watch(self.shifts.wait)
            self._wait(self.clock() + timedelta(seconds=self.shifts.termination_wait))
        except RolledBackError:
            self.set_traffic(self._traffic(0.0))
            self._end(self.new)
            raise
        self._end(self.old)

    def _traffic(self, part: float) -> Traffic:
        shares = (Share(part, self.new), Share(1.0 - part, self.old))
        return Traffic(tuple(share for share in shares if share.part > 0))

    def _watch(self, seconds: float) -> None:
        """Watch the alarms for so long."""
        end = self.clock() + timedelta(seconds=seconds)
        while (now := self.clock()) < end:
            self._check_alarms()
            self._wait(min(end, now + _LOOK) if self.shifts.alarms else end)
        self._check_alarms()

    def _wait(self, moment: datetime) -> None:
        if not self.moments.wait(moment):
            raise ClosedError

    def _check_alarms(self) -> None:
        names = list(self.shifts.alarms)
        if not names:
            return
        found = self.client(self.scope, "cloudwatch").describe_alarms(
            AlarmNames=names, AlarmTypes=["MetricAlarm", "CompositeAlarm"], MaxRecords=_ALARMS
        )
        states: Mapping[str, str] = {
            alarm["AlarmName"]: alarm["StateValue"] for alarm in (*found["MetricAlarms"], *found["CompositeAlarms"])
        }
        missing = [name for name in names if name not in states]
        if missing:
            raise RolledBackError(f"The alarms of AutoRollbackConfiguration do not exist: {', '.join(missing)}.")
        tripped = [name for name in names if states[name] == "ALARM"]
        if tripped:
            raise RolledBackError(
                f"The endpoint was rolled back to its previous configuration: alarms were tripped during the "
                f"deployment: {', '.join(tripped)}."
            )

    @staticmethod
    def _end(fleet: Fleet) -> None:
        fleet.drain()
        fleet.stop()


def stage_of(summary: Mapping[str, Json], stage: str, now: float) -> dict[str, Json]:
    """A PendingDeploymentSummary whose variants are in a stage."""
    status = [{"Status": stage, "StartTime": now}]
    changed = {
        member: [{**variant, "VariantStatus": status} for variant in summary[member]]
        for member in ("ProductionVariants", "ShadowProductionVariants")
        if summary.get(member)
    }
    return {**summary, **changed}
