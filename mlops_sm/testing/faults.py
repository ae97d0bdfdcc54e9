"""Faults that a test plants into an account: what AWS does now and then, at a moment of the test's choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from mlops_sm.local.faults import FaultKind


class Planting(Protocol):
    """Where faults are planted: an account of this process, or one of its own."""

    def plant(self, fault: Mapping[str, Any]) -> None:
        """Have something go wrong from now on. Raises ValueError."""

    def pending(self) -> Sequence[Mapping[str, Any]]:
        """What has not happened as often as it was planted."""

    def clear(self) -> None:
        """Nothing more goes wrong."""


class Faults:
    """What is to go wrong in an account.

    Each fault is for what goes by a name: a pipeline's step, or the job, model or model package group that a call
    creates. Names may hold ``*``, ``?`` and ``[...]`` as in file names: ``"Train-*"`` is every iteration of a ForEach
    step's ``Train``, ``"search-*"`` every training job of a tuning job. A fault happens `times` times, to attempt after
    attempt from the one that `attempt` counts. What an attempt is: a call for what refuses calls, a start of the job's
    instances for what happens to them. The first fault that fits is the one that happens; the next attempt meets the
    next one.
    """

    def __init__(self, planting: Planting) -> None:
        """Use `OpenAccount.faults`."""
        self._planting = planting

    def throttle(self, name: str, *, times: int = 1, attempt: int = 1) -> None:
        """Refuse the call with ThrottlingException, "Rate exceeded" (Step.THROTTLING for retry policies).

        Clients of boto3 try again by themselves, each time against a further attempt.

        Raises:
            ValueError: `times` or `attempt` is below 1.
        """
        self._plant(FaultKind.THROTTLING, name, times=times, attempt=attempt)

    def service_fault(self, name: str, *, times: int = 1, attempt: int = 1) -> None:
        """Refuse the call with InternalFailure, HTTP status 500 (Step.SERVICE_FAULT).

        Clients of boto3 try again by themselves, each time against a further attempt.

        Raises:
            ValueError: `times` or `attempt` is below 1.
        """
        self._plant(FaultKind.SERVICE_FAULT, name, times=times, attempt=attempt)

    def resource_limit(self, name: str, *, times: int = 1, attempt: int = 1) -> None:
        """Refuse the call with ResourceLimitExceeded (SageMaker.RESOURCE_LIMIT).

        Raises:
            ValueError: `times` or `attempt` is below 1.
        """
        self._plant(FaultKind.RESOURCE_LIMIT, name, times=times, attempt=attempt)

    def capacity(self, name: str, *, times: int = 1, attempt: int = 1, seconds: float | None = None) -> None:
        """Have no instances for the job: it fails with CapacityError (SageMaker.CAPACITY_ERROR).

        A training job on managed spot instances waits for them instead.

        Args:
            name: See the class.
            times: See the class.
            attempt: See the class.
            seconds: How long spot instances are waited for, by the account's clock; None until MaxWaitTimeInSeconds is
                over.

        Raises:
            ValueError: `times` or `attempt` is below 1, or `seconds` is negative.
        """
        self._plant(FaultKind.CAPACITY, name, times=times, attempt=attempt, seconds=seconds)

    def internal_error(self, name: str, *, after_lines: int = 0, times: int = 1, attempt: int = 1) -> None:
        """Lose the job's instances: it fails with InternalServerError (SageMaker.JOB_INTERNAL_ERROR).

        A training job with a RetryStrategy starts again instead, with its checkpoints.

        Args:
            name: See the class.
            after_lines: After so many lines of its log; 0 is right after its start.
            times: See the class.
            attempt: See the class.

        Raises:
            ValueError: `times` or `attempt` is below 1, or `after_lines` is negative.
        """
        self._plant(FaultKind.INTERNAL_ERROR, name, times=times, attempt=attempt, after_lines=after_lines)

    def interrupt_spot(
        self, name: str, *, after_lines: int = 0, seconds: float = 0.0, times: int = 1, attempt: int = 1
    ) -> None:
        """Take the spot instances of a training job away: SIGTERM, and SIGKILL if it does not end.

        It is Interrupted and starts again with its checkpoints. Nothing happens to jobs that do not use managed spot
        training.

        Args:
            name: See the class.
            after_lines: After so many lines of its log; 0 is right after its start.
            seconds: How long there are no other instances, by the account's clock.
            times: See the class.
            attempt: See the class.

        Raises:
            ValueError: `times` or `attempt` is below 1, or `after_lines` or `seconds` is negative.
        """
        self._plant(
            FaultKind.SPOT_INTERRUPTION,
            name,
            times=times,
            attempt=attempt,
            after_lines=after_lines,
            seconds=seconds,
        )

    def kill(self, name: str, *, after_lines: int = 0, host: str = "algo-1", times: int = 1, attempt: int = 1) -> None:
        """Kill the program of a processing or training job with SIGKILL, and all that it has started.

        Args:
            name: See the class.
            after_lines: After so many lines of its log; 0 is right after its start.
            host: On which instance.
            times: See the class.
            attempt: See the class.

        Raises:
            ValueError: `times` or `attempt` is below 1, or `after_lines` is negative.
        """
        self._plant(FaultKind.KILL, name, times=times, attempt=attempt, after_lines=after_lines, host=host)

    @property
    def pending(self) -> tuple[str, ...]:
        """What has not happened as often as it was planted, e.g. ``2 x throttling of Train``; empty when all has."""
        return tuple(f"{each['times']} x {each['kind']} of {each['name']}" for each in self._planting.pending())

    def clear(self) -> None:
        """Nothing more goes wrong."""
        self._planting.clear()

    def _plant(self, kind: FaultKind, name: str, **members: float | str | None) -> None:
        self._planting.plant({"kind": kind.value, "name": name, **members})
