"""Pipe mode: named pipes that are filled while the job reads them, one for each epoch.

A pipe is at ``/opt/ml/input/data/<channel>_<epoch>``. The job opens the one of epoch 0, reads it to its end, opens the
one of epoch 1 and so on; each time it gets the data from the beginning. The next pipe is always there.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from mlops_sm.local.jobs.folder import JobFailureError

_AGAIN: Final = 0.05
"""Seconds between two attempts to wake a thread that waits for a reader."""


class Pipe:
    """The pipes of one channel.

    Args:
        place: What the pipes' names begin with.
        content: What flows in an epoch.
    """

    def __init__(self, place: Path, content: Callable[[int], Iterator[bytes]]) -> None:
        self._place = place
        self._content = content
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._feed, name=f"pipe {place.name}", daemon=True)
        self._epoch = 0
        self.failure: JobFailureError | None = None
        """Why the data could not be given; the job has read the end of the pipe instead."""

    def open(self) -> None:
        """Make the first pipes and wait for a reader."""
        self._place.parent.mkdir(parents=True, exist_ok=True)
        for epoch in (0, 1):
            os.mkfifo(self._path(epoch))
        self._thread.start()

    def close(self) -> None:
        """Wait for nobody any more; the readers are gone."""
        self._over.set()
        while self._thread.is_alive():
            # Whoever opens a pipe to read lets the one go on who waits for it to write.
            with suppress(OSError):  # it has just been done with
                os.close(os.open(self._path(self._epoch), os.O_RDONLY | os.O_NONBLOCK))
            self._thread.join(_AGAIN)
        for epoch in range(self._epoch, self._epoch + 3):
            self._path(epoch).unlink(missing_ok=True)

    def _path(self, epoch: int) -> Path:
        return self._place.with_name(f"{self._place.name}_{epoch}")

    def _feed(self) -> None:
        while not self._over.is_set():
            path = self._path(self._epoch)
            try:
                with path.open("wb", buffering=0) as pipe:
                    os.mkfifo(self._path(self._epoch + 2))
                    self._fill(pipe.write)
                path.unlink()
            except OSError:
                # The job has removed its folder, or the pipe.
                return
            self._epoch += 1

    def _fill(self, write: Callable[[memoryview], int | None]) -> None:
        try:
            for chunk in self._content(self._epoch):
                rest = memoryview(chunk)
                while rest:
                    if self._over.is_set():
                        return
                    rest = rest[write(rest) or 0 :]
        except BrokenPipeError:
            return  # the job has read enough of this epoch
        except JobFailureError as error:
            self.failure = error
