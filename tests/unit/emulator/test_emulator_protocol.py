"""Requests as they arrive: validated by the service's model, answered in its protocol whatever they hold.

Texts: AWS's JSON services' constraint violations, e.g. aws/aws-cli and boto3 issues that quote ``1 validation error
detected: Value '...' at '...' failed to satisfy constraint: Member must satisfy regular expression pattern: ...``.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_sm.checks.service import sagemaker_model
from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.protocol import answer, render
from mlops_sm.emulator.sagemaker import OPERATIONS
from mlops_sm.emulator.validation import read_request


def shape(operation: str, *, output: bool = False) -> Any:
    model = sagemaker_model().operation_model(operation)
    return model.output_shape if output else model.input_shape


def findings(operation: str, request: Any) -> str:
    with pytest.raises(AwsError) as refused:
        read_request(request, shape(operation))
    assert refused.value.code == "ValidationException"
    return refused.value.message


def test_a_required_member() -> None:
    assert findings("DescribePipeline", {}) == (
        "1 validation error detected: Value null at 'pipelineName' failed to satisfy constraint: "
        "Member must not be null"
    )
    assert findings("DescribePipeline", {"PipelineName": None}) == findings("DescribePipeline", {})


def test_a_pattern() -> None:
    message = findings("DescribeTrainingJob", {"TrainingJobName": "no spaces"})
    assert message.startswith(
        "1 validation error detected: Value 'no spaces' at 'trainingJobName' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: "
    )


def test_an_enum() -> None:
    assert findings("ListTrainingJobs", {"SortOrder": "Up"}) == (
        "1 validation error detected: Value 'Up' at 'sortOrder' failed to satisfy constraint: "
        "Member must satisfy enum value set: [Ascending, Descending]"
    )


def test_a_range_and_a_length() -> None:
    assert findings("ListPipelines", {"MaxResults": 101}).endswith(
        "Value '101' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 100"
    )
    message = findings("StartPipelineExecution", {"PipelineName": "p", "ClientRequestToken": "short"})
    assert "Value 'short' at 'clientRequestToken' failed to satisfy constraint: " in message
    assert message.endswith("Member must have length greater than or equal to 32")


def test_every_finding_is_in_one_message_with_its_path() -> None:
    request = {
        "ProcessingJobName": "job",
        "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.big", "InstanceCount": 0}},
        "AppSpecification": {"ImageUri": "python", "ContainerArguments": ["x" * 300]},
        "RoleArn": "arn:aws:iam::123456789012:role/r",
        "ProcessingInputs": [{"InputName": "a", "S3Input": {"S3Uri": "s3://b/k"}}],
        "Environment": {"not a name": "1"},
    }
    message = findings("CreateProcessingJob", request)
    assert message.startswith("6 validation errors detected: ")
    for text in (
        "at 'processingResources.clusterConfig.instanceType' failed",
        "Value '0' at 'processingResources.clusterConfig.instanceCount' failed",
        "Value null at 'processingResources.clusterConfig.volumeSizeInGB' failed",
        "at 'processingInputs.1.member.s3Input.s3DataType' failed",
        "at 'appSpecification.containerArguments' failed to satisfy constraint: Member must satisfy constraint: "
        "[Member must have length less than or equal to 256, Member must have length greater than or equal to 0, "
        "Member must satisfy regular expression pattern: .*]",
        "at 'environment' failed to satisfy constraint: Map keys must satisfy constraint: "
        "[Member must have length less than or equal to 256, Member must have length greater than or equal to 0, "
        "Member must satisfy regular expression pattern: [a-zA-Z_][a-zA-Z0-9_]*]",
    ):
        assert text in message


@pytest.mark.parametrize(
    ("operation", "request_", "words"),
    [
        ("DescribePipeline", {"PipelineName": 3}, "NUMBER_VALUE can not be converted to a String"),
        ("ListPipelines", {"MaxResults": "3"}, "STRING_VALUE can not be converted to an Integer"),
        ("ListPipelines", {"MaxResults": True}, "BOOLEAN_VALUE can not be converted to an Integer"),
        ("CreatePipeline", {"PipelineName": "p", "Tags": {}}, "START_OBJECT can not be converted to a list"),
        ("DescribePipeline", [], "START_ARRAY can not be converted to a structure"),
        ("ListPipelines", {"CreatedAfter": "yesterday"}, "STRING_VALUE can not be converted to a Timestamp"),
        ("DescribePipeline", {"PipelineName": "\ud800"}, "surrogate"),
    ],
)
def test_a_value_of_the_wrong_type(operation: str, request_: Any, words: str) -> None:
    with pytest.raises(AwsError, match=f"SerializationException: .*{words}"):
        read_request(request_, shape(operation))


def test_members_that_the_service_does_not_know_are_dropped() -> None:
    assert read_request({"PipelineName": "p", "New": 1}, shape("DescribePipeline")) == {"PipelineName": "p"}


def test_times_are_epoch_seconds_however_they_are_written() -> None:
    for moment in (1000, 1000.0, "1970-01-01T00:16:40Z", "1970-01-01T01:16:40+01:00"):
        assert read_request({"CreatedAfter": moment}, shape("ListPipelines")) == {"CreatedAfter": 1000.0}


def test_an_answer_holds_what_the_model_knows_and_nothing_that_is_none() -> None:
    full = {"PipelineName": "p", "CreationTime": 1.23456, "PipelineDescription": None, "Mine": 1}
    assert render(full, shape("DescribePipeline", output=True)) == {"PipelineName": "p", "CreationTime": 1.235}


def test_a_bug_of_ours_is_a_modelled_error(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: Any) -> Any:
        raise KeyError("inside")

    status, headers, body = answer(sagemaker_model(), "ListPipelines", b"{}", fail)
    assert (status, headers["x-amzn-ErrorType"]) == (500, "InternalFailure")
    assert json.loads(body)["__type"] == "InternalFailure"
    assert "inside" not in json.loads(body)["message"]
    assert "KeyError: 'inside'" in caplog.text


@pytest.mark.parametrize("body", [b"{", b"nonsense", b"\xff\xfe", b'{"MaxResults": NaN}', b"[" * 100_000])
def test_a_body_that_is_not_json(body: bytes) -> None:
    status, _, content = answer(sagemaker_model(), "ListPipelines", body, lambda _: {})
    assert (status, json.loads(content)["__type"]) == (400, "SerializationException")


def test_an_operation_that_is_not_here_is_named(account: Any) -> None:
    with pytest.raises(ClientError) as refused:
        account.sagemaker.list_apps()
    assert refused.value.response["Error"]["Code"] == "UnknownOperationException"
    assert refused.value.response["Error"]["Message"] == (
        "The operation ListApps of sagemaker is not available in the local account: "
        "it starts a development environment on a machine that only AWS has."
    )


def test_services_beside_sagemaker_are_not_left_to_inventions(account: Any) -> None:
    features = account.local.client("sagemaker-featurestore-runtime")
    with pytest.raises(ClientError, match="GetRecord of sagemaker-featurestore-runtime is not available"):
        features.get_record(FeatureGroupName="f", RecordIdentifierValueAsString="1")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_any_body_is_accepted_or_refused_by_the_book(operation: str, data: st.DataObject) -> None:
    """Whatever JSON arrives, the answer is the operation's or a modelled 400."""
    members = list(shape(operation).members)
    request = data.draw(JSON | st.dictionaries(st.sampled_from(members), JSON, max_size=4))
    status, headers, body = answer(sagemaker_model(), operation, json.dumps(request).encode(), lambda _: {})
    assert status in {200, 400}
    if status == 400:
        content = json.loads(body)
        assert headers["x-amzn-ErrorType"] == content["__type"] in {"ValidationException", "SerializationException"}
        assert content["message"] == content["Message"] != ""
