"""moto's S3 models with their contents in files, and the dictionaries that notice what a request touches.

A key becomes a `StoredKey` by a change of its class after moto has made it: moto builds keys its own way.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, cast

from moto.s3.exceptions import EntityTooSmall, InvalidPart, MalformedXML, MissingKey, NoSuchUpload
from moto.s3.models import FakeBucket, FakeDeleteMarker, FakeKey, FakeMultipart, MultipartDict
from moto.s3.utils import _VersionedKeyStore
from moto.settings import S3_UPLOAD_PART_MIN_SIZE

from mlops_sm.emulator.contents import Contents
from mlops_sm.emulator.file_parts import FilePart
from mlops_sm.emulator.uploads import digest_of

Model = Any
"""An instance of moto's S3 models, or a list of them; moto has no types that mypy sees."""

Touch = Callable[[str, str], None]
"""Takes a bucket's name and a key or upload id."""


class StoredKey(FakeKey):
    """One version of an object whose content is a file.

    Attributes:
        contents: Where the file is; told when the version is gone for good.
        content: Its id there.
        is_written: Of a part of an upload: whether the database has it.
    """

    contents: Contents
    content: str
    is_written: bool = False

    @classmethod
    def adopt(cls, key: FakeKey, contents: Contents, content: str | None = None, etag: str | None = None) -> StoredKey:
        """Move a key's content into a file, or give it one that is there already; then it is a `StoredKey`.

        Args:
            key: As moto made it.
            contents: Where files are.
            content: The file that is there already; moto made the key without content.
            etag: Of that content, if somebody knows it.
        """
        if content is None:
            with key.lock:
                content = contents.write(key._value_buffer)
        else:
            key.contentsize = contents.path(content).stat().st_size
            key._etag = etag
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
        """The whole content, read anew every time; only lent (`Contents.lending`) when it is large."""
        try:
            if self.contentsize >= _LARGE and self.contents.is_lending:
                return self.contents.lend(FilePart.of(self.path))
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


_TRANSIENT: Final = frozenset({"lock", "disposed", "is_written"})
_LARGE: Final = 1024**2
_BLOCK: Final = 1024**2


class StoredUpload(FakeMultipart):
    """A multipart upload whose parts are in files: it is completed without anything passing through memory."""

    contents: Contents

    def complete(self, body: Iterator[tuple[int, str]]) -> tuple[bytes, str, tuple[str, str, int] | None]:
        """As moto's, but the content comes back as a file that the object's key then adopts.

        Raises:
            InvalidPart: A part is not there or is another than the caller knows.
            EntityTooSmall: One before the last is smaller than S3 allows.
            MalformedXML: No parts are named.
        """
        parts = self._named(body)
        etag = hashlib.md5(b"".join(bytes.fromhex(part.etag.strip('"')) for part in parts), usedforsecurity=False)
        checksum = self._checksum(parts)
        content = self.contents.join([part.content for part in parts])
        self.contents.offer(content)
        for part in self.parts.values():
            part.dispose()
        return b"", f"{etag.hexdigest()}-{len(parts)}", checksum

    def set_part(self, part_id: int, value: bytes) -> FakeKey:
        """As moto's, but a content that is in a file stays there.

        Raises:
            NoSuchUpload: The number is less than 1.
        """
        if isinstance(value, FilePart):
            self.contents.offer(self.contents.receive(value.blocks()))
        key = super().set_part(part_id, b"" if self.contents.has_offer else value)
        offered = self.contents.take_offer()
        return key if offered is None else StoredKey.adopt(key, self.contents, *offered)

    def _named(self, body: Iterator[tuple[int, str]]) -> list[StoredKey]:
        parts: list[StoredKey] = []
        for number, etag in body:
            part = self.parts.get(number)
            if not isinstance(part, StoredKey) or part.etag.strip('"') != etag.strip('"'):
                raise InvalidPart
            if parts and parts[-1].contentsize < S3_UPLOAD_PART_MIN_SIZE:
                raise EntityTooSmall
            parts.append(part)
        if not parts:
            raise MalformedXML
        return parts

    def _checksum(self, parts: Sequence[StoredKey]) -> tuple[str, str, int] | None:
        """What moto's builder makes of the parts, each read in blocks; None where nobody here can compute it."""
        algorithm = str(self.metadata.get("x-amz-checksum-algorithm") or "CRC64NVME").lower()
        kind = self.metadata.get("x-amz-checksum-type") or ("FULL_OBJECT" if algorithm == "crc64nvme" else "COMPOSITE")
        whole = digest_of(algorithm)
        if whole is None:
            return None
        for part in parts:
            single = whole if kind == "FULL_OBJECT" else digest_of(algorithm)
            assert single is not None  # noqa: S101 - it was there a moment ago
            with part.path.open("rb") as file:
                while block := file.read(_BLOCK):
                    single.update(block)
            if single is not whole:
                whole.update(single.digest())
        value = base64.b64encode(whole.digest()).decode()
        return (kind, value, 1 if kind == "FULL_OBJECT" else len(parts))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "contents"}


