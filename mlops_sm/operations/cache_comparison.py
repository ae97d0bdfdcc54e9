"""A step that uses the cache held against its earlier runs: which one is used, or what the nearest one differs in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Final, NamedTuple

from mlops_sm.definition import Definition, Scalar, Step
from mlops_sm.definition.document import Json
from mlops_sm.definition.kinds import StepKind
from mlops_sm.engine import Succeeded
from mlops_sm.engine.cache import CacheKey, Difference, EarlierRun, differences, max_age, same_key, usable_runs
from mlops_sm.engine.unknown import Gap, Planned, unknowns
from mlops_sm.operations.cache_outlook import Cause, Change, Outlook, Verdict, because, is_new
from mlops_sm.operations.earlier_runs import EarlierRuns, ReadJson, Recall
from mlops_sm.operations.object_bytes import Contents, uris_in

_COMPARED: Final = 10
"""Earlier runs among which the one is looked for that differs least."""
_NOT_READ_BACK: Final = frozenset({StepKind.EMR, StepKind.EMR_SERVERLESS, StepKind.AUTO_ML, StepKind.JOB})
"""Kinds that are taken from earlier runs, but what those left is not told by an operation that is used here."""
_MAX_NOTED: Final = 3
_STILL: Final = "a key holds URIs, not bytes, so the earlier run is used all the same"

AsRequest = Callable[[str, Mapping[str, Json]], Mapping[str, Json]]
"""Arguments as a request of an operation has them, text where it wants text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be foretold.

    Attributes:
        definition: As a publish would write it.
        parameters: A value for each parameter.
        pipeline_arn: The pipeline's ARN.
        earlier: The runs there were.
        recall: What a step left behind.
        read_json: Reads S3.
        contents: The bytes behind URIs.
        as_request: Prints values as a request has them.
        now: The account's time.
    """

    definition: Definition
    parameters: Mapping[str, Scalar]
    pipeline_arn: str
    earlier: EarlierRuns
    recall: Recall
    read_json: ReadJson
    contents: Contents
    as_request: AsRequest
    now: datetime


class Found(NamedTuple):
    """What comes of a step, and what it leaves if it is taken from an earlier run."""

    outlook: Outlook
    left: Succeeded | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Holds steps against their earlier runs.

    Attributes:
        question: What is to be foretold.
        running: The steps that would run before, with their kinds.
        writes: The URIs that those would write to, and who does.
    """

    question: Question
    running: Mapping[str, StepKind]
    writes: Mapping[str, str]

    def of(self, step: Step, key: CacheKey) -> Found:
        """What comes of a step that uses the cache and has this key now."""
        oldest = self.question.now.timestamp() - max_age(str(step.cache and step.cache.expire_after))
        gone: EarlierRun | None = None
        if not gaps_in(key):
            for run in usable_runs(self.question.earlier.of(step.name), key, oldest):
                try:
                    left = self._left_by(step, run)
                except LookupError:
                    gone = gone or run
                    continue
                reason = f"taken from execution {_id(run)}, where it ended {_moment(run.ended)}"
                notes = tuple(self._notes(step, key, run))
                return Found(_outlook(step, Verdict.HIT, Cause.SAME, reason, run, notes=notes), left)
        if gone is not None:
            reason = f"what it left in execution {_id(gone)} is gone"
            return Found(_outlook(step, Verdict.MISS, Cause.GONE, reason, gone))
        return Found(self._missed(step, key, oldest))

    def _left_by(self, step: Step, run: EarlierRun) -> Succeeded:
        if step.kind in _NOT_READ_BACK:
            return Succeeded(Planned(step.name, {}))
        return self.question.recall(step, run.metadata)

    def _missed(self, step: Step, key: CacheKey, oldest: float) -> Outlook:
        earlier = self.question.earlier
        runs = list(islice(earlier.of(step.name), None if gaps_in(key) else _COMPARED))
        untold = [run for run in runs if earlier.untold(run, step.name) and run.ended >= oldest]
        new = any(is_new(gap, self.running) for gap in gaps_in(key))
        if untold and not new:
            reason = f"the key of its run in execution {_id(untold[0])} cannot be told any more: what it used is gone"
            return _outlook(step, Verdict.UNKNOWN, Cause.GONE, reason, untold[0])
        told = [run for run in runs if run.key is not None]
        if not told and untold:
            return _outlook(step, Verdict.MISS, Cause.NEW, because(gaps_in(key), self.running))
        if not told:
            ran = earlier.started(step.name)
            reason = "no earlier run of it has succeeded" if ran else "it has never run in this pipeline"
            return _outlook(step, Verdict.MISS, Cause.NO_EARLIER_RUN, reason)
        young = [run for run in told if run.ended >= oldest]
        possible = next((run for run in young if gaps_in(key) and self._may_equal(run.key, key)), None)
        nearest = possible or min(young or told, key=lambda run: len(list(differences(run.key, key))))
        found = list(differences(nearest.key, key))
        changes = tuple(map(self._change, found))
        certain = [label for change in changes if not change.because for label in _labels(change)]
        gaps = [gap for each in found for gap in gaps_in(each.after)]
        if possible is not None:
            verdict, cause, reason = Verdict.UNKNOWN, Cause.PENDING, because(gaps, self.running)
        elif not young and self._may_equal(nearest.key, key):
            expire_after = step.cache.expire_after if step.cache else None
            reason = (
                f"its run in execution {_id(nearest)} ended {_moment(nearest.ended)}; ExpireAfter is {expire_after}"
            )
            verdict, cause = Verdict.MISS, Cause.EXPIRED
        elif certain:
            verdict, cause = Verdict.MISS, Cause.CHANGED
            differ = "differ" if len(certain) > 1 else "differs"
            reason = f"{_listed(certain)} {differ} from execution {_id(nearest)}"
        else:
            verdict, cause, reason = Verdict.MISS, Cause.NEW, because(gaps, self.running)
        return _outlook(step, verdict, cause, reason, nearest, changes=changes)

    def _may_equal(self, before: CacheKey | None, after: CacheKey) -> bool:
        """Whether a key may turn out to be the same, or is."""
        if before is None:
            return False
        return same_key(before, after) or all(
            gaps and not any(is_new(gap, self.running) for gap in gaps)
            for gaps in (gaps_in(difference.after) for difference in differences(before, after))
        )

    def _change(self, found: Difference) -> Change:
        gaps = gaps_in(found.after)
        if gaps:
            return Change(
                path=found.path,
                before=found.before,
                after=None,
                because=because(gaps, self.running),
                upstream=tuple(dict.fromkeys(name for gap in gaps if (name := gap.via or gap.step))),
            )
        files = self.question.contents.changes(found.before, found.after)
        return Change(path=found.path, before=found.before, after=found.after, files=files)

    def _notes(self, step: Step, key: CacheKey, run: EarlierRun) -> Iterator[str]:
        """Objects with the same URI and other bytes."""
        started = self.question.earlier.started_at(run, step.name)
        for uri in dict.fromkeys(uris_in(key)):
            writer = next((name for written, name in self.writes.items() if overlap(uri, written)), None)
            if writer is not None:
                yield f"{writer} runs and writes to {uri}, which this step reads; {_STILL}"
                continue
            newer = self.question.contents.written_after(uri, started) if started is not None else []
            if newer:
                yield f"{_listed(newer)} was written after that run had started; {_STILL}"


