"""Which layer isolates the jobs of this machine: the first that works, or the one that was asked for."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from mlops_sm.errors import InputError, Problem, RefusedError, did_you_mean
from mlops_sm.local.isolation.containers import ContainerIsolation
from mlops_sm.local.isolation.direct import DirectIsolation
from mlops_sm.local.isolation.layer import ML, Capabilities, Fact, Forks, Isolation, Launch, Process
from mlops_sm.local.isolation.linux import NamespaceIsolation
from mlops_sm.local.isolation.preload import PreloadIsolation
from mlops_sm.local.isolation.relocate import RelocateIsolation
from mlops_sm.local.isolation.starting import WHERE
from mlops_sm.local.isolation.sudo import SudoIsolation

AUTO: Final = "auto"
VARIABLE: Final = "MLOPS_SM_ISOLATION"
"""The environment variable that names a layer; it wins over the project's setting."""
SETTING: Final = "pyproject.toml -> [tool.mlops_sm.local] -> isolation"

LAYERS: Final[Mapping[str, Callable[[], Isolation]]] = {
    "namespace": NamespaceIsolation,
    "sudo": SudoIsolation,
    "direct": DirectIsolation,
    "preload": PreloadIsolation,
    "relocate": RelocateIsolation,
}
"""Every layer by its name."""
_ORDER: Final = {"linux": ("namespace", "sudo", "direct", "preload"), "darwin": ("direct", "relocate")}
"""The layers that are tried, best first, by platform."""


class ChosenIsolation:
    """The layer that isolates jobs here; implements `Isolation`.

    Args:
        setting: A layer's name, or ``auto`` for the first that works.
        origin: Who set it, for error messages.
        layers: Every layer by its name.
        platform: ``sys.platform``.
    """

    def __init__(
        self,
        setting: str = AUTO,
        *,
        origin: str = SETTING,
        layers: Mapping[str, Callable[[], Isolation]] = LAYERS,
        platform: str = sys.platform,
    ) -> None:
        self._setting = setting
        self._origin = origin
        self._layers = layers
        self._order = _ORDER.get(platform, ()) if setting == AUTO else (setting,)
        self._platform = platform
        self._lock = threading.Lock()
        self._tried: list[Isolation] = []
        self._chosen: Isolation | None = None
        self._engines: dict[str, Isolation] = {}

    @property
    def name(self) -> str:
        """The chosen layer's, or what was asked for when none works."""
        layer = self._choose()
        return self._setting if layer is None else layer.name

    @property
    def capabilities(self) -> Capabilities:
        """The chosen layer's."""
        layer = self._choose()
        return Capabilities() if layer is None else layer.capabilities

    def probe(self) -> Fact:
        """What works here; found out once."""
        layer = self._choose()
        return layer.probe() if layer is not None else self._none()

    def facts(self) -> Iterator[Fact]:
        """What every layer that was looked at said, for `doctor`: no more are tried than it takes."""
        self._choose()
        for layer in self._tried:
            yield layer.probe()._replace(name=f"layer {layer.name}")

    def refusal(self) -> Problem | None:
        """Why no job can run here: E401, no layer works; E432, the one that was asked for does not."""
        if self._choose() is not None:
            return None
        fact = self._none()
        if self._setting == AUTO:
            return Problem("E401", WHERE, fact.detail, fact.fix)
        what = f'jobs are to be isolated by "{self._setting}", and that does not work here: {fact.detail}'
        return Problem("E432", self._origin, what, f'{fact.fix} Or write "{AUTO}" to take what works.')

    def run(self, launch: Launch, forks: Forks | None = None) -> Process:
        """Start a job by the chosen layer.

        Raises:
            RefusedError: What `refusal` says; E409, this job could not get its own /opt/ml.
        """
        if launch.container is not None:
            return self._engine(launch.container.engine).run(launch)
        layer = self._choose()
        if layer is None:
            raise RefusedError(*filter(None, [self.refusal()]))
        return layer.run(launch, forks)

    def close(self) -> None:
        """End the processes of every layer, and with them every job they still run."""
        with self._lock:
            for layer in (*self._tried, *self._engines.values()):
                layer.close()

    def _engine(self, name: str) -> Isolation:
        """What runs images as they are; made when first asked for."""
        with self._lock:
            if name not in self._engines:
                self._engines[name] = ContainerIsolation(name)
            return self._engines[name]

    def _choose(self) -> Isolation | None:
        with self._lock:
            if self._chosen is None and not self._tried:
                self._chosen = self._first_that_works()
            return self._chosen

    def _first_that_works(self) -> Isolation | None:
        for name in self._order:
            layer = self._layers[name]()
            self._tried.append(layer)
            if layer.probe().ok:
                return layer
        return None

    def _none(self) -> Fact:
        """Why none works: what the first one said, and what the others said."""
        facts = [layer.probe() for layer in self._tried]
        if not facts:
            detail = f"a job cannot get its own {ML} on this system ({self._platform})"
            return Fact("isolation", ok=False, detail=detail, fix="Run in Linux or macOS; on Windows, use WSL 2.")
        several = [f"{fact.name}: {fact.detail}" for fact in facts] if len(facts) > 1 else [facts[0].detail]
        return Fact("isolation", ok=False, detail="; ".join(several), fix=facts[0].fix)


def choose(
    setting: str = AUTO, environ: Mapping[str, str] = os.environ, platform: str = sys.platform
) -> ChosenIsolation:
    """The layer that a project's setting or the environment variable `VARIABLE` asks for.

    Raises:
        InputError: E433, there is no layer of that name.
    """
    origin = SETTING
    if environ.get(VARIABLE):
        setting, origin = environ[VARIABLE], f"environment variable {VARIABLE}"
    if setting != AUTO and setting not in LAYERS:
        known = [AUTO, *LAYERS]
        raise InputError(
            Problem(
                "E433",
                origin,
                f'there is no way to isolate jobs that is called "{setting}"',
                f"Write one of {', '.join(known)}. {did_you_mean(setting, known)}".strip(),
            )
        )
    return ChosenIsolation(setting, origin=origin, platform=platform)
