"""Expressions to values."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sm.definition import parse
from mlops_sm.engine import ResolveError, as_text
from mlops_sm.engine.resolve import Scope, resolve_value

STEPS = [
    {
        "Name": "Evaluate",
        "Type": "Processing",
        "Arguments": {},
        "PropertyFiles": [
            {"PropertyFileName": "Report", "OutputName": "evaluation", "FilePath": "out/evaluation.json"}
        ],
    },
    {"Name": "Train", "Type": "Training", "Arguments": {}},
    {"Name": "Later", "Type": "Training", "Arguments": {}},
]
DESCRIBED = {
    "ProcessingOutputConfig": {
        "Outputs": [
            {"OutputName": "train", "S3Output": {"S3Uri": "s3://b/train"}},
            {"OutputName": "evaluation", "S3Output": {"S3Uri": "s3://b/evaluation/"}},
        ]
    },
    "ProcessingJobStatus": "Completed",
}
TRAINED = {
    "ModelArtifacts": {"S3ModelArtifacts": "s3://b/model.tar.gz"},
    "FinalMetricDataList": [
        {"MetricName": "val:auc", "Value": 0.75},
        {"MetricName": "loss", "Value": 1.0},
        {"MetricName": "loss", "Value": 2.0},
    ],
    "HyperParameters": {"max depth": "3"},
}
REPORT: dict[str, Any] = {
    "metrics": {"auc": {"value": 0.75}, "odd key": [1, 2, {"x": True}]},
    "nan": float("nan"),
    "none": None,
}


def read_json(uri: str) -> Any:
    files = {"s3://b/evaluation/out/evaluation.json": REPORT, "s3://b/1/list.json": [10, 20]}
    if uri not in files:
        raise ResolveError(f"nothing at {uri}")
    return files[uri]


def resolve(value: Any) -> Any:
    definition = parse(json.dumps({"Version": "2020-12-01", "Metadata": {}, "Parameters": [], "Steps": STEPS}))
    scope = Scope(
        parameters={"Depth": 3, "Rate": 0.5, "Flag": True, "Bucket": "b"},
        variables={"PipelineName": "lending"},
        steps={step.name: step for step in definition.walk()},
        properties={"Evaluate": DESCRIBED, "Train": TRAINED},
        read_json=read_json,
    )
    return resolve_value(value, scope)


def get(path: str) -> dict[str, str]:
    return {"Get": path}


def join(on: str, *values: Any) -> dict[str, Any]:
    return {"Std:Join": {"On": on, "Values": list(values)}}


def from_report(path: str, file: str = "Report", step: str = "Evaluate") -> dict[str, Any]:
    return {"Std:JsonGet": {"PropertyFile": get(f"Steps.{step}.PropertyFiles.{file}"), "Path": path}}


def from_uri(uri: Any, path: str) -> dict[str, Any]:
    return {"Std:JsonGet": {"S3Uri": uri, "Path": path}}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (get("Parameters.Depth"), 3),
        (get("Parameters.Flag"), True),
        (get("Execution.PipelineName"), "lending"),
        (get("Steps.Evaluate.ProcessingJobStatus"), "Completed"),
        (get("Steps.Evaluate.ProcessingOutputConfig.Outputs['train'].S3Output.S3Uri"), "s3://b/train"),
        (get('Steps.Evaluate.ProcessingOutputConfig.Outputs["train"].S3Output.S3Uri'), "s3://b/train"),
        (get("Steps.Evaluate.ProcessingOutputConfig.Outputs[1].OutputName"), "evaluation"),
        (get("Steps.Train.FinalMetricDataList['val:auc'].Value"), 0.75),
        (get("Steps.Train.FinalMetricDataList['loss'].Value"), 1.0),
        (get("Steps.Train.HyperParameters['max depth']"), "3"),
        (join("/", "s3:/", get("Parameters.Bucket"), get("Parameters.Depth")), "s3://b/3"),
        (join("-", get("Parameters.Flag"), get("Parameters.Rate"), False, 1.0), "true-0.5-false-1.0"),
        (join(",", "a", join("+", 1, join("", 2, 3))), "a,1+23"),
        (join(",", ), ""),
        (from_report("metrics.auc.value"), 0.75),
        (from_report("metrics['odd key'][2].x"), True),
        (from_report("none"), None),
        (from_uri(join("/", "s3:/", get("Parameters.Bucket"), 1, "list.json"), "[1]"), 20),
        ({"a": [get("Parameters.Depth"), {"b": "c"}]}, {"a": [3, {"b": "c"}]}),
    ],
)  # fmt: skip
def test_values(value: Any, expected: Any) -> None:
    found = resolve(value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (get("Parameters.Dept"), 'no parameter "Dept"; known: Bucket, Depth, Flag, Rate'),
        (get("Execution.TrainingJobName"), "Execution.TrainingJobName has no value here; known: PipelineName"),
        (get("Steps.Nobody.X"), 'no step "Nobody"; known: Evaluate, Later, Train'),
        (get("Steps.Later.X"), 'step "Later" has no properties: it has not run'),
        (
            get("Steps.Train.ModelArtifact.S3ModelArtifacts"),
            'step "Train" has no "ModelArtifact.S3ModelArtifacts": '
            "it holds FinalMetricDataList, HyperParameters, ModelArtifacts",
        ),
        (
            get("Steps.Evaluate.ProcessingOutputConfig.Outputs['tset'].S3Output.S3Uri"),
            'has no "ProcessingOutputConfig.Outputs.tset.S3Output.S3Uri": '
            '"ProcessingOutputConfig.Outputs" holds evaluation, train',
        ),
        (get("Steps.Train.FinalMetricDataList[3]"), '"FinalMetricDataList" holds loss, val:auc'),
        (get("Steps.Evaluate.ProcessingJobStatus.Deep"), '"ProcessingJobStatus" is a string, which has no members'),
        (get("Steps.Train.a..b"), 'step "Train": the path "a..b" cannot be read'),
        (
            from_report("metrics.auk"),
            's3://b/evaluation/out/evaluation.json has no "metrics.auk": "metrics" holds auc, odd key',
        ),
        (from_report("metrics['odd key'][3]"), "is a list of 3"),
        (from_report("metrics['odd key'].x"), "is a list of 3"),
        (from_report("nan"), '"nan" in s3://b/evaluation/out/evaluation.json is nan, which is no JSON number'),
        (from_report("x", file="Reprot"), 'step "Evaluate" has no property file "Reprot"; known: Report'),
        (from_report("x", step="Train"), 'step "Train" has no property file "Report"; known: nothing'),
        (from_report("x", step="Nobody"), 'no step "Nobody"'),
        (from_uri("s3://b/none.json", "x"), "nothing at s3://b/none.json"),
        (from_uri(3, "x"), "reads an S3 URI, not an integer (3)"),
        (join("", None), "null cannot be written as text"),
        (join("", get("Steps.Train.ModelArtifacts")), "an object .* cannot be written as text"),
        (get("ForEach.CurrentItem.name"), "only in an iteration of a ForEach step"),
        (get("IterationOutput.Body.X"), "only for the Selector of a ForEach step"),
        (get("Nothing.X"), "is no expression"),
        ({"Std:Join": {"On": 1}}, "is no expression"),
    ],
)
def test_what_is_missing_is_named(value: Any, message: str) -> None:
    with pytest.raises(ResolveError) as caught:
        resolve({"Deep": [value]})
    assert re.search(message, str(caught.value)) or message in str(caught.value)


def test_long_lists_are_cut() -> None:
    scope = Scope({f"P{i:02}": i for i in range(40)}, {}, {}, {}, read_json)
    with pytest.raises(ResolveError, match=r"P11 and 28 more$"):
        resolve_value(get("Parameters.Q"), scope)


def test_results_share_nothing_with_their_sources() -> None:
    found = resolve(get("Steps.Train.ModelArtifacts"))
    found["S3ModelArtifacts"] = "changed"
    read = resolve(from_report("metrics"))
    read["auc"]["value"] = 1
    assert TRAINED["ModelArtifacts"] == {"S3ModelArtifacts": "s3://b/model.tar.gz"}
    assert REPORT["metrics"]["auc"] == {"value": 0.75}


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["A", "Get ", "b c"]), inner, max_size=3)
    ),
    max_leaves=20,
)


@given(PLAIN)
def test_what_holds_no_expression_stays_as_it_is(value: Any) -> None:
    assert resolve(value) == value


@given(st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans())
def test_numbers_and_booleans_are_written_as_json_writes_them(value: float) -> None:
    assert as_text(value) == json.dumps(value)


@pytest.mark.parametrize("value", [None, [], {}, float("nan"), float("inf")])
def test_no_text_for_what_is_no_finite_scalar(value: Any) -> None:
    with pytest.raises(ResolveError, match="cannot be written as text"):
        as_text(value)
