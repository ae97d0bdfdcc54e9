"""What goes to S3 while the job still runs: outputs with S3UploadMode Continuous, and checkpoints."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple

from mlops_sm.local.jobs.transfer import as_job_failure, regular_files
from mlops_sm.local.site import ObjectStore, StoreError
from mlops_sm.naming import parse_s3_uri

_LOOK: Final = 0.5
"""Seconds between two looks at the folders."""
_OVERDUE: Final = 10.0
"""Seconds after which a file is stored that has not kept still, such as a log."""


class _State(NamedTuple):
    size: int
    changed: int


@dataclass(slots=True)
class _File:
    seen: _State
    waiting_since: float
    stored: _State | None = None


class ContinuousUpload:
    """As long as the context lasts, files are stored once they have kept still between two looks.

    What is removed from a folder stays in S3.

    Args:
        store: S3.
        folders: Folders on this machine, each with the S3 URI it is stored below.
    """

    def __init__(self, store: ObjectStore, folders: Sequence[tuple[Path, str]]) -> None:
        self._store = store
        self._folders = folders
        self._files: dict[Path, _File] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="continuous upload", daemon=True)

    def __enter__(self) -> ContinuousUpload:
        if self._folders:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._folders:
            self._thread.join()

    def finish(self) -> None:
        """Store what is left, once nobody writes any more.

        Raises:
            JobFailureError: No such bucket, or a file cannot be read.
        """
        for folder, uri in self._folders:
            with as_job_failure("Artifact upload failed", folder):
                for path in regular_files(folder):
                    self._look_at(path, folder, uri, last=True)

    def _watch(self) -> None:
        while not self._over.wait(_LOOK):
            for folder, uri in self._folders:
                for path in regular_files(folder):
                    try:
                        self._look_at(path, folder, uri)
                    except (StoreError, OSError, ValueError):
                        # The job has removed it meanwhile, or the last look says what is wrong with it.
                        continue

    def _look_at(self, path: Path, folder: Path, uri: str, *, last: bool = False) -> None:
        found, now = path.stat(), time.monotonic()
        state = _State(found.st_size, found.st_mtime_ns)
        file = self._files.setdefault(path, _File(_State(-1, -1), now))
        still = state == file.seen
        file.seen = state
        if state == file.stored or not (still or last or now - file.waiting_since >= _OVERDUE):
            return
        target = parse_s3_uri(uri)
        self._store.store(path, target.bucket, target.join(path.relative_to(folder).as_posix()).key)
        file.stored, file.waiting_since = state, now
