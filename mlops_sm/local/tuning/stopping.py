"""Which running trial is given up, seen from the values it has reported so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Final, Protocol

_ETA: Final = 3
"""One of so many trials goes on from one rung of Hyperband to the next."""


class Stopping(Protocol):
    """Decides about running trials. Not safe to use from several threads."""

    def hopeless(self, trial: int, values: Sequence[float]) -> bool:
        """Whether a trial with these values so far, one for each epoch, is to be given up."""

    def ended(self, trial: int, values: Sequence[float]) -> None:
        """A trial has ended with these values."""


class NeverStop:
    """Every trial runs to its end."""

    def hopeless(self, trial: int, values: Sequence[float]) -> bool:
        """Never."""
        return False

    def ended(self, trial: int, values: Sequence[float]) -> None:
        """Nothing to remember."""


class MedianRule:
    """A trial is given up when its value is worse than the median of the earlier trials' running averages.

    Source: SageMaker developer guide, "Stop Training Jobs Early". A trial in whose last epoch this comes to light has
    nothing left to give up: only earlier trials that went on after that epoch are compared with.

    Args:
        maximize: Whether a higher value is better.
    """

    def __init__(self, *, maximize: bool) -> None:
        self._maximize = maximize
        self._earlier: list[list[float]] = []

    def hopeless(self, trial: int, values: Sequence[float]) -> bool:
        """Whether the last value is worse than the median at that epoch."""
        epoch = len(values)
        averages = [fmean(each[:epoch]) for each in self._earlier if len(each) > epoch]
        if not averages:
            return False
        bar = median(averages)
        return values[-1] < bar if self._maximize else values[-1] > bar

    def ended(self, trial: int, values: Sequence[float]) -> None:
        """Later trials are compared with it."""
        if values:
            self._earlier.append(list(values))


@dataclass(slots=True)
class _Bracket:
    rungs: list[int]
    reached: dict[int, list[float]] = field(default_factory=dict)


class Hyperband:
    """Trials compete at rungs of ever more epochs, and only the best of a rung go on; several brackets hedge the start.

    Rungs are decided as trials reach them, so that nobody waits (asynchronous successive halving). Source of its
    limits: API reference, HyperbandStrategyConfig.

    Args:
        maximize: Whether a higher value is better.
        min_resource: Epochs before a trial may be given up.
        max_resource: Epochs after which a trial is stopped.
    """

    def __init__(self, *, maximize: bool, min_resource: int, max_resource: int) -> None:
        self._sign = 1.0 if maximize else -1.0
        self._max = max_resource
        rungs = []
        rung = min_resource
        while rung < max_resource:
            rungs.append(rung)
            rung *= _ETA
        self._brackets = [_Bracket(rungs[start:]) for start in range(len(rungs) + 1)]

    def hopeless(self, trial: int, values: Sequence[float]) -> bool:
        """Whether it has used all it may, or is not among the best of the rung it stands on."""
        epoch = len(values)
        if epoch >= self._max:
            return True
        bracket = self._brackets[trial % len(self._brackets)]
        if epoch not in bracket.rungs:
            return False
        score = self._sign * values[-1]
        others = bracket.reached.setdefault(epoch, [])
        others.append(score)
        keep = max(1, len(others) // _ETA)
        return score < sorted(others, reverse=True)[keep - 1]

    def ended(self, trial: int, values: Sequence[float]) -> None:
        """What it reached on its rungs stays."""
