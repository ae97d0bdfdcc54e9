"""A whole search as a state machine: which trial starts now, which is given up, and when it is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from mlops_sm.local.tuning.search import Search
from mlops_sm.local.tuning.space import Values
from mlops_sm.local.tuning.stopping import NeverStop, Stopping

_ATTEMPTS: Final = 5
"""Trials without a result after which nobody expects one."""
_IMPROVEMENT: Final = 0.01
"""A value that is better by less than this part of the best so far is no improvement (API reference,
BestObjectiveNotImproving)."""
_CONVERGED: Final = 10
"""Results in a row without an improvement that count as convergence."""


class Verdict(StrEnum):
    """Why a search is over."""

    EXHAUSTED = "exhausted"
    """Everything that was to be tried was."""
    TARGET = "target"
    NOT_IMPROVING = "not improving"
    CONVERGED = "converged"
    NOTHING_RAN = "nothing ran"
    """Every trial failed."""
    NO_METRIC = "no metric"
    """Trials ended well, none with a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One kind of trial.

    Attributes:
        name: Of the definition; empty when there is only one.
        search: Chooses its hyperparameters.
        maximize: Whether a higher value is better.
        stopping: Gives its trials up.
    """

    name: str
    search: Search
    maximize: bool
    stopping: Stopping = field(default_factory=NeverStop)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a search ends; None for a criterion that is not asked for.

    Attributes:
        trials: At most so many.
        parallel: At most so many at once.
        target: A value that is good enough.
        not_improving: So many results in a row without an improvement.
        converge: Whether convergence ends it.
    """

    trials: int
    parallel: int
    target: float | None = None
    not_improving: int | None = None
    converge: bool = False


class Trial(NamedTuple):
    """One combination that is tried; `number` counts from 1."""

    number: int
    task: Task
    values: Values


class Tuner:
    """Chooses trials, hears of them, and knows when it is enough. Not safe to use from several threads.

    Args:
        tasks: The kinds of trials, taken in turn.
        limits: When to end.
    """

    def __init__(self, tasks: Sequence[Task], limits: Limits) -> None:
        self._tasks = list(tasks)
        self._limits = limits
        self._started = 0
        self._running: dict[int, Trial] = {}
        self._reported: dict[int, list[float]] = {}
        self._ended = 0
        self._ran_well = 0
        self._best: dict[str, float] = {}
        self._with_value = 0
        self.without_improvement = 0
        self.verdict: Verdict | None = None
        self.attempts = 0
        """Trials that had ended when the search was given up as fruitless."""

    def is_over(self) -> bool:
        """Whether nothing more is to be tried."""
        return self.verdict is not None

    def trial(self, number: int) -> Trial:
        """A trial that has not ended."""
        return self._running[number]

    def next(self) -> Trial | None:
        """A trial that may start now; None when there is no room for one or nothing left to try."""
        while self._tasks and self.verdict is None and self._started < self._limits.trials:
            if len(self._running) >= self._limits.parallel:
                return None
            task = self._tasks.pop(0)
            values = task.search.ask()
            if values is None:
                continue
            self._tasks.append(task)
            self._started += 1
            trial = Trial(self._started, task, values)
            self._running[trial.number] = trial
            self._reported[trial.number] = []
            return trial
        if not self._running and self.verdict is None:
            self.verdict = Verdict.EXHAUSTED if self._with_value else self._fruitless()
            self.attempts = self._ended
        return None

    def report(self, number: int, value: float) -> bool:
        """A running trial has reached a value; whether it is to be given up."""
        trial = self._running.get(number)
        if trial is None:
            return False
        values = self._reported[number]
        values.append(value)
        return trial.task.stopping.hopeless(number, values)

    def end(self, number: int, value: float | None, *, well: bool) -> None:
        """A trial has ended.

        Args:
            number: The trial.
            value: Its last value; None when it has none, or failed.
            well: Whether it ran to an end that is no failure.
        """
        trial = self._running.pop(number)
        trial.task.stopping.ended(number, self._reported.pop(number))
        trial.task.search.tell(trial.values, value)
        self._ended += 1
        self._ran_well += well
        if value is not None:
            self._judge(trial.task, value)
        if self.verdict is None and not self._with_value and self._ended >= min(_ATTEMPTS, self._limits.trials):
            self.verdict = self._fruitless()
            self.attempts = self._ended

    def _fruitless(self) -> Verdict:
        return Verdict.NO_METRIC if self._ran_well else Verdict.NOTHING_RAN

    def _judge(self, task: Task, value: float) -> None:
        self._with_value += 1
        sign = 1.0 if task.maximize else -1.0
        best = self._best.get(task.name)
        better = best is None or sign * value > sign * best
        if best is None or (better and sign * (value - best) >= _IMPROVEMENT * abs(best)):
            self.without_improvement = 0
        else:
            self.without_improvement += 1
        if better:
            self._best[task.name] = value
        limits = self._limits
        if self.verdict is not None:
            return
        if limits.target is not None and sign * value >= sign * limits.target:
            self.verdict = Verdict.TARGET
        elif limits.not_improving is not None and self.without_improvement >= limits.not_improving:
            self.verdict = Verdict.NOT_IMPROVING
        elif limits.converge and self.without_improvement >= _CONVERGED:
            self.verdict = Verdict.CONVERGED
