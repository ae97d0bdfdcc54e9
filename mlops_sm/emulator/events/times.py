"""How events show times."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from mlops_sm.definition.document import Json

TimeForm = Callable[[float], Json]
"""How an event's detail shows an epoch second."""


def milliseconds(seconds: float) -> Json:
    """Epoch milliseconds."""
    return round(seconds * 1000)


def precise(seconds: float) -> str:
    """``2021-03-15T16:10:11.000Z``."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso(seconds: float) -> str:
    """``2021-03-15T16:10:11Z``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
