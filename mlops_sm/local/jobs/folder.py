"""Where a job lives on this machine: ``<jobs>/<name>/`` with what it finds at /opt/ml, its scratch and its log."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final
from zlib import crc32

from mlops_sm.definition.document import Json
from mlops_sm.local.isolation.layer import ML

HOST: Final = "algo-1"
"""The name of a job's first instance; it has the job's own folder, the others have one in it."""
_HOSTS: Final = "algo-*"
_MAX_HOSTS: Final = 250
"""Instances of one job; each has a loopback address of its own."""

_LOG_TAIL: Final = 4096
"""Bytes of a log in which its last line is looked for."""


def host_names(count: int) -> tuple[str, ...]:
    """The names of a job's instances, sorted as in resourceconfig.json: lexicographically.

    Raises:
        JobFailureError: So many cannot be told apart here.
    """
    if not 1 <= count <= _MAX_HOSTS:
        raise JobFailureError(f"ClientError: a job on this machine has 1 to {_MAX_HOSTS} instances, not {count}")
    return tuple(sorted(f"algo-{number}" for number in range(1, count + 1)))


class JobFailureError(Exception):
    """The job has failed; `reason` is its FailureReason."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def log_path(site_jobs: Path, name: str) -> Path:
    """The whole log of a job's first instance, kept after its end."""
    return site_jobs / name / "log"


def log_paths(first: Path) -> dict[str, Path]:
    """The logs of all instances of a job by host, sorted, from where the first one's is; that one may be missing."""
    others = {path.name.removeprefix(f"{first.name}."): path for path in first.parent.glob(f"{first.name}.{_HOSTS}")}
    return {HOST: first, **dict(sorted(others.items()))}


@dataclass(frozen=True, slots=True)
class JobFolder:
    """The folder of one job.

    Attributes:
        root: ``<jobs>/<name>``, or a folder in it for an instance but the first.
        own_log: The log of an instance but the first; it is in the job's folder.
    """

    root: Path
    own_log: Path | None = None

    @classmethod
    def create(cls, site_jobs: Path, name: str) -> JobFolder:
        """Make the folder anew; whatever an earlier job of the same name left is gone."""
        folder = cls(site_jobs / name)
        for log in log_paths(folder.log).values():
            log.unlink(missing_ok=True)
        folder.furnish((HOST,))
        return folder

    def furnish(self, hosts: Sequence[str]) -> None:
        """Make what every instance has: empty folders, a log, and names for all instances of the job."""
        self.remove()
        for path in (self.ml, self.scratch / "tmp"):
            path.mkdir(parents=True)
        names = "".join(f"{self._address(host, alone=len(hosts) == 1)} {host}\n" for host in hosts)
        self.hosts.write_text(f"127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{names}")
        self.log.touch()

    def _address(self, host: str, *, alone: bool) -> str:
        """The loopback address of one of the job's instances.

        Several instances have a network of their job's own, so that jobs that run at once can use the same ports.
        """
        if alone:
            return "127.0.0.1"
        job = crc32(os.fsencode(self.own_log.parent if self.own_log is not None else self.root))
        return f"127.{1 + job % 254}.{(job // 254) % 256}.{host.rpartition('-')[2]}"

    def of_host(self, host: str) -> JobFolder:
        """The folder of one of the job's instances."""
        return self if host == HOST else JobFolder(self.root / host, self.log.with_name(f"{self.log.name}.{host}"))

    @property
    def ml(self) -> Path:
        """What the job finds at /opt/ml."""
        return self.root / "ml"

    @property
    def scratch(self) -> Path:
        """The job's HOME, with its TMPDIR in ``tmp``."""
        return self.root / "scratch"

    @property
    def hosts(self) -> Path:
        """What the job finds at /etc/hosts."""
        return self.root / "hosts"

    @property
    def log(self) -> Path:
        """The instance's stdout and stderr."""
        return self.own_log or self.root / "log"

    def inside(self, container_path: str, *, under: str = ML) -> Path:
        """Where a path of the job is on this machine.

        Raises:
            JobFailureError: The path is not below `under`.
        """
        path = PurePosixPath(container_path)
        if not path.is_relative_to(under) or ".." in path.parts:
            raise JobFailureError(f"ClientError: LocalPath {container_path} must be a folder in {under}/")
        return self.ml / path.relative_to(ML)

    def write_json(self, relative: str, value: Json) -> None:
        """Write a configuration file below /opt/ml."""
        path = self.ml / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value), encoding="utf-8")

    def read_text(self, relative: str, limit: int) -> str | None:
        """The first `limit` characters of a file below /opt/ml, None when there is none."""
        path = self.ml / relative
        try:
            if path.is_symlink() or not path.is_file():
                return None
            with path.open(encoding="utf-8", errors="replace") as file:
                return file.read(limit)
        except OSError:
            return None

    def remove(self) -> None:
        """Remove everything but the log. What a job made unreadable is removed too."""
        for path in (self.ml, self.scratch):
            if path.is_symlink() or not path.exists():
                continue
            try:
                shutil.rmtree(path)
            except PermissionError:
                _make_accessible(path)
                shutil.rmtree(path, ignore_errors=True)
        self.hosts.unlink(missing_ok=True)
        for host in self.root.glob(_HOSTS):
            JobFolder(host).remove()
            host.rmdir()


def end_line(log: Path) -> None:
    """End the last line of a log that was cut off, so that what follows begins a new one."""
    with log.open("a+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        if size and file.read() != b"\n":
            file.write(b"\n")


def last_line(log: Path) -> str:
    """The last line of a log that holds anything: of a traceback, the exception."""
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _LOG_TAIL))
        lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""


def _make_accessible(root: Path) -> None:
    for folder, names, _ in os.walk(root):
        for path in (Path(folder, name) for name in names):
            if not path.is_symlink():
                path.chmod(0o700)
