"""InvokeEndpointWithResponseStream: parts as they come, and failures on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EventStreamError
from hosting import Hosted

from mlops_sm.local.warm import WarmWorkers

# Says one part, and the next when there is a file.
SLOW = """
import time
from pathlib import Path
def model_fn(model_dir): return Path("/opt/mlops-sm/tmp/go")
def transform_fn(go, body, content_type, accept):
    if body == "bad":
        raise ValueError("cannot do that")
    def parts():
        yield "one "
        if body == "breaks":
            raise ValueError("broken on the way")
        while not go.exists():
            time.sleep(0.01)
        yield b"two"
    return parts(), "text/plain"
"""


@pytest.fixture
def account(open_account: Callable[..., Any]) -> Any:
    return open_account(warm=WarmWorkers(enabled=False))


@pytest.fixture
def hosted(account: Any) -> Hosted:
    hosted = Hosted(account)
    hosted.model({"code/inference.py": SLOW})
    hosted.config()
    hosted.create()
    return hosted


@pytest.fixture(params=["in this process", "over HTTP"])
def runtime(request: pytest.FixtureRequest, hosted: Hosted) -> Iterator[Any]:
    if request.param == "in this process":
        yield hosted.runtime
        return
    client = boto3.client(
        "sagemaker-runtime",
        endpoint_url=hosted.account.local.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - opens nothing
    )
    yield client
    client.close()


def ask(runtime: Any, body: str) -> tuple[dict[str, Any], Iterator[bytes]]:
    answer = runtime.invoke_endpoint_with_response_stream(EndpointName="mine", Body=body, ContentType="text/csv")
    return answer, (event["PayloadPart"]["Bytes"] for event in answer["Body"])


def test_parts_come_as_they_are_made(hosted: Hosted, runtime: Any, state: Path) -> None:
    answer, parts = ask(runtime, "x")
    assert answer["ContentType"] == "text/plain"
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert next(parts) == b"one "
    (scratch,) = (state / "endpoints" / "mine" / "AllTraffic").glob("i-*/scratch/tmp")
    (scratch / "go").touch()
    assert list(parts) == [b"two"]
    assert hosted.said("mine", "x") == "one two"


def test_a_model_that_fails_before_its_first_part(runtime: Any) -> None:
    with pytest.raises(ClientError) as failed:
        ask(runtime, "bad")
    assert failed.value.response["Error"]["Code"] == "ModelError"
    assert failed.value.response["OriginalMessage"] == "ValueError: cannot do that"


def test_a_model_that_fails_on_the_way(runtime: Any) -> None:
    answer, parts = ask(runtime, "breaks")
    assert next(parts) == b"one "
    with pytest.raises(EventStreamError) as failed:
        next(parts)
    assert failed.value.response["Error"]["Code"] == "ModelStreamError"
    assert failed.value.response["Error"]["Message"] == "The model failed while it answered."
    answer["Body"].close()
