"""What an isolation layer is: it runs one command with its own /opt/ml, or says why it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, Protocol

ML: Final = "/opt/ml"
"""Where every job finds its folder; the contract of SageMaker's containers."""

SCRATCH: Final = "/opt/mlops-sm"
"""Where a job finds its HOME, its TMPDIR and its first working directory. Short: a unix socket's path has 108 bytes."""


class Fact(NamedTuple):
    """One line of `doctor`: what was looked at, whether it is good, what was found and what would help.

    Attributes:
        name: What was looked at, e.g. ``isolation``.
        ok: Whether it works here.
        detail: What was found.
        fix: What to do about it; empty when there is nothing to do.
    """

    name: str
    ok: bool
    detail: str
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One command to run as a job.

    Attributes:
        argv: The command; a bare program name is looked up on the PATH of `environment`.
        ml: The folder the job finds at `ML`.
        scratch: The folder the job finds at `SCRATCH`.
        hosts: A file the job finds at /etc/hosts, None for the machine's own.
        environment: The whole environment of the job; nothing is added to it.
        cwd: Working directory as the job sees it.
        network: False gives the job a network of its own in which only loopback exists.
        read_only: Folders below `ML` that the job may not write to.
        overlaid: Folders of the machine that the job may change as it likes: what it changes is seen by nobody else.
        log: Descriptor that takes the job's stdout and stderr; the caller keeps and closes it.
    """

    argv: tuple[str, ...]
    ml: Path
    scratch: Path
    environment: Mapping[str, str]
    log: int
    hosts: Path | None = None
    cwd: str = SCRATCH
    network: bool = field(default=True)
    read_only: tuple[str, ...] = ()
    overlaid: tuple[str, ...] = ()


class Ended(NamedTuple):
    """How a job's process ended.

    Attributes:
        code: Its exit code as a container runtime counts it: 0-255, 128 + N after signal N.
        lost: Why the end was not seen (the process that watched it died); empty when it was.
    """

    code: int
    lost: str = ""


class Process(Protocol):
    """A running job: the leader of its own process group and everything it started."""

    @property
    def pid(self) -> int:
        """The job's process id."""

    def fileno(self) -> int:
        """A descriptor that becomes readable when the job has ended, for a selector."""

    def wait(self, timeout: float | None = None) -> Ended | None:
        """Wait for the end, at most `timeout` seconds; None when it still runs. Everything it started is gone then."""

    def terminate(self) -> None:
        """Send SIGTERM to the job's process group; harmless when it has ended."""

    def kill(self) -> None:
        """Send SIGKILL to the job and everything it started; harmless when it has ended."""

    def close(self) -> None:
        """Let go; a job that still runs is killed."""


class Isolation(Protocol):
    """One way to give a job its own `ML`. Safe to use from several threads."""

    @property
    def name(self) -> str:
        """The layer's name as `doctor` shows it."""

    def probe(self) -> Fact:
        """Whether this layer works on this machine; tried once, then remembered."""

    def run(self, launch: Launch) -> Process:
        """Start a job.

        Raises:
            RefusedError: E401, the layer does not work here; E409, this job's namespace could not be made.
        """

    def close(self) -> None:
        """End the layer's own processes, and with them every job it still runs."""
