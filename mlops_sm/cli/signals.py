"""The signals that end a command, and what they do instead."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def on_end(handler: Callable[[int, FrameType | None], None], *more: signal.Signals) -> Iterator[None]:
    """Have a handler hear of SIGTERM, SIGHUP and `more`; afterwards everything is as it was."""
    ending = [signal.SIGTERM, *more]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup wants the command to outlive its terminal
        ending.append(signal.SIGHUP)
    try:
        before = {number: signal.signal(number, handler) for number in ending}
    except ValueError:  # only the main thread may; elsewhere the caller handles signals
        before = {}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
