"""Start a job's process and stay with it: log, metrics, stop requests and the runtime limit."""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from mlops_sm.errors import RefusedError
from mlops_sm.local import interpreter
from mlops_sm.local.faults import FaultKind, JobFault
from mlops_sm.local.isolation.layer import Container, Ended, Launch, Process
from mlops_sm.local.jobs.channels import Inputs
from mlops_sm.local.jobs.folder import JobFailureError, JobFolder
from mlops_sm.local.jobs.metrics import MetricScanner
from mlops_sm.local.jobs.packages import has_packages, with_packages
from mlops_sm.local.site import Site

_CHUNK: Final = 64 * 1024
_LOOK_AROUND: Final = 0.1
"""Seconds between looks at the stop event; the job's own end and output are noticed at once."""
_DRAIN: Final = 5.0
"""Seconds to wait for the rest of the output of a process that has ended; it is there unless the machine is stuck."""
_KILLED: Final = 128 + signal.SIGKILL
MAX_RUNTIME: Final = 86_400
"""Seconds a job may run when the request does not say; the service's default."""


OWN: Final = Path(sys.executable)
"""The Python that runs this package, and jobs whose image names no other."""


class Asked(Protocol):
    """Whether a job was asked to end; a `threading.Event` is one."""

    def is_set(self) -> bool:
        """Whether it was."""


class Cause(Enum):
    """Why a job's process ended."""

    EXITED = auto()
    STOPPED = auto()
    TIMED_OUT = auto()
    INTERRUPTED = auto()
    LOG_FULL = auto()
    LOST = auto()
    BROKEN = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The end of a job's process; `code` as a container runtime counts it."""

    cause: Cause
    code: int
    started: datetime
    ended: datetime
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run in a job's folder.

    Attributes:
        argv: The command.
        environment: The whole environment.
        cwd: Working directory as the job sees it.
        network: Whether the machine's network is reachable.
        warm: Whether a fork of a warm worker may run it.
        max_runtime_in_seconds: After that the job is stopped.
        inputs: The data that is given to it while it runs; None when it has found all of it.
        interpreter: The Python whose packages the job may change for itself.
        container: The image it runs in as it is; None for a process of this machine's.
        fault: What is to go wrong with the process.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    cwd: str
    network: bool
    warm: bool
    max_runtime_in_seconds: float
    inputs: Inputs | None = None
    interpreter: Path = OWN
    container: Container | None = None
    fault: JobFault | None = None


def run_command(
    command: Command,
    folder: JobFolder,
    site: Site,
    *,
    stop: Asked,
    scanner: MetricScanner,
    interrupted: Callable[[], None] = lambda: None,
) -> Ending:
    """Run a command to its end, whatever ends it.

    Args:
        command: What to run.
        folder: Where.
        site: The machinery.
        stop: Asked again and again whether to end it.
        scanner: Reads its log.
        interrupted: Called when its instance is about to be taken away, as are the job's others.

    Raises:
        JobFailureError: It could not be started, because this machine gives no job its own /opt/ml, or its data could
            not be given to it while it ran.
    """
    with command.inputs or nullcontext():
        ending = _run(command, folder, site, stop=stop, scanner=scanner, interrupted=interrupted)
    if command.inputs is not None:
        command.inputs.check()
    return ending


def _run(
    command: Command,
    folder: JobFolder,
    site: Site,
    *,
    stop: Asked,
    scanner: MetricScanner,
    interrupted: Callable[[], None],
) -> Ending:
    output, log_end = os.pipe()
    try:
        try:
            launch = Launch(
                argv=command.argv,
                ml=folder.ml,
                scratch=folder.scratch,
                hosts=folder.hosts,
                environment=with_packages(command.environment, folder, site, command.argv),
                cwd=command.cwd,
                network=command.network,
                read_only=command.inputs.read_only if command.inputs is not None else (),
                overlaid=interpreter.of(command.interpreter).changeable(folder.root),
                container=command.container,
                log=log_end,
            )
            started = site.clock()
            process = start_process(launch, site, warm=command.warm and not has_packages(folder))
        finally:
            os.close(log_end)
        attendance = _Attendance(
            process, output, folder, scanner, stop=stop, grace_seconds=site.grace_seconds, fault=command.fault
        )
        attendance.interrupted = interrupted
        try:
            ended = attendance.until_end(time.monotonic() + command.max_runtime_in_seconds)
        finally:
            process.close()
    finally:
        os.close(output)
    cause = Cause.LOST if ended.lost else attendance.cause
    return Ending(cause=cause, code=ended.code, started=started, ended=site.clock(), detail=ended.lost)


