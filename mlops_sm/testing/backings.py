"""The two ways to open an account for tests: in this process, or in one of its own."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from mlops_sm import __version__, naming
from mlops_sm.errors import InputError, Problem, RefusedError
from mlops_sm.operations import servers
from mlops_sm.operations.clients import endpoint_session
from mlops_sm.operations.resources import ensure_bucket, ensure_role
from mlops_sm.operations.servers import Server
from mlops_sm.project import find_project_file, load_project
from mlops_sm.testing.account import Backing
from mlops_sm.testing.workers import lent_workers

if TYPE_CHECKING:
    from mlops_sm.emulator import LocalAccount
    from mlops_sm.local.user_handlers import UserHandlers

OPEN_ALREADY: Final = "E544"
"""The problem of a second account in one process."""
_PACKAGE_ROOT: Final = Path(__file__).parents[2]
_PATIENCE: Final = 30.0
_PROBLEM: Final = re.compile(r"error\[(\w+)\]: (.*)\n  where: (.*)\n  fix:   (.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What is to be opened.

    Attributes:
        state: The state directory.
        account_id: The account's 12 digits.
        region: Of clients that name none.
        images: What images stand for.
        handlers: What stands in for steps, as the project that `images` are of says.
    """

    state: Path
    account_id: str
    region: str
    images: Mapping[str, str | Mapping[str, str]]
    handlers: UserHandlers | None = None


def project_settings() -> tuple[Mapping[str, str | Mapping[str, str]], UserHandlers | None]:
    """What images stand for, and what stands in for steps, in the project around the current folder, if there is one.

    Raises:
        InputError: The project's settings are wrong, or a kind of steps needs no handler (E415).
    """
    here = Path.cwd()
    if not find_project_file(here):
        return {}, None
    project = load_project(here)
    if not project.local.handlers:
        return project.local.images, None
    from mlops_sm.local.user_handlers import UserHandlers  # noqa: PLC0415 - few projects have any

    return project.local.images, UserHandlers.of(project.local.handlers, project.root)


@contextmanager
def open_backing(opening: Opening, folder: Path, *, own_process: bool) -> Iterator[Backing]:
    """Open an account, in this process if that is free and wanted.

    Args:
        opening: What is to be opened.
        folder: A temporary folder of the caller.
        own_process: Take a process of its own in any case.

    Raises:
        RefusedError: See `local_account`.
    """
    opened = None if own_process else _open_here(opening)
    if opened is None:
        with _open_there(opening, folder) as backing:
            yield backing
    else:
        with opened:
            backing = _Here(opened)
            announced = Server(
                url=backing.endpoint_url,
                pid=os.getpid(),
                started=datetime.now(UTC),
                version=__version__,
                account=opening.account_id,
                region=opening.region,
            )
            # So that commands which a test runs meet this account.
            servers.announce(opening.state, announced)
            try:
                yield backing
            finally:
                servers.withdraw(opening.state)


def _open_here(opening: Opening) -> LocalAccount | None:
    """The account in this process, or None when another one is open here."""
    try:
        from mlops_sm.emulator import LocalAccount  # noqa: PLC0415 - an extra, and an account elsewhere needs no moto
    except ModuleNotFoundError as err:
        what = f"the Python package {err.name} is not installed"
        fix = 'Install what the local account needs: pip install "mlops-sm-kit[local]"'
        raise RefusedError(Problem("E130", "local_account", what, fix)) from err
    try:
        return LocalAccount.open(
            opening.state,
            account_id=opening.account_id,
            region=opening.region,
            images=opening.images,
            handlers=opening.handlers,
            warm=lent_workers(),
        )
    except RefusedError as err:
        if err.problems[0].code != OPEN_ALREADY:
            raise
        return None


class _Here:
    """An account of this process."""

    def __init__(self, account: LocalAccount) -> None:
        self._account = account
        self.endpoint_url = account.endpoint_url
        self.clock = _ClockHere(account)
        self.faults = _FaultsHere(account)

    def ensure_bucket(self, name: str, *, versioned: bool) -> None:
        self._account.ensure_bucket(name, versioned=versioned)

    def ensure_role(self, arn: str) -> None:
        self._account.ensure_role(arn)


class _ClockHere:
    def __init__(self, account: LocalAccount) -> None:
        self._clock = account.clock

    def now(self) -> datetime:
        return self._clock()

    def advance(self, **span: float) -> datetime:
        return self._clock.advance(**span)


class _FaultsHere:
    def __init__(self, account: LocalAccount) -> None:
        self._faults = account.faults

    def plant(self, fault: Mapping[str, Any]) -> None:
        from mlops_sm.emulator.faults import Fault  # noqa: PLC0415 - an account elsewhere needs no emulator here

        self._faults.plant(Fault.of(fault))

    def pending(self) -> Sequence[Mapping[str, Any]]:
        return self._faults.pending()

    def clear(self) -> None:
        self._faults.clear()


