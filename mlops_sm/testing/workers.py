"""Warm workers that outlive an account: the accounts of one test run after another use the same ones."""

from __future__ import annotations

import atexit
import os
from functools import cache

from mlops_sm.local.isolation.layer import NAMESPACES, Launch, Process, Way
from mlops_sm.local.warm import WarmWorkers


class LentWorkers(WarmWorkers):
    """Warm workers of somebody else: closing them ends the jobs that were started through them, and nothing more.

    Args:
        lender: Whose they are.
    """

    def __init__(self, lender: WarmWorkers) -> None:
        super().__init__(parallel_jobs=lender.parallel_jobs)
        self._lender = lender
        self._started: list[Process] = []

    def prewarm(self) -> None:
        """Start a worker if none runs."""
        self._lender.prewarm()

    def start(self, launch: Launch, way: Way = NAMESPACES) -> Process | None:
        """As `WarmWorkers.start`."""
        if not self._enabled:
            return None
        process = self._lender.start(launch, way)
        if process is not None:
            with self._lock:
                self._started.append(process)
                closed = not self._enabled
            if closed:
                process.kill()
        return process

    def close(self) -> None:
        """Kill the jobs that still run; jobs start cold from now on."""
        with self._lock:
            self._enabled = False
            started = tuple(self._started)
        for process in started:
            process.kill()

    @property
    def pid(self) -> int | None:
        """The worker's process id, None when none runs."""
        return self._lender.pid

    @property
    def ready(self) -> bool:
        """Whether a worker has finished importing."""
        return self._lender.ready


def lent_workers() -> LentWorkers:
    """For one account; the workers behind them end with this process."""
    return LentWorkers(_of_this_process(os.getpid()))


@cache
def _of_this_process(_pid: int) -> WarmWorkers:
    # A fork must not use its parent's: their sockets are shared.
    workers = WarmWorkers(parallel_jobs=max(os.cpu_count() or 1, 2))
    atexit.register(workers.close)
    return workers
