"""Where jobs run: the folder, the object store and the machinery, passed in by whoever owns the account."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from mlops_sm.local.faults import NO_FAULTS, JobFaults
from mlops_sm.local.images import ImageTable
from mlops_sm.local.isolation.layer import Isolation
from mlops_sm.local.warm import WarmWorkers


class ObjectInfo(NamedTuple):
    """One object in a bucket; `size` in bytes."""

    key: str
    size: int


class StoreError(Exception):
    """The object store said no.

    Attributes:
        code: S3's error code, e.g. ``NoSuchBucket`` or ``NoSuchKey``.
        message: S3's message.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(f"{code}: {message}")


class ObjectStore(Protocol):
    """S3 as far as jobs need it. Safe to use from several threads; every method raises `StoreError`."""

    def list(self, bucket: str, prefix: str) -> list[ObjectInfo]:
        """Every object whose key starts with `prefix`, sorted by key."""

    def fetch(self, bucket: str, key: str, target: Path) -> None:
        """Write an object's content to a file; its folder exists. Raises OSError when the disk refuses."""

    def lend(self, bucket: str, key: str, target: Path) -> None:
        """As `fetch`, for a file that is only read: it may be the store's own."""

    def store(self, source: Path, bucket: str, key: str) -> None:
        """Make a file the content of an object."""

    def remove(self, bucket: str, key: str) -> None:
        """Delete an object; one that is not there is no error."""

    def read(self, bucket: str, key: str) -> bytes:
        """An object's whole content; for small ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Everything a job needs from its surroundings.

    Attributes:
        jobs: Folder with one folder per job.
        store: S3.
        isolation: Starts a job cold, in a process of its own.
        warm: Starts a Python script as a fork of a prepared process; closed by the owner.
        images: Which image stands for what.
        clock: The time that is reported, timezone-aware. Limits are kept by the machine's monotonic clock.
        account_id: The account jobs believe they run in.
        region: The region jobs believe they run in.
        endpoint: Says where a job's own AWS calls go; None leaves jobs without endpoint and credentials.
        grace_seconds: Between SIGTERM and SIGKILL; 120 is SageMaker's.
        keep: Keep a job's /opt/ml after its end.
        packages: Folder for the packages that jobs ask for; one in `jobs` by default.
        faults: What is to go wrong with the jobs that run here.
    """

    jobs: Path
    store: ObjectStore
    isolation: Isolation
    warm: WarmWorkers
    images: ImageTable
    clock: Callable[[], datetime]
    account_id: str
    region: str
    endpoint: Callable[[], str] | None = None
    grace_seconds: float = 120.0
    keep: bool = False
    packages: Path | None = None
    faults: JobFaults = NO_FAULTS

    @property
    def package_folder(self) -> Path:
        """Where the packages are kept that jobs ask for; no job has this name."""
        return self.packages or self.jobs / ".packages"

    def endpoint_url(self, *, network: bool) -> str | None:
        """Where the AWS calls of a job go; None when it has no network to make any."""
        return self.endpoint() if network and self.endpoint is not None else None
