"""One execution from publish to its end, with progress, and what is said of it afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from mlops_sm.cli.accounts import Account
from mlops_sm.cli.kinds import StepKinds
from mlops_sm.cli.outside import Outside
from mlops_sm.cli.progress import Progress, progress_for
from mlops_sm.cli.ui import seconds
from mlops_sm.compile import Compiled
from mlops_sm.definition import Definition, Scalar
from mlops_sm.errors import MlopsSmError
from mlops_sm.operations import approvals, runs
from mlops_sm.operations.logs import read_log
from mlops_sm.operations.publish import Action, Published, publish

LOG_TAIL: Final = 20
"""Lines of a failed step's log that are shown."""
NOT_RUN: Final = "NotRun"
"""Our word for a step that never started; AWS's list leaves such steps out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """An execution that has ended.

    Attributes:
        published: What publishing did.
        execution: The execution at its end.
        interrupted: Whether the user stopped it.
    """

    published: Published
    execution: runs.Execution
    interrupted: bool = False


def start(
    outside: Outside,
    account: Account,
    compiled: Compiled,
    parameters: dict[str, Scalar],
    *,
    only: runs.Only | None = None,
) -> tuple[Published, str]:
    """Publish and start, all steps or `only` some; returns what publishing did and the execution's ARN."""
    account.prepare()
    published = publish(compiled, account.clients, account.environment)
    if published.action is not Action.UNCHANGED or published.uploaded:
        what = f"{len(published.uploaded)} asset(s) uploaded" if published.uploaded else "no asset uploaded"
        outside.ui.say(f"pipeline {published.pipeline_name} {published.action}, {what}")
    # Who registers in a pipeline is its role; the rule of four eyes is about who started it.
    who = approvals.started_by(account.clients) if account.environment.four_eyes else ""
    arn = runs.start(account.clients, published.pipeline_name, parameters, only=only, description=who)
    outside.ui.say(f"execution {arn.rpartition('/')[2]} started")
    return published, arn


def run_to_end(
    outside: Outside,
    account: Account,
    compiled: Compiled,
    definition: Definition,
    parameters: dict[str, Scalar],
    *,
    only: runs.Only | None = None,
) -> Ran:
    """Publish, start and follow to the end, all steps or `only` some; of the definition, what is shown is given.

    Ctrl-C stops the execution and waits until its jobs have ended. A second Ctrl-C kills those of this process; those
    of a server or of AWS are left to end by themselves.
    """
    published, arn = start(outside, account, compiled, parameters, only=only)
    interrupted = follow_to_end(outside, account, arn, definition)
    return Ran(published=published, execution=runs.show(account.clients, arn), interrupted=interrupted)


def follow_to_end(outside: Outside, account: Account, arn: str, definition: Definition) -> bool:
    """Show an execution until it has ended; whether the user stopped it. Ctrl-C does what `run_to_end` says."""
    progress = progress_for(outside.ui, definition, outside.now)
    try:
        with progress.drawing():
            _follow(outside, account, arn, progress)
    except KeyboardInterrupt:
        _stop(outside, account, arn, progress)
        return True
    return False


def _follow(outside: Outside, account: Account, arn: str, progress: Progress) -> None:
    for event in runs.follow(account.clients, arn, pace=account.pace, sleep=outside.sleep):
        progress.show(event)


def _stop(outside: Outside, account: Account, arn: str, progress: Progress) -> None:
    again = "kills them" if account.kill is not None else "does not wait for them"
    outside.ui.say(f"stopping: waiting until the jobs have ended; Ctrl-C again {again}")
    try:
        runs.stop(account.clients, arn)
        with progress.drawing():
            _follow(outside, account, arn, progress)
    except KeyboardInterrupt:
        if account.kill is not None:
            outside.ui.say("killing the jobs")
            account.kill()
        raise


def steps_table(execution: runs.Execution, definition: Definition | None) -> list[dict[str, Any]]:
    """One entry per step: those that ran, those of iterations among them, then those that did not."""
    kinds = StepKinds.of(definition)
    ran = [
        {
            "name": step.name,
            "kind": kinds.kind(step.name),
            "status": step.status,
            "seconds": step.seconds,
            "result": step.result,
            "failure_reason": step.failure_reason,
            "job": step.job.name if step.job else None,
        }
        for step in execution.steps
    ]
    known = {step.name for step in execution.steps}
    not_run = [
        {
            "name": name,
            "kind": kind,
            "status": NOT_RUN,
            "seconds": None,
            "result": "",
            "failure_reason": None,
            "job": None,
        }
        for name, kind in kinds.own.items()
        if name not in known
    ]
    return [*ran, *not_run]


def execution_data(execution: runs.Execution, definition: Definition | None = None) -> dict[str, Any]:
    """An execution as JSON."""
    return {
        "execution_arn": execution.arn,
        "execution_id": execution.id,
        "pipeline_name": execution.pipeline_name,
        "status": execution.status,
        "failure_reason": execution.failure_reason,
        "started": execution.started,
        "seconds": execution.seconds,
        "steps": steps_table(execution, definition),
    }


def show_execution(outside: Outside, execution: runs.Execution, definition: Definition | None = None) -> None:
    """Print an execution as result."""
    steps = steps_table(execution, definition)
    headers = ["step", "kind", "status", "seconds", "result"] if definition else ["step", "status", "seconds", "result"]
    outside.ui.table(
        headers,
        [[seconds(s["seconds"]) if h == "seconds" else str(s[_MEMBER.get(h, h)]) for h in headers] for s in steps],
    )
    took = f" in {execution.seconds:.1f} s" if execution.seconds is not None else ""
    outside.ui.result(f"\n{execution.pipeline_name} execution {execution.id}: {execution.status}{took}")
    if execution.failure_reason:
        outside.ui.result(f"reason: {execution.failure_reason}")


_MEMBER: Final = {"step": "name"}


def explain_failure(outside: Outside, account: Account, execution: runs.Execution, *, again: str, options: str) -> None:
    """Say why an execution failed, show the end of the log, and how to go on.

    Args:
        outside: Where to print.
        account: The account it ran in.
        execution: The execution.
        again: The command that runs it again.
        options: Options that commands need to reach the same account, with a space in front, or nothing.
    """
    say = outside.ui.say
    for step in execution.failed_steps():
        say(f"\nstep {step.name} failed: {step.failure_reason or 'no reason was given'}")
        if step.job is None:
            continue
        try:
            log = read_log(account.clients, execution, step.name, last=LOG_TAIL)
        except MlopsSmError as err:
            say(f"its log cannot be read: {err.problems[0].what}")
            continue
        if log.lines:
            say(f"the last {len(log.lines)} lines of its log:")
            for line in log.lines:
                say(f"  | {line.message}")
        say(f"whole log: {account.log_place(step.job)}")
        say(f"           mlops-sm logs {execution.id} {step.name}{options}")
    say(f"\nrun again: {again}")
