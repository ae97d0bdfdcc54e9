"""Planted faults: which attempt meets which, and what a refused call is told."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.faults import Fault, Faults
from mlops_sm.local.faults import FaultKind

ALL = frozenset(FaultKind)


@pytest.fixture
def faults() -> Faults:
    return Faults()


def met(faults: Faults, *names: str, able: Any = ALL, attempts: int = 4) -> list[str | None]:
    """What each of several attempts meets."""
    job = faults.of_job(*names)
    found = [job.next(able) for _ in range(attempts)]
    for each in found:
        if each is not None:
            each.happened()
    return [None if each is None else each.kind.value for each in found]


def test_faults_for_the_same_attempt_happen_one_after_the_other(faults: Faults) -> None:
    faults.plant(Fault(kind=FaultKind.CAPACITY, name="Train"))
    faults.plant(Fault(kind=FaultKind.KILL, name="Train", times=2))
    assert met(faults, "Train") == ["capacity", "kill", "kill", None]
    assert faults.pending() == []


def test_an_attempt_is_counted_whatever_happens_to_it(faults: Faults) -> None:
    faults.plant(Fault(kind=FaultKind.CAPACITY, name="Train"))
    faults.plant(Fault(kind=FaultKind.KILL, name="Train", attempt=2))
    assert met(faults, "Train") == ["capacity", "kill", None, None]


def test_what_cannot_happen_waits_for_what_it_can_happen_to(faults: Faults) -> None:
    faults.plant(Fault(kind=FaultKind.SPOT_INTERRUPTION, name="*"))
    assert met(faults, "job", able={FaultKind.KILL}) == [None] * 4
    assert met(faults, "job", attempts=1) == ["spot interruption"]


def test_any_of_its_names_will_do_and_no_name_is_none(faults: Faults) -> None:
    faults.plant(Fault(kind=FaultKind.KILL, name="pipelines-*-Train-??????????"))
    assert met(faults, "", "other") == [None] * 4
    assert met(faults, "Train", "pipelines-abc-Train-0123456789", attempts=1) == ["kill"]
    faults.plant(Fault(kind=FaultKind.KILL, name="*"))
    assert met(faults, "", "") == [None] * 4


@pytest.mark.parametrize(
    ("operation", "request_", "usage"),
    [
        (
            "CreateProcessingJob",
            {"ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.c5.xlarge", "InstanceCount": 3}}},
            "'ml.c5.xlarge for processing job usage' is 0 Instances, with current utilization of 0 Instances and a "
            "request delta of 3 Instances",
        ),
        (
            "CreateTransformJob",
            {"TransformResources": {"InstanceType": "ml.m4.xlarge", "InstanceCount": 1}},
            "'ml.m4.xlarge for transform job usage' is 0 Instances",
        ),
    ],
)
def test_a_resource_limit_names_what_was_asked_for(
    faults: Faults, operation: str, request_: dict[str, Any], usage: str
) -> None:
    faults.plant(Fault(kind=FaultKind.RESOURCE_LIMIT, name="S"))
    with pytest.raises(AwsError, match=usage) as refused:
        faults.check_call(operation, request_, "S")
    assert refused.value.code == "ResourceLimitExceeded"
    faults.check_call(operation, request_, "S")


def test_only_calls_that_create_something_are_refused(faults: Faults) -> None:
    faults.plant(Fault(kind=FaultKind.THROTTLING, name="*"))
    faults.check_call("DescribeModel", {"ModelName": "m"}, "S")
    with pytest.raises(AwsError, match="Rate exceeded"):
        faults.check_call("CreateModel", {"ModelName": "m"}, "")
