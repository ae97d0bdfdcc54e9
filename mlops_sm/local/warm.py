"""Warm workers: processes with the numeric libraries imported, from which Python jobs fork in milliseconds."""

from __future__ import annotations

import importlib.metadata
import itertools
import re
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mlops_sm.local.environment import base_environment, is_read_at_start
from mlops_sm.local.isolation.layer import ML, NAMESPACES, SCRATCH, Fact, Launch, Process, Way
from mlops_sm.local.isolation.worker import Worker, WorkerLostError

_DISTRIBUTIONS: Final = ("numpy", "pandas", "scikit-learn", "joblib")
_PRELOADED: Final = frozenset({"numpy", "pandas", "sklearn", "joblib", "scipy", "xgboost"})
_PYTHONS: Final = frozenset({"python", "python3", f"python3.{sys.version_info.minor}"})
_IMPORT: Final = re.compile(rb"^[ \t]*(?:from[ \t]+([A-Za-z_]\w*)|import[ \t]+([A-Za-z_][\w., \t]*))", re.MULTILINE)
_SCANNED_FILES: Final = 200
_SCANNED_BYTES: Final = 1_000_000

_LOSSES_TOLERATED: Final = 3
"""Workers that may die before they are ready until jobs start cold for good."""


class WarmWorkers:
    """One warm worker, started when first needed and replaced when it dies.

    Args:
        parallel_jobs: How many jobs share the machine's cores; decides how many threads the numeric libraries use.
        enabled: False starts every job cold.
    """

    def __init__(self, *, parallel_jobs: int | None = None, enabled: bool = True) -> None:
        self.parallel_jobs = parallel_jobs
        self._lock = threading.Lock()
        self._worker: Worker | None = None
        self._enabled = enabled
        self._losses = 0

    def prewarm(self) -> None:
        """Start a worker if none runs; it imports while the caller goes on."""
        self._running()

    def start(self, launch: Launch, way: Way = NAMESPACES) -> Process | None:
        """Start a Python script as a fork of the worker; None when the job must start cold.

        A job starts cold when its command is not ``python script.py ...``, when a variable it needs is read only at a
        process's start, when its script imports nothing that is worth forking for, and when workers keep dying.

        Raises:
            RefusedError: E409, the job's namespace could not be made.
        """
        if not self._enabled or not self._suits(launch):
            return None
        for _ in range(2):
            worker = self._running()
            if worker is None:
                return None
            try:
                process = worker.start(launch, way)
            except WorkerLostError:
                self._drop(worker)
            else:
                self._losses = 0
                return process
        return None

    def close(self) -> None:
        """End the worker and every job it still runs; jobs start cold from now on."""
        with self._lock:
            self._enabled = False
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    @property
    def pid(self) -> int | None:
        """The worker's process id, None when none runs."""
        worker = self._worker
        return worker.pid if worker is not None and worker.alive else None

    @property
    def ready(self) -> bool:
        """Whether a worker has finished importing."""
        worker = self._worker
        return worker is not None and worker.alive and worker.loaded is not None

    def _running(self) -> Worker | None:
        with self._lock:
            if self._worker is not None and not self._worker.alive:
                self._forget(self._worker)
            if self._worker is None and self._enabled and self._losses < _LOSSES_TOLERATED:
                self._worker = Worker(base_environment(parallel_jobs=self.parallel_jobs), preload=True)
            return self._worker

    def _drop(self, worker: Worker) -> None:
        with self._lock:
            if self._worker is worker:
                self._forget(worker)

    def _forget(self, worker: Worker) -> None:
        self._losses += worker.loaded is None
        self._worker = None
        worker.close()

    def _suits(self, launch: Launch) -> bool:
        match launch.argv:
            case (program, script, *_) if script.endswith(".py") and Path(program).name in _PYTHONS:
                if Path(program).parent not in {Path(), Path(sys.executable).parent}:
                    return False
            case _:
                return False
        if self._starts_differently(launch.environment):
            return False
        imported = imports_of(_on_the_machine(launch))
        if imported & _PRELOADED:
            return True
        # A bare interpreter starts faster than a big process forks; third-party packages may import what is warm.
        return self.ready and not imported <= sys.stdlib_module_names

    def _starts_differently(self, environment: Mapping[str, str]) -> bool:
        ours = base_environment(parallel_jobs=self.parallel_jobs)
        return any(
            is_read_at_start(name) and ours.get(name) != value and not _is_own_path(name, value)
            for name, value in environment.items()
        ) or any(is_read_at_start(name) and name not in environment for name in ours)


def imports_of(script: Path) -> frozenset[str]:
    """The top-level names that a script and the Python files beside it import, found by their text.

    Names of modules beside the script are left out. A file that cannot be read imports nothing.
    """
    try:
        files = list(itertools.islice(script.parent.rglob("*.py"), _SCANNED_FILES)) if script.is_file() else []
    except OSError:
        files = []
    names: set[str] = set()
    budget = _SCANNED_BYTES
    for file in [script, *files]:
        try:
            source = file.read_bytes()[:budget]
        except OSError:
            continue
        budget -= len(source)
        for package, modules in _IMPORT.findall(source):
            words = [package] if package else [part.split()[0] for part in modules.split(b",") if part.split()]
            names |= {word.partition(b".")[0].decode(errors="replace") for word in words}
    beside = {file.stem for file in files} | {file.parent.name for file in files}
    return frozenset(names - beside)


def probe() -> list[Fact]:
    """What a warm worker would have imported, for `doctor`."""
    found, missing = [], []
    for name in _DISTRIBUTIONS:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    fix = f"Install them for this interpreter: python -m pip install {' '.join(missing)}" if missing else ""
    detail = ", ".join(found) or "none of the numeric libraries is installed"
    if missing and found:
        detail += f"; missing: {', '.join(missing)}"
    return [Fact("warm workers", ok=not missing, detail=detail, fix=fix)]


def _on_the_machine(launch: Launch) -> Path:
    """Where the script that the job names is outside its namespace."""
    path = Path(launch.cwd, launch.argv[1])
    for seen, place in ((ML, launch.ml), (SCRATCH, launch.scratch)):
        if path.is_relative_to(seen):
            return place / path.relative_to(seen)
    return path


def _is_own_path(name: str, value: str) -> bool:
    """Script mode's PYTHONPATH, which a fork can honour."""
    return name == "PYTHONPATH" and value == f"{ML}/code"
