"""What moto's services other than S3 hold is on disk before the request that changed it is answered.

Every backend of moto is reached through two dictionaries; what a request looks up there is everything it can have
changed. After the request those backends are turned into bytes, and what is new is written in one transaction. A
service's backends are read from the database when somebody first looks one up.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import pickle
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import boto3
import moto
from moto.core.base_backend import AccountSpecificBackend, BackendDict, BaseBackend, backend_lock

from mlops_sm.emulator.backends.pickling import Place, Resolver, all_backends, pickled, service_of, unpickled
from mlops_sm.emulator.backends.shelved import read_shelf, shelves_of
from mlops_sm.emulator.backends.shelves import Changes, Shelf, Slice
from mlops_sm.emulator.clients import unconfigured_session
from mlops_sm.emulator.database import Database
from mlops_sm.emulator.errors import UnsavedError
from mlops_sm.emulator.replacing import Method, Replaced
from mlops_sm.errors import Problem, RefusedError

_log = logging.getLogger(__name__)

Backends = BackendDict[Any]

_KEPT_ELSEWHERE: Final = frozenset(
    {"s3", "sagemaker", "sagemakerruntime", "sagemakermetrics", "moto_api", "instance_metadata"}
)
"""S3 has tables of its own; SageMaker is not moto's here."""
_VISITS: Final = ("mark_account_as_visited", "get_account_id_from")
"""Functions of moto's IAM that every request of every service goes through; looking up is not changing."""
_ATTEMPTS: Final = 50
_UNREADABLE: Final = (
    pickle.UnpicklingError,
    ImportError,
    EOFError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
)


class _Noted(threading.local):
    """What the request of this thread has looked up; None outside of one."""

    places: dict[Place, BaseBackend] | None = None
    suspended = False


