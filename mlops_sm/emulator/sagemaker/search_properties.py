"""Property names of Search: what a name means for a kind of resource, and its values in one.

``Metrics.<name>``, ``HyperParameters.<name>`` and ``Tags.<key>`` are names of their own; every other name is a path
through the resource's structure, and through its lists. Source: SageMaker API reference, Filter and NestedFilters.
AWS's notebooks sort by names such as ``metrics.validation:accuracy.max``: letter case does not count in member names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, assert_never

from mlops_sm.checks.service import Shape
from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import AwsError, invalid
from mlops_sm.emulator.sagemaker.search_resources import Found

_STATISTICS: Final = {name.lower(): name for name in ("Min", "Max", "Avg", "Last", "Count", "StdDev")}
_METRICS: Final[Mapping[str, str]] = {"TrainingJob": "FinalMetricDataList", "TrialComponent": "Metrics"}
"""The member with the metrics, by the structure of the resource."""
_UNIONS: Final = ("NumberValue", "StringValue", "Value")
"""Members of the structures in maps that stand for the whole."""


class Type(Enum):
    """What values of a property are, and so what they can be compared with."""

    TEXT = auto()
    NUMBER = auto()
    BOOLEAN = auto()
    TIME = auto()
    EITHER = auto()
    """Text that may be a number: hyperparameters, parameters, environment."""


@dataclass(frozen=True, slots=True)
class Property:
    """A property of a kind of resource.

    Attributes:
        name: As it was asked for.
        member: The member of the resource it starts with.
        type: Of its values.
        values: Its values in that member; none when the resource does not have it.
        whole_numbers: Whether decimals are compared as integers when they are compared with one.
    """

    name: str
    member: str
    type: Type
    values: Callable[[Json], Iterator[Json]]
    whole_numbers: bool = False

    def of(self, found: Found) -> list[Json]:
        """The values in one resource."""
        return [value for value in self.values(found.get(self.member)) if value is not None]


def property_of(shape: Shape, name: str, within: str | None = None) -> Property:
    """The property of a name.

    Args:
        shape: The structure of the resource in SearchRecord.
        name: The name.
        within: The structure in it whose members may be named without it.

    Raises:
        AwsError: ValidationException, the resource has no such property.
    """
    head, _, rest = name.partition(".")
    member = _member(shape, head)
    if within is not None and member is None:
        return property_of(shape, f"{within}.{name}")
    if head.lower() == "metrics" and shape.name in _METRICS and rest:
        return _metric(shape, name, rest)
    if member is None:
        raise _unknown(name)
    if member == "Tags" and rest:
        return Property(name, member, Type.TEXT, lambda tags: _tag(tags, rest))
    kind, values = _path(shape.members[member], rest, name)
    return Property(name, member, kind, values, whole_numbers=member == "HyperParameters")


def nested_property(shape: Shape, path: str, name: str) -> tuple[str, Callable[[Json], Iterator[Json]], Property]:
    """The property of a filter in NestedFilters.

    Args:
        shape: The structure of the resource.
        path: NestedPropertyName: a list.
        name: The filter's name, which starts with the path or continues it.

    Returns:
        The member that the path starts with, what finds the objects of the list in it, and the property of one object.

    Raises:
        AwsError: ValidationException, there is no such list or property.
    """
    head, _, rest = path.partition(".")
    member = _member(shape, head)
    if member is None:
        raise _unknown(path)
    target, objects = _list(shape.members[member], rest, path)
    if target.type_name != "structure":
        raise invalid(f"Nested filters need a list of objects, which {path} is not.")
    below = name[len(path) + 1 :] if name.lower().startswith(f"{path.lower()}.") else name
    kind, values = _path(target, below, name)
    return member, objects, Property(name, member, kind, values)


def _list(shape: Shape, rest: str, name: str) -> tuple[Shape, Callable[[Json], Iterator[Json]]]:
    if shape.type_name == "list" and not rest:
        return shape.member, _each
    if shape.type_name == "list":
        inner, objects = _list(shape.member, rest, name)
        return inner, lambda value: (each for item in _each(value) for each in objects(item))
    head, _, below = rest.partition(".")
    member = _member(shape, head) if shape.type_name == "structure" and head else None
    if member is None:
        raise _unknown(name)
    inner, objects = _list(shape.members[member], below, name)
    return inner, lambda value: objects(value.get(member) if isinstance(value, Mapping) else None)


def _path(shape: Shape, rest: str, name: str) -> tuple[Type, Callable[[Json], Iterator[Json]]]:
    """The type and the values of what a path leads to."""
    match shape.type_name:
        case "list":
            kind, values = _path(shape.member, rest, name)
            return kind, lambda value: (each for item in _each(value) for each in values(item))
        case "structure" | "map" if not rest:
            return Type.TEXT, _leaves
        case "structure":
            head, _, below = rest.partition(".")
            member = _member(shape, head)
            if member is None:
                raise _unknown(name)
            kind, values = _path(shape.members[member], below, name)
            return kind, lambda value: values(value.get(member) if isinstance(value, Mapping) else None)
        case "map":
            return Type.EITHER, lambda value: _entry(value, rest)
        case _ if rest:
            raise _unknown(name)
        case scalar:
            return _TYPES.get(scalar, Type.TEXT), _one


_TYPES: Final[Mapping[str, Type]] = {
    "integer": Type.NUMBER,
    "long": Type.NUMBER,
    "float": Type.NUMBER,
    "double": Type.NUMBER,
    "boolean": Type.BOOLEAN,
    "timestamp": Type.TIME,
}


def _one(value: Json) -> Iterator[Json]:
    if value is not None:
        yield value


def _each(value: Json) -> Iterator[Json]:
    if isinstance(value, list):
        yield from value


def _leaves(value: Json) -> Iterator[Json]:
    """Every text and number in something, keys included."""
    match value:
        case dict():
            for key, item in value.items():
                yield key
                yield from _leaves(item)
        case list():
            for item in value:
                yield from _leaves(item)
        case _:
            yield from _one(value)


def _entry(value: Json, key: str) -> Iterator[Json]:
    """A map's entry; keys may hold dots. Of a structure the member that stands for it, or the one that is named."""
    if not isinstance(value, Mapping):
        return
    found, members = value.get(key), list(_UNIONS)
    if found is None:
        key, _, member = key.rpartition(".")
        found, members = value.get(key), [member]
        if not isinstance(found, Mapping):
            return
    if isinstance(found, Mapping):
        yield from (found[member] for member in members if found.get(member) is not None)
    else:
        yield from _one(found)


