"""What an expression becomes at run time: its type, or why it leads nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from mlops_sm.checks.properties import OF_PARAMETER, Unresolved, ValueType, resolve_in_body, resolve_property
from mlops_sm.checks.subject import Subject
from mlops_sm.definition.document import Json, Step
from mlops_sm.definition.expressions import (
    Expression,
    ItemRef,
    Join,
    JsonGetFile,
    JsonGetUri,
    Malformed,
    OutputRef,
    ParameterRef,
    StepRef,
    VariableRef,
    is_expression,
    parse_expression,
    parse_path,
)
from mlops_sm.definition.kinds import EXECUTION_VARIABLES, StepKind
from mlops_sm.definition.wording import shown, suggestion, type_word

CONTAINERS = frozenset({ValueType.OBJECT, ValueType.LIST, ValueType.MAP})


def meaning(subject: Subject, reader: Step | None, expression: Expression) -> ValueType | Unresolved:
    """The type of an expression where `reader` reads it (None: no step does); ANY where it cannot be known."""
    match expression:
        case Malformed(why=why):
            return Unresolved("E220", why, "Write one of Get, Std:Join and Std:JsonGet as the SDK does.")
        case ParameterRef(name=name):
            return _parameter(subject, name)
        case VariableRef(name=name):
            if name in EXECUTION_VARIABLES:
                return ValueType.STRING
            what = f'there is no execution variable "{shown(name)}"'
            return Unresolved("E222", what, suggestion(name, EXECUTION_VARIABLES))
        case StepRef(step=name, path=path):
            found = _step(subject, reader, name)
            return resolve_property(found, path) if isinstance(found, Step) else found
        case ItemRef(path=path):
            return _item(subject, reader, path)
        case OutputRef(path=path):
            return _output(reader, path)
        case Join(values=values):
            return _join(values)
        case JsonGetFile():
            return _property_file(subject, reader, expression)
        case JsonGetUri(uri=uri, path=path):
            if not path:
                return Unresolved("E220", "Std:JsonGet has an empty Path", "Name the value, e.g. metrics.auc.value.")
            if isinstance(uri, str) or is_expression(uri):
                return ValueType.ANY
            return Unresolved("E220", f"S3Uri of Std:JsonGet is {type_word(uri)}", "Write a string or an expression.")
        case _:
            assert_never(expression)


def type_of(subject: Subject, reader: Step | None, value: Json) -> ValueType:
    """The type of a literal or an expression; ANY for what leads nowhere, which is reported elsewhere."""
    if is_expression(value):
        found = meaning(subject, reader, parse_expression(value))
        return ValueType.ANY if isinstance(found, Unresolved) else found
    match value:
        case bool():
            return ValueType.BOOLEAN
        case int():
            return ValueType.INTEGER
        case float():
            return ValueType.FLOAT
        case str():
            return ValueType.STRING
        case list():
            return ValueType.LIST
        case dict():
            return ValueType.OBJECT
        case _:
            return ValueType.ANY


def joined_containers(subject: Subject, reader: Step | None, join: Join) -> Iterator[tuple[int, ValueType]]:
    """The values of a Std:Join that have no text: expressions that become objects or lists."""
    for index, value in enumerate(join.values):
        if is_expression(value) and (found := type_of(subject, reader, value)) in CONTAINERS:
            yield index, found


def _parameter(subject: Subject, name: str) -> ValueType | Unresolved:
    parameter = subject.parameters.get(name)
    if parameter is not None:
        return OF_PARAMETER[parameter.type]
    if subject.may_be_parameter(name):
        return ValueType.ANY
    fix = suggestion(name, subject.parameters) or "Declare it in Parameters."
    return Unresolved("E221", f'the definition declares no parameter "{shown(name)}"', fix)


def _step(subject: Subject, reader: Step | None, name: str) -> Step | ValueType | Unresolved:
    if reader is None:
        return Unresolved("E229", "no step has run when this is read", "Use a parameter or an execution variable.")
    found = subject.steps.get(name)
    if found is not None:
        return standing(subject, reader, found) or found
    if subject.may_be_step(name):
        return ValueType.ANY
    return unknown_step(subject, name)


def unknown_step(subject: Subject, name: str) -> Unresolved:
    """The finding that no step has a name."""
    fix = suggestion(name, subject.steps) or "Name a step of this definition."
    return Unresolved("E223", f'the definition has no step "{shown(name)}"', fix)


def standing(subject: Subject, reader: Step, other: Step) -> Unresolved | None:
    """Why a step cannot wait for another because of where both stand, or None if it can."""
    if other.kind is StepKind.FAIL:
        what = f'step "{shown(other.name)}" is a Fail step: it ends the execution, so nothing can follow it'
        return Unresolved("E233", what, "Depend on the step before it, or remove the dependency.")
    body = subject.body_of(other)
    if body is not None and body not in (subject.body_of(reader), reader.name):
        what = f'step "{shown(other.name)}" stands in the body of ForEach "{shown(body)}" and runs once per item'
        return Unresolved("E232", what, f"Use Steps.{shown(body)}.IterationOutputs[0].{shown(other.name)}.PROPERTY.")
    branches = dict(subject.enclosing(reader))
    for condition, branch in subject.enclosing(other):
        if branches.get(condition, branch) != branch:
            what = f'step "{shown(other.name)}" stands in another branch of Condition "{shown(condition)}"'
            return Unresolved("E231", what, "Only one branch runs: move one of both steps, or remove the dependency.")
    return None


def _item(subject: Subject, reader: Step | None, path: str) -> ValueType | Unresolved:
    if reader is None or subject.body_of(reader) is None:
        what = "ForEach.CurrentItem means something only in the body of a ForEach step"
        return Unresolved("E229", what, "Move the step into a ForEachBody, or use another value.")
    return ValueType.ANY if not path or _readable(path) else _unreadable(path)


def _output(reader: Step | None, path: str) -> ValueType | Unresolved:
    if reader is None or reader.kind is not StepKind.FOR_EACH:
        what = "IterationOutput means something only in the Selector of a ForEach step"
        return Unresolved("E229", what, "Use Steps.FOR_EACH.IterationOutputs[0].BODY_STEP.PROPERTY.")
    return resolve_in_body(reader, parse_path(path)) if _readable(path) else _unreadable(path)


def _readable(path: str) -> bool:
    try:
        parse_path(path)
    except ValueError:
        return False
    return True


def _unreadable(path: str) -> Unresolved:
    return Unresolved("E220", f'the path "{shown(path)}" cannot be read', "Write it as A.B[0]['name'].")


def _join(values: tuple[Json, ...]) -> ValueType | Unresolved:
    for value in values:
        if not is_expression(value) and (value is None or isinstance(value, dict | list)):
            return Unresolved("E220", f"Std:Join cannot make text of {type_word(value)}", "Join scalars only.")
    return ValueType.STRING


def _property_file(subject: Subject, reader: Step | None, get: JsonGetFile) -> ValueType | Unresolved:
    found = _step(subject, reader, get.step)
    if not isinstance(found, Step):
        return found
    names = [declared.name for declared in found.property_files]
    if "" in names:
        # One has no readable name: it may be this one.
        return ValueType.ANY
    if get.property_file not in names:
        what = f'step "{shown(get.step)}" declares no property file "{shown(get.property_file)}"'
        return Unresolved("E226", what, suggestion(get.property_file, names) or "Add it to the step's PropertyFiles.")
    if not get.path:
        return Unresolved("E220", "Std:JsonGet has an empty Path", "Name the value, e.g. metrics.auc.value.")
    return ValueType.ANY
