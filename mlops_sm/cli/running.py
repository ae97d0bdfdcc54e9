"""Run a target: what ``mlops-sm run`` does."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_sm.checks.values import check_values
from mlops_sm.cli.accounts import Account, Opening, open_account
from mlops_sm.cli.execution import (
    Ran,
    execution_data,
    explain_failure,
    run_to_end,
    show_execution,
    start,
)
from mlops_sm.cli.failures import INTERRUPTED
from mlops_sm.cli.outside import Outside
from mlops_sm.cli.target import Loaded, find_target, load, parse_parameters
from mlops_sm.definition import Definition, Scalar, bind_parameters
from mlops_sm.errors import InputError, Problem, RefusedError
from mlops_sm.operations import runs
from mlops_sm.operations.selecting import Alone, choose
from mlops_sm.project import LOCAL, Environment

if TYPE_CHECKING:
    from mlops_sm.local.warm import WarmWorkers


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the user asked for.

    Attributes:
        label: A pipeline or a file.
        given: ``NAME=VALUE`` words.
        environment: An environment's name.
        state: The option ``--state``.
        detach: Return once the execution has started.
        yes: A protected environment is meant.
        only: The one step to run; None for all.
        execution: Where the inputs of that step come from; None for the newest execution that has them.
    """

    label: str
    given: tuple[str, ...]
    environment: str
    state: Path | None
    detach: bool
    yes: bool
    only: str | None = None
    execution: str | None = None


def run(outside: Outside, wish: Wish, warm: WarmWorkers | None) -> int:
    """Compile, check, publish, start and follow; the exit code.

    Raises:
        InputError: Options do not go together (E141), or something about the pipeline or the step is wrong.
        RefusedError: The account refused.
    """
    if wish.execution is not None and wish.only is None:
        what = "it says where the inputs of one step come from, and no step is named"
        fix = "Add --only STEP, or leave --execution out."
        raise InputError(Problem("E141", f"--execution {wish.execution}", what, fix))
    parameters = parse_parameters(wish.given)
    target = find_target(outside, wish.label, wish.environment)
    allow(target.environment, yes=wish.yes)
    reach = reach_options(wish.environment, wish.state)
    with Opening(open_account(outside, target.project, target.environment, wish.state, warm)) as opening:
        if wish.detach:
            allow_detached(opening.account())
        loaded = load(outside, target)
        alone = _alone(opening.account(), loaded, wish)
        given = _taken_over(opening.account(), loaded.definition, alone) | parameters
        bound = bind_parameters(loaded.definition, given)
        runs_now, shown = loaded.definition, loaded.definition
        if alone is not None:
            runs_now, shown = alone.definition, alone.shown
        doubtful = refuse_values(runs_now, bound)
        account = opening.account()
        different = refuse_unrunnable(account, runs_now, bound)
        warn(outside, loaded, different)
        outside.ui.report(doubtful)
        only = None
        if alone is not None:
            only = runs.Only(steps=(alone.step,), source=alone.source.arn if alone.source else None)
            outside.ui.say(_whence(alone))
        if wish.detach:
            return _detached(outside, account, loaded, _given(bound, given), reach=reach, only=only)
        ran = run_to_end(outside, account, loaded.compiled, shown, _given(bound, given), only=only)
        words = [word for given in wish.given for word in ("-p", given)]
        words += ["--only", wish.only] if wish.only else []
        words += ["--execution", wish.execution] if wish.execution else []
        again = shlex.join(["mlops-sm", "run", wish.label, *words]) + reach
        outside.ui.data(_data(ran, loaded, shown, different))
        return conclude(outside, account, ran.execution, shown, interrupted=ran.interrupted, again=again, reach=reach)


def _alone(account: Account, loaded: Loaded, wish: Wish) -> Alone | None:
    if wish.only is None:
        return None
    pipeline = loaded.compiled.pipeline_name
    return choose(account.clients, loaded.definition, pipeline, wish.only, wish.execution, prefix=account.prefix)


def _taken_over(account: Account, definition: Definition, alone: Alone | None) -> dict[str, str]:
    """The parameters of the execution that a step's inputs come from, as far as the definition still has them."""
    if alone is None or alone.source is None:
        return {}
    declared = {parameter.name for parameter in definition.parameters}
    taken = runs.parameters_of(account.clients, alone.source.arn)
    return {name: value for name, value in taken.items() if name in declared}


def _whence(alone: Alone) -> str:
    if alone.source is None:
        return f"only {alone.step} runs; no execution has ended yet, and it needs nothing of one"
    inputs = f"what it uses of {', '.join(alone.inputs)} and the parameters are" if alone.inputs else "parameters are"
    return f"only {alone.step} runs; {inputs} those of execution {alone.source.id}"


