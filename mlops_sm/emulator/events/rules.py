"""Rules of EventBridge: which of them an event meets, and what their targets get.

The rules are moto's; its own way of sending events to targets is replaced, see `hooks`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, cast

from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.events.delivery import UndeliveredError
from mlops_sm.emulator.events.inputs import payload
from mlops_sm.emulator.events.letters import BusEvent, TargetCall
from mlops_sm.emulator.events.patterns import matches, parse
from mlops_sm.emulator.store import Scope

_ENABLED: Final = frozenset({"ENABLED", "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"})
_log = logging.getLogger(__name__)

MotoRule = Any
"""A ``moto.events.models.Rule``."""


class Rules:
    """The rules of every bus.

    Args:
        now: Epoch seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now

    def matching(self, letter: BusEvent) -> list[TargetCall]:
        """The targets of every enabled rule on the event's bus whose pattern it meets."""
        calls: list[TargetCall] = []
        for rule in self._on(letter.scope, letter.bus).values():
            calls.extend(self.met(rule, letter))
        return calls

    def met(self, rule: MotoRule, letter: BusEvent) -> list[TargetCall]:
        """What a rule sends for an event; nothing when its pattern does not match."""
        return list(self._calls(rule, letter)) if meets(rule, letter.event) else []

    def of(self, letter: BusEvent, name: str) -> list[TargetCall]:
        """The targets of one rule, unless it is disabled or gone; the pattern does not matter."""
        rule = self._on(letter.scope, letter.bus).get(name)
        return [] if rule is None else list(self._calls(rule, letter))

    def _calls(self, rule: MotoRule, letter: BusEvent) -> Iterable[TargetCall]:
        if rule.state not in _ENABLED:
            return
        event = letter.event
        for target in rule.targets:
            try:
                text = payload(target, event, rule=rule.arn, ingested=str(event.get("time", "")))
            except UndeliveredError as error:
                _log.warning("rule %s, target %s: %s", rule.arn, target.get("Id"), error)
                continue
            yield TargetCall(
                scope=letter.scope,
                target=dict(target),
                payload=text,
                origin=rule.arn,
                event=event,
                created=self._now(),
                hops=letter.hops,
            )

    def _on(self, scope: Scope, bus: str) -> Mapping[str, MotoRule]:
        from moto.events.models import events_backends  # noqa: PLC0415 - only an account with rules needs it

        found = events_backends[scope.account][scope.region].event_buses.get(bus)
        return {} if found is None else dict(found.rules)


def meets(rule: MotoRule, event: Mapping[str, Json]) -> bool:
    """Whether an event has what a rule's pattern asks for; a rule that has a schedule only gets none."""
    text = rule.event_pattern.dump()
    pattern = _parsed(text) if text else None
    return pattern is not None and matches(pattern, event)


@lru_cache(maxsize=256)
def _parsed(text: str) -> Mapping[str, Json] | None:
    try:
        return parse(text)
    except AwsError as error:
        # PutRule refuses it; a template of CloudFormation does not ask.
        _log.warning("a rule is silent: %s", error)
        return None


def archive(scope: Scope, name: str, event: Mapping[str, Json]) -> None:
    """Keep an event in an archive of moto's.

    Raises:
        UndeliveredError: There is no such archive.
    """
    from moto.events.models import events_backends  # noqa: PLC0415 - see Rules

    kept = events_backends[scope.account][scope.region].archives.get(name)
    if kept is None:
        raise UndeliveredError("NO_RESOURCE", f"The archive {name} does not exist.")
    kept.events.append(cast(Any, dict(event)))