def gaps_in(value: Json) -> list[Gap]:
    """What a value waits for."""
    return [gap for unknown in unknowns(value) for gap in unknown.gaps]


def overlap(one: str, other: str) -> bool:
    """Whether one of two URIs is the other, or lies under it."""
    shorter, longer = sorted((one.rstrip("/"), other.rstrip("/")), key=len)
    return longer == shorter or longer.startswith(f"{shorter}/")


def _outlook(
    step: Step, verdict: Verdict, cause: Cause, reason: str, run: EarlierRun | None = None, **more: Json
) -> Outlook:
    execution = None if run is None else run.execution
    kind = str(step.kind)
    return Outlook(name=step.name, kind=kind, verdict=verdict, cause=cause, reason=reason, execution=execution, **more)


def _labels(change: Change) -> list[str]:
    """How a change is called: by the files that differ, else by the attribute."""
    return [file.name for file in change.files] if change.files else [change.path]


def _listed(paths: Collection[str]) -> str:
    shown = list(paths)[:_MAX_NOTED]
    return ", ".join(shown) + (f" and {len(paths) - _MAX_NOTED} more" if len(paths) > _MAX_NOTED else "")


def _id(run: EarlierRun) -> str:
    return run.execution.rpartition("/")[2]


def _moment(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
