"""Several instances train one model: each on its own rows, in step after every round."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
import xgboost
from xgboost.tracker import RabitTracker

_PORT: Final = 9099
_PATIENCE: Final = 300.0
"""Seconds until the instances have found each other."""
_AGAIN: Final = 0.1


@contextmanager
def joined(hosts: list[str], current: str) -> Iterator[None]:
    """Train together with the other instances meanwhile; the first one keeps the list of who is there."""
    tracker = None
    first = sorted(hosts)[0]
    address = socket.gethostbyname(first)
    if current == first:
        tracker = RabitTracker(n_workers=len(hosts), host_ip=address, port=_PORT, sortby="task")
        tracker.start()
    else:
        _await(address)
    settings: dict[str, str | int | None] = {
        "dmlc_communicator": "rabit",
        "dmlc_tracker_uri": address,
        "dmlc_tracker_port": _PORT,
        # Ranks follow it.
        "dmlc_task_id": f"{sorted(hosts).index(current):05}",
        "dmlc_timeout": int(_PATIENCE),
    }
    with xgboost.collective.CommunicatorContext(**settings):
        yield
    if tracker is not None:
        tracker.wait_for()


def largest(number: int) -> int:
    """The largest of the numbers of all instances."""
    return int(xgboost.collective.allreduce(np.asarray([number]), xgboost.collective.Op.MAX)[0])


def _await(address: str) -> None:
    """Wait until the first instance listens."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        try:
            # Looked up, not asked: the tracker would count who only knocks.
            with socket.socket() as probe:
                probe.bind((address, _PORT))
        except OSError:
            return
        time.sleep(_AGAIN)
    raise TimeoutError(f"{address} does not start the training")
