"""Schedule expressions: ``cron(...)``, ``rate(...)`` and ``at(...)``, and when each comes next."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import Enum
from typing import Final, assert_never
from zoneinfo import ZoneInfo

from mlops_sm.emulator.timing.cron import Cron, CronError, parse_cron

_CRON: Final = re.compile(r"cron\((.*)\)", re.DOTALL)
_RATE: Final = re.compile(r"rate\(([0-9]+)\s+(minute|hour|day)(s?)\)")
_AT: Final = re.compile(r"at\(([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})\)")
_ZONE: Final = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")


class ExpressionError(ValueError):
    """An expression or time zone that AWS does not accept."""


class Dialect(Enum):
    """Whose expressions: the services do not accept the same."""

    RULE = "rule"
    """EventBridge's rules: cron and rate, and ``1 minute`` but ``5 minutes``."""
    SCHEDULE = "schedule"
    """EventBridge Scheduler: one-time schedules too, and either form of a unit."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So often, counted from a moment that is not part of the expression."""

    every: timedelta


@dataclass(frozen=True, slots=True)
class At:
    """Once, at a wall-clock time."""

    wall: datetime


Expression = Cron | Rate | At


def parse(text: str, dialect: Dialect) -> Expression:
    """Parse an expression as a service does.

    Raises:
        ExpressionError: The service refuses it.
    """
    if match := _CRON.fullmatch(text):
        try:
            return parse_cron(match[1])
        except CronError as error:
            raise ExpressionError(f"{text}: {error}") from error
    if match := _RATE.fullmatch(text):
        return _rate(text, int(match[1]), match[2], plural=bool(match[3]), dialect=dialect)
    if (match := _AT.fullmatch(text)) and dialect is Dialect.SCHEDULE:
        try:
            return At(datetime.fromisoformat(match[1]))
        except ValueError as error:
            raise ExpressionError(f"{text}: {error}") from error
    raise ExpressionError(f"{text} is not an expression of this service")


def _rate(text: str, value: int, unit: str, *, plural: bool, dialect: Dialect) -> Rate:
    if value == 0:
        raise ExpressionError(f"{text}: the value must be positive")
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html: "rate(1 hours)" and
    # "rate(5 hour)" are not valid. Scheduler's pages know no such rule.
    if dialect is Dialect.RULE and plural != (value > 1):
        raise ExpressionError(f"{text}: the unit is singular for 1 and plural for more")
    try:
        return Rate(timedelta(**{f"{unit}s": value}))
    except OverflowError as error:
        raise ExpressionError(f"{text}: {error}") from error


def zone(name: str) -> tzinfo:
    """The time zone of a name in the IANA database.

    Raises:
        ExpressionError: There is none of that name.
    """
    if name == "UTC":
        return UTC
    if not _ZONE.fullmatch(name):
        raise ExpressionError(f"{name} is not a time zone")
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise ExpressionError(f"{name} is not a time zone") from error


def next_after(
    expression: Expression, moment: datetime, zone: tzinfo = UTC, *, anchor: datetime | None = None
) -> datetime | None:
    """The first time of an expression after a moment, in UTC; None when there is none any more.

    Args:
        expression: What `parse` returned.
        moment: Timezone-aware.
        zone: In which a cron or one-time expression is read.
        anchor: From when a rate counts, and its first time; the moment itself when absent.
    """
    match expression:
        case Cron():
            return expression.next_after(moment, zone)
        case Rate(every):
            if anchor is None:
                return moment + every
            if anchor > moment:
                return anchor
            return anchor + ((moment - anchor) // every + 1) * every
        case At(wall):
            when = wall.replace(tzinfo=zone).astimezone(UTC)
            return when if when > moment else None
        case _:
            assert_never(expression)
