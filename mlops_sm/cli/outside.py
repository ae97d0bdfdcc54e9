"""Everything a command reaches outside this process, as one value. Tests pass another one."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mlops_sm.cli.ui import Ui

if TYPE_CHECKING:
    from mlops_sm.cli.accounts import Account
    from mlops_sm.compile import Compiled
    from mlops_sm.local.warm import WarmWorkers
    from mlops_sm.operations.clients import Clients
    from mlops_sm.project import Environment, Project

STATE_VARIABLE: Final = "MLOPS_SM_STATE"
STATE_FOLDER: Final = ".mlops_sm"


@dataclass(frozen=True, kw_only=True)
class Outside:
    """The world as commands see it.

    Attributes:
        cwd: The folder the command was called in.
        variables: Environment variables.
        ui: Where it prints.
        prewarm: Starts what makes local jobs start fast, to be passed to `open_local`; given the option ``--state``.
        open_local: Opens the local account in a state directory.
        connect: The clients of an environment's AWS account.
        compile: Compiles a pipeline with a cache directory.
        sleep: Waits, in seconds.
        now: The time, timezone-aware.
    """

    cwd: Path
    variables: Mapping[str, str]
    ui: Ui
    prewarm: Callable[[Path | None], WarmWorkers | None]
    open_local: Callable[[Path, Project, Environment, WarmWorkers | None], AbstractContextManager[Account]]
    connect: Callable[[Environment], Clients]
    compile: Callable[[Project, Environment, str, Path], Compiled]
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def project(self) -> Project:
        """The project of this folder.

        Raises:
            InputError: There is none, or its settings are wrong.
        """
        from mlops_sm.project import load_project  # noqa: PLC0415 - pydantic is not needed to print a version

        return load_project(self.cwd, variables=self.variables)

    def project_or_standalone(self) -> Project:
        """The project of this folder, or the one that stands in where there is none.

        Raises:
            InputError: The project's settings are wrong.
        """
        from mlops_sm.project import find_project_file, standalone_project  # noqa: PLC0415 - as in `project`

        if find_project_file(self.cwd):
            return self.project()
        return standalone_project(self.cwd, variables=self.variables)

    def state_directory(self, project: Project, given: Path | None) -> Path:
        """Where the local account keeps its state: the option, the variable, or a folder in the project."""
        if given is not None:
            return self.cwd / given
        if variable := self.variables.get(STATE_VARIABLE):
            return self.cwd / variable
        return project.root / STATE_FOLDER


def cache_directory(project: Project) -> Path:
    """Where compiled pipelines are kept; it belongs to the sources, so another state directory shares it."""
    return project.root / STATE_FOLDER / "cache"


def real_outside() -> Outside:
    """The real world."""
    return Outside(
        cwd=Path.cwd(),
        variables=os.environ,
        ui=Ui(sys.stdout, sys.stderr, os.environ),
        prewarm=_prewarm,
        open_local=_open_local,
        connect=_connect,
        compile=_compile,
    )


def server_nearby(folder: Path, state: Path | str | None) -> bool:
    """Whether a server may run for a state directory, or for a project around a folder; a guess that costs nothing."""
    from mlops_sm.operations.servers import FILE_NAME  # noqa: PLC0415 - most commands run nothing

    if state:
        return (folder / state / FILE_NAME).exists()
    return any((place / STATE_FOLDER / FILE_NAME).exists() for place in (folder, *folder.parents))


def _prewarm(state: Path | None) -> WarmWorkers | None:
    if server_nearby(Path.cwd(), state or os.environ.get(STATE_VARIABLE)):
        # Its jobs are the server's, which has warm workers of its own.
        return None
    from mlops_sm.local.warm import WarmWorkers  # noqa: PLC0415 - most commands run nothing

    workers = WarmWorkers()
    workers.prewarm()
    return workers


def _open_local(
    state: Path, project: Project, environment: Environment, warm: WarmWorkers | None
) -> AbstractContextManager[Account]:
    from mlops_sm.cli.local_accounts import open_local  # noqa: PLC0415 - boto3 and moto are needed only here

    return open_local(state, project, environment, warm)


def _connect(environment: Environment) -> Clients:
    from mlops_sm.operations.clients import connect  # noqa: PLC0415 - boto3 is needed only here

    return connect(environment)


def _compile(project: Project, environment: Environment, reference: str, cache: Path) -> Compiled:
    from mlops_sm.compile import compile_pipeline  # noqa: PLC0415 - a definition in a file needs no compiler

    return compile_pipeline(project, environment, reference, cache_dir=cache)
