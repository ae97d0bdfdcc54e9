"""moto's S3 models as bytes, and back: nothing but those models and plain values is ever loaded."""

from __future__ import annotations

import pickle
from io import BytesIO
from typing import Any, Final

from mlops_sm.emulator.contents import Contents

Model = Any
"""An instance of moto's S3 models, or members of one by name."""


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
        if isinstance(value, type) and not _is_allowed(value.__module__, value.__qualname__, value):
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
        if module in _MODELS or (module, name) in _ALLOWED:
            found = super().find_class(module, name)
            if _is_allowed(module, name, found):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} does not belong into the state of S3")


def _is_allowed(module: str, name: str, value: Model) -> bool:
    # A name with dots may lead out of its module, into what that imports.
    return (module, name) in _ALLOWED or (isinstance(value, type) and value.__module__ in _MODELS)


_MODELS: Final = frozenset({"moto.s3.models", "moto.s3.utils"})

_ALLOWED: Final = frozenset(
    {
        ("mlops_sm.emulator.keys", "StoredKey"),
        ("mlops_sm.emulator.keys", "StoredUpload"),
        ("moto.utilities.utils", "LowercaseDict"),
        ("requests.structures", "CaseInsensitiveDict"),
        ("datetime", "datetime"),
        ("datetime", "timezone"),
        ("datetime", "timedelta"),
        ("collections", "OrderedDict"),
        ("builtins", "set"),
    }
)
