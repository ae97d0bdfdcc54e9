"""The owner's connection to one process of a model server: a request, a response, a time limit."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mlops_sm.local.serving.program import LENGTHS

_PEER: Final = struct.Struct("3i")
"""What the kernel knows of the other end: process, user, group."""


@dataclass(frozen=True, slots=True)
class Response:
    """What the model's container answered.

    Attributes:
        status: HTTP's.
        content_type: Of the body.
        body: The response's content, or a part of it.
        attributes: Further headers.
        more: Whether another part follows, of a response that was asked for in parts.
        broken: Whether the model failed while it was giving its parts.
    """

    status: int
    content_type: str
    body: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)
    more: bool = False
    broken: bool = False

    @property
    def ok(self) -> bool:
        """Whether the status is 200."""
        return self.status == 200  # noqa: PLR2004 - HTTP's OK


class UnreadError(Exception):
    """A process has ended before it had read a whole request: the model has not seen it."""


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """One process of the server that has loaded the model."""

    connection: socket.socket

    def exchange(self, head: Mapping[str, object], body: bytes, deadline: float) -> Response:
        """Send a request and wait for its response, until a moment of the monotonic clock.

        Raises:
            TimeoutError: The moment has come.
            UnreadError: The process has ended without the request.
            EOFError: It has ended with it.
        """
        encoded = json.dumps(head).encode()
        try:
            self._patience(deadline)
            self.connection.sendall(LENGTHS.pack(len(encoded), len(body)) + encoded)
            self._patience(deadline)
            self.connection.sendall(body)
            return self.next_part(deadline)
        except ConnectionError as error:
            # Linux resets the connection of a peer that ended with something unread (unix_release_sock); of one that
            # had read everything it says no more than that the connection is at its end.
            raise UnreadError from error

    def next_part(self, deadline: float) -> Response:
        """A response, or the next part of it.

        Raises:
            TimeoutError: The moment has come.
            EOFError: The process has ended.
        """
        head_size, body_size = LENGTHS.unpack(self._receive(LENGTHS.size, deadline))
        answer = json.loads(self._receive(head_size, deadline))
        return Response(body=self._receive(body_size, deadline), **answer)

    @property
    def alive(self) -> bool:
        """Whether it still is there, of one that has nothing to do: then it has nothing to say."""
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        return not poll.poll(0)

    def kill(self) -> None:
        """End the process: it is busy with something that nobody waits for any more."""
        peer, _, _ = _PEER.unpack(self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        with suppress(ProcessLookupError, PermissionError):
            os.kill(peer, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        """Let go of it."""
        self.connection.close()

    def _receive(self, size: int, deadline: float) -> bytes:
        received = bytearray(size)
        view = memoryview(received)
        while view:
            self._patience(deadline)
            count = self.connection.recv_into(view)
            if not count:
                raise EOFError
            view = view[count:]
        return bytes(received)

    def _patience(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.connection.settimeout(left)


def listen(scratch: Path) -> socket.socket:
    """A socket in the job's scratch folder, whose path may be longer than the 108 bytes of a socket's."""
    listener = socket.socket(socket.AF_UNIX)
    folder = os.open(scratch, os.O_PATH | os.O_DIRECTORY)
    try:
        listener.bind(f"/proc/self/fd/{folder}/serving.sock")
    finally:
        os.close(folder)
    listener.listen(128)
    return listener
