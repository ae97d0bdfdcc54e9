"""What is kept of requests to endpoints: metrics in CloudWatch, captured data in S3."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hosting import Hosted

from mlops_sm.local.warm import WarmWorkers

PICKY = """
def model_fn(model_dir): return None
def transform_fn(model, body, content_type, accept):
    if body == "bad":
        error = ValueError("cannot read that")
        error.status_code = 400
        raise error
    if body == "worse":
        raise ValueError("cannot do that")
    return (body if isinstance(body, str) else body.decode()).upper(), accept
"""


@pytest.fixture
def account(open_account: Callable[..., Any]) -> Any:
    return open_account(warm=WarmWorkers(enabled=False))


@pytest.fixture
def hosted(account: Any) -> Hosted:
    hosted = Hosted(account)
    hosted.model({"code/inference.py": PICKY})
    return hosted


def metric(hosted: Hosted, name: str, *statistics: str) -> dict[str, float]:
    now = hosted.account.local.clock()
    answer = hosted.account.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=name,
        Dimensions=[{"Name": "EndpointName", "Value": "mine"}, {"Name": "VariantName", "Value": "AllTraffic"}],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(hours=1),
        Period=7200,
        Statistics=list(statistics),
    )
    (point,) = answer["Datapoints"]
    return {statistic: point[statistic] for statistic in statistics}


def test_metrics(hosted: Hosted) -> None:
    """Source: "Amazon SageMaker AI metrics in Amazon CloudWatch", endpoint invocation metrics."""
    hosted.config("config", hosted.variant(InitialInstanceCount=2))
    hosted.create()
    for body in ("a", "b", "bad", "worse"):
        if len(body) == 1:
            hosted.said("mine", body)
        else:
            assert hosted.refused("mine", body)[0] == "ModelError"
    assert metric(hosted, "Invocations", "Sum", "SampleCount") == {"Sum": 4.0, "SampleCount": 4.0}
    assert metric(hosted, "InvocationsPerInstance", "Sum") == {"Sum": 2.0}
    assert metric(hosted, "Invocation4XXErrors", "Sum", "Average") == {"Sum": 1.0, "Average": 0.25}
    assert metric(hosted, "Invocation5XXErrors", "Sum", "Average") == {"Sum": 1.0, "Average": 0.25}
    latency = metric(hosted, "ModelLatency", "Minimum", "Maximum", "SampleCount")
    # Microseconds: a process that answers takes more than one of them, and less than a minute.
    assert 1 < latency["Minimum"] <= latency["Maximum"] < 60e6
    assert latency["SampleCount"] == 4.0
    assert metric(hosted, "OverheadLatency", "Minimum")["Minimum"] >= 0


def test_an_alarm_sees_errors(hosted: Hosted) -> None:
    hosted.config()
    hosted.create()
    hosted.account.client("cloudwatch").put_metric_alarm(
        AlarmName="errors",
        Namespace="AWS/SageMaker",
        MetricName="Invocation5XXErrors",
        Dimensions=[{"Name": "EndpointName", "Value": "mine"}, {"Name": "VariantName", "Value": "AllTraffic"}],
        Statistic="Average",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0.1,
        ComparisonOperator="GreaterThanThreshold",
    )
    hosted.refused("mine", "worse")
    hosted.account.local.clock.advance(minutes=2)
    history = hosted.account.client("cloudwatch").describe_alarm_history(
        AlarmName="errors", HistoryItemType="StateUpdate"
    )["AlarmHistoryItems"]
    assert any("to ALARM" in item["HistorySummary"] for item in history)


def capture(account: Any, **members: Any) -> dict[str, Any]:
    return {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{account.bucket}/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
        **members,
    }


def captured(account: Any) -> list[tuple[str, dict[str, Any]]]:
    found = account.s3.list_objects_v2(Bucket=account.bucket, Prefix="captured/").get("Contents", [])
    return [
        (item["Key"], json.loads(line)) for item in found for line in account.body(item["Key"]).decode().splitlines()
    ]


def test_captured_data(hosted: Hosted) -> None:
    """Source: "Capture data from real-time endpoint" of the developer guide."""
    account = hosted.account
    hosted.config(DataCaptureConfig=capture(account))
    shown = hosted.create()["DataCaptureConfig"]
    assert (shown["EnableCapture"], shown["CaptureStatus"], shown["CurrentSamplingPercentage"]) == (
        True,
        "Started",
        100,
    )
    hosted.invoke("mine", "a,1", Accept="application/json", InferenceId="first")
    hosted.invoke("mine", b"raw", ContentType="application/octet-stream", Accept="text/csv; charset=utf-8")
    account.local.clock.advance(seconds=0)
    now = account.local.clock()
    (key, first), (again, second) = captured(account)
    assert key == again
    assert key.startswith(f"captured/mine/AllTraffic/{now:%Y/%m/%d/%H}/")
    assert key.endswith(".jsonl")
    assert first["captureData"] == {
        "endpointInput": {"observedContentType": "text/csv", "mode": "INPUT", "data": "a,1", "encoding": "CSV"},
        "endpointOutput": {
            "observedContentType": "application/json",
            "mode": "OUTPUT",
            "data": "A,1",
            "encoding": "JSON",
        },
    }
    assert first["eventVersion"] == "0"
    assert first["eventMetadata"]["inferenceId"] == "first"
    assert first["eventMetadata"]["inferenceTime"].endswith("Z")
    assert "inferenceId" not in second["eventMetadata"]
    assert second["eventMetadata"]["eventId"] != first["eventMetadata"]["eventId"]
    assert second["captureData"]["endpointInput"]["data"] == base64.b64encode(b"raw").decode()
    assert second["captureData"]["endpointInput"]["encoding"] == "BASE64"
    assert second["captureData"]["endpointOutput"]["encoding"] == "CSV"


def test_what_was_captured_is_there_when_the_account_was_closed(
    hosted: Hosted, open_account: Callable[..., Any]
) -> None:
    hosted.config(DataCaptureConfig=capture(hosted.account, CaptureOptions=[{"CaptureMode": "Output"}]))
    hosted.create()
    for number in range(3):
        hosted.invoke("mine", f"row{number}")
    again = open_account(warm=WarmWorkers(enabled=False))
    lines = captured(again)
    assert [line["captureData"]["endpointOutput"]["data"] for _, line in lines] == ["ROW0", "ROW1", "ROW2"]
    assert all("endpointInput" not in line["captureData"] for _, line in lines)


def test_nothing_is_captured_unless_it_is_asked_for(hosted: Hosted) -> None:
    hosted.config("none", DataCaptureConfig=capture(hosted.account, InitialSamplingPercentage=0))
    hosted.config("off", DataCaptureConfig=capture(hosted.account, EnableCapture=False))
    hosted.create("none", "none")
    assert hosted.create("off", "off")["DataCaptureConfig"]["CaptureStatus"] == "Stopped"
    hosted.invoke("none", "a")
    hosted.invoke("off", "a")
    hosted.account.local.clock.advance(seconds=0)
    assert captured(hosted.account) == []


def test_logs(hosted: Hosted, operations: Any) -> None:
    """What a model prints is in the log group of its endpoint, also when the endpoint is gone."""
    hosted.model({"code/inference.py": CHATTY}, "chatty")
    hosted.config("config", hosted.variant(model="chatty"))
    hosted.create()
    hosted.said("mine", "hello")
    logs = hosted.account.client("logs")
    group = "/aws/sagemaker/Endpoints/mine"

    def messages() -> list[str]:
        return [event["message"] for event in logs.filter_log_events(logGroupName=group)["events"]]

    assert "asked: hello" in messages()
    (stream,) = logs.describe_log_streams(logGroupName=group)["logStreams"]
    variant, instance = stream["logStreamName"].split("/")
    assert (variant, instance[:2]) == ("AllTraffic", "i-")
    events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)
    assert any(event["message"] == "asked: hello" for event in events["events"])
    assert abs(events["events"][0]["timestamp"] / 1000 - hosted.account.local.clock().timestamp()) < 3600
    operations("DeleteEndpoint", EndpointName="mine")
    hosted.gone()
    assert "asked: hello" in messages()
    assert logs.describe_log_streams(logGroupName="/aws/sagemaker/Endpoints/none")["logStreams"] == []


CHATTY = """
def model_fn(model_dir): return None
def transform_fn(model, body, content_type, accept):
    print("asked:", body)
    return "yes", accept
"""
