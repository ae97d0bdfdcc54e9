"""moto's S3 models with their contents in files, and the dictionaries that notice what a request touches.

A key becomes a `StoredKey` by a change of its class after moto has made it: moto builds keys its own way.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, Final, cast

from moto.s3.exceptions import MissingKey
from moto.s3.models import FakeBucket, FakeDeleteMarker, FakeKey, FakeMultipart, MultipartDict
from moto.s3.utils import _VersionedKeyStore

from mlops_sm.emulator.contents import Contents

Model = Any
"""An instance of moto's S3 models, or a list of them; moto has no types that mypy sees."""

Touch = Callable[[str, str], None]
"""Takes a bucket's name and a key or upload id."""


class StoredKey(FakeKey):
    """One version of an object whose content is a file.

    Attributes:
        contents: Where the file is; told when the version is gone for good.
        content: Its id there.
    """

    contents: Contents
    content: str

    @classmethod
    def adopt(cls, key: FakeKey, contents: Contents, content: str | None = None) -> StoredKey:
        """Move a key's content into a file, or give it one that is there already; then it is a `StoredKey`."""
        if content is None:
            with key.lock:
                content = contents.write(key._value_buffer)
        else:
            key.contentsize = contents.path(content).stat().st_size
            key._etag = None
        key._value_buffer.close()
        del key._value_buffer
        key.__class__ = cls
        stored = cast(StoredKey, key)
        stored.contents = contents
        stored.content = content
        return stored

    @property
    def path(self) -> Path:
        """The file."""
        return self.contents.path(self.content)

    @property
    def value(self) -> bytes:
        """The whole content, read anew every time."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            # Replaced or deleted by another request after this one had found it.
            raise MissingKey(key=self.name) from None

    @property
    def etag(self) -> str:
        """The quoted entity tag."""
        if self._etag is None:
            with self.path.open("rb") as file:
                self._etag = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        return f'"{self._etag}"'

    def dispose(self, garbage: bool = False) -> None:
        """Called by moto when the version is gone (and by the garbage collector, which does not count)."""
        if not garbage and not self.disposed:
            self.disposed = True
            self.contents.discard(self.content)

    def __deepcopy__(self, memo: dict[int, Any]) -> StoredKey:
        # moto copies every version to list them; a copy must neither read the content nor own it.
        twin: StoredKey = object.__new__(StoredKey)
        twin.__dict__.update(self.__dict__)
        twin.disposed = True
        return twin

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in _TRANSIENT}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A moto that has since learned a new attribute finds its default here.
        fresh = FakeKey(state["name"], b"", state["account_id"], state["region_name"])
        fresh.dispose()
        del fresh._value_buffer
        self.__dict__.update(fresh.__dict__)
        self.__dict__.update(state, disposed=False)


_TRANSIENT: Final = frozenset({"lock", "disposed"})


class TouchedKeys(_VersionedKeyStore):
    """A bucket's keys; reports every key that is looked up or changed."""

    def __init__(self, bucket: str, touch: Touch) -> None:
        super().__init__()
        self._bucket = bucket
        self._touch = touch

    def __getitem__(self, key: str) -> Model:
        self._touch(self._bucket, key)
        return super().__getitem__(key)

    def __setitem__(self, key: str, value: Model) -> None:
        self._touch(self._bucket, key)
        super().__setitem__(key, value)

    def getlist(self, key: str, default: Model = None) -> Model:
        """Every version of a key, the latest last."""
        self._touch(self._bucket, key)
        return super().getlist(key, default)

    def setlist(self, key: str, list_: Model) -> None:
        """Replace the versions of a key."""
        self._touch(self._bucket, key)
        super().setlist(key, list_)

    def pop(self, key: str) -> None:  # type: ignore[override] # as in moto's class
        """Remove a key with all its versions."""
        self._touch(self._bucket, key)
        # Not moto's: it fails when one of the versions is a delete marker.
        for version in dict.get(self, key, []):
            if isinstance(version, FakeKey):
                version.dispose()
        dict.pop(self, key)

    def restore(self, key: str, versions: list[Any]) -> None:
        """Put versions in place, telling nobody and disposing of nothing; an empty list removes the key."""
        if versions:
            dict.__setitem__(self, key, versions)
        else:
            dict.pop(self, key, None)


