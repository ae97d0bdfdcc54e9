"""Numbers that JSON can say and the service cannot hold, and requests that are nested without end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlops_sm.checks.service import sagemaker_model
from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.protocol import answer
from mlops_sm.emulator.validation import read_request


def read(operation: str, body: str) -> Any:
    return read_request(json.loads(body), sagemaker_model().operation_model(operation).input_shape)


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("CreateTrialComponent", '{"TrialComponentName": "a", "StartTime": 1e999}'),
        ("CreateTrialComponent", '{"TrialComponentName": "a", "StartTime": 1e300}'),
        ("CreateTrialComponent", '{"TrialComponentName": "a", "StartTime": "0001-01-01T00:00:00+14:00"}'),
        ("CreateTrialComponent", '{"TrialComponentName": "a", "Parameters": {"p": {"NumberValue": -1e999}}}'),
        (
            "CreateTrialComponent",
            '{"TrialComponentName": "a", "Parameters": {"p": {"NumberValue": 1%s}}}' % ("0" * 400),
        ),
        ("ListExperiments", '{"MaxResults": 1e300}'),
        ("ListExperiments", '{"MaxResults": 9999999999}'),
    ],
)
def test_a_number_out_of_range(operation: str, body: str) -> None:
    with pytest.raises(AwsError, match="out of the range") as caught:
        read(operation, body)
    assert caught.value.code == "SerializationException"


def test_numbers_at_the_edge() -> None:
    assert read("ListExperiments", '{"MaxResults": 5.0}') == {"MaxResults": 5}
    assert read("ListExperiments", '{"CreatedAfter": 0}') == {"CreatedAfter": 0.0}


def test_a_request_without_bottom() -> None:
    expression = '{"SubExpressions": [' * 400 + '{"Filters": [{"Name": "a"}]}' + "]}" * 400
    body = f'{{"Resource": "TrainingJob", "SearchExpression": {expression}}}'.encode()
    refused = answer(sagemaker_model(), "Search", body, lambda request: request)
    assert refused.status == 400
    assert json.loads(refused.body)["__type"] == "SerializationException"
