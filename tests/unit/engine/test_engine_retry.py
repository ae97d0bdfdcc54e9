"""Retry decisions."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sm.definition.document import RetryPolicy
from mlops_sm.definition.kinds import StepKind
from mlops_sm.engine import Fault, retry_delay


def policy(
    *faults: str, interval: int = 1, rate: float = 2.0, attempts: int | None = None, expire: int | None = None
) -> RetryPolicy:
    return RetryPolicy(
        exception_types=faults,
        interval_seconds=interval,
        backoff_rate=rate,
        max_attempts=attempts,
        expire_after_min=expire,
    )


def delay(
    policies: Sequence[RetryPolicy], fault: Fault, attempt: int, elapsed: float = 0, kind: StepKind = StepKind.TRAINING
) -> float | None:
    return retry_delay(policies, fault, kind=kind, attempt=attempt, elapsed_seconds=elapsed)


def test_the_wait_grows_by_the_backoff_rate() -> None:
    given_policy = policy(Fault.CAPACITY_ERROR, interval=10, rate=3.0, attempts=4)
    waits = [delay([given_policy], Fault.CAPACITY_ERROR, n) for n in range(1, 6)]
    assert waits == [10, 30, 90, 270, None]


def test_without_limits_a_policy_retries_five_times() -> None:
    waits = [delay([policy(Fault.RESOURCE_LIMIT)], Fault.RESOURCE_LIMIT, n) for n in range(1, 7)]
    assert waits == [1, 2, 4, 8, 16, None]


def test_no_retry_starts_after_the_expiry() -> None:
    given_policy = policy(Fault.CAPACITY_ERROR, interval=30, rate=1.0, expire=2)
    assert delay([given_policy], Fault.CAPACITY_ERROR, 9, elapsed=90) == 30
    assert delay([given_policy], Fault.CAPACITY_ERROR, 9, elapsed=91) is None


@pytest.mark.parametrize("fault", [Fault.SERVICE_FAULT, Fault.THROTTLING])
def test_the_service_retries_step_faults_by_itself(fault: Fault) -> None:
    assert [delay([], fault, n) for n in (1, 5, 6)] == [1, 16, None]
    assert delay([policy(fault, interval=7, attempts=1)], fault, 1) == 7
    assert delay([policy(fault, interval=7, attempts=1)], fault, 2) is None


@pytest.mark.parametrize("fault", [Fault.JOB_INTERNAL_ERROR, Fault.CAPACITY_ERROR, Fault.RESOURCE_LIMIT])
def test_job_faults_need_a_policy(fault: Fault) -> None:
    assert delay([], fault, 1) is None
    assert delay([policy(Fault.THROTTLING)], fault, 1) is None


def test_the_first_policy_that_names_the_fault_decides() -> None:
    policies = [
        policy(Fault.THROTTLING, attempts=1),
        policy(Fault.CAPACITY_ERROR, interval=5),
        policy(Fault.CAPACITY_ERROR),
    ]
    assert delay(policies, Fault.CAPACITY_ERROR, 1) == 5


@pytest.mark.parametrize("kind", [StepKind.TUNING, StepKind.AUTO_ML])
def test_tuning_and_automl_never_retry_internal_errors(kind: StepKind) -> None:
    policies = [policy(Fault.JOB_INTERNAL_ERROR, Fault.CAPACITY_ERROR)]
    assert delay(policies, Fault.JOB_INTERNAL_ERROR, 1, kind=kind) is None
    assert delay(policies, Fault.CAPACITY_ERROR, 1, kind=kind) == 1
    assert delay(policies, Fault.JOB_INTERNAL_ERROR, 1) == 1


@pytest.mark.parametrize("rate", [1e300, 1e154])
def test_a_wait_without_end_is_no_retry(rate: float) -> None:
    assert (
        delay([policy(Fault.CAPACITY_ERROR, interval=43200, rate=rate, attempts=20)], Fault.CAPACITY_ERROR, 20) is None
    )


@pytest.mark.parametrize(("attempt", "elapsed"), [(0, 0.0), (1, -1.0)])
def test_impossible_attempts_are_refused(attempt: int, elapsed: float) -> None:
    with pytest.raises(ValueError, match="cannot have failed"):
        delay([], Fault.THROTTLING, attempt, elapsed)


POLICIES = st.builds(
    lambda interval, rate, attempts, expire: policy(
        Fault.CAPACITY_ERROR, interval=interval, rate=rate, attempts=attempts, expire=expire
    ),
    st.integers(1, 43200),
    st.floats(0, 10),
    st.none() | st.integers(1, 20),
    st.none() | st.integers(1, 14400),
)


@given(POLICIES, st.integers(1, 30), st.floats(0, 1e6))
def test_a_retry_keeps_within_both_limits(given_policy: RetryPolicy, attempt: int, elapsed: float) -> None:
    found = delay([given_policy], Fault.CAPACITY_ERROR, attempt, elapsed)
    if found is not None:
        assert found >= 0
        assert given_policy.max_attempts is None or attempt <= given_policy.max_attempts
        assert given_policy.expire_after_min is None or elapsed + found <= given_policy.expire_after_min * 60
