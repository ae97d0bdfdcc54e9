"""Callback steps that wait for an answer, and the tokens that have had theirs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from mlops_sm.emulator.store import Entity, Kind, Scope, Store
from mlops_sm.local.handlers import Callback, CallbackAnswer

WAITING: Final = "Waiting"
ANSWERED: Final = "Answered"
ABANDONED: Final = "Abandoned"
"""Of a token that nobody waits for any more, without an answer."""


class _Waiter:
    def __init__(self, execution: str) -> None:
        self.execution = execution
        self.answered = threading.Event()
        self.answer: CallbackAnswer | None = None

    def give(self, answer: CallbackAnswer | None) -> None:
        if not self.answered.is_set():
            self.answer = answer
            self.answered.set()

    def wait(self) -> CallbackAnswer | None:
        self.answered.wait()
        return self.answer


class Callbacks:
    """Every callback step that waits now. A waiting one costs a sleeping thread and nothing else.

    Args:
        store: Where the tokens are.
        clock: The time.
    """

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: dict[tuple[Scope, str], _Waiter] = {}
        self._closing = False

    @contextmanager
    def opened(self, scope: Scope, callback: Callback) -> Iterator[Callable[[], CallbackAnswer | None]]:
        """As long as the context lasts the token may be answered; its value waits for that."""
        waiter, now = _Waiter(callback.execution), self._clock().timestamp()
        key = (scope, callback.token)
        self._store.add(
            Entity.new(
                scope,
                Kind.CALLBACK,
                callback.token,
                now,
                status=WAITING,
                body={
                    "PipelineExecutionArn": callback.execution,
                    "StepName": callback.step,
                    "SqsQueueUrl": callback.queue_url,
                },
            )
        )
        with self._lock:
            self._waiting[key] = waiter
            if self._closing:
                waiter.give(None)
        try:
            yield waiter.wait
        finally:
            with self._lock:
                del self._waiting[key]
            self._close(scope, callback.token)

    def deliver(self, scope: Scope, token: str, answer: CallbackAnswer) -> None:
        """Give an answer to the step that waits for it; the token's record says already that it is answered."""
        with self._lock:
            waiter = self._waiting.get((scope, token))
        if waiter is not None:
            waiter.give(answer)

    def abandon(self, execution: str) -> None:
        """Let the steps of one execution go, without an answer."""
        with self._lock:
            waiting = [waiter for waiter in self._waiting.values() if waiter.execution == execution]
        for waiter in waiting:
            waiter.give(None)

    def end_all(self) -> None:
        """Let every step go that waits now or later, without an answer."""
        with self._lock:
            self._closing = True
            waiting = list(self._waiting.values())
        for waiter in waiting:
            waiter.give(None)

    def _close(self, scope: Scope, token: str) -> None:
        with self._store.transaction():
            entity = self._store.get(scope, Kind.CALLBACK, token)
            if entity is not None and entity.status == WAITING:
                self._store.save(entity.with_body({}, modified=self._clock().timestamp(), status=ABANDONED))
