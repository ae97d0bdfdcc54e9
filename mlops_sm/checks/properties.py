"""What a property path of a step leads to: its type, or why it leads nowhere.

A step's properties are the Describe response of what it started; kinds that start nothing have a few of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Final, NamedTuple, assert_never

from mlops_sm.checks.service import Shape, sagemaker_model, service_model
from mlops_sm.definition.document import Json, Step
from mlops_sm.definition.expressions import Key, OutputRef, is_expression, parse_expression, parse_path
from mlops_sm.definition.kinds import SERVICE_CALLS, ParameterType, StepKind
from mlops_sm.definition.wording import shown, suggestion


class ValueType(StrEnum):
    """What an expression becomes; ANY where only the execution knows."""

    STRING = "String"
    INTEGER = "Integer"
    FLOAT = "Float"
    BOOLEAN = "Boolean"
    TIMESTAMP = "Timestamp"
    OBJECT = "Object"
    LIST = "List"
    MAP = "Map"
    ANY = "Any"


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Why an expression leads nowhere: the parts of a `Problem` without its place."""

    code: str
    what: str
    fix: str


Tokens = tuple[str | int, ...]

OF_PARAMETER: Final[Mapping[ParameterType, ValueType]] = MappingProxyType(
    {
        ParameterType.STRING: ValueType.STRING,
        ParameterType.INTEGER: ValueType.INTEGER,
        ParameterType.FLOAT: ValueType.FLOAT,
        ParameterType.BOOLEAN: ValueType.BOOLEAN,
    }
)
_OF_SHAPE: Final[Mapping[str, ValueType]] = MappingProxyType(
    {
        "string": ValueType.STRING,
        "blob": ValueType.STRING,
        "integer": ValueType.INTEGER,
        "long": ValueType.INTEGER,
        "float": ValueType.FLOAT,
        "double": ValueType.FLOAT,
        "boolean": ValueType.BOOLEAN,
        "timestamp": ValueType.TIMESTAMP,
        "structure": ValueType.OBJECT,
        "list": ValueType.LIST,
        "map": ValueType.MAP,
    }
)
_BASELINES: Final = (
    "CalculatedBaselineConstraints",
    "BaselineUsedForDriftCheckConstraints",
    "CalculatedBaselineStatistics",
    "BaselineUsedForDriftCheckStatistics",
)
_COUNTS: Final = ("InputItemCount", "TotalStepCount", "SucceededStepCount", "FailedStepCount", "StoppedStepCount")
_LINEAGE_MAPS: Final = ("ActionArns", "ArtifactArns", "ContextArns")


def resolve_property(step: Step, path: str) -> ValueType | Unresolved:
    """Follow a property path, e.g. ``ProcessingOutputConfig.Outputs['train'].S3Output.S3Uri``, from a step."""
    try:
        tokens = parse_path(path)
    except ValueError as err:
        return Unresolved("E220", f"the property path cannot be read: {err}", "Write it as A.B[0]['name'].")
    return _resolve(step, tokens)


def _resolve(step: Step, tokens: Tokens) -> ValueType | Unresolved:
    head = tokens[0]
    if head == "PropertyFiles":
        what = f'a property file of step "{shown(step.name)}" is referenced outside of Std:JsonGet'
        return Unresolved("E224", what, 'Read it with {"Std:JsonGet": {"PropertyFile": ..., "Path": ...}}.')
    match step.kind:
        case StepKind.FAIL | StepKind.CLEANUP:
            what = f'step "{shown(step.name)}" is a {step.kind} step, which has no properties'
            code = "E233" if step.kind is StepKind.FAIL else "E224"
            return Unresolved(code, what, "Reference another step.")
        case StepKind.CONDITION:
            return _fixed(step, tokens, {"Outcome": ValueType.ANY})
        case StepKind.QUALITY_CHECK:
            return _fixed(step, tokens, dict.fromkeys(_BASELINES, ValueType.STRING))
        case StepKind.CLARIFY_CHECK:
            return _fixed(step, tokens, dict.fromkeys(_BASELINES[:2], ValueType.STRING))
        case StepKind.LAMBDA | StepKind.CALLBACK:
            return _output_parameter(step, tokens)
        case StepKind.LINEAGE:
            if head in _LINEAGE_MAPS and len(tokens) == 2:  # noqa: PLR2004 - the map and one of its keys
                return ValueType.STRING
            return (
                ValueType.ANY if head == "Associations" else _no_property(step, head, (*_LINEAGE_MAPS, "Associations"))
            )
        case StepKind.FOR_EACH:
            return _for_each(step, tokens)
        case StepKind.EMR:
            if head in ("ClusterId", "ExecutionRoleArn", "ClusterConfig"):
                return ValueType.ANY
            return _walk(step, tokens, [_emr("emr", "Step")])
        case StepKind.EMR_SERVERLESS:
            return _walk(step, tokens, [_emr("emr-serverless", "GetJobRunResponse")])
        case StepKind.JOB if head == "JobConfigDocument":
            # A string in the model, but the service reads members of the JSON in it.
            return ValueType.ANY
        case StepKind.AUTO_ML:
            if head == "BestCandidateProperties":
                return ValueType.STRING
            return _walk(step, tokens, [*_describe(step.kind), _output_shape("DescribeAutoMLJob")])
        case (
            StepKind.PROCESSING
            | StepKind.TRAINING
            | StepKind.TRANSFORM
            | StepKind.TUNING
            | StepKind.MODEL
            | StepKind.REGISTER_MODEL
            | StepKind.ENDPOINT_CONFIG
            | StepKind.ENDPOINT
            | StepKind.INFERENCE_COMPONENT
            | StepKind.JOB
        ):
            return _walk(step, tokens, _describe(step.kind))
        case (
            StepKind.ATHENA
            | StepKind.HUB_CONTENT
            | StepKind.BEDROCK_CUSTOM_MODEL
            | StepKind.BEDROCK_CUSTOM_MODEL_DEPLOYMENT
            | StepKind.BEDROCK_PROVISIONED_MODEL_THROUGHPUT
            | StepKind.BEDROCK_MODEL_IMPORT
        ):
            return ValueType.ANY
        case _:
            assert_never(step.kind)


