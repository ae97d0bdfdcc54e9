"""Rules about caching and retries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mlops_sm.checks.subject import Subject, place
from mlops_sm.definition.document import RetryPolicy, Step
from mlops_sm.definition.kinds import UNDOCUMENTED_KINDS, StepKind
from mlops_sm.definition.wording import item, member, shown, suggestion
from mlops_sm.errors import Problem

# "The ExpireAfter duration can be a year, month, week, day, hour, or minute value": AWS's guide shows 30d, T16m and
# 30dT5h, the SDK P30D and PT1H.
_DURATION: Final = re.compile(
    r"P?(?=\d|T\d)(\d+Y)?(\d+M)?(\d+W)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+S)?)?", re.IGNORECASE | re.ASCII
)
_CACHEABLE: Final = frozenset(
    {
        StepKind.PROCESSING,
        StepKind.TRAINING,
        StepKind.TUNING,
        StepKind.TRANSFORM,
        StepKind.LAMBDA,
        StepKind.CALLBACK,
        StepKind.QUALITY_CHECK,
        StepKind.CLARIFY_CHECK,
        StepKind.EMR,
        StepKind.EMR_SERVERLESS,
        StepKind.ENDPOINT_CONFIG,
        StepKind.ENDPOINT,
        StepKind.JOB,
        StepKind.AUTO_ML,
    }
)
_RETRYABLE: Final = frozenset(
    {
        StepKind.PROCESSING,
        StepKind.TRAINING,
        StepKind.TUNING,
        StepKind.TRANSFORM,
        StepKind.MODEL,
        StepKind.REGISTER_MODEL,
        StepKind.ENDPOINT_CONFIG,
        StepKind.JOB,
        StepKind.AUTO_ML,
        StepKind.EMR_SERVERLESS,
    }
)
# Kinds that start no job: nothing of SageMaker.* can happen to them.
_WITHOUT_JOB: Final = frozenset({StepKind.MODEL, StepKind.REGISTER_MODEL, StepKind.ENDPOINT_CONFIG})
EXCEPTION_TYPES: Final = (
    "Step.SERVICE_FAULT",
    "Step.THROTTLING",
    "SageMaker.JOB_INTERNAL_ERROR",
    "SageMaker.CAPACITY_ERROR",
    "SageMaker.RESOURCE_LIMIT",
)
"""What a retry policy may name. Source: AWS's guide, "Retry Policy for Pipeline Steps"."""

MAX_ATTEMPTS: Final = 20
MAX_EXPIRE_AFTER_MIN: Final = 14_400
MAX_INTERVAL_SECONDS: Final = 43_200


def check_cache(subject: Subject) -> Iterator[Problem]:
    """CacheConfig holds a duration (E254) and stands on a kind that is cached (W250)."""
    for step in subject.definition.walk():
        cache = step.cache
        if cache is None:
            continue
        where = place(step, "CacheConfig")
        if cache.expire_after is not None and not _DURATION.fullmatch(cache.expire_after):
            what = f'"{shown(cache.expire_after)}" is no ISO 8601 duration'
            yield Problem(
                "E254", member(where, "ExpireAfter"), what, "Write e.g. P30D for 30 days or PT1H for one hour."
            )
        if cache.enabled and cache.expire_after is None:
            what = "caching is enabled without saying for how long"
            yield Problem("E254", where, what, 'Add "ExpireAfter", e.g. "P30D" for 30 days.')
        if cache.enabled and step.kind not in _CACHEABLE | UNDOCUMENTED_KINDS:
            what = f"{step.kind} steps are never cached: CacheConfig has no effect"
            yield Problem("W250", where, what, "Remove CacheConfig.")


def check_retries(subject: Subject) -> Iterator[Problem]:
    """Retry policies name known exceptions and keep the service's limits (E255), on kinds that are retried (W250)."""
    for step in subject.definition.walk():
        if step.retry_policies and step.kind not in _RETRYABLE | UNDOCUMENTED_KINDS:
            what = f"{step.kind} steps are not retried: RetryPolicies have no effect"
            yield Problem("W250", place(step, "RetryPolicies"), what, "Remove RetryPolicies.")
        entries = step.raw.get("RetryPolicies")
        if isinstance(entries, list) and len(entries) == len(step.retry_policies):
            for index, policy in enumerate(step.retry_policies):
                yield from _policy(step, policy, place(step, item("RetryPolicies", index)))


def _policy(step: Step, policy: RetryPolicy, where: str) -> Iterator[Problem]:
    if not policy.exception_types:
        what = "the retry policy names no exception"
        yield Problem("E255", member(where, "ExceptionType"), what, "Name at least one, e.g. Step.THROTTLING.")
    for name in policy.exception_types:
        if name not in EXCEPTION_TYPES:
            fix = suggestion(name, EXCEPTION_TYPES)
            yield Problem("E255", member(where, "ExceptionType"), f'"{shown(name)}" is no exception to retry', fix)
        elif step.kind in _WITHOUT_JOB and name.startswith("SageMaker."):
            what = f"{step.kind} steps start no job: {name} never happens to them"
            yield Problem("W250", member(where, "ExceptionType"), what, "Name Step.SERVICE_FAULT or Step.THROTTLING.")
    if policy.max_attempts is not None and policy.expire_after_min is not None:
        what = "MaxAttempts and ExpireAfterMin exclude each other"
        yield Problem("E255", where, what, "Keep one of them.")
    for key, value, low, high in (
        ("IntervalSeconds", policy.interval_seconds, 0, MAX_INTERVAL_SECONDS),
        ("MaxAttempts", policy.max_attempts, 1, MAX_ATTEMPTS),
        ("ExpireAfterMin", policy.expire_after_min, 1, MAX_EXPIRE_AFTER_MIN),
    ):
        if value is not None and not low <= value <= high:
            yield Problem("E255", member(where, key), f"{value} is out of range", f"Give {low} to {high}.")
    if policy.backoff_rate < 0:
        what = f"{policy.backoff_rate} is negative"
        yield Problem("E255", member(where, "BackoffRate"), what, "Give a number of at least 0, e.g. 2.0.")
