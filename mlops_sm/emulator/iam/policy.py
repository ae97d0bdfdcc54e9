"""IAM policies evaluated: what a set of documents says of one action on one resource.

The rules are those of the IAM user guide ("Policy evaluation logic", "JSON policy elements: Condition operators"):
everything is denied unless a statement allows it, and a statement that denies wins over every one that allows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from mlops_sm.emulator.iam.conditions import holds, literal, wildcards

Context = Mapping[str, Sequence[str]]
"""The request's condition keys, in lower case, with their values."""

_VARIABLE: Final = re.compile(r"\$\{([^}]+)\}")
_LITERAL: Final = {"*": "*", "?": "?", "$": "$"}
"""``${*}`` and the like stand for the character itself."""


class Decision(StrEnum):
    """PolicyEvaluationDecisionType of IAM."""

    ALLOWED = "allowed"
    EXPLICIT_DENY = "explicitDeny"
    IMPLICIT_DENY = "implicitDeny"


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy document.

    Attributes:
        id: What IAM shows as SourcePolicyId.
        source: SourcePolicyType, e.g. ``IAM Policy``.
        document: Its JSON.
    """

    id: str
    source: str
    document: str


@dataclass(frozen=True, slots=True)
class Question:
    """May this be done?

    Attributes:
        action: ``service:Operation``.
        resource: An ARN, or ``*``.
        context: Condition keys that are known.
    """

    action: str
    resource: str
    context: Context = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer.

    Attributes:
        decision: Allowed or denied.
        matched: The policies whose statements decided it.
        missing: Condition keys that statements ask for and that the question does not give.
    """

    decision: Decision
    matched: tuple[Policy, ...]
    missing: tuple[str, ...]


def decide(policies: Iterable[Policy], question: Question) -> Verdict:
    """Evaluate policies as one set."""
    allowing: list[Policy] = []
    denying: list[Policy] = []
    missing: set[str] = set()
    for policy in policies:
        for statement in statements(policy.document):
            if not _concerns(statement, question):
                continue
            holding, unknown = holds(_conditions(statement, question.context), question.context)
            missing |= unknown
            if holding:
                (denying if statement.get("Effect") == "Deny" else allowing).append(policy)
    if denying:
        decision, matched = Decision.EXPLICIT_DENY, denying
    elif allowing:
        decision, matched = Decision.ALLOWED, allowing
    else:
        decision, matched = Decision.IMPLICIT_DENY, []
    return Verdict(decision, tuple(dict.fromkeys(matched)), tuple(sorted(missing)))


@lru_cache(maxsize=256)
def statements(document: str) -> list[dict[str, Any]]:
    """The statements of a document, which nobody changes.

    Raises:
        ValueError: It is not a policy.
    """
    try:
        policy = json.loads(document)
    except RecursionError as error:
        raise ValueError("a policy is nested too deeply") from error
    found = policy.get("Statement") if isinstance(policy, dict) else None
    listed = [found] if isinstance(found, dict) else found
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise ValueError("a policy needs a Statement")
    for statement in listed:
        conditions = statement.get("Condition", {})
        if not isinstance(conditions, dict) or not all(isinstance(keys, dict) for keys in conditions.values()):
            raise ValueError("a Condition needs an operator, and that a key with its values")
    return listed


def _concerns(statement: Mapping[str, Any], question: Question) -> bool:
    """Whether a statement is about the action and the resource."""
    if "NotAction" in statement:
        action = not _matches(statement["NotAction"], question.action, {}, ignore_case=True)
    else:
        action = _matches(statement.get("Action", []), question.action, {}, ignore_case=True)
    if not action:
        return False
    if "NotResource" in statement:
        return not _matches(statement["NotResource"], question.resource, question.context)
    # A resource-based policy may leave it out: it is about what it hangs on.
    return _matches(statement.get("Resource", "*"), question.resource, question.context)


def _matches(patterns: Any, value: str, context: Context, *, ignore_case: bool = False) -> bool:  # noqa: ANN401 - text or a list of texts
    return any(pattern(text, context, ignore_case).fullmatch(value) is not None for text in texts(patterns))


def texts(value: Any) -> Iterator[str]:  # noqa: ANN401 - as above
    """The texts of a member that is one or a list of them."""
    yield from (str(item) for item in (value if isinstance(value, list) else [value]))


def pattern(text: str, context: Context, ignore_case: bool) -> re.Pattern[str]:
    """What a text with ``*``, ``?`` and policy variables matches."""
    parts = []
    for index, piece in enumerate(_VARIABLE.split(text)):
        # Odd pieces are the names of variables.
        parts.append(re.escape(_value(piece, context)) if index % 2 else wildcards(piece))
    return re.compile("".join(parts), re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _value(variable: str, context: Context) -> str:
    if variable in _LITERAL:
        return _LITERAL[variable]
    name, _, default = (part.strip() for part in variable.partition(","))
    values = context.get(name.lower(), ())
    # Without a value and a default the statement matches nothing that an ARN can be.
    return values[0] if values else default.strip("'") if default else "\0"


def _conditions(statement: Mapping[str, Any], context: Context) -> dict[str, dict[str, list[str]]]:
    """The statement's conditions with the variables in their values replaced."""
    return {
        operator: {
            key: [
                _VARIABLE.sub(lambda match: literal(_value(match[1], context)), text) for text in texts(_plain(values))
            ]
            for key, values in keys.items()
        }
        for operator, keys in statement.get("Condition", {}).items()
    }


def _plain(values: Any) -> Any:  # noqa: ANN401 - text, number, boolean, or a list of these
    if isinstance(values, bool):
        return str(values).lower()
    return [_plain(value) for value in values] if isinstance(values, list) else values
