"""Whatever arrives over HTTP is answered in SageMaker's protocol: never a page, never a failure of ours."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_sm.checks.service import sagemaker_model
from mlops_sm.emulator import LocalAccount
from mlops_sm.emulator.sagemaker import OPERATIONS

SIGNATURE: Final = (
    "AWS4-HMAC-SHA256 Credential=test/20261124/us-east-1/sagemaker/aws4_request, SignedHeaders=host, Signature=00"
)
MODELLED: Final = {
    "ConflictException",
    "ResourceInUse",
    "ResourceLimitExceeded",
    "ResourceNotFound",
    "SerializationException",
    "UnknownOperationException",
    "ValidationException",
}
NAMES: Final = tuple(sagemaker_model().operation_names)
MEMBERS: Final = sorted({name for one in NAMES for name in sagemaker_model().operation_model(one).input_shape.members})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
BODIES = (
    st.binary(max_size=50)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=6).map(lambda value: json.dumps(value).encode())
)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with LocalAccount.open(tmp_path_factory.mktemp("any") / "state") as local:
        yield int(local.endpoint_url.rpartition(":")[2])


def ask(port: int, target: str, body: bytes, content_type: str) -> tuple[int, str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"X-Amz-Target": target, "Content-Type": content_type, "Authorization": SIGNATURE}
    connection.request("POST", "/", body, headers)
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    return answer.status, answer.getheader("Content-Type", ""), json.loads(said) if said else None


@given(
    name=st.sampled_from(NAMES) | st.text("abcXYZ", min_size=1, max_size=20),
    body=BODIES,
    content_type=st.sampled_from(["application/x-amz-json-1.1", "application/json", "text/plain", ""]),
)
@settings(max_examples=200, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_body_is_answered_by_the_book(port: int, name: str, body: bytes, content_type: str) -> None:
    status, kind, said = ask(port, f"SageMaker.{name}", body, content_type)
    assert kind.startswith("application/x-amz-json-1.1"), f"{name} {body!r}: {status} {kind} {said}"
    if status == 200:
        assert name in OPERATIONS
    else:
        assert 400 <= status < 500, f"{name} {body!r}: {status} {said}"
        assert said["__type"] in MODELLED, f"{name} {body!r}: {said}"
        assert said["message"]


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(OPERATIONS)))
def test_what_is_not_here_says_so_and_why(port: int, name: str) -> None:
    status, _, said = ask(port, f"SageMaker.{name}", b"{}", "application/x-amz-json-1.1")
    assert (status, said["__type"]) == (400, "UnknownOperationException")
    assert said["message"].startswith(f"The operation {name} of sagemaker is not available in the local account: ")
