"""What a structure was made from: recorded by the worker, compared before its result is used again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from mlops_sm.compile.assets import file_digest, is_skipped
from mlops_sm.compile.structure import Dependency

PACKAGE_ROOT: Final = Path(__file__).resolve().parent.parent.parent
"""The folder that holds ``mlops_sm``."""


def places(project_root: Path) -> Mapping[str, Path]:
    """What the paths of dependencies are relative to."""
    return {"project": project_root, "package": PACKAGE_ROOT}


def record(place: str, root: Path, path: Path, *, listing: bool = False) -> Dependency:
    """A dependency as it is now."""
    return Dependency(place, path.relative_to(root).as_posix(), _state(path, listing=listing), listing)


def unchanged(dependencies: Iterable[Dependency], project_root: Path) -> bool:
    """Whether every dependency is as it was recorded."""
    roots = places(project_root)
    return all(_state(roots[d.place] / d.path, listing=d.listing) == d.digest for d in dependencies)


def _state(path: Path, *, listing: bool) -> str | None:
    try:
        return _listing_digest(path) if listing else file_digest(path)
    except OSError:
        # gone, replaced by a folder or unreadable: whatever it is, it is not what it was
        return None


def _listing_digest(folder: Path) -> str:
    names = sorted(p.name for p in folder.iterdir() if not is_skipped(p.name))
    return hashlib.sha256("\0".join(names).encode(errors="surrogateescape")).hexdigest()
