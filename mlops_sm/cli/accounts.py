"""The account behind an environment, as commands use it: the local one or one of AWS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from mlops_sm.cli.outside import Outside
from mlops_sm.definition import Definition, Scalar
from mlops_sm.errors import Problem
from mlops_sm.operations.clients import Clients
from mlops_sm.operations.logs import LOG_GROUPS
from mlops_sm.operations.runs import AWS_PACE, Job, Pace
from mlops_sm.project import LOCAL, Environment, Project

if TYPE_CHECKING:
    from mlops_sm.local.warm import WarmWorkers


@dataclass(frozen=True, kw_only=True)
class Account:
    """An open account.

    Attributes:
        environment: The environment it belongs to.
        clients: Its AWS clients.
        pace: How often to look at a running execution.
        prefix: How the names of the project's pipelines and model groups start; empty shows everything in the account.
        log_place: Where the whole log of a job is, for people.
        prepare: Makes what an AWS account gets from infrastructure code: buckets and a role.
        kill: Ends every running job at once; None where jobs are another process's.
        lasting: Whether an execution goes on when the command has ended.
        preflight: What of a definition cannot run there, and what has no effect there.
        now: Its time, timezone-aware; that of a local account may have been advanced.
    """

    environment: Environment
    clients: Clients
    pace: Pace
    prefix: str
    log_place: Callable[[Job], str]
    prepare: Callable[[], None]
    kill: Callable[[], None] | None
    lasting: bool
    preflight: Callable[[Definition, Mapping[str, Scalar]], Sequence[Problem]]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    @property
    def is_local(self) -> bool:
        """Whether this is the local account."""
        return self.environment.name == LOCAL


@contextmanager
def open_account(
    outside: Outside,
    project: Project,
    environment: Environment,
    state: Path | None,
    warm: WarmWorkers | None = None,
) -> Iterator[Account]:
    """The account of an environment, closed at the end.

    Raises:
        RefusedError: The local state is in use or the local extra is missing; or AWS refused.
    """
    if environment.name == LOCAL:
        with outside.open_local(outside.state_directory(project, state), project, environment, warm) as account:
            yield account
    else:
        yield aws_account(outside.connect(environment), project, environment)


def aws_account(clients: Clients, project: Project, environment: Environment) -> Account:
    """An account of AWS."""
    return Account(
        environment=environment,
        clients=clients,
        pace=AWS_PACE,
        prefix=project.name,
        log_place=lambda job: f"CloudWatch Logs, group {LOG_GROUPS[job.kind]}, streams {job.name}/*",
        prepare=lambda: None,
        kill=None,
        lasting=True,
        preflight=lambda _definition, _parameters: (),
    )


class Opening(AbstractContextManager["Opening"]):
    """An account that is opened on a thread of its own while the caller compiles; closed at the end.

    Args:
        open_account: Gives the account.
    """

    def __init__(self, open_account: AbstractContextManager[Account]) -> None:
        self._stack = ExitStack()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="open-account")
        self._account = self._pool.submit(self._stack.enter_context, open_account)

    def account(self) -> Account:
        """The account, once it is open.

        Raises:
            RefusedError: It cannot be opened.
        """
        return self._account.result()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the account, whether or not the caller has used it."""
        self._pool.shutdown(wait=True)
        self._stack.__exit__(kind, error, trace)
