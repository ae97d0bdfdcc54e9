"""What goes to S3 while the job still runs: outputs with S3UploadMode Continuous, and checkpoints."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
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

    What is removed from an output's folder stays in S3. Of checkpoints it is deleted there: "If a checkpoint is deleted
    in the SageMaker AI container, it will also be deleted in the S3 folder" (developer guide, "Checkpoints in Amazon
    SageMaker AI").

    Args:
        store: S3.
        folders: Folders on this machine, each with the S3 URI it is stored below.
        mirror: Delete in S3 what is removed from a folder. What is there at the start is in S3 already.
    """

    def __init__(self, store: ObjectStore, folders: Sequence[tuple[Path, str]], *, mirror: bool = False) -> None:
        self._store = store
        self._folders = folders
        self._mirror = mirror
        self._files: dict[Path, _File] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="continuous upload", daemon=True)

    def __enter__(self) -> ContinuousUpload:
        if self._mirror:
            now = time.monotonic()
            paths = [path for folder, _ in self._folders for path in regular_files(folder)]
            self._files = {path: _File(state, now, state) for path in paths for state in [_state(path)]}
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
                self._delete_removed(folder, uri)

    def _watch(self) -> None:
        while not self._over.wait(_LOOK):
            for folder, uri in self._folders:
                for path in regular_files(folder):
                    try:
                        self._look_at(path, folder, uri)
                    except (StoreError, OSError, ValueError):
                        # The job has removed it meanwhile, or the last look says what is wrong with it.
                        continue
                with suppress(StoreError):
                    # The last look says what is wrong.
                    self._delete_removed(folder, uri)

    def _delete_removed(self, folder: Path, uri: str) -> None:
        if not self._mirror:
            return
        known = [path for path in self._files if path.is_relative_to(folder)]
        for path in known:
            if path.is_file() and not path.is_symlink():
                continue
            if self._files[path].stored is not None:
                self._store.remove(*_place(path, folder, uri))
            del self._files[path]

    def _look_at(self, path: Path, folder: Path, uri: str, *, last: bool = False) -> None:
        state, now = _state(path), time.monotonic()
        file = self._files.setdefault(path, _File(_State(-1, -1), now))
        still = state == file.seen
        file.seen = state
        if state == file.stored or not (still or last or now - file.waiting_since >= _OVERDUE):
            return
        self._store.store(path, *_place(path, folder, uri))
        file.stored, file.waiting_since = state, now


def _state(path: Path) -> _State:
    found = path.stat()
    return _State(found.st_size, found.st_mtime_ns)


def _place(path: Path, folder: Path, uri: str) -> tuple[str, str]:
    """Bucket and key of a file."""
    target = parse_s3_uri(uri)
    return target.bucket, target.join(path.relative_to(folder).as_posix()).key
