"""What may be made to go wrong with a job, and how a job is told: tests plant faults, nobody else does."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

NO_CAPACITY: Final = (
    "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML instance type."
)
"""The service's words (e.g. DIAGNijmegen/rse-grand-challenge #2631)."""
INTERNAL_ERROR: Final = "InternalServerError: We encountered an internal error. Please try again."
"""The service's words (e.g. aws/sagemaker-python-sdk #70)."""


class FaultKind(StrEnum):
    """What goes wrong: first with the call that creates something, then with a job's instances."""

    THROTTLING = "throttling"
    SERVICE_FAULT = "service fault"
    RESOURCE_LIMIT = "resource limit"
    CAPACITY = "capacity"
    INTERNAL_ERROR = "internal error"
    SPOT_INTERRUPTION = "spot interruption"
    KILL = "kill"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFault:
    """What goes wrong with one start of a job's instances.

    Attributes:
        kind: What.
        after_lines: After so many lines of the log; 0 is right after the start. A lack of capacity comes before it.
        host: The instance whose log is counted, and which is killed.
        seconds: How long there is no spot capacity, by the account's clock; None until the job has waited too long.
        happened: Called once it has happened: a job may end before its log is long enough.
    """

    kind: FaultKind
    after_lines: int = 0
    host: str = "algo-1"
    seconds: float | None = None
    happened: Callable[[], None] = field(default=lambda: None, compare=False)


class JobFaults(Protocol):
    """The faults that are planted for one job."""

    def next(self, able: Container[FaultKind]) -> JobFault | None:
        """What goes wrong with the instances that start now; None when nothing does.

        Args:
            able: The kinds that can happen to them.
        """


class _NoFaults:
    def next(self, able: Container[FaultKind]) -> JobFault | None:
        """Nothing goes wrong."""
        del able
        return None


NO_FAULTS: Final[JobFaults] = _NoFaults()
"""Nothing is planted."""
