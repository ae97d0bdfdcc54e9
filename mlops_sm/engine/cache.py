"""What of a step decides whether an earlier run of it is reused: the key, its age, and what differs between two keys.

Sources: developer guide, "Caching pipeline steps", "Turn on step caching" and "Default cache key attributes by pipeline
step type". For Lambda and Callback steps, which the last page leaves out, the key is whom they call and with what; for
endpoint configurations, endpoints and the other kinds of the SDK it is the whole request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from mlops_sm.definition.document import Json, Step
from mlops_sm.definition.kinds import StepKind
from mlops_sm.engine.resolve import NAMING_MEMBERS


class Attributes(NamedTuple):
    """The key attributes of a kind.

    Attributes:
        arguments: Members of its Arguments, None for all; dots lead into a structure.
        beside: Members of the step itself.
    """

    arguments: tuple[str, ...] | None
    beside: tuple[str, ...] = ()


_TUNED: Final = (
    "AlgorithmSpecification",
    "HyperParameterRanges",
    "InputDataConfig",
    "StaticHyperParameters",
    "TuningObjective",
)
_CHECK: Final = (
    "CheckType",
    "SkipCheck",
    "RegisterNewBaseline",
    "ModelPackageGroupName",
    "SuppliedBaselineConstraints",
    "SuppliedBaselineStatistics",
)

KEY_ATTRIBUTES: Final[Mapping[StepKind, Attributes]] = MappingProxyType(
    {
        StepKind.PROCESSING: Attributes(("AppSpecification", "Environment", "ProcessingInputs")),
        StepKind.TRAINING: Attributes(
            (
                "AlgorithmSpecification",
                "CheckpointConfig",
                "DebugHookConfig",
                "DebugRuleConfigurations",
                "Environment",
                "HyperParameters",
                "InputDataConfig",
            )
        ),
        StepKind.TUNING: Attributes(
            (
                "HyperParameterTuningJobConfig",
                *(f"TrainingJobDefinition.{member}" for member in _TUNED),
                "TrainingJobDefinitions",
            )
        ),
        StepKind.TRANSFORM: Attributes(("DataProcessing", "Environment", "ModelName", "TransformInput")),
        StepKind.AUTO_ML: Attributes(None),
        StepKind.QUALITY_CHECK: Attributes(None, _CHECK),
        StepKind.CLARIFY_CHECK: Attributes(None, _CHECK),
        StepKind.EMR: Attributes(("ClusterId", "StepConfig")),
        StepKind.EMR_SERVERLESS: Attributes(None),
        StepKind.LAMBDA: Attributes(None, ("FunctionArn",)),
        StepKind.CALLBACK: Attributes(None, ("SqsQueueUrl",)),
        StepKind.ENDPOINT_CONFIG: Attributes(None),
        StepKind.ENDPOINT: Attributes(None),
        StepKind.JOB: Attributes(None),
    }
)
"""The kinds that are cached. Instance types and counts, outputs, roles and limits are in no key of a job."""

CacheKey = Mapping[str, Json]
"""The values of a step's key attributes, by their names; what the step does not have is not there."""

_DURATION: Final = re.compile(
    r"P?(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?",
    re.IGNORECASE | re.ASCII,
)
_SECONDS: Final = {
    "years": 365 * 86_400,
    "months": 30 * 86_400,
    "weeks": 7 * 86_400,
    "days": 86_400,
    "hours": 3_600,
    "minutes": 60,
    "seconds": 1,
}


def cache_key(step: Step, arguments: Mapping[str, Json], members: Mapping[str, Json]) -> CacheKey | None:
    """The key of a step that is to run now; None when its kind is not cached.

    Args:
        step: The step.
        arguments: Its Arguments without expressions.
        members: What stands beside them, without expressions.
    """
    attributes = KEY_ATTRIBUTES.get(step.kind)
    if attributes is None:
        return None
    key: dict[str, Json] = {}
    for name in sorted(arguments) if attributes.arguments is None else attributes.arguments:
        value: Json = arguments
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value not in (None, {}, []):
            key[name] = value
    key |= {name: members[name] for name in attributes.beside if members.get(name) is not None}
    return key


def uses_cache(step: Step) -> bool:
    """Whether earlier runs of the step are looked for: it says so, and for how long, and its kind is cached."""
    cache = step.cache
    return cache is not None and cache.enabled and bool(cache.expire_after) and step.kind in KEY_ATTRIBUTES


def max_age(expire_after: str) -> float:
    """Seconds that an ExpireAfter is worth, e.g. ``P30D``, ``PT1H``, ``30d`` or ``T16m``; a month has 30 days.

    Raises:
        ValueError: It is no duration.
    """
    found = _DURATION.fullmatch(expire_after)
    if found is None or not any(found.groups()):
        raise ValueError(f"{expire_after!r} is no ISO 8601 duration")
    return sum(int(value) * _SECONDS[unit] for unit, value in found.groupdict().items() if value is not None)


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """A run of a step that succeeded; one that was itself taken from an earlier run is no run.

    Attributes:
        execution: The ARN of the execution that ran it, whatever became of that.
        ended: When it ended, in epoch seconds.
        metadata: The step's Metadata there.
        key: Its key; None when it has none.
    """

    execution: str
    ended: float
    metadata: Mapping[str, Json]
    key: CacheKey | None


def usable_runs(runs: Iterable[EarlierRun], key: CacheKey, oldest: float) -> Iterator[EarlierRun]:
    """The runs that may be used, the one to be used first.

    Rules: developer guide, "Caching pipeline steps": of several the most recent, and none that is too old.

    Args:
        runs: All of a step, the one that ended last first.
        key: The step's key now.
        oldest: When the oldest run may have ended, in epoch seconds.
    """
    for run in runs:
        if run.key is not None and same_key(run.key, key):
            if run.ended < oldest:
                return
            yield run


def same_key(one: CacheKey, other: CacheKey) -> bool:
    """Whether two keys are the same; text is not the number that it shows, and lists have an order."""
    return _text(one) == _text(other)


def _text(key: CacheKey) -> str:
    return json.dumps(key, sort_keys=True)


class Difference(NamedTuple):
    """One place where two keys differ; None where a key has nothing."""

    path: str
    before: Json
    after: Json


def differences(before: Json, after: Json, path: str = "") -> Iterator[Difference]:
    """The smallest places in which two keys differ; elements of lists that have names are held against each other."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in [*before, *(name for name in after if name not in before)]:
            where = f"{path}.{name}" if path else name
            yield from differences(before.get(name), after.get(name), where)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _of_lists(before, after, path)
    elif before != after or isinstance(before, bool) is not isinstance(after, bool):
        yield Difference(path, before, after)


def _of_lists(before: list[Json], after: list[Json], path: str) -> Iterator[Difference]:
    old, new = _named(before), _named(after)
    if old and new:
        if list(old) != list(new) and old.keys() == new.keys():
            yield Difference(path, list(old), list(new))
        for name in [*old, *(name for name in new if name not in old)]:
            yield from differences(old.get(name), new.get(name), f"{path}['{name}']")
    elif len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from differences(one, other, f"{path}[{index}]")
    else:
        yield Difference(path, before, after)


def _named(elements: list[Json]) -> dict[str, Json]:
    """The elements by their names; nothing unless every one has a name of its own."""
    found: dict[str, Json] = {}
    for element in elements:
        names = (element.get(m) for m in NAMING_MEMBERS) if isinstance(element, Mapping) else ()
        name = next((name for name in names if isinstance(name, str)), None)
        if name is None or name in found:
            return {}
        found[name] = element
    return found
