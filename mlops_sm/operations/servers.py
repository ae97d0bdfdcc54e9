"""The server of a state directory: how commands find it, and know a dead one's trace from a live one."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

FILE_NAME: Final = "server.json"
"""In the state directory, from the server's start to its end."""
SDK_DEFAULTS: Final = "sagemaker.yaml"
"""Beside it: what the SageMaker SDK is told about the account."""
LOCK_NAME: Final = "lock"
"""Held by whoever owns the state directory, with its process id and command in it."""
PATIENCE: Final = 30.0
"""Seconds for a server to be there once it has taken the state directory, or to be gone once it was told to end."""
STATUS: Final = "/_mlops_sm/status"
"""Where a server says who it is."""
_CLOCK: Final = "/_mlops_sm/clock"
_LONGEST_STATUS: Final = 64 * 1024
_ANSWER: Final = 3.0
"""Seconds for a server on this machine to say that it is there."""
_LOOK_AROUND: Final = 0.1
_COMMAND: Final = re.compile(r" local up( |$)")
"""In the command of an owner that is a server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running server.

    Attributes:
        url: Where it answers, e.g. ``http://127.0.0.1:5225``.
        pid: Its process.
        started: Since when.
        version: Of this package.
        account: The account that everybody's credentials lead to.
        region: Of requests that name none.
    """

    url: str
    pid: int
    started: datetime
    version: str
    account: str
    region: str


def announce(state: Path, server: Server) -> None:
    """Write down that a server answers for a state directory; a reader sees all of it or nothing."""
    document = {**asdict(server), "started": server.started.isoformat()}
    draft = state / f"{FILE_NAME}.new"
    draft.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    draft.replace(state / FILE_NAME)


def withdraw(state: Path) -> None:
    """Take that back; only for the owner of the state directory."""
    (state / FILE_NAME).unlink(missing_ok=True)


def find(state: Path) -> Server | None:
    """The server that owns a state directory now; None when none does, whatever a dead one has left there."""
    server = _announced(state)
    if server is None:
        return None
    said = status(server.url)
    if said is not None:
        ours = said.get("pid") == server.pid and Path(str(said.get("state"))).resolve() == state.resolve()
        return server if ours else None
    # It does not answer. The lock ends with its owner, however that ended; a process id may be another's by now.
    return server if holder(state).startswith(f"{server.pid} ") else None


def find_soon(state: Path, sleep: Callable[[float], None]) -> Server | None:
    """As `find`, but a server that is just starting or just ending is waited for, until it is there or gone."""
    waited = 0.0
    while (server := find(state)) is None and waited < PATIENCE and on_its_way(state):
        sleep(_LOOK_AROUND)
        waited += _LOOK_AROUND
    return server


def on_its_way(state: Path) -> bool:
    """Whether a server owns a state directory, although it may not be there yet or any more."""
    return _COMMAND.search(holder(state)) is not None


def status(url: str) -> Mapping[str, Any] | None:
    """What a server says of itself; None when nobody, or nobody of ours, answers there."""
    return _asked(url, STATUS)


def clock(url: str) -> datetime | None:
    """The time of a server's account, which may have been advanced; None when nobody answers."""
    said = _asked(url, _CLOCK)
    return None if said is None else datetime.fromisoformat(said["now"])


def _asked(url: str, path: str) -> Mapping[str, Any] | None:
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=_ANSWER)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        said = json.loads(answer.read(_LONGEST_STATUS))
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return said if answer.status == http.client.OK and isinstance(said, dict) else None


def holder(state: Path) -> str:
    """Who owns a state directory: process id and command, or nothing when nobody does."""
    import fcntl  # noqa: PLC0415 - there is none on Windows, where `doctor` must still say what is missing

    try:
        with (state / LOCK_NAME).open("rb") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return stream.read(4096).decode(errors="replace").strip() or "another process"
    except OSError:
        return ""
    return ""


def _announced(state: Path) -> Server | None:
    """What is written down, whoever wrote it; None when it is not what a server writes."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        document = json.loads((state / FILE_NAME).read_text(encoding="utf-8"))
        document["started"] = datetime.fromisoformat(document["started"])
        if isinstance(document["pid"], int) and isinstance(document["url"], str):
            return Server(**{field.name: document[field.name] for field in fields(Server)})
    return None


def size(state: Path) -> int:
    """Bytes of the files in a state directory."""
    total = 0
    for folder, _, names in os.walk(state):
        for name in names:
            # A job may take its files away meanwhile.
            with contextlib.suppress(OSError):
                total += (Path(folder) / name).lstat().st_size
    return total
