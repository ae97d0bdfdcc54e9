"""Compile: a pipeline reference becomes a definition and the assets it refers to.

Two stages. *Structure* runs the pipeline module and the SDK in a child process and is cached by the content of
everything it read; in it, an asset is a placeholder. *Link* runs every time, without the SDK, and puts the assets'
digests in. So a changed job script costs a few milliseconds, and a changed pipeline module costs the SDK.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from mlops_sm import __version__, naming
from mlops_sm.compile.assets import Asset
from mlops_sm.compile.cache import CompileCache, Entry
from mlops_sm.compile.link import AssetGoneError, Linked, link
from mlops_sm.compile.references import find_module
from mlops_sm.compile.structure import FORMAT, Structure
from mlops_sm.definition import digest
from mlops_sm.errors import InputError, Problem
from mlops_sm.project import Environment, Project

_SDK_DISTRIBUTIONS: Final = (
    *("sagemaker", "sagemaker-core", "sagemaker-train", "sagemaker-serve", "sagemaker-mlops"),
    *("boto3", "botocore", "pydantic"),
)
"""Whose versions decide what a pipeline compiles to."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the structure stage is asked for.

    Attributes:
        reference: The pipeline, as the user named it.
        module: Its file.
        project_root: Folder of the project.
        project_name: Name of the project.
        pipeline_name: The name the pipeline should have.
        environment: The environment, JSON.
        policy: What a model version must fulfil, JSON.
    """

    reference: str
    module: Path
    project_root: Path
    project_name: str
    pipeline_name: str
    environment: str
    policy: str


Spawn = Callable[[Request], Structure]
"""Runs the structure stage somewhere else; raises InputError for a wrong module and RefusedError when it cannot run."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled pipeline.

    Attributes:
        reference: As it was asked for.
        pipeline_name: Name of the pipeline.
        source: The pipeline module.
        definition: Canonical JSON.
        digest: sha256 of the definition, hex.
        assets: What a publish uploads, sorted by URI.
        from_cache: Whether no child process was needed.
        warnings: What the user should know, one sentence each.
    """

    reference: str
    pipeline_name: str
    source: Path
    definition: str
    digest: str
    assets: tuple[Asset, ...]
    from_cache: bool
    warnings: tuple[str, ...]


def compile_pipeline(
    project: Project, environment: Environment, reference: str, *, cache_dir: Path, spawn: Spawn | None = None
) -> Compiled:
    """Compile a pipeline for an environment, offline.

    Args:
        project: Where the pipeline is.
        environment: What it is compiled for.
        reference: E.g. ``lending.build``.
        cache_dir: Folder of the compile cache; made when needed.
        spawn: Runs the structure stage; a child process unless given.

    Raises:
        InputError: Something about the pipeline is wrong (E3xx).
        RefusedError: The SDK is not installed (E312), the child process died (E314), the cache is not writable (E317).
    """
    root = project.root.resolve()
    request = Request(
        reference=reference,
        module=find_module(root, reference),
        project_root=root,
        project_name=project.name,
        pipeline_name=naming.pipeline_name(project.name, reference),
        environment=environment.model_dump_json(),
        policy=project.policy.model_dump_json(),
    )
    cache = CompileCache(cache_dir)
    key = _key(request)
    entry = cache.find(key, root)
    linked = _link(entry, root) if entry else None
    from_cache = linked is not None
    if entry is None or linked is None:
        structure = (spawn or _spawn_child)(request)
        entry = cache.store(key, structure)
        linked = _link(entry, root)
    if linked is None:
        raise InputError(
            Problem("E315", str(request.module), "an asset was removed while compiling", "run the command again")
        )
    return Compiled(
        reference=reference,
        pipeline_name=entry.structure.pipeline_name,
        source=request.module,
        definition=linked.definition,
        digest=digest(linked.definition),
        assets=linked.assets,
        from_cache=from_cache,
        warnings=entry.structure.warnings,
    )


def _link(entry: Entry, project_root: Path) -> Linked | None:
    try:
        return link(entry.structure, project_root=project_root, keep=entry.keep)
    except AssetGoneError:
        return None


def _spawn_child(request: Request) -> Structure:
    from mlops_sm.compile.child import run_worker  # noqa: PLC0415 - a cached compile starts no process and imports none

    return run_worker(request)


def _key(request: Request) -> str:
    known = {
        "format": FORMAT,
        "reference": request.reference,
        "project": request.project_name,
        "environment": json.loads(request.environment),
        "policy": json.loads(request.policy),
        "python": sys.version,
        "mlops_sm": __version__,
        "distributions": {name: _version(name) for name in _SDK_DISTRIBUTIONS},
    }
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
