"""The owner's end of a model server: its start, its health, its invocations and its end."""

from __future__ import annotations

import json
import os
import queue
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.local import interpreter
from mlops_sm.local.isolation.layer import SCRATCH, Container, Launch, Process
from mlops_sm.local.jobs.attend import OWN, start_process
from mlops_sm.local.jobs.folder import JobFolder, last_line
from mlops_sm.local.jobs.packages import has_packages, with_packages
from mlops_sm.local.serving.connection import Response, ServerProcess, UnreadError, listen
from mlops_sm.local.serving.model import MODEL, Script, copy_programs
from mlops_sm.local.site import Site

_PROGRAM: Final = f"{SCRATCH}/serving/serve.py"
_FORWARD: Final = f"{SCRATCH}/serving/forward.py"
_STARTUP_SECONDS: Final = 240.0
"""A container has four minutes to become healthy ("Custom Inference Code with Hosting Services", health checks)."""
STOP_SECONDS: Final = 30.0
"""Between SIGTERM and SIGKILL at the end (the same page, "StopContainer")."""
_LOOK_AROUND: Final = 0.1


class NotHealthyError(Exception):
    """The server did not become healthy; the message is the last line of its log."""


class NoResponseError(Exception):
    """An invocation got no response: the server's process died, or the time was up."""


class GoneError(NoResponseError):
    """An invocation came when the server had ended: nobody has seen it."""


