"""A moto backend's attributes as bytes, and back: nothing but moto's classes and plain values is ever loaded.

What cannot be a byte string comes back as what it stood for: locks are fresh, cryptographic keys are kept in DER,
another backend or a shelf is named instead of copied. A state directory is data; reading one runs no code that it
brings along.
"""

from __future__ import annotations

import functools
import itertools
import pickle
import threading
import types
import weakref
from collections import defaultdict
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, Final, NamedTuple, cast

from moto.core.base_backend import AccountSpecificBackend, BackendDict, BaseBackend

from mlops_sm.emulator.backends import shelves

Value = Any
"""Anything a backend holds; moto has no types that mypy sees."""


class Place(NamedTuple):
    """One backend: moto's module of the service (``sqs``, ``awslambda``), the account, the region or partition."""

    service: str
    account: str
    region: str


class Resolver(NamedTuple):
    """What a state being read refers to outside itself.

    Attributes:
        backend: The backend of a place; all of an account when the region is empty, of a service when the account is.
        shelf: The shelf of a kind and label that belongs to the backend being read.
    """

    backend: Callable[[Place], Value]
    shelf: Callable[[str, str], Value]


def service_of(kind: type) -> str:
    """The part of moto that a backend's class is from: ``moto.sqs.models`` is ``sqs``."""
    return kind.__module__.split(".")[1]


def pickled(value: Value) -> bytes:
    """A value as bytes.

    Raises:
        pickle.PicklingError: Something in it would not come back.
        RuntimeError: Another thread changed it meanwhile.
    """
    target = BytesIO()
    _Pickler(target, protocol=5).dump(value)
    return target.getvalue()


def unpickled(state: bytes, resolver: Resolver) -> Value:
    """The reverse of `pickled`.

    Raises:
        pickle.UnpicklingError: The bytes name something that does not belong into a backend.
    """
    return _Unpickler(BytesIO(state), resolver).load()


# ---------------------------------------------------------------- what comes back in another form: one pair per kind


def _lock() -> threading.Lock:
    return threading.Lock()


def _rlock() -> threading.RLock:
    return threading.RLock()


def _condition() -> threading.Condition:
    return threading.Condition()


def _event(is_set: bool) -> threading.Event:
    event = threading.Event()
    if is_set:
        event.set()
    return event


def _nothing() -> None:
    """A thread or a generator: it ended with its process."""


def _weak_values(items: dict[Value, Value]) -> weakref.WeakValueDictionary[Value, Value]:
    return weakref.WeakValueDictionary(items)


def _count(start: int) -> itertools.count[int]:
    return itertools.count(start)


def _private_key(der: bytes) -> Value:
    from cryptography.hazmat.primitives.serialization import load_der_private_key  # noqa: PLC0415 - KMS only

    return load_der_private_key(der, password=None)


def _public_key(der: bytes) -> Value:
    from cryptography.hazmat.primitives.serialization import load_der_public_key  # noqa: PLC0415 - KMS only

    return load_der_public_key(der)


def _certificate(der: bytes) -> Value:
    from cryptography.x509 import load_der_x509_certificate  # noqa: PLC0415 - ACM and IoT only

    return load_der_x509_certificate(der)


def _web_key(members: dict[str, Value]) -> Value:
    from joserfc.jwk import import_key  # noqa: PLC0415 - Cognito only

    return import_key(members)


def _default_dict(kind: type[defaultdict[Value, Value]], factory: Callable[[], Value] | None) -> Value:
    made = kind.__new__(kind)
    defaultdict.__init__(made, factory)
    return made


def _fill_default_dict(made: Value, state: tuple[dict[str, Value], dict[Value, Value]]) -> None:
    members, items = state
    made.__dict__.update(members)
    dict.update(made, items)


def _method(owner: Value, name: str) -> Value:
    kind = type(owner)
    if not kind.__module__.startswith("moto.") or not isinstance(getattr(kind, name, None), types.FunctionType):
        raise pickle.UnpicklingError(f"{kind.__module__}.{kind.__qualname__} has no method {name}")
    return getattr(owner, name)


def _lambda(module: str, name: str, number: int, cells: tuple[Value, ...]) -> Value:
    """A lambda expression of moto's own source; the bytes say where it stands, not what it does."""
    found = _lambdas(module).get((name, number))
    if found is None or len(found.co_freevars) != len(cells):
        raise pickle.UnpicklingError(f"{module} has no {name} any more")
    closure = tuple(types.CellType(cell) for cell in cells)
    return types.FunctionType(found, vars(_moto_module(module)), "<lambda>", None, closure)


