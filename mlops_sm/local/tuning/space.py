"""What is searched: ranges of hyperparameters, each seen as the interval from 0 to 1 on its scale.

Source of the scales: SageMaker developer guide, "Define Hyperparameter Ranges".
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

from mlops_sm.definition.wording import repeated

Values = Mapping[str, str]
"""Hyperparameters as a job gets them: text by name."""

_WIDE: Final = 1000.0
"""A range whose ends differ by this factor is searched on a logarithmic scale when the scale is left open."""


class Scaling(StrEnum):
    """How a range is spread over the interval from 0 to 1."""

    AUTO = "Auto"
    LINEAR = "Linear"
    LOGARITHMIC = "Logarithmic"
    REVERSE_LOGARITHMIC = "ReverseLogarithmic"


@dataclass(frozen=True, slots=True)
class Numbers:
    """A range of numbers, both ends included.

    Attributes:
        name: The hyperparameter.
        low: The smallest value.
        high: The largest value.
        scaling: Logarithmic needs values above 0; ReverseLogarithmic values from 0 to less than 1.
        whole: Whether only integers are in it.

    Raises:
        ValueError: The ends are the wrong way round, or do not suit the scale.
    """

    name: str
    low: float
    high: float
    scaling: Scaling = Scaling.AUTO
    whole: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise ValueError(f"the ends of {self.name} must be finite numbers")
        if self.low > self.high:
            raise ValueError(
                f"the minimum of {self.name}, {self._text(self.low)}, is above its maximum, {self._text(self.high)}"
            )
        if self.scaling is Scaling.LOGARITHMIC and self.low <= 0:
            raise ValueError(f"logarithmic scaling of {self.name} needs values greater than 0")
        if self.scaling is Scaling.REVERSE_LOGARITHMIC and (self.low < 0 or self.high >= 1):
            raise ValueError(f"reverse logarithmic scaling of {self.name} needs values from 0 to less than 1")

    @property
    def count(self) -> float:
        """How many values it holds."""
        if self.whole:
            return self.high - self.low + 1
        return 1 if self.low == self.high else math.inf

    def at(self, place: float) -> str:
        """The value at a place between 0 and 1."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        value = min(max(self._unscaled(low + place * (high - low)), self.low), self.high)
        return self._text(value)

    def place(self, text: str) -> float | None:
        """Where a value is between 0 and 1; None when it is not in the range."""
        try:
            value = float(text)
        except ValueError:
            return None
        if not self.low <= value <= self.high:
            return None
        low, high = self._scaled(self.low), self._scaled(self.high)
        return 0.5 if low == high else min(max((self._scaled(value) - low) / (high - low), 0.0), 1.0)

    def each(self) -> Iterator[str]:
        """Every value of a range that holds finitely many."""
        return (
            (self._text(value) for value in range(int(self.low), int(self.high) + 1))
            if self.whole
            else iter((self._text(self.low),))
        )

    def _text(self, value: float) -> str:
        return str(round(value)) if self.whole else repr(float(value))

    def _scale(self) -> Scaling:
        if self.scaling is not Scaling.AUTO:
            return self.scaling
        return Scaling.LOGARITHMIC if self.low > 0 and self.high / self.low >= _WIDE else Scaling.LINEAR

    def _scaled(self, value: float) -> float:
        match self._scale():
            case Scaling.LOGARITHMIC:
                return math.log(value)
            case Scaling.REVERSE_LOGARITHMIC:
                return -math.log1p(-value)
            case _:
                return value

    def _unscaled(self, value: float) -> float:
        match self._scale():
            case Scaling.LOGARITHMIC:
                return math.exp(value)
            case Scaling.REVERSE_LOGARITHMIC:
                return -math.expm1(-value)
            case _:
                return value


@dataclass(frozen=True, slots=True)
class Choice:
    """Values without an order.

    Raises:
        ValueError: There are none, or one is there twice.
    """

    name: str
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError(f"{self.name} has no values")
        if len(set(self.values)) < len(self.values):
            raise ValueError(f"{self.name} has a value twice")

    @property
    def count(self) -> float:
        """How many values it holds."""
        return len(self.values)

    def at(self, place: float) -> str:
        """The value at a place between 0 and 1."""
        return self.values[min(int(place * len(self.values)), len(self.values) - 1)]

    def each(self) -> Iterator[str]:
        """Every value."""
        return iter(self.values)


Range = Numbers | Choice


@dataclass(frozen=True, slots=True)
class Space:
    """Everything that is searched.

    Raises:
        ValueError: A name is there twice.
    """

    ranges: Sequence[Range]

    def __post_init__(self) -> None:
        several = repeated(each.name for each in self.ranges)
        if several:
            raise ValueError(f"there are several ranges of {', '.join(several)}")

    @property
    def count(self) -> float:
        """How many combinations there are; infinite as soon as one range is continuous."""
        return math.prod(each.count for each in self.ranges)

    def each(self) -> Iterator[Values]:
        """Every combination, the last range moving fastest; only of a space that has finitely many."""
        names = [each.name for each in self.ranges]
        return (
            dict(zip(names, values, strict=True))
            for values in itertools.product(*(each.each() for each in self.ranges))
        )

    def inside(self, values: Values) -> Values | None:
        """The searched ones among a job's hyperparameters; None when one is missing or outside its range."""
        found: dict[str, str] = {}
        for each in self.ranges:
            text = values.get(each.name)
            match each:
                case Numbers():
                    known = text is not None and each.place(text) is not None
                case Choice():
                    known = text in each.values
                case unreachable:
                    assert_never(unreachable)
            if not known or text is None:
                return None
            found[each.name] = text
        return found
