"""Inference components: models on endpoints whose variants have none of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hosting import DOUBLE, Hosted

from mlops_sm.local.warm import WarmWorkers

NEEDS = {"MinMemoryRequiredInMb": 128, "NumberOfCpuCoresRequired": 1}


@pytest.fixture
def account(open_account: Callable[..., Any]) -> Any:
    return open_account(warm=WarmWorkers(enabled=False))


@pytest.fixture
def hosted(account: Any) -> Hosted:
    """An endpoint without a model, and two models."""
    hosted = Hosted(account)
    for name, factor in (("doubler", "2"), ("tripler", "3")):
        hosted.model({"code/inference.py": DOUBLE, "factor.json": factor}, name)
    hosted.config("config", hosted.variant(model=None), ExecutionRoleArn=account.role)
    assert hosted.create()["EndpointStatus"] == "InService"
    return hosted


def request(name: str = "one", model: str = "doubler", **members: Any) -> dict[str, Any]:
    return {
        "InferenceComponentName": name,
        "EndpointName": "mine",
        "VariantName": "AllTraffic",
        "Specification": {"ModelName": model, "ComputeResourceRequirements": NEEDS},
        "RuntimeConfig": {"CopyCount": 1},
        **members,
    }


def ready(hosted: Hosted, operations: Any, name: str = "one") -> dict[str, Any]:
    def described() -> dict[str, Any]:
        found: dict[str, Any] = operations("DescribeInferenceComponent", InferenceComponentName=name)
        return found

    done = {"InService", "Failed"}
    hosted.account.until(lambda: described()["InferenceComponentStatus"] in done, "the component")
    return described()


def test_a_component_answers(hosted: Hosted, operations: Any) -> None:
    created = operations("CreateInferenceComponent", **request())
    arn = "arn:aws:sagemaker:us-east-1:123456789012:inference-component/one"
    assert created == {"InferenceComponentArn": arn}
    described = ready(hosted, operations)
    assert described["InferenceComponentStatus"] == "InService"
    assert described["Specification"]["ModelName"] == "doubler"
    assert described["RuntimeConfig"] == {"DesiredCopyCount": 1, "CurrentCopyCount": 1}
    answer = hosted.invoke("mine", "1,2", InferenceComponentName="one")
    assert (answer["Body"].read(), answer["InvokedProductionVariant"]) == (b"[6.0]", "AllTraffic")
    assert "Inference Component Name header is required" in hosted.refused("mine", "1")[1]
    assert hosted.refused("mine", "1", InferenceComponentName="none")[0] == "ValidationError"
    assert operations.refused("DeleteEndpoint", EndpointName="mine")[0] == "ValidationException"


def test_a_component_of_an_image_is_updated_and_deleted(hosted: Hosted, operations: Any) -> None:
    specification = {
        "Container": {"Image": hosted.image, "ArtifactUrl": f"s3://{hosted.account.bucket}/models/doubler.tar.gz"},
        "ComputeResourceRequirements": NEEDS,
    }
    operations("CreateInferenceComponent", **request(Specification=specification))
    described = ready(hosted, operations)
    assert described["Specification"]["Container"]["DeployedImage"]["SpecifiedImage"] == hosted.image
    assert hosted.said("mine", "1", InferenceComponentName="one") == "[2.0]"
    operations(
        "UpdateInferenceComponent",
        InferenceComponentName="one",
        Specification={"ModelName": "tripler", "ComputeResourceRequirements": NEEDS},
    )
    assert ready(hosted, operations)["Specification"]["ModelName"] == "tripler"
    assert hosted.said("mine", "1", InferenceComponentName="one") == "[3.0]"
    operations(
        "UpdateInferenceComponentRuntimeConfig", InferenceComponentName="one", DesiredRuntimeConfig={"CopyCount": 0}
    )
    assert ready(hosted, operations)["RuntimeConfig"]["CurrentCopyCount"] == 0
    code, message = hosted.refused("mine", "1", InferenceComponentName="one")
    assert (code, message.split(".")[0]) == (
        "ValidationError",
        "Inference Component has no capacity to process this request",
    )
    operations("DeleteInferenceComponent", InferenceComponentName="one")
    hosted.account.until(lambda: is_gone(operations, "one"), "the end of the component")
    operations("DeleteEndpoint", EndpointName="mine")
    hosted.gone()


def is_gone(operations: Any, name: str) -> bool:
    try:
        operations("DescribeInferenceComponent", InferenceComponentName=name)
    except ClientError:
        return True
    return False


def test_a_component_is_there_again_when_the_account_is_opened_again(
    hosted: Hosted, operations: Any, open_account: Callable[..., Any]
) -> None:
    operations("CreateInferenceComponent", **request())
    ready(hosted, operations)
    again = Hosted(open_account(warm=WarmWorkers(enabled=False)))
    assert again.said("mine", "2", InferenceComponentName="one") == "[4.0]"


def test_a_component_that_cannot_be_loaded(hosted: Hosted, operations: Any) -> None:
    hosted.model({"code/inference.py": "raise ImportError('no such luck')"}, "broken")
    operations("CreateInferenceComponent", **request(model="broken"))
    described = ready(hosted, operations)
    assert described["InferenceComponentStatus"] == "Failed"
    assert described["FailureReason"].startswith("The primary container for inference component one did not pass")
    assert "no such luck" in described["FailureReason"]


def test_lists(hosted: Hosted, operations: Any) -> None:
    for name in ("one", "two"):
        operations("CreateInferenceComponent", **request(name))
        ready(hosted, operations, name)

    def listed(**filters: Any) -> list[str]:
        found = operations("ListInferenceComponents", **filters)["InferenceComponents"]
        return [each["InferenceComponentName"] for each in found]

    assert listed() == ["two", "one"]
    assert listed(SortBy="Name", SortOrder="Ascending", EndpointNameEquals="mine") == ["one", "two"]
    assert listed(VariantNameEquals="other") == []
    assert listed(EndpointNameEquals="other") == []
    assert listed(NameContains="tw", VariantNameEquals="AllTraffic") == ["two"]


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"EndpointName": "none"}, "Could not find endpoint"),
        ({"VariantName": "none"}, "Could not find variant"),
        ({"Specification": {"ComputeResourceRequirements": NEEDS}}, "Exactly one of ModelName and Container"),
        ({"Specification": {"ModelName": "doubler"}}, "ComputeResourceRequirements is required"),
        ({"Specification": {"ModelName": "none", "ComputeResourceRequirements": NEEDS}}, "Could not find model"),
        ({"Specification": {"BaseInferenceComponentName": "one"}}, "BaseInferenceComponentName"),
    ],
)
def test_requests_that_are_refused(hosted: Hosted, operations: Any, members: dict[str, Any], says: str) -> None:
    code, message = operations.refused("CreateInferenceComponent", **request(**members))
    assert (code, says in message) == ("ValidationException", True), message


def test_a_variant_with_a_model_hosts_no_components(hosted: Hosted, operations: Any) -> None:
    hosted.config("full", hosted.variant())
    hosted.create("full", "full")
    message = operations.refused("CreateInferenceComponent", **request(EndpointName="full"))[1]
    assert "has a model of its own" in message


def test_an_update_under_load_fails_no_request(hosted: Hosted, operations: Any) -> None:
    operations("CreateInferenceComponent", **request())
    ready(hosted, operations)
    answers: list[str] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            answers.append(hosted.said("mine", "1", InferenceComponentName="one"))

    thread = threading.Thread(target=ask)
    thread.start()
    hosted.account.until(lambda: bool(answers), "a first answer")
    operations(
        "UpdateInferenceComponent",
        InferenceComponentName="one",
        Specification={"ModelName": "tripler", "ComputeResourceRequirements": NEEDS},
    )
    hosted.account.until(lambda: answers[-1] == "[3.0]", "the new model")
    ended.set()
    thread.join()
    assert answers == sorted(answers)
    assert answers[0] == "[2.0]"
