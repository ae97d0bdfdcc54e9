"""``mlops-sm doctor``."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from mlops_sm import __version__
from mlops_sm.cli import options
from mlops_sm.cli.failures import REFUSED
from mlops_sm.cli.outside import Outside
from mlops_sm.errors import MlopsSmError
from mlops_sm.local.isolation.choice import AUTO, choose
from mlops_sm.local.isolation.layer import Fact
from mlops_sm.local.warm import probe as probe_warm_workers
from mlops_sm.operations import servers
from mlops_sm.project import STANDALONE, Project

_MIN_PYTHON: Final = (3, 11)
_MIN_FREE_BYTES: Final = 1_000_000_000
"""Below this a run of any size is likely to end with a full disk."""
_EXTRAS: Final[Mapping[str, Sequence[tuple[str, ...]]]] = {
    "local": (("moto",), ("pandas",), ("scikit-learn",)),
    "sdk": (("sagemaker",),),
    "tuning": (("optuna",),),
    "xgboost": (("xgboost-cpu", "xgboost"),),
}
"""The distributions of each extra; of several names one is enough."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        fact: What was looked at and found.
        needed: Whether local runs are impossible without it.
    """

    fact: Fact
    needed: bool


@click.command("doctor")
@options.state
@options.json
@click.pass_obj
def command(outside: Outside, state: Path | None) -> int:
    """Say what works on this machine, and what to do about the rest.

    Exits with 3 if pipelines cannot run locally. Asks nothing of AWS.

    Example: mlops-sm doctor --json
    """
    findings = list(_findings(outside, state))
    width = max(len(finding.fact.name) for finding in findings)
    for finding in findings:
        fact = finding.fact
        word = "ok" if fact.ok else "missing"
        outside.ui.result(f"{outside.ui.mark(word)}{' ' * (9 - len(word))}{fact.name.ljust(width)}  {fact.detail}")
        if fact.fix and not fact.ok:
            outside.ui.result(f"{' ' * 9}{' ' * width}  fix: {fact.fix}")
    possible = all(finding.fact.ok for finding in findings if finding.needed)
    outside.ui.result("\npipelines can run here" if possible else "\npipelines cannot run here yet")
    outside.ui.data(
        {
            "local_runs_possible": possible,
            "facts": [{**f.fact._asdict(), "needed_for_local_runs": f.needed} for f in findings],
        }
    )
    return 0 if possible else REFUSED


def _findings(outside: Outside, state: Path | None) -> Iterator[Finding]:
    yield Finding(_python(), needed=True)
    yield Finding(_platform(), needed=True)
    yield Finding(_extra("local"), needed=True)
    yield Finding(_extra("sdk"), needed=False)
    yield Finding(_extra("tuning"), needed=False)
    yield Finding(_extra("xgboost"), needed=False)
    yield from (Finding(fact, needed=False) for fact in probe_warm_workers())
    try:
        project = outside.project_or_standalone()
    except MlopsSmError as err:
        for problem in err.problems:
            yield Finding(
                Fact("project", ok=False, detail=f"{problem.what} ({problem.where})", fix=problem.fix), needed=True
            )
        yield from _isolation(None)
        return
    yield from _isolation(project)
    folder = outside.state_directory(project, state)
    yield Finding(_state(folder), needed=True)
    yield Finding(_disk(folder), needed=True)
    yield from (Finding(fact, needed=False) for fact in _project(project))


def _isolation(project: Project | None) -> Iterator[Finding]:
    """How jobs get their own /opt/ml, and why not in a better way."""
    try:
        isolation = choose(project.local.isolation if project is not None else AUTO)
    except MlopsSmError as err:
        for problem in err.problems:
            yield Finding(Fact("isolation", ok=False, detail=problem.what, fix=problem.fix), needed=True)
        return
    try:
        refusal = isolation.refusal()
        fact = isolation.probe()
        if refusal is not None:
            fact = Fact("isolation", ok=False, detail=refusal.what, fix=refusal.fix)
        yield Finding(fact._replace(name="isolation"), needed=True)
        yield from (Finding(layer, needed=False) for layer in isolation.facts())
    finally:
        isolation.close()


def _python() -> Fact:
    version = platform.python_version()
    detail = f"{version} at {sys.executable}, mlops-sm {__version__}"
    wanted = ".".join(map(str, _MIN_PYTHON))
    return Fact("python", ok=sys.version_info >= _MIN_PYTHON, detail=detail, fix=f"Use Python {wanted} or newer.")


def _platform() -> Fact:
    return Fact(
        "platform",
        ok=sys.platform in {"linux", "darwin"},
        detail=platform.platform(),
        fix="Use Linux or macOS; on Windows, use WSL.",
    )


def _extra(name: str) -> Fact:
    found, missing = [], []
    for names in _EXTRAS[name]:
        installed = next((f"{each} {version}" for each in names if (version := _version(each))), None)
        if installed is None:
            missing.append(names[0])
        else:
            found.append(installed)
    detail = ", ".join(found) or "not installed"
    if missing and found:
        detail += f"; missing: {', '.join(missing)}"
    return Fact(f"extra [{name}]", ok=not missing, detail=detail, fix=f'pip install "mlops-sm-kit[{name}]"')


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _state(folder: Path) -> Fact:
    """Whether the state directory can be written; nothing is made."""
    nearest = folder
    while not nearest.exists():
        nearest = nearest.parent
    ok = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    detail = f"{folder}" + ("" if folder.exists() else ", made by the first run")
    server = servers.find(folder) if ok else None
    if server is not None:
        return Fact("state", ok=True, detail=f"{folder}, of the server at {server.url}")
    holder = servers.holder(folder) if ok else ""
    fix = f"Make {nearest} writable, or name another folder: --state DIR." if not ok else ""
    if holder:
        ok, detail, fix = (
            False,
            f"{folder} is in use by {holder}",
            "Wait until it ends, or name another folder: --state DIR.",
        )
    return Fact("state", ok=ok, detail=detail, fix=fix)


def _disk(folder: Path) -> Fact:
    nearest = folder
    while not nearest.exists():
        nearest = nearest.parent
    free = shutil.disk_usage(nearest).free
    detail = f"{free / 1e9:.1f} GB free at {nearest}"
    return Fact(
        "disk", ok=free >= _MIN_FREE_BYTES, detail=detail, fix="Free some space, or name another folder: --state DIR."
    )


def _project(project: Project) -> Iterator[Fact]:
    there = project.name != STANDALONE
    fix = 'Only definitions in files can run here. A project is a pyproject.toml with [tool.mlops_sm] and name = "...".'
    detail = f"{project.name} at {project.root}" if there else "none around this folder"
    yield Fact("project", ok=there, detail=detail, fix=fix)
    for environment in project.environments.values():
        where = f"account {environment.account} ({environment.provenance.get('account')}), {environment.region}"
        role = environment.role_arn.rpartition("/")[2]
        yield Fact(f"environment {environment.name}", ok=True, detail=f"{where}, role {role}")
