"""Metrics from a log, while it is written."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.local.jobs.folder import JobFailureError
from mlops_sm.local.jobs.outcome import Metric

_MAX_LINE: Final = 64 * 1024
"""Bytes; a longer line is read in pieces, so that a binary log cannot fill the memory."""
_GREATEST: Final = 2.0**360
"""What a metric's value is at most, and its negative at least (API reference, MetricDatum)."""


class FoundMetrics:
    """The metrics of a job, found in the logs of its instances.

    Attributes:
        found: Every value so far, in order.

    Args:
        on_metric: Called with every value as soon as its line is read, one at a time.
    """

    def __init__(self, on_metric: Callable[[Metric], None] = lambda _: None) -> None:
        self.found: list[Metric] = []
        self._on_metric = on_metric
        self._lock = threading.Lock()

    def add(self, metric: Metric) -> None:
        """One more value."""
        with self._lock:
            self.found.append(metric)
            self._on_metric(metric)


class MetricScanner:
    """Finds metric values in a stream of log bytes.

    Args:
        definitions: The request's MetricDefinitions: a name and a regular expression whose group is the value.
        clock: Time of a match.
        on_metric: Called with every value as soon as its line is read.

    Raises:
        JobFailureError: A regular expression cannot be compiled.
    """

    def __init__(
        self,
        definitions: Iterable[Mapping[str, Json]],
        clock: Callable[[], datetime],
        on_metric: Callable[[Metric], None] = lambda _: None,
    ) -> None:
        self._clock = clock
        self._on_metric = on_metric
        self._tail = b""
        self._patterns: list[tuple[str, re.Pattern[str]]] = []
        for definition in definitions:
            try:
                self._patterns.append((definition["Name"], re.compile(definition["Regex"])))
            except re.error as error:
                raise JobFailureError(
                    f"ClientError: MetricDefinitions: the regex of {definition['Name']} is invalid: {error}"
                ) from error

    def feed(self, chunk: bytes) -> None:
        """Read the next bytes of the log."""
        if not self._patterns:
            return
        *lines, self._tail = (self._tail + chunk).split(b"\n")
        for line in lines:
            self._scan(line)
        while len(self._tail) > _MAX_LINE:
            self._scan(self._tail[:_MAX_LINE])
            self._tail = self._tail[_MAX_LINE:]

    def finish(self) -> None:
        """The log is complete: its last line may lack a newline."""
        self.feed(b"\n")

    def _scan(self, line: bytes) -> None:
        text = line.decode(errors="replace")
        for name, pattern in self._patterns:
            for match in pattern.finditer(text):
                value = _number(match)
                if value is not None:
                    self._on_metric(Metric(name, value, self._clock()))


def _number(match: re.Match[str]) -> float | None:
    """The value of a match; None when it is no number, or one that CloudWatch does not take.

    "Special values (for example, NaN, +Infinity, -Infinity) are not supported" (API reference, MetricDatum).
    """
    try:
        value = float(match[1] if match.re.groups else match[0])
    except (TypeError, ValueError):
        return None
    return value if abs(value) <= _GREATEST else None
