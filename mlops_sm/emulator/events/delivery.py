"""Delivers what waits in the outbox: on threads of its own, so that no request ever waits for what it set off.

A letter is written down first and taken out when it was delivered. So it is delivered at least once, also when the
process dies in between, and sometimes twice, as with the service.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from mlops_sm.definition.document import Json
from mlops_sm.emulator.clock import Clock
from mlops_sm.emulator.events.letters import BusEvent, Letter, TargetCall
from mlops_sm.emulator.events.outbox import Outbox, Waiting
from mlops_sm.emulator.store import Scope

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

_SLOW_WORKERS: Final = 8
"""Functions called asynchronously and HTTP requests that are on their way at the same time."""
_PATIENCE: Final = 60.0
_log = logging.getLogger(__name__)


class UndeliveredError(Exception):
    """A letter could not be delivered.

    Attributes:
        code: EventBridge's word for it, e.g. ``NO_RESOURCE``.
        message: What was said.
        retry: Whether it may go better later.
    """

    def __init__(self, code: str, message: str, *, retry: bool = False) -> None:
        self.code = code
        self.message = message
        self.retry = retry
        super().__init__(f"{code}: {message}")


class Postponed(NamedTuple):
    """A letter that is to be delivered again, after some seconds."""

    letter: Letter
    seconds: float


class Courier(Protocol):
    """Knows how letters are delivered."""

    def deliver(self, number: int, letter: Letter) -> list[Letter]:
        """Deliver a letter; returns what that sets off.

        Args:
            number: Of the letter; the same whenever it is delivered again.
            letter: What to deliver.

        Raises:
            UndeliveredError: It could not be delivered.
        """

    def again(self, letter: Letter, error: UndeliveredError, now: float) -> Postponed | list[Letter]:
        """What becomes of a letter that could not be delivered: later, or what is sent instead."""


class Deliveries:
    """Everything that the account sends by itself. Safe to use from several threads; each call returns at once.

    Nothing is delivered before `begin`, and no thread runs until there is something to deliver.

    Args:
        outbox: Keeps the letters.
        courier: Delivers one letter.
        clock: Letters that failed are due again by this clock; `advance` returns when what it set off is delivered.
        rules: The targets of a rule that is enabled.
    """

    def __init__(
        self,
        outbox: Outbox,
        courier: Courier,
        clock: Clock,
        rules: Callable[[BusEvent, str], list[TargetCall]],
    ) -> None:
        self._outbox = outbox
        self._courier = courier
        self._clock = clock
        self._rules = rules
        self._state = threading.Condition()
        self._begun = False
        self._woken = False
        self._closed = False
        self._thread: threading.Thread | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._in_hand: set[int] = set()
        self._next: float | None = None

    def event(self, scope: Scope, event: Mapping[str, Json]) -> None:
        """Put an event on the default bus, where the rules with a matching pattern pass it on.

        Inside a transaction of the account's database the event is kept or lost together with it.

        Args:
            scope: Whose bus.
            event: The whole event, envelope and detail.
        """
        self.send([BusEvent(scope=scope, event=event)])

    def rule(self, scope: Scope, name: str, event: Mapping[str, Json], *, bus: str = "default") -> None:
        """Send an event to every target of one rule, whatever its pattern; nothing happens when it is disabled.

        For a rule with a schedule: each target's Input, InputPath and InputTransformer are applied.

        Args:
            scope: Whose rule.
            name: The rule's name.
            event: The whole event, e.g. a "Scheduled Event" of ``aws.events``.
            bus: The bus the rule is on.
        """
        self.send(self._rules(BusEvent(scope=scope, event=event, bus=bus), name))

    def target(
        self,
        scope: Scope,
        target: Mapping[str, Json],
        payload: str,
        *,
        origin: str,
        event: Mapping[str, Json] | None = None,
    ) -> None:
        """Call one target, e.g. of a schedule.

        Args:
            scope: Whose schedule or alarm it is.
            target: As PutTargets and CreateSchedule take it: ``Arn`` of a queue, topic, function, pipeline, log group,
                bus, state machine or API destination, or ``arn:aws:scheduler:::aws-sdk:service:operation``; with
                ``SqsParameters``, ``SageMakerPipelineParameters``, ``EventBridgeParameters``, ``RetryPolicy``,
                ``DeadLetterConfig``.
            payload: What the target gets, as it is.
            origin: ARN of the schedule or alarm; it shows in the dead-letter queue.
            event: What parameters with a JSON path look into, if any.
        """
        call = TargetCall(
            scope=scope, target=target, payload=payload, origin=origin, event=event, created=self._clock().timestamp()
        )
        self.send([call])

    def send(self, letters: Sequence[Letter]) -> None:
        """Write letters down and have them delivered."""
        if not letters:
            return
        now = self._clock().timestamp()
        with self._outbox.transaction():
            for letter in letters:
                self._outbox.put(letter, now)
            self.wake()

    def wake(self) -> None:
        """Look for letters that are due."""
        with self._state:
            self._woken = True
            if self._begun and not self._closed and self._thread is None:
                self._thread = threading.Thread(target=self._work, name="deliveries", daemon=True)
                self._thread.start()
            self._state.notify_all()

    def begin(self) -> None:
        """Deliver from now on, first of all what was left when the account was closed or its process died."""
        with self._state:
            self._begun = True
        self._clock.attend(self)
        self._clock.settle_with(self.settle)
        if self._outbox.earliest() is not None:
            self.wake()

    def settle(self, patience: float = _PATIENCE) -> bool:
        """Wait until everything that is due now was delivered, functions included; False after so many seconds."""
        with self._state:
            return self._state.wait_for(lambda: self._closed or self._idle(), patience)

    def stop(self) -> None:
        """Begin nothing more; what is not delivered by now waits for the next opening."""
        with self._state:
            self._closed = True
            self._state.notify_all()

    def close(self) -> None:
        """Stop, and return when what was on its way has ended."""
        self.stop()
        thread, pool = self._thread, self._pool
        if thread is not None:
            thread.join()
        if pool is not None:
            pool.shutdown(cancel_futures=True)

    # ------------------------------------------------------------------ what the clock asks

    def due(self) -> datetime | None:
        """When a letter that failed is to be tried again."""
        with self._state:
            return None if self._next is None else datetime.fromtimestamp(self._next, UTC)

    def fire(self, moment: datetime) -> None:
        """Try again what is due until a moment."""
        with self._state:
            if self._next is not None and self._next <= moment.timestamp():
                self._next = None
        self.wake()

    # ------------------------------------------------------------------ the thread

    def _idle(self) -> bool:
        return not self._woken and not self._in_hand

    def _work(self) -> None:
        while True:
            with self._state:
                self._state.wait_for(lambda: self._woken or self._closed)
                if self._closed:
                    return
                self._woken = False
                self._in_hand.add(0)
            try:
                while self._round():
                    continue
                self._note_next()
            except sqlite3.Error as error:
                _log.warning("letters could not be read or taken out; they are looked at again later: %s", error)
            except Exception:
                _log.exception("letters could not be delivered; they are looked at again later")
            finally:
                self._put_down(0)

    def _round(self) -> bool:
        """Deliver what is due now; says whether there was anything."""
        now = self._clock().timestamp()
        waiting = self._outbox.due(now, slow=False)
        for letter in waiting:
            if self._closed:
                return False
            self._deliver(letter)
        with self._state:
            in_hand = set(self._in_hand)
        if self._closed:
            return False
        slow = self._outbox.due(now, slow=True, besides=in_hand, limit=max(0, _SLOW_WORKERS - len(in_hand) + 1))
        for letter in slow:
            with self._state:
                self._in_hand.add(letter.number)
                if self._pool is None:
                    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - only when something is slow

                    self._pool = ThreadPoolExecutor(_SLOW_WORKERS, thread_name_prefix="delivery")
            self._pool.submit(self._deliver_slowly, letter)
        return bool(waiting)

    def _deliver_slowly(self, waiting: Waiting) -> None:
        try:
            if not self._closed:
                self._deliver(waiting)
        except sqlite3.Error as error:
            _log.warning("a letter stays in the outbox: %s", error)
        finally:
            # There may be more of them than hands.
            with self._state:
                self._woken = True
            self._put_down(waiting.number)

    def _put_down(self, number: int) -> None:
        with self._state:
            self._in_hand.discard(number)
            self._state.notify_all()

    def _deliver(self, waiting: Waiting) -> None:
        number, letter = waiting
        try:
            outcome: Postponed | list[Letter] = self._courier.deliver(number, letter)
        except Exception as error:
            if self._closed:
                # It failed because the account is being closed, or may have.
                return
            if not isinstance(error, UndeliveredError):
                _log.exception("letter %d could not be delivered", number)
                error = UndeliveredError("INTERNAL_ERROR", str(error))
            outcome = self._failed(letter, error)
        now = self._clock().timestamp()
        with self._outbox.transaction():
            match outcome:
                case Postponed(later, seconds):
                    self._outbox.postpone(number, later, now + seconds)
                case more:
                    self._outbox.remove(number)
                    for letter_set_off in more:
                        self._outbox.put(letter_set_off, now)

    def _failed(self, letter: Letter, error: UndeliveredError) -> Postponed | list[Letter]:
        outcome: Postponed | list[Letter] = []
        try:
            outcome = self._courier.again(letter, error, self._clock().timestamp())
        except Exception:
            _log.exception("nothing can be done about a letter that could not be delivered")
        if not isinstance(outcome, Postponed):
            _log.warning("not delivered: %s (%s)", error, letter)
        return outcome

    def _note_next(self) -> None:
        """Have the clock say when a letter that failed is due again."""
        earliest = self._outbox.earliest(after=self._clock().timestamp())
        with self._state:
            self._next = earliest
        if earliest is not None:
            self._clock.changed()
