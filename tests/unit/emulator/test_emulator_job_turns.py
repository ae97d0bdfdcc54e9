"""Only so many jobs run at once; the others wait for their turn, and can be stopped while they do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mlops_sm.emulator.database import Database
from mlops_sm.emulator.jobs import IN_PROGRESS, STOPPING, JobFamily, Jobs
from mlops_sm.emulator.store import Entity, Kind, Scope, Store
from mlops_sm.local.jobs import JobOutcome, JobStatus

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
SCOPE = Scope("123456789012", "us-east-1")
PATIENCE = 60


class Work:
    """Jobs that run until they are let go; what ran, in the order of its start, and how many at once."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.most = 0
        self._now = 0
        self._lock = threading.Condition()
        self._let_go: set[str] = set()

    def run(self, request: Mapping[str, Any], *, name: str, stop: threading.Event, **_: Any) -> JobOutcome:
        del request
        with self._lock:
            self.ran.append(name)
            self._now += 1
            self.most = max(self.most, self._now)
            self._lock.notify_all()
            while name not in self._let_go and not stop.is_set():
                self._lock.wait(0.01)
            self._now -= 1
        status = JobStatus.STOPPED if stop.is_set() else JobStatus.COMPLETED
        return JobOutcome(status=status, started=NOW, ended=NOW)

    def let_go(self, *names: str) -> None:
        with self._lock:
            self._let_go.update(names)
            self._lock.notify_all()

    def until_run(self, *names: str) -> None:
        with self._lock:
            assert self._lock.wait_for(lambda: set(names) <= set(self.ran), PATIENCE), self.ran


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    database = Database(tmp_path / "account.db")
    yield Store(database)
    database.close()


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def start(store: Store, work: Work) -> Callable[..., Jobs]:
    def start_all(*names: str, limit: int, status: str = IN_PROGRESS) -> Jobs:
        jobs = Jobs(store, lambda scope, *_: scope, lambda: NOW, limit=limit)  # type: ignore[arg-type,return-value] # a site nobody looks at
        family = JobFamily(
            kind=Kind.PROCESSING_JOB,
            run=work.run,  # type: ignore[arg-type] # takes what it needs
            progress=lambda entity, *_: entity,
            finish=lambda entity, outcome, now: entity.with_body({}, modified=now, status=outcome.status.value),
        )
        for name in names:
            entity = Entity(
                scope=SCOPE,
                kind=Kind.PROCESSING_JOB,
                name=name,
                arn=f"arn:{name}",
                created=0,
                modified=0,
                status=status,
            )
            store.add(entity)
            jobs.start(entity, {}, family)
        return jobs

    return start_all


def status(store: Store, name: str) -> str:
    entity = store.by_arn(f"arn:{name}")
    assert entity is not None
    return entity.status


def test_jobs_run_in_the_order_in_which_they_came(start: Any, store: Store, work: Work) -> None:
    names = [f"j{number}" for number in range(6)]
    jobs = start(*names, limit=2)
    work.until_run("j0", "j1")
    assert sorted(work.ran) == ["j0", "j1"]
    assert {status(store, name) for name in names} == {IN_PROGRESS}
    work.let_go(*names)
    assert jobs.wait_all(PATIENCE)
    assert sorted(work.ran) == names
    assert work.most == 2
    assert {status(store, name) for name in names} == {"Completed"}


def test_one_at_a_time_keeps_the_order(start: Any, work: Work) -> None:
    names = [f"j{number}" for number in range(5)]
    jobs = start(*names, limit=1)
    work.let_go(*names)
    assert jobs.wait_all(PATIENCE)
    assert work.ran == names


def test_a_job_that_waits_is_stopped_at_once_and_never_runs(start: Any, store: Store, work: Work) -> None:
    jobs = start("first", "second", "third", limit=1)
    work.until_run("first")
    jobs.request_stop("arn:second")
    assert status(store, "second") == "Stopped"
    jobs.wait("arn:second")
    work.let_go("first", "third")
    assert jobs.wait_all(PATIENCE)
    assert work.ran == ["first", "third"]


def test_a_job_that_was_asked_to_stop_before_it_was_handed_over_never_runs(
    start: Any, store: Store, work: Work
) -> None:
    jobs = start("early", limit=1, status=STOPPING)
    assert jobs.wait_all(PATIENCE)
    assert status(store, "early") == "Stopped"
    assert work.ran == []


def test_closing_ends_what_runs_and_what_waits(start: Any, store: Store, work: Work) -> None:
    jobs = start("runs", "waits", limit=1)
    work.until_run("runs")
    jobs.stop_all()
    assert jobs.wait_all(PATIENCE)
    assert (status(store, "runs"), status(store, "waits")) == ("Stopped", "Stopped")
    assert work.ran == ["runs"]


def test_a_failure_inside_frees_its_place(store: Store) -> None:
    def fail(*_: Any, **__: Any) -> JobOutcome:
        raise RuntimeError("a bug")

    jobs = Jobs(store, lambda scope, *_: scope, lambda: NOW, limit=1)  # type: ignore[arg-type,return-value] # a site nobody looks at
    family = JobFamily(
        kind=Kind.PROCESSING_JOB,
        run=fail,
        progress=lambda entity, *_: entity,
        finish=lambda entity, outcome, now: entity.with_body(
            {"FailureReason": outcome.failure_reason}, modified=now, status=outcome.status.value
        ),
    )
    for name in ("a", "b"):
        entity = Entity(
            scope=SCOPE,
            kind=Kind.PROCESSING_JOB,
            name=name,
            arn=f"arn:{name}",
            created=0,
            modified=0,
            status=IN_PROGRESS,
        )
        store.add(entity)
        jobs.start(entity, {}, family)
    assert jobs.wait_all(PATIENCE)
    assert (status(store, "a"), status(store, "b")) == ("Failed", "Failed")