def _factory(module: str, name: str) -> Value:
    """A function of moto's that takes nothing: what a defaultdict calls for a value."""
    found: Value = _moto_module(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if not _is_factory(found):
        raise pickle.UnpicklingError(f"{module}.{name} does not belong into a backend's state")
    return found


def _is_factory(value: Value) -> bool:
    return (
        isinstance(value, types.FunctionType)
        and value.__module__.startswith("moto.")
        and not value.__code__.co_argcount
        and "<" not in value.__qualname__
    )


def _backend(service: str, account: str, region: str) -> Value:
    """Stands for a backend, or all of an account or a service, in another's state; see `_Unpickler`."""
    raise pickle.UnpicklingError(f"{service} {account} {region} is read by the keeper only")


def _bucket(account: str, partition: str, name: str) -> Value:
    """Stands for a bucket of S3, which is kept elsewhere; None when it is gone."""
    raise pickle.UnpicklingError(f"{name} of {account} in {partition} is read by the keeper only")


def _reduce_lambda(function: types.FunctionType) -> Value:
    known = _lambdas(function.__module__)
    where = next((where for where, code in known.items() if code is function.__code__), None)
    if where is None or function.__defaults__:
        raise pickle.PicklingError(f"{function.__module__}.{function.__qualname__} cannot be kept")
    cells = tuple(cell.cell_contents for cell in function.__closure__ or ())
    return _lambda, (function.__module__, *where, cells)


@functools.cache
def _lambdas(module: str) -> dict[tuple[str, int], types.CodeType]:
    """The code of every lambda in a module's functions and classes by qualified name and number under that name."""
    found: dict[tuple[str, int], types.CodeType] = {}
    seen: dict[str, int] = {}

    def look(code: types.CodeType) -> None:
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                if constant.co_name == "<lambda>":
                    number = seen[constant.co_qualname] = seen.get(constant.co_qualname, -1) + 1
                    found[constant.co_qualname, number] = constant
                look(constant)

    for value in vars(_moto_module(module)).values():
        for function in (value, *vars(value).values()) if isinstance(value, type) else (value,):
            code = getattr(getattr(function, "fget", None) or function, "__code__", None)
            if isinstance(code, types.CodeType) and getattr(value, "__module__", module) == module:
                look(code)
    return found


def _moto_module(module: str) -> types.ModuleType:
    import importlib  # noqa: PLC0415 - only states with a lambda need it

    if not module.startswith("moto."):
        raise pickle.UnpicklingError(f"{module} is not moto's")
    return importlib.import_module(module)


def _reduce_key(key: Value) -> Value:
    from cryptography.hazmat.primitives import serialization as forms  # noqa: PLC0415 - KMS only

    return _private_key, (key.private_bytes(forms.Encoding.DER, forms.PrivateFormat.PKCS8, forms.NoEncryption()),)


def _reduce_public_key(key: Value) -> Value:
    from cryptography.hazmat.primitives import serialization as forms  # noqa: PLC0415 - KMS only

    return _public_key, (key.public_bytes(forms.Encoding.DER, forms.PublicFormat.SubjectPublicKeyInfo),)


def _reduce_certificate(certificate: Value) -> Value:
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415 - ACM and IoT only

    return _certificate, (certificate.public_bytes(Encoding.DER),)


def _reduce_crypto(value: Value) -> Value:
    """Keys of cryptography's are of hidden classes; their methods tell what they are."""
    if hasattr(value, "private_bytes"):
        return _reduce_key(value)
    if hasattr(value, "public_bytes"):
        return _reduce_certificate(value) if hasattr(value, "serial_number") else _reduce_public_key(value)
    return NotImplemented


_REDUCERS: Final[Mapping[type, Callable[[Value], Value]]] = {
    type(threading.Lock()): lambda _: (_lock, ()),
    type(threading.RLock()): lambda _: (_rlock, ()),
    threading.Condition: lambda _: (_condition, ()),
    threading.Event: lambda event: (_event, (event.is_set(),)),
    types.GeneratorType: lambda _: (_nothing, ()),
    types.MethodType: lambda method: (_method, (method.__self__, method.__name__)),
    weakref.WeakValueDictionary: lambda value: (_weak_values, (dict(value),)),
    # Its own reduction is deprecated since Python 3.12.
    itertools.count: lambda value: (_count, (int(repr(value)[6:-1].split(",")[0]),)),
    BackendDict: lambda value: (_backend, (service_of(value.backend), "", "")),
    AccountSpecificBackend: lambda value: (_backend, (service_of(value.backend), value.account_id, "")),
}


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Value) -> Value:
        kind = type(value)
        reduce = _REDUCERS.get(kind)
        if reduce is not None:
            return reduce(value)
        if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
            return self._global(value)
        if isinstance(value, BaseBackend):
            place = place_of(value)
            return NotImplemented if place is None else (_backend, tuple(place))
        if any((base.__module__, base.__name__) == ("moto.s3.models", "FakeBucket") for base in kind.__mro__):
            return _bucket, (value.account_id, value.partition, value.name)
        if isinstance(value, threading.Thread):
            return _nothing, ()
        if isinstance(value, defaultdict) and kind is not defaultdict:
            # Made without the constructor of its class, whose arguments nobody knows.
            state = (dict(vars(value)), dict(value.items()))
            return _default_dict, (kind, value.default_factory), state, None, None, _fill_default_dict
        if kind.__module__.startswith("cryptography."):
            return _reduce_crypto(value)
        if kind.__module__.startswith("joserfc."):
            return _web_key, (value.as_dict(private=True),)
        return NotImplemented

    def _global(self, value: Value) -> Value:
        if isinstance(value, types.FunctionType) and value.__name__ == "<lambda>":
            return _reduce_lambda(value)
        if _is_factory(value):
            return _factory, (value.__module__, value.__qualname__)
        if _is_allowed(value.__module__, value.__qualname__, value):
            return NotImplemented
        raise pickle.PicklingError(f"{value.__module__}.{value.__qualname__} has no place in a backend's state")


