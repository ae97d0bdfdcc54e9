"""The account behind an environment, as commands use it: the local one or one of AWS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from mlops_sm.cli.outside import Outside
from mlops_sm.definition import Definition, Scalar
from mlops_sm.errors import Problem, RefusedError
from mlops_sm.operations.clients import Clients
from mlops_sm.operations.logs import LOG_GROUPS
from mlops_sm.operations.runs import AWS_PACE, LOCAL_PACE, Job, Pace
from mlops_sm.project import LOCAL, Environment, Project

if TYPE_CHECKING:
    from mlops_sm.emulator import LocalAccount
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
        kill: Ends every running job at once.
        preflight: What of a definition cannot run there, and what has no effect there.
    """

    environment: Environment
    clients: Clients
    pace: Pace
    prefix: str
    log_place: Callable[[Job], str]
    prepare: Callable[[], None]
    kill: Callable[[], None]
    preflight: Callable[[Definition, Mapping[str, Scalar]], Sequence[Problem]]

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
        kill=lambda: None,
        preflight=lambda _definition, _parameters: (),
    )


@contextmanager
def open_local(state: Path, project: Project, environment: Environment, warm: WarmWorkers | None) -> Iterator[Account]:
    """The local account in a state directory, with warm workers that were started before.

    Raises:
        RefusedError: The state is in use, or the extra that it needs is not installed (E130).
    """
    try:
        from mlops_sm.emulator import LocalAccount  # noqa: PLC0415 - an extra; AWS environments do without it
        from mlops_sm.local.images import ImageTable  # noqa: PLC0415 - as above
        from mlops_sm.local.isolation.linux import NamespaceIsolation  # noqa: PLC0415 - as above
        from mlops_sm.local.jobs.folder import log_path  # noqa: PLC0415 - as above
        from mlops_sm.local.preflight import preflight  # noqa: PLC0415 - as above
    except ModuleNotFoundError as err:
        raise RefusedError(
            Problem(
                "E130",
                "local account",
                f"the Python package {err.name} is not installed",
                'Install what local runs need: pip install "mlops-sm-kit[local]"',
            )
        ) from err
    images = ImageTable.of(project.local.images)
    isolation = NamespaceIsolation()

    def kill() -> None:
        """Take away the processes that hold the jobs, so that closing has nothing to wait for."""
        account.warm.close()
        isolation.close()
        account.close()

    with LocalAccount.open(
        state,
        account_id=environment.account,
        region=environment.region,
        images=project.local.images,
        isolation=isolation,
        warm=warm,
    ) as account:
        yield Account(
            environment=environment,
            clients=Clients(account.client),
            pace=LOCAL_PACE,
            prefix="",
            log_place=lambda job: str(log_path(state / "jobs", job.name)),
            prepare=lambda: _prepare(account, environment),
            kill=kill,
            preflight=lambda definition, parameters: preflight(definition, parameters, images, isolation),
        )


def _prepare(account: LocalAccount, environment: Environment) -> None:
    for bucket in (environment.artifact_bucket, environment.data_bucket, environment.model_bucket):
        account.ensure_bucket(bucket)
    account.ensure_role(environment.role_arn)


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
