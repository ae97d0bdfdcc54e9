"""How the next combination is chosen: ask for one, tell how it did. Random and grid need nothing but Python."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from mlops_sm.local.tuning.space import Space, Values

_PATIENCE: Final = 50
"""Proposals that were made before, until one is looked for among those that were not."""


@dataclass(frozen=True, slots=True)
class Known:
    """How a combination did before the search began; `value` is None when that is not known."""

    values: Values
    value: float | None


class Search(Protocol):
    """Chooses combinations. Not safe to use from several threads."""

    def ask(self) -> Values | None:
        """The next combination; None when every one was given."""

    def tell(self, values: Values, value: float | None) -> None:
        """How a combination did; None when it failed."""


class RandomSearch:
    """Combinations drawn evenly from the space, none of them twice.

    Args:
        space: What is searched.
        seed: The same seed draws the same combinations in the same order.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._random = random.Random(seed)  # noqa: S311 - a search, not a secret
        self._given: set[tuple[str, ...]] = set()

    def ask(self) -> Values | None:
        """The next combination; None when every one was given."""
        for _ in range(_PATIENCE):
            values = self._draw()
            if self.claim(values):
                return values
        return self._left()

    def tell(self, values: Values, value: float | None) -> None:
        """Nothing is learned from results."""

    def claim(self, values: Values) -> bool:
        """Take a combination; False when it was given before."""
        key = tuple(values.values())
        if key in self._given:
            return False
        self._given.add(key)
        return True

    def _draw(self) -> Values:
        return {each.name: each.at(self._random.random()) for each in self._space.ranges}

    def _left(self) -> Values | None:
        """One of the few that were not given yet; none of a continuous range, which has hardly any to give."""
        if len(self._given) >= self._space.count or math.isinf(self._space.count):
            return None
        left = [values for values in self._space.each() if tuple(values.values()) not in self._given]
        values = self._random.choice(left)
        self.claim(values)
        return values


class GridSearch:
    """Every combination once, in order."""

    def __init__(self, space: Space) -> None:
        self._left: Iterator[Values] = space.each()

    def ask(self) -> Values | None:
        """The next combination; None when every one was given."""
        return next(self._left, None)

    def tell(self, values: Values, value: float | None) -> None:
        """Nothing is learned from results."""
