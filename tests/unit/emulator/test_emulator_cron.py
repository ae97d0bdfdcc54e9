"""AWS's cron, rate and at expressions: what is accepted, and when each comes next.

Expressions marked "recorded" are those that AWS itself was seen to accept or to refuse, or stand on its pages:
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sm.emulator.timing.cron import CronError, parse_cron
from mlops_sm.emulator.timing.expressions import (
    At,
    Dialect,
    ExpressionError,
    Rate,
    next_after,
    parse,
    zone,
)

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)  # a Tuesday


def times(fields: str, count: int, start: datetime = START, name: str = "UTC") -> list[str]:
    cron, found = parse_cron(fields), []
    moment: datetime | None = start
    for _ in range(count):
        assert moment is not None
        moment = cron.next_after(moment, zone(name))
        if moment is None:
            break
        found.append(moment.strftime("%Y-%m-%dT%H:%M"))
    return found


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("0 12 * * ? *", ["2026-11-25T12:00", "2026-11-26T12:00"]),
        ("0/20 * * * ? *", ["2026-11-24T12:20", "2026-11-24T12:40", "2026-11-24T13:00"]),
        ("0 * ? * * *", ["2026-11-24T13:00", "2026-11-24T14:00"]),
        ("5,35 14 * * ? *", ["2026-11-24T14:05", "2026-11-24T14:35", "2026-11-25T14:05"]),
        (
            "0 18 ? * MON-FRI *",
            ["2026-11-24T18:00", "2026-11-25T18:00", "2026-11-26T18:00", "2026-11-27T18:00", "2026-11-30T18:00"],
        ),
        (
            "0 18 ? * fri-mon *",
            ["2026-11-27T18:00", "2026-11-28T18:00", "2026-11-29T18:00", "2026-11-30T18:00", "2026-12-04T18:00"],
        ),
        (
            "0 22-1 * * ? *",
            ["2026-11-24T22:00", "2026-11-24T23:00", "2026-11-25T00:00", "2026-11-25T01:00", "2026-11-25T22:00"],
        ),
        ("0 0 ? * 1 *", ["2026-11-29T00:00"]),
        ("0 0 ? * 7 *", ["2026-11-28T00:00"]),
        ("0 0 ? * L *", ["2026-11-28T00:00", "2026-12-05T00:00"]),
        ("15 10 ? * 6L *", ["2026-11-27T10:15", "2026-12-25T10:15"]),
        ("0 2 ? * SAT#3 *", ["2026-12-19T02:00", "2027-01-16T02:00"]),
        ("0 0 ? * 3#5 *", ["2026-12-29T00:00", "2027-03-30T00:00"]),
        ("0 0 L * ? *", ["2026-11-30T00:00", "2026-12-31T00:00", "2027-01-31T00:00", "2027-02-28T00:00"]),
        ("0 0 L-2 * ? *", ["2026-11-28T00:00", "2026-12-29T00:00"]),
        ("0 0 LW * ? *", ["2026-11-30T00:00", "2026-12-31T00:00", "2027-01-29T00:00"]),
        (
            "0 0 1W * ? *",
            [
                "2026-12-01T00:00",
                "2027-01-01T00:00",
                "2027-02-01T00:00",
                "2027-03-01T00:00",
                "2027-04-01T00:00",
                "2027-05-03T00:00",
            ],
        ),
        (
            "0 0 15W * ? *",
            [
                "2026-12-15T00:00",
                "2027-01-15T00:00",
                "2027-02-15T00:00",
                "2027-03-15T00:00",
                "2027-04-15T00:00",
                "2027-05-14T00:00",
            ],
        ),
        ("0 0 31W FEB,MAY ? *", ["2027-05-31T00:00"]),
        ("0 0 29 2 ? *", ["2028-02-29T00:00", "2032-02-29T00:00"]),
        ("30 9 L-30 2 ? *", []),
        ("15 10 ? * 6L 2002-2005", []),
        ("0 0 1 1 ? 2027/2", ["2027-01-01T00:00", "2029-01-01T00:00"]),
    ],
)
def test_next_times(fields: str, expected: list[str]) -> None:
    assert times(fields, max(len(expected), 1)) == expected


def test_a_time_that_is_now_comes_next_time() -> None:
    assert times("0 12 * * ? *", 1, START - timedelta(seconds=1)) == ["2026-11-24T12:00"]
    assert times("0 12 * * ? *", 1, START) == ["2026-11-25T12:00"]


def test_a_wall_clock_time_that_does_not_exist_is_skipped_and_one_that_repeats_counts_once() -> None:
    # New York: 2027-03-14 02:00 becomes 03:00; 2027-11-07 02:00 becomes 01:00.
    spring = datetime(2027, 3, 13, 0, 0, tzinfo=UTC)
    assert times("30 2 * * ? *", 2, spring, "America/New_York") == ["2027-03-13T07:30", "2027-03-15T06:30"]
    fall = datetime(2027, 11, 7, 0, 0, tzinfo=UTC)
    assert times("30 1 * * ? *", 2, fall, "America/New_York") == ["2027-11-07T05:30", "2027-11-08T06:30"]
    between = datetime(2027, 11, 7, 5, 45, tzinfo=UTC)  # 01:45, for the first time
    assert times("0/30 * * * ? *", 1, between, "America/New_York") == ["2027-11-07T07:00"]


@pytest.mark.parametrize(
    "text",
    [
        "cron(0 2 ? * SAT *)",
        "cron(15 10 ? * 6L 2002-2005)",
        "cron(0 2 ? * SAT#3 *)",
        "cron(* * ? * SAT#3 *)",
        "cron(0/5 5 ? JAN 1-5 2022)",
        "cron(0/5 8-17 ? * MON-FRI *)",
        "cron(0-15/1 8-8 ? * 2,3,4,5,6,7 *)",
        "cron(1-31/30 1-1 ? * 1,7 *)",
        "cron(*/10 * ? * MON-FRI *)",
        "rate(1 minute)",
        "rate(2 minutes)",
        "rate(1 hour)",
        "rate(5 hours)",
        "rate(1 day)",
        "rate(7 days)",
    ],
)
def test_recorded_as_accepted(text: str) -> None:
    for dialect in Dialect:
        parse(text, dialect)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "cron()",
        "cron(0 1 * * * *)",
        "cron(0 1 ? * ? *)",
        "cron(7 20 * * NOT *)",
        "cron(INVALID)",
        "cron(0 dummy ? * MON-FRI *)",
        "cron(71 8 1 * ? *)",
        "cron(*/60 * * * ? *)",
        "cron(0 24 * * ? *)",
        "cron(0 0 0 * ? *)",
        "cron(0 0 32 * ? *)",
        "cron(0 0 1 13 ? *)",
        "cron(0 0 ? * 8 *)",
        "cron(0 0 ? * 3#1,6#3 *)",
        "cron(0 0 ? * 3#6 *)",
        "cron(15 12 ? * -1 *)",
        "cron(0 0 1 * ? 1969)",
        "cron(0 0 1 * ? 2200)",
        "cron(0 0 1 * ? 2030-2020)",
        "cron(0/5, 9-18, ?, *, MON-FRI, *)",
        "cron(15 12 * * 0)",
        "cron(0/0 * * * ? *)",
        "cron(0 0 L-31 * ? *)",
        "cron(0 0 32W * ? *)",
        "rate()",
        "rate(10)",
        "rate(10 seconds)",
        "rate(10 years)",
        "rate(10 minutess)",
        "rate(foo minutes)",
        "rate(0 minutes)",
        "rate(-10 minutes)",
        "rate(10 MINUTES)",
        "rate( 10 minutes )",
        " rate(10 minutes)",
        "rate(99999999999999 days)",
        "at(2021-12-31T23:59:59Z)",
        "at(2021-12-31)",
        "at(2021-02-30T00:00:00)",
    ],
)
def test_recorded_as_refused(text: str) -> None:
    for dialect in Dialect:
        with pytest.raises(ExpressionError):
            parse(text, dialect)


@pytest.mark.parametrize(
    "text", ["rate(1 minutes)", "rate(1 hours)", "rate(10 minute)", "rate(10 day)", "at(2026-12-24T18:00:00)"]
)
def test_accepted_by_scheduler_but_not_in_a_rule(text: str) -> None:
    parse(text, Dialect.SCHEDULE)
    with pytest.raises(ExpressionError):
        parse(text, Dialect.RULE)


def test_a_rate_counts_from_its_anchor() -> None:
    rate = parse("rate(5 minutes)", Dialect.RULE)
    anchor = START - timedelta(minutes=7)
    assert next_after(rate, START, anchor=anchor) == anchor + timedelta(minutes=10)
    assert next_after(rate, anchor + timedelta(minutes=10), anchor=anchor) == anchor + timedelta(minutes=15)
    assert next_after(rate, START, anchor=START + timedelta(hours=1)) == START + timedelta(hours=1)
    assert next_after(rate, START) == START + timedelta(minutes=5)


def test_at_comes_once_in_its_time_zone() -> None:
    at = parse("at(2026-12-24T18:00:00)", Dialect.SCHEDULE)
    assert isinstance(at, At)
    due = datetime(2026, 12, 24, 17, 0, tzinfo=UTC)
    assert next_after(at, START, zone("Europe/Berlin")) == due
    assert next_after(at, due, zone("Europe/Berlin")) is None


@pytest.mark.parametrize("name", ["", "Mars/Phobos", "../etc/passwd", "/etc/localtime", "Europe", "UTC\x00"])
def test_unknown_time_zones_are_refused(name: str) -> None:
    with pytest.raises(ExpressionError):
        zone(name)


@given(st.integers(1, 10_000), st.sampled_from(["minute", "hour", "day"]), st.integers(0, 10**8))
def test_a_rate_is_strictly_later_and_on_its_grid(value: int, unit: str, seconds: int) -> None:
    rate = parse(f"rate({value} {unit})", Dialect.SCHEDULE)
    assert isinstance(rate, Rate)
    moment = START + timedelta(seconds=seconds)
    found = next_after(rate, moment, anchor=START)
    assert found is not None
    assert moment < found <= moment + rate.every
    assert (found - START) % rate.every == timedelta()


WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


def _numbers(first: int, last: int) -> st.SearchStrategy[tuple[str, frozenset[int]]]:
    """A field of plain numbers, and what it means, told by counting."""
    number = st.integers(first, last)
    everything = st.just(("*", frozenset(range(first, last + 1))))
    listed = st.lists(number, min_size=1, max_size=4).map(
        lambda values: (",".join(map(str, values)), frozenset(values))
    )
    ranged = st.tuples(number, number).map(
        lambda ends: (f"{min(ends)}-{max(ends)}", frozenset(range(min(ends), max(ends) + 1)))
    )
    stepped = st.tuples(number, st.integers(max(first, 1), last)).map(
        lambda pair: (f"{pair[0]}/{pair[1]}", frozenset(range(pair[0], last + 1, pair[1])))
    )
    return st.one_of(everything, listed, ranged, stepped)


@given(
    minutes=_numbers(0, 59),
    hours=_numbers(0, 23),
    days=_numbers(1, 31),
    months=_numbers(1, 12),
    weekdays=st.none() | st.sets(st.integers(1, 7), min_size=1),
    start=st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)),  # noqa: DTZ001 - made aware below
)
def test_agrees_with_looking_at_every_minute_of_a_week(
    *,
    minutes: tuple[str, frozenset[int]],
    hours: tuple[str, frozenset[int]],
    days: tuple[str, frozenset[int]],
    months: tuple[str, frozenset[int]],
    weekdays: set[int] | None,
    start: datetime,
) -> None:
    moment = start.replace(tzinfo=UTC)
    if weekdays is None:
        day_fields = f"{days[0]} {months[0]} ?"
    else:
        day_fields = f"? {months[0]} {','.join(WEEKDAYS[day - 1] for day in sorted(weekdays))}"
    found = parse_cron(f"{minutes[0]} {hours[0]} {day_fields} *").next_after(moment, UTC)

    def allowed(day: date) -> bool:
        fits = day.day in days[1] if weekdays is None else (day.isoweekday() % 7) + 1 in weekdays
        return fits and day.month in months[1]

    end = moment + timedelta(days=7)
    expected = next(
        (
            when
            for offset in range(8)
            if allowed(day := (moment + timedelta(days=offset)).date())
            for hour in sorted(hours[1])
            for minute in sorted(minutes[1])
            if moment < (when := datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)) <= end
        ),
        None,
    )
    if expected is None:
        assert found is None or found > end
    else:
        assert found == expected


@given(st.text(alphabet="0123456789*?/,-LW# MONSAT", max_size=30))
def test_any_text_is_parsed_or_refused(fields: str) -> None:
    try:
        cron = parse_cron(fields)
    except CronError:
        return
    found = cron.next_after(START, ZoneInfo("Europe/Berlin"))
    assert found is None or found > START
