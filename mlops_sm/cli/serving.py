"""The local account served to other programs: what ``mlops-sm local up`` does."""

from __future__ import annotations

import ipaddress
import logging
import os
import shlex
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import Final

from mlops_sm import __version__
from mlops_sm.cli.local_accounts import Embedded, open_embedded
from mlops_sm.cli.outside import Outside
from mlops_sm.cli.signals import on_end
from mlops_sm.errors import InputError, Problem, RefusedError
from mlops_sm.operations import servers
from mlops_sm.operations.servers import Server
from mlops_sm.operations.variables import sdk_defaults
from mlops_sm.project import LOCAL, Environment

_STDIN: Final = 0


class End(Enum):
    """What happened to a server that is to end."""

    SIGNAL = auto()
    STDIN = auto()
    CLOSED = auto()


Told = SimpleQueue[End]
"""A queue that a signal handler may put to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What the user asked for.

    Attributes:
        port: Where to listen; 0 takes a free port.
        host: The address to listen on.
        expose: Whether other machines may reach it.
        state: The option ``--state``.
        region: Instead of the local environment's.
        account: Instead of the local environment's.
        empty: Make no bucket and no role.
        end_with_stdin: End when standard input is closed.
        verbose: Say every request.
    """

    port: int
    host: str
    expose: bool
    state: Path | None
    region: str | None
    account: str | None
    empty: bool
    end_with_stdin: bool
    verbose: bool


def serve(outside: Outside, wanted: Serving) -> int:
    """Serve until Ctrl-C, SIGTERM or the end of standard input; the exit code.

    Raises:
        InputError: The address is one that other machines reach (E128), or none (E129).
        RefusedError: The state is in use (E540) or cannot be used (E541), or the port is taken (E546).
    """
    if _reached_by_others(wanted.host):
        if not wanted.expose:
            raise InputError(_exposed(wanted.host))
        outside.ui.say(f"warning: {_exposed(wanted.host).what}")
    given = {"MLOPS_SM_LOCAL_ACCOUNT": wanted.account, "MLOPS_SM_LOCAL_REGION": wanted.region}
    variables = {**outside.variables, **{name: value for name, value in given.items() if value is not None}}
    project = replace(outside, variables=variables).project_or_standalone()
    environment = project.environment(LOCAL)
    state = outside.state_directory(project, wanted.state)
    running = servers.find(state)
    if running is not None:
        raise RefusedError(_runs_already(state, running))
    _log(outside, verbose=wanted.verbose)
    with _told_to_end() as told:
        opened = open_embedded(state, project, environment)
        try:
            _announce(outside, wanted, opened, environment, state)
            if wanted.end_with_stdin:
                threading.Thread(target=_read_to_end, args=(told,), name="stdin", daemon=True).start()
            told.get()
            outside.ui.say("ending: jobs that run are stopped; Ctrl-C again kills them")
        finally:
            servers.withdraw(state)
            _close(outside, opened, told)
    return 0


def _reached_by_others(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError as err:
        fix = "Give an address of this machine, for example 127.0.0.1."
        raise InputError(Problem("E129", f"--host {host}", f"{host} is no IP address", fix)) from err


def _exposed(host: str) -> Problem:
    return Problem(
        "E128",
        f"--host {host}",
        f"{host} is an address that other machines may reach: whoever reaches the port runs any code as you, reads and "
        "writes all of the account, and is asked for no password",
        "Leave --host out to serve this machine only, or add --expose if you mean it.",
    )


def _log(outside: Outside, *, verbose: bool) -> None:
    """Have the account's log lines among the progress: warnings, and every request if it is wanted."""
    handler = logging.StreamHandler(outside.ui.err)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    ours = logging.getLogger("mlops_sm")
    ours.addHandler(handler)
    ours.propagate = False
    ours.setLevel(logging.DEBUG if verbose else logging.WARNING)


def _runs_already(state: Path, server: Server) -> Problem:
    return Problem(
        "E540",
        str(state),
        f"a server runs for this state already: {server.url}, process {server.pid}",
        "Use that one, end it with mlops-sm local down, or name another account with --state DIR.",
    )


def _announce(outside: Outside, wanted: Serving, opened: Embedded, environment: Environment, state: Path) -> None:
    """Listen, and say so once everything is there."""
    url = opened.account.serve(wanted.port, wanted.host)
    if not wanted.empty:
        opened.prepare(environment)
    opened.account.warm.prewarm()
    server = Server(
        url=url,
        pid=os.getpid(),
        started=outside.now(),
        version=__version__,
        account=environment.account,
        region=environment.region,
    )
    (state / servers.SDK_DEFAULTS).write_text(sdk_defaults(server.account, server.region), encoding="utf-8")
    servers.announce(state, server)
    reach = f" --state {shlex.quote(str(state))}" if wanted.state is not None else ""
    outside.ui.say(f"local account {environment.account} in {state}; Ctrl-C ends it")
    outside.ui.say(f'for AWS clients in another terminal: eval "$(mlops-sm local env{reach})"')
    outside.ui.result(f"ready {url}")
    outside.ui.data({"url": url, "pid": server.pid, "state": state})


@contextmanager
def _told_to_end() -> Iterator[Told]:
    """Whatever wants the server to end is put here; a signal that interrupted would hit closing halfway."""
    told: Told = SimpleQueue()

    def tell(_number: int, _frame: FrameType | None) -> None:
        told.put(End.SIGNAL)

    with on_end(tell, signal.SIGINT):
        yield told


def _read_to_end(told: Told) -> None:
    try:
        while os.read(_STDIN, 65536):
            pass
    finally:
        told.put(End.STDIN)


def _close(outside: Outside, opened: Embedded, told: Told) -> None:
    """Close the account; a signal meanwhile kills the jobs that it waits for."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="close-account") as pool:
        closing = pool.submit(opened.account.close)
        closing.add_done_callback(lambda _: told.put(End.CLOSED))
        while (end := told.get()) is not End.CLOSED:
            if end is End.SIGNAL:
                outside.ui.say("killing the jobs")
                opened.kill()
        closing.result()
