"""What processing and training jobs share around their process: their folder, their end and how a failure is worded."""

from __future__ import annotations

import errno
import shutil
import threading
from collections.abc import Callable, Container
from dataclasses import dataclass
from datetime import datetime
from typing import Final, assert_never

from mlops_sm.local.faults import INTERNAL_ERROR, NO_CAPACITY, FaultKind, JobFault
from mlops_sm.local.jobs.attend import Cause, Ending
from mlops_sm.local.jobs.folder import JobFailureError, JobFolder
from mlops_sm.local.jobs.outcome import JobOutcome, JobStatus, Metric
from mlops_sm.local.jobs.transfer import no_space
from mlops_sm.local.site import Site

MAX_REASON: Final = 1024
"""Characters of FailureReason."""
MAX_RUNTIME_EXCEEDED: Final = "MaxRuntimeExceeded"
INSTANCE_FAULTS: Final = frozenset({FaultKind.CAPACITY, FaultKind.INTERNAL_ERROR, FaultKind.KILL})
"""What can be made to go wrong with the instances of any job that has a process of its own."""
_FULL: Final = 1 << 20
"""A disk with fewer free bytes than this is what made a job fail."""


class JobStoppedError(Exception):
    """The job was stopped before its process started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRun:
    """One run of one job: who is told, and what ends it."""

    name: str
    site: Site
    stop: threading.Event
    on_status: Callable[[str, str], None]

    def guarded(self, run: Callable[[JobFolder], JobOutcome]) -> JobOutcome:
        """Run the job in a folder that is removed afterwards; a failure is an outcome."""
        started = self.site.clock()
        folder = JobFolder(self.site.jobs / self.name)
        try:
            JobFolder.create(self.site.jobs, self.name)
            outcome = run(folder)
        except JobStoppedError:
            outcome = self.without_process(JobStatus.STOPPED, started, None)
        except JobFailureError as error:
            outcome = self.without_process(JobStatus.FAILED, started, error.reason[:MAX_REASON])
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            outcome = self.without_process(JobStatus.FAILED, started, f"ClientError: {no_space(folder.root)}")
        finally:
            if not self.site.keep:
                folder.remove()
        self.on_status(outcome.secondary_status, outcome.failure_reason or f"Job {outcome.status.lower()}")
        return outcome

    def check_stop(self) -> None:
        """Raise JobStoppedError when the job was asked to stop."""
        if self.stop.is_set():
            raise JobStoppedError

    def fault(self, able: Container[FaultKind] = INSTANCE_FAULTS) -> JobFault | None:
        """What goes wrong with the instances that start now, if it happens to their process.

        Args:
            able: The kinds that can happen to them.

        Raises:
            JobFailureError: There is no capacity for them.
        """
        fault = self.site.faults.next(able)
        if fault is not None and fault.kind is FaultKind.CAPACITY:
            fault.happened()
            raise JobFailureError(NO_CAPACITY)
        return fault

    def outcome(
        self,
        status: JobStatus,
        ending: Ending,
        reason: str | None,
        *,
        exit_message: str | None = None,
        model_artifacts: str | None = None,
        metrics: tuple[Metric, ...] = (),
    ) -> JobOutcome:
        """The outcome of a job whose process ran."""
        timed_out = status is JobStatus.STOPPED and ending.cause is Cause.TIMED_OUT
        return JobOutcome(
            status=status,
            started=ending.started,
            ended=ending.ended,
            failure_reason=None if reason is None else reason[:MAX_REASON],
            exit_message=exit_message,
            model_artifacts=model_artifacts,
            metrics=metrics,
            exit_code=ending.code,
            secondary_status=MAX_RUNTIME_EXCEEDED if timed_out else status.value,
        )

    def without_process(self, status: JobStatus, started: datetime, reason: str | None) -> JobOutcome:
        """The outcome of a job that no process of its own decides: none was started, or a server did its work."""
        return JobOutcome(
            status=status,
            started=started,
            ended=self.site.clock(),
            failure_reason=reason,
            secondary_status=status.value,
        )


def failure_of(ending: Ending, message: str, folder: JobFolder) -> str:
    """FailureReason of a process that did not end well."""
    match ending.cause:
        case Cause.LOG_FULL:
            return f"ClientError: {no_space(folder.log)}; the log is incomplete and the job was stopped"
        case Cause.LOST:
            return f"InternalServerError: {ending.detail}; the job was killed. Please try again."
        case Cause.BROKEN:
            return INTERNAL_ERROR
        case Cause.EXITED | Cause.STOPPED | Cause.TIMED_OUT | Cause.INTERRUPTED:
            full = shutil.disk_usage(folder.root).free < _FULL
            text = f"{message} - {no_space(folder.root)}" if full else message
            # The exit code is the part that must survive the cut.
            tail = f", exit code: {ending.code}"
            return f"AlgorithmError: {text}"[: MAX_REASON - len(tail)] + tail
        case _:
            assert_never(ending.cause)
