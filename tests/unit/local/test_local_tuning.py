"""The search by itself: scales, strategies, the rules that give trials up, and when it is over."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sm.local.tuning.bayesian import BayesianSearch
from mlops_sm.local.tuning.search import GridSearch, Known, RandomSearch, Search
from mlops_sm.local.tuning.space import Choice, Numbers, Scaling, Space
from mlops_sm.local.tuning.stopping import Hyperband, MedianRule
from mlops_sm.local.tuning.tuner import Limits, Task, Tuner, Verdict

ENDS = st.tuples(st.floats(1e-6, 0.9), st.floats(1e-6, 0.9)).map(sorted)


@given(ENDS, st.sampled_from(Scaling), st.floats(0, 1))
def test_a_place_has_a_value_in_the_range_and_back(ends: list[float], scaling: Scaling, place: float) -> None:
    numbers = Numbers("x", ends[0], ends[1], scaling)
    value = numbers.at(place)
    assert ends[0] <= float(value) <= ends[1]
    back = numbers.place(value)
    assert back is not None
    assert float(numbers.at(back)) == pytest.approx(float(value), rel=1e-6)


@pytest.mark.parametrize(
    ("numbers", "middle"),
    [
        (Numbers("x", 0, 100, Scaling.LINEAR), 50),
        (Numbers("x", 0.01, 100, Scaling.LOGARITHMIC), 1),
        (Numbers("x", 0, 0.99, Scaling.REVERSE_LOGARITHMIC), 0.9),
        (Numbers("x", 0.001, 1000), 1),
        (Numbers("x", 1, 10), 5.5),
    ],
)
def test_the_middle_of_a_scale(numbers: Numbers, middle: float) -> None:
    assert float(numbers.at(0.5)) == pytest.approx(middle)


def test_integers_are_written_as_such() -> None:
    numbers = Numbers("x", 1, 5, whole=True)
    assert {numbers.at(place / 100) for place in range(101)} == {"1", "2", "3", "4", "5"}
    assert list(numbers.each()) == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Numbers("x", 2, 1),
        lambda: Numbers("x", 0, 1, Scaling.LOGARITHMIC),
        lambda: Numbers("x", 0, 1, Scaling.REVERSE_LOGARITHMIC),
        lambda: Numbers("x", 0, math.inf),
        lambda: Choice("x", ()),
        lambda: Choice("x", ("a", "a")),
        lambda: Space([Choice("x", ("a",)), Numbers("x", 0, 1)]),
    ],
)
def test_ranges_that_make_no_sense(wrong: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="x"):
        wrong()


SMALL = Space([Choice("a", ("p", "q")), Numbers("b", 1, 3, whole=True)])


@pytest.mark.parametrize(
    "search",
    [
        RandomSearch(SMALL, 1),
        GridSearch(SMALL),
        BayesianSearch(SMALL, 1, maximize=True, trials=6),
    ],
)
def test_every_combination_is_given_once(search: Search) -> None:
    given_out = []
    while (values := search.ask()) is not None:
        search.tell(values, float(values["b"]))
        given_out.append(tuple(values.items()))
    assert len(given_out) == len(set(given_out)) == SMALL.count == 6


@pytest.mark.parametrize("names", ["x", "xy"])
def test_ends_with_nothing_between_them_are_soon_exhausted(names: str) -> None:
    search = RandomSearch(Space([Numbers(name, 1.0, math.nextafter(1.0, 2.0)) for name in names]), 1)
    given_out = []
    while (values := search.ask()) is not None:
        given_out.append(tuple(values.values()))
    assert len(given_out) == len(set(given_out)) == 2 ** len(names)


def _minimize(search: Search, trials: int) -> float:
    best = math.inf
    for _ in range(trials):
        values = search.ask()
        assert values is not None
        value = (float(values["x"]) - 0.7) ** 2 + (float(values["y"]) - 0.2) ** 2
        search.tell(values, value)
        best = min(best, value)
    return best


def test_bayesian_search_is_better_than_drawing() -> None:
    square = Space([Numbers("x", 0, 1), Numbers("y", 0, 1)])
    learned = [_minimize(BayesianSearch(square, seed, maximize=False, trials=30), 30) for seed in range(5)]
    drawn = [_minimize(RandomSearch(square, seed), 30) for seed in range(5)]
    assert sum(learned) < sum(drawn)


def test_bayesian_search_repeats_itself_with_its_seed() -> None:
    square = Space([Numbers("x", 0, 1), Numbers("y", 0, 1)])

    def asked() -> list[Any]:
        search = BayesianSearch(square, 3, maximize=False, trials=12)
        found = []
        for _ in range(12):
            values = search.ask()
            assert values is not None
            search.tell(values, float(values["x"]))
            found.append(dict(values))
        return found

    assert asked() == asked()


def test_bayesian_search_starts_from_what_is_known() -> None:
    line = Space([Numbers("x", 0, 1)])
    draw = random.Random(1)  # noqa: S311 - results, not secrets
    known = [Known({"x": str(x), "other": "1"}, (x - 0.9) ** 2) for x in (draw.random() for _ in range(30))]
    search = BayesianSearch(line, 1, maximize=False, trials=5, known=[*known, Known({"x": "7"}, 0.0)])
    asked = [search.ask() for _ in range(5)]
    assert sum(abs(float(values["x"]) - 0.9) for values in asked if values) / 5 < 0.2


def test_failed_trials_do_not_stop_the_search() -> None:
    search = BayesianSearch(Space([Numbers("x", 0, 1)]), 1, maximize=True, trials=10)
    for _ in range(10):
        values = search.ask()
        assert values is not None
        search.tell(values, None)


def test_the_median_rule_compares_with_earlier_trials() -> None:
    rule = MedianRule(maximize=False)
    assert not rule.hopeless(1, [9.0])
    for trial, values in enumerate(([3.0, 2.0, 1.0], [5.0, 4.0, 3.0], [4.0, 3.0, 2.0])):
        rule.ended(trial, values)
    assert rule.hopeless(4, [4.5])
    assert not rule.hopeless(4, [3.9])
    assert rule.hopeless(4, [3.9, 3.6]), "the running average of the middle one is 3.5"
    assert not rule.hopeless(4, [3.9, 3.4, 9.0]), "in the last epoch there is nothing to give up"


def test_hyperband_keeps_the_best_of_a_rung() -> None:
    band = Hyperband(maximize=True, min_resource=1, max_resource=9)
    # Trials 3, 6, 9, ... are in the bracket whose first rung is at one epoch.
    assert [band.hopeless(trial, [value]) for trial, value in ((3, 5.0), (6, 4.0), (9, 6.0))] == [False, True, False]
    assert not band.hopeless(1, [0.0]), "another bracket starts later"
    assert not band.hopeless(2, [0.0] * 8)
    assert band.hopeless(2, [0.0] * 9), "nobody gets more than the maximum"


class _Numbers:
    """A search that gives 0, 1, 2, ..."""

    def __init__(self) -> None:
        self.told: list[tuple[str, float | None]] = []
        self._next = 0

    def ask(self) -> dict[str, str]:
        self._next += 1
        return {"x": str(self._next - 1)}

    def tell(self, values: Any, value: float | None) -> None:
        self.told.append((values["x"], value))


def _tuner(search: Search | None = None, **limits: Any) -> Tuner:
    task = Task(name="", search=search or _Numbers(), maximize=True)
    return Tuner([task], Limits(**{"trials": 10, "parallel": 2, **limits}))


def test_no_more_run_at_once_than_may() -> None:
    search = _Numbers()
    tuner = _tuner(search)
    first, second = tuner.next(), tuner.next()
    assert first is not None
    assert second is not None
    assert tuner.next() is None
    tuner.end(first.number, 1.0, well=True)
    assert search.told == [("0", 1.0)]
    third = tuner.next()
    assert third is not None
    assert third.number == 3


def _run(tuner: Tuner, value: Callable[[int], float | None], *, well: bool = True) -> int:
    count = 0
    while (trial := tuner.next()) is not None:
        count += 1
        tuner.end(trial.number, value(trial.number), well=well)
    return count


def test_it_ends_when_everything_was_tried() -> None:
    tuner = _tuner()
    assert _run(tuner, float) == 10
    assert tuner.verdict is Verdict.EXHAUSTED


def test_it_ends_at_its_target() -> None:
    tuner = _tuner(target=3.0)
    assert _run(tuner, float) == 3
    assert tuner.verdict is Verdict.TARGET


def test_why_it_is_over_does_not_change_when_the_last_trials_end() -> None:
    tuner = _tuner(target=3.0, not_improving=1)
    first, second = tuner.next(), tuner.next()
    assert first is not None
    assert second is not None
    tuner.end(first.number, 5.0, well=True)
    tuner.end(second.number, 1.0, well=True)
    assert tuner.verdict is Verdict.TARGET


def test_it_ends_when_nothing_improves_by_one_percent() -> None:
    tuner = _tuner(trials=50, not_improving=3)
    assert _run(tuner, lambda number: 1.0 + number / 10_000) == 4
    assert tuner.verdict is Verdict.NOT_IMPROVING
    assert tuner.without_improvement == 3


@pytest.mark.parametrize("value", [1.0, 0.0, -1.0])
def test_it_ends_when_it_has_converged(value: float) -> None:
    tuner = _tuner(trials=50, converge=True)
    assert _run(tuner, lambda _: value) == 11
    assert tuner.verdict is Verdict.CONVERGED


@pytest.mark.parametrize(("well", "verdict"), [(True, Verdict.NO_METRIC), (False, Verdict.NOTHING_RAN)])
@pytest.mark.parametrize(("trials", "attempts"), [(50, 5), (3, 3)])
def test_it_gives_up_when_no_trial_has_a_value(well: bool, verdict: Verdict, trials: int, attempts: int) -> None:
    tuner = _tuner(trials=trials)
    assert _run(tuner, lambda _: None, well=well) == tuner.attempts == attempts
    assert tuner.verdict is verdict


def test_one_value_is_enough_to_go_on() -> None:
    tuner = _tuner()
    assert _run(tuner, lambda number: 1.0 if number == 2 else None) == 10
    assert tuner.verdict is Verdict.EXHAUSTED
