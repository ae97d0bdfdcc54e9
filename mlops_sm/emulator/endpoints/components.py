"""Inference components as they run: models on endpoints whose variants have none of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.clock import Clock
from mlops_sm.emulator.endpoints.background import Background
from mlops_sm.emulator.endpoints.hosting import FAILED, IN_SERVICE, MAX_REASON, SERVING
from mlops_sm.emulator.endpoints.logs import COMPONENTS
from mlops_sm.emulator.endpoints.snapshot import hosted
from mlops_sm.emulator.store import Entity, Kind, Scope, Store
from mlops_sm.local.serving.host import Host, HostError
from mlops_sm.local.site import Site

_DRAIN: Final = 90.0
"""Seconds that requests which are under way get before their host goes."""
_LAST_WORDS: Final = 5.0
"""Likewise when the account is closed."""


class Components:
    """Every inference component of every scope. One that was in service is started by its first request.

    Args:
        store: Where the records are.
        site: Where the hosts of a scope run.
        folder: Where a scope's endpoints live.
        clock: The account's time.
        background: Does what takes its time.
        new_id: So many random characters of [a-z0-9].
    """

    def __init__(
        self,
        store: Store,
        site: Callable[[Scope], Site],
        folder: Callable[[Scope], Path],
        clock: Clock,
        background: Background,
        *,
        new_id: Callable[[int], str],
    ) -> None:
        self._store = store
        self._site = site
        self._folder = folder
        self._clock = clock
        self._background = background
        self._new_id = new_id
        self._lock = threading.Lock()
        self._hosts: dict[tuple[Scope, str], Host] = {}

    def deploy(self, entity: Entity, members: Mapping[str, Json]) -> None:
        """Start a component, or start it anew beside the one that serves until then; returns at once.

        Args:
            entity: Its record.
            members: Of its record once it serves.
        """
        self._background.begin(f"inference component {entity.name}", lambda: self._deploy(entity, members))

    def delete(self, entity: Entity) -> None:
        """End a component that is being deleted, and forget its record; returns at once."""
        self._background.begin(f"inference component {entity.name}", lambda: self._delete(entity))

    def find(self, scope: Scope, name: str) -> tuple[Entity, Host] | None:
        """A component that is in service, started if it is not; None when there is no such component.

        Raises:
            HostError: It could not be started again.
        """
        entity = self._store.get(scope, Kind.INFERENCE_COMPONENT, name)
        if entity is None or entity.status not in SERVING:
            return None
        with self._lock:
            host = self._hosts.get((scope, name))
            if host is None:
                host = self._started(entity, entity.body)
                self._hosts[scope, name] = host
            return entity, host

    def close(self) -> None:
        """End every component, after the work in the background; their records stay as they are."""
        with self._lock:
            hosts, self._hosts = list(self._hosts.values()), {}
        for host in hosts:
            host.drain(_LAST_WORDS)
            host.stop(0)

    def _deploy(self, entity: Entity, members: Mapping[str, Json]) -> None:
        key = (entity.scope, entity.name)
        before = self._hosts.get(key)
        try:
            host = self._started(entity, members)
        except HostError as error:
            status = FAILED if entity.status == "Creating" else IN_SERVICE
            self._changed(entity, {"FailureReason": str(error)[:MAX_REASON]}, status)
            return
        with self._lock:
            self._hosts[key] = host
        self._changed(entity, {**members, "FailureReason": None}, IN_SERVICE)
        if before is not None:
            before.drain(_DRAIN)
            before.stop()

    def _delete(self, entity: Entity) -> None:
        with self._lock:
            host = self._hosts.pop((entity.scope, entity.name), None)
        if host is not None:
            host.drain(_DRAIN)
            host.stop()
        if not self._background.is_closing():
            self._store.delete(entity)

    def _started(self, entity: Entity, members: Mapping[str, Json]) -> Host:
        copies: int = members["RuntimeConfig"]["DesiredCopyCount"]
        startup: Mapping[str, Any] = (members["Specification"] or {}).get("StartupParameters") or {}
        variant = hosted({"VariantName": entity.name, **startup}, members["Deployed"], copies=copies)
        folder = self._folder(entity.scope) / entity.parent / COMPONENTS / entity.name / f"i-{self._new_id(17)}"
        host = Host(variant, folder, self._site(entity.scope))
        if copies:
            try:
                host.start(self._background.is_closing)
            except HostError:
                host.stop(0)
                raise
        return host

    def _changed(self, entity: Entity, members: Mapping[str, Json], status: str) -> None:
        if self._background.is_closing():
            return
        now = self._clock().timestamp()
        with self._store.transaction():
            current = self._store.get(entity.scope, Kind.INFERENCE_COMPONENT, entity.name)
            if current is not None:
                self._store.save(current.with_body(members, modified=now, status=status))
