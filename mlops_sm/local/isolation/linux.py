"""The `namespace` layer: a mount namespace per job, on Linux, as root and as any user."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import Final

from mlops_sm.errors import Problem, RefusedError
from mlops_sm.local.environment import base_environment
from mlops_sm.local.isolation.layer import ML, SCRATCH, Fact, Launch, Process
from mlops_sm.local.isolation.worker import Worker, WorkerLostError

_ATTEMPTS: Final = 2
_PROBE_TIMEOUT: Final = 30.0


class NamespaceIsolation:
    """Starts jobs cold, each in namespaces of its own, from one small launcher process.

    A launcher that died is replaced; the jobs it ran have ended with it.

    Args:
        platform: ``sys.platform``; passed in so that the refusal elsewhere can be tested anywhere.
    """

    def __init__(self, platform: str = sys.platform) -> None:
        self._platform = platform
        self._lock = threading.Lock()
        self._probing = threading.Lock()
        self._launcher: Worker | None = None
        self._fact: Fact | None = None

    @property
    def name(self) -> str:
        """``namespace``."""
        return "namespace"

    def probe(self) -> Fact:
        """Whether a job can get its own /opt/ml here; a job that does nothing is run once to find out."""
        with self._probing:
            if self._fact is None:
                self._fact = self._try()
            return self._fact

    def run(self, launch: Launch) -> Process:
        """Start a job.

        Raises:
            RefusedError: E401, namespaces do not work here; E409, this job's could not be made.
        """
        fact = self.probe()
        if not fact.ok:
            raise RefusedError(Problem("E401", "local account -> isolation", fact.detail, fact.fix))
        return self._start(launch)

    def close(self) -> None:
        """End the launcher and every job it still runs."""
        with self._lock:
            if self._launcher is not None:
                self._launcher.close()
                self._launcher = None

    def _start(self, launch: Launch) -> Process:
        words = ""
        for _ in range(_ATTEMPTS):
            launcher = self._running()
            try:
                return launcher.start(launch)
            except WorkerLostError:
                words = launcher.last_words()
                self._drop(launcher)
        raise RefusedError(
            Problem(
                "E409",
                "local account -> isolation",
                "the process that starts jobs died" + (f": {words}" if words else ""),
                'Run "mlops-sm doctor"; if memory is short, run fewer steps at once.',
            )
        )

    def _running(self) -> Worker:
        with self._lock:
            if self._launcher is not None and not self._launcher.alive:
                self._launcher.close()
                self._launcher = None
            if self._launcher is None:
                self._launcher = Worker(base_environment(), preload=False)
            return self._launcher

    def _drop(self, launcher: Worker) -> None:
        with self._lock:
            if self._launcher is launcher:
                self._launcher = None
                launcher.close()

    def _try(self) -> Fact:
        if not self._platform.startswith("linux"):
            return Fact(
                self.name,
                ok=False,
                detail=f"a job cannot get its own {ML} on this system ({self._platform}): it takes Linux namespaces",
                fix="Run in Linux: a virtual machine, a dev container with --cap-add SYS_ADMIN, or WSL 2 on Windows.",
            )
        with tempfile.TemporaryDirectory(prefix="mlops-sm-probe-") as folder:
            root = Path(folder)
            for name in ("ml", "scratch"):
                (root / name).mkdir()
            (root / "ml" / "marker").touch()
            log = os.open(root / "log", os.O_RDWR | os.O_CREAT)
            try:
                process = self._start(
                    Launch(
                        argv=("/bin/sh", "-c", f"test -f {ML}/marker && cd {SCRATCH}"),
                        ml=root / "ml",
                        scratch=root / "scratch",
                        environment={"PATH": "/usr/bin:/bin"},
                        log=log,
                    )
                )
                ended = process.wait(_PROBE_TIMEOUT)
                process.close()
            except RefusedError as error:
                return self._cannot(error.problems[0].what)
            finally:
                os.close(log)
        if ended is None or ended.code != 0:
            return self._cannot(f"a job did not find its own {ML}")
        return Fact(self.name, ok=True, detail=f"every job gets its own {ML} ({_who()})")

    def _cannot(self, detail: str) -> Fact:
        return Fact(self.name, ok=False, detail=detail, fix=_advice(Path("/")))


def _who() -> str:
    return "mount namespace, root" if os.geteuid() == 0 else "user and mount namespace, unprivileged"


def _advice(root: Path) -> str:
    """What the administrator of this machine can do; `root` is the file system to look at."""
    if not (root / "opt").is_dir():
        return "Create the folder /opt (sudo mkdir /opt); nothing is ever written to it."
    if _reads(root / "proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"):
        return (
            "AppArmor forbids unprivileged user namespaces here: run with sudo, or allow them with "
            "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0."
        )
    if _reads(root / "proc/sys/kernel/unprivileged_userns_clone", "0"):
        return "User namespaces are off: sudo sysctl kernel.unprivileged_userns_clone=1, or run with sudo."
    if _reads(root / "proc/sys/user/max_user_namespaces", "0"):
        return "User namespaces are off: sudo sysctl user.max_user_namespaces=10000, or run with sudo."
    if (root / ".dockerenv").exists() or (root / "run/.containerenv").exists():
        return (
            "This is a container that forbids namespaces: start it with --cap-add SYS_ADMIN (as root) or with "
            "--security-opt seccomp=unconfined (as a user)."
        )
    return "Allow user namespaces for this user, or run as root."


def _reads(path: Path, value: str) -> bool:
    try:
        return path.read_text().strip() == value
    except OSError:
        return False
