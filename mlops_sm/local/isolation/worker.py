"""The owner's end of a worker process and of the jobs it starts."""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from mlops_sm.errors import Problem, RefusedError
from mlops_sm.local.isolation.layer import NAMESPACES, Ended, Launch, Way

_LENGTH: Final = struct.Struct("!I")
_START_TIMEOUT: Final = 60.0
"""Seconds a job may wait for its worker; importing pandas and scikit-learn from a cold disk takes five."""
_CLOSE_TIMEOUT: Final = 10.0
_TAIL: Final = 2000
_LOOK_AROUND: Final = 0.1

_PACKAGE_ROOT: Final = str(Path(__file__).resolve().parents[3])


class WorkerLostError(Exception):
    """The worker ended before it started the job; another worker may do it."""


class JobProcess:
    """A job that a worker started; implements `Process`."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._ended: Ended | None = None
        self._pid = 0

    @property
    def pid(self) -> int:
        """The job's process id."""
        return self._pid

    def await_start(self) -> None:
        """Wait until the job runs.

        Raises:
            WorkerLostError: Its worker ended first or does not answer.
            RefusedError: E409, the job's namespace could not be made.
        """
        self._control.settimeout(_START_TIMEOUT)
        try:
            line = self._read_line()
        except TimeoutError:
            line = None
        self._control.settimeout(None)
        if line is None:
            raise WorkerLostError
        word, _, rest = line.partition(" ")
        if word == "refused":
            raise RefusedError(
                Problem(
                    "E409",
                    "local account -> isolation",
                    f"a job could not get its own /opt/ml: {rest}",
                    'Run "mlops-sm doctor" to see what this machine allows.',
                )
            )
        self._pid = int(rest)

    def fileno(self) -> int:
        """Readable when the job has ended."""
        return self._control.fileno()

    def wait(self, timeout: float | None = None) -> Ended | None:
        """Wait for the end, at most `timeout` seconds."""
        if self._ended is None and _readable(self._control, timeout):
            line = self._read_line()
            if line is None:
                self._ended = Ended(137, "the process that watched the job was killed")
            else:
                self._ended = Ended(int(line.partition(" ")[2]))
        return self._ended

    def terminate(self) -> None:
        """Send SIGTERM to the job's process group."""
        self._send(b"T")

    def kill(self) -> None:
        """Kill the job and everything it started."""
        self._send(b"K")

    def close(self) -> None:
        """Let go; the closed socket makes the supervisor kill a job that still runs."""
        self._control.close()

    def _send(self, message: bytes) -> None:
        # The supervisor ends with the job; then there is nobody left to stop.
        with suppress(OSError):
            self._control.sendall(message)

    def _read_line(self) -> str | None:
        """The next line, None when the other side is gone. Reads no further, so that a selector sees what follows."""
        line = bytearray()
        while not line.endswith(b"\n"):
            try:
                byte = self._control.recv(1)
            except ConnectionResetError:
                byte = b""
            if not byte:
                return None
            line += byte
        return line.decode(errors="replace").strip()


def _readable(connection: socket.socket, timeout: float | None) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(None if timeout is None else timeout * 1000))


