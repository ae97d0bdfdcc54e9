"""``mlops-sm models``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from mlops_sm.cli import options
from mlops_sm.cli.accounts import open_account
from mlops_sm.cli.outside import Outside
from mlops_sm.cli.ui import moment
from mlops_sm.operations import models
from mlops_sm.operations.models import Package

_SHOWN_METRICS = 4


@click.group("models")
def command() -> None:
    """List and show registered models."""


@command.command("list")
@click.argument("group", required=False)
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(min=1), help="At most so many.")
@options.environment
@options.state
@options.json
@click.pass_obj
def list_(outside: Outside, group: str | None, limit: int, environment: str, state: Path | None) -> int:
    """List model package versions, newest first.

    Example: mlops-sm models list --json
    """
    project = outside.project_or_standalone()
    with open_account(outside, project, project.environment(environment), state) as account:
        found = models.list_packages(account.clients, group=group, prefix=account.prefix, limit=limit)
    outside.ui.table(
        ["model", "approval", "status", "created", "metrics"],
        [[p.name, p.approval, p.status, moment(p.created), _short(p)] for p in found],
    )
    outside.ui.data([asdict(package) for package in found])
    return 0


@command.command("show")
@click.argument("model", default=models.LATEST)
@options.environment
@options.state
@options.json
@click.pass_obj
def show(outside: Outside, model: str, environment: str, state: Path | None) -> int:
    """Show one model package version.

    MODEL is GROUP/VERSION, a group (its newest version), an ARN, or latest.

    Example: mlops-sm models show lending-approval/1
    """
    project = outside.project_or_standalone()
    with open_account(outside, project, project.environment(environment), state) as account:
        arn = models.find_package(account.clients, model, prefix=account.prefix)
        package = models.show_package(account.clients, arn)
    facts = [
        ("model", package.name),
        ("arn", package.arn),
        ("approval", package.approval),
        ("status", package.status),
        ("created", moment(package.created)),
        ("description", package.description),
        *(("image", image) for image in package.images),
        *(("model data", uri) for uri in package.model_data),
        ("statistics", package.metrics_uri or ""),
    ]
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        if value:
            outside.ui.result(f"{name.ljust(width)}  {value}")
    if package.metrics:
        outside.ui.result("")
        outside.ui.table(["metric", "value"], [[name, f"{value:g}"] for name, value in package.metrics.items()])
    outside.ui.data(asdict(package))
    return 0


def _short(package: Package) -> str:
    """The first metrics, those without a path in front."""
    if package.metrics is None:
        return ""
    shown = [(name, value) for name, value in package.metrics.items() if "." not in name][:_SHOWN_METRICS]
    return " ".join(f"{name}={value:.4g}" for name, value in shown)
