"""A server that runs: what it does, how clients reach it, and its end."""

from __future__ import annotations

import os
import shlex
import signal
from pathlib import Path
from typing import Any, Final

from mlops_sm.cli.outside import Outside
from mlops_sm.cli.ui import moment
from mlops_sm.errors import Problem, RefusedError
from mlops_sm.operations import servers
from mlops_sm.operations.servers import SDK_DEFAULTS
from mlops_sm.operations.variables import SDK_VARIABLE, client_variables

_LOOK_AROUND: Final = 0.05
_PATIENCE: Final = 60.0
"""Seconds that `end` waits; running jobs get a few seconds of it."""
_UNSET: Final = ("AWS_PROFILE", "AWS_SESSION_TOKEN")


def tell(outside: Outside, state: Path) -> int:
    """Print what the server of a state directory does; 1 when there is none."""
    server = servers.find_soon(state, outside.sleep)
    if server is None:
        return _none(outside, state)
    said = servers.status(server.url) or {}
    running = said.get("running", {})
    executions, jobs = running.get("executions"), running.get("jobs")
    uptime = max(0, round((outside.now() - server.started).total_seconds()))
    size = servers.size(state)
    ui = outside.ui
    for name, value in (
        ("url", server.url),
        ("pid", str(server.pid)),
        ("started", f"{moment(server.started)}, {_span(uptime)} ago"),
        ("account", f"{server.account}, {server.region}"),
        ("running", f"{_count(executions, 'execution')}, {_count(jobs, 'job')}" if said else "it does not answer"),
        ("state", f"{state}, {size / 1e6:.1f} MB"),
    ):
        ui.result(f"{name:<8} {value}")
    ui.data(
        {
            "running": True,
            "url": server.url,
            "pid": server.pid,
            "started": server.started,
            "uptime_seconds": uptime,
            "version": server.version,
            "account": server.account,
            "region": server.region,
            "answers": bool(said),
            "executions": executions,
            "jobs": jobs,
            "state": state,
            "state_bytes": size,
        }
    )
    return 0


def tell_variables(outside: Outside, state: Path) -> int:
    """Print the variables for clients of the server of a state directory; 1 when there is none."""
    server = servers.find_soon(state, outside.sleep)
    if server is None:
        return _none(outside, state)
    variables = client_variables(server.url, server.account, server.region)
    variables[SDK_VARIABLE] = str((state / SDK_DEFAULTS).resolve())
    for name, value in variables.items():
        outside.ui.result(f"export {name}={shlex.quote(value)}")
    outside.ui.result(f"unset {' '.join(_UNSET)}")
    outside.ui.data(variables)
    return 0


def end(outside: Outside, state: Path) -> int:
    """End the server of a state directory and wait until it has let go of it.

    Raises:
        RefusedError: It is another user's (E135), it does not end (E136), or it is not of ``mlops-sm local up`` (E139).
    """
    server = servers.find_soon(state, outside.sleep)
    if server is None:
        outside.ui.say(f"no server runs for {state}")
        outside.ui.data({"ended": False, "state": state})
        return 0
    if not servers.on_its_way(state):
        owner = servers.holder(state)
        what = f"the account is open in process {owner}, which is more than a server"
        raise RefusedError(Problem("E139", str(state), what, "End that process as it is ended usually."))
    try:
        os.kill(server.pid, signal.SIGTERM)
    except ProcessLookupError:
        pass  # it has just ended by itself
    except PermissionError as err:
        what = f"the server is process {server.pid} of another user"
        raise RefusedError(Problem("E135", str(state), what, "End it as that user.")) from err
    waited = 0.0
    while servers.holder(state).startswith(f"{server.pid} "):
        if waited >= _PATIENCE:
            what = f"the server, process {server.pid}, was told to end {_PATIENCE:.0f} s ago and still runs"
            raise RefusedError(Problem("E136", str(state), what, f"Wait, or end it at once: kill -9 {server.pid}"))
        outside.sleep(_LOOK_AROUND)
        waited += _LOOK_AROUND
    outside.ui.say(f"the server at {server.url} has ended")
    outside.ui.data({"ended": True, "state": state})
    return 0


def _none(outside: Outside, state: Path) -> int:
    holder = servers.holder(state)
    outside.ui.say(f"no server runs for {state}" + (f"; it is in use by process {holder}" if holder else ""))
    outside.ui.data({"running": False, "state": state})
    return 1


def _count(number: Any, noun: str) -> str:  # noqa: ANN401 - from the server's JSON
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _span(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
