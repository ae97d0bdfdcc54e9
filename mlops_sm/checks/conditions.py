"""The rule about the conditions of Condition steps: eight types, their members, and operands that can be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, assert_never

from mlops_sm.checks.meaning import CONTAINERS, type_of
from mlops_sm.checks.properties import ValueType
from mlops_sm.checks.subject import Subject, place
from mlops_sm.definition.document import Json, Step
from mlops_sm.definition.expressions import is_expression
from mlops_sm.definition.kinds import ConditionType, StepKind
from mlops_sm.definition.wording import item, member, shown, suggestion, type_word
from mlops_sm.errors import Problem

_BINARY: Final = ("LeftValue", "RightValue")
MEMBERS: Final[Mapping[ConditionType, tuple[str, ...]]] = MappingProxyType(
    {
        ConditionType.EQUALS: _BINARY,
        ConditionType.GREATER_THAN: _BINARY,
        ConditionType.GREATER_THAN_OR_EQUAL_TO: _BINARY,
        ConditionType.LESS_THAN: _BINARY,
        ConditionType.LESS_THAN_OR_EQUAL_TO: _BINARY,
        ConditionType.IN: ("QueryValue", "Values"),
        ConditionType.NOT: ("Condition",),
        ConditionType.OR: ("Conditions",),
    }
)
"""The members of each condition beside its Type; all are required."""

# Values of two families are never equal and have no order.
_FAMILY: Final[Mapping[ValueType, str]] = MappingProxyType(
    {
        ValueType.STRING: "text",
        ValueType.TIMESTAMP: "text",
        ValueType.INTEGER: "a number",
        ValueType.FLOAT: "a number",
        ValueType.BOOLEAN: "a boolean",
    }
)


def check_conditions(subject: Subject) -> Iterator[Problem]:
    """Conditions have a known Type and its members (E253) and compare like with like (E228)."""
    for step in subject.definition.walk():
        if step.kind is StepKind.CONDITION:
            reader = _Reader(subject, step)
            if "Conditions" in step.arguments:
                yield from reader.conditions(step.arguments["Conditions"], place(step, "Arguments.Conditions"))
            if not any(member_name in step.arguments for member_name in ("IfSteps", "ElseSteps")):
                what = f'step "{shown(step.name)}" decides about nothing: it has neither IfSteps nor ElseSteps'
                yield Problem("E250", place(step, "Arguments"), what, "Add the steps to run when the condition holds.")


class _Reader:
    def __init__(self, subject: Subject, step: Step) -> None:
        self._subject = subject
        self._step = step

    def conditions(self, value: Json, where: str) -> Iterator[Problem]:
        if not isinstance(value, list) or not value:
            given = "an empty list" if value == [] else type_word(value)
            what = f"this must be a list of conditions, not {given}"
            yield Problem("E253", where, what, "Give at least one condition.")
            return
        for index, entry in enumerate(value):
            yield from self._condition(entry, item(where, index))

    def _condition(self, value: Json, where: str) -> Iterator[Problem]:
        if not isinstance(value, dict):
            what = f"a condition must be an object, not {type_word(value)}"
            yield Problem("E253", where, what, 'Write {"Type": ..., ...}.')
            return
        word = value.get("Type")
        if word not in tuple(ConditionType):
            what = "the condition has no Type" if word is None else f'"{shown(word)}" is no condition type'
            fix = suggestion(word, tuple(ConditionType)) if isinstance(word, str) else ""
            fix = fix or "Use one of: " + ", ".join(ConditionType) + "."
            yield Problem("E253", where if word is None else member(where, "Type"), what, fix)
            return
        kind = ConditionType(word)
        known = ("Type", *MEMBERS[kind])
        for key in value:
            if key not in known:
                what = f'a condition of type {kind} has no member "{shown(key)}"'
                yield Problem("E253", member(where, key), what, f"Its members are {', '.join(known)}.")
        for key in MEMBERS[kind]:
            if key not in value:
                what = f'a condition of type {kind} needs the member "{key}"'
                yield Problem("E253", where, what, f'Add "{key}".')
        yield from self._operands(kind, value, where)

    def _operands(self, kind: ConditionType, value: dict[str, Json], where: str) -> Iterator[Problem]:
        match kind:
            case ConditionType.NOT:
                if "Condition" in value:
                    yield from self._condition(value["Condition"], member(where, "Condition"))
            case ConditionType.OR:
                if "Conditions" in value:
                    yield from self.conditions(value["Conditions"], member(where, "Conditions"))
            case ConditionType.IN:
                yield from self._membership(value, where)
            case (
                ConditionType.EQUALS
                | ConditionType.GREATER_THAN
                | ConditionType.GREATER_THAN_OR_EQUAL_TO
                | ConditionType.LESS_THAN
                | ConditionType.LESS_THAN_OR_EQUAL_TO
            ):
                given = [(member(where, key), value[key]) for key in _BINARY if key in value]
                yield from self._comparable(given)
            case _:
                assert_never(kind)

    def _membership(self, value: dict[str, Json], where: str) -> Iterator[Problem]:
        given = [(member(where, "QueryValue"), value["QueryValue"])] if "QueryValue" in value else []
        values = value.get("Values")
        here = member(where, "Values")
        if isinstance(values, list) and values:
            given.extend((item(here, index), entry) for index, entry in enumerate(values))
        elif "Values" in value:
            what = "Values must be a list with at least one value"
            yield Problem("E253", here, what, "List the values that count as a match.")
        yield from self._comparable(given)

    def _comparable(self, operands: list[tuple[str, Json]]) -> Iterator[Problem]:
        """Operands are scalars, and all of the first one's family."""
        first: str | None = None
        for where, value in operands:
            if value is None or (isinstance(value, dict | list) and not is_expression(value)):
                what = f"{type_word(value)} cannot be compared"
                yield Problem("E253", where, what, "Compare a string, a number, a boolean or an expression.")
                continue
            kind = type_of(self._subject, self._step, value)
            family = _FAMILY.get(kind)
            if kind in CONTAINERS:
                what = f"this becomes {kind}, which cannot be compared"
                yield Problem("E228", where, what, "Take one value out of it, e.g. with .MEMBER or [0].")
            elif first is not None and family not in (None, first):
                what = f"{family} is compared with {first}: that never matches"
                yield Problem("E228", where, what, "Give both sides the same type.")
            first = first or family
