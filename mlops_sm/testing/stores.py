"""Object stores that need no S3: for tests of jobs."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from mlops_sm.local.site import ObjectInfo, StoreError
from mlops_sm.naming import parse_s3_uri


class MemoryStore:
    """Buckets in memory. A bucket exists when it was named at the start or by `make_bucket`."""

    def __init__(self, *buckets: str) -> None:
        self._lock = threading.Lock()
        self._buckets: dict[str, dict[str, bytes]] = {bucket: {} for bucket in buckets}

    def make_bucket(self, bucket: str) -> None:
        """Make a bucket unless it exists."""
        with self._lock:
            self._buckets.setdefault(bucket, {})

    def put(self, uri: str, content: bytes | str) -> None:
        """Make `content` the object at an S3 URI; the bucket is made when it is missing."""
        location = parse_s3_uri(uri)
        with self._lock:
            objects = self._buckets.setdefault(location.bucket, {})
            objects[location.key] = content.encode() if isinstance(content, str) else content

    def get(self, uri: str) -> bytes:
        """The content at an S3 URI. Raises StoreError."""
        location = parse_s3_uri(uri)
        return self.read(location.bucket, location.key)

    def keys(self, bucket: str) -> list[str]:
        """Every key of a bucket, sorted."""
        return [found.key for found in self.list(bucket, "")]

    def list(self, bucket: str, prefix: str) -> list[ObjectInfo]:
        """As `ObjectStore.list`."""
        with self._lock:
            objects = self._objects(bucket)
            return [ObjectInfo(key, len(objects[key])) for key in sorted(objects) if key.startswith(prefix)]

    def fetch(self, bucket: str, key: str, target: Path) -> None:
        """As `ObjectStore.fetch`."""
        target.write_bytes(self.read(bucket, key))

    def lend(self, bucket: str, key: str, target: Path) -> None:
        """As `ObjectStore.lend`; a copy."""
        self.fetch(bucket, key, target)

    def store(self, source: Path, bucket: str, key: str) -> None:
        """As `ObjectStore.store`."""
        content = source.read_bytes()
        with self._lock:
            self._objects(bucket)[key] = content

    def remove(self, bucket: str, key: str) -> None:
        """As `ObjectStore.remove`."""
        with self._lock:
            self._objects(bucket).pop(key, None)

    def read(self, bucket: str, key: str) -> bytes:
        """As `ObjectStore.read`."""
        with self._lock:
            objects = self._objects(bucket)
            if key not in objects:
                raise StoreError("NoSuchKey", "The specified key does not exist.")
            return objects[key]

    def _objects(self, bucket: str) -> dict[str, bytes]:
        if bucket not in self._buckets:
            raise StoreError("NoSuchBucket", "The specified bucket does not exist")
        return self._buckets[bucket]


class FolderStore:
    """Buckets as folders: ``<root>/<bucket>/<key>``. Keys that end with a slash or collide with a folder do not fit."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def make_bucket(self, bucket: str) -> None:
        """Make a bucket unless it exists."""
        (self._root / bucket).mkdir(parents=True, exist_ok=True)

    def list(self, bucket: str, prefix: str) -> list[ObjectInfo]:
        """As `ObjectStore.list`."""
        folder = self._bucket(bucket)
        return sorted(
            ObjectInfo(key, path.stat().st_size) for path, key in self._files(folder) if key.startswith(prefix)
        )

    def fetch(self, bucket: str, key: str, target: Path) -> None:
        """As `ObjectStore.fetch`."""
        shutil.copyfile(self._object(bucket, key), target)

    def lend(self, bucket: str, key: str, target: Path) -> None:
        """As `ObjectStore.lend`; the file itself."""
        target.hardlink_to(self._object(bucket, key))

    def store(self, source: Path, bucket: str, key: str) -> None:
        """As `ObjectStore.store`."""
        target = self._bucket(bucket) / key
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)

    def remove(self, bucket: str, key: str) -> None:
        """As `ObjectStore.remove`."""
        (self._bucket(bucket) / key).unlink(missing_ok=True)

    def read(self, bucket: str, key: str) -> bytes:
        """As `ObjectStore.read`."""
        return self._object(bucket, key).read_bytes()

    def _bucket(self, bucket: str) -> Path:
        folder = self._root / bucket
        if not folder.is_dir():
            raise StoreError("NoSuchBucket", "The specified bucket does not exist")
        return folder

    def _object(self, bucket: str, key: str) -> Path:
        path = self._bucket(bucket) / key
        if not path.is_file():
            raise StoreError("NoSuchKey", "The specified key does not exist.")
        return path

    @staticmethod
    def _files(folder: Path) -> Iterator[tuple[Path, str]]:
        for path in folder.rglob("*"):
            if path.is_file():
                yield path, path.relative_to(folder).as_posix()
