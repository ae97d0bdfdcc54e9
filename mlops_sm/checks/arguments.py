"""The rule that Arguments have the shape of the request they become, expressions by their type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

from mlops_sm.checks.meaning import meaning
from mlops_sm.checks.properties import Unresolved, ValueType
from mlops_sm.checks.service import Shape, sagemaker_model
from mlops_sm.checks.shapes import check_request, check_value, refuse_containers
from mlops_sm.checks.subject import Subject, place
from mlops_sm.checks.vocabulary import ARGUMENTS, BESIDE, ROOT, vocabulary_shape
from mlops_sm.definition.document import Json, Step
from mlops_sm.definition.expressions import ParameterRef, parse_expression
from mlops_sm.definition.kinds import SERVICE_CALLS, StepKind
from mlops_sm.definition.parameters import convert
from mlops_sm.definition.parse import BESIDE_ARGUMENTS
from mlops_sm.definition.wording import item, shown
from mlops_sm.errors import Problem

# The service's own words for it: "Cannot assign property reference [...] to argument of type [String]."
_ACCEPTED: Final[Mapping[str, frozenset[ValueType]]] = MappingProxyType(
    {
        "string": frozenset({ValueType.STRING, ValueType.TIMESTAMP}),
        "blob": frozenset({ValueType.STRING}),
        "timestamp": frozenset({ValueType.STRING, ValueType.TIMESTAMP}),
        "integer": frozenset({ValueType.INTEGER}),
        "long": frozenset({ValueType.INTEGER}),
        "float": frozenset({ValueType.FLOAT, ValueType.INTEGER}),
        "double": frozenset({ValueType.FLOAT, ValueType.INTEGER}),
        "boolean": frozenset({ValueType.BOOLEAN}),
    }
)
_LINEAGE: Final = (
    ("Actions", "CreateActionRequest"),
    ("Artifacts", "CreateArtifactRequest"),
    ("Contexts", "CreateContextRequest"),
)


def check_arguments(subject: Subject) -> Iterator[Problem]:
    """Arguments, and what stands beside them and beside the steps, fit their shapes (E228, E240 to E248, W240)."""
    judge = _Judge(subject)
    for key, name in ROOT.items():
        value = subject.definition.raw.get(key)
        if isinstance(value, dict):
            yield from check_request(value, vocabulary_shape(name), key, on_expression=judge)
    for step in subject.definition.walk():
        judge.step = step
        shape = _shape_of(step)
        calls = SERVICE_CALLS.get(step.kind)
        filled_in = frozenset({calls.name_member}) if calls and calls.name_member else frozenset()
        if shape is not None:
            yield from check_request(
                dict(step.arguments), shape, place(step, "Arguments"), filled_in=filled_in, on_expression=judge
            )
        if step.kind in BESIDE:
            # The SDK writes null for what is not set.
            members = {k: v for k, v in step.raw.items() if k in BESIDE_ARGUMENTS[step.kind] and v is not None}
            beside = vocabulary_shape(BESIDE[step.kind])
            yield from check_request(members, beside, place(step), on_expression=judge)
        if step.kind is StepKind.LINEAGE:
            yield from _lineage(step, judge)


def _shape_of(step: Step) -> Shape | None:
    calls = SERVICE_CALLS.get(step.kind)
    if calls is not None:
        operation = calls.create
        if step.kind is StepKind.AUTO_ML and (
            "AutoMLJobConfig" in step.arguments or "InputDataConfig" in step.arguments
        ):
            # The SDK's AutoMLStep still writes the first version of the request.
            operation = "CreateAutoMLJob"
        return sagemaker_model().operation_model(operation).input_shape
    return vocabulary_shape(ARGUMENTS[step.kind]) if step.kind in ARGUMENTS else None


@cache
def _request_shape(name: str) -> Shape:
    return sagemaker_model().shape_for(name)


def _lineage(step: Step, judge: _Judge) -> Iterator[Problem]:
    for key, shape in _LINEAGE:
        entities = step.arguments.get(key)
        for index, entity in enumerate(entities if isinstance(entities, list) else ()):
            where = place(step, item(f"Arguments.{key}", index))
            yield from check_request(entity, _request_shape(shape), where, on_expression=judge)


class _Judge:
    """Says of an expression whether its type fits the slot; remembers which defaults it has tried."""

    step: Step | None = None

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._tried: set[tuple[str, str]] = set()

    def __call__(self, value: Json, shape: Shape, path: str) -> Iterator[Problem]:
        expression = parse_expression(value)
        found = meaning(self._subject, self.step, expression)
        if isinstance(found, Unresolved):
            # Reported where references are checked.
            return
        slot: str = shape.type_name
        if slot not in _ACCEPTED:
            yield from refuse_containers(value, shape, path)
        elif found is not ValueType.ANY and found not in _ACCEPTED[slot]:
            source = value.get("Get", next(iter(value)))
            what = f'"{shown(source)}" becomes {found}, and {shape.name} takes {slot}'
            yield Problem("E228", path, what, _type_fix(found, slot))
        elif isinstance(expression, ParameterRef):
            yield from self._default(expression.name, shape, path)

    def _default(self, name: str, shape: Shape, path: str) -> Iterator[Problem]:
        parameter = self._subject.parameters.get(name)
        if parameter is None or parameter.default is None or (name, shape.name) in self._tried:
            return
        if convert(parameter.default, parameter.type, from_text=False) is None:
            # Not even of the parameter's own type: reported where parameters are checked.
            return
        self._tried.add((name, shape.name))
        for problem in check_value(parameter.default, shape, path, expressions=False):
            what = f'the default of parameter "{shown(name)}" would be refused here: {problem.what}'
            yield Problem("W240", path, what, problem.fix)


def _type_fix(found: ValueType, slot: str) -> str:
    if found in (ValueType.OBJECT, ValueType.LIST, ValueType.MAP):
        return "Take one value out of it, e.g. with .MEMBER or [0]."
    if slot in ("string", "blob"):
        return 'Make text of it: {"Std:Join": {"On": "", "Values": [...]}}, which is to_string() in the SDK.'
    return f"Use a value of type {slot}, e.g. a parameter declared so."
