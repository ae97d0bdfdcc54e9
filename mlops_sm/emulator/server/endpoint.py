"""The account's address: nothing listens until somebody asks for it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from mlops_sm.emulator.server.control import Control
from mlops_sm.emulator.server.doors import is_loopback
from mlops_sm.errors import Problem, RefusedError

if TYPE_CHECKING:
    from mlops_sm.emulator.server.application import Answerer, Application
    from mlops_sm.emulator.server.listener import HttpServer

LOOPBACK: Final = "127.0.0.1"


class Endpoint:
    """Where the account can be reached over HTTP.

    Args:
        answer: The account's front.
        control: What the account says about itself.
        patience: Seconds that requests get to end by themselves when the account is closed.
    """

    def __init__(self, answer: Answerer, control: Control, patience: float) -> None:
        self._answer = answer
        self._control = control
        self._patience = patience
        self._lock = threading.Lock()
        self._server: HttpServer | None = None
        self._closed = False

    def serve(self, port: int = 0, host: str = LOOPBACK) -> str:
        """Listen unless it listens already.

        Args:
            port: The port; 0 takes a free one.
            host: The address to bind. Whoever reaches the port runs code as this user.

        Returns:
            The URL, e.g. ``http://127.0.0.1:49152``.

        Raises:
            RefusedError: E546, the port or the address cannot be had; E547, the account is closed or listens on another
                port already.
        """
        with self._lock:
            if self._closed:
                raise RefusedError(_closed(host, port))
            if self._server is None:
                from mlops_sm.emulator.server.listener import HttpServer  # noqa: PLC0415 - many accounts never serve

                self._server = HttpServer(lambda: self._application(exposed=not is_loopback(host)), host, port)
            elif port not in {0, self._server.port}:
                raise RefusedError(_elsewhere(host, port, self._server.url))
            return self._server.url

    def _application(self, *, exposed: bool) -> Application:
        from mlops_sm.emulator.server.application import Application  # noqa: PLC0415 - see HttpServer

        return Application(self._answer, self._control, exposed=exposed)

    def close(self) -> None:
        """Take no more requests and let those that are being answered end."""
        with self._lock:
            self._closed = True
            server, self._server = self._server, None
        if server is not None:
            server.close(self._patience)


def _closed(host: str, port: int) -> Problem:
    return Problem("E547", f"{host}:{port}", "the local account is closed", "Open it again: LocalAccount.open(state).")


def _elsewhere(host: str, port: int, url: str) -> Problem:
    return Problem(
        "E547",
        f"{host}:{port}",
        f"the local account is served at {url} already",
        "Use that URL, or ask for the port before anything else needs the endpoint.",
    )
