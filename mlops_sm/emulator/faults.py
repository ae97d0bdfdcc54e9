"""Faults that tests plant: what goes wrong with calls that create something, and with the jobs that they start.

An account has none unless somebody plants them. They are asked for in two places: where an operation is performed, and
where a job begins.
"""

from __future__ import annotations

import threading
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final, assert_never

from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import AwsError
from mlops_sm.local.faults import FaultKind, JobFault, JobFaults

_CREATE: Final = "Create"
_OF_CALLS: Final = frozenset({FaultKind.THROTTLING, FaultKind.SERVICE_FAULT, FaultKind.RESOURCE_LIMIT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One planted fault.

    Attributes:
        kind: What goes wrong.
        name: The step or the thing that is created, with ``*``, ``?`` and ``[...]`` as in file names.
        times: How often it goes wrong.
        attempt: The first attempt that it may happen to; further ones follow at once.
        after_lines: Of what happens to a running job: after so many lines of its log.
        host: Whose log that is; it is the one that is killed.
        seconds: For how long there is no spot capacity; None until the job has waited too long.
    """

    kind: FaultKind
    name: str
    times: int = 1
    attempt: int = 1
    after_lines: int = 0
    host: str = "algo-1"
    seconds: float | None = None

    @classmethod
    def of(cls, members: Mapping[str, Any]) -> Fault:
        """Read what `asdict` gives.

        Raises:
            ValueError: It is none.
        """
        try:
            fault = cls(**{**members, "kind": FaultKind(members["kind"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"that is no fault: {error}") from error
        for name, least in (("times", 1), ("attempt", 1), ("after_lines", 0)):
            value = getattr(fault, name)
            if type(value) is not int or value < least:
                raise ValueError(f"{name} is a whole number of at least {least}, not {value!r}")
        seconds = members.get("seconds")
        is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if seconds is not None and not (is_number and seconds >= 0):
            raise ValueError(f"seconds is a number of at least 0, not {seconds!r}")
        if not all(isinstance(members.get(name, ""), str) for name in ("name", "host")):
            raise ValueError("name and host are text")
        return fault


@dataclass(slots=True)
class _Planted:
    fault: Fault
    seen: int = 0
    begun: int = 0
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.fault.times


class Faults:
    """What is planted. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planted: list[_Planted] = []

    def plant(self, fault: Fault) -> None:
        """Have something go wrong from now on."""
        with self._lock:
            self._planted.append(_Planted(fault))

    def pending(self) -> list[dict[str, Any]]:
        """What has not happened as often as it was planted; `times` says how often it has not."""
        with self._lock:
            missing = [(each.fault, each.left + each.begun) for each in self._planted]
        return [{**asdict(fault), "times": times} for fault, times in missing if times]

    def clear(self) -> None:
        """Nothing more goes wrong."""
        with self._lock:
            self._planted.clear()

    def check_call(self, operation: str, request: Mapping[str, Json], step: str) -> None:
        """Refuse a call that creates something if that is planted; in the service's words.

        Args:
            operation: E.g. ``CreateTrainingJob``.
            request: The request.
            step: The step that calls; empty when nobody's step does.

        Raises:
            AwsError: ThrottlingException, InternalFailure or ResourceLimitExceeded.
        """
        if not self._planted or not operation.startswith(_CREATE):
            return
        noun = operation.removeprefix(_CREATE)
        planted = self.take(_OF_CALLS, (step, str(request.get(f"{noun}Name", ""))))
        if planted is not None:
            self.happened(planted)
            raise _refusal(planted.fault.kind, noun, request)

    def of_job(self, *names: str) -> JobFaults:
        """What goes wrong with a job.

        Args:
            *names: The job's and that of the step that it is of.
        """
        return _OfJob(self, names)

    def take(self, able: Container[FaultKind], names: Sequence[str]) -> _Planted | None:
        """One more attempt at something begins: what is to happen to it, None when nothing is.

        Args:
            able: The kinds that can happen to it.
            names: What it is called; empty ones are none.
        """
        with self._lock:
            taken = None
            for each in self._planted:
                if each.fault.kind not in able or not any(
                    name and fnmatchcase(name, each.fault.name) for name in names
                ):
                    continue
                each.seen += 1
                if taken is None and each.left and each.seen >= each.fault.attempt:
                    each.left -= 1
                    each.begun += 1
                    taken = each
            return taken

    def happened(self, planted: _Planted) -> None:
        """What was taken has happened."""
        with self._lock:
            planted.begun -= 1


@dataclass(frozen=True, slots=True)
class _OfJob:
    faults: Faults
    names: Sequence[str]

    def next(self, able: Container[FaultKind]) -> JobFault | None:
        """What goes wrong with the instances that start now."""
        planted = self.faults.take(able, self.names)
        if planted is None:
            return None
        fault = planted.fault
        return JobFault(
            kind=fault.kind,
            after_lines=fault.after_lines,
            host=fault.host,
            seconds=fault.seconds,
            happened=lambda: self.faults.happened(planted),
        )


def _refusal(kind: FaultKind, noun: str, request: Mapping[str, Json]) -> AwsError:
    match kind:
        case FaultKind.THROTTLING:
            return AwsError("ThrottlingException", "Rate exceeded")
        case FaultKind.SERVICE_FAULT:
            # API reference, Common Errors.
            what = "The request processing has failed because of an unknown error, exception or failure."
            return AwsError("InternalFailure", what, 500)
        case FaultKind.RESOURCE_LIMIT:
            return AwsError("ResourceLimitExceeded", _limit(noun, request))
        case FaultKind.CAPACITY | FaultKind.INTERNAL_ERROR | FaultKind.SPOT_INTERRUPTION | FaultKind.KILL:
            raise ValueError(f"{kind} happens to jobs, not to calls")
        case _:
            assert_never(kind)


def _limit(noun: str, request: Mapping[str, Json]) -> str:
    """As the service words it (e.g. zenml-io/zenml #847, gabehollombe-aws/jupyter-notebooks #1)."""
    cluster = (request.get("ProcessingResources") or {}).get("ClusterConfig")
    resources = request.get("ResourceConfig") or cluster or request.get("TransformResources") or {}
    usage = {"TrainingJob": "training job", "ProcessingJob": "processing job", "TransformJob": "transform job"}
    what = f"{resources.get('InstanceType', 'ml.m5.large')} for {usage.get(noun, noun)} usage"
    delta = resources.get("InstanceCount", 1)
    return (
        f"The account-level service limit '{what}' is 0 Instances, with current utilization of 0 Instances and a "
        f"request delta of {delta} Instances. Please contact AWS support to request an increase for this limit."
    )