class _Unpickler(pickle.Unpickler):
    def __init__(self, source: BytesIO, resolver: Resolver) -> None:
        super().__init__(source)
        self._resolver = resolver

    def find_class(self, module: str, name: str) -> Value:
        if (module, name) == (__name__, "_backend"):
            return lambda *place: self._resolver.backend(Place(*place))
        if (module, name) == (__name__, "_bucket"):
            return self._bucket
        if (module, name) == (shelves.__name__, "shelf"):
            return self._resolver.shelf
        if (module, name) == _PENDING:
            return self._pending
        if not (module.startswith("moto.") or (module, name) in _ALLOWED):
            raise pickle.UnpicklingError(f"{module}.{name} does not belong into a backend's state")
        found = super().find_class(module, name)
        if not _is_allowed(module, name, found):
            raise pickle.UnpicklingError(f"{module}.{name} does not belong into a backend's state")
        return found

    def _bucket(self, account: str, partition: str, name: str) -> Value:
        # Not through the dictionary's own methods: they would read the bucket's keys.
        return dict.get(self._resolver.backend(Place("s3", account, partition)).buckets, name)

    def _pending(self, label: str, positions: list[int]) -> Value:
        from mlops_sm.emulator.backends.queues import MESSAGES, Pending  # noqa: PLC0415 - imports moto's SQS

        return Pending(label, self._resolver.shelf(MESSAGES, label).select(positions))


def place_of(backend: BaseBackend) -> Place | None:
    """Where a backend is; None for one that only another backend knows."""
    service = service_of(type(backend))
    for known in list(all_backends()):
        if service_of(known.backend) != service:
            continue
        for region, there in list(dict.get(known, backend.account_id, {}).items()):
            if there is backend:
                return Place(service, backend.account_id, region)
    return None


def all_backends() -> list[BackendDict[Value]]:
    """Of every service that somebody has looked up."""
    instances: list[BackendDict[Value]] = vars(BackendDict)["_instances"]
    return instances


def _is_allowed(module: str, name: str, value: Value) -> bool:
    if (module, name) in _ALLOWED:
        return True
    # Of moto only classes, and its own: a name with dots may lead into what a module imports.
    return isinstance(value, type) and value.__module__.startswith("moto.")


_OURS: Final = (
    _lock,
    _rlock,
    _condition,
    _event,
    _nothing,
    _weak_values,
    _count,
    _private_key,
    _public_key,
    _certificate,
    _web_key,
    _default_dict,
    _fill_default_dict,
    _method,
    _lambda,
    _factory,
    _backend,
    _bucket,
    shelves.shelf,
    shelves.Forgetful,
)
_PENDING: Final = ("mlops_sm.emulator.backends.queues", "pending")
_ALLOWED: Final = frozenset(
    {
        *((cast(Any, made).__module__, made.__qualname__) for made in _OURS),
        _PENDING,
        ("mlops_sm.emulator.backends.queues", "plain_queue"),
        ("_codecs", "encode"),
        ("_io", "BytesIO"),
        ("_io", "StringIO"),
        ("builtins", "bytearray"),
        ("builtins", "bool"),
        ("builtins", "complex"),
        ("builtins", "dict"),
        ("builtins", "float"),
        ("builtins", "frozenset"),
        ("builtins", "int"),
        ("builtins", "list"),
        ("builtins", "object"),
        ("builtins", "range"),
        ("builtins", "set"),
        ("builtins", "slice"),
        ("builtins", "str"),
        ("builtins", "tuple"),
        ("collections", "Counter"),
        ("collections", "OrderedDict"),
        ("collections", "defaultdict"),
        ("collections", "deque"),
        ("copyreg", "_reconstructor"),
        ("datetime", "date"),
        ("datetime", "datetime"),
        ("datetime", "time"),
        ("datetime", "timedelta"),
        ("datetime", "timezone"),
        ("dateutil.tz.tz", "tzutc"),
        ("decimal", "Decimal"),
        ("ipaddress", "IPv4Address"),
        ("ipaddress", "IPv4Network"),
        ("ipaddress", "IPv6Address"),
        ("ipaddress", "IPv6Network"),
        ("ipaddress", "_BaseNetwork"),
        ("re", "_compile"),
        ("requests.structures", "CaseInsensitiveDict"),
        ("uuid", "SafeUUID"),
        ("uuid", "UUID"),
        ("werkzeug.datastructures.headers", "Headers"),
        ("werkzeug.datastructures.structures", "MultiDict"),
        ("zoneinfo", "ZoneInfo._unpickle"),
    }
)
