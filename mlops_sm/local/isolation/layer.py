"""What an isolation layer is: it runs one command with its own /opt/ml, or says why it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from mlops_sm.errors import Problem

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
class Container:
    """The image that a job is to run in as it is.

    Attributes:
        engine: What runs it: ``docker`` or ``podman``.
        image: Its URI.
        replaces_entry_point: Whether the command replaces the image's entry point; it is its arguments otherwise.
    """

    engine: str
    image: str
    replaces_entry_point: bool


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
        container: The image it runs in; None for a process of this machine's.
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
    container: Container | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What of a container a layer gives a job besides its own `ML`.

    Attributes:
        parallel: How many jobs may run at once; None when the layer does not care.
        network: Whether a job can be cut off from the machine's network.
        hosts: Whether the names of a job's other instances resolve.
        read_only: Whether folders below `ML` can be made read-only.
        warm: Whether jobs may fork from a warm worker.
        mounts: Whether all this is done by mounts, which hold whatever a program does: a job may be lent files that it
            must not change, and what it installs stays its own.
    """

    parallel: int | None = None
    network: bool = True
    hosts: bool = True
    read_only: bool = True
    warm: bool = True
    mounts: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What is done to the process that becomes a job, and around it.

    Attributes:
        namespaces: Give it namespaces of its own.
        user: User, group and further groups to become; the starting process is root then. None stays who it is.
        link: A symbolic link to make before the job and to remove after it, and what it leads to.
        lock: A descriptor that is held open from before the job until nothing of it is left; the caller closes its own.
        after: A command to run once the job has ended.
        absent: A path of the machine that the job must not make; one that is there at its end makes it a failed one.
    """

    namespaces: bool = False
    user: tuple[int, int, tuple[int, ...]] | None = None
    link: tuple[str, str] | None = None
    lock: int | None = None
    after: tuple[str, ...] = ()
    absent: str | None = None


NAMESPACES: Final = Way(namespaces=True)
"""The job gets namespaces of its own."""


class Forks(Protocol):
    """Starts jobs as forks of a prepared process."""

    def start(self, launch: Launch, way: Way = NAMESPACES) -> Process | None:
        """Start a job; None when it must start cold.

        Raises:
            RefusedError: E409, this job could not get its own `ML`.
        """


class Isolation(Protocol):
    """One way to give a job its own `ML`. Safe to use from several threads."""

    @property
    def name(self) -> str:
        """The layer's name as `doctor` shows it."""

    @property
    def capabilities(self) -> Capabilities:
        """What else it gives a job; known once it was probed."""

    def probe(self) -> Fact:
        """Whether this layer works on this machine; tried once, then remembered."""

    def refusal(self) -> Problem | None:
        """Why no job can run here, None when they can. Probes."""

    def run(self, launch: Launch, forks: Forks | None = None) -> Process:
        """Start a job.

        Args:
            launch: What to run.
            forks: Asked first, if the layer can isolate a fork.

        Raises:
            RefusedError: What `refusal` says; E409, this job could not get its own `ML`.
        """

    def close(self) -> None:
        """End the layer's own processes, and with them every job it still runs."""
