"""Where the jobs of each account and region run, and the S3 they see."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlops_sm.emulator.clock import Clock
from mlops_sm.emulator.faults import Faults
from mlops_sm.emulator.storage import Storage
from mlops_sm.emulator.store import Entity, Scope
from mlops_sm.local.images import ImageTable
from mlops_sm.local.isolation.layer import Isolation
from mlops_sm.local.jobs import log_path
from mlops_sm.local.site import Site
from mlops_sm.local.user_handlers import UserHandlers
from mlops_sm.local.warm import WarmWorkers


@dataclass(frozen=True, slots=True, kw_only=True)
class Sites:
    """One `Site` per scope, made when first needed; they share everything but the folder and the bucket owner.

    Attributes:
        state: The state directory.
        home: The scope whose jobs are directly in ``jobs/``; names are unique per scope only.
        storage: S3.
        isolation: Gives jobs their own /opt/ml.
        warm: Runs Python jobs.
        images: Which image stands for what.
        handlers: The user's, for kinds of steps that do not run here.
        clock: The time.
        endpoint: Says where jobs reach the account.
        faults: What is to go wrong with jobs, for tests.
    """

    state: Path
    home: Scope
    storage: Storage
    isolation: Isolation
    warm: WarmWorkers
    images: ImageTable
    handlers: UserHandlers
    clock: Clock
    endpoint: Callable[[], str]
    faults: Faults
    _sites: dict[Scope, Site] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def site(self, scope: Scope, *names: str) -> Site:
        """Where a scope's jobs run; for a job that goes by some names, with the faults that are planted for it."""
        with self._lock:
            if scope not in self._sites:
                self._sites[scope] = Site(
                    jobs=self._jobs(scope),
                    store=self.storage.objects(scope),
                    isolation=self.isolation,
                    warm=self.warm,
                    images=self.images,
                    clock=self.clock,
                    account_id=scope.account,
                    region=scope.region,
                    endpoint=self.endpoint,
                    packages=self.state / "packages",
                )
            site = self._sites[scope]
        return replace(site, faults=self.faults.of_job(*names)) if names else site

    def log(self, job: Entity) -> Path:
        """A job's log."""
        return log_path(self._jobs(job.scope), job.name)

    def endpoints(self, scope: Scope) -> Path:
        """Where a scope's endpoints live."""
        return self._of(scope, "endpoints")

    def _jobs(self, scope: Scope) -> Path:
        return self._of(scope, "jobs")

    def _of(self, scope: Scope, what: str) -> Path:
        folder = self.state / what
        return folder if scope == self.home else folder / f"{scope.account}.{scope.region}"
