"""Methods of moto's classes, replaced while an account is open: moto has no hooks."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from types import ModuleType
from typing import Any

Method = Callable[..., Any]


class Replaced:
    """Replaced methods; `restore` puts moto's own back."""

    def __init__(self) -> None:
        self._undo = ExitStack()

    def method(self, owner: type | ModuleType, name: str, replacement: Callable[[Method], Method]) -> None:
        """Replace a method of a class, or a function of a module.

        Args:
            owner: The class or module that defines it.
            name: The method's name.
            replacement: Gets the original and returns what takes its place.
        """
        original = owner.__dict__[name]
        setattr(owner, name, replacement(original))
        self._undo.callback(setattr, owner, name, original)

    def addition(self, owner: type, name: str, method: Method) -> None:
        """Give a class a method that it does not have."""
        if hasattr(owner, name):
            raise AttributeError(f"{owner.__name__} has {name} already")
        setattr(owner, name, method)
        self._undo.callback(delattr, owner, name)

    def restore(self) -> None:
        """Give every class back what it had."""
        self._undo.close()


class Hooks(ABC):
    """Replacements that belong together: made when something first needs them, taken back when the account closes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._replaced: Replaced | None = None

    def install(self) -> None:
        """Be there when moto answers; a second call does nothing."""
        with self._lock:
            if self._replaced is None:
                self._replaced = Replaced()
                self._install(self._replaced)

    def remove(self) -> None:
        """Give moto its own methods back."""
        with self._lock:
            replaced, self._replaced = self._replaced, None
        if replaced is not None:
            replaced.restore()

    @abstractmethod
    def _install(self, replaced: Replaced) -> None:
        """Replace what is to be replaced."""
