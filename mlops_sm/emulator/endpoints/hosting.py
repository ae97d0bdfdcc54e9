"""The endpoints of an account as they run: started, called, updated and ended; their records follow.

An endpoint that is in service when the account is opened is started by its first request, as opening an account must
cost nothing for the many commands that call no endpoint.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.clock import Clock
from mlops_sm.emulator.endpoints.background import Background
from mlops_sm.emulator.endpoints.fleet import Fleet, Share, Traffic
from mlops_sm.emulator.endpoints.rollout import ClosedError, RolledBackError, Rollout, stage_of
from mlops_sm.emulator.endpoints.shifting import Shifts
from mlops_sm.emulator.endpoints.snapshot import PRODUCTION, SHADOW, Snapshot
from mlops_sm.emulator.store import Entity, Kind, Scope, Store
from mlops_sm.local.serving.host import HostError
from mlops_sm.local.site import Site

CREATING: Final = "Creating"
UPDATING: Final = "Updating"
ROLLING_BACK: Final = "RollingBack"
IN_SERVICE: Final = "InService"
DELETING: Final = "Deleting"
FAILED: Final = "Failed"
SERVING: Final = frozenset({IN_SERVICE, UPDATING, ROLLING_BACK})
"""Statuses of an endpoint that answers requests."""
IN_PROGRESS: Final = (CREATING, UPDATING, ROLLING_BACK, DELETING)
MAX_REASON: Final = 1024
_MOMENT: Final = 3.0
"""Seconds that whoever asks about an endpoint waits for what has just begun with it."""
_LAST_WORDS: Final = 5.0
"""Seconds that requests which are under way get when the account is closed."""
_SETTLED: Final[Mapping[str, Json]] = {"Pending": None, "PendingDeploymentSummary": None}
"""Members of a record that is about what goes on, once nothing does."""


@dataclass(slots=True, eq=False)
class Live:
    """An endpoint that runs.

    Attributes:
        entity: Its record as it was when it was started; its scope and name never change.
        traffic: Its fleets; None while it is being started.
        lock: Around changes of the traffic.
    """

    entity: Entity
    traffic: Traffic | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Hosting:
    """Every endpoint of every scope.

    Args:
        store: Where the records are.
        site: Where the hosts of a scope run.
        folder: Where a scope's endpoints live.
        clock: The account's time.
        background: Does what takes its time.
        client: A client of a service that acts for a scope.
        new_id: So many random characters of [a-z0-9].
        draw: A number from 0 to 1 that decides who gets a request.
    """

    def __init__(
        self,
        store: Store,
        site: Callable[[Scope], Site],
        folder: Callable[[Scope], Path],
        clock: Clock,
        background: Background,
        *,
        client: Callable[[Scope, str], Any],
        new_id: Callable[[int], str],
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._site = site
        self._folder = folder
        self._clock = clock
        self._client = client
        self._new_id = new_id
        self._background = background
        self.draw = draw
        self._lock = threading.Lock()
        self._live: dict[tuple[Scope, str], Live] = {}
        self._begun: dict[tuple[Scope, str], float] = {}

    # ------------------------------------------------------------------ what operations ask for

    def create(self, entity: Entity) -> None:
        """Start an endpoint whose record was just added; returns at once."""
        live = Live(entity)
        with self._lock:
            self._live[entity.scope, entity.name] = live
        self._begin(entity, lambda: self._create(live))

    def update(self, entity: Entity, shifts: Shifts) -> None:
        """Take an endpoint to the configuration that is pending in its record; returns at once."""
        self._begin(entity, lambda: self._update(entity, shifts))

    def reweigh(self, entity: Entity, members: Mapping[str, Json], snapshot: Snapshot) -> None:
        """Give the variants of an endpoint other weights and sizes; returns at once.

        Args:
            entity: The endpoint.
            members: Of its record, with the variants as they shall be.
            snapshot: What it runs then.
        """
        self._begin(entity, lambda: self._reweigh(entity, members, snapshot))

    def delete(self, entity: Entity) -> None:
        """End an endpoint that is being deleted, and forget its record; returns at once."""
        with self._lock:
            live = self._live.pop((entity.scope, entity.name), None)
        self._begin(entity, lambda: self._delete(entity, live))

    def linger(self, entity: Entity) -> None:
        """Give what has just begun with an endpoint the moment that it needs.

        boto3's waiters and the CLI's look every 30 seconds; a deployment here takes one or two.
        """
        left = _MOMENT - (time.monotonic() - self._begun.get((entity.scope, entity.name), 0.0))
        if left > 0:
            self._background.moments.settle(left)

    def close(self) -> None:
        """End every endpoint, after the work in the background; their records stay as they are."""
        with self._lock:
            live, self._live = list(self._live.values()), {}
        for each in live:
            for share in () if each.traffic is None else each.traffic.shares:
                share.fleet.drain(_LAST_WORDS)
                share.fleet.stop(0)

    # ------------------------------------------------------------------ what requests ask for

    def find(self, scope: Scope, name: str) -> Traffic | None:
        """The fleets of an endpoint that is in service, started if they are not; None when there is no such endpoint.

        Raises:
            HostError: It could not be started again.
        """
        live = self._live.get((scope, name))
        if live is None:
            live = self._revived(scope, name)
            if live is None:
                return None
        if live.traffic is None:
            with live.lock:
                return live.traffic
        return live.traffic

    def _revived(self, scope: Scope, name: str) -> Live | None:
        """An endpoint that the account found in service when it was opened."""
        with self._lock:
            live = self._live.get((scope, name))
            if live is not None:
                return live
            entity = self._store.get(scope, Kind.ENDPOINT, name)
            if entity is None or entity.status not in SERVING or self._background.is_closing():
                return None
            live = Live(entity)
            live.lock.acquire()
            self._live[scope, name] = live
        try:
            fleet = self.fleet(entity, Snapshot(entity.body["Deployed"]), entity.body)
            fleet.start(self._background.is_closing)
            live.traffic = Traffic([Share(1.0, fleet)])
        except HostError:
            with self._lock:
                self._live.pop((scope, name), None)
            raise
        finally:
            live.lock.release()
        return live

    # ------------------------------------------------------------------ the work

    def fleet(self, entity: Entity, snapshot: Snapshot, shown: Mapping[str, Json]) -> Fleet:
        """A fleet that has not been started.

        Args:
            entity: The endpoint.
            snapshot: What it deploys.
            shown: Members like those of DescribeEndpoint, which say weights and instances of the variants.
        """
        variants = shown[PRODUCTION]
        root = self._folder(entity.scope) / entity.name
        made = self._new_id(17)
        return Fleet(
            snapshot,
            {variant["VariantName"]: float(variant.get("CurrentWeight", 1.0)) for variant in variants},
            {variant["VariantName"]: variant.get("CurrentInstanceCount") or 1 for variant in variants},
            lambda variant: root / variant / f"i-{made}",
            self._site(entity.scope),
        )

    def _create(self, live: Live) -> None:
        entity = live.entity
        snapshot = Snapshot(entity.body["Pending"])
        shown = deployed_members(snapshot, self._now())
        try:
            fleet = self.fleet(entity, snapshot, shown)
            fleet.start(self._background.is_closing)
        except HostError as error:
            with self._lock:
                self._live.pop((entity.scope, entity.name), None)
            self._changed(entity, {"FailureReason": str(error)[:MAX_REASON], **_SETTLED}, FAILED)
            return
        with live.lock:
            live.traffic = Traffic([Share(1.0, fleet)])
        self._changed(entity, shown, IN_SERVICE)

    def _update(self, entity: Entity, shifts: Shifts) -> None:
        snapshot = Snapshot(entity.body["Pending"])
        shown = deployed_members(snapshot, self._now())
        try:
            traffic = self.find(entity.scope, entity.name)
            live = self._live[entity.scope, entity.name]
        except (HostError, KeyError) as error:
            # The configuration until now cannot be started any more, so there is no fleet that could go on.
            self._changed(entity, {"FailureReason": str(error)[:MAX_REASON], **_SETTLED}, FAILED)
            return
        if traffic is None:
            return
        summary = entity.body["PendingDeploymentSummary"]

        def set_traffic(changed: Traffic) -> None:
            live.traffic = changed

        def set_stage(stage: str) -> None:
            pending = stage_of(summary, stage, self._now())
            self._changed(entity, {"PendingDeploymentSummary": pending}, UPDATING)

        rollout = Rollout(
            scope=entity.scope,
            old=traffic.shares[0].fleet,
            new=self.fleet(entity, snapshot, shown),
            shifts=shifts,
            set_traffic=set_traffic,
            set_stage=set_stage,
            client=self._client,
            clock=self._clock,
            moments=self._background.moments,
            is_closed=self._background.is_closing,
        )
        try:
            rollout.run()
        except RolledBackError as error:
            self._changed(entity, {"FailureReason": str(error)[:MAX_REASON], **_SETTLED}, IN_SERVICE)
        except ClosedError:
            rollout.new.stop(0)
            rollout.old.stop(0)
        else:
            self._changed(entity, shown, IN_SERVICE)

    def _reweigh(self, entity: Entity, members: Mapping[str, Json], snapshot: Snapshot) -> None:
        live = self._live.get((entity.scope, entity.name))
        for share in () if live is None or live.traffic is None else live.traffic.shares:
            share.fleet.resize(snapshot, members[PRODUCTION])
        self._changed(entity, {**members, "Deployed": dict(snapshot.body)}, IN_SERVICE)

    def _delete(self, entity: Entity, live: Live | None) -> None:
        for share in () if live is None or live.traffic is None else live.traffic.shares:
            share.fleet.drain()
            share.fleet.stop()
        if not self._background.is_closing():
            self._store.delete(entity)

    def _changed(self, entity: Entity, members: Mapping[str, Json], status: str) -> None:
        """Write down what has become of an endpoint, unless the account is being closed: then it is as it was."""
        if self._background.is_closing():
            return
        with self._store.transaction():
            current = self._store.get(entity.scope, Kind.ENDPOINT, entity.name)
            if current is not None:
                self._store.save(current.with_body(members, modified=self._now(), status=status))

    def _begin(self, entity: Entity, work: Callable[[], None]) -> None:
        self._begun[entity.scope, entity.name] = time.monotonic()
        self._background.begin(f"endpoint {entity.name}", work)

    def _now(self) -> float:
        return self._clock().timestamp()


def deployed_members(snapshot: Snapshot, now: float) -> dict[str, Json]:
    """Members of an endpoint's record once a snapshot is what it runs."""
    capture = snapshot.config.get("DataCaptureConfig")
    return {
        "EndpointConfigName": snapshot.name,
        PRODUCTION: snapshot.summaries(now),
        SHADOW: snapshot.summaries(now, SHADOW) or None,
        "DataCaptureConfig": None if capture is None else capture_summary(capture),
        "AsyncInferenceConfig": snapshot.asynchronous,
        "MetricsConfig": snapshot.config.get("MetricsConfig"),
        "Deployed": dict(snapshot.body),
        "Pending": None,
        "PendingDeploymentSummary": None,
        "FailureReason": None,
    }


def capture_summary(capture: Mapping[str, Json]) -> dict[str, Json]:
    """What DescribeEndpoint shows of a DataCaptureConfig (API reference, DataCaptureConfigSummary)."""
    enabled = capture.get("EnableCapture", True)
    return {
        "EnableCapture": enabled,
        "CaptureStatus": "Started" if enabled else "Stopped",
        "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
        "DestinationS3Uri": capture["DestinationS3Uri"],
        # Required in the answer, and empty when the destination has the bucket's own encryption.
        "KmsKeyId": capture.get("KmsKeyId", ""),
    }
