"""Whether a failed attempt of a step is tried again, and after how many seconds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from mlops_sm.definition.document import RetryPolicy
from mlops_sm.definition.kinds import StepKind


class Fault(StrEnum):
    """What a retry policy can name (SageMaker developer guide, "Retry Policy for Pipeline Steps")."""

    SERVICE_FAULT = "Step.SERVICE_FAULT"
    THROTTLING = "Step.THROTTLING"
    JOB_INTERNAL_ERROR = "SageMaker.JOB_INTERNAL_ERROR"
    CAPACITY_ERROR = "SageMaker.CAPACITY_ERROR"
    RESOURCE_LIMIT = "SageMaker.RESOURCE_LIMIT"


DEFAULT_MAX_ATTEMPTS: Final = 5
"""Retries of a policy that has neither MaxAttempts nor ExpireAfterMin (developer guide)."""

# The service retries these without any policy; how often it does not say, so it is taken to be the documented default.
_SERVICE_POLICY: Final = RetryPolicy(exception_types=(Fault.SERVICE_FAULT, Fault.THROTTLING))

# Their jobs retry inside (developer guide), so a policy for this fault has no effect on them.
_RETRY_INSIDE: Final = frozenset({StepKind.TUNING, StepKind.AUTO_ML})


def retry_delay(
    policies: Iterable[RetryPolicy], fault: Fault, *, kind: StepKind, attempt: int, elapsed_seconds: float
) -> float | None:
    """Decide about one more attempt: the first policy that names the fault decides, then the service's own.

    Args:
        policies: The step's RetryPolicies, in document order.
        fault: What ended the attempt.
        kind: The step's kind.
        attempt: How many attempts were made so far, the failed one included: 1 after the first.
        elapsed_seconds: Seconds since the first attempt started.

    Returns:
        Seconds to wait before the next attempt, or None when there is none.

    Raises:
        ValueError: `attempt` is below 1 or `elapsed_seconds` is negative.
    """
    if attempt < 1 or elapsed_seconds < 0:
        raise ValueError(f"attempt {attempt} after {elapsed_seconds} seconds cannot have failed")
    if fault is Fault.JOB_INTERNAL_ERROR and kind in _RETRY_INSIDE:
        return None
    policy = next((p for p in (*policies, _SERVICE_POLICY) if fault in p.exception_types), None)
    if policy is None:
        return None
    return _delay(policy, attempt, elapsed_seconds)


def _delay(policy: RetryPolicy, attempt: int, elapsed_seconds: float) -> float | None:
    limit = policy.max_attempts
    if limit is None and policy.expire_after_min is None:
        limit = DEFAULT_MAX_ATTEMPTS
    # MaxAttempts counts retries, not attempts (SDK: "maximum number of retry attempts").
    if limit is not None and attempt > limit:
        return None
    try:
        delay = policy.interval_seconds * float(policy.backoff_rate) ** (attempt - 1)
    except OverflowError:
        delay = math.inf
    if delay == math.inf:  # nobody sees the end of such a wait
        return None
    if policy.expire_after_min is not None and elapsed_seconds + delay > policy.expire_after_min * 60:
        return None
    return delay
