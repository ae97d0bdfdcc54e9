"""The HTTP server: a listening socket and its threads, started once and ended without cutting an answer off."""

from __future__ import annotations

import errno
import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from mlops_sm.errors import Problem, RefusedError
from mlops_sm.operations import servers

if TYPE_CHECKING:
    from waitress.server import TcpWSGIServer

_THREADS: Final = 64
"""Requests that are answered at once; those that wait for messages or for a function's end hold one meanwhile."""
_BACKLOG: Final = 512
_MAX_BODY: Final = 5 * 1024**3 + 1024**2
"""S3's limit for one request (5 GiB) and what chunked signing adds to it."""
_RECEIVE_BYTES: Final = 256 * 1024
_SPOOL_BYTES: Final = 1024**2
_QUEUED_BYTES: Final = 1024**2
"""What of an answer waits in memory until the client has taken what was sent before."""
_CONNECTIONS: Final = 500
_IDLE_SECONDS: Final = 600
_OF_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what this process itself calls them
_LOOK_AROUND: Final = 0.01
_log = logging.getLogger(__name__)


class HttpServer:
    """Serves a WSGI application from the moment it is made until `close`.

    Args:
        make: Makes the application, which answers on several threads at once. Called on the server's own thread: the
            port is there at once, what it takes to answer a moment later.
        host: The address to bind.
        port: The port; 0 takes a free one.

    Attributes:
        url: Where this machine reaches it.
        port: The port.

    Raises:
        RefusedError: E546, the port is taken or may not be used, or the address is not this machine's.
    """

    def __init__(self, make: Callable[[], Callable[..., Any]], host: str, port: int) -> None:
        try:
            self._socket = _bound(host, port)
        except (OSError, OverflowError) as error:
            raise RefusedError(_cannot_listen(host, port, error)) from error
        self.port: int = self._socket.getsockname()[1]
        self.url = _url(host, self.port)
        self._server: TcpWSGIServer | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(make,), name=f"server {self.url}", daemon=True)
        self._thread.start()

    def close(self, patience: float) -> None:
        """Take no more connections, let requests that are being answered end, let go of the port.

        Args:
            patience: Seconds that requests get to end by themselves.
        """
        self._ready.wait()
        server = self._server
        if server is None:
            self._socket.close()
            return
        # Sockets belong to the server's own thread; the trigger makes it call what it is given.
        server.trigger.pull_trigger(server.del_channel)
        server.trigger.pull_trigger(self._socket.close)
        deadline = time.monotonic() + patience
        while _busy(server) and time.monotonic() < deadline:
            time.sleep(_LOOK_AROUND)
        server.task_dispatcher.shutdown(timeout=1)
        _pull_last(server)
        self._thread.join(patience)
        _log.debug("%s is closed", self.url)

    def _run(self, make: Callable[[], Callable[..., Any]]) -> None:
        try:
            from waitress.server import create_server  # noqa: PLC0415 - see the parameter `make`

            from mlops_sm.emulator.server.connection import Connection  # noqa: PLC0415 - likewise

            # It warns of every request that finds all threads busy.
            logging.getLogger("waitress.queue").setLevel(logging.ERROR)
            self._server = server = create_server(
                make(),
                sockets=[self._socket],
                threads=_THREADS,
                ident=None,
                backlog=_BACKLOG,
                max_request_body_size=_MAX_BODY,
                recv_bytes=_RECEIVE_BYTES,
                inbuf_overflow=_SPOOL_BYTES,
                outbuf_high_watermark=_QUEUED_BYTES,
                outbuf_overflow=4 * _QUEUED_BYTES,
                connection_limit=_CONNECTIONS,
                channel_timeout=_IDLE_SECONDS,
                asyncore_use_poll=True,
                clear_untrusted_proxy_headers=False,
            )
            server.channel_class = Connection
        finally:
            self._ready.set()
        _log.debug("listening on %s", self.url)
        server.run()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A port that a server of before has just let go of is free.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


def _pull_last(server: TcpWSGIServer) -> None:
    """Close everything on the server's own thread, the trigger as well.

    Under the trigger's lock nothing calls it before it is pulled: a pull of a moment ago would, and close the pipe that
    this one is written to.
    """
    trigger = server.trigger
    with trigger.lock:
        trigger.thunks.append(lambda: _close_all(server))
        trigger._physical_pull()


def _busy(server: TcpWSGIServer) -> bool:
    """Whether a request is being read or answered, or an answer is on its way out."""
    return any(
        channel.requests or channel.request is not None or channel.total_outbufs_len
        for channel in list(server.active_channels.values())
    )


def _close_all(server: TcpWSGIServer) -> None:
    from waitress import wasyncore  # noqa: PLC0415 - loaded with the server

    for channel in list(server.active_channels.values()):
        channel.handle_close()
    wasyncore.close_all(server._map)


def _url(host: str, port: int) -> str:
    name = _OF_ANY.get(host, host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _who_listens(host: str, port: int) -> str:
    said = servers.status(_url(host, port)) or {}
    if not {"state", "pid"} <= said.keys():
        return "another process"
    return f"the local account of {said['state']} (process {said['pid']})"


def _cannot_listen(host: str, port: int, error: OSError | OverflowError) -> Problem:
    match getattr(error, "errno", None):
        case errno.EADDRINUSE:
            what = f"port {port} of {host} is in use by {_who_listens(host, port)}"
            fix = f"Choose another port, or 0 for a free one; `ss -ltnp 'sport = :{port}'` shows who has it."
        case errno.EACCES:
            what, fix = f"this user may not listen on port {port}", "Choose a port above 1023, or 0 for a free one."
        case errno.EADDRNOTAVAIL:
            what, fix = f"{host} is not an address of this machine", "Leave the host away to listen on 127.0.0.1."
        case _:
            what = f"cannot listen on port {port} of {host}: {error}"
            fix = "Choose a port between 1 and 65535, or 0 for a free one."
    return Problem("E546", f"{host}:{port}", what, fix)
