"""moto's S3 in the account's database: what a request changed is written down before the request is answered.

moto keeps serving from memory. Its buckets, keys and uploads stand in dictionaries of ours that note what a request
looked up, which is everything it can have changed; after the request those are written in one transaction. Requests
that change something run one at a time, so whoever delivers S3's notifications must not wait inside one for another.
"""

from __future__ import annotations

import logging
import pickle
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, cast

from moto.s3.models import FakeBucket, FakeKey, FakeMultipart, s3_backends
from moto.s3.notifications import S3NotificationEvent, send_event

from mlops_sm import naming
from mlops_sm.emulator.backends.keeper import Keeper
from mlops_sm.emulator.backends.shelves import Forgetful
from mlops_sm.emulator.contents import Contents
from mlops_sm.emulator.database import Database, damaged
from mlops_sm.emulator.errors import UnsavedError
from mlops_sm.emulator.key_states import pickled, unpickled
from mlops_sm.emulator.keys import (
    TRACKED_MODELS,
    Model,
    StoredBucket,
    StoredKey,
    TouchedBuckets,
    TouchedKeys,
    TouchedUploads,
)
from mlops_sm.errors import RefusedError

_log = logging.getLogger(__name__)


class _Touched:
    """What one request looked up, and the contents that objects of it have adopted."""

    def __init__(self) -> None:
        self.buckets: set[str] = set()
        self.keys: set[tuple[str, str]] = set()
        self.uploads: set[tuple[str, str]] = set()
        self.received: list[str] = []

    def __bool__(self) -> bool:
        return bool(self.buckets or self.keys or self.uploads)


class _Local(threading.local):
    touched: _Touched | None = None


class _Place(NamedTuple):
    """A bucket's backend."""

    account: str
    partition: str


_BUCKET_LINKS: Final = frozenset({"keys", "multiparts"})


