"""What waits in the outbox to be delivered: values that outlive the process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Final, TypeVar

from mlops_sm.definition.document import Json
from mlops_sm.emulator.store import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class BusEvent:
    """An event on its way to the rules of a bus.

    Attributes:
        scope: Whose bus.
        event: The whole event, envelope and detail.
        bus: The bus's name.
        tags_of: ARN of the thing whose tags the detail shows; empty when it shows none. They are looked up when the
            event is delivered: whoever makes a thing tags it a moment later.
        hops: How many buses have passed it on.
    """

    scope: Scope
    event: Mapping[str, Json]
    bus: str = "default"
    tags_of: str = ""
    hops: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetCall:
    """A target on its way to be called.

    Attributes:
        scope: Whose rule or schedule it belongs to.
        target: The target as PutTargets or CreateSchedule takes it: Arn, parameters, RetryPolicy, DeadLetterConfig.
        payload: What it gets, as text.
        origin: ARN of the rule or schedule, or of whatever else called it.
        event: The event that parameters with a JSON path look into; None without one.
        created: Epoch seconds; the age that RetryPolicy limits counts from here.
        attempts: How often it was called in vain.
        hops: How many buses have passed the event on.
    """

    scope: Scope
    target: Mapping[str, Json]
    payload: str
    origin: str
    created: float
    event: Mapping[str, Json] | None = None
    attempts: int = 0
    hops: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """An asynchronous call of a function.

    Attributes:
        scope: Whose function.
        function: Its name.
        qualifier: Version or alias; empty for the unpublished version.
        payload: The event, as JSON text.
        request_id: Stays the same over its attempts.
        created: Epoch seconds.
        attempts: How often it failed.
    """

    scope: Scope
    function: str
    qualifier: str
    payload: str
    request_id: str
    created: float
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A request to an HTTP endpoint on this machine.

    Attributes:
        scope: Whose subscription.
        url: Where to.
        method: The HTTP method.
        headers: Its headers.
        payload: Its body.
        created: Epoch seconds.
        dead_letter_queue: ARN of the queue that gets what cannot be sent; empty for none.
        attempts: How often it failed.
    """

    scope: Scope
    url: str
    method: str
    payload: str
    created: float
    headers: Mapping[str, str] = field(default_factory=dict)
    dead_letter_queue: str = ""
    attempts: int = 0


Letter = BusEvent | TargetCall | Invocation | Post
Tried = TypeVar("Tried", TargetCall, Invocation, Post)

_FORMS: Final[Mapping[str, type[BusEvent] | type[TargetCall] | type[Invocation] | type[Post]]] = {
    "event": BusEvent,
    "target": TargetCall,
    "invocation": Invocation,
    "post": Post,
}


def tried(letter: Tried) -> Tried:
    """The letter after one more attempt that failed."""
    return replace(letter, attempts=letter.attempts + 1)


def written(letter: Letter) -> str:
    """A letter as text."""
    form = next(name for name, kind in _FORMS.items() if isinstance(letter, kind))
    return json.dumps({"form": form, **asdict(letter)})


def read(text: str) -> Letter:
    """The letter that a text was written from."""
    members = json.loads(text)
    members["scope"] = Scope(*members["scope"])
    return _FORMS[members.pop("form")](**members)
