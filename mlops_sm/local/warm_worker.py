"""The program of a worker process: forks a supervisor, which forks a job, for every request.

Started without preloading it is the launcher of cold jobs. Started with preloading it has numpy, pandas and
scikit-learn imported, and its jobs run a Python script in the fork itself. Imports only: a fit here would start the
threads of OpenMP, which do not survive a fork. It runs one thread and ends when its owner closes the socket, which a
killed owner does too. (PR_SET_PDEATHSIG would not do: it follows the thread that started the worker, not its process.)
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn

from mlops_sm.local.isolation import identity, supervisor
from mlops_sm.local.isolation.supervisor import Request

PRELOADED: Final = (
    "numpy",
    "pandas",
    "joblib",
    "sklearn.pipeline",
    "sklearn.linear_model",
    "sklearn.ensemble",
    "sklearn.metrics",
    "sklearn.model_selection",
    "sklearn.preprocessing",
    "sklearn.compose",
    "sklearn.impute",
    "xgboost",
)
"""What a warm worker imports; what is not installed is left out."""

_LEFT_ALONE: Final = 0.1
"""Seconds after a job's start until the next supervisor is forked, unless the job ends or another is asked for."""


def main(descriptor: int, *, preload: bool, user: tuple[int, int, tuple[int, ...]] | None = None) -> None:
    """Serve the owner at the other end of a socket until it is closed.

    Args:
        descriptor: The socket, inherited.
        preload: Whether jobs fork into Python scripts (warm) or exec (cold).
        user: User, group and further groups of the owner, when this process was started as root.
    """
    sys.path.pop(0)  # the folder this module was imported from
    if user is not None:
        identity.act_as(*user)
    owner = socket.socket(fileno=descriptor)
    os.set_inheritable(descriptor, False)
    loaded = _preload() if preload else []
    become: Callable[[Request], NoReturn] = supervisor.execute
    if preload:
        # Imported now, so that a job does not pay for it.
        become = importlib.import_module("mlops_sm.local.script").run
    # Forks share these objects' memory until the collector touches them.
    gc.collect()
    gc.freeze()
    life, held = os.pipe()
    # Supervisors are collected by the kernel; each reports to the owner itself.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    owner.sendall(json.dumps({"loaded": loaded}).encode() + b"\n")
    while True:
        # The next supervisor is forked before it is needed: a big process takes milliseconds to fork.
        idle, busy = os.pipe()
        if os.fork() == 0:
            try:
                os.close(held)
                os.close(idle)
                _supervise_next(owner, busy, life, become)
            finally:
                os._exit(1)
        os.close(busy)
        if _owner_is_gone(owner, idle):
            return
        _leave_alone(owner, idle)
        os.close(idle)


def _supervise_next(owner: socket.socket, busy: int, life: int, become: Callable[[Request], NoReturn]) -> NoReturn:
    """Wait for one request and serve it; what happens to `busy` tells the worker when to fork a successor."""
    message, descriptors, _, _ = socket.recv_fds(owner, 1, 3)
    owner.close()
    if not message:
        os._exit(0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # A third one is a lock: it is held until this process ends.
    control, log = descriptors[:2]
    supervisor.supervise(socket.socket(fileno=control), log, life, busy, become)


def _owner_is_gone(owner: socket.socket, idle: int) -> bool:
    """Wait until the waiting supervisor runs its job (or died), or the owner closed its end."""
    poll = select.poll()
    poll.register(owner, 0)  # only the hang-up: the requests are the supervisor's to read
    poll.register(idle, select.POLLIN)
    ready = [descriptor for descriptor, _ in poll.poll()]
    return owner.fileno() in ready


def _leave_alone(owner: socket.socket, idle: int) -> None:
    """Leave the cores to a job that has just started: many are short, and a fork beside them costs them more."""
    if not os.read(idle, 1):
        return  # it never ran
    poll = select.poll()
    poll.register(owner, select.POLLIN)
    poll.register(idle, 0)  # the hang-up: the job has ended
    poll.poll(_LEFT_ALONE * 1000)


def _preload() -> list[str]:
    loaded = []
    for name in PRELOADED:
        # A library that is broken rather than absent must not keep the others from loading; a job that needs it will
        # see the same error with its own traceback.
        with suppress(Exception):
            importlib.import_module(name)
            loaded.append(name)
    return loaded
