"""Threads that do what requests have set off, and end with the account."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from mlops_sm.emulator.clock import Clock
from mlops_sm.emulator.endpoints.moments import Moments

_log: Final = logging.getLogger(__name__)


class Background:
    """The threads of an account's endpoints.

    Attributes:
        moments: What they wait for.

    Args:
        clock: The account's; its advance waits for what they do because of it.
    """

    def __init__(self, clock: Clock) -> None:
        self.moments = Moments(clock)
        clock.settle_with(self.moments.settle)
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._closing = threading.Event()

    def is_closing(self) -> bool:
        """Whether the account is being closed."""
        return self._closing.is_set()

    def begin(self, name: str, work: Callable[[], None]) -> None:
        """Do something on a thread of its own."""
        # From here on, not from when the thread has come to run.
        working = ExitStack()
        working.enter_context(self.moments.working())

        def run() -> None:
            try:
                with working:
                    work()
            except Exception:
                _log.exception("%s failed inside the local account", name)
            finally:
                with self._lock:
                    self._threads.discard(thread)

        thread = threading.Thread(target=run, name=name, daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()

    def close(self) -> None:
        """Let every thread come to its end; what has not begun by then never does."""
        self._closing.set()
        self.moments.close()
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join()
