"""The instances of one job: a process each, in a folder each, that end together."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from mlops_sm.local.jobs.attend import Asked, Cause, Command, Ending, run_command
from mlops_sm.local.jobs.folder import JobFolder
from mlops_sm.local.jobs.metrics import MetricScanner
from mlops_sm.local.site import Site

_GONE: Final = frozenset({Cause.INTERRUPTED, Cause.BROKEN, Cause.LOST})


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One instance of a job.

    Attributes:
        host: Its name.
        folder: Its folder.
        command: What it runs.
        scanner: Reads its log.
    """

    host: str
    folder: JobFolder
    command: Command
    scanner: MetricScanner


@dataclass(frozen=True, slots=True)
class ClusterEnding:
    """The end of all instances.

    Attributes:
        ending: What decides about the job: that of an instance that was lost, the first end that was not good, or the
            last good one.
        folder: Of the instance that ended so.
    """

    ending: Ending
    folder: JobFolder


def run_cluster(instances: Sequence[Instance], site: Site, *, stop: Asked) -> ClusterEnding:
    """Run every instance's command to its end; when one ends badly, the others are stopped.

    Args:
        instances: At least one.
        site: The machinery.
        stop: Asked again and again whether to end them.

    Raises:
        JobFailureError: One could not be started.
    """
    if len(instances) == 1:
        (only,) = instances
        ending = run_command(only.command, only.folder, site, stop=stop, scanner=only.scanner)
        return ClusterEnding(ending, only.folder)
    return _Cluster(instances, site, stop).run()


class _Cluster:
    def __init__(self, instances: Sequence[Instance], site: Site, stop: Asked) -> None:
        self._instances = instances
        self._site = site
        self._stop = stop
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._ends: list[ClusterEnding] = []
        self._errors: list[Exception] = []

    def is_set(self) -> bool:
        """Whether the instances are to end: somebody asked, or one of them has ended badly."""
        return self._over.is_set() or self._stop.is_set()

    def run(self) -> ClusterEnding:
        threads = [
            threading.Thread(target=self._run, args=(instance,), name=f"instance {instance.host}", daemon=True)
            for instance in self._instances
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._errors:
            raise self._errors[0]
        # An instance that was taken away or lost may have been noticed by another one first.
        bad = [end for end in self._ends if end.ending.cause in _GONE]
        bad += [end for end in self._ends if not _is_good(end.ending)]
        decides = bad[0] if bad else self._ends[-1]
        started = min(end.ending.started for end in self._ends)
        ended = max(end.ending.ended for end in self._ends)
        return replace(decides, ending=replace(decides.ending, started=started, ended=ended))

    def _run(self, instance: Instance) -> None:
        try:
            ending = run_command(
                instance.command,
                instance.folder,
                self._site,
                stop=self,
                scanner=instance.scanner,
                interrupted=self._over.set,
            )
        except Exception as error:
            self._over.set()
            with self._lock:
                self._errors.append(error)
            return
        with self._lock:
            self._ends.append(ClusterEnding(ending, instance.folder))
        if not _is_good(ending):
            self._over.set()


def _is_good(ending: Ending) -> bool:
    return ending.cause is Cause.EXITED and ending.code == 0
