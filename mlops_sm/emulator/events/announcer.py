"""Hears of every change in the store and puts SageMaker's events on the default bus, in the same transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from mlops_sm import naming
from mlops_sm.definition.document import Json
from mlops_sm.emulator.events import announcements
from mlops_sm.emulator.events.delivery import Deliveries
from mlops_sm.emulator.events.envelope import envelope
from mlops_sm.emulator.events.letters import BusEvent
from mlops_sm.emulator.store import Entity, Kind, Scope
from mlops_sm.engine import ExecutionStatus

_RUNNING: Final = frozenset({ExecutionStatus.EXECUTING, ExecutionStatus.STOPPING})


class Announcer:
    """A listener of the store.

    Args:
        deliveries: Takes the events.
        now: Epoch seconds.
    """

    def __init__(self, deliveries: Deliveries, now: Callable[[], float]) -> None:
        self._deliveries = deliveries
        self._now = now

    def entity_changed(self, before: Entity | None, after: Entity) -> None:
        """Announce a change of status."""
        if after.kind is Kind.EXECUTION:
            if before is None or before.status != after.status:
                ended = after.status not in _RUNNING
                detail = announcements.execution_detail(before, after, ended)
                resources = [naming.pipeline_arn(after.arn), after.arn]
                self._announce(after.scope, announcements.EXECUTION, resources, detail)
            return
        announcement = announcements.announcement_of(after)
        if announcement is None:
            return
        if before is not None and announcement.signature(before) == announcement.signature(after):
            return
        self._announce(
            after.scope,
            announcement.detail_type,
            [after.arn],
            announcement.detail(after),
            tags_of=after.arn if announcement.tagged else "",
        )

    def step_changed(self, execution: str, before: str | None, body: Mapping[str, Json]) -> None:
        """Announce a step's change of status."""
        if body["StepStatus"] == before:
            return
        detail = announcements.step_detail(execution, before, body)
        self._announce(Scope.of(execution), announcements.STEP, [naming.pipeline_arn(execution), execution], detail)

    def _announce(
        self, scope: Scope, detail_type: str, resources: list[str], detail: Mapping[str, Json], *, tags_of: str = ""
    ) -> None:
        event = envelope(scope, "aws.sagemaker", detail_type, resources=resources, detail=detail, seconds=self._now())
        self._deliveries.send([BusEvent(scope=scope, event=event, tags_of=tags_of)])
