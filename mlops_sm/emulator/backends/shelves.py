"""Long collections of moto's, kept in slices: what a request added is written, not all that was there before.

A shelf stands in the place of moto's own list or set. Its label is its name in the account's database; what it holds is
not part of its backend's state, which names the shelf instead.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol, Self, SupportsIndex

Item = Any
"""What moto keeps in the list."""

_MOST_SLICES: Final = 256
"""A shelf that was read from more slices is written as one with its next change."""


class Slice(NamedTuple):
    """Something of a shelf, to be found under its position."""

    position: int
    content: Item


class Changes(NamedTuple):
    """What has to be written of a shelf.

    Attributes:
        anew: Whether everything that was written of it before goes away first.
        gone: Positions that go away.
        slices: What is written.
        mark: What the shelf wants to hear once that is on disk.
    """

    anew: bool
    gone: Sequence[int]
    slices: Sequence[Slice]
    mark: Item


class Shelf(Protocol):
    """A collection that is kept in slices."""

    @property
    def label(self) -> str:
        """Its name in the database."""

    def changes(self) -> Changes | None:
        """What is not on disk yet; None when everything is."""

    def settle(self, changes: Changes) -> None:
        """These changes are on disk."""


def shelf(kind: str, label: str) -> Item:
    """Stands for a shelf in a backend's state; whoever reads the state puts the shelf in its place."""
    raise pickle.UnpicklingError(f"{kind} {label} is read by the keeper only")


class _Sliced:
    """What a list and a set have in common whose slices hold many items each.

    Args:
        label: Its name in the database.
        items: What is in it.
        kept: How many of them are on disk.
        anew: Whether the next change is written in full.
        due: Whether it has to be written even if nothing is added.
    """

    kind: str

    def __init__(
        self, label: str, items: Iterable[Item] = (), *, kept: int = 0, anew: bool = True, due: bool = True
    ) -> None:
        super().__init__(items)  # type: ignore[call-arg] # of the list or set
        self.label = label
        self._kept = kept
        self._anew = anew
        self._due = due

    @classmethod
    def read(cls, label: str, slices: Sequence[Slice]) -> Self:
        """What the slices of a label hold."""
        items = [item for part in slices for item in part.content]
        return cls(label, items, kept=len(items), anew=len(slices) > _MOST_SLICES, due=False)

    def __reduce__(self) -> Item:
        return shelf, (self.kind, self.label)


class Ledger(_Sliced, list[Item]):
    """A list whose items are added at its end and do not change; any other change of it is written in full."""

    kind = "ledger"

    def changes(self) -> Changes | None:
        """What is not on disk yet."""
        length = len(self)
        if length == self._kept and not self._due:
            return None
        start = 0 if self._anew else self._kept
        added = list(self[start:length])
        return Changes(self._anew, (), [Slice(start, added)] if added else [], length)

    def settle(self, changes: Changes) -> None:
        """These changes are on disk."""
        self._kept = changes.mark
        self._anew = self._due = False

    def _rewrite(self) -> None:
        self._anew = self._due = True

    def __setitem__(self, index: SupportsIndex | slice, value: Item) -> None:
        self._rewrite()
        super().__setitem__(index, value)

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        self._rewrite()
        super().__delitem__(index)

    def insert(self, index: SupportsIndex, item: Item) -> None:
        """As for any list."""
        self._rewrite()
        super().insert(index, item)

    def pop(self, index: SupportsIndex = -1) -> Item:
        """As for any list."""
        self._rewrite()
        return super().pop(index)

    def remove(self, item: Item) -> None:
        """As for any list."""
        self._rewrite()
        super().remove(item)

    def clear(self) -> None:
        """As for any list."""
        self._rewrite()
        super().clear()

    def sort(self, **options: Item) -> None:
        """As for any list."""
        self._rewrite()
        super().sort(**options)

    def reverse(self) -> None:
        """As for any list."""
        self._rewrite()
        super().reverse()


class Handles(_Sliced, set[Item]):
    """A set that only grows."""

    kind = "handles"

    def __init__(
        self, label: str, items: Iterable[Item] = (), *, kept: int = 0, anew: bool = True, due: bool = True
    ) -> None:
        super().__init__(label, items, kept=kept, anew=anew, due=due)
        self._fresh = [] if kept else list(self)

    def add(self, item: Item) -> None:
        """As for any set."""
        self.update((item,))

    def update(self, *others: Iterable[Item]) -> None:
        """As for any set."""
        for item in (item for other in others for item in other):
            if item not in self:
                self._fresh.append(item)
                super().add(item)

    def changes(self) -> Changes | None:
        """What is not on disk yet."""
        if not self._fresh and not self._due:
            return None
        fresh = len(self._fresh)
        added = list(self) if self._anew else self._fresh[:fresh]
        return Changes(self._anew, (), [Slice(0 if self._anew else self._kept, added)] if added else [], fresh)

    def settle(self, changes: Changes) -> None:
        """These changes are on disk."""
        self._kept += changes.mark
        del self._fresh[: changes.mark]
        self._anew = self._due = False


class Forgetful(list[Item]):
    """Takes the place of a list in which moto collects what no operation ever shows."""

    def append(self, _: Item) -> None:
        """Forget it."""

    def __reduce__(self) -> Item:
        return Forgetful, ()
