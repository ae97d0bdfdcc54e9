"""One step alone: the execution that its inputs are taken from, and what speaks against running it.

Source: developer guide, "Selective execution of pipeline steps": the other execution has failed or succeeded, and the
steps whose results the selected one uses have succeeded in it.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Final

from mlops_sm.definition import Definition
from mlops_sm.definition.kinds import StepKind
from mlops_sm.engine import Selection
from mlops_sm.engine.edges import runnable_steps
from mlops_sm.errors import InputError, Problem, did_you_mean
from mlops_sm.operations import runs
from mlops_sm.operations.clients import Clients
from mlops_sm.operations.refusals import AwsError

_USABLE: Final = ("Succeeded", "Failed")
"""API reference, SelectiveExecutionConfig: "can be either Failed or Success"."""
_LOOKED_AT: Final = 50
"""Executions that are looked through for the inputs of a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """One step that is run alone.

    Attributes:
        step: Its name.
        source: The execution that its inputs and the parameters are taken from; None when there was none yet and the
            step needs none.
        inputs: The steps whose results it uses.
        definition: The definition with that step only.
        shown: Those of the definition's steps that are about it: itself and what comes before it.
    """

    step: str
    source: runs.Execution | None
    inputs: tuple[str, ...]
    definition: Definition
    shown: Definition


def choose(
    clients: Clients,
    definition: Definition,
    pipeline: str,
    step: str,
    execution: str | None = None,
    *,
    prefix: str = "",
) -> Alone:
    """Find the execution that a step's inputs are taken from.

    Args:
        clients: The account.
        definition: As it is now.
        pipeline: Its name in the account.
        step: The step to run.
        execution: Id, ARN or ``latest``; None for the newest that has ended and in which the inputs exist.
        prefix: How the names of the project's pipelines start.

    Raises:
        InputError: There is no such step, or it does not run by itself (E140); the execution is none of this pipeline
            or has not ended (E142); what the step needs has never succeeded (E143).
    """
    selection = Selection(definition, [step])
    _refuse_unknown(definition, selection, step)
    inputs = tuple(selection.inputs())

    def alone(source: runs.Execution | None) -> Alone:
        only, shown = _reduced(definition, {step}), _reduced(definition, {step, *selection.before()})
        return Alone(step=step, source=source, inputs=inputs, definition=only, shown=shown)

    if execution is not None:
        found = _named(clients, pipeline, execution, prefix)
        missing = _missing(found, inputs)
        if missing:
            raise _never_ran(step, missing, f"did not succeed in execution {found.id}")
        return alone(found)
    ended = _ended(clients, pipeline)
    newest = next(ended, None)
    for found in itertools.chain([] if newest is None else [newest], ended):
        if not _missing(found, inputs):
            return alone(found)
    if not inputs:
        return alone(None)
    if newest is None:
        raise _never_ran(step, inputs, f"have not run yet: no execution of {pipeline} has ended")
    raise _never_ran(step, _missing(newest, inputs), f"succeeded in no execution of {pipeline} that has ended")


def _reduced(definition: Definition, names: Collection[str]) -> Definition:
    steps = tuple(
        # A ForEach runs with its body; what a Condition's branches hold would run by itself.
        step if step.kind is StepKind.FOR_EACH else replace(step, children=())
        for step in definition.walk()
        if step.name in names
    )
    return replace(definition, steps=steps)


def _refuse_unknown(definition: Definition, selection: Selection, step: str) -> None:
    if not selection.unknown():
        return
    inside = next((s for s in definition.walk() if s.name == step and s.branch is not None), None)
    if inside is not None and inside.branch is not None:
        what = f'step "{step}" is repeated by the ForEach step "{inside.branch.step}" and does not run by itself'
        raise InputError(Problem("E140", f"--only {step}", what, f"Name that one: --only {inside.branch.step}."))
    known = [found.name for found in runnable_steps(definition) if found.kind is not StepKind.FAIL]
    what = f'the pipeline has no step "{step}"'
    raise InputError(Problem("E140", f"--only {step}", what, did_you_mean(step, known) or "Name one of its steps."))


def _named(clients: Clients, pipeline: str, execution: str, prefix: str) -> runs.Execution:
    arn = runs.find(clients, execution, prefix=prefix)
    where = f"--execution {execution}"
    if runs.pipeline_of(arn) != pipeline:
        what = f"execution {arn.rpartition('/')[2]} is one of pipeline {runs.pipeline_of(arn)}, not of {pipeline}"
        fix = f"Name one of {pipeline}: mlops-sm executions list {pipeline} shows them."
        raise InputError(Problem("E142", where, what, fix))
    found = runs.show(clients, arn)
    if found.status not in _USABLE:
        what = f"execution {found.id} is in status {found.status}; only one that succeeded or failed can be built upon"
        raise InputError(Problem("E142", where, what, "Wait for its end, or name another execution."))
    return found


def _ended(clients: Clients, pipeline: str) -> Iterator[runs.Execution]:
    try:
        listed = runs.list_executions(clients, pipeline=pipeline, limit=_LOOKED_AT)
    except AwsError as err:
        if not err.is_not_found:
            raise
        # The pipeline was never published.
        return
    for summary in listed:
        if summary.status in _USABLE:
            yield runs.show(clients, summary.arn)


def _missing(execution: runs.Execution, inputs: tuple[str, ...]) -> tuple[str, ...]:
    succeeded = {step.name for step in execution.steps if step.status == "Succeeded"}
    return tuple(name for name in inputs if name not in succeeded)


def _never_ran(step: str, missing: tuple[str, ...], how: str) -> InputError:
    names = ", ".join(f'"{name}"' for name in missing)
    what = f'step "{step}" uses the results of {names}, which {how}'
    fix = "Run the whole pipeline first, or name an execution in which they succeeded: --execution ID."
    return InputError(Problem("E143", f"--only {step}", what, fix))
