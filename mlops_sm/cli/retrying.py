"""Run an execution again from where it failed: what ``mlops-sm executions retry`` does."""

from __future__ import annotations

from pathlib import Path

from mlops_sm.cli.accounts import open_account
from mlops_sm.cli.execution import execution_data, follow_to_end
from mlops_sm.cli.outside import Outside
from mlops_sm.cli.running import allow, allow_detached, conclude, let_go, reach_options
from mlops_sm.definition import parse
from mlops_sm.operations import runs


def retry_execution(
    outside: Outside, execution: str, environment: str, state: Path | None, *, detach: bool, yes: bool
) -> int:
    """Retry and follow to the end; the exit code.

    Args:
        outside: The world.
        execution: Id, ARN or ``latest``.
        environment: An environment's name.
        state: The option ``--state``.
        detach: Return once the execution runs again.
        yes: A protected environment is meant.
    """
    project = outside.project_or_standalone()
    chosen = project.environment(environment)
    allow(chosen, yes=yes)
    reach = reach_options(environment, state)
    with open_account(outside, project, chosen, state) as account:
        if detach:
            allow_detached(account)
        arn = runs.find(account.clients, execution, prefix=account.prefix)
        identifier = arn.rpartition("/")[2]
        definition = parse(runs.definition_of(account.clients, arn))
        runs.retry(account.clients, arn)
        outside.ui.say(f"execution {identifier} retried")
        if detach:
            return let_go(outside, arn, runs.pipeline_of(arn), reach)
        interrupted = follow_to_end(outside, account, arn, definition)
        found = runs.show(account.clients, arn)
        outside.ui.data(execution_data(found, definition))
        again = f"mlops-sm executions retry {identifier}{reach}"
        return conclude(
            outside, account, found, definition, interrupted=interrupted, again=again, reach=reach, go_on="go on"
        )
