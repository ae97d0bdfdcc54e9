"""The local account for tests: open while a context manager is, found by every AWS client without being told."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from mlops_sm import naming
from mlops_sm.operations.variables import default_bucket
from mlops_sm.testing.faults import Faults, Planting

if TYPE_CHECKING:
    import boto3

    from mlops_sm.operations.clients import Clients
    from mlops_sm.operations.runs import Execution

ROLE_NAME: Final = "SageMakerExecutionRole"
"""Of the role that `OpenAccount.role_arn` makes."""


class Clock(Protocol):
    """The time of an account: the machine's, plus what it was advanced by."""

    def now(self) -> datetime:
        """The account's time, timezone-aware."""

    def advance(
        self,
        *,
        weeks: float = 0,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        milliseconds: float = 0,
    ) -> datetime:
        """Let time pass. Schedules and alarms that become due meanwhile have done their work when this returns.

        Returns:
            The time afterwards.

        Raises:
            ValueError: The span is negative, or leads out of the calendar.
        """


class Backing(Protocol):
    """What differs between an account in this process and one in a process of its own."""

    @property
    def endpoint_url(self) -> str:
        """Where it answers."""

    @property
    def clock(self) -> Clock:
        """Its time."""

    @property
    def faults(self) -> Planting:
        """Where its faults are planted."""

    def ensure_bucket(self, name: str, *, versioned: bool) -> None:
        """Make a bucket unless it exists."""

    def ensure_role(self, arn: str) -> None:
        """Make an execution role unless it exists."""


class OpenAccount:
    """A local account that is open; made by `local_account`.

    Attributes:
        state: The state directory.
        account_id: The account's 12 digits.
        region: Of clients that name none.
        endpoint_url: What AWS_ENDPOINT_URL is for clients of this and of other processes.
        clock: Its time.
        faults: What is to go wrong in it; nothing unless a test plants it.
    """

    def __init__(self, state: Path, account_id: str, region: str, backing: Backing) -> None:
        """Use `local_account`."""
        self.state = state
        self.account_id = account_id
        self.region = region
        self.endpoint_url = backing.endpoint_url
        self.clock = backing.clock
        self.faults = Faults(backing.faults)
        self._backing = backing
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._lock = threading.Lock()

    def session(self, region: str | None = None, *, account_id: str | None = None) -> boto3.Session:
        """A boto3 session of the account, whatever the environment says.

        Args:
            region: Instead of the account's.
            account_id: Another account, for tests across accounts: every id is an account of its own.
        """
        from mlops_sm.operations.clients import endpoint_session  # noqa: PLC0415 - boto3: not for `pytest --help`

        key = naming.local_access_key(account_id or self.account_id)
        return endpoint_session(self.endpoint_url, access_key=key, region=region or self.region)

    def client(self, service: str, region: str | None = None, *, account_id: str | None = None) -> Any:  # noqa: ANN401 - boto3's clients have no types
        """A boto3 client, made once for each service, region and account; see `session`."""
        wanted = (service, region or self.region, account_id or self.account_id)
        with self._lock:
            if wanted not in self._clients:
                self._clients[wanted] = self.session(wanted[1], account_id=wanted[2]).client(service)
            return self._clients[wanted]

    @cached_property
    def role_arn(self) -> str:
        """The ARN of an execution role, which is there from the moment somebody asks for it."""
        return self.ensure_role(ROLE_NAME)

    @cached_property
    def bucket(self) -> str:
        """The bucket that the SageMaker SDK uses unless it is told another, there from the moment somebody asks."""
        return self.ensure_bucket(default_bucket(self.account_id, self.region))

    def wait(self, execution_arn: str, *, timeout_in_seconds: float = 600) -> Execution:
        """Wait until a pipeline execution has ended; its status, its steps and why it failed.

        Raises:
            TimeoutError: It still runs.
        """
        from mlops_sm.operations import runs  # noqa: PLC0415 - boto3: not for `pytest --help`

        clients = self._clients_of(execution_arn)
        deadline = time.monotonic() + timeout_in_seconds

        def sleep(seconds: float) -> None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{execution_arn} still runs after {timeout_in_seconds:g} s")
            time.sleep(seconds)

        for _ in runs.follow(clients, execution_arn, pace=runs.LOCAL_PACE, sleep=sleep):
            pass
        return runs.show(clients, execution_arn)

    def log(self, execution_arn: str, step: str) -> str:
        """What a step's job has written so far.

        Raises:
            InputError: The execution has started no step of that name (E111), or the step starts no job.
        """
        from mlops_sm.operations import runs  # noqa: PLC0415 - boto3: not for `pytest --help`
        from mlops_sm.operations.logs import read_log  # noqa: PLC0415 - as above

        clients = self._clients_of(execution_arn)
        read = read_log(clients, runs.show(clients, execution_arn), step)
        return "".join(f"{line.message}\n" for line in read.lines)

    def settle(self) -> None:
        """Wait until every event, notification and asynchronous call that was set off so far has been delivered."""
        self.clock.advance()

    def ensure_bucket(self, name: str, *, versioned: bool = True) -> str:
        """Make a bucket unless it exists; its name.

        Args:
            name: The bucket.
            versioned: Keep every version of its objects.
        """
        self._backing.ensure_bucket(name, versioned=versioned)
        return name

    def ensure_role(self, role: str) -> str:
        """Make an execution role, which SageMaker may assume, unless it exists; its ARN.

        Args:
            role: Its name or its ARN.
        """
        arn = role if role.startswith("arn:") else naming.role_arn(self.region, self.account_id, role)
        self._backing.ensure_role(arn)
        return arn

    def _clients_of(self, arn: str) -> Clients:
        from mlops_sm.operations.clients import Clients  # noqa: PLC0415 - boto3: not for `pytest --help`

        region, account_id = arn.split(":")[3:5]
        return Clients(lambda service: self.client(service, region, account_id=account_id))