def allow(environment: Environment, *, yes: bool) -> None:
    """Let a protected environment be changed by those only who mean it.

    Raises:
        InputError: It is protected and `yes` was not said (E124).
    """
    name = environment.name
    if environment.protected and not yes:
        what = f'environment "{name}" is protected'
        raise InputError(Problem("E124", f"--env {name}", what, "Add --yes if you mean it."))


def allow_detached(account: Account) -> None:
    """Let an execution go on alone only where it can.

    Raises:
        InputError: It would end with this command (E125).
    """
    if not account.lasting:
        what = "a local execution lives as long as this command: to detach it needs a running server"
        fix = "Start one in another terminal with mlops-sm local up, leave --detach out, or name an AWS environment."
        raise InputError(Problem("E125", "--detach", what, fix))


def reach_options(environment: str, state: Path | None) -> str:
    """The options with which another command reaches the same account, with a space in front, or nothing."""
    words = [] if environment == LOCAL else ["--env", environment]
    words += [] if state is None else ["--state", str(state)]
    return " " + shlex.join(words) if words else ""


def refuse_unrunnable(account: Account, definition: Definition, parameters: Mapping[str, Scalar]) -> Sequence[Problem]:
    """What the account does differently from AWS, as warnings.

    Raises:
        RefusedError: A step cannot run there.
    """
    problems = account.preflight(definition, parameters)
    if any(problem.is_error for problem in problems):
        raise RefusedError(*problems)
    return problems


def refuse_values(definition: Definition, values: Mapping[str, Scalar]) -> list[Problem]:
    """What is doubtful about the values of the parameters.

    Raises:
        InputError: A step cannot be started with them.
    """
    found = check_values(definition, values)
    errors = [problem for problem in found if problem.is_error]
    if errors:
        raise InputError(*errors)
    return found


def warn(outside: Outside, loaded: Loaded, different: Sequence[Problem]) -> None:
    """Print every warning once; what is different here in one line each, because nothing is to be done about it."""
    for warning in loaded.compiled.warnings:
        outside.ui.say(f"warning: {warning}")
    outside.ui.report(loaded.warnings)
    outside.ui.notes(different)


def _given(bound: dict[str, Scalar], given: dict[str, str]) -> dict[str, Scalar]:
    """Only what the user gave: the published definition keeps its defaults."""
    return {name: bound[name] for name in given}


def _detached(
    outside: Outside,
    account: Account,
    loaded: Loaded,
    parameters: dict[str, Scalar],
    *,
    reach: str,
    only: runs.Only | None,
) -> int:
    published, arn = start(outside, account, loaded.compiled, parameters, only=only)
    return let_go(outside, arn, published.pipeline_name, reach, published=published.action)


def _data(ran: Ran, loaded: Loaded, shown: Definition, different: Sequence[Problem]) -> dict[str, Any]:
    return {
        **execution_data(ran.execution, shown),
        "published": ran.published.action,
        "uploaded": list(ran.published.uploaded),
        "digest": ran.published.digest,
        "warnings": [problem._asdict() for problem in (*loaded.warnings, *different)],
        "compile_warnings": list(loaded.compiled.warnings),
    }


def let_go(outside: Outside, arn: str, pipeline_name: str, reach: str, **more: str) -> int:
    """Say how to follow an execution that goes on without this command; the exit code. `more` is for its JSON."""
    outside.ui.result(arn)
    outside.ui.say(f"follow it: mlops-sm executions show {arn.rpartition('/')[2]}{reach}")
    outside.ui.data({"execution_arn": arn, "pipeline_name": pipeline_name, **more, "status": "Executing"})
    return 0


def conclude(
    outside: Outside,
    account: Account,
    execution: runs.Execution,
    definition: Definition,
    *,
    interrupted: bool,
    again: str,
    reach: str,
    go_on: str = "run again",
) -> int:
    """Print how an execution ended; the exit code.

    Args:
        outside: Where to print.
        account: The account it ran in.
        execution: The execution at its end.
        definition: What it ran.
        interrupted: Whether the user stopped it.
        again: The command that runs it again.
        reach: Options with which other commands reach the same account.
        go_on: What that command does after an interruption.
    """
    show_execution(outside, execution, definition)
    if interrupted:
        outside.ui.say(f"\ninterrupted; {go_on}: {again}")
        return INTERRUPTED
    if execution.succeeded:
        return 0
    explain_failure(outside, account, execution, again=again, options=reach)
    return 1
