"""Rules about the steps of a ForEach's body: what each iteration writes must not be what another has written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mlops_sm.checks.subject import Subject, place
from mlops_sm.definition.document import Json, Step
from mlops_sm.definition.expressions import ItemRef, StepRef, VariableRef, find_expressions
from mlops_sm.definition.kinds import StepKind
from mlops_sm.definition.wording import item
from mlops_sm.errors import Problem

# Developer guide, "Pipeline variables": the names of the jobs that the step itself starts.
_NAMES_OF_JOBS: Final = frozenset({"ProcessingJobName", "TrainingJobName"})
_PROCESSING_JOBS: Final = frozenset({StepKind.PROCESSING, StepKind.QUALITY_CHECK, StepKind.CLARIFY_CHECK})


def check_iterations(subject: Subject) -> Iterator[Problem]:
    """Where a body step writes to depends on its iteration (W263); a training job's outputs are below its name."""
    for step in subject.definition.walk():
        body = subject.body_of(step)
        if body is None or _single(loop := subject.steps[body]):
            continue
        siblings = {child.name for child in loop.children}
        for path, uri in _targets(step):
            if uri is not None and not _varies(uri, siblings):
                what = (
                    f'every iteration of "{loop.name}" writes to the same place, so only the last one\'s output stays'
                )
                fix = "Put ForEach.CurrentItem, or a field of it, into the URI. The builder `for_each` does so."
                yield Problem("W263", place(step, path), what, fix)


def _single(loop: Step) -> bool:
    items = loop.arguments.get("IterableItems")
    return isinstance(items, list) and len(items) == 1


def _targets(step: Step) -> Iterator[tuple[str, Json]]:
    """The URIs a step's job writes to as they are."""
    if step.kind in _PROCESSING_JOBS:
        outputs = _member(step.arguments.get("ProcessingOutputConfig"), "Outputs")
        for index, output in enumerate(outputs if isinstance(outputs, list) else ()):
            where = item("Arguments.ProcessingOutputConfig.Outputs", index) + ".S3Output.S3Uri"
            yield where, _member(_member(output, "S3Output"), "S3Uri")
    elif step.kind is StepKind.TRANSFORM:
        yield "Arguments.TransformOutput.S3OutputPath", _member(step.arguments.get("TransformOutput"), "S3OutputPath")


def _member(value: Json, name: str) -> Json:
    return value.get(name) if isinstance(value, dict) else None


def _varies(uri: Json, siblings: set[str]) -> bool:
    for _, expression in find_expressions(uri):
        match expression:
            case ItemRef():
                return True
            case VariableRef(name) if name in _NAMES_OF_JOBS:
                return True
            case StepRef(step, _) if step in siblings:
                return True
    return False
