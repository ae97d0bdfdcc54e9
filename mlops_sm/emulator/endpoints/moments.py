"""Work that waits for moments of the account's clock, and an advance of the clock that waits for that work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from mlops_sm.emulator.clock import Clock

_PATIENCE: Final = 120.0
"""Seconds of the machine that an advance waits for what it has set off."""


class Moments:
    """Moments that threads wait for. Safe to use from several threads.

    Args:
        clock: The account's.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: list[tuple[datetime, threading.Event]] = []
        self._busy = 0
        self._attended = False
        self._closed = False

    @contextmanager
    def working(self) -> Iterator[None]:
        """As long as the context lasts a thread works, unless it waits for a moment."""
        with self._changed:
            self._busy += 1
        try:
            yield
        finally:
            self._rest()

    def wait(self, moment: datetime) -> bool:
        """Wait, as a thread that works, for a moment; False when the account is closed before it comes."""
        with self._changed:
            if self._closed:
                return False
            if self._clock() >= moment:
                return True
            come = threading.Event()
            self._waiting.append((moment, come))
            attended, self._attended = self._attended, True
        if attended:
            self._clock.changed()
        else:
            self._clock.attend(self)
        self._rest()
        come.wait()
        with self._changed:
            return not self._closed

    def due(self) -> datetime | None:
        """The next moment that somebody waits for."""
        with self._changed:
            return min((moment for moment, _ in self._waiting), default=None)

    def fire(self, moment: datetime) -> None:
        """Wake those who wait for a moment until then."""
        with self._changed:
            come = [event for when, event in self._waiting if when <= moment]
            self._waiting = [each for each in self._waiting if each[0] > moment]
            self._busy += len(come)
        for event in come:
            event.set()

    def settle(self, patience: float = _PATIENCE) -> None:
        """Wait until nobody works any more, but waits for moments that have not come; at most so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: not self._busy or self._closed, patience)

    def close(self) -> None:
        """Wake everybody: no moment comes any more."""
        with self._changed:
            self._closed = True
            waiting, self._waiting = self._waiting, []
            self._busy += len(waiting)
            self._changed.notify_all()
        for _, event in waiting:
            event.set()

    def _rest(self) -> None:
        with self._changed:
            self._busy -= 1
            self._changed.notify_all()
