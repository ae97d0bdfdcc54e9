"""Start the server of one container: its image's program or this machine's Python, its model, its environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mlops_sm.local.environment import job_environment
from mlops_sm.local.jobs.folder import JobFailureError, JobFolder
from mlops_sm.local.jobs.packages import furnish, install
from mlops_sm.local.serving.model import ServedModel
from mlops_sm.local.serving.server import Running, Server
from mlops_sm.local.site import Site

CONNECTIONS: Final = 16
"""Requests at once to a program of the image's own, which itself says how many it wants."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a container is run.

    Attributes:
        workers: How many processes load the model; by default one for each core.
        connections: How many requests a program of the image's own gets at once.
        network: Whether it reaches the machine's network.
        variables: Those that tell the container what it is for; the model's own win.
        overrides: Those that win over the model's own.
        startup_seconds: How long it may take to become healthy; the service's limit when None.
    """

    workers: int | None = None
    connections: int = CONNECTIONS
    network: bool = True
    variables: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)
    startup_seconds: float | None = None


def start_container(
    model: ServedModel,
    folder: JobFolder,
    site: Site,
    settings: Settings,
    *,
    log: Path,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Running:
    """Start a container's server and wait until it is healthy.

    Args:
        model: What it serves.
        folder: An empty folder of its own.
        site: Where it runs.
        settings: How.
        log: Takes what it prints.
        is_stopped: Whether somebody gave up waiting.

    Raises:
        JobFailureError: The image stands for nothing that serves, or the model cannot be had.
        NotHealthyError: It ended, or did not become healthy in time, or nobody waits any more.
    """
    image = site.images.find(model.image)
    if image is None:
        raise JobFailureError(f"ClientError: {site.images.refusal(model.image, 'ModelName').what}")
    program = image.program("serve")
    if image.programs is not None and program is None:
        raise JobFailureError(f"ClientError: {site.images.lacking(model.image, 'serve', 'ModelName').what}")
    script = model.stage(folder, site.store, scripted=program is None)
    furnish(image, folder, site)
    if program is None:
        requirements, what = folder.inside(script.folder) / "requirements.txt", "the model's requirements.txt"
        install(requirements, folder, site, python=image.interpreter, what=what)
    environment = job_environment(
        {**settings.variables, **model.environment, **settings.overrides},
        region=site.region,
        endpoint_url=site.endpoint_url(network=settings.network and program is None),
        account_id=site.account_id,
        parallel_jobs=site.warm.parallel_jobs,
        interpreter=image.interpreter,
    )
    limit = {} if settings.startup_seconds is None else {"startup_seconds": settings.startup_seconds}
    return Server(site=site, folder=folder, log=log, **limit).start(
        script,
        environment,
        workers=(settings.workers or os.cpu_count() or 1) if program is None else settings.connections,
        network=settings.network,
        warm=image.warm,
        program=program,
        python=image.interpreter,
        container=image.container(model.image, replaces_entry_point=True),
        is_stopped=is_stopped,
    )
