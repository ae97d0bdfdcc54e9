"""One process owns a state directory: a lock that ends with its owner, however that ends."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path
from typing import Self

from mlops_sm.errors import Problem, RefusedError
from mlops_sm.operations.servers import LOCK_NAME


class StateLock:
    """The lock of a state directory, held from `acquire` to `release`."""

    def __init__(self, file: int) -> None:
        self._file = file

    @classmethod
    def acquire(cls, state: Path) -> Self:
        """Lock a directory; it is made when it is not there.

        Raises:
            RefusedError: E540, another process owns it; E541, it cannot be made or written to.
        """
        path = state / LOCK_NAME
        try:
            state.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise RefusedError(_unusable(state, error)) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(file, 0)
            os.pwrite(file, f"{os.getpid()} {' '.join(sys.argv)}\n".encode(errors="replace"), 0)
        except BlockingIOError as error:
            owner = os.pread(file, 4096, 0).decode(errors="replace").strip()
            os.close(file)
            raise RefusedError(_owned(state, owner)) from error
        except OSError as error:
            os.close(file)
            raise RefusedError(_unusable(state, error)) from error
        return cls(file)

    def release(self) -> None:
        """Let the next owner in."""
        os.close(self._file)


def _owned(state: Path, owner: str) -> Problem:
    pid, _, command = owner.partition(" ")
    who = f"process {pid} ({command or 'command unknown'})" if pid else "another process"
    return Problem(
        "E540",
        str(state),
        f"the local account is in use: {who} owns it",
        "Wait until it has ended or end it, or use another account with --state DIR.",
    )


def _unusable(state: Path, error: OSError) -> Problem:
    return Problem(
        "E541",
        str(state),
        f"the local account's state cannot be kept here: {error.strerror or error}",
        "Make sure that the folder can be written to and the disk has room, or name another folder with --state DIR.",
    )
