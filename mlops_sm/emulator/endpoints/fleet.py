"""The hosts of one deployment of an endpoint, and which fleets of an endpoint get how much of its traffic."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from mlops_sm.definition.document import Json
from mlops_sm.emulator.endpoints.snapshot import SHADOW, Snapshot
from mlops_sm.local.serving.host import Host, HostError, Variant
from mlops_sm.local.site import Site

_DRAIN: Final = 90.0
"""Seconds that requests which are under way get before their fleet goes; one takes 60 at most."""


class Fleet:
    """The hosts of one deployment.

    Args:
        snapshot: What is deployed.
        weights: By variant.
        instances: How many instances each variant is said to have; metrics are divided by it.
        folder: Where a host of a variant lives.
        site: The surroundings of the hosts.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        weights: Mapping[str, float],
        instances: Mapping[str, int],
        folder: Callable[[str], Path],
        site: Site,
    ) -> None:
        self.snapshot = snapshot
        self.weights = dict(weights)
        self.instances = dict(instances)
        self._folder = folder
        self._site = site
        self.hosts = {variant.name: Host(variant, folder(variant.name), site) for variant in snapshot.hosted()}
        self.shadow_weights = {
            variant["VariantName"]: float(variant.get("InitialVariantWeight", 1.0))
            for variant in snapshot.variants(SHADOW)
        }
        self.shadows = [Host(variant, folder(variant.name), site) for variant in snapshot.hosted(SHADOW)]
        self._changed = threading.Condition()
        self._requests = 0
        self._retired = False

    def start(self, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """Start every host and wait until all are healthy.

        Raises:
            HostError: One is not; the others are stopped.
        """
        hosts = [*self.hosts.values(), *self.shadows]
        if not hosts:
            return
        with ThreadPoolExecutor(len(hosts), thread_name_prefix="endpoint host") as pool:
            starts = [pool.submit(host.start, is_stopped) for host in hosts]
        for start in starts:
            try:
                start.result()
            except HostError:
                self.stop(0)
                raise

    def add(self, variant: Variant) -> Host:
        """A host for one thing more, an inference component, which is not started yet."""
        return Host(variant, self._folder(variant.name), self._site)

    def resize(self, snapshot: Snapshot, variants: Sequence[Mapping[str, Json]]) -> None:
        """Give the variants other weights and sizes.

        Args:
            snapshot: The same variants as they are then.
            variants: As DescribeEndpoint shows them.
        """
        self.snapshot = snapshot
        self.weights = {variant["VariantName"]: float(variant["CurrentWeight"]) for variant in variants}
        self.instances = {variant["VariantName"]: variant.get("CurrentInstanceCount") or 1 for variant in variants}
        for variant in snapshot.hosted():
            self.hosts[variant.name].variant = variant

    def enter(self) -> bool:
        """Count one request more that is under way, until `leave`; False when the fleet takes none any more."""
        with self._changed:
            if not self._retired:
                self._requests += 1
            return not self._retired

    def leave(self) -> None:
        """A request has been answered."""
        with self._changed:
            self._requests -= 1
            self._changed.notify_all()

    def drain(self, timeout: float = _DRAIN) -> None:
        """Take no request any more, and wait at most so many seconds until none is under way."""
        with self._changed:
            self._retired = True
            self._changed.wait_for(lambda: not self._requests, timeout)

    def stop(self, grace_seconds: float = 30.0) -> None:
        """End every host."""
        for host in (*self.hosts.values(), *self.shadows):
            host.stop(grace_seconds)


class Share(NamedTuple):
    """A fleet and its part of an endpoint's traffic, from 0 to 1."""

    part: float
    fleet: Fleet


@dataclass(frozen=True, slots=True)
class Traffic:
    """The fleets of an endpoint.

    Attributes:
        shares: Each with its part; the parts add up to 1.
    """

    shares: Sequence[Share]

    def fleet(self, draw: float) -> Fleet:
        """Whose turn it is.

        Args:
            draw: A number from 0 to 1, without 1.
        """
        for part, fleet in self.shares:
            if draw < part:
                return fleet
            draw -= part
        return self.shares[-1].fleet


def pick(weights: Mapping[str, float], draw: float) -> str | None:
    """The variant whose turn it is; None when none has a weight.

    "The traffic to a production variant is determined by the ratio of the VariantWeight to the sum of all VariantWeight
    values" (API reference, ProductionVariant).

    Args:
        weights: By variant.
        draw: A number from 0 to 1, without 1.
    """
    total = sum(weights.values())
    left = draw * total
    last = None
    for name, weight in weights.items():
        if weight <= 0:
            continue
        last = name
        if left < weight:
            return name
        left -= weight
    return last
