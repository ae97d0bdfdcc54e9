"""``mlops-sm run``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click

from mlops_sm.cli import options
from mlops_sm.cli.outside import Outside


@click.command("run")
@click.argument("pipeline", metavar="PIPELINE|FILE.json")
@click.option("-p", "--parameter", "given", multiple=True, metavar="NAME=VALUE", help="A pipeline parameter.")
@click.option("--only", metavar="STEP", help="Run this step alone, with the inputs it had in an earlier execution.")
@click.option(
    "--execution",
    metavar="EXECUTION",
    help="With --only: take inputs and parameters from this execution.  [default: the newest that has them]",
)
@click.option(
    "--explain-cache",
    is_flag=True,
    help="Run nothing: say which steps would be taken from an earlier run, and what changed in the others.",
)
@options.environment
@options.state
@click.option(
    "--detach",
    is_flag=True,
    help="Return once the execution has started; for local it needs a server (mlops-sm local up).",
)
@click.option("--yes", is_flag=True, help="Run in a protected environment.")
@options.json
@click.pass_obj
def command(
    outside: Outside,
    *,
    pipeline: str,
    given: tuple[str, ...],
    only: str | None,
    execution: str | None,
    explain_cache: bool,
    environment: str,
    state: Path | None,
    detach: bool,
    yes: bool,
) -> int:
    """Run a pipeline, here or in an AWS account.

    Compiles, checks, publishes and starts it, shows the steps as they go, and exits with 1 if the execution fails.
    Ctrl-C stops the execution, wherever it runs; with --detach it goes on without this command.

    With --only, one step runs again with today's code, for example after its script was mended. It gets the results of
    the steps before it, and the parameters, from an execution that has ended, whether or not the step failed there;
    -p changes a parameter.

    With --explain-cache, nothing runs and nothing is changed, here or in AWS: each step is foretold to be a hit, which
    is taken from an earlier run, or a miss, with what differs from its earlier run down to the files of its code.

    Example: mlops-sm run lending.build -p MinAuc=0.8

    Example: mlops-sm run lending.build --only Evaluate

    Example: mlops-sm run lending.build --explain-cache
    """
    with ExitStack() as closing:
        warm = outside.prewarm(state) if environment == options.LOCAL and not explain_cache else None
        if warm is not None:
            closing.callback(warm.close)
        from mlops_sm.cli.running import Wish, run  # noqa: PLC0415 - boto3 imports while the warm worker imports pandas

        wish = Wish(
            label=pipeline,
            given=given,
            environment=environment,
            state=state,
            detach=detach,
            yes=yes,
            only=only,
            execution=execution,
        )
        if explain_cache:
            from mlops_sm.cli.explaining import explain_cache as explain  # noqa: PLC0415 - most runs explain nothing

            return explain(outside, wish)
        return run(outside, wish, warm)
