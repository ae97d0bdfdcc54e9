"""``mlops-sm logs``."""

from __future__ import annotations

from pathlib import Path

import click

from mlops_sm.cli import options
from mlops_sm.cli.accounts import open_account
from mlops_sm.cli.outside import Outside
from mlops_sm.operations import runs
from mlops_sm.operations.logs import read_log


@click.command("logs")
@click.argument("execution")
@click.argument("step")
@click.option("-n", "--lines", type=click.IntRange(min=0), help="Only so many lines from the end.")
@options.environment
@options.state
@options.json
@click.pass_obj
def command(
    outside: Outside, *, execution: str, step: str, lines: int | None, environment: str, state: Path | None
) -> int:
    """Show the log of a step's job.

    EXECUTION is an execution's id or ARN, or latest.

    Example: mlops-sm logs latest Tune -n 50
    """
    project = outside.project_or_standalone()
    with open_account(outside, project, project.environment(environment), state) as account:
        arn = runs.find(account.clients, execution, prefix=account.prefix)
        log = read_log(account.clients, runs.show(account.clients, arn), step, last=lines)
        place = account.log_place(log.job)
    several = len(log.streams) > 1
    for line in log.lines:
        outside.ui.result(f"{line.stream.rpartition('/')[2]}  {line.message}" if several else line.message)
    if not log.lines:
        outside.ui.say("the log is empty")
    outside.ui.say(f"whole log: {place}")
    outside.ui.data(
        {
            "execution_arn": arn,
            "step": log.step,
            "job": log.job.name,
            "place": place,
            "lines": [{"stream": line.stream, "time": line.time, "message": line.message} for line in log.lines],
        }
    )
    return 0
