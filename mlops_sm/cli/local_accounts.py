"""The local account as commands reach it: a running server's, or opened in this process. Both are one state."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mlops_sm import naming
from mlops_sm.cli.accounts import Account
from mlops_sm.definition import Definition, Scalar
from mlops_sm.errors import Problem, RefusedError
from mlops_sm.operations import servers
from mlops_sm.operations.clients import Clients, endpoint_session
from mlops_sm.operations.resources import ensure_bucket, ensure_role
from mlops_sm.operations.runs import LOCAL_PACE, Job
from mlops_sm.operations.servers import Server
from mlops_sm.project import Environment, Project

if TYPE_CHECKING:
    from mlops_sm.emulator import LocalAccount
    from mlops_sm.local.isolation.layer import Isolation
    from mlops_sm.local.warm import WarmWorkers

IN_USE: Final = "E540"
"""The problem of a state directory that another process owns."""
_ATTEMPTS: Final = 3
"""Times that a state directory may have got another owner between a look at it and its opening."""


@contextmanager
def open_local(state: Path, project: Project, environment: Environment, warm: WarmWorkers | None) -> Iterator[Account]:
    """The local account of a state directory: of the server that runs for it, else opened here.

    Args:
        state: The state directory.
        project: Its images are used.
        environment: Its account and region are used.
        warm: Warm workers that were started before; closed in any case.

    Raises:
        RefusedError: The state is in use by another command (E540), or the extra that it needs is not installed (E130).
    """
    with ExitStack() as closing:
        if warm is not None:
            closing.callback(warm.close)
        yield closing.enter_context(_reached(state, project, environment, warm))


@dataclass(frozen=True, slots=True)
class Embedded:
    """An account that is open in this process.

    Attributes:
        account: The account.
        isolation: What gives its jobs their own /opt/ml.
    """

    account: LocalAccount
    isolation: Isolation

    def prepare(self, environment: Environment) -> None:
        """Make an environment's buckets and role."""
        for bucket in _buckets(environment):
            self.account.ensure_bucket(bucket)
        self.account.ensure_role(environment.role_arn)

    def kill(self) -> None:
        """Take away the processes that hold the jobs, so that closing has nothing to wait for."""
        self.account.warm.close()
        self.isolation.close()
        self.account.close()


def open_embedded(state: Path, project: Project, environment: Environment, warm: WarmWorkers | None = None) -> Embedded:
    """Open the account of a state directory in this process, with the settings of a project.

    Raises:
        RefusedError: The state is in use (E540) or cannot be used, or an extra is not installed (E130).
    """
    try:
        from mlops_sm.emulator import LocalAccount  # noqa: PLC0415 - an extra; AWS environments do without it
        from mlops_sm.local.isolation.choice import choose  # noqa: PLC0415 - as above
        from mlops_sm.local.user_handlers import UserHandlers  # noqa: PLC0415 - as above
    except ModuleNotFoundError as err:
        raise RefusedError(
            Problem(
                "E130",
                "local account",
                f"the Python package {err.name} is not installed",
                'Install what local runs need: pip install "mlops-sm-kit[local]"',
            )
        ) from err
    isolation = choose(project.local.isolation)
    account = LocalAccount.open(
        state,
        account_id=environment.account,
        region=environment.region,
        images=project.local.images,
        handlers=UserHandlers.of(project.local.handlers, project.root),
        isolation=isolation,
        warm=warm,
    )
    # Whoever wrote it owned the directory before and is gone.
    servers.withdraw(state)
    return Embedded(account, isolation)


@contextmanager
def _reached(state: Path, project: Project, environment: Environment, warm: WarmWorkers | None) -> Iterator[Account]:
    attempts = 0
    while True:
        server = servers.find(state)
        if server is not None:
            with _served(server, state, project, environment) as account:
                yield account
            return
        try:
            opened = open_embedded(state, project, environment, warm)
        except RefusedError as err:
            attempts += 1
            if err.problems[0].code != IN_USE:
                raise
            if attempts > _ATTEMPTS or (servers.holder(state) and not servers.on_its_way(state)):
                raise RefusedError(_in_use(err.problems[0])) from err
            # A server that is just starting or just ending, or a command that has ended since.
            warm = None
            servers.find_soon(state, time.sleep)
            continue
        with opened.account:
            yield _embedded(opened, state, project, environment)
        return


def _embedded(opened: Embedded, state: Path, project: Project, environment: Environment) -> Account:
    return Account(
        environment=environment,
        clients=Clients(opened.account.client),
        pace=LOCAL_PACE,
        prefix="",
        log_place=lambda job: _log(state / "jobs", job),
        prepare=lambda: opened.prepare(environment),
        kill=opened.kill,
        lasting=False,
        preflight=_preflight(project, opened.isolation),
        now=opened.account.clock,
    )


@contextmanager
def _served(server: Server, state: Path, project: Project, environment: Environment) -> Iterator[Account]:
    from mlops_sm.local.isolation.choice import choose  # noqa: PLC0415 - most commands need no account

    session = endpoint_session(
        server.url, access_key=naming.local_access_key(environment.account), region=environment.region
    )
    isolation = choose(project.local.isolation)
    jobs = state / "jobs"
    if (environment.account, environment.region) != (server.account, server.region):
        jobs /= f"{environment.account}.{environment.region}"

    def prepare() -> None:
        for bucket in _buckets(environment):
            ensure_bucket(session.client("s3"), bucket, environment.region)
        ensure_role(session.client("iam"), environment.role_arn)

    try:
        yield Account(
            environment=environment,
            clients=Clients(session.client),
            pace=LOCAL_PACE,
            prefix="",
            log_place=lambda job: _log(jobs, job),
            prepare=prepare,
            kill=None,
            lasting=True,
            preflight=_preflight(project, isolation),
            now=lambda: servers.clock(server.url) or datetime.now(UTC),
        )
    finally:
        isolation.close()


def _preflight(
    project: Project, isolation: Isolation
) -> Callable[[Definition, Mapping[str, Scalar]], Sequence[Problem]]:
    from mlops_sm.local.images import ImageTable  # noqa: PLC0415 - most commands need no account
    from mlops_sm.local.preflight import preflight  # noqa: PLC0415 - as above
    from mlops_sm.local.user_handlers import UserHandlers  # noqa: PLC0415 - as above

    images = ImageTable.of(project.local.images)
    handlers = UserHandlers.of(project.local.handlers, project.root)
    return lambda definition, parameters: preflight(definition, parameters, images, isolation, handlers)


def _log(jobs: Path, job: Job) -> str:
    from mlops_sm.local.jobs.folder import log_path  # noqa: PLC0415 - as above

    if job.kind == "TuningJob":
        return str(log_path(jobs, f"{job.name}-*"))
    return str(log_path(jobs, job.name))


def _buckets(environment: Environment) -> tuple[str, ...]:
    return (environment.artifact_bucket, environment.data_bucket, environment.model_bucket)


def _in_use(problem: Problem) -> Problem:
    fix = f"{problem.fix} Commands share an account while a server runs: mlops-sm local up."
    return problem._replace(fix=fix)
