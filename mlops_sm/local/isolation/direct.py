"""The `direct` layer: /opt/ml is a symbolic link that leads to the one job that runs.

For machines that allow no namespaces but where /opt/ml can be made: root in a plain container. And for those where an
administrator made it once, as a link to a path of the user's. Whatever else is at /opt/ml is never touched.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlops_sm.errors import Problem, RefusedError
from mlops_sm.local.isolation.layer import ML, Capabilities, Fact, Forks, Launch, Process, Way
from mlops_sm.local.isolation.rewriting import Rewriting
from mlops_sm.local.isolation.starting import WHERE, Layer

_OURS: Final = "mlops-sm-direct-"
"""What a folder is called that our links lead through, so that one that a killed process left is known as ours."""
_LOOK_AROUND: Final = 0.02
_PATIENCE: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the link is swapped.

    Attributes:
        link: /opt/ml, or the path that it leads to.
    """

    link: Path


@dataclass(frozen=True, slots=True)
class NoPlace:
    """Why there is none, and what would help."""

    reason: str
    fix: str


class DirectIsolation(Layer):
    """Runs one job at a time, of all processes on this machine.

    Args:
        ml: The path that jobs use.
        home: The user's home folder, for what a prepared link may lead to.
        patience: Seconds to wait until another process's job has ended.
    """

    def __init__(self, ml: Path = Path(ML), home: Path | None = None, patience: float = _PATIENCE) -> None:
        super().__init__()
        self._ml = ml
        self._home = home
        self._patience = patience
        self._numbers = itertools.count(1)
        self._making = threading.Lock()
        self._folder: Path | None = None

    @property
    def name(self) -> str:
        """``direct``."""
        return "direct"

    @property
    def capabilities(self) -> Capabilities:
        """One job at a time, with the machine's network, host names and rights."""
        return Capabilities(parallel=1, network=False, hosts=False, read_only=False, mounts=False)

    def close(self) -> None:
        """End the processes of the layer and every job they still run."""
        super().close()
        with self._making:
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder = None

    def _begin(self, launch: Launch, forks: Forks | None) -> Process:
        found = find_place(self._ml, self._prepared())
        if isinstance(found, NoPlace):
            raise RefusedError(Problem("E409", WHERE, found.reason, found.fix))
        lock = self._acquire(found.link.parent)
        try:
            # Who held it before may have left something else there.
            found = find_place(self._ml, self._prepared())
            if isinstance(found, NoPlace):
                raise RefusedError(Problem("E409", WHERE, found.reason, found.fix))
            links = self._links() / str(next(self._numbers))
            links.mkdir()
            (links / "ml").symlink_to(launch.ml.absolute())
            # Short, because a socket's path has 108 bytes.
            (links / "s").symlink_to(launch.scratch.absolute())
            here = Rewriting.of(scratch=str(links / "s")).launch(launch)
            way = Way(link=(str(found.link), str(links / "ml")), lock=lock)
            process = forks.start(here, way) if forks is not None else None
            return process if process is not None else self._launcher.start(here, way)
        finally:
            os.close(lock)

    def _try(self) -> Fact:
        found = find_place(self._ml, self._prepared())
        if isinstance(found, NoPlace):
            return Fact(self.name, ok=False, detail=found.reason, fix=found.fix)
        return Fact(
            self.name, ok=True, detail=f"one job at a time gets {ML}, by the link {found.link} that leads to its folder"
        )

    def _prepared(self) -> Path:
        """What a prepared link is advised to lead to."""
        return (self._home or Path.home()) / ".cache/mlops-sm/direct/ml"

    def _links(self) -> Path:
        with self._making:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix=_OURS))
            return self._folder

    def _acquire(self, folder: Path) -> int:
        """The lock of a place, of all processes on this machine. It is on the folder: no file is left anywhere."""
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        give_up = time.monotonic() + self._patience
        try:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() >= give_up:
                        what = f"a job of another process has had {self._ml} for {self._patience:g} seconds"
                        fix = "Wait until it has ended. Only one job at a time can run on this machine."
                        raise RefusedError(Problem("E435", WHERE, what, fix)) from None
                    time.sleep(_LOOK_AROUND)
                else:
                    return lock
        except BaseException:
            os.close(lock)
            raise


def find_place(ml: Path, prepared: Path) -> Place | NoPlace:
    """Where a link may be swapped so that `ml` leads to a job, without taking anything away that is not ours.

    Args:
        ml: The path that jobs use.
        prepared: What an administrator's link is advised to lead to.
    """
    once = f"Once, as an administrator: mkdir -p {prepared.parent} && sudo ln -s {prepared} {ml}"
    if ml.is_symlink() and not _is_ours(ml):
        path = ml.parent / ml.readlink()
        if path.is_symlink() and not _is_ours(path):
            return NoPlace(f"{ml} leads to {path}, a link that is not ours", f"Lead it to {prepared} instead.")
        if path.exists() and not path.is_symlink():
            return NoPlace(f"{ml} leads to {path}, which holds something", f"Lead it to {prepared} instead.")
        if not _is_writable(path.parent):
            return NoPlace(
                f"{ml} leads to {path}, whose folder cannot be written to", f"Make it: mkdir -p {path.parent}"
            )
        return Place(path)
    if ml.exists() and not ml.is_symlink():
        return NoPlace(f"there is something at {ml} already, and it is not touched", f"Move it away. {once}")
    if not _is_writable(ml.parent):
        return NoPlace(f"{ml} is not there and cannot be made by this user", once)
    return Place(ml)


def _is_ours(link: Path) -> bool:
    """Whether a link is one that we made, for a job that runs or as what a killed process left."""
    return any(part.startswith(_OURS) for part in link.readlink().parts)


def _is_writable(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