@cache
def _output_shape(operation: str) -> Shape:
    return sagemaker_model().operation_model(operation).output_shape


def _describe(kind: StepKind) -> list[Shape]:
    return [_output_shape(operation) for operation in SERVICE_CALLS[kind].describe]


@cache
def _emr(service: str, shape: str) -> Shape:
    return service_model(service).shape_for(shape)


# ---------------------------------------------------------------- paths into Describe responses


def _walk(step: Step, tokens: Tokens, roots: Sequence[Shape]) -> ValueType | Unresolved:
    root = next((shape for shape in roots if tokens[0] in shape.members), None)
    if root is None:
        return _no_property(step, tokens[0], [name for shape in roots for name in shape.members])
    shape: Shape = root
    echo = _Echo(_input_shape(SERVICE_CALLS[step.kind].create) if step.kind in SERVICE_CALLS else None, step.arguments)
    for depth, token in enumerate(tokens):
        name = shown(_join(tokens[:depth]))
        match shape.type_name:
            case "structure":
                if token not in shape.members:
                    return _no_property(step, token, shape.members, name)
                shape, echo = shape.members[token], echo.member(str(token))
            case "list":
                missing = _missing_element(step, token, shape, echo.elements(), name)
                if missing is not None:
                    return missing
                shape, echo = shape.member, echo.element(token, _name_member(shape))
            case "map":
                shape, echo = shape.value, _Echo(None, None)
            case _:
                what = f'"{name}" of step "{shown(step.name)}" is a single value: it has no "{shown(str(token))}"'
                return Unresolved("E224", what, f'End the path at "{name}".')
    return _OF_SHAPE[shape.type_name]


class _Echo(NamedTuple):
    """What of a Describe response is known beforehand: it repeats the request, so the step's Arguments say it.

    Attributes:
        asked: The request's shape at this place; None where the response says more than the request.
        written: The request's value there; None where it is absent, or only known at run time.
    """

    asked: Shape | None
    written: Json

    def member(self, name: str) -> _Echo:
        if self.asked is None or self.asked.type_name != "structure" or name not in self.asked.members:
            return _Echo(None, None)
        if self.written is not None and (not isinstance(self.written, Mapping) or is_expression(self.written)):
            return _Echo(None, None)
        return _Echo(self.asked.members[name], None if self.written is None else self.written.get(name))

    def elements(self) -> list[Json] | None:
        """The elements of a list that the request holds; none if it leaves the list out; None if nobody can know."""
        if self.asked is None or self.asked.type_name != "list":
            return None
        if self.written is None:
            return []
        return self.written if isinstance(self.written, list) else None

    def element(self, token: str | int, by: str | None) -> _Echo:
        elements = self.elements()
        if elements is None or self.asked is None:
            return _Echo(None, None)
        if isinstance(token, int):
            return _Echo(self.asked.member, elements[token] if token < len(elements) else None)
        found = next((e for e in elements if isinstance(e, dict) and e.get(by) == token), None)
        return _Echo(self.asked.member if found is not None else None, found)


@cache
def _input_shape(operation: str) -> Shape:
    return sagemaker_model().operation_model(operation).input_shape


def _join(tokens: Tokens) -> str:
    text = ""
    for token in tokens:
        text += f"[{token}]" if isinstance(token, int) else f".{token}"
    return text.removeprefix(".")


def _name_member(shape: Shape) -> str | None:
    """The member by which elements of a list are told apart, e.g. OutputName of ProcessingOutputConfig.Outputs."""
    element = shape.member
    if element.type_name != "structure":
        return None
    return next((name for name in element.members if name.endswith("Name")), None)


