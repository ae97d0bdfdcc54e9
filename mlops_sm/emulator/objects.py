"""S3 for jobs: straight to the contents' files, past HTTP and memory, and as durable as a request."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

from moto.s3.exceptions import MissingBucket, S3ClientError
from moto.s3.models import FakeBucket, s3_backends

from mlops_sm import naming
from mlops_sm.emulator.contents import Contents, copy_file
from mlops_sm.emulator.errors import UnsavedError
from mlops_sm.emulator.keys import StoredKey
from mlops_sm.emulator.mirror import Mirror
from mlops_sm.local.site import ObjectInfo, StoreError

_UNLINKABLE: Final = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS})


class LocalObjects:
    """The `ObjectStore` of jobs that run in one account and region.

    Args:
        account: Whose buckets.
        region: Decides the partition; buckets of every region are seen, as in S3.
    """

    def __init__(self, mirror: Mirror, contents: Contents, *, account: str, region: str) -> None:
        self._mirror = mirror
        self._contents = contents
        self._place = (account, naming.partition(region))

    def list(self, bucket: str, prefix: str) -> list[ObjectInfo]:
        """Every object whose key starts with `prefix`, sorted by key.

        Raises:
            StoreError: There is no such bucket.
        """
        keys = dict(self._bucket(bucket).keys)
        return sorted(
            ObjectInfo(name, versions[-1].size)
            for name, versions in keys.items()
            if name.startswith(prefix) and versions and isinstance(versions[-1], StoredKey)
        )

    def fetch(self, bucket: str, key: str, target: Path) -> None:
        """Write an object's content to a file; its folder exists.

        Raises:
            StoreError: There is no such bucket or object.
            OSError: The disk refused.
        """
        path = self._key(bucket, key).path
        if not path.exists():
            raise _missing(key)
        copy_file(path, target)

    def lend(self, bucket: str, key: str, target: Path) -> None:
        """Put an object's own file at a path, to be read only; a copy where the file cannot be linked to.

        Contents are never changed, so the file stays what it is, and it stays there when the object is gone.

        Raises:
            StoreError: There is no such bucket or object.
            OSError: The disk refused.
        """
        path = self._key(bucket, key).path
        try:
            target.hardlink_to(path)
        except FileNotFoundError:
            raise _missing(key) from None
        except OSError as error:
            # Another disk, one that knows no links, or too many of them.
            if error.errno not in _UNLINKABLE:
                raise
            copy_file(path, target)

    def store(self, source: Path, bucket: str, key: str) -> None:
        """Make a file the content of an object; it survives the death of this process from here on.

        Raises:
            StoreError: There is no such bucket, or the account's disk refused.
            OSError: The source cannot be read or the disk refused.
        """
        found = self._bucket(bucket)
        content = self._contents.take(source)
        try:
            with self._mirror.changing():
                self._mirror.put(found, key, content)
        except S3ClientError as error:
            self._contents.remove([content])
            raise StoreError(error.code, error.message) from error
        except UnsavedError as error:
            self._contents.remove([content])
            raise StoreError("InsufficientStorage", f"The object could not be saved: {error}") from error

    def remove(self, bucket: str, key: str) -> None:
        """Delete an object, which in a bucket with versions leaves its versions; one that is not there is no error.

        Raises:
            StoreError: There is no such bucket, or the account's disk refused.
        """
        found = self._bucket(bucket)
        account, partition = self._place
        try:
            with self._mirror.changing():
                s3_backends[account][partition].delete_object(found.name, key)
        except UnsavedError as error:
            raise StoreError("InsufficientStorage", f"The deletion could not be saved: {error}") from error

    def read(self, bucket: str, key: str, version: str | None = None) -> bytes:
        """An object's whole content, of its latest version unless another is named; for small ones.

        Raises:
            StoreError: There is no such bucket, object or version.
        """
        try:
            return self._key(bucket, key, version).path.read_bytes()
        except FileNotFoundError:
            raise _missing(key) from None

    def _bucket(self, name: str) -> FakeBucket:
        account, partition = self._place
        try:
            return s3_backends[account][partition].get_bucket(name)
        except MissingBucket:
            raise StoreError("NoSuchBucket", f"The specified bucket does not exist: {name}") from None

    def _key(self, bucket: str, key: str, version: str | None = None) -> StoredKey:
        versions = dict.get(self._bucket(bucket).keys, key, [])
        if version is not None:
            versions = [found for found in versions if found.version_id == version]
        if not versions or not isinstance(versions[-1], StoredKey):
            raise _missing(key)
        return versions[-1]


def _missing(key: str) -> StoreError:
    return StoreError("NoSuchKey", f"The specified key does not exist: {key}")
