"""The process between a worker and one job: starts the job, watches it and leaves nothing of it behind.

It is a child of the worker, has one thread and is the subreaper of the job's descendants, so that whatever the job
started is its child sooner or later and can be ended. It ends everything when the job ends, when it is told to, when
the owner is gone (the control socket closes) and when the worker is gone (the life pipe closes).

On the control socket the owner sends a length and a JSON request, later ``T`` (terminate) or ``K`` (kill); the
supervisor sends lines: ``pid N`` when the job started, ``refused TEXT`` when it could not, ``exit CODE`` at its end.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

from mlops_sm.local.isolation import identity, namespace

Request = dict[str, Any]

_LENGTH: Final = struct.Struct("!I")
_SIGNALLED: Final = 128


def supervise(
    control: socket.socket, log: int, life: int, busy: int, become: Callable[[Request], NoReturn]
) -> NoReturn:
    """Run one job to its end; never returns.

    Args:
        control: Socket to the owner.
        log: Descriptor for the job's output.
        life: Read end of a pipe whose write end only the worker holds.
        busy: Written to once the job runs, closed at its end. The worker does not fork the next supervisor before it
            is written to: two forks of one big process at the same time take three times as long.
        become: Turns the forked process, already in its namespaces, into the job.
    """
    request = _read_request(control)
    if request is None:
        os._exit(0)
    namespace.adopt_orphans()
    wake = _wake_on_child_exit()
    refused, status = os.pipe()
    supervisor = os.getpid()
    try:
        _link(request)
    except OSError as error:
        _tell(control, f"refused {error}")
        os._exit(0)
    job = os.fork()
    if job == 0:
        try:
            _start(request, log, status, supervisor, become)
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(1)
    os.close(status)
    if request["absent"] is None:
        os.close(log)
    reason = _read_all(refused)
    with suppress(OSError):  # the worker may be gone
        os.write(busy, b"r")
    if reason:
        os.waitpid(job, 0)
        _unlink(request)
        _tell(control, "refused " + reason.decode(errors="replace").replace("\n", " "))
        os._exit(0)
    _tell(control, f"pid {job}")
    code = _watch(job, control, wake, life)
    _end_descendants()
    _unlink(request)
    _run_after(request)
    if request["absent"] is not None:
        code = _blame(request["absent"], log, code)
        os.close(log)
    os.close(busy)
    _tell(control, f"exit {code}")
    os._exit(0)


def _start(request: Request, log: int, status: int, supervisor: int, become: Callable[[Request], NoReturn]) -> NoReturn:
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.umask(0o022)
        if request["user"] is not None:
            identity.become_root()
        if request["namespaces"]:
            namespace.enter(
                request["ml"],
                request["scratch"],
                hosts=request["hosts"],
                network=request["network"],
                read_only=request["read_only"],
                overlaid=request["overlaid"],
            )
        if request["user"] is not None:
            identity.become_for_good(*request["user"])
        namespace.die_with_parent(supervisor)
        os.chdir(request["cwd"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
    except OSError as error:
        os.write(status, str(error).encode() or b"unknown error")
        os._exit(1)
    _close_all_but_standard()
    become(request)


def _link(request: Request) -> None:
    """Make the link that leads to this job's folder; one that is there is replaced in one move."""
    if request["link"] is None:
        return
    path, target = (Path(name) for name in request["link"])
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.symlink_to(target)
    try:
        fresh.rename(path)
    except OSError:
        fresh.unlink()
        raise


def _unlink(request: Request) -> None:
    if request["link"] is None:
        return
    path, target = (Path(name) for name in request["link"])
    # Somebody may have taken it away or led it elsewhere meanwhile; then it is not ours any more.
    with suppress(OSError):
        if path.readlink() == target:
            path.unlink()


def _run_after(request: Request) -> None:
    if not request["after"]:
        return
    with suppress(OSError):
        null = os.open(os.devnull, os.O_RDWR)
        streams = [(os.POSIX_SPAWN_DUP2, null, standard) for standard in range(3)]
        pid = os.posix_spawnp(request["after"][0], request["after"], request["environment"], file_actions=streams)
        os.waitpid(pid, 0)


