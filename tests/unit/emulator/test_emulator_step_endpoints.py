"""Endpoint and InferenceComponent steps: a pipeline that deploys what it has made, twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hosting import DOUBLE, IMAGE, Hosted

from mlops_sm.local.warm import WarmWorkers


@pytest.fixture
def account(open_account: Callable[..., Any]) -> Any:
    return open_account(warm=WarmWorkers(enabled=False))


def deployment(account: Any, endpoint: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Steps that make a model, a configuration and an endpoint; their names end like the parameter Version."""
    named = {"Std:Join": {"On": "-", "Values": ["demo", {"Get": "Parameters.Version"}]}}
    url = {"Std:Join": {"On": "", "Values": [f"s3://{account.bucket}/", {"Get": "Parameters.Version"}, ".tar.gz"]}}
    return [
        {
            "Name": "Model",
            "Type": "Model",
            "Arguments": {
                "ModelName": named,
                "ExecutionRoleArn": account.role,
                "PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": url},
            },
        },
        {
            "Name": "Config",
            "Type": "EndpointConfig",
            "Arguments": {
                "EndpointConfigName": named,
                "ProductionVariants": [
                    {
                        "VariantName": "AllTraffic",
                        "ModelName": {"Get": "Steps.Model.ModelName"},
                        "InitialInstanceCount": 1,
                        "InstanceType": "ml.m5.large",
                    }
                ],
            },
        },
        {
            "Name": "Deploy",
            "Type": "Endpoint",
            "Arguments": {
                "EndpointName": "mine",
                "EndpointConfigName": {"Get": "Steps.Config.EndpointConfigName"},
                **(endpoint or {}),
            },
        },
    ]


VERSION = [{"Name": "Version", "Type": "String", "DefaultValue": "one"}]


@pytest.fixture
def run(account: Any) -> Callable[[str], dict[str, Any]]:
    """Runs the pipeline with a version and returns the execution's steps."""

    def run_version(version: str) -> dict[str, Any]:
        arn = account.sagemaker.start_pipeline_execution(
            PipelineName="deploy", PipelineParameters=[{"Name": "Version", "Value": version}]
        )["PipelineExecutionArn"]
        account.execution_end(arn)
        steps: dict[str, Any] = account.steps(arn)
        return steps

    return run_version


def test_a_pipeline_creates_its_endpoint_and_updates_it(
    account: Any, run: Callable[[str], dict[str, Any]], operations: Any
) -> None:
    hosted = Hosted(account)
    archives = {version: {"code/inference.py": DOUBLE, "factor.json": factor} for version, factor in VERSIONS.items()}
    for version, files in archives.items():
        account.put(f"{version}.tar.gz", hosted.packed(files))
    tags = {"Tags": [{"Key": "team", "Value": "loans"}]}
    account.create_pipeline("deploy", *deployment(account, tags), parameters=VERSION)
    deployed = run("one")["Deploy"]
    assert deployed["StepStatus"] == "Succeeded"
    arn = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/mine"
    assert deployed["Metadata"] == {"Endpoint": {"Arn": arn}}
    assert {"Key": "team", "Value": "loans"} in operations("ListTags", ResourceArn=arn)["Tags"]
    assert hosted.said("mine", "1") == "[2.0]"
    assert run("two")["Deploy"]["StepStatus"] == "Succeeded"
    assert hosted.said("mine", "1") == "[3.0]"
    assert hosted.described()["EndpointConfigName"] == "demo-two"
    account.put("bad.tar.gz", hosted.packed({"code/inference.py": "raise ImportError('no such luck')"}))
    failed = run("bad")["Deploy"]
    assert failed["StepStatus"] == "Failed"
    assert "no such luck" in failed["FailureReason"]
    assert hosted.described()["EndpointConfigName"] == "demo-two"
    assert hosted.said("mine", "1") == "[3.0]"


VERSIONS = {"one": "2", "two": "3"}


def test_a_component_step(account: Any, operations: Any) -> None:
    hosted = Hosted(account)
    hosted.model({"code/inference.py": DOUBLE, "factor.json": "2"})
    hosted.config("config", hosted.variant(model=None), ExecutionRoleArn=account.role)
    steps = [
        {"Name": "Deploy", "Type": "Endpoint", "Arguments": {"EndpointName": "mine", "EndpointConfigName": "config"}},
        {
            "Name": "Load",
            "Type": "InferenceComponent",
            "Arguments": {
                "InferenceComponentName": "one",
                "EndpointName": {"Get": "Steps.Deploy.EndpointName"},
                "VariantName": "AllTraffic",
                "Specification": {
                    "ModelName": "doubler",
                    "ComputeResourceRequirements": {"MinMemoryRequiredInMb": 128},
                },
                "RuntimeConfig": {"CopyCount": 1},
            },
        },
    ]
    account.create_pipeline("load", *steps)
    for _ in range(2):
        arn = account.sagemaker.start_pipeline_execution(PipelineName="load")["PipelineExecutionArn"]
        account.execution_end(arn)
        loaded = account.steps(arn)["Load"]
        assert loaded["StepStatus"] == "Succeeded", loaded
        assert loaded["Metadata"] == {
            "InferenceComponent": {"Arn": "arn:aws:sagemaker:us-east-1:123456789012:inference-component/one"}
        }
    assert hosted.said("mine", "4", InferenceComponentName="one") == "[8.0]"


def test_a_deployment_that_is_refused(account: Any) -> None:
    account.create_pipeline(
        "deploy",
        {"Name": "Deploy", "Type": "Endpoint", "Arguments": {"EndpointName": "mine", "EndpointConfigName": "none"}},
    )
    arn = account.sagemaker.start_pipeline_execution(PipelineName="deploy")["PipelineExecutionArn"]
    account.execution_end(arn)
    assert account.steps(arn)["Deploy"]["FailureReason"] == (
        'ClientError: ValidationException: Could not find endpoint configuration "'
        'arn:aws:sagemaker:us-east-1:123456789012:endpoint-config/none".'
    )
