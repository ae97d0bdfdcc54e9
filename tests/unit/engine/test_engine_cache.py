"""What decides whether a step's earlier run is reused.

Rules: developer guide, "Default cache key attributes by pipeline step type" and "Turn on step caching".
"""

from __future__ import annotations

from typing import Any

import pytest

from mlops_sm.checks.policies import _CACHEABLE as CHECKED
from mlops_sm.definition.document import CachePolicy, Step
from mlops_sm.definition.kinds import StepKind
from mlops_sm.engine.cache import KEY_ATTRIBUTES, Difference, cache_key, differences, max_age, uses_cache


def step(kind: StepKind, **members: Any) -> Step:
    return Step(name="S", kind=kind, arguments={}, **members)


def test_every_kind_that_checks_let_be_cached_has_a_key() -> None:
    assert set(KEY_ATTRIBUTES) == CHECKED


def test_only_key_attributes_are_in_the_key() -> None:
    arguments = {
        "AppSpecification": {"ImageUri": "i"},
        "Environment": {},
        "ProcessingResources": {"ClusterConfig": {"InstanceCount": 1}},
        "ProcessingOutputConfig": {"Outputs": []},
        "RoleArn": "r",
    }
    key = cache_key(step(StepKind.PROCESSING), arguments, {})
    assert key == {"AppSpecification": {"ImageUri": "i"}}


def test_members_of_a_structure_count_alone() -> None:
    arguments = {
        "HyperParameterTuningJobConfig": {"Strategy": "Random"},
        "TrainingJobDefinition": {"StaticHyperParameters": {"a": "1"}, "ResourceConfig": {"InstanceCount": 2}},
    }
    key = cache_key(step(StepKind.TUNING), arguments, {})
    assert key == {
        "HyperParameterTuningJobConfig": {"Strategy": "Random"},
        "TrainingJobDefinition.StaticHyperParameters": {"a": "1"},
    }


def test_a_function_and_its_event_are_the_key() -> None:
    key = cache_key(step(StepKind.LAMBDA), {"x": 1}, {"FunctionArn": "f", "OutputParameters": []})
    assert key == {"x": 1, "FunctionArn": "f"}


@pytest.mark.parametrize("kind", [StepKind.MODEL, StepKind.REGISTER_MODEL, StepKind.CONDITION, StepKind.FAIL])
def test_other_kinds_have_no_key(kind: StepKind) -> None:
    assert cache_key(step(kind), {"a": 1}, {}) is None
    assert not uses_cache(step(kind, cache=CachePolicy(enabled=True, expire_after="P1D")))


def test_the_cache_is_off_unless_a_step_says_so_and_for_how_long() -> None:
    assert not uses_cache(step(StepKind.PROCESSING))
    assert not uses_cache(step(StepKind.PROCESSING, cache=CachePolicy(enabled=False, expire_after="P1D")))
    assert not uses_cache(step(StepKind.PROCESSING, cache=CachePolicy(enabled=True)))
    assert uses_cache(step(StepKind.PROCESSING, cache=CachePolicy(enabled=True, expire_after="P1D")))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30d", 30 * 86_400),
        ("5y", 5 * 365 * 86_400),
        ("T16m", 16 * 60),
        ("30dT5h", 30 * 86_400 + 5 * 3_600),
        ("P30D", 30 * 86_400),
        ("PT1H", 3_600),
        ("P2W", 14 * 86_400),
        ("P1MT1M", 30 * 86_400 + 60),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert max_age(text) == seconds


@pytest.mark.parametrize("text", ["", "P", "PT", "tomorrow", "P1H"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="no ISO 8601 duration"):
        max_age(text)


def test_differences_are_the_smallest_places() -> None:
    before = {"Environment": {"a": "1", "gone": "x"}, "ProcessingInputs": [{"S3Uri": "s3://b/1"}], "same": True}
    after = {"Environment": {"a": "2"}, "ProcessingInputs": [{"S3Uri": "s3://b/2"}], "same": True, "new": []}
    assert list(differences(before, after)) == [
        Difference("Environment.a", "1", "2"),
        Difference("Environment.gone", "x", None),
        Difference("ProcessingInputs[0].S3Uri", "s3://b/1", "s3://b/2"),
        Difference("new", None, []),
    ]
    assert list(differences([1], [1, 2], "x")) == [Difference("x", [1], [1, 2])]
    assert list(differences(1, True, "x")) == [Difference("x", 1, True)]
