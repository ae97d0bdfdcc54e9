"""Rules about the names of steps and parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mlops_sm.checks.subject import Subject, place
from mlops_sm.definition.document import Parameter, Step
from mlops_sm.definition.kinds import ParameterType
from mlops_sm.definition.parameters import EXAMPLES, convert
from mlops_sm.definition.wording import item, member, shown, suggestion, type_word
from mlops_sm.errors import Problem
from mlops_sm.naming import PARAMETER_NAME, STEP_NAME


def check_step_names(subject: Subject) -> Iterator[Problem]:
    """Step names are legal (E210), used once at any depth (E211) and no names of ForEach iterations (E212)."""
    seen: dict[str, Step] = {}
    for step in subject.definition.walk():
        where = place(step, "Name")
        if not STEP_NAME.fullmatch(step.name):
            what = f'"{shown(step.name)}" is no step name'
            yield Problem("E210", where, what, "Use 1 to 64 letters, digits, hyphens and underscores.")
        first = seen.setdefault(step.name, step)
        if first is not step:
            what = f'step "{shown(step.name)}" stands at {first.path} and at {step.path}'
            fix = "Rename one of them."
            if (first.branch is None) != (step.branch is None):
                fix = "Keep it in the branch only: a step in a branch is no step at top level."
            yield Problem("E211", where, what, fix)
    yield from _iteration_names(subject)


def _iteration_names(subject: Subject) -> Iterator[Problem]:
    bodies = {
        step.name: step.branch.step
        for step in subject.definition.walk()
        if step.branch is not None and step.branch.member == "ForEachBody"
    }
    for step in subject.definition.walk() if bodies else ():
        match = re.fullmatch(r"(.+)-\d+", step.name)
        if match is not None and match[1] in bodies and match[1] != step.name:
            what = f'"{shown(step.name)}" is the name of an iteration of "{shown(match[1])}" in ForEach'
            what += f' "{shown(bodies[match[1]])}"'
            yield Problem("E212", place(step, "Name"), what, "Rename the step so that it does not end in -NUMBER.")


def check_parameters(subject: Subject) -> Iterator[Problem]:
    """Parameter names are legal and used once (E210, E211); defaults and EnumValues fit the type (E213, E214)."""
    seen: set[str] = set()
    raw = subject.definition.raw.get("Parameters")
    positions = iter(_positions(raw if isinstance(raw, list) else []))
    by_name = list(subject.definition.parameters)
    for parameter in by_name:
        # Unreadable entries left gaps: the next entry with this name is the one that was read.
        path = next((item("Parameters", index) for index, name in positions if name == parameter.name), "Parameters")
        where = f'parameter "{shown(parameter.name)}", {path}'
        if not PARAMETER_NAME.fullmatch(parameter.name):
            what = f'"{shown(parameter.name)}" is no parameter name'
            fix = "Use 1 to 256 letters, digits, hyphens and underscores."
            yield Problem("E210", member(where, "Name"), what, fix)
        if parameter.name in seen:
            what = f'parameter "{shown(parameter.name)}" is declared twice'
            yield Problem("E211", member(where, "Name"), what, "Remove or rename one of them.")
        seen.add(parameter.name)
        yield from _default(parameter, where)


def _positions(raw: list[object]) -> Iterator[tuple[int, object]]:
    for index, entry in enumerate(raw):
        if isinstance(entry, dict):
            yield index, entry.get("Name")


def _default(parameter: Parameter, where: str) -> Iterator[Problem]:
    default, enum = parameter.default, parameter.enum_values
    if enum and parameter.type is not ParameterType.STRING:
        what = f"EnumValues are for String parameters, and this one is {parameter.type}"
        yield Problem("E214", member(where, "EnumValues"), what, "Remove EnumValues or make the parameter a String.")
    if default is None:
        return
    if convert(default, parameter.type, from_text=False) is None:
        example = EXAMPLES[parameter.type]
        what = f"the default must be {example}, since the parameter is {parameter.type}, not {type_word(default)}"
        fix = f"Write {example} in place of {shown(default)}."
        yield Problem("E213", member(where, "DefaultValue"), what, fix)
    elif enum and parameter.type is ParameterType.STRING and default not in enum:
        what = f'the default "{shown(default)}" is not among the EnumValues'
        fix = suggestion(str(default), enum) or "Use one of them, or add it."
        yield Problem("E214", member(where, "DefaultValue"), what, fix)
