"""What is foretold of each step of a pipeline: whether a run would take it from an earlier one, and why not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from mlops_sm.definition.document import Json, Step
from mlops_sm.definition.kinds import StepKind
from mlops_sm.engine.cache import KEY_ATTRIBUTES
from mlops_sm.engine.unknown import Gap


class Verdict(StrEnum):
    """What is foretold of a step."""

    HIT = "hit"
    MISS = "miss"
    UNKNOWN = "unknown"
    DECIDED = "decided"
    SKIPPED = "skipped"


class Cause(StrEnum):
    """Why that is so."""

    SAME = "same_key"
    CHANGED = "key_changed"
    NEW = "new_in_every_run"
    EXPIRED = "expired"
    NO_EARLIER_RUN = "no_earlier_run"
    GONE = "earlier_run_gone"
    OFF = "caching_off"
    NOT_CACHED = "kind_not_cached"
    PENDING = "unknown_until_run"
    CONDITION = "condition"
    FAILS = "fails"
    LOOP = "loop"


class Object(NamedTuple):
    """The bytes of one object or of one file in an archive; sha256 in hex, None when it was too large to be read."""

    digest: str | None
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """One file whose bytes differ; None where there is no such file.

    Attributes:
        name: Of an object under a URI, or of a file in an archive after its object's name and ``!``.
    """

    name: str
    before: Object | None
    after: Object | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One key attribute that differs from the earlier run's.

    Attributes:
        path: Where in the step's Arguments, or beside them.
        before: What it was.
        after: What it is; None where it is gone or is not known.
        because: Why it is not known; empty when it is.
        upstream: The steps that make it so by running.
        files: Where both name objects of S3, what of their bytes differs; None when they were not read.
    """

    path: str
    before: Json
    after: Json
    because: str = ""
    upstream: tuple[str, ...] = ()
    files: tuple[FileChange, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What is foretold of one step.

    Attributes:
        name: The step; of one in a ForEach with the number of its iteration.
        kind: Its kind.
        verdict: Whether it is taken from an earlier run.
        cause: Why.
        reason: The same in a sentence.
        execution: The ARN of the execution it is taken from, or whose run it is held against.
        changes: What differs from there.
        notes: What one would not expect.
        fix: How caching is turned on; empty where it is, or cannot be.
        only_if: The Condition step whose verdict is not known yet and has to be such that this step runs.
    """

    name: str
    kind: str
    verdict: Verdict
    cause: Cause
    reason: str
    execution: str | None = None
    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()
    fix: str = ""
    only_if: str | None = None


_TURN_ON: Final = (
    '"CacheConfig": {"Enabled": true, "ExpireAfter": "P30D"} in the step; '
    'CacheConfig(enable_caching=True, expire_after="P30D") in the SDK; cache_expire_after="P30D" in our builders'
)


def uncached(step: Step) -> tuple[Cause, str, str]:
    """Why no earlier run is looked for, of a step that does not use the cache, and what to do about it."""
    if step.kind not in KEY_ATTRIBUTES:
        return Cause.NOT_CACHED, f"{step.kind} steps are never taken from an earlier run", ""
    if step.cache is not None and step.cache.enabled:
        return Cause.OFF, "caching has no effect without ExpireAfter", _TURN_ON
    return Cause.OFF, "caching is not on", _TURN_ON


def because(gaps: Iterable[Gap], running: Mapping[str, StepKind]) -> str:
    """Why something is not known, in a sentence's words; `running` are the steps that do run, with their kinds."""
    found = list(dict.fromkeys(gaps))
    new = next((gap for gap in found if is_new(gap, running)), None)
    if new is None:
        gap = found[0]
        return f"{gap.name} is unknown until {gap.step or 'the execution'} has run"
    if new.step is not None:
        return f"{new.name} is new, because {new.step} runs"
    return f"{new.name} is new in every run" + (f", and {new.via} runs" if new.via else "")


def is_new(gap: Gap, running: Mapping[str, StepKind]) -> bool:
    """Whether a value is another one in every run: what is named after the execution or after the job.

    Values that a run computes (metrics, a file's content, a function's answer) may well be the same again.
    """
    if gap.content:
        return False
    if gap.step is None:
        return True
    last = gap.path.rpartition(".")[2]
    made = _NAMES + (("ModelName",) if running.get(gap.step) is StepKind.MODEL else ())
    return gap.step in running and last.endswith(made)


_NAMES: Final = ("JobName", "JobArn", "Time", "ModelArn", "ModelPackageArn", "ModelPackageVersion", "S3ModelArtifacts")
