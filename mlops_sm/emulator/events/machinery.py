"""What announces and delivers, put together; made when something is to be announced or delivered for the first time."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.clients import Clients
from mlops_sm.emulator.events.announcer import Announcer
from mlops_sm.emulator.events.courier import LocalCourier
from mlops_sm.emulator.events.delivery import Deliveries
from mlops_sm.emulator.events.requests import EventRequests, check_subscription
from mlops_sm.emulator.events.rules import Rules
from mlops_sm.emulator.events.targets import CallSageMaker, Targets
from mlops_sm.emulator.functions.calls import FunctionCalls, named
from mlops_sm.emulator.functions.pollers import Pollers
from mlops_sm.emulator.functions.requests import SERVICE, FunctionRequests
from mlops_sm.emulator.protocol import Answer
from mlops_sm.emulator.store import Scope, Store
from mlops_sm.local.functions import Functions
from mlops_sm.local.handlers import FunctionAnswer


class Machinery:
    """The parts of one account's events and functions.

    Attributes:
        announcer: Turns changes into events.
        courier: Delivers letters.
        rules: Rules of EventBridge.
        pollers: Queues that call functions.
        answering: What is answered here, by botocore's id of the service.

    Args:
        store: Whose changes are announced.
        deliveries: Takes what is to be sent.
        now: Epoch seconds.
        changing: Around changes of moto's state that no request makes.
        sagemaker: Performs SageMaker's operations.
        endpoint: Where functions call the account; served when it is asked for.
        folder: Where the code of functions is unpacked.
        region: Of requests that are not signed.
    """

    def __init__(
        self,
        store: Store,
        deliveries: Deliveries,
        now: Callable[[], float],
        *,
        changing: Callable[[], AbstractContextManager[None]],
        sagemaker: CallSageMaker,
        endpoint: Callable[[], str],
        folder: Path,
        region: str,
    ) -> None:
        clients = Clients()
        self._functions = Functions(folder)
        self._calls = calls = FunctionCalls(self._functions, clients, endpoint, now)
        self.rules = Rules(now)
        targets = Targets(clients, sagemaker, changing)
        self.courier = LocalCourier(self.rules, targets, calls.invoke, calls.bury, store.tags)
        self.announcer = Announcer(deliveries, now)
        self.pollers = Pollers(calls, clients)
        self.answering: Mapping[str, Callable[[Arrival], Answer | None]] = {
            "eventbridge": EventRequests(deliveries.send, now, region),
            "sns": check_subscription,
            SERVICE: FunctionRequests(calls, deliveries.send, now, region),
        }

    def call(self, scope: Scope, function: str, payload: str) -> FunctionAnswer:
        """Call a function, as a client of a scope would, and wait for its end. Raises AwsError."""
        called = self._calls.call(named(scope, function, ""), payload, str(uuid.uuid4())).called
        return FunctionAnswer(called.payload, called.failed, called.lost)

    def watch(self, scopes: Iterable[Scope]) -> None:
        """Watch the queues that call functions of some accounts and regions."""
        self.pollers.watch_all(scopes)

    def close(self) -> None:
        """End functions and take no more messages."""
        self._functions.close()
        self.pollers.close()
