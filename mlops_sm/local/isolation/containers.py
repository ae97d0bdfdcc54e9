"""The `docker` and `podman` layers: jobs of an image that is to run as it is, in the engine that is installed."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Final

from mlops_sm.errors import Problem, RefusedError
from mlops_sm.local.isolation.layer import ML, SCRATCH, Capabilities, Container, Fact, Forks, Launch, Process, Way
from mlops_sm.local.isolation.starting import WHERE, Layer

ENGINES: Final = ("docker", "podman")
"""Programs that understand the command line of docker."""
_PATIENCE: Final = 30.0
_OF_THE_IMAGE: Final = frozenset({"PATH"})
"""Variables that an image brings along."""


class ContainerIsolation(Layer):
    """Runs a job's image with the job's folder at /opt/ml. An image that is not there is pulled.

    Args:
        engine: ``docker`` or ``podman``.
        environ: What the engine's own command needs: HOME, PATH, DOCKER_HOST, ...
    """

    takes_containers: ClassVar[bool] = True

    def __init__(self, engine: str, environ: Mapping[str, str] = os.environ) -> None:
        super().__init__()
        self._engine = engine
        self._environ = dict(environ)
        self._program = shutil.which(engine, path=self._environ.get("PATH")) or ""

    @property
    def name(self) -> str:
        """The engine."""
        return self._engine

    @property
    def capabilities(self) -> Capabilities:
        """All but forks of warm workers."""
        return Capabilities(warm=False)

    def refusal(self) -> Problem | None:
        """E436, the engine does not work here."""
        fact = self.probe()
        return None if fact.ok else Problem("E436", WHERE, fact.detail, fact.fix)

    def _try(self) -> Fact:
        if not self._program:
            fix = (
                f'Install it, or let the image stand for "python" or for programs instead of engine = "{self._engine}".'
            )
            return Fact(self.name, ok=False, detail=f"{self._engine} is not installed", fix=fix)
        try:
            done = self._call("info")
        except (OSError, subprocess.TimeoutExpired) as error:
            return Fact(self.name, ok=False, detail=f"{self._engine} does not answer: {error}", fix=_START)
        if done.returncode != 0:
            return Fact(self.name, ok=False, detail=f"{self._engine} does not work: {_last(done.stderr)}", fix=_START)
        return Fact(self.name, ok=True, detail=f"images run in {self._engine} with the job's folder at {ML}")

    def _begin(self, launch: Launch, forks: Forks | None) -> Process:
        container = launch.container
        if container is None:
            raise RefusedError(Problem("E436", WHERE, f"a job without an image cannot run in {self._engine}", _START))
        self._fetch(container.image)
        name = f"mlops-sm-{secrets.token_hex(8)}"
        command = (self._program, "run", f"--name={name}", *self._options(launch, container), container.image)
        words = launch.argv[1:] if container.replaces_entry_point else launch.argv
        # The engine's own process is what is watched; SIGTERM it hands on, and what SIGKILL leaves is removed after.
        way = Way(after=(self._program, "rm", "--force", name))
        return self._launcher.start(
            replace(launch, argv=(*command, *words), environment=self._environ, cwd="/", container=None), way
        )

    def _options(self, launch: Launch, container: Container) -> list[str]:
        options = [
            f"--volume={launch.ml.resolve()}:{ML}",
            f"--volume={launch.scratch.resolve()}:{SCRATCH}",
            # On the machine's network the local account answers where the job's variables say.
            f"--network={'host' if launch.network else 'none'}",
        ]
        options += [f"--volume={_below(launch.ml, folder)}:{folder}:ro" for folder in launch.read_only]
        if launch.hosts is not None:
            options.append(f"--volume={launch.hosts.resolve()}:/etc/hosts:ro")
        if self._engine == "docker" and os.geteuid() != 0:
            # What the job writes belongs to the caller; podman without root maps the container's root to them.
            options.append(f"--user={os.geteuid()}:{os.getegid()}")
        if launch.cwd != SCRATCH:
            options.append(f"--workdir={launch.cwd}")
        if container.replaces_entry_point:
            options.append(f"--entrypoint={launch.argv[0]}")
        given = {name: value for name, value in launch.environment.items() if name not in _OF_THE_IMAGE}
        return [*options, *(f"--env={name}={value}" for name, value in given.items())]

    def _fetch(self, image: str) -> None:
        """Have the image here.

        Raises:
            RefusedError: E436, it is not here and cannot be pulled.
        """
        if self._call("image", "inspect", image).returncode == 0:
            return
        done = self._call("pull", image, patience=None)
        if done.returncode != 0:
            raise RefusedError(
                Problem(
                    "E436",
                    WHERE,
                    f"image {image} is not on this machine and cannot be pulled: {_last(done.stderr)}",
                    f"Pull it once: {self._engine} pull {image}. AWS's images take a login to their registry: aws ecr "
                    f"get-login-password | {self._engine} login --username AWS --password-stdin REGISTRY.",
                )
            )

    def _call(self, *words: str, patience: float | None = _PATIENCE) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - the engine that the user named
            [self._program, *words],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=patience,
            env=self._environ,
        )


_START: Final = "Start the engine, and see that this user may use it."


def _below(ml: Path, folder: str) -> Path:
    return ml.resolve() / Path(folder).relative_to(ML)


def _last(words: str) -> str:
    return (words.strip().splitlines() or ["it says nothing"])[-1]
