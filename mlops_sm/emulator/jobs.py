"""Jobs on threads of this process: each job's record follows its run, and no job outlives the account."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
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

_LOOK_AROUND: Final = 0.05
"""Seconds between looks at a waiter's stop event; the job's end is noticed at once."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFamily:
    """What differs between kinds of jobs.

    Attributes:
        kind: The kind of its entity.
        run: Runs it.
        progress: The entity after a secondary status with its message, at an epoch second.
        finish: The entity after the job's end.
    """

    kind: Kind
    run: RunJob
    progress: Callable[[Entity, str, str, float], Entity]
    finish: Callable[[Entity, JobOutcome, float], Entity]


class _Running:
    def __init__(self) -> None:
        self.stop = threading.Event()
        self.ended = threading.Event()


class Jobs:
    """Every job that runs now.

    Args:
        store: Where the records are.
        site: Where the jobs of a scope run.
        clock: The time.
    """

    def __init__(self, store: Store, site: Callable[[Scope], Site], clock: Callable[[], datetime]) -> None:
        self._store = store
        self._site = site
        self._clock = clock
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}
        self._closing = False

    def start(self, entity: Entity, request: Mapping[str, Json], family: JobFamily) -> None:
        """Run a job whose record was just added; returns at once."""
        running = _Running()
        with self._lock:
            self._running[entity.arn] = running
            if self._closing:
                running.stop.set()
        threading.Thread(
            target=self._run, args=(entity, dict(request), family, running), name=f"job {entity.name}", daemon=True
        ).start()

    def request_stop(self, arn: str) -> None:
        """Ask a job to end; nothing happens when it has ended."""
        with self._lock:
            running = self._running.get(arn)
        if running is not None:
            running.stop.set()

    def wait(self, arn: str, on_stop: Callable[[], None], stop: threading.Event) -> None:
        """Return when a job has ended.

        Args:
            arn: The job.
            on_stop: Called once when `stop` is set before the job's end.
            stop: The waiter's.
        """
        with self._lock:
            running = self._running.get(arn)
        if running is None:
            return
        while not running.ended.wait(_LOOK_AROUND):
            if stop.is_set():
                on_stop()
                break
        running.ended.wait()

    def stop_all(self) -> None:
        """Ask every job to end and mark it as stopping; one that starts later is stopped at once."""
        with self._lock:
            self._closing = True
            running = list(self._running.items())
        for arn, job in running:
            self._change(arn, lambda entity: entity.with_body({}, modified=self._now(), status=STOPPING))
            job.stop.set()

    def wait_all(self, timeout: float | None) -> bool:
        """Whether every job has ended after at most so many seconds; None waits for ever."""
        with self._lock:
            running = list(self._running.values())
        deadline = None if timeout is None else time.monotonic() + timeout
        return all(
            job.ended.wait(None if deadline is None else max(0.0, deadline - time.monotonic())) for job in running
        )

    def _run(self, entity: Entity, request: dict[str, Json], family: JobFamily, running: _Running) -> None:
        def on_status(status: str, message: str) -> None:
            try:
                self._change(entity.arn, lambda current: family.progress(current, status, message, self._now()))
            except sqlite3.Error as error:
                # The job goes on; its end is shown whatever the disk says.
                _log.warning("status %s of job %s could not be written down: %s", status, entity.name, error)

        try:
            started = self._clock()
            try:
                outcome = family.run(
                    request,
                    name=entity.name,
                    arn=entity.arn,
                    site=self._site(entity.scope),
                    stop=running.stop,
                    on_status=on_status,
                )
            except Exception as error:
                _log.exception("job %s failed inside the local account", entity.name)
                reason = f"InternalServerError: the local account failed to run the job: {error}"
                outcome = JobOutcome(
                    status=JobStatus.FAILED, started=started, ended=self._clock(), failure_reason=reason[:1024]
                )
            if self._closing and outcome.status is JobStatus.FAILED:
                # It was killed because it did not end in time, which is what its owner asked for.
                outcome = replace(
                    outcome, status=JobStatus.STOPPED, failure_reason=None, secondary_status=JobStatus.STOPPED.value
                )
            self._store.end(entity.arn, lambda current: family.finish(current, outcome, self._now()))
        finally:
            with self._lock:
                self._running.pop(entity.arn, None)
            running.ended.set()

    def _change(self, arn: str, change: Callable[[Entity], Entity]) -> None:
        with self._store.transaction():
            entity = self._store.by_arn(arn)
            if entity is not None:
                self._store.save(change(entity))

    def _now(self) -> float:
        return self._clock().timestamp()
