"""The account's clock: it passes, is advanced, and does what becomes due in order, each thing at its moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sm.emulator.clock import Clock, Timed, keep_ahead, utc_now
from mlops_sm.emulator.database import Database

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
PATIENCE = 30.0


class Every(Timed):
    """Fires at a distance, and writes down when and at what time."""

    def __init__(self, name: str, first: datetime, distance: timedelta, clock: Clock, log: list[object]) -> None:
        self._name = name
        self._next: datetime | None = first
        self._distance = distance
        self._clock = clock
        self._log = log
        self.fired = threading.Event()

    def due(self) -> datetime | None:
        return self._next

    def fire(self, moment: datetime) -> None:
        assert self._next is not None
        self._next += self._distance
        self._log.append((self._name, moment, self._clock()))
        self.fired.set()


class Passing:
    """A source of time that a test moves."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


def test_passes_with_the_machine_unless_frozen() -> None:
    before = utc_now()
    assert before <= Clock()() <= utc_now()
    source = Passing()
    clock = Clock(source)
    source.now += HOUR
    assert clock() == NOON + HOUR
    assert Clock(frozen=NOON)() == Clock(frozen=NOON).now() == NOON


def test_a_frozen_moment_needs_a_time_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Clock(frozen=NOON.replace(tzinfo=None))


def test_advance_adds_to_what_passes() -> None:
    source = Passing()
    clock = Clock(source)
    assert clock.advance(days=1, hours=2, minutes=3, seconds=4) == NOON + timedelta(
        days=1, hours=2, minutes=3, seconds=4
    )
    source.now += HOUR
    assert clock() == NOON + timedelta(days=1, hours=3, minutes=3, seconds=4)
    assert clock.ahead == timedelta(days=1, hours=2, minutes=3, seconds=4)


@pytest.mark.parametrize("span", [{"hours": -1}, {"days": 4e6}, {"weeks": 1e30}])
def test_advance_refuses_to_turn_back_or_to_leave_the_calendar(span: dict[str, float]) -> None:
    clock = Clock(frozen=NOON)
    with pytest.raises(ValueError, match="clock can"):
        clock.advance(**span)
    assert clock() == NOON


def test_what_becomes_due_is_done_in_order_of_time_and_each_at_its_own_moment() -> None:
    clock, log = Clock(frozen=NOON), list[object]()
    clock.attend(Every("slow", NOON + HOUR, HOUR, clock, log))
    clock.attend(Every("quick", NOON + timedelta(minutes=25), timedelta(minutes=40), clock, log))
    clock.advance(hours=2)
    clock.close()
    moments = [("quick", 25), ("slow", 60), ("quick", 65), ("quick", 105), ("slow", 120)]
    expected = [(name, at := NOON + timedelta(minutes=minutes), at) for name, minutes in moments]
    assert log == expected
    assert clock() == NOON + 2 * HOUR


def test_advance_waits_for_what_was_set_off_before_and_by_each_moment() -> None:
    clock, log = Clock(frozen=NOON), list[object]()
    clock.attend(Every("it", NOON + HOUR, HOUR, clock, log))
    clock.settle_with(lambda: log.append("settled"))
    clock.advance(hours=2)
    clock.close()
    told = [entry if entry == "settled" else "fired" for entry in log]
    # The first one is for what requests have set off, without the clock.
    assert told == ["settled", "fired", "settled", "fired", "settled"]


def test_what_fails_is_not_done_for_ever_and_stops_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def due(self) -> datetime | None:
            return NOON + timedelta(minutes=1)

        def fire(self, moment: datetime) -> None:
            raise OSError("broken")

    clock, log = Clock(frozen=NOON), list[object]()
    clock.attend(Broken())
    clock.attend(Every("it", NOON + HOUR, HOUR, clock, log))
    clock.advance(hours=1)
    clock.close()
    assert len(log) == 1
    assert "what was due" in caplog.text


def test_by_itself_it_does_what_the_passing_time_makes_due() -> None:
    clock, log = Clock(), list[object]()
    timed = Every("it", clock(), HOUR, clock, log)
    clock.attend(timed)
    assert timed.fired.wait(PATIENCE)
    clock.close()
    assert len(log) == 1


def test_has_a_thread_only_while_something_can_become_due() -> None:
    class Once:
        moment: datetime | None = None

        def due(self) -> datetime | None:
            return self.moment

        def fire(self, moment: datetime) -> None:
            self.moment = None

    def threads() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "clock"]

    clock, once = Clock(frozen=NOON), Once()
    clock.attend(once)
    assert not threads()
    once.moment = NOON + HOUR
    clock.changed()
    (thread,) = threads()
    clock.advance(hours=1)
    thread.join(PATIENCE)
    assert not threads()
    once.moment = NOON + 2 * HOUR
    clock.changed()
    assert threads()
    clock.close()
    assert not threads()


def _in_thread(work: Callable[[], bool]) -> tuple[threading.Thread, list[bool]]:
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    return thread, results


@given(st.lists(st.floats(min_value=0, max_value=1e6), max_size=8))
def test_never_goes_back(spans: list[float]) -> None:
    clock = Clock()
    last = clock()
    for seconds in spans:
        after = clock.advance(seconds=seconds)
        assert after - last >= timedelta(seconds=seconds)
        last = after


def test_how_far_it_was_advanced_is_kept_with_the_account(tmp_path: Path) -> None:
    database = Database(tmp_path / "account.db")
    clock = Clock(frozen=NOON)
    keep_ahead(clock, database)
    clock.advance(hours=5)
    clock.advance(hours=1)
    database.close()
    database = Database(tmp_path / "account.db")
    again = Clock(frozen=NOON)
    keep_ahead(again, database)
    database.close()
    assert again() == NOON + 6 * HOUR


def test_a_clock_outlives_the_account_that_used_it(tmp_path: Path) -> None:
    clock, log = Clock(frozen=NOON), list[object]()
    for opening in range(2):
        database = Database(tmp_path / f"{opening}.db")
        keep_ahead(clock, database)
        clock.attend(Every(str(opening), clock() + HOUR, HOUR, clock, log))
        clock.advance(hours=1)
        clock.close()
        database.close()
    assert clock.advance(hours=1) == NOON + 3 * HOUR
    assert [entry[0] for entry in log if isinstance(entry, tuple)] == ["0", "1"]


def test_closing_ends_an_advance() -> None:
    clock, log = Clock(frozen=NOON), list[object]()
    endless = Every("it", NOON + timedelta(seconds=1), timedelta(seconds=1), clock, log)
    clock.attend(endless)
    # A hundred million moments, or until it is closed.
    advancing, ended = _in_thread(lambda: bool(clock.advance(days=1000)))
    assert endless.fired.wait(PATIENCE)
    clock.close()
    advancing.join(PATIENCE)
    assert ended == [True]
