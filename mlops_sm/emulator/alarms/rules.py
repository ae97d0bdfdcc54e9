"""The rule of a composite alarm: ``ALARM("cpu") AND NOT (OK(disk) OR INSUFFICIENT_DATA("net"))``.

Source: AlarmRule of https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, assert_never

from mlops_sm.emulator.alarms.evaluation import State

MAX_ALARMS: Final = 100
"""Children that a rule may name."""
_TOKEN: Final = re.compile(
    r'\s*(?:(?P<state>ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^()"]+?))\s*\)'
    r"|(?P<word>AND|OR|NOT|TRUE|FALSE)\b|(?P<bracket>[()]))"
)
_DEEPEST: Final = 100


class RuleError(ValueError):
    """A rule that cannot be read; the message says where."""


@dataclass(frozen=True, slots=True)
class Is:
    """An alarm is in a state."""

    name: str
    state: State


@dataclass(frozen=True, slots=True)
class Constant:
    """TRUE or FALSE."""

    value: bool


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    rule: Rule


@dataclass(frozen=True, slots=True)
class All:
    """Rules joined by AND."""

    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """Rules joined by OR."""

    rules: tuple[Rule, ...]


Rule = Is | Constant | Not | All | Some


def parse_rule(text: str) -> Rule:
    """Parse an AlarmRule.

    Raises:
        RuleError: It is not one.
    """
    parser = _Parser(text)
    rule = parser.either(0)
    parser.end()
    if len(children(rule)) > MAX_ALARMS:
        raise RuleError(f"the rule names more than {MAX_ALARMS} alarms")
    return rule


def holds(rule: Rule, state_of: Callable[[str], State]) -> bool:
    """Whether a rule holds, given the states of the alarms it names."""
    match rule:
        case Is(name, state):
            return state_of(name) is state
        case Constant(value):
            return value
        case Not(inner):
            return not holds(inner, state_of)
        case All(rules):
            return all(holds(each, state_of) for each in rules)
        case Some(rules):
            return any(holds(each, state_of) for each in rules)
        case _:
            assert_never(rule)


def children(rule: Rule) -> tuple[str, ...]:
    """The names of the alarms in a rule, each once, in their order."""
    match rule:
        case Is(name, _):
            return (name,)
        case Constant():
            return ()
        case Not(inner):
            return children(inner)
        case All(rules) | Some(rules):
            return tuple(dict.fromkeys(name for each in rules for name in children(each)))
        case _:
            assert_never(rule)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text.rstrip()
        self._position = 0

    def either(self, depth: int) -> Rule:
        rules = [self._both(depth)]
        while self._take("word", "OR"):
            rules.append(self._both(depth))
        return rules[0] if len(rules) == 1 else Some(tuple(rules))

    def end(self) -> None:
        if self._position < len(self._text):
            raise self._wrong()

    def _both(self, depth: int) -> Rule:
        rules = [self._single(depth)]
        while self._take("word", "AND"):
            rules.append(self._single(depth))
        return rules[0] if len(rules) == 1 else All(tuple(rules))

    def _single(self, depth: int) -> Rule:
        if depth > _DEEPEST:
            raise RuleError("the rule is nested too deeply")
        if self._take("word", "NOT"):
            return Not(self._single(depth + 1))
        if self._take("bracket", "("):
            rule = self.either(depth + 1)
            if not self._take("bracket", ")"):
                raise self._wrong()
            return rule
        for word in ("TRUE", "FALSE"):
            if self._take("word", word):
                return Constant(word == "TRUE")
        match = _TOKEN.match(self._text, self._position)
        if match is None or match["state"] is None:
            raise self._wrong()
        self._position = match.end()
        name = match["bare"] if match["quoted"] is None else re.sub(r"\\(.)", r"\1", match["quoted"])
        # An alarm may be named by its ARN.
        return Is(name.split(":alarm:", 1)[-1], State(match["state"]))

    def _take(self, group: str, word: str) -> bool:
        match = _TOKEN.match(self._text, self._position)
        if match is None or match[group] != word:
            return False
        self._position = match.end()
        return True

    def _wrong(self) -> RuleError:
        rest = self._text[self._position :].strip()
        return RuleError(f"near {rest[:40]!r}" if rest else "it ends too early")
