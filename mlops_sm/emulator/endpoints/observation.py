"""What is kept of requests to endpoints and of training jobs: metrics and captured data, written a moment later."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.endpoints.capture import Captures
from mlops_sm.emulator.endpoints.measures import Measures

_PAUSE: Final = 2.0
"""Seconds that captured data wait for more."""
_PERIOD: Final = 10.0
"""Seconds that metrics wait for more, so that there are not too many data; the service's come once a minute.

Whoever asks CloudWatch meanwhile is told all of them.
"""
_READERS: Final = frozenset({"cloudwatch", "application-auto-scaling"})
"""Services that are asked about metrics, by botocore's id."""
_log = logging.getLogger(__name__)


class Observation:
    """Metrics and captured data of an account's endpoints and training jobs. Safe to use from several threads.

    Attributes:
        measures: The metrics.
        captures: The captured data.
    """

    def __init__(self, measures: Measures, captures: Captures) -> None:
        self.measures = measures
        self.captures = captures
        self._lock = threading.Lock()
        self._writing = threading.RLock()
        self._inside = False
        self._timer: threading.Timer | None = None
        self._closed = False

    def noted(self) -> None:
        """Something was observed."""
        if self._timer is None:
            with self._lock:
                if not self._closed and self._timer is None:
                    self._timer = threading.Timer(_PAUSE, self._look)
                    self._timer.daemon = True
                    self._timer.start()

    def write(self) -> None:
        """Write down what was observed until now."""
        self._stop_waiting()
        self._write(self.captures.write, self.measures.send)

    def close(self, *, watched: bool) -> None:
        """Write down what was observed until now, and nothing more: jobs that run to their end note metrics still.

        Args:
            watched: Whether anybody looks at metrics; if not, they are kept for who does later.
        """
        with self._lock:
            self._closed = True
        self._stop_waiting()
        self._write(self.captures.write, self.measures.send if watched else self.measures.keep)

    def _stop_waiting(self) -> None:
        with self._lock:
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _look(self) -> None:
        with self._lock:
            self._timer = None
        if self.measures.waits < _PERIOD:
            self._write(self.captures.write)
            if self.measures.waits:
                self.noted()
        else:
            self._write(self.captures.write, self.measures.send)

    def _write(self, *writes: Callable[[], None]) -> None:
        with self._writing:
            if self._inside:
                # What is written passes by here as a request of ours.
                return
            self._inside = True
            try:
                for write in writes:
                    self._safely(write)
            finally:
                self._inside = False

    def before(self, arrival: Arrival) -> None:
        """Whoever asks about metrics sees all that was observed before."""
        if arrival.service in _READERS:
            self.write()

    def _safely(self, write: Callable[[], None]) -> None:
        try:
            write()
        except Exception:
            _log.exception("what was observed could not be written down")