class Mirror:
    """The connection between moto's S3 and the database.

    Args:
        database: The account's.
        contents: Where objects' contents are.
        keeper: Of the services that S3 notifies.
    """

    def __init__(self, database: Database, contents: Contents, keeper: Keeper) -> None:
        self._database = database
        self._contents = contents
        self._keeper = keeper
        self._lock = threading.RLock()
        self._local = _Local()
        self._saved: dict[str, bytes] = {}
        self._unloaded: set[str] = set()
        self._attached = False

    def attach(self, *, crashed: bool) -> None:
        """Give moto the buckets of the database; keys are read when a bucket is first used.

        Args:
            crashed: Whether the last owner did not close; then contents that nothing names are removed.
        """
        for model in TRACKED_MODELS:
            model.instances_tracked = Forgetful()  # type: ignore[union-attr] # set by the models' metaclass
        self._attached = True
        self._track_backends()
        for account, partition, name, state in self._database.query(
            "SELECT account, partition, name, state FROM buckets"
        ):
            self._restore_bucket(_Place(account, partition), name, state)
            self._unloaded.add(name)
        if crashed:
            named = self._database.query("SELECT contents FROM objects UNION ALL SELECT contents FROM parts")
            self._contents.sweep({content for (contents,) in named for content in contents.split()})

    def detach(self) -> None:
        """From here on moto may drop its state without consequences."""
        with self._lock:
            self._attached = False

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Around everything that may change S3's state: when it is left, the change is on disk.

        Raises:
            UnsavedError: The disk refused; the state is as before.
        """
        with self._lock:
            if self._local.touched is not None:
                yield
                return
            self._local.touched = _Touched()
            try:
                with self._keeper.noting():
                    yield
            finally:
                # A request that moto refused half-way may have changed something all the same.
                self._track_backends()
                touched, self._local.touched = self._local.touched, None
                try:
                    if touched and self._attached:
                        self._save(touched)
                finally:
                    self._contents.drop_offer()

    def put(self, bucket: FakeBucket, key: str, content: str) -> None:
        """Make a content that is in a file already the latest version of an object; only inside `changing`."""
        backend = s3_backends[bucket.account_id][bucket.partition]
        self._contents.offer(content)
        made = backend.put_object(bucket.name, key, b"", disable_notification=True)
        made.set_acl(bucket.acl)
        send_event(backend.account_id, S3NotificationEvent.OBJECT_CREATED_PUT_EVENT, bucket, made)

    def ensure_bucket(self, name: str, *, account: str, region: str, versioned: bool) -> None:
        """Make a bucket unless it exists; `versioned` also turns versions on for one that exists.

        Raises:
            UnsavedError: The disk refused.
        """
        backend = s3_backends[account][naming.partition(region)]
        with self.changing():
            if name not in s3_backends.bucket_accounts:
                backend.create_bucket(name, region)
            if versioned and not backend.get_bucket(name).is_versioned:
                backend.put_bucket_versioning(name, "Enabled")

    # ------------------------------------------------------------------ noticing

    def _touch_bucket(self, name: str) -> None:
        if self._local.touched is not None:
            self._local.touched.buckets.add(name)

    def _touch_key(self, bucket: str, key: str) -> None:
        if self._local.touched is not None:
            self._local.touched.keys.add((bucket, key))

    def _touch_upload(self, bucket: str, upload: str) -> None:
        if self._local.touched is not None:
            self._local.touched.uploads.add((bucket, upload))

    def _track_backends(self) -> None:
        """Put our dictionary of buckets into every backend that has moto's (accounts appear when first used)."""
        for account, partitions in list(s3_backends.items()):
            for partition, backend in list(partitions.items()):
                if isinstance(backend.buckets, TouchedBuckets):
                    continue
                there, backend.buckets = backend.buckets, self._new_buckets()
                for name, bucket in there.items():
                    backend.buckets[name] = bucket
                _log.debug("tracking the buckets of %s in %s", account, partition)

    def _new_buckets(self) -> TouchedBuckets:
        return TouchedBuckets(self._touch_bucket, self._adopt_bucket, self._load)

    def _adopt_bucket(self, bucket: FakeBucket) -> None:
        keys, bucket.keys = (
            bucket.keys,
            TouchedKeys(bucket.name, self._touch_key, self._receive, lambda: bucket.versioning_status == "Suspended"),
        )
        if type(bucket) is FakeBucket:
            bucket.__class__ = cast(type[Any], StoredBucket)
        for name, versions in keys.iterlists():
            bucket.keys.setlist(name, versions)
        uploads, bucket.multiparts = bucket.multiparts, TouchedUploads(bucket.name, self._touch_upload, self._contents)
        for upload in uploads.values():
            bucket.multiparts[upload.id] = upload

    def _receive(self, key: FakeKey) -> None:
        lent = self._contents.end_lending()
        if lent is not None:
            # A copy of a large object.
            self._contents.offer(self._contents.receive(lent.blocks()))
        offered = self._contents.take_offer()
        if offered is not None:
            content, etag = offered
            StoredKey.adopt(key, self._contents, content, etag or key._etag)
            assert self._local.touched is not None  # noqa: S101 - a content is offered inside of `changing` only
            self._local.touched.received.append(content)

    # ------------------------------------------------------------------ writing

    def _save(self, touched: _Touched) -> None:
        written: list[str] = []
        states: dict[str, bytes] = {}
        try:
            with self._database.transaction():
                for name in touched.buckets:
                    self._save_bucket(name, states)
                for bucket, key in touched.keys:
                    self._save_key(bucket, key, written)
                for bucket, upload in touched.uploads:
                    self._save_upload(bucket, upload, written)
        except (OSError, sqlite3.Error, pickle.PicklingError) as error:
            self._contents.take_discarded()
            self._contents.remove([*written, *touched.received])
            self._revert(touched)
            raise UnsavedError(str(error)) from error
        for name in touched.buckets:
            self._saved.pop(name, None)
        self._saved.update(states)
        self._contents.remove(self._contents.take_discarded())

    def _save_bucket(self, name: str, states: dict[str, bytes]) -> None:
        bucket = self._bucket(name)
        if bucket is None:
            self._unloaded.discard(name)
            for table in ("objects", "uploads", "parts"):
                self._database.execute(f"DELETE FROM {table} WHERE bucket=?", (name,))  # noqa: S608 - names of our own tables
            self._database.execute("DELETE FROM buckets WHERE name=?", (name,))
            return
        states[name] = self._bucket_state(bucket)
        if self._saved.get(name) != states[name]:
            self._database.execute(
                "INSERT OR REPLACE INTO buckets (account, partition, name, state) VALUES (?,?,?,?)",
                (bucket.account_id, bucket.partition, name, states[name]),
            )

    def _save_key(self, bucket_name: str, key: str, written: list[str]) -> None:
        bucket = self._bucket(bucket_name)
        versions = [] if bucket is None else dict.get(bucket.keys, key, [])
        if bucket is None or not versions:
            self._database.execute("DELETE FROM objects WHERE bucket=? AND key=?", (bucket_name, key))
            return
        stored = [self._stored(version, written) for version in versions if isinstance(version, FakeKey)]
        state = pickled({"versions": versions, "tags": self._tags(bucket, stored)})
        self._database.execute(
            "INSERT OR REPLACE INTO objects (bucket, key, contents, state) VALUES (?,?,?,?)",
            (
                bucket_name,
                key,
                " ".join(version.content for version in stored),
                state,
            ),
        )

    def _save_upload(self, bucket_name: str, upload_id: str, written: list[str]) -> None:
        bucket = self._bucket(bucket_name)
        upload = None if bucket is None else dict.get(bucket.multiparts, upload_id)
        if upload is None:
            self._database.execute("DELETE FROM uploads WHERE bucket=? AND id=?", (bucket_name, upload_id))
            self._database.execute("DELETE FROM parts WHERE bucket=? AND upload=?", (bucket_name, upload_id))
            return
        state = pickled({name: value for name, value in vars(upload).items() if name != "parts"})
        self._database.execute(
            "INSERT OR REPLACE INTO uploads (bucket, id, state) VALUES (?,?,?)", (bucket_name, upload_id, state)
        )
        for number, part in upload.parts.items():
            if not (isinstance(part, StoredKey) and part.is_written):
                stored = self._stored(part, written)
                written.append(stored.content)
                # If the disk refuses now, the whole upload is read again.
                stored.is_written = True
                self._database.execute(
                    "INSERT OR REPLACE INTO parts (bucket, upload, number, contents, state) VALUES (?,?,?,?,?)",
                    (bucket_name, upload_id, number, stored.content, pickled(stored)),
                )

    def _stored(self, key: FakeKey, written: list[str]) -> StoredKey:
        if isinstance(key, StoredKey):
            return key
        stored = StoredKey.adopt(key, self._contents)
        written.append(stored.content)
        return stored

    def _bucket_state(self, bucket: FakeBucket) -> bytes:
        members = {name: value for name, value in vars(bucket).items() if name not in _BUCKET_LINKS}
        return pickled({"members": members, "tags": self._tags(bucket, [bucket])})

    def _tags(self, bucket: FakeBucket, owners: Sequence[FakeKey | FakeBucket]) -> dict[str, dict[str, str | None]]:
        tagger = s3_backends[bucket.account_id][bucket.partition].tagger
        return {owner.arn: dict(tagger.tags[owner.arn]) for owner in owners if tagger.tags.get(owner.arn)}

    def _bucket(self, name: str) -> FakeBucket | None:
        place = s3_backends.bucket_accounts.get(name)
        if place is None:
            return None
        partition, account = place
        return dict.get(s3_backends[account][partition].buckets, name)

    # ------------------------------------------------------------------ reading

    def _unpickled(self, state: bytes) -> Model:
        try:
            return unpickled(state, self._contents)
        except (pickle.UnpicklingError, EOFError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise RefusedError(damaged(self._database.path, f"what it says of S3 cannot be read: {error}")) from error

    def _restore_bucket(self, place: _Place, name: str, state: bytes) -> None:
        saved = self._unpickled(state)
        # The constructor registers the name and gives attributes that a later moto has added.
        bucket = _new_bucket(name, place.account, saved["members"]["region_name"])
        vars(bucket).update(saved["members"])
        backend = s3_backends[place.account][place.partition]
        if not isinstance(backend.buckets, TouchedBuckets):
            self._track_backends()
        self._adopt_bucket(bucket)
        _buckets(place).restore(name, bucket)
        backend.tagger.tags.update(saved["tags"])
        self._saved[name] = state

    def _load(self, bucket: FakeBucket) -> None:
        if bucket.name not in self._unloaded:
            return
        with self._lock:
            if bucket.name not in self._unloaded:
                return
            for key, state in self._database.query(
                "SELECT key, state FROM objects WHERE bucket=? ORDER BY rowid", (bucket.name,)
            ):
                self._restore_key(bucket, key, state)
            for (upload,) in self._database.query("SELECT id FROM uploads WHERE bucket=?", (bucket.name,)):
                self._load_upload(bucket, upload)
            self._unloaded.discard(bucket.name)

    def _restore_key(self, bucket: FakeBucket, key: str, state: bytes | None) -> None:
        saved = self._unpickled(state) if state is not None else {"versions": [], "tags": {}}
        cast(TouchedKeys, bucket.keys).restore(key, saved["versions"])
        s3_backends[bucket.account_id][bucket.partition].tagger.tags.update(saved["tags"])

    def _load_upload(self, bucket: FakeBucket, upload_id: str) -> None:
        where, uploads = (bucket.name, upload_id), cast(TouchedUploads, bucket.multiparts)
        rows = self._database.query("SELECT state FROM uploads WHERE bucket=? AND id=?", where)
        if not rows:
            uploads.restore(upload_id, None)
            return
        members = self._unpickled(rows[0][0])
        upload = FakeMultipart(members["key_name"], members["metadata"], bucket.account_id, bucket.region_name)
        vars(upload).update(members)
        parts: dict[int, StoredKey] = {
            number: self._unpickled(state)
            for number, state in self._database.query(
                "SELECT number, state FROM parts WHERE bucket=? AND upload=?", where
            )
        }
        for part in parts.values():
            part.is_written = True
        upload.parts = dict(parts)
        uploads.restore(upload_id, upload)

    def _revert(self, touched: _Touched) -> None:
        """Make moto's state what the database still says."""
        for name in touched.buckets:
            rows = self._database.query("SELECT account, partition, state FROM buckets WHERE name=?", (name,))
            bucket = self._bucket(name)
            if not rows and bucket is not None:
                _buckets(_Place(bucket.account_id, bucket.partition)).restore(name, None)
                s3_backends.bucket_accounts.pop(name, None)
            elif rows and bucket is None:
                self._restore_bucket(_Place(*rows[0][:2]), name, rows[0][2])
                self._unloaded.add(name)
            elif bucket is not None:
                vars(bucket).update(self._unpickled(rows[0][2])["members"])
        for name, key in touched.keys:
            if (bucket := self._bucket(name)) is not None:
                rows = self._database.query("SELECT state FROM objects WHERE bucket=? AND key=?", (name, key))
                self._restore_key(bucket, key, rows[0][0] if rows else None)
        for name, upload in touched.uploads:
            if (bucket := self._bucket(name)) is not None:
                self._load_upload(bucket, upload)


def _buckets(place: _Place) -> TouchedBuckets:
    return cast(TouchedBuckets, s3_backends[place.account][place.partition].buckets)


def _new_bucket(name: str, account: str, region: str) -> FakeBucket:
    make: Callable[..., FakeBucket] = (
        FakeBucket  # abstract only for CloudFormation, as moto's own constructor calls show
    )
    return make(name, account, region)
