"""Values that only a run tells, and how expressions pass them on."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest

from mlops_sm.definition import parse
from mlops_sm.engine.cache import Difference, EarlierRun, differences, same_key, usable_runs
from mlops_sm.engine.resolve import NO_ITEM, Scope, resolve_value
from mlops_sm.engine.unknown import Gap, Planned, Unknown, unknowns

FILES = [{"PropertyFileName": "Report", "OutputName": "out", "FilePath": "a.json"}]
STEPS = [
    {"Name": "A", "Type": "Processing", "Arguments": {}, "PropertyFiles": FILES},
    {"Name": "T", "Type": "Training", "Arguments": {}},
]
NEW = Unknown([Gap(None, "PipelineExecutionId")])
PLACE = {"ProcessingOutputConfig": {"Outputs": [{"OutputName": "out", "S3Output": {"S3Uri": NEW}}]}}


def resolve(value: Any, properties: Mapping[str, Any], item: Any = NO_ITEM) -> Any:
    definition = parse(json.dumps({"Version": "2020-12-01", "Metadata": {}, "Parameters": [], "Steps": STEPS}))
    steps = {step.name: step for step in definition.walk()}

    def read(uri: str) -> Any:
        raise AssertionError(f"{uri} was read")

    return resolve_value(value, Scope({}, {"PipelineExecutionId": NEW}, steps, properties, read, item))


def test_what_the_arguments_say_is_known_and_the_rest_is_not() -> None:
    planned = {"T": Planned("T", {"HyperParameters": {"depth": "3"}})}
    assert resolve({"Get": "Steps.T.HyperParameters['depth']"}, planned) == "3"
    artifact = resolve({"Get": "Steps.T.ModelArtifacts.S3ModelArtifacts"}, planned)
    assert artifact.gaps == (Gap("T", "ModelArtifacts.S3ModelArtifacts"),)
    metric = resolve({"Get": "Steps.T.FinalMetricDataList['val:auc'].Value"}, planned)
    assert metric.gaps[0].name == "Steps.T.FinalMetricDataList['val:auc'].Value"
    assert resolve({"Get": "Steps.T.SecondaryStatusTransitions[0].Status"}, planned).gaps[0].path.endswith("[0].Status")


def test_text_with_an_unknown_part_is_unknown() -> None:
    joined = resolve({"Std:Join": {"On": "/", "Values": ["s3://b", {"Get": "Execution.PipelineExecutionId"}]}}, {})
    assert isinstance(joined, Unknown)
    assert joined == "<Execution.PipelineExecutionId>"


def test_a_step_passes_on_what_it_has_in_its_arguments() -> None:
    uri = {"Get": "Steps.A.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri"}
    assert resolve(uri, {"A": Planned("A", PLACE)}).gaps == (Gap(None, "PipelineExecutionId", via="A"),)


def test_a_file_at_an_unknown_place_is_not_read() -> None:
    value = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.A.PropertyFiles.Report"}, "Path": "auc[0].value"}}
    (gap,) = resolve(value, {"A": Planned("A", PLACE)}).gaps
    assert (gap.name, gap.content) == ("Steps.A.PropertyFiles.Report.auc[0].value", True)
    by_uri = {"Std:JsonGet": {"S3Uri": {"Get": "Execution.PipelineExecutionId"}, "Path": "auc"}}
    assert resolve(by_uri, {}).gaps[0].content


def test_a_part_of_an_unknown_item() -> None:
    item = Unknown([Gap("A", "x")])
    assert resolve({"Get": "ForEach.CurrentItem.name"}, {}, item).gaps == (Gap("A", "x.name"),)
    assert resolve({"Get": "ForEach.CurrentItem"}, {}, item) is item


def test_unknown_values_are_found_and_copied() -> None:
    value = {"a": [1, {"b": NEW}], "c": "x"}
    assert list(unknowns(value)) == [NEW]
    assert copy.deepcopy(value)["a"][1]["b"].gaps == NEW.gaps


def runs(*runs: tuple[float, Any]) -> list[EarlierRun]:
    return [EarlierRun(f"e{number}", ended, {}, key) for number, (ended, key) in enumerate(runs)]


def test_the_most_recent_run_with_the_key_is_used_and_none_that_is_too_old() -> None:
    earlier = runs((9.0, {"a": "2"}), (8.0, None), (7.0, {"a": "1"}), (5.0, {"a": "1"}), (1.0, {"a": "1"}))
    assert [run.execution for run in usable_runs(earlier, {"a": "1"}, 5.0)] == ["e2", "e3"]
    assert list(usable_runs(earlier, {"a": "3"}, 0.0)) == []


@pytest.mark.parametrize(
    ("one", "other"), [({"a": 1}, {"a": "1"}), ({"a": 1}, {"a": True}), ({"a": [1, 2]}, {"a": [2, 1]})]
)
def test_other_keys(one: Any, other: Any) -> None:
    assert not same_key(one, other)
    assert same_key(one, dict(reversed(one.items())))


def named(*names: str, **more: str) -> list[dict[str, str]]:
    return [{"InputName": name, "S3Uri": more.get(name, "s3://b")} for name in names]


def test_elements_with_names_are_held_against_each_other() -> None:
    found = list(differences({"I": named("a", "b", "c")}, {"I": named("a", "c", "d", c="s3://c")}))
    assert found == [
        Difference("I['b']", named("b")[0], None),
        Difference("I['c'].S3Uri", "s3://b", "s3://c"),
        Difference("I['d']", None, named("d")[0]),
    ]


def test_an_order_of_names_is_a_difference_and_names_that_repeat_are_none() -> None:
    assert list(differences(named("a", "b"), named("b", "a"), "I")) == [Difference("I", ["a", "b"], ["b", "a"])]
    assert list(differences(named("a", "a"), named("a", "b"), "I")) == [Difference("I[1].InputName", "a", "b")]
    assert list(differences([], named("a"), "I")) == [Difference("I", [], named("a"))]
