"""Rules about the service's limits on a definition as a whole and on ForEach steps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from mlops_sm.checks.subject import Subject, place
from mlops_sm.definition.document import Step
from mlops_sm.definition.expressions import is_expression
from mlops_sm.definition.kinds import StepKind
from mlops_sm.definition.wording import item, type_word
from mlops_sm.errors import Problem
from mlops_sm.naming import MAX_INLINE_DEFINITION, MAX_PARAMETERS

# StepDisplayName and StepDescription of PipelineExecutionStep in the API reference.
MAX_DISPLAY_NAME: Final = 256
MAX_DESCRIPTION: Final = 3072
# SDK 3.27, mlops/workflow/for_each_step.py.
MAX_ITERABLE_ITEMS: Final = 100
_NOT_IN_BODY: Final = frozenset({StepKind.CONDITION, StepKind.FAIL, StepKind.FOR_EACH})


def check_size(subject: Subject) -> Iterator[Problem]:
    """The definition has at most as many parameters (E260) and inline characters (W260) as the service takes."""
    count = len(subject.definition.parameters)
    if count > MAX_PARAMETERS:
        what = f"the definition has {count} parameters"
        yield Problem("E260", "Parameters", what, f"Keep at most {MAX_PARAMETERS}: an execution takes no more.")
    length = len(json.dumps(subject.definition.raw, separators=(",", ":"), ensure_ascii=False))
    if length > MAX_INLINE_DEFINITION:
        what = f"the definition has {length:,} characters without spaces"
        fix = (
            f"Over {MAX_INLINE_DEFINITION:,} it cannot be given inline: put it into S3 (PipelineDefinitionS3Location)."
        )
        yield Problem("W260", "the definition", what, fix)


def check_texts(subject: Subject) -> Iterator[Problem]:
    """Display names and descriptions are short enough (E261)."""
    for step in subject.definition.walk():
        for key, text, limit in (
            ("DisplayName", step.display_name, MAX_DISPLAY_NAME),
            ("Description", step.description, MAX_DESCRIPTION),
        ):
            if text is not None and len(text) > limit:
                what = f"{key} has {len(text)} characters"
                yield Problem("E261", place(step, key), what, f"Keep it within {limit}.")


def check_for_each(subject: Subject) -> Iterator[Problem]:
    """A ForEach step has items (E262) and a body of steps that may stand there (E263)."""
    for step in subject.definition.walk():
        if step.kind is StepKind.FOR_EACH:
            yield from _items(step)
            if step.arguments.get("ForEachBody") == []:
                what = "the body of the ForEach step is empty"
                yield Problem("E263", place(step, "Arguments.ForEachBody"), what, "Add at least one step.")
        elif step.kind not in _NOT_IN_BODY:
            continue
        if step.branch is not None and step.branch.member == "ForEachBody":
            what = f"a {step.kind} step cannot stand in the body of a ForEach step"
            yield Problem("E263", place(step), what, "Move it out of ForEachBody.")


def _items(step: Step) -> Iterator[Problem]:
    if "IterableItems" not in step.arguments:
        return
    items = step.arguments["IterableItems"]
    where = place(step, "Arguments.IterableItems")
    if is_expression(items):
        return
    if not isinstance(items, list):
        what = f"IterableItems must be a list or an expression, not {type_word(items)}"
        yield Problem("E262", where, what, "Write a list of 1 to 100 items, or reference text that holds a JSON list.")
        return
    if not 1 <= len(items) <= MAX_ITERABLE_ITEMS:
        what = f"IterableItems has {len(items)} items"
        yield Problem("E262", where, what, f"Give 1 to {MAX_ITERABLE_ITEMS} items.")
    for index, value in enumerate(items):
        if value is None or (isinstance(value, dict | list) and not is_expression(value)):
            what = f"an item must be a scalar or an expression, not {type_word(value)}"
            yield Problem("E262", item(where, index), what, "Write an object as a string that holds its JSON.")
