"""Run-time expressions: ``Get``, ``Std:Join`` and ``Std:JsonGet``, and the grammar of property paths.

In the document an expression is an object with exactly one of three keys. Here it is a value of a closed union, so that
checks and the engine decide about every case.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.definition.wording import member, shown


@dataclass(frozen=True, slots=True)
class ParameterRef:
    """``Parameters.NAME``."""

    name: str


@dataclass(frozen=True, slots=True)
class VariableRef:
    """``Execution.NAME``."""

    name: str


@dataclass(frozen=True, slots=True)
class StepRef:
    """``Steps.NAME.PATH``: a property of another step, written as in its Describe response."""

    step: str
    path: str


@dataclass(frozen=True, slots=True)
class ItemRef:
    """``ForEach.CurrentItem`` or one field of it, inside a ForEach body."""

    path: str


@dataclass(frozen=True, slots=True)
class OutputRef:
    """``IterationOutput.BODY.PATH``: only in a ForEach selector."""

    path: str


@dataclass(frozen=True, slots=True)
class Join:
    """``Std:Join``: the values as text with `on` between them."""

    on: str
    values: tuple[Json, ...]


@dataclass(frozen=True, slots=True)
class JsonGetFile:
    """``Std:JsonGet`` on a property file of a step."""

    step: str
    property_file: str
    path: str


@dataclass(frozen=True, slots=True)
class JsonGetUri:
    """``Std:JsonGet`` on an S3 URI, itself possibly an expression."""

    uri: Json
    path: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """An object that looks like an expression and is none; `why` says so."""

    why: str


Expression = ParameterRef | VariableRef | StepRef | ItemRef | OutputRef | Join | JsonGetFile | JsonGetUri | Malformed

_KEYS: Final = frozenset({"Get", "Std:Join", "Std:JsonGet"})


def is_expression(value: Json) -> bool:
    """Whether a JSON value is to be computed at run time."""
    return isinstance(value, dict) and len(value) == 1 and next(iter(value)) in _KEYS


def parse_expression(value: Json) -> Expression:
    """Read an expression object; what cannot be read is `Malformed`, never an exception."""
    match value:
        case {"Get": str(target)}:
            return _parse_get(target)
        case {"Get": other}:
            return Malformed(f"Get takes a string, not {type(other).__name__}")
        case {"Std:Join": {"On": str(on), "Values": list(values)}}:
            return Join(on, tuple(values))
        case {"Std:Join": _}:
            return Malformed('Std:Join takes {"On": string, "Values": list}')
        case {"Std:JsonGet": {"PropertyFile": {"Get": str(target)}, "Path": str(path)}}:
            match = re.fullmatch(r"Steps\.([A-Za-z0-9\-_]+)\.PropertyFiles\.(.+)", target)
            if match is None:
                return Malformed(f'PropertyFile must be "Steps.NAME.PropertyFiles.FILE", not "{shown(target)}"')
            return JsonGetFile(match[1], match[2], path)
        case {"Std:JsonGet": {"S3Uri": uri, "Path": str(path)}}:
            return JsonGetUri(uri, path)
        case {"Std:JsonGet": _}:
            return Malformed(
                'Std:JsonGet takes {"PropertyFile": {"Get": ...}, "Path": ...} or {"S3Uri": ..., "Path": ...}'
            )
        case _:
            return Malformed("not an expression")


def _parse_get(target: str) -> Expression:
    space, _, rest = target.partition(".")
    match space:
        case "Parameters" if rest:
            return ParameterRef(rest)
        case "Execution" if rest:
            return VariableRef(rest)
        case "Steps" if "." in rest:
            step, _, path = rest.partition(".")
            return StepRef(step, path)
        case "Steps" if rest:
            return Malformed(f'"{shown(target)}" names a step but none of its properties')
        case "ForEach" if rest == "CurrentItem" or rest.startswith(("CurrentItem.", "CurrentItem[")):
            return ItemRef(rest.removeprefix("CurrentItem").removeprefix("."))
        case "IterationOutput" if rest:
            return OutputRef(rest)
        case _:
            return Malformed(f'"{shown(target)}" starts with none of Parameters., Execution., Steps., ForEach.')


def find_expressions(value: Json, path: str = "") -> Iterator[tuple[str, Expression]]:
    """Every expression in a JSON value with the path that leads to it, nested ones included."""
    if isinstance(value, dict):
        if is_expression(value):
            expression = parse_expression(value)
            yield path, expression
            match expression:
                case Join(values=values):
                    for index, item in enumerate(values):
                        yield from find_expressions(item, f"{path}.Std:Join.Values[{index}]")
                case JsonGetUri(uri=uri):
                    yield from find_expressions(uri, f"{path}.Std:JsonGet.S3Uri")
                case _:
                    return
            return
        for key, item in value.items():
            yield from find_expressions(item, member(path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from find_expressions(item, f"{path}[{index}]")


_TOKEN: Final = re.compile(r"(?:^|(?<!^)\.)([A-Za-z0-9_][A-Za-z0-9_:\-]*)|\[(\d+)\]|\['([^']*)'\]|\[\"([^\"]*)\"\]")


class Key(str):
    """A token of a path that is written in brackets, ``['key']``; it equals the plain text."""

    __slots__ = ()


def parse_path(path: str) -> tuple[str | int, ...]:
    """Split ``a.b[0]['c d']`` into its member names, keys (`Key`) and indexes.

    Raises:
        ValueError: The text does not follow the grammar.
    """
    tokens: list[str | int] = []
    position = 0
    while position < len(path):
        match = _TOKEN.match(path, position)
        if match is None:
            raise ValueError(f'cannot read "{shown(path[position:])}" in path "{shown(path)}"')
        name, index, single, double = match.groups()
        if name is not None:
            tokens.append(name)
        elif index is not None:
            tokens.append(int(index))
        else:
            tokens.append(Key(single if single is not None else double))
        position = match.end()
    if not tokens:
        raise ValueError("the path is empty")
    return tuple(tokens)
