"""Endpoint configurations that are refused, and what a variant gets that says nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hosting import IMAGE, Hosted

from mlops_sm.local.warm import WarmWorkers

SERVERLESS = {"MemorySizeInMB": 2048, "MaxConcurrency": 5}


@pytest.fixture
def account(open_account: Callable[..., Any]) -> Any:
    return open_account(warm=WarmWorkers(enabled=False))


@pytest.fixture
def hosted(account: Any) -> Hosted:
    hosted = Hosted(account)
    hosted.model(b"")
    account.sagemaker.create_model(
        ModelName="many",
        ExecutionRoleArn=account.role,
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": "s3://bucket/many/", "Mode": "MultiModel"},
    )
    return hosted


def variant(name: str = "a", **members: Any) -> dict[str, Any]:
    sizes = {} if "ServerlessConfig" in members else {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    found = {"VariantName": name, "ModelName": "doubler", **sizes, **members}
    return {member: value for member, value in found.items() if value is not None}


CAPTURE = {
    "InitialSamplingPercentage": 100,
    "DestinationS3Uri": "s3://bucket/captured",
    "CaptureOptions": [{"CaptureMode": "Input"}],
}


@pytest.mark.parametrize(
    ("variants", "members", "says"),
    [
        ([variant(), variant()], {}, "The variant name a is used twice"),
        ([variant(ModelName="none")], {}, "Could not find model"),
        ([variant(ModelName=None)], {}, "ExecutionRoleArn"),
        ([variant(InstanceType=None)], {}, "needs an InstanceType"),
        ([variant(InitialInstanceCount=None)], {}, "needs an InitialInstanceCount"),
        ([variant(InitialVariantWeight=0), variant("b", InitialVariantWeight=0)], {}, "greater than 0"),
        ([variant(ServerlessConfig=SERVERLESS, InstanceType="ml.m5.large")], {}, "cannot have InstanceType"),
        ([variant(ServerlessConfig={**SERVERLESS, "MemorySizeInMB": 1500})], {}, "MemorySizeInMB"),
        ([variant(ServerlessConfig={**SERVERLESS, "ProvisionedConcurrency": 6})], {}, "ProvisionedConcurrency"),
        ([variant(ServerlessConfig=SERVERLESS), variant("b")], {}, "exactly one production variant"),
        ([variant(ServerlessConfig=SERVERLESS)], {"DataCaptureConfig": CAPTURE}, "do not support DataCaptureConfig"),
        ([variant(ServerlessConfig=SERVERLESS, ModelName="many")], {}, "multi-model"),
        ([variant(), variant("b")], {"ShadowProductionVariants": [variant("c")]}, "You can only specify one variant"),
        ([variant()], {"ShadowProductionVariants": [variant()]}, "used twice"),
        ([variant()], {"ExplainerConfig": {"ClarifyExplainerConfig": {"ShapConfig": {"ShapBaselineConfig": {}}}}}, "E"),
        (
            [variant()],
            {"DataCaptureConfig": {**CAPTURE, "CaptureOptions": [{"CaptureMode": "Input"}] * 2}},
            "the mode Input twice",
        ),
    ],
)
def test_what_is_refused(
    hosted: Hosted, operations: Any, variants: list[dict[str, Any]], members: dict[str, Any], says: str
) -> None:
    """API reference, CreateEndpointConfig; "Serverless Inference", feature exclusions."""
    code, message = operations.refused(
        "CreateEndpointConfig", EndpointConfigName="config", ProductionVariants=variants, **members
    )
    assert (code, says in message) == ("ValidationException", True), message


def test_a_variant_that_names_no_weight_has_the_weight_1(hosted: Hosted, operations: Any) -> None:
    hosted.config("config", variant(), variant("b", InitialVariantWeight=3))
    described = operations("DescribeEndpointConfig", EndpointConfigName="config")
    assert [each["InitialVariantWeight"] for each in described["ProductionVariants"]] == [1.0, 3.0]