def _tag(tags: Json, key: str) -> Iterator[Json]:
    return (tag["Value"] for tag in _each(tags) if tag["Key"] == key)


def _metric(shape: Shape, name: str, rest: str) -> Property:
    """A metric's statistic, its last value when none is named."""
    metric, _, last = rest.rpartition(".")
    statistic = _STATISTICS.get(last.lower()) if metric else None
    wanted = metric if statistic else rest

    def values(metrics: Json) -> Iterator[Json]:
        for each in _each(metrics):
            if each["MetricName"] == wanted:
                yield each.get(statistic or "Last", each.get("Value"))

    return Property(name, _METRICS[shape.name], Type.NUMBER, values)


def _member(shape: Shape, name: str) -> str | None:
    """The member of a structure, whatever the letter case of its name."""
    if name in shape.members:
        return name
    return next((member for member in shape.members if member.lower() == name.lower()), None)


def _unknown(name: str) -> AwsError:
    return invalid(f"Unknown property name: {name}.")


def sort_key(values: list[Json], kind: Type, *, descending: bool) -> list[Any]:
    """What resources are ordered by: numbers before texts, and those without a value at the end either way."""
    if not values:
        return [-1 if descending else 2, 0.0, ""]
    value = values[0]
    match kind:
        case Type.NUMBER | Type.TIME | Type.BOOLEAN:
            return [0, float(value), ""]
        case Type.EITHER:
            number = as_number(value)
            return [1, 0.0, str(value)] if number is None else [0, number, ""]
        case Type.TEXT:
            return [1, 0.0, str(value)]
        case _:
            assert_never(kind)


def as_number(value: Json) -> float | None:
    """A number, or the number that a text is; None for everything else, infinity included."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