def start_process(launch: Launch, site: Site, *, warm: bool) -> Process:
    """Start a job's process, as a fork of a warm worker if that may and can be.

    Raises:
        JobFailureError: This machine gives no job its own /opt/ml.
    """
    try:
        return site.isolation.run(launch, site.warm if warm else None)
    except RefusedError as error:
        problem = error.problems[0]
        raise JobFailureError(f"InternalServerError: {problem.what}. {problem.fix} [{problem.code}]") from error


class _Attendance:
    """One job's process from its start to its end."""

    def __init__(
        self,
        process: Process,
        output: int,
        folder: JobFolder,
        scanner: MetricScanner,
        *,
        stop: Asked,
        grace_seconds: float,
        fault: JobFault | None = None,
    ) -> None:
        self._process = process
        self._output = output
        self._folder = folder
        self._scanner = scanner
        self._stop = stop
        self._grace = grace_seconds
        self._fault = fault
        self._lines = 0
        self._killed = False
        self.interrupted: Callable[[], None] = lambda: None
        self._kill_at: float | None = None
        self.cause = Cause.EXITED

    def until_end(self, deadline: float) -> Ended:
        """Copy the output to the log until the process has ended; `deadline` on the monotonic clock."""
        poll = select.poll()
        poll.register(self._process, select.POLLIN)
        poll.register(self._output, select.POLLIN)
        with self._folder.log.open("ab", buffering=0) as log:
            ended = None
            while ended is None:
                self._strike()
                ready = {descriptor for descriptor, _ in poll.poll(_LOOK_AROUND * 1000)}
                if self._output in ready and not self._copy(log):
                    poll.unregister(self._output)
                if self._process.fileno() in ready:
                    ended = self._process.wait(0)
                if ended is None:
                    self._look_around(deadline)
            self._drain(log)
            # What ended by itself just before is treated as if the fault had been quicker: tests can count on it.
            self._strike()
        self._scanner.finish()
        return ended._replace(code=_KILLED) if self._killed and not ended.lost else ended

    def _strike(self) -> None:
        """Let the fault happen once the log is long enough."""
        fault = self._fault
        if fault is None or self._lines < fault.after_lines:
            return
        self._fault = None
        fault.happened()
        if fault.kind is FaultKind.SPOT_INTERRUPTION:
            self._end(Cause.INTERRUPTED, time.monotonic() + self._grace)
            self.interrupted()
            return
        if fault.kind is FaultKind.INTERNAL_ERROR:
            self.cause = Cause.BROKEN
        self._killed = True
        self._process.kill()

    def _look_around(self, deadline: float) -> None:
        now = time.monotonic()
        if self._kill_at is not None:
            if now >= self._kill_at:
                self._process.kill()
        elif self._stop.is_set():
            self._end(Cause.STOPPED, now + self._grace)
        elif now >= deadline:
            self._end(Cause.TIMED_OUT, now + self._grace)

    def _end(self, cause: Cause, kill_at: float) -> None:
        self.cause = cause
        self._kill_at = kill_at
        self._process.terminate()

    def _copy(self, log: BinaryIO) -> bool:
        """Move one chunk to the log; False at the end of the output."""
        chunk = os.read(self._output, _CHUNK)
        if not chunk:
            return False
        self._scanner.feed(chunk)
        self._lines += chunk.count(b"\n")
        if self.cause is Cause.LOG_FULL:
            return True  # read on, so that the job can end
        try:
            rest = memoryview(chunk)
            while rest:
                rest = rest[log.write(rest) :]
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            self._end(Cause.LOG_FULL, time.monotonic())
        return True

    def _drain(self, log: BinaryIO) -> None:
        poll = select.poll()
        poll.register(self._output, select.POLLIN)
        give_up = time.monotonic() + _DRAIN
        while time.monotonic() < give_up and poll.poll(_DRAIN * 1000) and self._copy(log):
            continue
