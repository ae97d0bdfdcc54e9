"""The program of a model server, run as a job: loads a model in several processes, which ask their owner for work.

It imports nothing of this package, because it is copied into the job. A process that has loaded the model connects to
the owner's socket: that is its answer to a health check. Then it answers one request after the other. On the socket
either side sends a length of a JSON head, a length of a body, the head, the body. An answer that was asked for in parts
is one message for each part, whose heads say that there is more, and an empty one.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

_SOCKET: Final = "/opt/mlops-sm/serving.sock"
LENGTHS: Final = struct.Struct("!IQ")
_INTERNAL: Final = 500

Answer = tuple[int, str, "bytes | Iterator[bytes]", "dict[str, str]"]
Invoke = Callable[[bytes, "str | None", "str | None", "dict[str, str]"], Answer]


def main(workers: int, model_dir: str, code_dir: str, program: str) -> int:
    """Run `workers` processes; one that dies is replaced, unless it could not load the model."""
    running = set()
    ready, told = os.pipe()
    os.set_blocking(ready, False)
    loaded: set[int] = set()
    for _ in range(workers):
        running.add(_start(model_dir, code_dir, program, told))
    while True:
        pid, _ = os.wait()
        if pid not in running:
            continue
        running.remove(pid)
        loaded |= _pids(ready)
        if pid not in loaded:
            for other in running:
                os.kill(other, signal.SIGKILL)
            return 1
        sys.stderr.write(f"a process of the model server ended (pid {pid}); another one takes its place\n")
        running.add(_start(model_dir, code_dir, program, told))


def _start(model_dir: str, code_dir: str, program: str, told: int) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        # Whole lines: several processes write to one log.
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(line_buffering=True, write_through=False)
        # Beside this file in the job.
        invoke = importlib.import_module("serving_script").load(model_dir, code_dir, program)
        owner = socket.socket(socket.AF_UNIX)
        # Before the owner can give work: whoever dies at work had loaded its model.
        os.write(told, struct.pack("!I", os.getpid()))
        owner.connect(_SOCKET)
        _serve(owner, parent, invoke)
        code = 0
    except BaseException:
        sys.stderr.write(traceback.format_exc())  # at once: several processes write to one log
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _pids(ready: int) -> set[int]:
    try:
        found = os.read(ready, 4096)
    except BlockingIOError:
        return set()
    return {pid for (pid,) in struct.iter_unpack("!I", found)}


def _serve(owner: socket.socket, parent: int, invoke: Invoke) -> None:
    """Answer requests until the owner is gone, or the parent: what it leaves behind is killed any moment.

    The owner gives a request that was not read to another process.
    """
    while owner.recv(1, socket.MSG_PEEK) and os.getppid() == parent:
        lengths = receive(owner, LENGTHS.size)
        head_size, body_size = LENGTHS.unpack(lengths)
        head = json.loads(receive(owner, head_size))
        body = receive(owner, body_size)
        try:
            status, content_type, answer, attributes = invoke(
                body, head["content_type"], head["accept"], head["attributes"]
            )
            if not head.get("stream") and not isinstance(answer, bytes):
                answer = b"".join(answer)
        except Exception as error:
            sys.stderr.write(traceback.format_exc())  # at once: several processes write to one log
            status, attributes = getattr(error, "status_code", _INTERNAL), {}
            content_type, answer = "text/plain", f"{type(error).__name__}: {error}".encode()
        sys.stdout.flush()
        sys.stderr.flush()
        said = {"status": int(status), "content_type": content_type, "attributes": attributes}
        if isinstance(answer, bytes) and not head.get("stream"):
            send(owner, said, answer)
        else:
            _send_parts(owner, said, [answer] if isinstance(answer, bytes) else answer)


def _send_parts(owner: socket.socket, head: Mapping[str, Any], parts: Iterable[bytes]) -> None:
    """Send an answer in parts, each as soon as it is there."""
    broken = False
    try:
        for part in parts:
            send(owner, {**head, "more": True}, part)
    except OSError:
        raise
    except Exception:
        sys.stderr.write(traceback.format_exc())  # at once: several processes write to one log
        broken = True
    sys.stdout.flush()
    sys.stderr.flush()
    send(owner, {**head, "more": False, "broken": broken}, b"")


def receive(connection: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes, none when the other side is gone."""
    received = bytearray(size)
    view = memoryview(received)
    while view:
        count = connection.recv_into(view)
        if not count:
            return b""
        view = view[count:]
    return bytes(received)


def send(connection: socket.socket, head: Mapping[str, Any], body: bytes) -> None:
    """Send a message."""
    encoded = json.dumps(head).encode()
    connection.sendall(LENGTHS.pack(len(encoded), len(body)) + encoded)
    connection.sendall(body)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), *sys.argv[2:]))
