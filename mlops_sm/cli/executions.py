"""``mlops-sm executions``."""

from __future__ import annotations

from pathlib import Path

import click

from mlops_sm.cli import options
from mlops_sm.cli.accounts import open_account
from mlops_sm.cli.execution import execution_data, show_execution
from mlops_sm.cli.outside import Outside
from mlops_sm.cli.ui import moment
from mlops_sm.operations import runs


@click.group("executions")
def command() -> None:
    """List, show, stop and retry executions.

    EXECUTION is an execution's id or ARN, or latest.
    """


@command.command("list")
@click.argument("pipeline", required=False)
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(min=1), help="At most so many.")
@options.environment
@options.state
@options.json
@click.pass_obj
def list_(outside: Outside, pipeline: str | None, limit: int, environment: str, state: Path | None) -> int:
    """List executions, newest first.

    PIPELINE is a pipeline's name or its module, e.g. lending-build or lending.build.

    Example: mlops-sm executions list lending.build -n 5
    """
    project = outside.project_or_standalone()
    chosen = project.environment(environment)
    with open_account(outside, project, chosen, state) as account:
        name = runs.find_pipeline(account.clients, project.name, pipeline) if pipeline else None
        found = runs.list_executions(account.clients, pipeline=name, prefix=account.prefix, limit=limit)
    outside.ui.table(
        ["execution", "pipeline", "status", "started", "reason"],
        [[s.id, s.pipeline_name, s.status, moment(s.started), s.failure_reason or ""] for s in found],
    )
    outside.ui.data(
        [
            {
                "execution_arn": s.arn,
                "execution_id": s.id,
                "pipeline_name": s.pipeline_name,
                "status": s.status,
                "started": s.started,
                "failure_reason": s.failure_reason,
            }
            for s in found
        ]
    )
    return 0


@command.command("show")
@click.argument("execution", default=runs.LATEST)
@options.environment
@options.state
@options.json
@click.pass_obj
def show(outside: Outside, execution: str, environment: str, state: Path | None) -> int:
    """Show an execution and its steps.

    Example: mlops-sm executions show latest
    """
    project = outside.project_or_standalone()
    with open_account(outside, project, project.environment(environment), state) as account:
        found = runs.show(account.clients, runs.find(account.clients, execution, prefix=account.prefix))
    show_execution(outside, found)
    outside.ui.data(execution_data(found))
    return 0


@command.command("stop")
@click.argument("execution", default=runs.LATEST)
@options.environment
@options.state
@options.json
@click.pass_obj
def stop(outside: Outside, execution: str, environment: str, state: Path | None) -> int:
    """Stop an execution and wait until its jobs have ended.

    Example: mlops-sm executions stop latest --env dev
    """
    project = outside.project_or_standalone()
    with open_account(outside, project, project.environment(environment), state) as account:
        arn = runs.find(account.clients, execution, prefix=account.prefix)
        if runs.stop(account.clients, arn):
            outside.ui.say("stopping: waiting until the jobs have ended")
            for _ in runs.follow(account.clients, arn, pace=account.pace, sleep=outside.sleep):
                pass
        else:
            outside.ui.say("the execution had already ended")
        found = runs.show(account.clients, arn)
    show_execution(outside, found)
    outside.ui.data(execution_data(found))
    return 0


@command.command("retry")
@click.argument("execution", default=runs.LATEST)
@options.environment
@options.state
@click.option(
    "--detach", is_flag=True, help="Return once it runs again; for local it needs a server (mlops-sm local up)."
)
@click.option("--yes", is_flag=True, help="Retry in a protected environment.")
@options.json
@click.pass_obj
def retry(outside: Outside, *, execution: str, environment: str, state: Path | None, detach: bool, yes: bool) -> int:
    """Run what failed or never started in an execution again.

    Steps that succeeded keep their results. Shows the steps as they go, and exits with 1 if the execution fails again.

    Example: mlops-sm executions retry latest
    """
    from mlops_sm.cli.retrying import retry_execution  # noqa: PLC0415 - the other commands parse no definition

    return retry_execution(outside, execution, environment, state, detach=detach, yes=yes)