class StoredBucket(FakeBucket):
    """A bucket that keeps its versions while versioning is suspended; moto's forgets them."""

    @property
    def is_versioned(self) -> bool:
        """Whether a key can have several versions."""
        return self.versioning_status is not None


class TouchedKeys(_VersionedKeyStore):
    """A bucket's keys; reports every key that is looked up or changed.

    Args:
        bucket: Its name.
        touch: Told bucket and key.
        receive: Gets a key that moto has just made; its content may be in a file already.
        is_suspended: Whether versioning is suspended.
    """

    def __init__(
        self, bucket: str, touch: Touch, receive: Callable[[FakeKey], None], is_suspended: Callable[[], bool]
    ) -> None:
        super().__init__()
        self._bucket = bucket
        self._touch = touch
        self._receive = receive
        self._is_suspended = is_suspended

    def __getitem__(self, key: str) -> Model:
        self._touch(self._bucket, key)
        return super().__getitem__(key)

    def __setitem__(self, key: str, value: Model) -> None:
        self._touch(self._bucket, key)
        if self._is_suspended():
            # A delete marker, which moto adds in this way.
            self.setlist(key, [*super().getlist(key, []), value])
        else:
            super().__setitem__(key, value)

    def getlist(self, key: str, default: Model = None) -> Model:
        """Every version of a key, the latest last."""
        self._touch(self._bucket, key)
        return super().getlist(key, default)

    def setlist(self, key: str, list_: Model) -> None:
        """Replace the versions of a key."""
        self._touch(self._bucket, key)
        if self._is_suspended() and list_ and list_[-1] not in super().getlist(key, []):
            # "Working with objects in a versioning-suspended bucket" of S3's user guide.
            added = list_[-1]
            added._version_id, added._is_versioned = "null", False
            list_ = [*(version for version in list_[:-1] if version.version_id != "null"), added]
        if list_ and type(list_[-1]) is FakeKey:
            # Before anybody looks at it: moto's notifications tell its size and tag.
            self._receive(list_[-1])
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
    """A bucket's multipart uploads; reports every upload that is looked up or changed.

    Args:
        bucket: Its name.
        touch: Told bucket and upload id.
        contents: Where parts are.
    """

    def __init__(self, bucket: str, touch: Touch, contents: Contents) -> None:
        super().__init__()
        self._bucket = bucket
        self._touch = touch
        self._contents = contents

    def __getitem__(self, upload: str) -> Model:
        self._touch(self._bucket, upload)
        if upload not in self:
            raise NoSuchUpload(upload_id=upload)
        return super().__getitem__(upload)

    def __setitem__(self, upload: str, value: Model) -> None:
        self._touch(self._bucket, upload)
        super().__setitem__(upload, self._stored(value))

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
            dict.__setitem__(self, upload, self._stored(value))

    def _stored(self, upload: FakeMultipart) -> StoredUpload:
        upload.__class__ = StoredUpload
        stored = cast(StoredUpload, upload)
        stored.contents = self._contents
        return stored


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


TRACKED_MODELS: Final = (FakeKey, StoredKey, FakeMultipart, StoredUpload, FakeDeleteMarker)
"""Models of which moto remembers every instance it ever made, and with it its memory."""