@contextmanager
def _open_there(opening: Opening, folder: Path) -> Iterator[Backing]:
    log, project = folder / "server.log", folder
    if opening.handlers is not None:
        # The functions run in their project's folder, whose settings name them and say what images stand for.
        project = opening.handlers.folder
    else:
        _write_settings(project, opening.images)
    with log.open("w+b") as errors:
        command = [sys.executable, "-m", "mlops_sm", "local", "up", "--empty", "--end-with-stdin", "--port", "0"]
        command += ["--state", str(opening.state), "--account", opening.account_id, "--region", opening.region]
        server = subprocess.Popen(  # noqa: S603 - our own command, our own arguments
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=project,
            env=_server_environment(),
            text=True,
            start_new_session=True,
        )
        with server:
            try:
                url = _ready(server, log)
                yield _There(url, opening)
            finally:
                _end(server)


def _write_settings(folder: Path, images: Mapping[str, str | Mapping[str, str]]) -> None:
    """Make a folder a project: that is how a server is told what images stand for."""
    lines = [f"{json.dumps(image, ensure_ascii=False)} = {_as_toml(to)}" for image, to in images.items()]
    settings = ["[tool.mlops_sm]", 'name = "tests"', "[tool.mlops_sm.local.images]", *lines, ""]
    (folder / "pyproject.toml").write_text("\n".join(settings), encoding="utf-8")


def _as_toml(target: str | Mapping[str, str]) -> str:
    if isinstance(target, str):
        return json.dumps(_from_here(target))
    return "{" + ", ".join(f"{json.dumps(key)} = {json.dumps(_from_here(path))}" for key, path in target.items()) + "}"


def _from_here(path: str) -> str:
    """A relative path is meant from the caller's folder; what is no path is a name."""
    return str(Path(path).absolute()) if Path(path).exists() else path


def _ready(server: subprocess.Popen[str], log: Path) -> str:
    """The URL in the server's first line."""
    word, _, url = _pipe(server.stdout).readline().strip().partition(" ")
    if word == "ready":
        return url
    server.wait(_PATIENCE)
    said = log.read_text(errors="replace")
    problems = [Problem(*found) for found in _PROBLEM.findall(said)]
    if problems:
        raise (InputError if server.returncode == InputError.exit_code else RefusedError)(*problems)
    what = f"the account's own process ended with exit code {server.returncode}: {said.strip()[-2000:]}"
    raise RefusedError(
        Problem("E137", "local_account", what, "See what it said; mlops-sm doctor looks at the machine.")
    )


def _end(server: subprocess.Popen[str]) -> None:
    _pipe(server.stdin).close()
    try:
        server.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        server.kill()


def _pipe(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise ValueError("the process was started without this pipe")
    return stream


def _server_environment() -> dict[str, str]:
    """The environment of this process without what is meant for AWS clients or for commands of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MLOPS_SM_"))}
    if _PACKAGE_ROOT.name not in {"site-packages", "dist-packages"}:
        # A checkout that this process may have found by its current folder.
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_PACKAGE_ROOT), kept.get("PYTHONPATH", "")]))
    return kept


class _There:
    """An account of another process."""

    def __init__(self, url: str, opening: Opening) -> None:
        self.endpoint_url = url
        self.clock = _ClockThere(_Control(url))
        self.faults = _FaultsThere(_Control(url))
        self._region = opening.region
        key = naming.local_access_key(opening.account_id)
        self._session = endpoint_session(url, access_key=key, region=opening.region)

    def ensure_bucket(self, name: str, *, versioned: bool) -> None:
        ensure_bucket(self._session.client("s3"), name, self._region, versioned=versioned)

    def ensure_role(self, arn: str) -> None:
        ensure_role(self._session.client("iam"), arn)


class _ClockThere:
    """The clock behind a server's control endpoint."""

    def __init__(self, control: _Control) -> None:
        self._control = control

    def now(self) -> datetime:
        return datetime.fromisoformat(self._control.asked("GET", "clock")["now"])

    def advance(self, **span: float) -> datetime:
        try:
            seconds = timedelta(**span).total_seconds()
        except OverflowError as err:
            raise ValueError("the clock cannot be advanced so far") from err
        return datetime.fromisoformat(self._control.asked("POST", "clock/advance", {"seconds": seconds})["now"])


class _FaultsThere:
    """The faults behind a server's control endpoint."""

    def __init__(self, control: _Control) -> None:
        self._control = control

    def plant(self, fault: Mapping[str, Any]) -> None:
        self._control.asked("POST", "faults", fault)

    def pending(self) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = self._control.asked("GET", "faults")["pending"]
        return found

    def clear(self) -> None:
        self._control.asked("DELETE", "faults")


class _Control:
    """A server's control endpoint."""

    def __init__(self, url: str) -> None:
        self._url = url

    def asked(self, method: str, what: str, body: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
        """The answer.

        Raises:
            ValueError: What was asked makes no sense.
            RefusedError: E138, it answered with something else.
        """
        # No limit: an advance returns when everything that became due is done.
        place = urlsplit(self._url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, f"/_mlops_sm/{what}", content, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        if answer.status == http.client.BAD_REQUEST:
            raise ValueError(json.loads(said)["message"])
        if answer.status != http.client.OK:
            problem = f"{what} answered {answer.status}: {said.decode(errors='replace')[:500]}"
            raise RefusedError(Problem("E138", self._url, problem, "See the message."))
        return json.loads(said)