@contextmanager
def local_account(
    state: Path | str | None = None,
    *,
    region: str = naming.DEFAULT_REGION,
    account_id: str = naming.LOCAL_ACCOUNT_ID,
    images: Mapping[str, str | Mapping[str, str]] | None = None,
    own_process: bool = False,
) -> Iterator[OpenAccount]:
    """Open a local account for tests.

    While it is open, the environment leads every boto3 client and every SageMaker SDK session that is made in this
    process, every child process and every command such as ``mlops-sm run`` to it. Afterwards the environment is as it
    was. An account that is opened while another one is open gets a process of its own; the environment leads to the one
    opened last.

    Args:
        state: The state directory; a temporary one, removed at the end, unless given.
        region: Of clients that name none.
        account_id: The account's 12 digits.
        images: What images stand for, e.g. ``{"my-image": "python"}``. Unless given, images and handlers are those of
            the project around the current folder.
        own_process: Open it in a process of its own in any case, which takes about a second.

    Raises:
        RefusedError: The state is in use (E540) or cannot be used (E541); the extra ``local`` is not installed (E130);
            the account's own process did not start (E137).
        InputError: The project around the current folder is wrong, or an image stands for something unknown (E410).
    """
    from mlops_sm.testing import backings  # noqa: PLC0415 - `pytest --help` loads the plugin and opens nothing
    from mlops_sm.testing.variables import all_variables, set_variables  # noqa: PLC0415 - as above

    with ExitStack() as closing:
        folder = Path(
            closing.enter_context(tempfile.TemporaryDirectory(prefix="local-account-", ignore_cleanup_errors=True))
        )
        stand_ins, handlers = backings.project_settings() if images is None else (images, None)
        opening = backings.Opening(
            state=Path(state).absolute() if state is not None else folder / "state",
            account_id=account_id,
            region=region,
            images=stand_ins,
            handlers=handlers,
        )
        backing = closing.enter_context(backings.open_backing(opening, folder, own_process=own_process))
        account = OpenAccount(opening.state, account_id, region, backing)
        variables = all_variables(
            account.endpoint_url, account_id=account_id, region=region, state=account.state, folder=folder
        )
        closing.enter_context(set_variables(variables))
        yield account
