"""The HTTP server: a listening socket and its threads, started once and ended without cutting an answer off."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from waitress import wasyncore
from waitress.server import TcpWSGIServer, create_server

from mlops_sm.errors import Problem, RefusedError

_THREADS: Final = 32
_MAX_BODY: Final = 5 * 1024**3 + 1024**2
"""S3's limit for one request (5 GiB) and what chunked signing adds to it."""
_RECEIVE_BYTES: Final = 256 * 1024
_SPOOL_BYTES: Final = 1024**2
_CONNECTIONS: Final = 1000
_IDLE_SECONDS: Final = 600
_OF_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what this process itself calls them
_LOOK_AROUND: Final = 0.01
_log = logging.getLogger(__name__)


class HttpServer:
    """Serves a WSGI application from the moment it is made until `close`.

    Args:
        application: Answers the requests, on several threads at once.
        host: The address to bind.
        port: The port; 0 takes a free one.

    Attributes:
        url: Where this machine reaches it.
        port: The port.

    Raises:
        RefusedError: E546, the port is taken or may not be used, or the address is not this machine's.
    """

    def __init__(self, application: Callable[..., Any], host: str, port: int) -> None:
        try:
            self._server: TcpWSGIServer = create_server(
                application,
                host=host,
                port=port,
                threads=_THREADS,
                ident=None,
                max_request_body_size=_MAX_BODY,
                recv_bytes=_RECEIVE_BYTES,
                inbuf_overflow=_SPOOL_BYTES,
                connection_limit=_CONNECTIONS,
                channel_timeout=_IDLE_SECONDS,
                asyncore_use_poll=True,
                clear_untrusted_proxy_headers=False,
            )
        except OSError as error:
            raise RefusedError(_cannot_listen(host, port, error)) from error
        self.port = int(self._server.effective_port)
        name = _OF_ANY.get(host, host)
        self.url = f"http://[{name}]:{self.port}" if ":" in name else f"http://{name}:{self.port}"
        self._thread = threading.Thread(target=self._server.run, name=f"server {self.url}", daemon=True)
        self._thread.start()
        _log.debug("listening on %s", self.url)

    def close(self, patience: float) -> None:
        """Take no more requests, let those that are being answered end, let go of the port.

        Args:
            patience: Seconds that requests get to end by themselves.
        """
        # Sockets belong to the server's own thread; the trigger makes it call what it is given.
        self._server.trigger.pull_trigger(lambda: wasyncore.dispatcher.close(self._server))
        deadline = time.monotonic() + patience
        while self._busy() and time.monotonic() < deadline:
            time.sleep(_LOOK_AROUND)
        self._server.task_dispatcher.shutdown(timeout=1)
        self._server.trigger.pull_trigger(lambda: wasyncore.close_all(self._server._map))
        self._thread.join(patience)
        _log.debug("%s is closed", self.url)

    def _busy(self) -> bool:
        """Whether a request is being read or answered, or an answer is on its way out."""
        return any(
            channel.requests or channel.request is not None or channel.total_outbufs_len
            for channel in list(self._server.active_channels.values())
        )


def _cannot_listen(host: str, port: int, error: OSError) -> Problem:
    match error.errno:
        case errno.EADDRINUSE:
            what = f"port {port} of {host} is in use by another process"
            fix = f"Choose another port, or 0 for a free one; see who has it with `ss -ltnp 'sport = :{port}'`."
        case errno.EACCES:
            what, fix = f"this user may not listen on port {port}", "Choose a port above 1023, or 0 for a free one."
        case errno.EADDRNOTAVAIL:
            what, fix = f"{host} is not an address of this machine", "Leave the host away to listen on 127.0.0.1."
        case _:
            what = f"cannot listen on {host}, port {port}: {error.strerror or error}"
            fix = "Choose another port, or 0 for a free one."
    return Problem("E546", f"{host}:{port}", what, fix)
