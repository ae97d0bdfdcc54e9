"""Rules about what steps read from parameters, execution variables and each other."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_sm.checks.meaning import joined_containers, meaning, standing, unknown_step
from mlops_sm.checks.properties import Unresolved, declared_names
from mlops_sm.checks.subject import Subject, place
from mlops_sm.definition.document import Json, Step
from mlops_sm.definition.expressions import (
    Join,
    Malformed,
    OutputRef,
    find_expressions,
    is_expression,
    parse_expression,
)
from mlops_sm.definition.graph import own_inputs
from mlops_sm.definition.kinds import StepKind
from mlops_sm.definition.wording import item, member, shown, suggestion
from mlops_sm.errors import Problem

# Kinds whose Arguments declare named outputs that can hold a property file.
_WITH_OUTPUTS = frozenset({StepKind.PROCESSING, StepKind.QUALITY_CHECK, StepKind.CLARIFY_CHECK})


def check_references(subject: Subject) -> Iterator[Problem]:
    """Every expression leads somewhere (E220 to E233)."""
    for key in ("PipelineExperimentConfig", "MlflowConfig"):
        yield from _read_by(subject, None, key, subject.definition.raw.get(key))
    for step in subject.definition.walk():
        for path, value in own_inputs(step):
            yield from _read_by(subject, step, path, value)


def check_depends_on(subject: Subject) -> Iterator[Problem]:
    """Every name in DependsOn is a step's that can come before this one (E223, E231 to E233)."""
    for step in subject.definition.walk():
        entries = step.raw.get("DependsOn")
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            name = entry.get("Step") if isinstance(entry, dict) else entry
            if isinstance(name, str):
                where = place(step, item("DependsOn", index))
                yield from _named(subject, step, name, where)


def check_cleanup(subject: Subject) -> Iterator[Problem]:
    """Every StepName of a Cleanup step is a step's (E223, E231 to E233)."""
    for step in subject.definition.walk():
        if step.kind is not StepKind.CLEANUP:
            continue
        resources = step.arguments.get("Resources")
        sources = resources.get("S3") if isinstance(resources, dict) else None
        for index, source in enumerate(sources if isinstance(sources, list) else ()):
            name = source.get("StepName") if isinstance(source, dict) else None
            if isinstance(name, str):
                where = place(step, f"Arguments.Resources.S3[{index}].StepName")
                yield from _named(subject, step, name, where)


def check_selectors(subject: Subject) -> Iterator[Problem]:
    """The Field of a Selector is an output of a body step (E229)."""
    for step in subject.definition.walk():
        selector = step.arguments.get("Selector") if step.kind is StepKind.FOR_EACH else None
        if isinstance(selector, dict) and "Field" in selector:
            found = parse_expression(selector["Field"])
            if not isinstance(found, OutputRef) and not (
                is_expression(selector["Field"]) and isinstance(found, Malformed)
            ):
                what = "iterations are compared by an output of a body step, and this is none"
                fix = 'Write {"Get": "IterationOutput.BODY_STEP.PROPERTY"}.'
                yield Problem("E229", place(step, "Arguments.Selector.Field"), what, fix)


def check_property_files(subject: Subject) -> Iterator[Problem]:
    """Every property file has a name of its own (E211) and lies in an output that its step declares (E227)."""
    for step in subject.definition.walk():
        seen: set[str] = set()
        for index, declared in enumerate(step.property_files):
            where = place(step, item("PropertyFiles", index))
            if declared.name and declared.name in seen:
                what = f'step "{shown(step.name)}" declares property file "{shown(declared.name)}" twice'
                yield Problem("E211", member(where, "PropertyFileName"), what, "Rename one of them.")
            seen.add(declared.name)
            if declared.output_name:
                yield from _output_of(step, declared.output_name, member(where, "OutputName"))


def _read_by(subject: Subject, reader: Step | None, path: str, value: Json) -> Iterator[Problem]:
    for relative, expression in find_expressions(value, path):
        where = relative if reader is None else place(reader, relative)
        found = meaning(subject, reader, expression)
        if isinstance(found, Unresolved):
            yield Problem(found.code, where, found.what, found.fix)
        elif isinstance(expression, Join):
            for index, kind in joined_containers(subject, reader, expression):
                what = f"Std:Join cannot make text of this: it becomes {kind}"
                here = f"{where}.Std:Join.Values[{index}]"
                yield Problem("E228", here, what, "Take one value out of it, e.g. with .MEMBER or [0].")


def _named(subject: Subject, step: Step, name: str, where: str) -> Iterator[Problem]:
    other = subject.steps.get(name)
    if other is None:
        found = None if subject.may_be_step(name) else unknown_step(subject, name)
    else:
        found = standing(subject, step, other)
    if found is not None:
        yield Problem(found.code, where, found.what, found.fix)


def _output_of(step: Step, output: str, where: str) -> Iterator[Problem]:
    if step.kind not in _WITH_OUTPUTS:
        what = f'step "{shown(step.name)}" ({step.kind}) has no named outputs, so it cannot leave a property file'
        yield Problem("E227", where, what, "Declare property files on Processing steps.")
        return
    config = step.arguments.get("ProcessingOutputConfig")
    outputs = config.get("Outputs") if isinstance(config, dict) else []
    names = declared_names(outputs, "OutputName")
    if names is not None and output not in names:
        what = f'step "{shown(step.name)}" has no output "{shown(output)}" for this property file'
        fix = suggestion(output, names) or "Add an output of that name to ProcessingOutputConfig."
        yield Problem("E227", where, what, fix)