class TouchedUploads(MultipartDict):
    """A bucket's multipart uploads; reports every upload that is looked up or changed."""

    def __init__(self, bucket: str, touch: Touch) -> None:
        super().__init__()
        self._bucket = bucket
        self._touch = touch

    def __getitem__(self, upload: str) -> Model:
        self._touch(self._bucket, upload)
        return super().__getitem__(upload)

    def __setitem__(self, upload: str, value: Model) -> None:
        self._touch(self._bucket, upload)
        super().__setitem__(upload, value)

    def __delitem__(self, upload: str) -> None:
        self._touch(self._bucket, upload)
        super().__delitem__(upload)

    def get(self, upload: str, default: Model = None) -> Model:
        """The upload of that id."""
        return self[upload] if upload in self else default  # noqa: SIM401 - this is get

    def restore(self, upload: str, value: FakeMultipart | None) -> None:
        """Put an upload in place without telling anybody; None removes it."""
        if value is None:
            dict.pop(self, upload, None)
        else:
            dict.__setitem__(self, upload, value)


class TouchedBuckets(dict[str, Any]):
    """A backend's buckets; reports every bucket that is looked up or changed, and reads its keys when first needed.

    Args:
        touch: Told the bucket's name.
        adopt: Prepares a bucket that moto made.
        load: Reads the keys of a bucket that came from the database.
    """

    def __init__(
        self, touch: Callable[[str], None], adopt: Callable[[FakeBucket], None], load: Callable[[FakeBucket], None]
    ) -> None:
        super().__init__()
        self._touch = touch
        self._adopt = adopt
        self._load = load

    def __getitem__(self, name: str) -> Model:
        self._touch(name)
        bucket = super().__getitem__(name)
        self._load(bucket)
        return bucket

    def __setitem__(self, name: str, bucket: Model) -> None:
        self._touch(name)
        self._adopt(bucket)
        super().__setitem__(name, bucket)

    def __delitem__(self, name: str) -> None:
        self._touch(name)
        super().__delitem__(name)

    def get(self, name: str, default: Model = None) -> Model:
        """The bucket of that name."""
        return self[name] if name in self else default  # noqa: SIM401 - this is get

    def pop(self, name: str, *default: Model) -> Model:
        """Remove a bucket."""
        self._touch(name)
        return super().pop(name, *default)

    def restore(self, name: str, bucket: FakeBucket | None) -> None:
        """Put a bucket in place without telling anybody; None removes it."""
        if bucket is None:
            dict.pop(self, name, None)
        else:
            dict.__setitem__(self, name, bucket)


def pickled(value: Model) -> bytes:
    """A moto model as bytes; contents stay where they are.

    Raises:
        pickle.PicklingError: Something in it would not come back.
    """
    target = BytesIO()
    _Pickler(target, protocol=5).dump(value)
    return target.getvalue()


def unpickled(state: bytes, contents: Contents) -> Model:
    """The reverse of `pickled`; nothing but moto's S3 models and plain values comes back.

    Raises:
        pickle.UnpicklingError: The bytes name something else.
    """
    return _Unpickler(BytesIO(state), contents).load()


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Model) -> Model:
        if isinstance(value, type) and not _is_allowed(value.__module__, value.__qualname__):
            raise pickle.PicklingError(f"{value.__module__}.{value.__qualname__} has no place in the state of S3")
        return NotImplemented

    def persistent_id(self, value: Model) -> str | None:
        return "contents" if isinstance(value, Contents) else None


class _Unpickler(pickle.Unpickler):
    def __init__(self, source: BytesIO, contents: Contents) -> None:
        super().__init__(source)
        self._contents = contents

    def persistent_load(self, pid: object) -> Contents:
        return self._contents

    def find_class(self, module: str, name: str) -> Model:
        if _is_allowed(module, name):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} does not belong into the state of S3")


def _is_allowed(module: str, name: str) -> bool:
    return (module, name) in _ALLOWED or module in {"moto.s3.models", "moto.s3.utils"}


_ALLOWED: Final = frozenset(
    {
        ("mlops_sm.emulator.keys", "StoredKey"),
        ("moto.utilities.utils", "LowercaseDict"),
        ("requests.structures", "CaseInsensitiveDict"),
        ("datetime", "datetime"),
        ("datetime", "timezone"),
        ("datetime", "timedelta"),
        ("collections", "OrderedDict"),
        ("builtins", "set"),
    }
)

TRACKED_MODELS: Final = (FakeKey, StoredKey, FakeMultipart, FakeDeleteMarker)
"""Models of which moto remembers every instance it ever made, and with it its memory."""
