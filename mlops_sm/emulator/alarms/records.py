"""What moto's records of alarms leave unsaid: whose they are, of which type, and that their times are UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from mlops_sm.emulator.store import Scope

MotoAlarm = Any
"""A ``moto.cloudwatch.models.Alarm``."""
MotoBackend = Any
"""A ``moto.cloudwatch.models.CloudWatchBackend``."""

METRIC: Final = "MetricAlarm"
COMPOSITE: Final = "CompositeAlarm"


def kind_of(alarm: MotoAlarm) -> str:
    """An alarm's AlarmType."""
    return METRIC if alarm.rule is None else COMPOSITE


def scope_of(backend: MotoBackend) -> Scope:
    """Whose alarms are in a backend."""
    return Scope(backend.account_id, backend.region_name)


def aware(time: datetime) -> datetime:
    """A time of moto's, or of a request, that says where it is."""
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def naive(time: datetime) -> datetime:
    """A time as moto keeps it: UTC, without saying so."""
    return time.astimezone(UTC).replace(tzinfo=None)
