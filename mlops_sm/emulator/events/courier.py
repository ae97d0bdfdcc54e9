"""How each kind of letter is delivered, and what becomes of one that could not be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, assert_never

from mlops_sm.definition.document import Json
from mlops_sm.emulator.events.delivery import Postponed, UndeliveredError
from mlops_sm.emulator.events.letters import BusEvent, Invocation, Letter, Post, TargetCall, tried
from mlops_sm.emulator.events.posts import post
from mlops_sm.emulator.events.rules import Rules
from mlops_sm.emulator.events.targets import Targets
from mlops_sm.emulator.store import Scope

# Defaults of RetryPolicy (API reference of EventBridge's Target).
_MAX_ATTEMPTS: Final = 185
_MAX_AGE: Final = 86_400
_LONGEST_PAUSE: Final = 600.0
_HTTP_RETRIES: Final = 3
_HTTP_PAUSE: Final = 20.0
"""Seconds; SNS's default delivery policy for HTTP has three retries, twenty seconds apart."""

Invoke = Callable[[Invocation], list[Letter]]
"""Runs a function; raises UndeliveredError."""
Bury = Callable[[Invocation, UndeliveredError, float], Postponed | list[Letter]]
"""What becomes of an asynchronous call that failed, at an epoch second."""
Tags = Callable[[str], list[dict[str, str]]]
"""The tags of an ARN."""


class LocalCourier:
    """Delivers everything inside this account.

    Args:
        rules: Whom an event on a bus concerns.
        targets: Calls targets.
        invoke: Runs functions.
        bury: Decides about their failures.
        tags: The tags of a thing of SageMaker.
    """

    def __init__(self, rules: Rules, targets: Targets, invoke: Invoke, bury: Bury, tags: Tags) -> None:
        self._rules = rules
        self._targets = targets
        self._invoke = invoke
        self._bury = bury
        self._tags = tags

    def deliver(self, number: int, letter: Letter) -> list[Letter]:
        """Deliver a letter; returns what that sets off.

        Raises:
            UndeliveredError: It could not be delivered.
        """
        match letter:
            case BusEvent():
                return list(self._rules.matching(self._tagged(letter)))
            case TargetCall():
                return self._targets.call(number, letter)
            case Invocation():
                return self._invoke(letter)
            case Post():
                post(letter)
                return []
            case _:
                assert_never(letter)

    def _tagged(self, letter: BusEvent) -> BusEvent:
        if not letter.tags_of:
            return letter
        tags = {tag["Key"]: tag["Value"] for tag in self._tags(letter.tags_of)}
        return replace(letter, event={**letter.event, "detail": {**letter.event["detail"], "Tags": tags}}, tags_of="")

    def again(self, letter: Letter, error: UndeliveredError, now: float) -> Postponed | list[Letter]:
        """What becomes of a letter that could not be delivered."""
        match letter:
            case BusEvent():
                return Postponed(letter, _LONGEST_PAUSE) if error.retry else []
            case TargetCall():
                return _call_again(letter, error, now)
            case Invocation():
                return self._bury(letter, error, now)
            case Post():
                return _post_again(letter, error, now)
            case _:
                assert_never(letter)


def _call_again(call: TargetCall, error: UndeliveredError, now: float) -> Postponed | list[Letter]:
    """By the target's RetryPolicy later, or into its dead-letter queue.

    Source: "Using dead-letter queues to process undelivered events" of the EventBridge user guide: missing targets
    and permissions are not tried again; the attributes of the message.
    """
    policy = call.target.get("RetryPolicy") or {}
    exhausted = ""
    if error.retry:
        if call.attempts >= policy.get("MaximumRetryAttempts", _MAX_ATTEMPTS):
            exhausted = "MaximumRetryAttempts"
        elif now - call.created >= policy.get("MaximumEventAgeInSeconds", _MAX_AGE):
            exhausted = "MaximumEventAgeInSeconds"
        else:
            return Postponed(tried(call), min(2.0**call.attempts, _LONGEST_PAUSE))
    queue = (call.target.get("DeadLetterConfig") or {}).get("Arn")
    if not queue:
        return []
    facts = {
        **_origin(call),
        "TARGET_ARN": call.target["Arn"],
        "ERROR_CODE": error.code,
        "ERROR_MESSAGE": error.message,
        "RETRY_ATTEMPTS": str(call.attempts),
        **({"EXHAUSTED_RETRY_CONDITION": exhausted} if exhausted else {}),
    }
    return [_dead_letter(call.scope, queue, call.payload, origin=call.origin, facts=facts, now=now)]


def _origin(call: TargetCall) -> dict[str, str]:
    """Whose call it was; of a schedule also when ("Configuring a dead-letter queue" of the Scheduler user guide)."""
    if ":schedule/" not in call.origin:
        return {"RULE_ARN": call.origin}
    time = str((call.event or {}).get("time", ""))
    return {"SCHEDULE_ARN": call.origin, "SCHEDULED_TIME": time, "IS_PAYLOAD_TRUNCATED": "false"}


def _post_again(letter: Post, error: UndeliveredError, now: float) -> Postponed | list[Letter]:
    """Source: "Amazon SNS message delivery retries" and "Amazon SNS dead-letter queues" of the SNS developer guide."""
    if error.retry and letter.attempts < _HTTP_RETRIES:
        return Postponed(tried(letter), _HTTP_PAUSE)
    if not letter.dead_letter_queue:
        return []
    facts = {"ERROR_CODE": error.code, "ERROR_MESSAGE": error.message, "RETRY_ATTEMPTS": str(letter.attempts)}
    return [
        _dead_letter(letter.scope, letter.dead_letter_queue, letter.payload, origin=letter.url, facts=facts, now=now)
    ]


def _dead_letter(
    scope: Scope, queue: str, payload: str, *, origin: str, facts: Mapping[str, str], now: float
) -> TargetCall:
    attributes: dict[str, Json] = {
        name: {"DataType": "String", "StringValue": value or "-"} for name, value in facts.items()
    }
    return TargetCall(
        scope=scope,
        target={"Arn": queue, "MessageAttributes": attributes},
        payload=payload,
        origin=origin,
        created=now,
    )
