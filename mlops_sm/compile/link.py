"""The link stage: digests of the assets go into the URIs; no SDK, no child process, every time."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from mlops_sm import naming
from mlops_sm.compile.assets import Asset, AssetForm, file_digest, folder_digest, folder_members, listing_digest
from mlops_sm.compile.structure import PlannedAsset, SourceForm, Structure
from mlops_sm.definition import Json, canonical_json
from mlops_sm.errors import InputError, Problem

PLACEHOLDER: Final = re.compile(r"unlinked\d{8}")
"""The stand-in for a digest, as `builders.plan_session` makes it."""

_LEFTOVER: Final = re.compile(r"unlinked\d+")


class AssetGoneError(Exception):
    """A source of the structure is no longer there, so the structure is out of date."""


@dataclass(frozen=True, slots=True)
class Linked:
    """A definition in its final form.

    Attributes:
        definition: Canonical JSON.
        assets: What it refers to, sorted by URI.
    """

    definition: str
    assets: tuple[Asset, ...]


class _Object(NamedTuple):
    """One object, by its path below the S3 folder it shares with others."""

    name: str
    path: Path
    form: AssetForm
    digest: str


def link(structure: Structure, *, project_root: Path, keep: Callable[[bytes], Path]) -> Linked:
    """Address every asset by its content.

    Assets of one S3 folder share its fate: their common digest replaces it, because the SDK computes the place of one
    from the place of another.

    Args:
        structure: What to link.
        project_root: What asset paths are relative to.
        keep: Stores content that no file has and returns its path; the same content has the same path.

    Raises:
        AssetGoneError: A source does not exist any more.
        InputError: A folder cannot be an asset (E308), or a placeholder survived (E313).
    """
    rewriting = _Rewriting()
    assets: dict[str, Asset] = {}
    for folder, group in _in_linking_order(_groups(structure.planned)):
        objects = sorted(o for p in group for o in _objects(p, folder, project_root, rewriting, keep))
        only = objects[0].digest if len(objects) == 1 else None
        digest = only or listing_digest((o.name, o.digest) for o in objects)
        final = _final(folder, digest, structure.pipeline_name)
        for found in objects:
            uri = f"{final}/{found.name}"
            assets[uri] = Asset(uri, found.path, found.form, found.digest)
        rewriting.add(folder, final, digest, [o.name for o in objects])
    document = rewriting.of_json(json.loads(structure.definition))
    _refuse_leftovers(document)
    return Linked(canonical_json(document), tuple(assets[uri] for uri in sorted(assets)))


def _groups(planned: Sequence[PlannedAsset]) -> Mapping[str, list[PlannedAsset]]:
    """The planned assets by the S3 folder that their digest replaces."""
    folders = {_folder(p.uri) for p in planned}
    groups: dict[str, list[PlannedAsset]] = {}
    for asset in planned:
        folder = _folder(asset.uri)
        outermost = min((f for f in folders if folder == f or folder.startswith(f + "/")), key=len)
        groups.setdefault(outermost, []).append(asset)
    return groups


def _folder(uri: str) -> str:
    placeholder = PLACEHOLDER.search(uri)
    return uri[: placeholder.end()] if placeholder else uri.rpartition("/")[0]


def _final(folder: str, digest: str, pipeline_name: str) -> str:
    placeholder = PLACEHOLDER.search(folder)
    if placeholder:
        return folder[: placeholder.start()] + digest[: len(placeholder[0])]
    bucket = naming.parse_s3_uri(folder).bucket
    return f"s3://{bucket}/{naming.asset_key(pipeline_name, digest, '')}".rstrip("/")


def _in_linking_order(groups: Mapping[str, list[PlannedAsset]]) -> list[tuple[str, list[PlannedAsset]]]:
    # a text that the SDK made may name assets that are files, so files are addressed first
    return sorted(groups.items(), key=lambda group: (any(isinstance(p.source, bytes) for p in group[1]), group[0]))


def _objects(
    planned: PlannedAsset, folder: str, project_root: Path, rewriting: _Rewriting, keep: Callable[[bytes], Path]
) -> Iterator[_Object]:
    name = planned.uri[len(folder) + 1 :]
    if isinstance(planned.source, bytes):
        content = rewriting.of_content(planned.source)
        yield _Object(name, keep(content), AssetForm.FILE, hashlib.sha256(content).hexdigest())
        return
    path = project_root / planned.source
    try:
        match planned.form:
            case SourceForm.FILE:
                yield _Object(name, path, AssetForm.FILE, file_digest(path))
            case SourceForm.ARCHIVE:
                yield _Object(name, path, AssetForm.ARCHIVE, folder_digest(path))
            case SourceForm.TREE:
                for member, real in folder_members(path):
                    yield _Object(f"{name}/{member}", real, AssetForm.FILE, file_digest(real))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as gone:
        raise AssetGoneError(planned.source) from gone
    except PermissionError as refused:
        raise InputError(
            Problem("E307", str(refused.filename), "the asset cannot be read: permission denied", "make it readable")
        ) from refused


@dataclass(slots=True)
class _Rewriting:
    """What replaces what; placeholders anywhere, S3 URIs only whole."""

    placeholders: dict[str, str] = field(default_factory=dict)
    uris: dict[str, str] = field(default_factory=dict)

    def add(self, folder: str, final: str, digest: str, names: Sequence[str]) -> None:
        placeholder = PLACEHOLDER.search(folder)
        if placeholder:
            self.placeholders[placeholder[0]] = digest[: len(placeholder[0])]
            return
        self.uris[f"{folder}/"] = f"{final}/"
        self.uris.update({f"{folder}/{name}": f"{final}/{name}" for name in names})

    def of_text(self, text: str) -> str:
        if text in self.uris:
            return self.uris[text]
        for uri, final in self.uris.items():
            if uri in text and not uri.endswith("/"):
                # a longer key that begins like this one is another object
                text = final.join(re.split(re.escape(uri) + r"(?![\w./-])", text))
        return PLACEHOLDER.sub(lambda found: self.placeholders.get(found[0], found[0]), text)

    def of_json(self, value: Json) -> Json:
        match value:
            case str():
                return self.of_text(value)
            case Mapping():
                return {self.of_text(key): self.of_json(member) for key, member in value.items()}
            case list():
                return [self.of_json(item) for item in value]
            case _:
                return value

    def of_content(self, content: bytes) -> bytes:
        try:
            return self.of_text(content.decode()).encode()
        except UnicodeDecodeError:
            return content


def _refuse_leftovers(document: Json) -> None:
    problems = [
        Problem(
            "E313",
            path,
            f'"{found[0]}" stands for the digest of an asset, but its URI was cut or changed in the pipeline module',
            "use the URI as it is returned; do not cut it or build names from it",
        )
        for path, text in texts(document)
        if (found := _LEFTOVER.search(text))
    ]
    if problems:
        raise InputError(*problems)


def texts(value: Json, path: str = "$") -> Iterator[tuple[str, str]]:
    """Every string of a document, keys included, with its JSON path."""
    match value:
        case str():
            yield path, value
        case Mapping():
            for key, member in value.items():
                yield f"{path}.{key}", key
                yield from texts(member, f"{path}.{key}")
        case list():
            for index, item in enumerate(value):
                yield from texts(item, f"{path}[{index}]")
        case _:
            return
