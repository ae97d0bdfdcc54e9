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

_PATIENCE: Final = 300.0
"""Seconds until the instances have found each other."""
_AGAIN: Final = 0.05


@contextmanager
def joined(hosts: list[str], current: str, meeting: str) -> Iterator[None]:
    """Train together with the other instances meanwhile; the first one keeps the list of who is there.

    Args:
        hosts: Every instance.
        current: This one.
        meeting: A name that only the instances of this job know. By it the first one tells the others its port, as
            other jobs share the machine's network, and so its ports.
    """
    hosts = sorted(hosts)
    address = socket.gethostbyname(hosts[0])
    tracker = None
    if current == hosts[0]:
        tracker = RabitTracker(n_workers=len(hosts), host_ip=address, sortby="task")
        tracker.start()
        port = int(tracker.worker_args()["dmlc_tracker_port"] or 0)
        _tell(port, len(hosts) - 1, meeting)
    else:
        port = _hear(meeting)
    settings: dict[str, str | int | None] = {
        "dmlc_communicator": "rabit",
        "dmlc_tracker_uri": address,
        "dmlc_tracker_port": port,
        # Ranks follow it.
        "dmlc_task_id": f"{hosts.index(current):05}",
        "dmlc_timeout": int(_PATIENCE),
    }
    with xgboost.collective.CommunicatorContext(**settings):
        yield
    if tracker is not None:
        tracker.wait_for()


def largest(number: int) -> int:
    """The largest of the numbers of all instances."""
    return int(xgboost.collective.allreduce(np.asarray([number]), xgboost.collective.Op.MAX)[0])


def _tell(port: int, others: int, meeting: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(_PATIENCE)
        listener.bind(f"\0{meeting}")
        listener.listen(others)
        for _ in range(others):
            with listener.accept()[0] as other:
                other.sendall(str(port).encode())


def _hear(meeting: str) -> int:
    deadline = time.monotonic() + _PATIENCE
    while True:
        with socket.socket(socket.AF_UNIX) as first:
            try:
                first.connect(f"\0{meeting}")
                return int(first.recv(16))
            except (ConnectionRefusedError, FileNotFoundError):
                if time.monotonic() > deadline:
                    raise
        time.sleep(_AGAIN)