class Keeper:
    """The connection between moto's backends and the database.

    Args:
        database: The account's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.RLock()
        self._noted = _Noted()
        self._restored: set[int] = set()
        self._digests: dict[Place, bytes] = {}
        self._labels: dict[Place, set[str]] = {}
        self._stored = {row[0] for row in database.query("SELECT DISTINCT service FROM backends")}
        self._replaced: Replaced | None = None

    # ------------------------------------------------------------------ for those who change something

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Around everything that may change a backend: one at a time, and on disk when it is left.

        Raises:
            UnsavedError: The disk refused; the state is as before.
        """
        with self._lock, self.noting():
            yield

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Likewise for what waits inside, for messages or for a function: others go on meanwhile.

        Raises:
            UnsavedError: The disk refused; the state is as before.
        """
        if self._noted.places is not None:
            yield
            return
        self._noted.places = {}
        try:
            yield
        finally:
            # A request that moto refused half-way may have changed something all the same.
            places, self._noted.places = self._noted.places, None
            if places and self._replaced is not None:
                self._save(places)

    # ------------------------------------------------------------------ moto's dictionaries

    def attach(self) -> None:
        """From here on moto's backends come from the database, and what is looked up is noted."""
        self._replaced = Replaced()
        self._replaced.method(BackendDict, "__getitem__", self._restoring)
        self._replaced.method(AccountSpecificBackend, "__getitem__", self._noted_in)
        # What moto asks for the names of regions; a profile of the user's that is not there would make it fail.
        self._replaced.method(AccountSpecificBackend, "get_session", lambda _: staticmethod(_session))
        if "moto.iam.models" in sys.modules:
            self._silence_visits(self._replaced)

    def _restoring(self, look_up: Method) -> Method:
        def account(backends: Backends, account_id: str) -> Any:  # noqa: ANN401 - as moto's
            self._restore(backends)
            return look_up(backends, account_id)

        return account

    def _noted_in(self, look_up: Method) -> Method:
        def backend(there: AccountSpecificBackend[Any], region: str) -> Any:  # noqa: ANN401 - as moto's
            found = look_up(there, region)
            noted = self._noted
            if noted.places is not None and not noted.suspended:
                service = service_of(there.backend)
                if service not in _KEPT_ELSEWHERE:
                    noted.places[Place(service, there.account_id, "aws" if region == "global" else region)] = found
            return found

        return backend

    def detach(self) -> None:
        """Write down what changed by itself, and let moto have its dictionaries back."""
        with self._lock:
            places = {
                place: backend
                for backends in list(all_backends())
                for account, region, backend in list(backends.iter_backends())
                if (place := Place(service_of(backends.backend), account, region)) in self._digests
            }
            try:
                self._save(places)
            except UnsavedError as error:
                _log.warning("the last state of moto's services could not be saved: %s", error)
            replaced, self._replaced = self._replaced, None
            if replaced is not None:
                replaced.restore()

    def _silence_visits(self, replaced: Replaced) -> None:
        from moto.iam import models  # noqa: PLC0415 - imported already when this is called

        for name in _VISITS:
            replaced.method(models, name, self._silenced)

    def _silenced(self, visit: Method) -> Method:
        def silenced(*arguments: object, **named: object) -> Any:  # noqa: ANN401 - as moto's
            before, self._noted.suspended = self._noted.suspended, True
            try:
                return visit(*arguments, **named)
            finally:
                self._noted.suspended = before

        return silenced

    # ------------------------------------------------------------------ writing

    def _save(self, places: dict[Place, BaseBackend]) -> None:
        with self._lock:
            try:
                states = {place: self._state(place, backend) for place, backend in places.items()}
                states = {place: state for place, state in states.items() if state.is_new}
                if states:
                    with self._database.transaction():
                        for place, state in states.items():
                            self._write(place, state)
            except (sqlite3.Error, pickle.PicklingError, TypeError, AttributeError, RuntimeError) as error:
                for place, backend in places.items():
                    self._revert(place, backend)
                raise UnsavedError(str(error)) from error
            for place, state in states.items():
                self._digests[place] = state.digest
                self._labels[place] = state.labels
                for shelf, changes in state.shelves:
                    shelf.settle(changes)

    def _state(self, place: Place, backend: BaseBackend) -> _State:
        shelves = shelves_of(place.service, backend)
        for attempt in range(_ATTEMPTS):
            try:
                content = pickled(vars(backend))
                break
            except RuntimeError:
                # Another thread, which waits in its request, put something into a dictionary meanwhile.
                if attempt == _ATTEMPTS - 1:
                    raise
        digest = _digest(content)
        # After the state: what it names is on the shelf.
        changed = [(shelf, changes) for shelf in shelves if (changes := shelf.changes()) is not None]
        labels = {shelf.label for shelf in shelves}
        return _State(
            content=None if self._digests.get(place) == digest else content,
            digest=digest,
            shelves=changed,
            labels=labels,
            gone=self._labels.get(place, set()) - labels,
        )

    def _write(self, place: Place, state: _State) -> None:
        if state.content is not None:
            self._database.execute(
                "INSERT OR REPLACE INTO backends (service, account, region, moto, state) VALUES (?,?,?,?,?)",
                (*place, moto.__version__, state.content),
            )
        where = "service=? AND account=? AND region=? AND shelf=?"
        for label in state.gone:
            self._database.execute(f"DELETE FROM slices WHERE {where}", (*place, label))  # noqa: S608 - our own text
        for shelf, changes in state.shelves:
            if changes.anew:
                self._database.execute(f"DELETE FROM slices WHERE {where}", (*place, shelf.label))  # noqa: S608 - see above
            for position in changes.gone:
                self._database.execute(
                    f"DELETE FROM slices WHERE {where} AND position=?",  # noqa: S608 - see above
                    (*place, shelf.label, position),
                )
            for part in changes.slices:
                self._database.execute(
                    "INSERT OR REPLACE INTO slices (service, account, region, shelf, position, state)"
                    " VALUES (?,?,?,?,?,?)",
                    (*place, shelf.label, part.position, pickled(part.content)),
                )

    def _revert(self, place: Place, backend: BaseBackend) -> None:
        """Make a backend what the database still says."""
        backend.reset()
        self._digests.pop(place, None)
        rows = self._database.query(
            "SELECT moto, state FROM backends WHERE service=? AND account=? AND region=?", place
        )
        for version, content in rows:
            self._fill(place, backend, version, content)

    # ------------------------------------------------------------------ reading

    def _restore(self, backends: Backends) -> None:
        """Give moto the backends of one service that the database has; once."""
        if id(backends) in self._restored:
            return
        service = service_of(backends.backend)
        # Before the lock: whoever writes to the database may wait for it.
        rows = (
            self._database.query(
                "SELECT account, region, moto, state FROM backends WHERE service=? ORDER BY account, region", (service,)
            )
            if service in self._stored
            else []
        )
        with backend_lock:
            if id(backends) in self._restored:
                return
            self._restored.add(id(backends))
            if service == "iam" and self._replaced is not None:
                self._silence_visits(self._replaced)
            before, self._noted.suspended = self._noted.suspended, True
            try:
                for account, region, version, content in rows:
                    self._fill(Place(service, account, region), backends[account][region], version, content)
            except BaseException:
                # Nothing half-read is left to be changed and written over what is there.
                self._restored.discard(id(backends))
                backends.clear()
                raise
            finally:
                self._noted.suspended = before

    def _fill(self, place: Place, backend: BaseBackend, version: str, content: bytes) -> None:
        found: dict[tuple[str, str], Shelf] = {}

        def shelf(kind: str, label: str) -> Shelf:
            if (kind, label) not in found:
                found[kind, label] = read_shelf(kind, label, self._slices(place, label, resolver))
            return found[kind, label]

        resolver = Resolver(_looked_up, shelf)
        try:
            members = unpickled(content, resolver)
            # What a newer moto has added keeps the value that its constructor gave.
            vars(backend).update(members)
        except _UNREADABLE as error:
            raise RefusedError(self._unreadable(place, version, error)) from error
        self._digests[place] = _digest(content)
        self._labels[place] = {label for _, label in found}

    def _slices(self, place: Place, label: str, resolver: Resolver) -> list[Slice]:
        rows = self._database.query(
            "SELECT position, state FROM slices WHERE service=? AND account=? AND region=? AND shelf=?"
            " ORDER BY position",
            (*place, label),
        )
        return [Slice(position, unpickled(content, resolver)) for position, content in rows]

    def _unreadable(self, place: Place, version: str, error: BaseException) -> Problem:
        other = "" if version == moto.__version__ else f" (written by moto {version}, this is {moto.__version__})"
        where = f"{place.service} in account {place.account}, {place.region}"
        without = f"DELETE FROM backends WHERE service = '{place.service}'"  # noqa: S608 - for a person to read
        return Problem(
            "E550",
            str(self._database.path),
            f"what the local account holds of {where} cannot be read{other}: {error}",
            f"It was left as it is. Install moto {version}, or name another folder with --state. To go on without it: "
            f'sqlite3 "{self._database.path}" "{without}".',
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """A backend as it is now, and what of it is not on disk.

    Attributes:
        content: Its attributes; None when the database has them.
        digest: Of its attributes.
        shelves: Those with changes.
        labels: Of all its shelves.
        gone: Labels of shelves that it had.
    """

    content: bytes | None
    digest: bytes
    shelves: list[tuple[Shelf, Changes]]
    labels: set[str]
    gone: set[str]

    @property
    def is_new(self) -> bool:
        """Whether something has to be written."""
        return self.content is not None or bool(self.shelves) or bool(self.gone)


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


@cache
def _session() -> boto3.Session:
    return boto3.Session(botocore_session=unconfigured_session())


def _backends(service: str) -> Backends:
    """The dictionary of a service's backends.

    Raises:
        LookupError: moto has no such service.
    """
    try:
        models = importlib.import_module(f"moto.{service}.models")
    except ModuleNotFoundError:
        raise LookupError(f"moto has no service {service}") from None
    for value in vars(models).values():
        if isinstance(value, BackendDict) and service_of(value.backend) == service:
            return value
    raise LookupError(f"moto has no backends of {service}")


def _looked_up(place: Place) -> Any:  # noqa: ANN401 - moto's backend or a dictionary of them
    backends = _backends(place.service)
    if not place.account:
        return backends
    there = backends[place.account]
    return there[place.region] if place.region else there
