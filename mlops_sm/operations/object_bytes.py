"""What the bytes are behind two S3 URIs, and which of them differ: objects, folders, and files in archives."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from mlops_sm import naming
from mlops_sm.compile import Asset, AssetForm
from mlops_sm.compile.assets import folder_members
from mlops_sm.operations.cache_outlook import FileChange, Object
from mlops_sm.operations.clients import S3Client
from mlops_sm.operations.refusals import AwsError

MAX_READ: Final = 64 * 1024 * 1024
"""Bytes of the largest object, or of an archive's files together, that is read to compare it."""

_URI: Final = re.compile(r"""s3://[^\s"'<>,;]+""")
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class _Content:
    """An object, and the files in it if it is an archive; `etag` where it was too large to be read."""

    whole: Object
    files: Mapping[str, Object] | None = None
    etag: str = ""


def uris_in(value: object) -> Iterator[str]:
    """The S3 URIs in the text inside of a value, also within other text."""
    match value:
        case str():
            yield from _URI.findall(value)
        case Mapping():
            for inner in value.values():
                yield from uris_in(inner)
        case list():
            for inner in value:
                yield from uris_in(inner)
        case _:
            return


@dataclass(slots=True)
class Contents:
    """What is in S3, and in the assets that a publish would put there.

    Attributes:
        s3: Reads the objects; nothing is written.
        assets: Those of the pipeline, by URI.
    """

    s3: S3Client
    assets: Mapping[str, Asset]
    _read: dict[str, Mapping[str, _Content]] = field(default_factory=dict)
    _listed: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)

    def changes(self, before: object, after: object) -> tuple[FileChange, ...] | None:
        """Which bytes differ between what two values name; None where they name none, or they cannot be read."""
        old, new = list(uris_in(before)), list(uris_in(after))
        if not old or len(old) != len(new):
            return None
        try:
            return tuple(
                change
                for one, other in zip(old, new, strict=True)
                if one != other
                for change in _changes(self._contents(one), self._contents(other))
            )
        except (AwsError, OSError):
            return None

    def written_after(self, uri: str, moment: datetime) -> list[str]:
        """The URIs of the objects at or under a URI that were written after a moment."""
        try:
            listed = self._list(uri)
        except AwsError:
            return []
        bucket = naming.parse_s3_uri(uri).bucket
        return [f"s3://{bucket}/{entry['Key']}" for entry in listed if entry["LastModified"] > moment]

    def _contents(self, uri: str) -> Mapping[str, _Content]:
        if uri not in self._read:
            found = dict(self._of_assets(uri))
            self._read[uri] = found or dict(self._of_objects(uri))
        return self._read[uri]

    def _of_assets(self, uri: str) -> Iterator[tuple[str, _Content]]:
        for other, asset in self.assets.items():
            if other == uri or other.startswith(f"{uri.rstrip('/')}/"):
                yield _name(uri, other), _of_asset(asset)

    def _of_objects(self, uri: str) -> Iterator[tuple[str, _Content]]:
        bucket = naming.parse_s3_uri(uri).bucket
        for entry in self._list(uri):
            key, size = entry["Key"], entry["Size"]
            name = _name(uri, f"s3://{bucket}/{key}")
            if size > MAX_READ:
                yield name, _Content(Object(None, size), etag=entry.get("ETag", ""))
            else:
                yield name, _of_bytes(self.s3.get_object(Bucket=bucket, Key=key)["Body"].read())

    def _list(self, uri: str) -> list[Mapping[str, Any]]:
        """At most a thousand objects: the one of the URI, or those of the folder."""
        if uri not in self._listed:
            place = naming.parse_s3_uri(uri)
            listed = self.s3.list_objects_v2(Bucket=place.bucket, Prefix=place.key).get("Contents", [])
            folder = f"{place.key.rstrip('/')}/" if place.key else ""
            self._listed[uri] = [e for e in listed if e["Key"] == place.key or e["Key"].startswith(folder)]
        return self._listed[uri]


def _name(uri: str, found: str) -> str:
    """How an object is called below the URI it was found by."""
    return found[len(uri) :].strip("/") or found.rpartition("/")[2]


def _of_asset(asset: Asset) -> _Content:
    match asset.form:
        case AssetForm.FILE:
            return _of_bytes(asset.path.read_bytes())
        case AssetForm.ARCHIVE:
            files = {name: _object(path.read_bytes()) for name, path in folder_members(asset.path)}
            return _Content(Object(None, sum(file.size for file in files.values())), files)


def _of_bytes(content: bytes) -> _Content:
    return _Content(_object(content), _archived(content))


def _object(content: bytes) -> Object:
    return Object(hashlib.sha256(content).hexdigest(), len(content))


def _archived(content: bytes) -> dict[str, Object] | None:
    """The files of a tar archive; None when it is none, or is too large unpacked."""
    files: dict[str, Object] = {}
    total = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
            for entry in tar:
                stream = tar.extractfile(entry) if entry.isreg() else None
                total += entry.size
                if total > MAX_READ:
                    return None
                if stream is not None:
                    files[entry.name.removeprefix("./")] = Object(
                        hashlib.file_digest(stream, "sha256").hexdigest(),  # type: ignore[arg-type] # only reads
                        entry.size,
                    )
    except (tarfile.TarError, OSError, EOFError, zlib.error):
        return None
    return files


def _changes(old: Mapping[str, _Content], new: Mapping[str, _Content]) -> Iterator[FileChange]:
    if len(old) == len(new) == 1:
        # One object each: what it is called does not matter.
        (one,), ((name, other),) = old.values(), new.items()
        old, new = {name: one}, {name: other}
    for name in sorted({*old, *new}):
        yield from _of_one(name, old.get(name), new.get(name))


def _of_one(name: str, old: _Content | None, new: _Content | None) -> Iterator[FileChange]:
    if old is not None and new is not None and old.files is not None and new.files is not None:
        for file in _both(old.files, new.files):
            before, after = old.files.get(file), new.files.get(file)
            if before != after:
                yield FileChange(name=f"{name}!{file}", before=before, after=after)
    elif old is None or new is None or not _same(old, new):
        yield FileChange(name=name, before=old.whole if old else None, after=new.whole if new else None)


def _same(old: _Content, new: _Content) -> bool:
    if old.whole.digest is None or new.whole.digest is None:
        return old.whole.size == new.whole.size and old.etag == new.etag and bool(old.etag)
    return old.whole == new.whole


def _both(old: Iterable[str], new: Iterable[str]) -> list[str]:
    return sorted({*old, *new})