def _missing_element(
    step: Step, token: str | int, shape: Shape, written: list[Json] | None, name: str
) -> Unresolved | None:
    if isinstance(token, int):
        if written is not None and token >= len(written):
            what = f'"{name}" of step "{shown(step.name)}" has {len(written)} elements: there is no [{token}]'
            return Unresolved("E225", what, "Count from 0.")
        return None
    by = _name_member(shape) if isinstance(token, Key) else None
    if by is None:
        what = f'"{name}" of step "{shown(step.name)}" is a list: "{shown(token)}" is no index'
        return Unresolved("E224", what, f"Write {name}[0] to take its first element.")
    names = declared_names(written, by)
    if names is None or token in names:
        return None
    what = f'step "{shown(step.name)}" has no "{shown(token)}" in "{name}"'
    fix = suggestion(token, names) or f"Declare an element whose {by} is that, or use another one."
    return Unresolved("E225", what, fix)


def declared_names(written: Json, by: str) -> list[str] | None:
    """The names in a list of a step's Arguments, or None if not all of them are written down there."""
    if not isinstance(written, list):
        return None
    names = [element.get(by) if isinstance(element, dict) else None for element in written]
    return [n for n in names if isinstance(n, str)] if all(isinstance(n, str) for n in names) else None


# ---------------------------------------------------------------- kinds with properties of their own


def _no_property(step: Step, token: str | int, known: Mapping[str, object] | Sequence[str], of: str = "") -> Unresolved:
    inside = f' in "{of}"' if of else ""
    what = f'step "{shown(step.name)}" ({step.kind}) has no property "{shown(str(token))}"{inside}'
    fix = suggestion(str(token), list(known)) or f"Look up the properties of {step.kind} steps."
    return Unresolved("E224", what, fix)


def _fixed(step: Step, tokens: Tokens, known: Mapping[str, ValueType]) -> ValueType | Unresolved:
    found = known.get(str(tokens[0]))
    if found is None:
        return _no_property(step, tokens[0], known)
    if len(tokens) > 1:
        what = f'"{tokens[0]}" of step "{shown(step.name)}" is a single value'
        return Unresolved("E224", what, f'End the path at "{tokens[0]}".')
    return found


def _output_parameter(step: Step, tokens: Tokens) -> ValueType | Unresolved:
    if tokens[0] != "OutputParameters" or len(tokens) != 2:  # noqa: PLR2004 - the list and one name
        what = f"the results of step \"{shown(step.name)}\" ({step.kind}) are OutputParameters['NAME']"
        return Unresolved("E224", what, f"Write Steps.{shown(step.name)}.OutputParameters['NAME'].")
    declared = step.raw.get("OutputParameters")
    names = declared_names(declared if declared is not None else [], "OutputName")
    if names is None:
        return ValueType.ANY
    if tokens[1] not in names:
        what = f'step "{shown(step.name)}" declares no output "{shown(str(tokens[1]))}"'
        return Unresolved("E225", what, suggestion(str(tokens[1]), names) or "Add it to the step's OutputParameters.")
    kind = next(e.get("OutputType") for e in declared or () if e["OutputName"] == tokens[1])
    return ValueType(kind) if kind in tuple(ParameterType) else ValueType.ANY


def _for_each(step: Step, tokens: Tokens) -> ValueType | Unresolved:
    match tokens:
        case ("Status",):
            return ValueType.STRING
        case (str(head),) if head in _COUNTS:
            return ValueType.INTEGER
        case ("IterationOutputs", int(), str(body), *rest) if rest:
            return resolve_in_body(step, (body, *rest))
        case ("IterationOutputs", *_):
            what = (
                f'IterationOutputs of step "{shown(step.name)}" needs an index, a body step and one of its properties'
            )
            return Unresolved("E224", what, "Write IterationOutputs[0].BODY_STEP.PROPERTY.")
        case ("Selected", *rest) if rest:
            return _selected(step, tuple(rest))
        case ("Selected",):
            what = f'Selected of step "{shown(step.name)}" needs a property of the selected body step'
            return Unresolved("E224", what, "Write Selected.PROPERTY.")
        case _:
            return _no_property(step, tokens[0], ("Status", *_COUNTS, "IterationOutputs", "Selected"))


def resolve_in_body(step: Step, tokens: Tokens) -> ValueType | Unresolved:
    """Follow ``BODY_STEP.PROPERTY...`` from a ForEach step."""
    body = {child.name: child for child in step.children}
    child = body.get(str(tokens[0]))
    if child is None:
        what = f'step "{shown(step.name)}" has no body step "{shown(str(tokens[0]))}"'
        return Unresolved("E225", what, suggestion(str(tokens[0]), list(body)) or "Name a step of its ForEachBody.")
    if len(tokens) == 1:
        return Unresolved("E224", f'body step "{shown(child.name)}" is named without a property', "Add one.")
    return _resolve(child, tokens[1:])


def _selected(step: Step, rest: Tokens) -> ValueType | Unresolved:
    selector = step.arguments.get("Selector")
    if not isinstance(selector, dict):
        what = f'step "{shown(step.name)}" selects nothing: it has no Selector'
        return Unresolved("E224", what, 'Add "Selector" to its Arguments, or use IterationOutputs[0].')
    picked = parse_expression(selector.get("Field"))
    if not isinstance(picked, OutputRef):
        return ValueType.ANY
    body = {child.name: child for child in step.children}
    child = body.get(picked.path.partition(".")[0])
    return ValueType.ANY if child is None else _resolve(child, rest)
