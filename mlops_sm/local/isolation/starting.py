"""What the layers share: one small process that starts jobs cold, a probe that is made once, and a trial job."""

from __future__ import annotations

import os
import tempfile
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Final

from mlops_sm.errors import Problem, RefusedError
from mlops_sm.local.environment import base_environment
from mlops_sm.local.isolation.layer import ML, SCRATCH, Capabilities, Fact, Forks, Launch, Process, Way
from mlops_sm.local.isolation.worker import Worker, WorkerLostError

_ATTEMPTS: Final = 2
_TRIAL_TIMEOUT: Final = 30.0
WHERE: Final = "local account -> isolation"


class Launcher:
    """Starts jobs cold, from one small process. One that died is replaced; the jobs it ran have ended with it.

    Args:
        through: A command that starts it as root, e.g. ``sudo -n --``.
    """

    def __init__(self, through: tuple[str, ...] = ()) -> None:
        self._through = through
        self._lock = threading.Lock()
        self._worker: Worker | None = None

    def start(self, launch: Launch, way: Way) -> Process:
        """Start a job.

        Raises:
            RefusedError: E409, it could not be started.
        """
        words = ""
        for _ in range(_ATTEMPTS):
            worker = None
            try:
                worker = self._running()
                return worker.start(launch, way)
            except WorkerLostError as error:
                words = str(error)
                if worker is not None:
                    words = worker.last_words()
                    self._drop(worker)
        raise RefusedError(
            Problem(
                "E409",
                WHERE,
                "the process that starts jobs died" + (f": {words}" if words else ""),
                'Run "mlops-sm doctor"; if memory is short, run fewer steps at once.',
            )
        )

    @property
    def pid(self) -> int | None:
        """The process's id, None while there is none."""
        worker = self._worker
        return None if worker is None else worker.pid

    def close(self) -> None:
        """End the process and every job it still runs."""
        with self._lock:
            if self._worker is not None:
                self._worker.close()
                self._worker = None

    def _running(self) -> Worker:
        with self._lock:
            if self._worker is not None and not self._worker.alive:
                self._worker.close()
                self._worker = None
            if self._worker is None:
                self._worker = Worker(base_environment(), preload=False, through=self._through)
            return self._worker

    def _drop(self, worker: Worker) -> None:
        with self._lock:
            if self._worker is worker:
                self._worker = None
                worker.close()


class Layer(ABC):
    """One way to isolate jobs, by processes that a `Launcher` starts; implements `Isolation`.

    Args:
        launcher: Starts its jobs; closed with it.
    """

    takes_containers: ClassVar[bool] = False
    """Whether it runs images as they are."""

    def __init__(self, launcher: Launcher | None = None) -> None:
        self._launcher = launcher or Launcher()
        self._probing = threading.Lock()
        self._fact: Fact | None = None

    @property
    @abstractmethod
    def name(self) -> str:
        """The layer's name as `doctor` shows it."""

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What else it gives a job."""

    @abstractmethod
    def _try(self) -> Fact:
        """Find out whether it works here."""

    @abstractmethod
    def _begin(self, launch: Launch, forks: Forks | None) -> Process:
        """Start a job; the layer works here."""

    def probe(self) -> Fact:
        """Whether a job can get its own /opt/ml here; found out once."""
        with self._probing:
            if self._fact is None:
                self._fact = self._try()
            return self._fact

    def refusal(self) -> Problem | None:
        """E401 with what the probe found, None when jobs can run."""
        fact = self.probe()
        return None if fact.ok else Problem("E401", WHERE, fact.detail, fact.fix)

    def run(self, launch: Launch, forks: Forks | None = None) -> Process:
        """Start a job.

        Raises:
            RefusedError: E401, the layer does not work here; E409, this job could not get its own /opt/ml.
        """
        problem = self.refusal()
        if problem is not None:
            raise RefusedError(problem)
        if launch.container is not None and not self.takes_containers:
            what = f'image {launch.container.image} is to run in {launch.container.engine}, not by "{self.name}"'
            raise RefusedError(Problem("E436", WHERE, what, "Let what chooses between the two start it."))
        return self._begin(launch, forks)

    def close(self) -> None:
        """End the processes of the layer and every job they still run."""
        self._launcher.close()

    def _trial(self) -> str:
        """Run a job that looks for its own folder; why it did not find it, empty when it did."""
        with tempfile.TemporaryDirectory(prefix="mlops-sm-probe-") as folder:
            root = Path(folder)
            for name in ("ml", "scratch"):
                (root / name).mkdir()
            (root / "ml" / "marker").touch()
            log = os.open(root / "log", os.O_RDWR | os.O_CREAT)
            try:
                process = self._begin(
                    Launch(
                        argv=("/bin/sh", "-c", f"test -f {ML}/marker && cd {SCRATCH} && : > {ML}/written"),
                        ml=root / "ml",
                        scratch=root / "scratch",
                        environment={"PATH": "/usr/bin:/bin"},
                        log=log,
                    ),
                    None,
                )
                ended = process.wait(_TRIAL_TIMEOUT)
                process.close()
            except RefusedError as error:
                return error.problems[0].what
            finally:
                os.close(log)
            if ended is None or ended.code != 0:
                return f"a job did not find its own {ML}"
            if (root / "ml" / "written").stat().st_uid != os.geteuid():
                return f"what a job writes to {ML} belongs to somebody else"
        return ""
