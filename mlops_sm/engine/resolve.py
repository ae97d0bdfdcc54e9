"""Expressions to values: against parameters, execution variables and what finished steps left behind.

Types are kept. ``{"Get": "Parameters.N"}`` of an Integer parameter stays an int wherever it stands alone, because only
the reader of the slot knows what the slot takes: whoever sends the request turns a number into text where the service's
model wants text (hyperparameters, environment variables), with `as_text`. Here only ``Std:Join`` makes text.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, assert_never

from mlops_sm.definition.document import Json, Scalar, Step
from mlops_sm.definition.expressions import (
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
from mlops_sm.definition.wording import item, member, shown, type_word
from mlops_sm.engine.unknown import Gap, Unknown

_MAX_NAMED: Final = 12

NO_ITEM: Final = object()
"""The item of a step that stands in no ForEach."""

NAMING_MEMBERS: Final = ("OutputName", "InputName", "ChannelName", "MetricName", "Name", "Key")
"""Which member names an element of a list in a Describe response, so that ``Outputs['train']`` finds it."""


class ResolveError(Exception):
    """A value cannot be computed. The text is for the step's FailureReason: a result of the run, not a bug."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What expressions can refer to.

    Attributes:
        parameters: Values of the definition's parameters, in their declared types.
        variables: Values of ``Execution.*`` that are known.
        steps: The definition's steps by name.
        properties: What the steps that ended left behind, each a Describe response.
        read_json: The JSON content of an S3 URI; raises `ResolveError` when there is none.
        item: What the iteration of a ForEach is about; `NO_ITEM` outside of one.
    """

    parameters: Mapping[str, Scalar]
    variables: Mapping[str, Scalar]
    steps: Mapping[str, Step]
    properties: Mapping[str, Mapping[str, Json]]
    read_json: Callable[[str], Json]
    item: Json = NO_ITEM


def resolve_value(value: Json, scope: Scope) -> Json:
    """A JSON value with every expression in it replaced; the result shares no list or object with its sources.

    Raises:
        ResolveError: An expression is malformed or refers to something that is not there.
    """
    if isinstance(value, dict):
        if is_expression(value):
            return _evaluate(value, scope)
        return {key: resolve_value(inner, scope) for key, inner in value.items()}
    if isinstance(value, list):
        return [resolve_value(inner, scope) for inner in value]
    return value


def as_text(value: Json) -> str:
    """A scalar as the service prints it: ``true``, ``3``, ``0.5``.

    Booleans are lower case: the SDK's integration tests expect ``false`` for a Condition's Outcome inside a Join
    (tests/integ/sagemaker/workflow/test_fail_steps.py). Numbers are printed as in JSON.

    Raises:
        ResolveError: The value is null, a list, an object or not a finite number.
    """
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float() if math.isfinite(value):
            return repr(value)
        case _:
            raise ResolveError(f"{described(value)} cannot be written as text")


def described(value: Json) -> str:
    """A value for a message, its type first: ``an integer (3)``."""
    return type_word(value) if value is None else f"{type_word(value)} ({shown(value)})"


def _evaluate(value: Json, scope: Scope) -> Json:
    expression = parse_expression(value)
    match expression:
        case ParameterRef(name):
            if name not in scope.parameters:
                raise ResolveError(f'there is no parameter "{shown(name)}"; known: {_listed(scope.parameters)}')
            return scope.parameters[name]
        case VariableRef(name):
            if name not in scope.variables:
                raise ResolveError(f"Execution.{shown(name)} has no value here; known: {_listed(scope.variables)}")
            return scope.variables[name]
        case StepRef(step, path):
            return copy.deepcopy(_pick(_properties(step, scope), path, f'step "{shown(step)}"', by_name=True))
        case Join(on, values):
            return _joined(on, [resolve_value(each, scope) for each in values])
        case JsonGetFile(step, property_file, path):
            found = _read(_property_file_uri(step, property_file, scope), path, scope)
            if isinstance(found, Unknown):
                return Unknown([Gap(step, f"PropertyFiles.{property_file}.{path}", content=True)])
            return found
        case JsonGetUri(uri, path):
            resolved = resolve_value(uri, scope)
            if not isinstance(resolved, str):
                raise ResolveError(f"Std:JsonGet reads an S3 URI, not {described(resolved)}")
            return _read(resolved, path, scope)
        case ItemRef(path) if scope.item is not NO_ITEM:
            return _item(scope.item, path)
        case ItemRef():
            raise ResolveError(f"{shown(value['Get'])} has a value only in an iteration of a ForEach step")
        case OutputRef():
            raise ResolveError(f"{shown(value['Get'])} has a value only for the Selector of a ForEach step")
        case Malformed(why):
            raise ResolveError(f"{shown(value)} is no expression: {why}")
        case _:
            assert_never(expression)


def _joined(on: str, values: list[Json]) -> str:
    gaps = [gap for value in values if isinstance(value, Unknown) for gap in value.gaps]
    text = on.join(map(as_text, values))
    return Unknown(gaps) if gaps else text


def look_up(value: Json, tokens: tuple[str | int, ...], owner: str) -> Json:
    """A member of what a step left behind.

    Raises:
        ResolveError: It has no such member.
    """
    return _walk(value, tokens, owner, by_name=True)


def _item(item: Json, path: str) -> Json:
    """The current item or a part of it. Whole, an object or a list is its JSON text: items are text to the service."""
    if not path:
        return json.dumps(item, separators=(",", ":")) if isinstance(item, dict | list) else item
    value = item
    if isinstance(item, str) and not isinstance(item, Unknown):
        try:
            value = json.loads(item)
        except ValueError as error:
            raise ResolveError(f'the item {shown(item)} is no JSON object that could have "{shown(path)}"') from error
    return copy.deepcopy(_pick(value, path, "the item", by_name=False))


def _properties(step: str, scope: Scope) -> Mapping[str, Json]:
    if step not in scope.steps:
        raise ResolveError(f'there is no step "{shown(step)}"; known: {_listed(scope.steps)}')
    if step not in scope.properties:
        raise ResolveError(f'step "{shown(step)}" has no properties: it has not run')
    return scope.properties[step]


def _property_file_uri(step: str, property_file: str, scope: Scope) -> str:
    if step not in scope.steps:
        raise ResolveError(f'there is no step "{shown(step)}"; known: {_listed(scope.steps)}')
    files = {f.name: f for f in scope.steps[step].property_files}
    if property_file not in files:
        raise ResolveError(
            f'step "{shown(step)}" has no property file "{shown(property_file)}"; known: {_listed(files)}'
        )
    found = files[property_file]
    tokens = ("ProcessingOutputConfig", "Outputs", found.output_name, "S3Output", "S3Uri")
    folder = _walk(_properties(step, scope), tokens, f'step "{shown(step)}"', by_name=True)
    return folder if isinstance(folder, Unknown) else f"{as_text(folder).rstrip('/')}/{found.file_path}"


def _read(uri: str, path: str, scope: Scope) -> Json:
    content = uri.content() if isinstance(uri, Unknown) else scope.read_json(uri)
    value = _pick(content, path, shown(uri), by_name=False)
    if isinstance(value, float) and not math.isfinite(value):
        # Python's parser lets NaN pass; JSON has no such number, and a gate must not decide on one.
        raise ResolveError(f'"{shown(path)}" in {shown(uri)} is {value}, which is no JSON number')
    return copy.deepcopy(value)


def _pick(value: Json, path: str, owner: str, *, by_name: bool) -> Json:
    try:
        tokens = parse_path(path)
    except ValueError as err:
        raise ResolveError(f'{owner}: the path "{shown(path)}" cannot be read: {err}') from err
    return _walk(value, tokens, owner, by_name=by_name)


def _walk(value: Json, tokens: tuple[str | int, ...], owner: str, *, by_name: bool) -> Json:
    for depth, token in enumerate(tokens):
        match value, token:
            case Unknown(), _:
                value = value.part(token)
            case Mapping(), str() if token in value:
                value = value[token]
            case list(), int() if token < len(value):
                value = value[token]
            case list(), str() if by_name and token in (named := _by_name(value)):
                value = named[token]
            case _:
                inside = _render(tokens[:depth])
                place = f'"{inside}" {_holds(value, by_name)}' if inside else f"it {_holds(value, by_name)}"
                raise ResolveError(f'{owner} has no "{_render(tokens)}": {place}')
    return value


def _by_name(elements: list[Json]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for element in elements:
        if isinstance(element, Mapping):
            name = next((element[m] for m in NAMING_MEMBERS if isinstance(element.get(m), str)), None)
            if name is not None:
                found.setdefault(name, element)
    return found


def _render(tokens: tuple[str | int, ...]) -> str:
    path = ""
    for token in tokens:
        path = item(path, token) if isinstance(token, int) else member(path, token)
    return path


def _holds(value: Json, by_name: bool) -> str:
    match value:
        case Mapping():
            return f"holds {_listed(value)}"
        case list() if by_name and (names := _by_name(value)):
            return f"holds {_listed(names)}"
        case list():
            return f"is a list of {len(value)}"
        case _:
            return f"is {type_word(value)}, which has no members"


def _listed(names: Collection[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - _MAX_NAMED} more" if len(ordered) > _MAX_NAMED else ""
    return ", ".join(shown(name) for name in ordered[:_MAX_NAMED]) + more or "nothing"
