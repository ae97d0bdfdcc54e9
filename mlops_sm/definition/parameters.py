"""The parameters of one execution: given values over defaults, in the declared types."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Final, assert_never

from mlops_sm.definition.document import Definition, Json, Parameter, Scalar
from mlops_sm.definition.kinds import ParameterType
from mlops_sm.definition.wording import shown, suggestion, type_word
from mlops_sm.errors import InputError, Problem

EXAMPLES: Final[Mapping[ParameterType, str]] = {
    ParameterType.STRING: "text",
    ParameterType.INTEGER: "an integer such as 3",
    ParameterType.FLOAT: "a number such as 0.5",
    ParameterType.BOOLEAN: "true or false",
}
"""What a value of each type looks like, for messages."""

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")


def bind_parameters(definition: Definition, given: Mapping[str, object]) -> dict[str, Scalar]:
    """The value of every parameter: the given one, else the default.

    Given strings are converted to the declared type, because the API carries nothing else.

    Raises:
        InputError: With every parameter that is undeclared (E215), of the wrong type (E216), without a value (E217) or
            not among its EnumValues (E218).
    """
    declared = {parameter.name: parameter for parameter in definition.parameters}
    problems = [_undeclared(name, declared) for name in given if name not in declared]
    bound: dict[str, Scalar] = {}
    for name, parameter in declared.items():
        where = f'parameter "{shown(name)}"'
        if name not in given and parameter.default is None:
            what = f'parameter "{shown(name)}" has no default and was given no value'
            problems.append(Problem("E217", where, what, f"Give {EXAMPLES[parameter.type]} for it."))
            continue
        wanted: object = given.get(name, parameter.default)
        value = convert(wanted, parameter.type, from_text=name in given)
        if value is None:
            what = f'parameter "{shown(name)}" is {parameter.type}, not {type_word(wanted)} "{shown(wanted)}"'
            problems.append(Problem("E216", where, what, f"Give {EXAMPLES[parameter.type]}."))
        elif parameter.enum_values and value not in parameter.enum_values:
            problems.append(_not_in_enum(parameter, value, where))
        else:
            bound[name] = value
    if problems:
        raise InputError(*problems)
    return bound


def convert(value: Json, kind: ParameterType, *, from_text: bool) -> Scalar | None:
    """A value in a parameter's type, or None if it is of another.

    Args:
        value: A JSON scalar.
        kind: The declared type.
        from_text: Whether text may stand for a number or a boolean, as in the API's requests.
    """
    text = value if from_text and isinstance(value, str) else None
    match kind:
        case ParameterType.STRING:
            return value if isinstance(value, str) else None
        case ParameterType.BOOLEAN:
            if text is not None:
                return {"true": True, "false": False}.get(text.strip().lower())
            return value if isinstance(value, bool) else None
        case ParameterType.INTEGER:
            if text is not None:
                return int(text) if _INTEGER.fullmatch(text.strip()) else None
            return value if isinstance(value, int) and not isinstance(value, bool) else None
        case ParameterType.FLOAT:
            if text is not None:
                return _finite(float(text)) if _NUMBER.fullmatch(text.strip()) else None
            return _finite(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        case _:
            assert_never(kind)


def _finite(number: float) -> float | None:
    # Compared before it is converted: float() raises for an int that is too large.
    return float(number) if abs(number) <= sys.float_info.max else None


def _undeclared(name: str, declared: Mapping[str, Parameter]) -> Problem:
    fix = f"Leave it out or declare it. {suggestion(name, declared)}".strip()
    if not declared:
        fix = "Leave it out: the definition declares no parameters."
    what = f'the definition declares no parameter "{shown(name)}"'
    return Problem("E215", f'parameter "{shown(name)}"', what, fix)


def _not_in_enum(parameter: Parameter, value: Scalar, where: str) -> Problem:
    what = f'"{shown(value)}" is not among the EnumValues of parameter "{shown(parameter.name)}"'
    allowed = ", ".join(shown(v) for v in parameter.enum_values[:20])
    fix = f"Use one of: {allowed}. {suggestion(str(value), parameter.enum_values)}".strip()
    return Problem("E218", where, what, fix)
