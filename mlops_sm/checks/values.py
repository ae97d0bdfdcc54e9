"""What of a definition cannot work with the values that an execution's parameters have."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mlops_sm.checks import check
from mlops_sm.checks.subject import place
from mlops_sm.definition.document import Definition, Json, Scalar
from mlops_sm.definition.expressions import ParameterRef, is_expression, parse_expression, parse_path
from mlops_sm.definition.kinds import StepKind
from mlops_sm.definition.wording import shown
from mlops_sm.errors import Problem

_ITEMS = "IterableItems"
"""Text that holds a list where a definition holds one itself."""


def check_values(definition: Definition, values: Mapping[str, Scalar]) -> list[Problem]:
    """What the values make wrong that is not wrong already; as a warning (W240) in steps that may never run.

    Args:
        definition: A definition without errors.
        values: The value of every parameter.
    """
    raw = definition.raw
    known = check(json.dumps(raw))
    resolved = {**raw, "Steps": _resolved(raw.get("Steps", []), values)}
    found = [problem for problem in check(json.dumps(resolved)) if problem.is_error and problem not in known]
    named = [problem._replace(what=f"{_parameter(raw, problem)}{problem.what}") for problem in found]
    named += _lists(definition, values)
    optional = tuple(f'step "{step.name}"' for step in definition.walk() if step.branch is not None)
    return [p._replace(code="W240") if p.where.startswith(optional) else p for p in named]


def _parameter(raw: Json, problem: Problem) -> str:
    """Which parameter a problem is about, to stand in front of it; empty when the place holds none."""
    value = raw
    try:
        for token in parse_path(problem.where.rpartition(", ")[2]):
            value = value[token]
    except (ValueError, LookupError, TypeError):
        return ""
    expression = parse_expression(value) if is_expression(value) else None
    return f'parameter "{expression.name}": ' if isinstance(expression, ParameterRef) else ""


def _resolved(value: Json, values: Mapping[str, Scalar]) -> Json:
    """A part of a definition with the values of parameters in place of their references."""
    if isinstance(value, list):
        return [_resolved(each, values) for each in value]
    if not isinstance(value, dict):
        return value
    if is_expression(value):
        expression = parse_expression(value)
        if isinstance(expression, ParameterRef):
            return values.get(expression.name, value)
    return {name: inner if name == _ITEMS else _resolved(inner, values) for name, inner in value.items()}


def _lists(definition: Definition, values: Mapping[str, Scalar]) -> Iterator[Problem]:
    for step in definition.walk():
        items: Any = step.arguments.get(_ITEMS) if step.kind is StepKind.FOR_EACH else None
        expression = parse_expression(items) if is_expression(items) else None
        if not isinstance(expression, ParameterRef) or expression.name not in values:
            continue
        text = values[expression.name]
        try:
            held = json.loads(text) if isinstance(text, str) else None
        except (ValueError, RecursionError):
            held = None
        if not isinstance(held, list):
            what = f'parameter "{expression.name}" holds no JSON list: {shown(text)}'
            fix = 'Write its items as JSON, for example ["north", "south"].'
            yield Problem("E262", place(step, f"Arguments.{_ITEMS}"), what, fix)
