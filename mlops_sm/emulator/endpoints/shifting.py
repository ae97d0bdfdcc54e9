"""In which steps traffic goes from the fleet of the old configuration to that of the new one.

Source: API reference, DeploymentConfig and what is in it; "Blue/Green Deployments" and "Rolling Deployments" of the
SageMaker developer guide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import invalid

_WHOLE: Final = 100.0
_HALF: Final = 50.0
_LEAST_LINEAR: Final = 10.0
_LEAST_ROLLING: Final = 5.0
_MAX_EXECUTION: Final = 28_800


@dataclass(frozen=True, slots=True, kw_only=True)
class Shifts:
    """The steps.

    Attributes:
        parts: The new fleet's part of the traffic after each step; the last is 1.
        wait: Seconds after each step in which alarms are watched.
        termination_wait: Seconds after the last of them until the old fleet goes.
        alarms: The names of the alarms that are watched.
    """

    parts: tuple[float, ...] = (1.0,)
    wait: float = 0.0
    termination_wait: float = 0.0
    alarms: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: Mapping[str, Json] | None, instances: int) -> Shifts:
        """The steps of a DeploymentConfig.

        "If no update policy is specified, SageMaker uses a blue/green deployment strategy with all at once traffic
        shifting by default" (API reference, DeploymentConfig).

        Args:
            config: The member; None when there is none.
            instances: Of all variants, of which a size in instances is a part.

        Raises:
            AwsError: ValidationException.
        """
        config = config or {}
        blue_green, rolling = config.get("BlueGreenUpdatePolicy"), config.get("RollingUpdatePolicy")
        if blue_green and rolling:
            raise invalid("Only one of BlueGreenUpdatePolicy and RollingUpdatePolicy can be used in DeploymentConfig.")
        watched = (config.get("AutoRollbackConfiguration") or {}).get("Alarms") or []
        alarms = tuple(alarm["AlarmName"] for alarm in watched if alarm.get("AlarmName"))
        if blue_green:
            return cls._blue_green(blue_green, alarms, instances)
        if rolling:
            step = _part(rolling["MaximumBatchSize"], instances, "MaximumBatchSize", _LEAST_ROLLING)
            shifts = cls(parts=_linear(step), wait=rolling["WaitIntervalInSeconds"], alarms=alarms)
            return shifts.within(rolling.get("MaximumExecutionTimeoutInSeconds"))
        return cls(alarms=alarms)

    @classmethod
    def _blue_green(cls, policy: Mapping[str, Json], alarms: tuple[str, ...], instances: int) -> Shifts:
        routing = policy["TrafficRoutingConfiguration"]
        match routing["Type"]:
            case "ALL_AT_ONCE":
                parts: tuple[float, ...] = (1.0,)
            case "CANARY":
                parts = (_part(_size(routing, "CanarySize"), instances, "CanarySize", 0.0), 1.0)
            case "LINEAR":
                step = _part(_size(routing, "LinearStepSize"), instances, "LinearStepSize", _LEAST_LINEAR)
                parts = _linear(step)
            case kind:
                raise invalid(f"TrafficRoutingConfiguration.Type {kind} is unknown.")
        shifts = cls(
            parts=parts,
            wait=routing["WaitIntervalInSeconds"],
            termination_wait=policy.get("TerminationWaitInSeconds") or 0.0,
            alarms=alarms,
        )
        return shifts.within(policy.get("MaximumExecutionTimeoutInSeconds"))

    def within(self, limit: float | None) -> Shifts:
        """The same steps, when they need no longer than a limit.

        "The timeout value should be larger than the total waiting time" (API reference, BlueGreenUpdatePolicy).

        Raises:
            AwsError: ValidationException, they do.
        """
        needed = len(self.parts) * self.wait + self.termination_wait
        if needed >= (limit or _MAX_EXECUTION):
            raise invalid(
                f"MaximumExecutionTimeoutInSeconds must be larger than the total waiting time of the deployment, "
                f"{needed:g} seconds."
            )
        return self


def _size(routing: Mapping[str, Json], member: str) -> Mapping[str, Json]:
    found: Mapping[str, Json] | None = routing.get(member)
    if found is None:
        raise invalid(f"{member} is required when TrafficRoutingConfiguration.Type is {routing['Type']}.")
    return found


def _part(size: Mapping[str, Json], instances: int, member: str, least: float) -> float:
    """A CapacitySize as a part of the whole, from 0 to 1. Of a single instance a half is the least there is."""
    kind, value = size["Type"], size["Value"]
    if kind == "INSTANCE_COUNT":
        part = _WHOLE * value / max(instances, 1)
        fits = part <= _HALF or value == 1
        part = min(part, _HALF)
    else:
        part = float(value)
        fits = least <= part <= _HALF
    if not fits:
        raise invalid(f"{member} must be at least {least:g}% and at most {_HALF:g}% of the variant's instances.")
    return float(part) / _WHOLE


def _linear(step: float) -> tuple[float, ...]:
    count = math.ceil(round(1 / step, 6))
    return (*(step * number for number in range(1, count)), 1.0)
