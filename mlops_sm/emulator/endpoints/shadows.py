"""Copies of requests for shadow variants, made beside the requests themselves.

Source: "Shadow variants" of the SageMaker developer guide: the answer of a shadow variant is not given to the caller,
and what was captured and measured of it is kept.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from mlops_sm.emulator.endpoints.background import Background
from mlops_sm.emulator.endpoints.fleet import Fleet
from mlops_sm.local.serving.host import Host

_AT_ONCE: Final = 4
_WAITING: Final = 256
"""Copies that wait; further ones are not made, as callers must not be slowed down by them."""


class Shadows:
    """Makes copies. Safe to use from several threads.

    Args:
        draw: A number from 0 to 1, without 1, that decides what is copied.
        background: Knows who works.
    """

    def __init__(self, draw: Callable[[], float], background: Background) -> None:
        self._draw = draw
        self._background = background
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._waiting = threading.BoundedSemaphore(_WAITING)

    def copy(self, fleet: Fleet, weight: float, ask: Callable[[Host], None]) -> None:
        """Have each shadow of a fleet asked, or such a part of all times as its weight says.

        Args:
            fleet: Whose shadows.
            weight: Of the production variant.
            ask: Asks one.
        """
        for shadow in fleet.shadows:
            part = fleet.shadow_weights[shadow.variant.name] / weight if weight else 1.0
            if self._draw() < part and self._waiting.acquire(blocking=False):
                self._submit(fleet, shadow, ask)

    def close(self) -> None:
        """Make no copies any more."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def _submit(self, fleet: Fleet, shadow: Host, ask: Callable[[Host], None]) -> None:
        def run() -> None:
            if fleet.enter():
                try:
                    ask(shadow)
                finally:
                    fleet.leave()

        working = self._background.moments.working()
        with self._lock:
            if self._background.is_closing():
                self._waiting.release()
                return
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="shadow")
            working.__enter__()
            future = self._pool.submit(run)

        def done(_: object) -> None:
            working.__exit__(None, None, None)
            self._waiting.release()

        future.add_done_callback(done)
