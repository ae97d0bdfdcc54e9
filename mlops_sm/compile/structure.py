"""Structure: a pipeline compiled up to the digests of its assets, and everything it was made from."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

FORMAT: Final = 1
"""Of the JSON below; another number is another world, and a cache entry that has one is ignored."""


class SourceForm(StrEnum):
    """How a planned source becomes objects: as the file it is, as one tar.gz, or every file of the folder by itself."""

    FILE = "file"
    ARCHIVE = "archive"
    TREE = "tree"


@dataclass(frozen=True, slots=True)
class PlannedAsset:
    """One source that the definition names by a URI that is not final yet.

    Attributes:
        uri: As the definition holds it: of an object, or of the folder of a TREE.
        source: A path relative to the project's root (POSIX), or the content where no file has it.
        form: How it becomes objects.
    """

    uri: str
    source: str | bytes
    form: SourceForm


@dataclass(frozen=True, slots=True)
class Dependency:
    """Something the structure was made from.

    Attributes:
        place: What the path is relative to: ``project`` or ``package``, the folder that holds ``mlops_sm``.
        path: Relative POSIX path.
        digest: sha256 of the file, or of a folder's names; None where there was nothing.
        listing: Whether the names in a folder were read, rather than a file.
    """

    place: str
    path: str
    digest: str | None
    listing: bool = False


@dataclass(frozen=True, slots=True)
class Structure:
    """What the worker makes.

    Attributes:
        pipeline_name: Name of the pipeline as built.
        definition: The definition as the SDK wrote it, JSON.
        planned: Its assets, in the order they were registered.
        dependencies: Files and folders whose change makes another structure.
        repeatable: Whether the dependencies are everything; when not, the structure is never taken from the cache.
        warnings: What the user should know, one sentence each.
    """

    pipeline_name: str
    definition: str
    planned: tuple[PlannedAsset, ...]
    dependencies: tuple[Dependency, ...]
    repeatable: bool = True
    warnings: tuple[str, ...] = ()


def dump(structure: Structure) -> str:
    """The structure as JSON, for the pipe and the cache."""
    document = {
        "format": FORMAT,
        "pipeline_name": structure.pipeline_name,
        "definition": structure.definition,
        "planned": [_dump_planned(p) for p in structure.planned],
        "dependencies": [[d.place, d.path, d.digest, d.listing] for d in structure.dependencies],
        "repeatable": structure.repeatable,
        "warnings": list(structure.warnings),
    }
    return json.dumps(document, sort_keys=True)


def load(text: str | bytes) -> Structure:
    """Read what `dump` wrote.

    Raises:
        ValueError: It is something else, or of another format.
    """
    try:
        document = json.loads(text)
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']} is not {FORMAT}")
        return Structure(
            pipeline_name=document["pipeline_name"],
            definition=document["definition"],
            planned=tuple(_load_planned(p) for p in document["planned"]),
            dependencies=tuple(Dependency(*d) for d in document["dependencies"]),
            repeatable=document["repeatable"],
            warnings=tuple(document["warnings"]),
        )
    except (KeyError, TypeError, AttributeError) as malformed:
        raise ValueError(f"not a structure: {malformed}") from malformed


def _dump_planned(planned: PlannedAsset) -> dict[str, str]:
    match planned.source:
        case str(path):
            source = {"path": path}
        case bytes(content):
            source = {"content": base64.b64encode(content).decode()}
    return {"uri": planned.uri, "form": planned.form.value, **source}


def _load_planned(document: Mapping[str, Any]) -> PlannedAsset:
    source = document["path"] if "path" in document else base64.b64decode(document["content"])
    return PlannedAsset(document["uri"], source, SourceForm(document["form"]))
