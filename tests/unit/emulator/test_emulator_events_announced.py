"""What the events of each kind say, of kinds too that other operations will make later."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sm.emulator.events.announcements import announcement_of, execution_detail, step_detail
from mlops_sm.emulator.events.inputs import payload
from mlops_sm.emulator.events.letters import BusEvent, Invocation, Letter, Post, TargetCall, read, written
from mlops_sm.emulator.store import Entity, Kind, Scope

SCOPE = Scope("123456789012", "us-east-1")
NOW = 1_615_824_611.5
EXECUTION = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/p/execution/abc"


JOBS = {
    "Endpoint": Kind.ENDPOINT,
    "TransformJob": Kind.TRANSFORM_JOB,
    "HyperParameterTuningJob": Kind.TUNING_JOB,
}


def record(family: str, **body: Any) -> Entity:
    return Entity(
        scope=SCOPE,
        kind=Kind.RECORD,
        name=f"{family}/mine",
        parent=family,
        arn=f"arn:aws:sagemaker:us-east-1:123456789012:{family.lower()}/mine",
        created=NOW,
        modified=NOW + 1,
        body=body,
    )


@pytest.mark.parametrize(
    ("family", "status", "detail_type", "shown", "created"),
    [
        ("Endpoint", "InService", "SageMaker Endpoint State Change", "IN_SERVICE", 1_615_824_611_500),
        ("Endpoint", "Creating", "SageMaker Endpoint State Change", "CREATING", 1_615_824_611_500),
        ("TransformJob", "Completed", "SageMaker Transform Job State Change", "Completed", "2021-03-15T16:10:11Z"),
        (
            "HyperParameterTuningJob",
            "InProgress",
            "SageMaker HyperParameter Tuning Job State Change",
            "InProgress",
            1_615_824_611_500,
        ),
        ("FeatureGroup", "Created", "SageMaker Feature Group State Change", "Created", 1_615_824_611_500),
        ("Image", "CREATING", "SageMaker Image State Change", "CREATING", 1_615_824_611_500),
    ],
)
def test_families(family: str, status: str, detail_type: str, shown: str, created: Any) -> None:
    """Source: "Events that Amazon SageMaker AI sends to Amazon EventBridge", one example of each."""
    entity = record(family, **{f"{family}Status": status, "OnlyOurs": 1})
    if family in JOBS:
        entity = replace(entity, kind=JOBS[family], name="mine", parent="", status=status, body={"OnlyOurs": 1})
    announcement = announcement_of(entity)
    assert announcement is not None
    assert announcement.detail_type == detail_type
    detail = announcement.detail(entity)
    assert detail[f"{family}Status"] == shown
    assert detail[f"{family}Name"] == "mine"
    assert detail[f"{family}Arn"] == entity.arn
    assert detail["CreationTime"] == created
    assert "OnlyOurs" not in detail


def test_what_is_not_announced() -> None:
    assert announcement_of(record("CodeRepository")) is None


def test_only_what_is_watched_counts_as_a_change() -> None:
    announcement = announcement_of(record("FeatureGroup"))
    assert announcement is not None
    base = record("FeatureGroup", FeatureGroupStatus="Created", Description="a")
    described = record("FeatureGroup", FeatureGroupStatus="Created", Description="b")
    offline = record("FeatureGroup", FeatureGroupStatus="Created", OfflineStoreStatus={"Status": "Active"})
    assert announcement.signature(base) == announcement.signature(described)
    assert announcement.signature(base) != announcement.signature(offline)


def test_a_step_that_was_taken_from_the_cache_says_so() -> None:
    """Source: "If there is a cache hit, the event contains the cacheHitResult field"."""
    body = {
        "StepName": "Train",
        "StepType": "Training",
        "StepStatus": "Succeeded",
        "StartTime": NOW,
        "EndTime": NOW + 60,
        "CacheHitResult": {"SourcePipelineExecutionArn": EXECUTION},
        "Metadata": {"TrainingJob": {"Arn": "arn:job"}},
    }
    assert step_detail(EXECUTION, "Starting", body) == {
        "metadata": {"trainingJob": {"arn": "arn:job"}},
        "stepStartTime": "2021-03-15T16:10:11Z",
        "stepEndTime": "2021-03-15T16:11:11Z",
        "stepName": "Train",
        "stepType": "Training",
        "previousStepStatus": "Starting",
        "currentStepStatus": "Succeeded",
        "cacheHitResult": {"sourcePipelineExecutionArn": EXECUTION},
        "pipelineArn": "arn:aws:sagemaker:us-east-1:123456789012:pipeline/p",
        "pipelineExecutionArn": EXECUTION,
    }


def test_an_execution_that_stops() -> None:
    before = Entity(
        scope=SCOPE, kind=Kind.EXECUTION, name="abc", arn=EXECUTION, created=NOW, modified=NOW, status="Stopping"
    )
    after = before.with_body({}, modified=NOW + 5, status="Stopped")
    detail = execution_detail(before, after, ended=True)
    assert (detail["previousPipelineExecutionStatus"], detail["currentPipelineExecutionStatus"]) == (
        "Stopping",
        "Stopped",
    )
    assert (detail["executionStartTime"], detail["executionEndTime"]) == (
        "2021-03-15T16:10:11Z",
        "2021-03-15T16:10:16Z",
    )


TEXT = st.text(max_size=20)
EVENTS = st.dictionaries(TEXT, st.recursive(TEXT | st.integers() | st.none(), st.lists, max_leaves=5), max_size=4)
SCOPES = st.builds(Scope, TEXT, TEXT)
MOMENTS = st.floats(0, 4e9)
LETTERS: st.SearchStrategy[Letter] = st.one_of(
    st.builds(BusEvent, scope=SCOPES, event=EVENTS, bus=TEXT, tags_of=TEXT, hops=st.integers(0, 9)),
    st.builds(
        TargetCall,
        scope=SCOPES,
        target=EVENTS,
        payload=TEXT,
        origin=TEXT,
        created=MOMENTS,
        event=st.none() | EVENTS,
        attempts=st.integers(0, 9),
    ),
    st.builds(Invocation, scope=SCOPES, function=TEXT, qualifier=TEXT, payload=TEXT, request_id=TEXT, created=MOMENTS),
    st.builds(
        Post,
        scope=SCOPES,
        url=TEXT,
        method=TEXT,
        payload=TEXT,
        created=MOMENTS,
        headers=st.dictionaries(TEXT, TEXT, max_size=3),
    ),
)


@given(LETTERS)
def test_letters_are_read_as_they_were_written(letter: Letter) -> None:
    assert read(written(letter)) == letter


@given(st.dictionaries(st.sampled_from("abc"), TEXT), st.text(alphabet='{}<abc>" :,\\', max_size=30))
def test_a_template_is_filled_or_left_and_never_fails(values: dict[str, str], template: str) -> None:
    target = {"InputTransformer": {"InputPathsMap": {name: f"$.{name}" for name in values}, "InputTemplate": template}}
    text = payload(target, values, rule="arn:aws:events:us-east-1:1:rule/r", ingested="t")
    if not any(f"<{name}>" in template for name in values):
        assert text == template
