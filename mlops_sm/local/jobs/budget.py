"""How long a training job may still run and wait, all of its attempts together."""

from __future__ import annotations

from collections.abc import Mapping

from mlops_sm.definition.document import Json
from mlops_sm.local.jobs.attend import MAX_RUNTIME


class Budget:
    """What is left of a StoppingCondition.

    MaxRuntimeInSeconds and MaxWaitTimeInSeconds are limits for all attempts in total; the latter counts the time
    without instances too (API reference, StoppingCondition).

    Args:
        condition: The request's StoppingCondition.
        spot: Whether the job may be interrupted; only then the waiting time is limited.
    """

    def __init__(self, condition: Mapping[str, Json], *, spot: bool) -> None:
        self._runtime: float = condition.get("MaxRuntimeInSeconds") or MAX_RUNTIME
        self._wait: float | None = condition.get("MaxWaitTimeInSeconds") if spot else None

    @property
    def runtime(self) -> float:
        """Seconds for which instances may still run."""
        return max(0.0, self._runtime if self._wait is None else min(self._runtime, self._wait))

    @property
    def wait(self) -> float | None:
        """Seconds for which the job may still wait for instances; None for ever."""
        return None if self._wait is None else max(0.0, self._wait)

    @property
    def ends_by_waiting(self) -> bool:
        """Whether it is the waiting time that is over first."""
        return self._wait is not None and self._wait < self._runtime

    def ran(self, seconds: float) -> None:
        """Instances ran for so long."""
        self._runtime -= seconds
        self.waited(seconds)

    def waited(self, seconds: float) -> None:
        """There were no instances for so long."""
        if self._wait is not None:
            self._wait -= seconds
