"""What an alarm makes of its data, and a composite alarm of other alarms: pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sm.emulator.alarms.evaluation import Missing, Settings, State, judge, reason
from mlops_sm.emulator.alarms.formulas import FormulaError, parse_formula
from mlops_sm.emulator.alarms.rules import RuleError, children, holds, parse_rule
from mlops_sm.emulator.alarms.samples import Point, Sample, enough_for, is_statistic, statistic

NOON = 1_795_521_600.0  # 2026-11-24T12:00:00Z
KEEP = None
OK, ALARM, UNKNOWN = State.OK, State.ALARM, State.INSUFFICIENT_DATA


def settings(periods: int, needed: int | None, missing: Missing = Missing.MISSING) -> Settings:
    return Settings(
        comparison="GreaterThanThreshold", threshold=50.0, periods=periods, to_alarm=needed, missing=missing
    )


def points(drawn: str) -> list[Point | None]:
    """``X`` breaches, ``0`` does not, ``-`` is missing; oldest first."""
    values = {"X": 99.5, "0": 0.0}
    return [
        Point(NOON + 60 * index, values[sign], 1.0) if sign in values else None
        for index, sign in enumerate(drawn.split())
    ]


@pytest.mark.parametrize(
    ("needed", "drawn", "filled", "missing", "ignore", "breaching", "not_breaching"),
    [
        # The two tables of "How alarm state is evaluated when data is missing", EvaluationPeriods 3:
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
        (3, "0 - X - X", 0, OK, OK, OK, OK),
        (3, "0 - - - -", 2, OK, OK, OK, OK),
        (3, "- - - - -", 3, UNKNOWN, KEEP, ALARM, OK),
        (3, "0 X X - X", 0, ALARM, ALARM, ALARM, ALARM),
        (3, "- - X - -", 2, ALARM, KEEP, ALARM, OK),
        (2, "0 - X - X", 0, ALARM, ALARM, ALARM, ALARM),
        (2, "0 0 X 0 X", 0, ALARM, ALARM, ALARM, ALARM),
        (2, "0 - X - -", 1, OK, OK, ALARM, OK),
        (2, "- - - - 0", 2, OK, OK, ALARM, OK),
        (2, "- - - X -", 2, ALARM, KEEP, ALARM, OK),
        # "Avoiding premature transitions to alarm state" of the same page.
        (3, "- - - - X", 2, KEEP, KEEP, ALARM, OK),
        (3, "- - - X -", 2, KEEP, KEEP, ALARM, OK),
    ],
)
def test_the_tables_of_the_user_guide(
    *,
    needed: int,
    drawn: str,
    filled: int,
    missing: State | None,
    ignore: State | None,
    breaching: State | None,
    not_breaching: State | None,
) -> None:
    expected = {
        Missing.MISSING: missing,
        Missing.IGNORE: ignore,
        Missing.BREACHING: breaching,
        Missing.NOT_BREACHING: not_breaching,
    }
    for treatment, state in expected.items():
        verdict = judge(points(drawn), settings(3, needed, treatment))
        assert verdict.filled == filled
        assert verdict.state is state, treatment


def test_a_metric_that_stops_keeps_its_alarm_for_two_more_periods() -> None:
    # "CloudWatch alarms might repeatedly reevaluate the last set of data points for a period of time".
    one = settings(1, None, Missing.NOT_BREACHING)
    assert [judge(points(drawn), one).state for drawn in ("- - X", "- X -", "X - -", "- - -")] == [
        ALARM,
        ALARM,
        ALARM,
        OK,
    ]


@given(
    st.lists(st.sampled_from("X0-"), min_size=1, max_size=8),
    st.integers(1, 6),
    st.integers(1, 6),
    st.sampled_from(list(Missing)),
)
def test_enough_data_make_the_treatment_of_missing_ones_irrelevant(
    signs: list[str], periods: int, needed: int, missing: Missing
) -> None:
    needed = min(needed, periods)
    drawn = points(" ".join(signs))
    real = [point for point in drawn if point is not None]
    verdict = judge(drawn, settings(periods, needed, missing))
    if len(real) >= periods:
        crossing = sum(point.value > 50 for point in real[-periods:])
        assert verdict.state is (ALARM if crossing >= needed else OK)
    if sum(point.value > 50 for point in real[-periods:]) >= needed:
        assert verdict.state is ALARM


@pytest.mark.parametrize(
    ("comparison", "value", "breaches"),
    [
        ("GreaterThanThreshold", 50.0, False),
        ("GreaterThanOrEqualToThreshold", 50.0, True),
        ("LessThanThreshold", 50.0, False),
        ("LessThanOrEqualToThreshold", 50.0, True),
        ("LessThanThreshold", 49.9, True),
        ("GreaterThanThreshold", 50.1, True),
    ],
)
def test_comparisons(comparison: str, value: float, *, breaches: bool) -> None:
    compared = Settings(comparison=comparison, threshold=50.0, periods=1, to_alarm=None, missing=Missing.MISSING)
    assert compared.breaches(Point(NOON, value, 1.0)) is breaches


def _reason(drawn: str, setting: Settings, before: State) -> str:
    verdict = judge(points(drawn), setting)
    return reason(verdict, setting, verdict.state or before, before)


def test_reasons_are_worded_as_the_service_words_them() -> None:
    # Recorded from the service.
    one = settings(1, None)
    assert _reason("- - X", one, OK) == (
        "Threshold Crossed: 1 datapoint [99.5 (24/11/26 12:02:00)] was greater than the threshold (50.0)."
    )
    assert _reason("X X 0", one, ALARM) == (
        "Threshold Crossed: 1 datapoint [0.0 (24/11/26 12:02:00)] was not greater than the threshold (50.0)."
    )
    assert _reason("- - X", settings(1, 1), OK) == (
        "Threshold Crossed: 1 out of the last 1 datapoints [99.5 (24/11/26 12:02:00)] was greater than the threshold"
        " (50.0) (minimum 1 datapoint for OK -> ALARM transition)."
    )
    assert _reason("- - 0 X X", settings(3, 2), OK) == (
        "Threshold Crossed: 2 out of the last 3 datapoints [99.5 (24/11/26 12:04:00), 99.5 (24/11/26 12:03:00)] were"
        " greater than the threshold (50.0) (minimum 2 datapoints for OK -> ALARM transition)."
    )
    assert _reason("- - -", settings(1, None, Missing.NOT_BREACHING), UNKNOWN) == (
        "Threshold Crossed: no datapoints were received for 1 period and 1 missing datapoint was treated as"
        " [NonBreaching]."
    )
    assert _reason("- - - -", settings(2, None, Missing.BREACHING), OK) == (
        "Threshold Crossed: no datapoints were received for 2 periods and 2 missing datapoints were treated as"
        " [Breaching]."
    )
    assert _reason("- - -", one, OK) == "Insufficient Data: 1 datapoint was unknown."


# ---------------------------------------------------------------------- statistics


def _values(*values: float) -> list[Sample]:
    return [Sample.of_value(NOON, value, "None") for value in values]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SampleCount", 4.0),
        ("Sum", 10.0),
        ("Average", 2.5),
        ("Minimum", 1.0),
        ("Maximum", 4.0),
        ("p0", 1.0),
        ("p50", 2.5),
        ("p100", 4.0),
    ],
)
def test_statistics(name: str, expected: float) -> None:
    assert is_statistic(name)
    assert statistic(name, NOON, _values(4.0, 1.0, 3.0, 2.0)) == Point(NOON, expected, 4.0)


def test_statistics_of_nothing_and_of_counted_values_and_sets() -> None:
    assert statistic("Average", NOON, []) is None
    counted = Sample.of_set(NOON, count=3.0, total=6.0, minimum=2.0, maximum=2.0, unit="None")
    assert statistic("Sum", NOON, [counted]) == Point(NOON, 6.0, 3.0)
    many = Sample.of_set(NOON, count=4, total=10.0, minimum=1.0, maximum=4.0, unit="None")
    assert statistic("Average", NOON, [many, *_values(5.0)]) == Point(NOON, 3.0, 5.0)
    assert statistic("p90", NOON, [many]) is None
    assert statistic("p50", NOON, _values(-1.0, 1.0)) is None
    same = Sample.of_set(NOON, count=3, total=6.0, minimum=2.0, maximum=2.0, unit="None")
    assert statistic("p90", NOON, [same]) == Point(NOON, 2.0, 3.0)


@pytest.mark.parametrize("name", ["p101", "p", "Median", "tm90", "average", ""])
def test_other_statistics_are_not_known(name: str) -> None:
    assert not is_statistic(name)


def test_how_many_values_a_percentile_needs() -> None:
    # The guide: ten divided by what lies beyond the percentile.
    assert enough_for(99) == pytest.approx(1000)
    assert enough_for(50) == pytest.approx(20)
    assert enough_for(10) == pytest.approx(100)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20), st.floats(0, 100))
def test_a_percentile_lies_between_the_values_next_to_it(values: list[float], percentile: float) -> None:
    found = statistic(f"p{percentile:.3f}", NOON, _values(*values))
    assert found is not None
    assert min(values) - 1e-6 <= found.value <= max(values) + 1e-6


# ---------------------------------------------------------------------- metric math

MATH: dict[str, dict[float, float]] = {
    "m1": {0.0: 1.0, 60.0: 4.0, 180.0: 10.0},
    "m2": {0.0: 2.0, 60.0: 0.0, 120.0: 5.0, 180.0: 5.0},
}
STARTS = (0.0, 60.0, 120.0, 180.0)


def compute(text: str) -> dict[float, float]:
    series = parse_formula(text).series(MATH, ("m1", "m2"), STARTS)
    return dict(sorted(series.items()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Only periods that both have; none after a division by zero.
        ("m1 + m2", {0.0: 3.0, 60.0: 4.0, 180.0: 15.0}),
        ("m1 / m2", {0.0: 0.5, 180.0: 2.0}),
        ("m1 ^ 2 * -2", {0.0: -2.0, 60.0: -32.0, 180.0: -200.0}),
        ("m2 > 2 && m2 < 6", {0.0: 0.0, 60.0: 0.0, 120.0: 1.0, 180.0: 1.0}),
        ("m2 == 0 OR m2 >= 5", {0.0: 0.0, 60.0: 1.0, 120.0: 1.0, 180.0: 1.0}),
        ("FILL(m1, 0)", {0.0: 1.0, 60.0: 4.0, 120.0: 0.0, 180.0: 10.0}),
        ("FILL(m1, REPEAT)", {0.0: 1.0, 60.0: 4.0, 120.0: 4.0, 180.0: 10.0}),
        ("FILL(m1, LINEAR)", {0.0: 1.0, 60.0: 4.0, 120.0: 7.0, 180.0: 10.0}),
        ("FILL(m1, m2)", {0.0: 1.0, 60.0: 4.0, 120.0: 5.0, 180.0: 10.0}),
        ("IF(m2 > 2, m2, m1)", {0.0: 1.0, 60.0: 4.0, 120.0: 5.0, 180.0: 5.0}),
        ("IF(m2 > 2, m2)", {120.0: 5.0, 180.0: 5.0}),
        ("MAX(METRICS())", {0.0: 2.0, 60.0: 4.0, 120.0: 5.0, 180.0: 10.0}),
        ("SUM([m1, m2]) / 2", {0.0: 1.5, 60.0: 2.0, 120.0: 2.5, 180.0: 7.5}),
        ("AVG(METRICS() * 2)", {0.0: 3.0, 60.0: 4.0, 120.0: 10.0, 180.0: 15.0}),
        ("MIN(m1)", dict.fromkeys(STARTS, 1.0)),
        ("STDDEV(m2 * 0)", dict.fromkeys(STARTS, 0.0)),
        ("CEIL(m1 / 4)", {0.0: 1.0, 60.0: 1.0, 180.0: 3.0}),
        ("LOG10(m2 / m2 * 100)", {0.0: 2.0, 120.0: 2.0, 180.0: 2.0}),
        ("(0 - m1) ^ 0.5", {}),
        ("7", dict.fromkeys(STARTS, 7.0)),
    ],
)
def test_formulas(text: str, expected: dict[float, float]) -> None:
    assert compute(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "m1 +",
        "[m1, m2]",
        "SEARCH('x')",
        "m1.real",
        "m1[0]",
        "lambda: 1",
        "m1 if m2 else 1",
        "'a'",
        "True",
        "(" * 900,
    ],
)
def test_formulas_that_are_none(text: str) -> None:
    with pytest.raises(FormulaError):
        compute(text)


@given(st.text(alphabet="m12 +-*/^()<>=&|,.[]ABSFILMAXVG", max_size=40))
def test_any_text_is_computed_or_refused(text: str) -> None:
    try:
        formula = parse_formula(text)
    except FormulaError:
        return
    if formula.names <= set(MATH):
        try:
            series = formula.series(MATH, ("m1", "m2"), STARTS)
        except FormulaError:
            return
        assert set(series) <= set(STARTS)


# ---------------------------------------------------------------------- composite alarms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('ALARM("a")', True),
        ("ALARM(a)", True),
        ("OK(b) AND ALARM(a)", True),
        ("OK(a) OR INSUFFICIENT_DATA(c)", True),
        ("NOT ALARM(a)", False),
        ("NOT (OK(b) AND ALARM(a))", False),
        ("OK(a) OR OK(b) AND OK(a)", False),
        ("(OK(a) OR OK(b)) AND ALARM(a)", True),
        ("NOT OK(a) AND OK(b)", True),
        ("TRUE", True),
        ("FALSE OR TRUE", True),
        ('ALARM("arn:aws:cloudwatch:us-east-1:123456789012:alarm:a")', True),
        ("ALARM(arn:aws:cloudwatch:us-east-1:123456789012:alarm:a)", True),
        ('OK("with \\"quotes\\" and (brackets)")', True),
        ("  ALARM ( a )\n AND\tOK ( b ) ", True),
    ],
)
def test_rules(text: str, *, expected: bool) -> None:
    states = {"a": ALARM, "b": OK, "c": UNKNOWN, 'with "quotes" and (brackets)': OK}
    assert holds(parse_rule(text), states.__getitem__) is expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ALARM",
        "ALARM()",
        "ALARM(a",
        "ALARM(a))",
        "ALARM(a) ALARM(b)",
        "AND ALARM(a)",
        "ALARM(a) AND",
        "NOT",
        "RED(a)",
        "a",
        "(" * 200,
    ],
)
def test_rules_that_are_none(text: str) -> None:
    with pytest.raises(RuleError):
        parse_rule(text)


def test_children_are_named_once_and_not_too_many() -> None:
    assert children(parse_rule("ALARM(a) AND (OK(b) OR NOT ALARM(a))")) == ("a", "b")
    with pytest.raises(RuleError, match="100"):
        parse_rule(" OR ".join(f"ALARM(a{number})" for number in range(101)))


@given(st.text(alphabet='ALARMOKNDTRUE()" ab', max_size=40))
def test_any_text_is_a_rule_or_refused(text: str) -> None:
    try:
        rule = parse_rule(text)
    except RuleError:
        return
    assert holds(rule, lambda _: ALARM) in {True, False}


def test_and_binds_more_tightly_than_or() -> None:
    for a, b, c in product([True, False], repeat=3):
        states: Sequence[str] = [str(value).upper() for value in (a, b, c)]
        assert holds(parse_rule(f"{states[0]} OR {states[1]} AND {states[2]}"), lambda _: OK) is (a or (b and c))
