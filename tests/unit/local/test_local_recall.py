"""What a step left behind, found again; the signal that a step is to stop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mlops_sm.definition.document import Step
from mlops_sm.definition.kinds import StepKind
from mlops_sm.engine import Succeeded
from mlops_sm.local.handlers import ServiceError, StopSignal, recall


class Control:
    """Answers every Describe with its request, and refuses names that are gone."""

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        if "gone" in str(request):
            raise ServiceError("ValidationException", "gone")
        return {"Operation": operation, **request}


def step(kind: StepKind, **members: Any) -> Step:
    return Step(name="S", kind=kind, arguments={}, raw=members)


@pytest.mark.parametrize(
    ("kind", "metadata", "described"),
    [
        (
            StepKind.PROCESSING,
            {"ProcessingJob": {"Arn": "arn:x:processing-job/j"}},
            {"Operation": "DescribeProcessingJob", "ProcessingJobName": "j"},
        ),
        (
            StepKind.TRAINING,
            {"TrainingJob": {"Arn": "arn:x:training-job/j"}},
            {"Operation": "DescribeTrainingJob", "TrainingJobName": "j"},
        ),
        (
            StepKind.TRANSFORM,
            {"TransformJob": {"Arn": "arn:x:transform-job/j"}},
            {"Operation": "DescribeTransformJob", "TransformJobName": "j"},
        ),
        (StepKind.MODEL, {"Model": {"Arn": "arn:x:model/m"}}, {"Operation": "DescribeModel", "ModelName": "m"}),
        (
            StepKind.REGISTER_MODEL,
            {"RegisterModel": {"Arn": "arn:x:model-package/g/1"}},
            {"Operation": "DescribeModelPackage", "ModelPackageName": "arn:x:model-package/g/1"},
        ),
    ],
)
def test_what_a_step_created_is_described_again(kind: StepKind, metadata: Any, described: Any) -> None:
    assert recall(step(kind), metadata, Control()) == Succeeded(described)


@pytest.mark.parametrize("verdict", [True, False])
def test_a_verdict_is_read_from_the_metadata(verdict: bool) -> None:
    found = recall(step(StepKind.CONDITION), {"Condition": {"Outcome": str(verdict)}}, Control())
    assert found.outcome is verdict


def test_the_outputs_of_a_callback_have_their_types() -> None:
    asked = step(StepKind.CALLBACK, OutputParameters=[{"OutputName": "n", "OutputType": "Integer"}])
    metadata = {"Callback": {"OutputParameters": [{"Name": "n", "Value": "3"}, {"Name": "more", "Value": "x"}]}}
    assert recall(asked, metadata, Control()) == Succeeded({"OutputParameters": {"n": 3, "more": "x"}})
    with pytest.raises(ValueError, match="no output n"):
        recall(asked, {"Callback": {}}, Control())


def test_what_is_gone_or_was_never_there() -> None:
    with pytest.raises(ServiceError):
        recall(step(StepKind.PROCESSING), {"ProcessingJob": {"Arn": "arn:x:processing-job/gone"}}, Control())
    for kind in (StepKind.PROCESSING, StepKind.CONDITION, StepKind.CALLBACK, StepKind.LAMBDA):
        with pytest.raises(ValueError, match=f"what a {kind} step left behind cannot be reused"):
            recall(step(kind), {}, Control())


def test_a_watcher_is_called_once_whenever_it_came() -> None:
    signal, calls = StopSignal(), []
    signal.watch(lambda: calls.append("early"))
    end = signal.watch(lambda: calls.append("gave up"))
    end()
    end()
    assert calls == []
    signal.set()
    signal.set()
    signal.watch(lambda: calls.append("late"))
    assert calls == ["early", "late"]
    assert signal.wait(0)