class Worker:
    """A running `warm_worker` program. Safe to use from several threads.

    Args:
        environment: Its whole environment, which /proc/self/environ of a warm job shows.
        preload: Whether it imports the numeric libraries and runs scripts in its forks.
        through: A command that starts it as root, e.g. ``sudo -n --``; it acts as the calling user.

    Raises:
        WorkerLostError: `through` did not start it; the message is what it said.
    """

    def __init__(self, environment: Mapping[str, str], *, preload: bool, through: tuple[str, ...] = ()) -> None:
        # A launcher needs no site-packages; a warm worker must look like a plain interpreter to the scripts it runs.
        self._flags = () if preload else ("-I", "-S")
        self._preload = preload
        self._environment = dict(environment)
        self._lock = threading.Lock()
        self._loaded: tuple[str, ...] | None = None
        self._buffer = b""
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._socket, self._process = self._start_through(through) if through else self._start()

    def _start(self) -> tuple[socket.socket, subprocess.Popen[bytes]]:
        mine, theirs = socket.socketpair()
        with theirs:
            return mine, self._popen((), f"descriptor = {theirs.fileno()}", "None", [theirs.fileno()])

    def _start_through(self, through: tuple[str, ...]) -> tuple[socket.socket, subprocess.Popen[bytes]]:
        """By a command that hands no descriptors on: the worker connects to a socket in a folder of the user's own."""
        with tempfile.TemporaryDirectory(prefix="mlops-sm-") as folder, socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{folder}/s")
            listener.listen(1)
            connect = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({folder + '/s'!r})"
            user = (os.getuid(), os.getgid(), tuple(os.getgroups()))
            process = self._popen(through, f"{connect}; descriptor = s.detach()", repr(user), [])
            give_up = time.monotonic() + _START_TIMEOUT
            while process.poll() is None and time.monotonic() < give_up:
                if _readable(listener, _LOOK_AROUND):
                    return listener.accept()[0], process
            process.poll()
            words = self.last_words()
            self._errors.close()
            raise WorkerLostError(words or f"{through[0]} did not start a program within {_START_TIMEOUT:g} seconds")

    def _popen(
        self, through: tuple[str, ...], descriptor: str, user: str, inherited: list[int]
    ) -> subprocess.Popen[bytes]:
        program = (
            f"import sys; sys.path.insert(0, {_PACKAGE_ROOT!r}); {descriptor}; "
            f"from mlops_sm.local.warm_worker import main; main(descriptor, preload={self._preload}, user={user})"
        )
        return subprocess.Popen(  # noqa: S603 - our own program
            [*through, sys.executable, *self._flags, "-c", program],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            pass_fds=inherited,
            env=self._environment,
            cwd="/",
            # Ctrl-C in the owner's terminal is the owner's to handle.
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    @property
    def loaded(self) -> tuple[str, ...] | None:
        """The modules it imported, None while it is still importing."""
        with self._lock:
            if self._loaded is None and self._socket.fileno() != -1:
                with suppress(ConnectionResetError):
                    while _readable(self._socket, 0) and (part := self._socket.recv(4096)):
                        self._buffer += part
                if b"\n" in self._buffer:
                    self._loaded = tuple(json.loads(self._buffer)["loaded"])
            return self._loaded

    def start(self, launch: Launch, way: Way = NAMESPACES) -> JobProcess:
        """Start a job and wait until it runs.

        Raises:
            WorkerLostError: The worker ended first.
            RefusedError: E409, the job's namespace could not be made.
        """
        mine, theirs = socket.socketpair()
        job = JobProcess(mine)
        try:
            with theirs, self._lock:
                lock = [] if way.lock is None else [way.lock]
                socket.send_fds(self._socket, [b"j"], [theirs.fileno(), launch.log, *lock])
            request = json.dumps(
                {
                    "argv": launch.argv,
                    "ml": str(launch.ml),
                    "scratch": str(launch.scratch),
                    "hosts": None if launch.hosts is None else str(launch.hosts),
                    "network": launch.network,
                    "read_only": launch.read_only,
                    "overlaid": launch.overlaid,
                    "environment": dict(launch.environment),
                    "cwd": launch.cwd,
                    "namespaces": way.namespaces,
                    "user": way.user,
                    "link": way.link,
                    "after": way.after,
                    "absent": way.absent,
                }
            ).encode()
            mine.sendall(_LENGTH.pack(len(request)) + request)
            job.await_start()
        except OSError as error:
            job.close()
            raise WorkerLostError from error
        except BaseException:
            job.close()
            raise
        return job

    def last_words(self) -> str:
        """The end of what the process wrote to stderr; why it died."""
        self._errors.seek(0, 2)
        self._errors.seek(max(0, self._errors.tell() - _TAIL))
        return self._errors.read().decode(errors="replace").strip()

    def close(self) -> None:
        """End the process and every job it still runs."""
        if self.loaded is None:
            # It is still importing, runs nothing yet, and would look at its socket only afterwards.
            self._kill()
        with self._lock:
            self._socket.close()
        try:
            self._process.wait(_CLOSE_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._kill()
            self._process.wait()
        self._errors.close()

    def _kill(self) -> None:
        # What sudo started is root's; it ends by itself once its socket is closed.
        with suppress(PermissionError):
            self._process.kill()
