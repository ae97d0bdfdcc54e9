"""Jobs on threads of this process: each job's record follows its run, and no job outlives the account.

Only so many run at once; the others wait for their turn in the order in which they came, without a thread.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Protocol

from mlops_sm.definition.document import Json
from mlops_sm.emulator.store import Entity, Kind, Scope, Store
from mlops_sm.local.jobs import JobOutcome, JobStatus
from mlops_sm.local.site import Site

_log = logging.getLogger(__name__)

IN_PROGRESS: Final = "InProgress"
STOPPING: Final = "Stopping"
ACTIVE: Final = (IN_PROGRESS, STOPPING)
"""The statuses of a job that has not ended."""


class RunJob(Protocol):
    """`local.jobs.run_processing` and its like."""

    def __call__(
        self,
        request: Mapping[str, Json],
        *,
        name: str,
        arn: str,
        site: Site,
        stop: threading.Event,
        on_status: Callable[[str, str], None],
    ) -> JobOutcome:
        """Run a job to its end."""


class SiteOf(Protocol):
    """Says where a job runs."""

    def __call__(self, scope: Scope, *names: str) -> Site:
        """The site of a scope for a job that goes by these names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFamily:
    """What differs between kinds of jobs.

    Attributes:
        kind: The kind of its entity.
        run: Runs it.
        progress: The entity after a secondary status with its message, at an epoch second.
        finish: The entity after the job's end.
        counted: Whether it takes one of the places of jobs that run at once; what only starts other jobs does not.
    """

    kind: Kind
    run: RunJob
    progress: Callable[[Entity, str, str, float], Entity]
    finish: Callable[[Entity, JobOutcome, float], Entity]
    counted: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    entity: Entity
    request: dict[str, Json]
    family: JobFamily
    stop: threading.Event
    ended: threading.Event
    on_end: Callable[[JobOutcome], None]
    step: str


class Jobs:
    """Every job that runs now or waits for its turn.

    Args:
        store: Where the records are.
        site: Where a job of a scope runs, named by the step that it is of, if it is of one, and by its own name.
        clock: The time.
        limit: How many run at once.
    """

    def __init__(self, store: Store, site: SiteOf, clock: Callable[[], datetime], *, limit: int) -> None:
        self._store = store
        self._site = site
        self._clock = clock
        self._room = limit
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}
        self._queue: deque[_Job] = deque()
        self._closing = False

    def start(
        self,
        entity: Entity,
        request: Mapping[str, Json],
        family: JobFamily,
        on_end: Callable[[JobOutcome], None] = lambda _: None,
        *,
        step: str = "",
    ) -> None:
        """Run a job whose record was just added, as soon as there is room; returns at once.

        Args:
            entity: The record.
            request: What its run is given.
            family: Its kind.
            on_end: Called once, after its end was written down.
            step: The pipeline's step that it is of; empty when it is nobody's.
        """
        job = _Job(entity, dict(request), family, threading.Event(), threading.Event(), on_end, step)
        with self._lock:
            self._jobs[entity.arn] = job
            if family.counted:
                self._queue.append(job)
            if self._closing:
                job.stop.set()
        recorded = self._store.by_arn(entity.arn)
        if recorded is not None and recorded.status == STOPPING:
            # Somebody asked between the record and here.
            self.request_stop(entity.arn)
        if family.counted:
            self._start_next()
        else:
            self._start_thread(job)

    def request_stop(self, arn: str) -> None:
        """Ask a job to end; one that still waits for its turn never runs. Nothing happens when it has ended."""
        with self._lock:
            job = self._jobs.get(arn)
            waits = job is not None and job in self._queue
            if waits and job is not None:
                self._queue.remove(job)
        if job is not None:
            job.stop.set()
            if waits:
                self._end(job, self._never_ran())

    def wait(self, arn: str) -> None:
        """Return when a job has ended."""
        with self._lock:
            job = self._jobs.get(arn)
        if job is not None:
            job.ended.wait()

    def stop_all(self) -> None:
        """Ask every job to end and mark it as stopping; one that starts later is stopped at once."""
        with self._lock:
            self._closing = True
            arns = list(self._jobs)
        for arn in arns:
            self._change(arn, lambda entity: entity.with_body({}, modified=self._now(), status=STOPPING))
            self.request_stop(arn)

    def wait_all(self, timeout: float | None) -> bool:
        """Whether every job has ended after at most so many seconds; None waits for ever."""
        with self._lock:
            jobs = list(self._jobs.values())
        deadline = None if timeout is None else time.monotonic() + timeout
        return all(job.ended.wait(None if deadline is None else max(0.0, deadline - time.monotonic())) for job in jobs)

    def _start_next(self) -> None:
        with self._lock:
            if not self._room or not self._queue:
                return
            self._room -= 1
            job = self._queue.popleft()
        self._start_thread(job)

    def _start_thread(self, job: _Job) -> None:
        threading.Thread(target=self._run, args=(job,), name=f"job {job.entity.name}", daemon=True).start()

    def _run(self, job: _Job) -> None:
        try:
            self._end(job, self._outcome(job))
        finally:
            if job.family.counted:
                with self._lock:
                    self._room += 1
                self._start_next()

    def _outcome(self, job: _Job) -> JobOutcome:
        started = self._clock()
        try:
            outcome = job.family.run(
                job.request,
                name=job.entity.name,
                arn=job.entity.arn,
                site=self._site(job.entity.scope, job.step, job.entity.name),
                stop=job.stop,
                on_status=lambda status, message: self._progress(job, status, message),
            )
        except Exception as error:
            _log.exception("job %s failed inside the local account", job.entity.name)
            reason = f"InternalServerError: the local account failed to run the job: {error}"
            outcome = JobOutcome(
                status=JobStatus.FAILED, started=started, ended=self._clock(), failure_reason=reason[:1024]
            )
        if self._closing and outcome.status is JobStatus.FAILED:
            # It was killed because it did not end in time, which is what its owner asked for.
            outcome = replace(
                outcome, status=JobStatus.STOPPED, failure_reason=None, secondary_status=JobStatus.STOPPED.value
            )
        return outcome

    def _progress(self, job: _Job, status: str, message: str) -> None:
        try:
            self._change(job.entity.arn, lambda current: job.family.progress(current, status, message, self._now()))
        except sqlite3.Error as error:
            # The job goes on; its end is shown whatever the disk says.
            _log.warning("status %s of job %s could not be written down: %s", status, job.entity.name, error)

    def _never_ran(self) -> JobOutcome:
        now = self._clock()
        return JobOutcome(status=JobStatus.STOPPED, started=now, ended=now, secondary_status=JobStatus.STOPPED.value)

    def _end(self, job: _Job, outcome: JobOutcome) -> None:
        try:
            self._store.end(job.entity.arn, lambda current: job.family.finish(current, outcome, self._now()))
        finally:
            with self._lock:
                self._jobs.pop(job.entity.arn, None)
            job.ended.set()
            job.on_end(outcome)

    def _change(self, arn: str, change: Callable[[Entity], Entity]) -> None:
        with self._store.transaction():
            entity = self._store.by_arn(arn)
            if entity is not None:
                self._store.save(change(entity))

    def _now(self) -> float:
        return self._clock().timestamp()
