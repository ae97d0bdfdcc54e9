"""Updates of endpoints: blue/green with steps, alarms and rollback; weights."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from hosting import Hosted

from mlops_sm.emulator.clock import Clock
from mlops_sm.emulator.endpoints.fleet import Fleet, pick
from mlops_sm.emulator.endpoints.shifting import Shifts
from mlops_sm.emulator.endpoints.snapshot import Snapshot
from mlops_sm.emulator.errors import AwsError
from mlops_sm.local.warm import WarmWorkers

SAME = "def model_fn(d): return {0!r}\ndef transform_fn(model, body, content_type, accept): return model, accept\n"
BROKEN = "raise ImportError('no such luck')\n"


@pytest.fixture
def account(open_account: Callable[..., Any]) -> Any:
    """An account whose clock stands until it is advanced."""
    clock = Clock(frozen=datetime(2026, 11, 24, 9, tzinfo=UTC))
    return open_account(warm=WarmWorkers(enabled=False), clock=clock)


@pytest.fixture
def hosted(account: Any) -> Hosted:
    """An endpoint that says blue, and a configuration whose variant says green."""
    hosted = Hosted(account)
    for name in ("blue", "green"):
        hosted.model({"code/inference.py": SAME.format(name)}, name)
        hosted.config(name, hosted.variant(model=name))
    hosted.model({"code/inference.py": BROKEN}, "broken")
    hosted.config("broken", hosted.variant(model="broken"))
    hosted.create("mine", "blue")
    return hosted


def policy(kind: str, wait: int, *alarms: str, **sizes: Any) -> dict[str, Any]:
    config: dict[str, Any] = {
        "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": kind, "WaitIntervalInSeconds": wait, **sizes}}
    }
    if alarms:
        config["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": name} for name in alarms]}
    return config


def percent(value: int) -> dict[str, Any]:
    return {"Type": "CAPACITY_PERCENT", "Value": value}


def shares(hosted: Hosted, count: int = 60) -> Counter[str]:
    return Counter(hosted.said("mine", "x") for _ in range(count))


@contextmanager
def load(hosted: Hosted) -> Iterator[list[str]]:
    """Requests, one after the other, as long as the context lasts; what they were answered."""
    ended, answers = threading.Event(), []

    def ask() -> None:
        while not ended.is_set():
            answers.append(hosted.said("mine", "x"))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        ended.set()
        thread.join()


def test_an_update_moves_to_another_fleet_and_no_request_fails(hosted: Hosted, operations: Any) -> None:
    with load(hosted) as answers:
        hosted.account.until(lambda: bool(answers), "a first answer")
        arn = operations("UpdateEndpoint", EndpointName="mine", EndpointConfigName="green")["EndpointArn"]
        assert arn.endswith(":endpoint/mine")
        hosted.account.until(lambda: answers[-1] == "green", "the new fleet")
        described = hosted.ready()
    assert answers[0] == "blue"
    assert answers == sorted(answers)
    assert described["EndpointStatus"] == "InService"
    assert described["EndpointConfigName"] == "green"
    assert "PendingDeploymentSummary" not in described
    assert "FailureReason" not in described


def test_a_canary_waits_for_the_clock(hosted: Hosted, operations: Any) -> None:
    operations(
        "UpdateEndpoint",
        EndpointName="mine",
        EndpointConfigName="green",
        DeploymentConfig=policy("CANARY", 300, CanarySize=percent(50)),
    )
    clock = hosted.account.local.clock
    clock.advance(seconds=1)
    described = hosted.described()
    assert described["EndpointStatus"] == "Updating"
    assert described["EndpointConfigName"] == "blue"
    (pending,) = described["PendingDeploymentSummary"]["ProductionVariants"]
    assert described["PendingDeploymentSummary"]["EndpointConfigName"] == "green"
    assert pending["VariantStatus"][0]["Status"] == "Baking"
    assert set(shares(hosted)) == {"blue", "green"}
    code, message = operations.refused("UpdateEndpoint", EndpointName="mine", EndpointConfigName="blue")
    assert (code, message.split('"')[0]) == ("ValidationException", "Cannot update in-progress endpoint ")
    assert operations.refused("DeleteEndpoint", EndpointName="mine")[0] == "ValidationException"
    clock.advance(seconds=300)
    assert set(shares(hosted)) == {"green"}
    assert hosted.described()["EndpointStatus"] == "Updating"
    clock.advance(seconds=300)
    assert hosted.described()["EndpointStatus"] == "InService"
    assert hosted.described()["LastDeploymentConfig"] == policy("CANARY", 300, CanarySize=percent(50))


def test_an_alarm_takes_it_back(hosted: Hosted, operations: Any) -> None:
    cloudwatch = hosted.account.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="errors",
        Namespace="Mine",
        MetricName="Errors",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
    )
    operations(
        "UpdateEndpoint",
        EndpointName="mine",
        EndpointConfigName="green",
        DeploymentConfig=policy("LINEAR", 60, "errors", LinearStepSize=percent(50)),
    )
    clock = hosted.account.local.clock
    clock.advance(seconds=70)
    assert set(shares(hosted)) == {"green"}
    with load(hosted) as answers:
        hosted.account.until(lambda: bool(answers), "a first answer")
        cloudwatch.set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="a test")
        clock.advance(seconds=10)
        hosted.account.until(lambda: answers[-1] == "blue", "the old fleet")
    described = hosted.ready()
    assert described["EndpointStatus"] == "InService"
    assert described["EndpointConfigName"] == "blue"
    assert "errors" in described["FailureReason"]
    assert set(shares(hosted)) == {"blue"}
    cloudwatch.set_alarm_state(AlarmName="errors", StateValue="OK", StateReason="a test")
    operations("UpdateEndpoint", EndpointName="mine", EndpointConfigName="green", RetainDeploymentConfig=True)
    clock.advance(seconds=200)
    assert hosted.described()["EndpointConfigName"] == "green"
    assert "FailureReason" not in hosted.described()


@pytest.mark.parametrize(
    ("config", "alarms", "reason"),
    [("broken", (), "ImportError: no such luck"), ("green", ("none",), "do not exist: none")],
)
def test_what_cannot_be_deployed_leaves_the_old_fleet(
    hosted: Hosted, operations: Any, config: str, alarms: tuple[str, ...], reason: str
) -> None:
    operations(
        "UpdateEndpoint",
        EndpointName="mine",
        EndpointConfigName=config,
        DeploymentConfig=policy("ALL_AT_ONCE", 60, *alarms),
    )
    described = hosted.ready()
    assert described["EndpointStatus"] == "InService"
    assert described["EndpointConfigName"] == "blue"
    assert reason in described["FailureReason"]
    assert hosted.said("mine", "x") == "blue"


def test_an_update_under_way_is_given_up_when_the_account_is_closed(
    hosted: Hosted, operations: Any, open_account: Callable[..., Any]
) -> None:
    operations(
        "UpdateEndpoint",
        EndpointName="mine",
        EndpointConfigName="green",
        DeploymentConfig=policy("ALL_AT_ONCE", 600),
    )
    again = Hosted(open_account(warm=WarmWorkers(enabled=False)))
    described = again.described()
    assert described["EndpointStatus"] == "InService"
    assert described["EndpointConfigName"] == "blue"
    assert "ended before" in described["FailureReason"]
    assert again.said("mine", "x") == "blue"


def test_properties_that_are_retained(hosted: Hosted, operations: Any) -> None:
    hosted.account.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="mine",
        DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredWeight": 3, "DesiredInstanceCount": 2}],
    )
    (variant,) = hosted.ready()["ProductionVariants"]
    assert (variant["CurrentWeight"], variant["DesiredInstanceCount"]) == (3.0, 2)
    operations(
        "UpdateEndpoint",
        EndpointName="mine",
        EndpointConfigName="green",
        RetainAllVariantProperties=True,
        ExcludeRetainedVariantProperties=[{"VariantPropertyType": "DesiredWeight"}],
    )
    (variant,) = hosted.ready()["ProductionVariants"]
    assert (variant["CurrentWeight"], variant["CurrentInstanceCount"]) == (1.0, 2)
    operations("UpdateEndpoint", EndpointName="mine", EndpointConfigName="blue")
    (variant,) = hosted.ready()["ProductionVariants"]
    assert variant["CurrentInstanceCount"] == 1


def test_weights(hosted: Hosted, operations: Any) -> None:
    both = [hosted.variant(name, name, InitialVariantWeight=weight) for name, weight in (("blue", 1), ("green", 0))]
    hosted.config("both", *both)
    hosted.create("two", "both")
    assert {hosted.said("two", "x") for _ in range(10)} == {"blue"}
    answer = hosted.invoke("two", "x", TargetVariant="green")
    assert (answer["InvokedProductionVariant"], answer["Body"].read()) == ("green", b"green")
    operations(
        "UpdateEndpointWeightsAndCapacities",
        EndpointName="two",
        DesiredWeightsAndCapacities=[
            {"VariantName": "blue", "DesiredWeight": 0},
            {"VariantName": "green", "DesiredWeight": 5},
        ],
    )
    hosted.ready("two")
    assert {hosted.said("two", "x") for _ in range(10)} == {"green"}
    code, message = operations.refused(
        "UpdateEndpointWeightsAndCapacities",
        EndpointName="two",
        DesiredWeightsAndCapacities=[{"VariantName": "red", "DesiredWeight": 1}],
    )
    assert (code, "red" in message) == ("ValidationException", True)


def test_weights_that_were_changed_are_kept(hosted: Hosted, open_account: Callable[..., Any]) -> None:
    both = [hosted.variant(name, name) for name in ("blue", "green")]
    hosted.config("both", *both)
    hosted.create("two", "both")
    hosted.account.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="two", DesiredWeightsAndCapacities=[{"VariantName": "blue", "DesiredWeight": 0}]
    )
    hosted.ready("two")
    again = Hosted(open_account(warm=WarmWorkers(enabled=False)))
    assert {again.said("two", "x") for _ in range(10)} == {"green"}


@pytest.mark.parametrize(
    ("draw", "chosen"), [(0.0, "a"), (0.249, "a"), (0.25, "c"), (0.749, "c"), (0.75, "d"), (0.999, "d")]
)
def test_whose_turn_it_is(draw: float, chosen: str) -> None:
    assert pick({"a": 1, "b": 0, "c": 2, "d": 1}, draw) == chosen


def test_nobody_without_weights() -> None:
    assert pick({"a": 0}, 0.5) is None


@pytest.mark.parametrize(
    ("config", "instances", "parts"),
    [
        (None, 4, (1.0,)),
        (policy("ALL_AT_ONCE", 5), 4, (1.0,)),
        (policy("CANARY", 5, CanarySize=percent(10)), 4, (0.1, 1.0)),
        (policy("CANARY", 5, CanarySize={"Type": "INSTANCE_COUNT", "Value": 1}), 4, (0.25, 1.0)),
        (policy("CANARY", 5, CanarySize={"Type": "INSTANCE_COUNT", "Value": 1}), 1, (0.5, 1.0)),
        (policy("LINEAR", 5, LinearStepSize=percent(25)), 4, (0.25, 0.5, 0.75, 1.0)),
        (policy("LINEAR", 5, LinearStepSize=percent(40)), 4, (0.4, 0.8, 1.0)),
        ({"RollingUpdatePolicy": {"MaximumBatchSize": percent(50), "WaitIntervalInSeconds": 5}}, 2, (0.5, 1.0)),
    ],
)
def test_steps(config: Any, instances: int, parts: tuple[float, ...]) -> None:
    assert Shifts.of(config, instances).parts == pytest.approx(parts)


@pytest.mark.parametrize(
    "config",
    [
        policy("CANARY", 5),
        policy("CANARY", 5, CanarySize=percent(60)),
        policy("LINEAR", 5, LinearStepSize=percent(5)),
        policy("CANARY", 5, CanarySize={"Type": "INSTANCE_COUNT", "Value": 3}),
        {
            **policy("ALL_AT_ONCE", 5),
            "RollingUpdatePolicy": {"MaximumBatchSize": percent(50), "WaitIntervalInSeconds": 5},
        },
        {
            "BlueGreenUpdatePolicy": {
                "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 600},
                "MaximumExecutionTimeoutInSeconds": 600,
            }
        },
    ],
)
def test_steps_that_cannot_be(config: Any) -> None:
    """API reference: CanarySize at most 50%, LinearStepSize 10-50%, one policy only, the timeout above the waits."""
    with pytest.raises(AwsError) as refused:
        Shifts.of(config, 4)
    assert refused.value.code == "ValidationException"


def test_a_fleet_that_is_drained_takes_no_request(tmp_path: Path) -> None:
    """So that no request meets a fleet between its last look at the traffic and its end."""
    config = {"EndpointConfigName": "c", "ProductionVariants": [{"VariantName": "a"}]}
    fleet = Fleet(Snapshot({"Config": config, "Models": {}}), {}, {}, lambda name: tmp_path / name, cast("Any", None))
    assert fleet.enter()
    drained = threading.Thread(target=fleet.drain)
    drained.start()
    while fleet.enter():
        fleet.leave()
    assert drained.is_alive()
    fleet.leave()
    drained.join()
    assert not fleet.enter()
