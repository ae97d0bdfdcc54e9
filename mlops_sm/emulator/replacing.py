"""Methods of moto's classes, replaced while an account is open: moto has no hooks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

Method = Callable[..., Any]


class Replaced:
    """Replaced methods; `restore` puts moto's own back."""

    def __init__(self) -> None:
        self._undo = ExitStack()

    def method(self, owner: type, name: str, replacement: Callable[[Method], Method]) -> None:
        """Replace a method of a class.

        Args:
            owner: The class that defines it.
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
