"""An account's events, deliveries and functions: there from its opening, at no cost until they are needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.clock import Clock
from mlops_sm.emulator.events.delivery import Deliveries, Postponed, UndeliveredError
from mlops_sm.emulator.events.hooks import DeliveryHooks
from mlops_sm.emulator.events.letters import BusEvent, Letter, TargetCall
from mlops_sm.emulator.events.outbox import Outbox
from mlops_sm.emulator.functions.hooks import FunctionHooks
from mlops_sm.emulator.protocol import Answer
from mlops_sm.emulator.store import Entity, Scope, Store
from mlops_sm.local.handlers import FunctionAnswer

if TYPE_CHECKING:
    from mlops_sm.emulator.events.machinery import Machinery
    from mlops_sm.emulator.events.rules import MotoRule
    from mlops_sm.emulator.events.targets import CallSageMaker
    from mlops_sm.emulator.functions.pollers import MotoMapping

_MAKERS_OF_RULES: Final = frozenset({"eventbridge", "cloudformation"})
"""Services through which a rule can come to be, by botocore's id."""
_ANSWERED: Final = frozenset({"eventbridge", "sns", "lambda"})
"""Services some of whose requests are answered here, by botocore's id."""


class EventWork:
    """An account's events, deliveries and functions.

    It is the listener of the store and the courier of the deliveries, and has its machinery do both.

    Attributes:
        deliveries: Takes what is to be sent.

    Args:
        store: Whose changes are announced.
        clock: The account's.
        changing: Around changes of moto's state that no request makes.
        sagemaker: Performs SageMaker's operations.
        endpoint: Where functions call the account; served when it is asked for.
        folder: Where the code of functions is unpacked.
        region: Of requests that are not signed.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        changing: Callable[[], AbstractContextManager[None]],
        sagemaker: CallSageMaker,
        endpoint: Callable[[], str],
        folder: Path,
        region: str,
    ) -> None:
        def now() -> float:
            return clock().timestamp()

        def make() -> Machinery:
            from mlops_sm.emulator.events.machinery import Machinery  # noqa: PLC0415 - see the module

            return Machinery(
                store,
                self.deliveries,
                now,
                changing=changing,
                sagemaker=sagemaker,
                endpoint=endpoint,
                folder=folder,
                region=region,
            )

        def targets_of(letter: BusEvent, rule: str) -> list[TargetCall]:
            return self._machinery().rules.of(letter, rule)

        def replayed(rule: MotoRule, letter: BusEvent) -> list[TargetCall]:
            return self._machinery().rules.met(rule, letter)

        def watch(mapping: MotoMapping) -> None:
            self._machinery().pollers.watch(mapping)

        self._lock = threading.Lock()
        self._make = make
        self._made: Machinery | None = None
        self.deliveries = Deliveries(Outbox(store.database), self, clock, targets_of)
        self._hooks = DeliveryHooks(
            self.deliveries.send, replayed, now, FunctionHooks(self.deliveries.send, now, watch)
        )
        # A rule that the state holds was made through one of the services some time.
        self._rules_may_exist = bool(store.database.query("SELECT 1 FROM backends WHERE service='events' LIMIT 1"))
        # The class of mappings is named in the state; reading all of it takes 0.3 s.
        self._with_mappings = [
            Scope(*row)
            for row in store.database.query(
                "SELECT account, region FROM backends WHERE service='awslambda_simple' AND instr(state, ?)",
                (b"EventSourceMapping",),
            )
        ]
        store.listen(self)

    def intercept(self, arrival: Arrival) -> Answer | None:
        """Answer what moto would answer otherwise, and be there when moto is about to send something itself."""
        if arrival.service in _MAKERS_OF_RULES:
            self._rules_may_exist = True
        self._hooks(arrival)
        return self._machinery().answering[arrival.service](arrival) if arrival.service in _ANSWERED else None

    def storage(self) -> None:
        """Be there when objects change without a request; moto's S3 is loaded by now."""
        self._hooks.storage()

    def begin(self) -> None:
        """Deliver what was left when the account was closed or its process died, and watch queues."""
        self.deliveries.begin()
        if self._with_mappings:
            self._machinery().watch(self._with_mappings)

    def close(self) -> None:
        """End functions, deliver nothing more and give moto its methods back; what is left waits in the outbox."""
        self.deliveries.stop()
        with self._lock:
            made = self._made
        if made is not None:
            made.close()
        self.deliveries.close()
        self._hooks.remove()

    def call(self, scope: Scope, function: str, payload: str) -> FunctionAnswer:
        """Call a function, as a client of a scope would, and wait for its end. Raises AwsError."""
        return self._machinery().call(scope, function, payload)

    # ------------------------------------------------------------------ the listener

    def entity_changed(self, before: Entity | None, after: Entity) -> None:
        """Announce a change, if any rule may exist: without one the event would be written for nobody."""
        if self._rules_may_exist:
            self._machinery().announcer.entity_changed(before, after)

    def step_changed(self, execution: str, before: str | None, body: Mapping[str, Json]) -> None:
        """Likewise for a step."""
        if self._rules_may_exist:
            self._machinery().announcer.step_changed(execution, before, body)

    # ------------------------------------------------------------------ the courier

    def deliver(self, number: int, letter: Letter) -> list[Letter]:
        """Deliver a letter. Raises UndeliveredError."""
        return self._machinery().courier.deliver(number, letter)

    def again(self, letter: Letter, error: UndeliveredError, now: float) -> Postponed | list[Letter]:
        """What becomes of a letter that could not be delivered."""
        return self._machinery().courier.again(letter, error, now)

    def _machinery(self) -> Machinery:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made
