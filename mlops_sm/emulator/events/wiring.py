"""Everything that announces and delivers, put together for one account."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.clients import Clients
from mlops_sm.emulator.clock import Clock
from mlops_sm.emulator.events.announcer import Announcer
from mlops_sm.emulator.events.courier import LocalCourier
from mlops_sm.emulator.events.delivery import Deliveries
from mlops_sm.emulator.events.hooks import DeliveryHooks
from mlops_sm.emulator.events.letters import BusEvent, TargetCall
from mlops_sm.emulator.events.outbox import Outbox
from mlops_sm.emulator.events.requests import EventRequests, check_subscription
from mlops_sm.emulator.events.rules import Rules
from mlops_sm.emulator.events.targets import CallSageMaker, Targets
from mlops_sm.emulator.functions.calls import FunctionCalls
from mlops_sm.emulator.functions.pollers import Pollers
from mlops_sm.emulator.functions.requests import SERVICE, FunctionRequests
from mlops_sm.emulator.protocol import Answer
from mlops_sm.emulator.store import Scope, Store
from mlops_sm.local.functions import Functions

_MAKERS_OF_RULES: Final = frozenset({"eventbridge", "cloudformation"})
"""Services through which a rule can come to be, by botocore's id."""


class EventWork:
    """An account's events, deliveries and functions.

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

        def targets_of(letter: BusEvent, rule: str) -> list[TargetCall]:
            return rules.of(letter, rule)

        clients, rules = Clients(), Rules(now)
        self._functions = Functions(folder)
        calls = FunctionCalls(self._functions, clients, endpoint, now)
        courier = LocalCourier(rules, Targets(clients, sagemaker, changing), calls.invoke, calls.bury)
        self.deliveries = Deliveries(Outbox(store.database), courier, clock, targets_of)
        self._pollers = Pollers(calls, clients)
        self._hooks = DeliveryHooks(self.deliveries.send, rules, now, self._pollers.watch)
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
        store.listen(Announcer(store, self.deliveries, lambda: self._rules_may_exist, now))
        self._answering: Mapping[str, Callable[[Arrival], Answer | None]] = {
            "eventbridge": EventRequests(self.deliveries.send, now, region),
            "sns": check_subscription,
            SERVICE: FunctionRequests(calls, self.deliveries.send, now, region),
        }

    def intercept(self, arrival: Arrival) -> Answer | None:
        """Answer what moto would answer otherwise, and be there when moto is about to send something itself."""
        if arrival.service in _MAKERS_OF_RULES:
            self._rules_may_exist = True
        self._hooks(arrival)
        answering = self._answering.get(arrival.service)
        return None if answering is None else answering(arrival)

    def begin(self) -> None:
        """Deliver what was left when the account was closed or its process died, and watch queues."""
        self.deliveries.begin()
        if self._with_mappings:
            self._pollers.watch_all(self._with_mappings)

    def close(self) -> None:
        """End functions, deliver nothing more and give moto its methods back; what is left waits in the outbox."""
        self.deliveries.stop()
        self._functions.close()
        self._pollers.close()
        self.deliveries.close()
        self._hooks.remove()
