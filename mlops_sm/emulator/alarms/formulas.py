"""Metric math: expressions over the metrics of an alarm.

Source: "Using math expressions with CloudWatch metrics":
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

Series = dict[float, float]
"""Values by the start of their period."""
Value = float | Series | list[Series]
"""A number, a time series, or an array of time series."""

_LONGEST: Final = 1024
_WORDS: Final = {"&&": " and ", "||": " or ", "^": "**"}
_TOKENS: Final = re.compile(r"&&|\|\||\^|\b(?:AND|OR)\b")
_BINARY: Final[Mapping[type[ast.AST], Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.And: lambda a, b: float(bool(a) and bool(b)),
    ast.Or: lambda a, b: float(bool(a) or bool(b)),
}
_EACH: Final[Mapping[str, Callable[[float], float]]] = {
    "ABS": abs,
    "CEIL": math.ceil,
    "FLOOR": math.floor,
    "LOG": math.log,
    "LOG10": math.log10,
}
"""Functions of each value of a series."""


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _deviation(values: Sequence[float]) -> float:
    middle = _mean(values)
    return math.sqrt(_mean([(value - middle) ** 2 for value in values]))


_OVER: Final[Mapping[str, Callable[[Sequence[float]], float]]] = {
    "AVG": _mean,
    "MAX": max,
    "MIN": min,
    "SUM": math.fsum,
    "STDDEV": _deviation,
}
"""Functions of an array period by period, or of all values of a series."""


class FormulaError(ValueError):
    """An expression that cannot be computed here; the message says why."""


@dataclass(frozen=True, slots=True)
class Formula:
    """A parsed expression.

    Attributes:
        tree: It.
        names: The ids it refers to.
        all_metrics: It refers to METRICS().
    """

    tree: ast.expr
    names: frozenset[str]
    all_metrics: bool

    def series(self, given: Mapping[str, Series], metrics: Sequence[str], starts: Sequence[float]) -> Series:
        """The expression's time series.

        Args:
            given: The time series of every id.
            metrics: The ids that METRICS() stands for.
            starts: The starts of the periods.
        """
        value = _Run(given, metrics, starts).value(self.tree)
        if isinstance(value, dict):
            return value
        if isinstance(value, list):
            raise FormulaError("the expression's result is an array of time series, not one")
        return dict.fromkeys(starts, value)


def parse_formula(text: str) -> Formula:
    """Parse an expression.

    Raises:
        FormulaError: It is none, or has something that is not available here.
    """
    if len(text) > _LONGEST:
        raise FormulaError(f"the expression has more than {_LONGEST} characters")
    python = _TOKENS.sub(lambda match: _WORDS.get(match[0], f" {match[0].lower()} "), text).strip()
    names: set[str] = set()
    try:
        tree = ast.parse(python, mode="eval").body
        _check(tree, names)
    except FormulaError:
        raise
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise FormulaError(f"{text!r} is not a metric math expression") from error
    all_metrics = "METRICS" in names
    return Formula(tree, frozenset(names - {"METRICS"}), all_metrics)


def _check(node: ast.AST, names: set[str]) -> None:
    match node:
        case ast.Constant(value=bool() | str() | None):
            raise FormulaError(f"{ast.unparse(node)} is not available in expressions of the local account")
        case ast.Constant(value=int() | float()):
            return
        case ast.Name(id=name):
            names.add(name)
        case ast.List(elts=items):
            for item in items:
                _check(item, names)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            _check(left, names)
            _check(right, names)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _BINARY:
            _check(left, names)
            _check(right, names)
        case ast.BoolOp(values=values):
            for value in values:
                _check(value, names)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            _check(operand, names)
        case ast.Call(func=ast.Name(id="METRICS"), args=[], keywords=[]):
            names.add("METRICS")
        case ast.Call(func=ast.Name(id="FILL"), args=[series, filling], keywords=[]):
            _check(series, names)
            if not (isinstance(filling, ast.Name) and filling.id in {"REPEAT", "LINEAR"}):
                _check(filling, names)
        case ast.Call(func=ast.Name(id="IF"), args=[_, _] | [_, _, _] as args, keywords=[]):
            for each in args:
                _check(each, names)
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _EACH or name in _OVER:
            _check(argument, names)
        case _:
            raise FormulaError(f"{ast.unparse(node)} is not available in expressions of the local account")


class _Run:
    def __init__(self, given: Mapping[str, Series], metrics: Sequence[str], starts: Sequence[float]) -> None:
        self._given = given
        self._metrics = metrics
        self._starts = starts

    def value(self, node: ast.AST) -> Value:
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name(id=name):
                return self._given[name]
            case ast.List(elts=items):
                return [self._one(item) for item in items]
            case ast.BinOp(left=left, op=op, right=right) | ast.Compare(left=left, ops=[op], comparators=[right]):
                return _joined(_BINARY[type(op)], self.value(left), self.value(right))
            case ast.BoolOp(op=op, values=values):
                found = self.value(values[0])
                for each in values[1:]:
                    found = _joined(_BINARY[type(op)], found, self.value(each))
                return found
            case ast.UnaryOp(op=op, operand=operand):
                sign = -1.0 if isinstance(op, ast.USub) else 1.0
                return _joined(operator.mul, sign, self.value(operand))
            case ast.Call(func=ast.Name(id=name), args=args):
                return self._call(name, args)
            case _:
                raise FormulaError(f"{ast.unparse(node)} is not available in expressions of the local account")

    def _call(self, name: str, args: list[ast.expr]) -> Value:
        if name == "METRICS":
            return [self._given[each] for each in self._metrics]
        if name == "FILL":
            return self._filled(self._one(args[0]), args[1])
        if name == "IF":
            return self._chosen(args)
        argument = self.value(args[0])
        if name in _EACH:
            return _mapped(_EACH[name], argument)
        if isinstance(argument, float):
            return argument
        if isinstance(argument, dict):
            return _OVER[name](list(argument.values())) if argument else {}
        starts = {start for series in argument for start in series}
        return {start: _OVER[name]([series[start] for series in argument if start in series]) for start in starts}

    def _one(self, node: ast.AST) -> Series:
        value = self.value(node)
        if isinstance(value, list):
            raise FormulaError(f"{ast.unparse(node)} is an array of time series where one is needed")
        return dict.fromkeys(self._starts, value) if isinstance(value, float) else value

    def _filled(self, series: Series, filling: ast.expr) -> Series:
        known = sorted(series)
        filled: Series = dict(series)
        word = filling.id if isinstance(filling, ast.Name) else ""
        others = None if word in {"REPEAT", "LINEAR"} else self._one(filling)
        for start in self._starts:
            if start in series:
                continue
            before = next((each for each in reversed(known) if each < start), None)
            after = next((each for each in known if each > start), None)
            if others is not None:
                if start in others:
                    filled[start] = others[start]
            elif word == "REPEAT" and before is not None:
                filled[start] = series[before]
            elif word == "LINEAR" and before is not None and after is not None:
                share = (start - before) / (after - before)
                filled[start] = series[before] + share * (series[after] - series[before])
        return filled

    def _chosen(self, args: list[ast.expr]) -> Value:
        condition, then = self._one(args[0]), self._one(args[1])
        otherwise = self._one(args[2]) if len(args) > 2 else {}  # noqa: PLR2004 - the third argument is optional
        chosen: Series = {}
        for start, holds in condition.items():
            branch = then if holds else otherwise
            if start in branch:
                chosen[start] = branch[start]
        return chosen


def _joined(function: Callable[[float, float], float], left: Value, right: Value) -> Value:
    """Two values combined; of time series only the periods that both have."""
    if isinstance(left, list) or isinstance(right, list):
        if isinstance(left, list) and isinstance(right, list):
            raise FormulaError("two arrays of time series cannot be combined")
        if isinstance(left, list):
            return [cast("Series", _joined(function, each, right)) for each in left]
        return [cast("Series", _joined(function, left, each)) for each in cast("list[Series]", right)]
    if isinstance(left, float) and isinstance(right, float):
        result = _computed(function, left, right)
        return {} if result is None else result
    starts = set(left if isinstance(left, dict) else cast("Series", right))
    if isinstance(left, dict) and isinstance(right, dict):
        starts &= set(right)
    found = {
        start: _computed(
            function,
            left[start] if isinstance(left, dict) else left,
            right[start] if isinstance(right, dict) else right,
        )
        for start in starts
    }
    return {start: value for start, value in found.items() if value is not None}


def _mapped(function: Callable[[float], float], value: Value) -> Value:
    if isinstance(value, list):
        return [cast("Series", _mapped(function, each)) for each in value]
    return _joined(lambda each, _: function(each), value, 0.0)


def _computed(function: Callable[[float, float], float], left: float, right: float) -> float | None:
    """A result; a period without one, as after a division by zero, has no data point."""
    try:
        # The root of a negative number is complex, which is a TypeError here.
        result = float(function(left, right))
    except (ArithmeticError, ValueError, TypeError):
        return None
    return result if math.isfinite(result) else None
