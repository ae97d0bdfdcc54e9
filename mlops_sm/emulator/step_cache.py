"""Earlier runs of a step that a later execution of the same pipeline may use instead of running it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from mlops_sm.definition.document import Json, Step
from mlops_sm.emulator.store import Store
from mlops_sm.engine.cache import CacheKey, EarlierRun, max_age, usable_runs
from mlops_sm.engine.status import Succeeded
from mlops_sm.local.handlers import ControlPlane, ServiceError, recall

KEY: Final = "CacheKey"
"""Member of a step's record that no list shows: what decides whether it is used again."""


class Hit(NamedTuple):
    """An earlier run that is used.

    Attributes:
        outcome: What it left behind.
        execution: The ARN of the execution that ran it.
        metadata: The step's Metadata there.
    """

    outcome: Succeeded
    execution: str
    metadata: dict[str, Json]


@dataclass(frozen=True, slots=True)
class StepCache:
    """The runs of a pipeline's steps.

    Rules: developer guide, "Caching pipeline steps". Only runs that succeeded count, whatever became of their
    execution, and of several the most recent; one still in progress does not count. A step that was itself taken from
    an earlier run is no run: it would make results younger than they are. A run whose job is gone is passed over.

    Attributes:
        store: The account's.
        clock: The time, by which runs are too old.
    """

    store: Store
    clock: Callable[[], datetime]

    def find(self, pipeline_arn: str, step: Step, key: CacheKey, control: ControlPlane) -> Hit | None:
        """The run of a step to use.

        Args:
            pipeline_arn: Whose step it is.
            step: A step that uses the cache.
            key: Its key now.
            control: Describes what the earlier run created.
        """
        if step.cache is None or step.cache.expire_after is None:
            return None
        oldest = self.clock().timestamp() - max_age(step.cache.expire_after)
        for run in usable_runs(self._runs(pipeline_arn, step), key, oldest):
            try:
                return Hit(recall(step, run.metadata, control), run.execution, dict(run.metadata))
            except (ServiceError, ValueError):
                # What it created is gone, or does not give what the step declares now.
                continue
        return None

    def _runs(self, pipeline_arn: str, step: Step) -> Iterator[EarlierRun]:
        for execution, body in self.store.succeeded_steps(pipeline_arn, step.name):
            if "CacheHitResult" not in body and "SelectiveExecutionResult" not in body:
                yield EarlierRun(execution, body["EndTime"], body.get("Metadata") or {}, body.get(KEY))