def _blame(absent: str, log: int, code: int) -> int:
    """The exit code of a job that must not have made something."""
    if not os.path.exists(absent):  # noqa: PTH110 - text goes in
        return code
    words = (
        f"E428: {absent} is on this machine now: this job, or one that ran beside it, has written to it by a program "
        "that cannot be led to the job's folder. See what is there, and remove it."
    )
    with suppress(OSError):  # nobody may be there to read it
        os.write(log, f"{words}\n".encode())
    return code or 1


def execute(request: Request) -> NoReturn:
    """Become the job by exec: a cold start. A program that cannot be run ends as a shell would report it."""
    # Python ignores these two, and what is ignored stays ignored over exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    program = request["argv"][0]
    try:
        os.execvpe(program, request["argv"], request["environment"])  # noqa: S606 - running the job is the purpose
    except FileNotFoundError:
        os.write(2, f'exec: "{program}": not found\n'.encode())
        os._exit(127)
    except OSError as error:
        os.write(2, f'exec: "{program}": {error.strerror}\n'.encode())
        os._exit(126)


def _close_all_but_standard() -> None:
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names are all that is needed
        descriptor = int(name)
        if descriptor > 2:  # noqa: PLR2004 - stdin, stdout, stderr
            with suppress(OSError):  # the listing's own descriptor is closed already
                os.close(descriptor)


def _watch(job: int, control: socket.socket, wake: int, life: int) -> int:
    """Wait for the job's end or a reason to end it, then return its exit code."""
    poll = select.poll()
    for descriptor in (control.fileno(), wake, life):
        poll.register(descriptor, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if wake in ready:
            os.read(wake, 4096)
        code = _reap(job)
        if code is not None:
            return code
        if life in ready:
            _signal_group(job, signal.SIGKILL)
            return _wait(job)
        if control.fileno() in ready:
            match control.recv(1):
                case b"T":
                    _signal_group(job, signal.SIGTERM)
                case _:
                    _signal_group(job, signal.SIGKILL)
                    return _wait(job)


def _reap(job: int) -> int | None:
    """Collect every child that ended; the job's exit code when it is among them."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == job:
            code = _exit_code(status)


def _wait(job: int) -> int:
    return _exit_code(os.waitpid(job, 0)[1])


def _end_descendants() -> None:
    """Kill and collect until no descendant is left; killing a parent makes its children ours."""
    while True:
        for pid in _children():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children() -> list[int]:
    me = os.getpid()
    try:
        return [int(pid) for pid in Path(f"/proc/{me}/task/{me}/children").read_bytes().split()]
    except FileNotFoundError:
        return _children_by_scan(me)


def _children_by_scan(parent: int) -> list[int]:
    """For kernels built without CONFIG_PROC_CHILDREN."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                # The name in parentheses may itself hold parentheses; the parent is the second field after it.
                if int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1]) == parent:
                    found.append(int(entry.name))
    return found


def _signal_group(job: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(job, number)


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else _SIGNALLED - code


def _wake_on_child_exit() -> int:
    """A descriptor that becomes readable when a child ended."""
    wake, signalled = os.pipe()
    os.set_blocking(signalled, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return wake


def _read_request(control: socket.socket) -> Request | None:
    head = _receive(control, _LENGTH.size)
    body = _receive(control, _LENGTH.unpack(head)[0]) if head else b""
    return json.loads(body) if body else None


def _receive(control: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes, or none when the other side is gone."""
    parts = []
    while size:
        part = control.recv(size)
        if not part:
            return b""
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _read_all(descriptor: int) -> bytes:
    parts = []
    while part := os.read(descriptor, 4096):
        parts.append(part)
    os.close(descriptor)
    return b"".join(parts)


def _tell(control: socket.socket, line: str) -> None:
    # The owner may be gone already; then nobody needs to know.
    with suppress(OSError):
        control.sendall(line.encode() + b"\n")
