"""Bayesian search by Optuna's tree-structured Parzen estimator, which learns from every result."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, Final, assert_never

from mlops_sm.local.tuning.search import Known, RandomSearch
from mlops_sm.local.tuning.space import Choice, Numbers, Space, Values

PACKAGE: Final = "optuna"
FIX: Final = "Install the extra [tuning] (Optuna), or use the strategy Random, Grid or Hyperband."
"""What to do where the optimiser is not installed."""
_FIRST: Final = 10
"""Random combinations before anything is learned; fewer when few are to be tried at all."""
_REPEATED: Final = 20


def is_available() -> bool:
    """Whether the optimiser is installed (the extra ``[tuning]``)."""
    return importlib.util.find_spec(PACKAGE) is not None


class BayesianSearch:
    """Combinations near those that did well, more often the more is known.

    Args:
        space: What is searched.
        seed: The same seed and the same results in the same order give the same combinations.
        maximize: Whether a higher value is better.
        trials: How many are to be tried.
        known: Results of earlier searches.
    """

    def __init__(self, space: Space, seed: int, *, maximize: bool, trials: int, known: Iterable[Known] = ()) -> None:
        self._space = space
        self._seed = seed
        self._maximize = maximize
        self._random = RandomSearch(space, seed)
        self._results: list[Known] = [each for each in known if each.value is not None]
        self._first = max(3, min(_FIRST, trials // 3)) - len(self._results)
        self._study: Any = None
        self._running: dict[tuple[str, ...], Any] = {}

    def ask(self) -> Values | None:
        """The next combination; None when every one was given."""
        if self._first > 0:
            self._first -= 1
            return self._random.ask()
        study = self._learned()
        for _ in range(_REPEATED):
            trial = study.ask(self._distributions())
            values = self._values(trial.params)
            if self._random.claim(values):
                self._running[tuple(values.values())] = trial
                return values
            study.tell(trial, state=_optuna().trial.TrialState.FAIL)
        return self._random.ask()

    def tell(self, values: Values, value: float | None) -> None:
        """How a combination did; None when it failed."""
        result = Known(values, value)
        if self._study is None:
            if value is not None:
                self._results.append(result)
            return
        trial = self._running.pop(tuple(values.values()), None)
        if trial is None:
            self._add(self._study, result)
        elif value is None:
            self._study.tell(trial, state=_optuna().trial.TrialState.FAIL)
        else:
            self._study.tell(trial, value)

    def _learned(self) -> Any:  # noqa: ANN401 - optuna.Study; the package is optional
        """The study, made when the first combination is learned: the import costs 0.3 s."""
        if self._study is None:
            optuna = _optuna()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                sampler = optuna.samplers.TPESampler(
                    seed=self._seed, n_startup_trials=1, multivariate=True, constant_liar=True
                )
            self._study = optuna.create_study(direction="maximize" if self._maximize else "minimize", sampler=sampler)
            for result in self._results:
                self._add(self._study, result)
        return self._study

    def _add(self, study: Any, result: Known) -> None:  # noqa: ANN401 - see _learned
        inside = self._space.inside(result.values)
        if inside is not None and result.value is not None:
            study.add_trial(
                _optuna().trial.create_trial(
                    params=self._parameters(inside), distributions=self._distributions(), value=result.value
                )
            )

    def _distributions(self) -> dict[str, Any]:
        distributions = _optuna().distributions
        found: dict[str, Any] = {}
        for each in self._space.ranges:
            match each:
                case Numbers():
                    found[each.name] = distributions.FloatDistribution(0.0, 1.0)
                case Choice():
                    found[each.name] = distributions.CategoricalDistribution(each.values)
                case unreachable:
                    assert_never(unreachable)
        return found

    def _values(self, parameters: Mapping[str, Any]) -> Values:
        return {
            each.name: each.at(parameters[each.name]) if isinstance(each, Numbers) else str(parameters[each.name])
            for each in self._space.ranges
        }

    def _parameters(self, values: Values) -> dict[str, Any]:
        return {
            each.name: each.place(values[each.name]) if isinstance(each, Numbers) else values[each.name]
            for each in self._space.ranges
        }


def _optuna() -> Any:  # noqa: ANN401 - the package is optional
    import optuna  # noqa: PLC0415 - 0.3 s that only a Bayesian search needs

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