class TooSlowError(NoResponseError):
    """An invocation got no response in its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Starts servers at a site.

    Attributes:
        site: Where they run.
        folder: Where this one lives.
        log: Takes what the server prints.
        startup_seconds: How long it may take to become healthy.
    """

    site: Site
    folder: JobFolder
    log: Path
    startup_seconds: float = _STARTUP_SECONDS

    def start(
        self,
        script: Script,
        environment: Mapping[str, str],
        *,
        workers: int = 1,
        network: bool = True,
        warm: bool = True,
        program: tuple[str, ...] | None = None,
        python: Path | None = None,
        container: Container | None = None,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> Running:
        """Start a server on a staged model and wait until it is healthy.

        Args:
            script: What loads the model.
            environment: The whole environment of its processes.
            workers: How many processes load the model; so many invocations run at once.
            network: Whether it reaches the machine's network.
            warm: Whether a fork of a warm worker may run it.
            python: The image's own Python; this one by default.
            container: The image it runs in as it is; None for processes of this machine's.
            program: The command of the image's own ``serve``; it listens on port 8080 of a network of its own.
            is_stopped: Whether somebody gave up waiting.

        Raises:
            NotHealthyError: It ended, or did not become healthy in time, or nobody waits any more.
            JobFailureError: It could not be started, because this machine gives no job its own /opt/ml.
        """
        copy_programs(self.folder.scratch)
        running = Running(listen(self.folder.scratch), asks=program is not None)
        argv: tuple[str, ...] = ("python3", _PROGRAM, str(workers), MODEL, script.folder, script.program)
        if program is not None:
            argv = ("python3", _FORWARD, str(workers), *program)
        try:
            with self.log.open("ab") as log:
                launch = Launch(
                    argv=argv,
                    ml=self.folder.ml,
                    scratch=self.folder.scratch,
                    hosts=self.folder.hosts,
                    environment=with_packages(environment, self.folder, self.site, argv),
                    network=network and program is None,
                    log=log.fileno(),
                    container=container,
                    read_only=(MODEL,),
                    overlaid=interpreter.of(python or OWN).changeable(self.folder.root),
                )
                running.attend(start_process(launch, self.site, warm=warm and not has_packages(self.folder)))
            deadline = time.monotonic() + self.startup_seconds
            while not running.is_healthy(_LOOK_AROUND):
                if running.ended or is_stopped() or time.monotonic() > deadline:
                    break
        except BaseException:
            running.stop(0)
            raise
        if not running.is_healthy():
            running.stop(0)
            raise NotHealthyError(last_line(self.log))
        return running


class Running:
    """A server that runs. Safe to use from several threads.

    Args:
        listener: Where its processes connect.
        asks: Whether it has `execution_parameters`.
    """

    def __init__(self, listener: socket.socket, *, asks: bool) -> None:
        self.asks = asks
        self._listener = listener
        self._idle: queue.LifoQueue[ServerProcess | None] = queue.LifoQueue()
        self._healthy = threading.Event()
        self._process: Process | None = None
        self._attendant: threading.Thread | None = None
        self._wake, self._woken = os.pipe()
        self._using = threading.Condition()
        self._under_way = 0
        self.ended = False

    def attend(self, process: Process) -> None:
        """Take care of the server's process from now on."""
        self._process = process
        self._attendant = threading.Thread(target=self._attend, args=(process,), name="model server", daemon=True)
        self._attendant.start()

    def is_healthy(self, timeout: float = 0.0) -> bool:
        """Whether a process has loaded the model; waits so many seconds for it."""
        return self._healthy.wait(timeout) and not self.ended

    def invoke(
        self,
        body: bytes,
        content_type: str | None,
        accept: str | None = None,
        attributes: Mapping[str, str] | None = None,
        *,
        timeout: float,
    ) -> Response:
        """One request to the model; waits for a process that is idle.

        Args:
            body: The payload.
            content_type: Its type; None leaves it to the server.
            accept: The type of the answer; None leaves it to the server.
            attributes: Further headers, e.g. ``X-Amzn-SageMaker-Custom-Attributes``.
            timeout: Seconds.

        Raises:
            NoResponseError: The process died at it, no process is left, or the time is up; the message says which.
        """
        head = {"content_type": content_type, "accept": accept, "attributes": dict(attributes or {})}
        return self._exchange(head, body, timeout)

    def execution_parameters(self, *, timeout: float) -> dict[str, Json]:
        """What the image's own program wants of a batch, GET /execution-parameters; empty when it does not say.

        Only a program of the image's own is asked.

        Raises:
            NoResponseError: As `invoke`.
        """
        response = self._exchange({"path": "/execution-parameters", "attributes": {}}, b"", timeout)
        try:
            wanted = json.loads(response.body) if response.ok else {}
        except ValueError:
            return {}
        return wanted if isinstance(wanted, dict) else {}

    def parts(
        self,
        body: bytes,
        content_type: str | None,
        accept: str | None = None,
        attributes: Mapping[str, str] | None = None,
        *,
        timeout: float,
    ) -> Iterator[Response]:
        """As `invoke`, with each part of the response as soon as it is there; the last one is empty."""
        head = {"content_type": content_type, "accept": accept, "attributes": dict(attributes or {}), "stream": True}
        deadline = time.monotonic() + timeout
        with self._used():
            worker, part = self._begin(head, body, timeout, deadline)
            while part.more:
                try:
                    yield part
                except GeneratorExit:
                    # Nobody reads the rest of it.
                    self._give_up(worker)
                    raise
                with self._lost(worker, timeout):
                    part = worker.next_part(deadline)
            self._idle.put(worker)
        yield part

    def _exchange(self, head: Mapping[str, object], body: bytes, timeout: float) -> Response:
        with self._used():
            worker, response = self._begin(head, body, timeout, time.monotonic() + timeout)
            self._idle.put(worker)
            return response

    def _begin(
        self, head: Mapping[str, object], body: bytes, timeout: float, deadline: float
    ) -> tuple[ServerProcess, Response]:
        """Have a process take a request, and its response or the first part of it."""
        # All that are idle now may be about to end with the one that looks after them.
        for _ in range(self._idle.qsize() + 1):
            worker = self._take(deadline)
            try:
                with self._lost(worker, timeout):
                    return worker, worker.exchange(head, body, deadline)
            except UnreadError:
                worker.close()
        raise NoResponseError("the model server's process ended")

    @property
    def busy(self) -> bool:
        """Whether an invocation is under way."""
        return self._under_way > 0

    def drain(self, timeout: float) -> None:
        """Wait until no invocation is under way, at most so many seconds; nobody begins new ones any more."""
        with self._using:
            self._using.wait_for(lambda: not self._under_way, timeout)

    @contextmanager
    def _used(self) -> Iterator[None]:
        with self._using:
            self._under_way += 1
        try:
            yield
        finally:
            with self._using:
                self._under_way -= 1
                self._using.notify_all()

    @contextmanager
    def _lost(self, worker: ServerProcess, timeout: float) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            self._give_up(worker)
            raise TooSlowError(f"no answer within {timeout:g} seconds") from None
        except (EOFError, OSError) as error:
            worker.close()
            raise NoResponseError("the model server's process ended") from error

    def _give_up(self, worker: ServerProcess) -> None:
        if self.asks:
            # A program of the image's own goes on; its answer to this one comes too late.
            worker.close()
        else:
            worker.kill()

    def stop(self, grace_seconds: float = STOP_SECONDS) -> None:
        """End the server: SIGTERM, and SIGKILL after the grace. Invocations that wait get no response."""
        process = self._process
        if process is not None:
            process.terminate()
            if self._attendant is not None:
                self._attendant.join(grace_seconds)
            process.kill()
        os.close(self._woken)
        if self._attendant is not None:
            self._attendant.join()
        os.close(self._wake)
        self._listener.close()
        if process is not None:
            process.close()
        while True:
            try:
                worker = self._idle.get_nowait()
            except queue.Empty:
                break
            if worker is not None:
                worker.close()
        self._idle.put(None)

    def _take(self, deadline: float) -> ServerProcess:
        while True:
            try:
                worker = self._idle.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise TooSlowError("every process of the model server is busy") from None
            if worker is None:
                self._idle.put(None)  # for the next one who waits
                raise GoneError("the model server has ended")
            if worker.alive:
                return worker
            # It died while it had nothing to do; another one takes its place.
            worker.close()

    def _attend(self, process: Process) -> None:
        poll = select.poll()
        for descriptor in (self._listener.fileno(), process.fileno(), self._wake):
            poll.register(descriptor, select.POLLIN)
        while not self.ended:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._listener.fileno() in ready:
                connection, _ = self._listener.accept()
                self._idle.put(ServerProcess(connection))
                self._healthy.set()
            elif process.fileno() in ready or self._wake in ready:
                self.ended = True
        self._idle.put(None)
