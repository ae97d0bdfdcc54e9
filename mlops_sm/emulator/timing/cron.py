"""AWS's dialect of cron: six fields, among them ``?``, ``L``, ``W`` and ``#``.

The fields, their wildcards and the rules between them:
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_SATURDAY: Final = 7
_WEEK: Final = 7
_FIELDS: Final = 6
_NEAREST: Final = (0, -1, 1, -2, 2)
"""How far the weekday nearest to a day may lie from it, nearest first."""
_WEEKEND: Final = (5, 6)
_REPEATED: Final = timedelta(hours=3)
"""More than any change of a clock repeats."""

Days = Callable[[int, int], Sequence[int]]
"""The days of a month, in order, that a field allows; given the year and the month."""


class CronError(ValueError):
    """An expression that AWS does not accept; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A parsed expression.

    Attributes:
        minutes: Allowed minutes, in order.
        hours: Allowed hours, in order.
        days: Says the allowed days of a month.
        months: Allowed months, 1-12, in order.
        years: Allowed years, in order.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: Days
    months: tuple[int, ...]
    years: tuple[int, ...]

    def next_after(self, moment: datetime, zone: tzinfo) -> datetime | None:
        """The first time after a moment, in UTC; None when there is none any more.

        A wall-clock time that a change to summer time leaves out is skipped, one that the change back repeats counts
        once: https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html (daylight savings time).
        """
        local = moment.astimezone(zone).replace(tzinfo=None, fold=0)
        # A day that repeats hours has times that lie after the moment and read as if they did not.
        earliest = local - _REPEATED
        for day in self._days_from(local.date()):
            for hour in self.hours:
                if datetime.combine(day, time(hour, 59)) < earliest:
                    continue
                for minute in self.minutes:
                    wall = datetime.combine(day, time(hour, minute))
                    when = wall.replace(tzinfo=zone).astimezone(UTC)
                    if when > moment and when.astimezone(zone).replace(tzinfo=None) == wall:
                        return when
        return None

    def _days_from(self, start: date) -> Iterator[date]:
        for year in self.years:
            if year < start.year:
                continue
            for month in self.months:
                if (year, month) < (start.year, start.month):
                    continue
                for day in self.days(year, month):
                    if date(year, month, day) >= start:
                        yield date(year, month, day)


def parse_cron(fields: str) -> Cron:
    """Parse what stands between the parentheses of ``cron(...)``.

    Raises:
        CronError: AWS does not accept it.
    """
    parts = fields.upper().split()
    if len(parts) != _FIELDS:
        raise CronError(f"{_FIELDS} fields are needed, there are {len(parts)}")
    minutes, hours, days, months, weekdays, years = parts
    if (days == "?") == (weekdays == "?"):
        raise CronError("exactly one of day-of-month and day-of-week must be ?")
    return Cron(
        minutes=_Field("minutes", 0, 59).values(minutes),
        hours=_Field("hours", 0, 23).values(hours),
        days=_days_of_month(days) if weekdays == "?" else _days_of_week(weekdays),
        months=_Field("month", 1, 12, names=_MONTHS).values(months),
        years=_Field("year", 1970, 2199, wraps=False).values(years),
    )


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of plain numbers: ``*``, values, ranges and increments, in lists."""

    name: str
    first: int
    last: int
    names: tuple[str, ...] = ()
    wraps: bool = True
    increments: bool = True

    def values(self, text: str) -> tuple[int, ...]:
        found: set[int] = set()
        for item in text.split(","):
            base, slash, step = item.partition("/")
            if slash and not self.increments:
                raise self._refused(item)
            low, dash, high = base.partition("-")
            if base == "*":
                start, end = self.first, self.last
            elif dash:
                start, end = self.number(low), self.number(high)
            else:
                start = self.number(base)
                end = self.last if slash else start
            found.update(self._between(start, end, self._step(step) if slash else 1, item))
        return tuple(sorted(found))

    def number(self, text: str) -> int:
        if text in self.names:
            return self.names.index(text) + 1
        if not re.fullmatch(r"[0-9]{1,4}", text) or not self.first <= int(text) <= self.last:
            raise self._refused(text)
        return int(text)

    def _step(self, text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= self.last:
            raise self._refused(f"/{text}")
        return int(text)

    def _between(self, start: int, end: int, step: int, item: str) -> Iterator[int]:
        size = self.last - self.first + 1
        if start > end:
            # FRI-MON and 22-2 go on at the beginning of the field.
            if not self.wraps:
                raise self._refused(item)
            end += size
        for value in range(start, end + 1, step):
            yield self.first + (value - self.first) % size

    def _refused(self, text: str) -> CronError:
        return CronError(f"{text!r} is not allowed in the field {self.name}")


def _days_of_month(text: str) -> Days:
    field = _Field("day-of-month", 1, 31)
    if text == "L":
        return lambda year, month: (_last_day(year, month),)
    if text in {"LW", "WL"}:
        return lambda year, month: _nearest_weekday(year, month, _last_day(year, month))
    if match := re.fullmatch(r"L-([0-9]{1,2})", text):
        before = int(match[1])
        if before >= field.last:
            raise CronError(f"{text!r} is not allowed in the field day-of-month")
        return lambda year, month: tuple(day for day in (_last_day(year, month) - before,) if day >= 1)
    if match := re.fullmatch(r"([0-9]{1,2})W", text):
        near = field.number(match[1])
        return lambda year, month: _nearest_weekday(year, month, near)
    allowed = field.values(text)
    return lambda year, month: tuple(day for day in allowed if day <= _last_day(year, month))


def _days_of_week(text: str) -> Days:
    field = _Field("day-of-week", 1, 7, names=_WEEKDAYS, increments=False)
    if text == "L":
        return lambda year, month: _weekdays(year, month, (_SATURDAY,))
    if match := re.fullmatch(r"([A-Z0-9]+)L", text):
        last = field.number(match[1])
        return lambda year, month: _weekdays(year, month, (last,))[-1:]
    if match := re.fullmatch(r"([A-Z0-9]+)#([1-5])", text):
        weekday, number = field.number(match[1]), int(match[2])
        return lambda year, month: _weekdays(year, month, (weekday,))[number - 1 : number]
    allowed = field.values(text)
    return lambda year, month: _weekdays(year, month, allowed)


def _last_day(year: int, month: int) -> int:
    return calendar.monthrange(year, month)[1]


def _weekdays(year: int, month: int, allowed: Sequence[int]) -> tuple[int, ...]:
    # Python's week starts on Monday with 0, AWS's on Sunday with 1.
    first = (calendar.monthrange(year, month)[0] + 1) % _WEEK
    return tuple(day for day in range(1, _last_day(year, month) + 1) if (first + day - 1) % _WEEK + 1 in allowed)


def _nearest_weekday(year: int, month: int, day: int) -> tuple[int, ...]:
    last = _last_day(year, month)
    if day > last:
        return ()
    near = (day + distance for distance in _NEAREST)
    return tuple(
        [
            candidate
            for candidate in near
            if 1 <= candidate <= last and date(year, month, candidate).weekday() not in _WEEKEND
        ][:1]
    )
