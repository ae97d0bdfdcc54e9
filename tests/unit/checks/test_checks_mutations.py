"""Mutants of clean definitions: what is renamed or turned into an object is reported, except where anything goes."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from mlops_sm.checks import check

if TYPE_CHECKING:
    from conftest import Samples

Path = tuple[str | int, ...]

# Maps whose keys are the user's own, and inputs of a Lambda, a Callback or Spark that nobody but their reader knows.
USERS_OWN = re.compile(
    r"\.(HyperParameters|StaticHyperParameters|Environment|RuleParameters|CustomerMetadataProperties)\."
    r"|\.jobDriver(\.|$)|^\.Metadata(\.|$)"
)
FREE_KINDS = ("Lambda", "Callback")


def nodes(value: Any, path: Path = (), sort: str = "", free: bool = False) -> Iterator[tuple[Path, Any, str, bool]]:
    """Every value with its path, its sort (where it stands in its step's kind) and whether anything goes there."""
    if isinstance(value, dict) and "Arguments" in value:
        sort = str(value.get("Type"))
    yield path, value, sort, free
    if isinstance(value, dict):
        for key, inner in value.items():
            own = free or (key == "Arguments" and value.get("Type") in FREE_KINDS)
            yield from nodes(inner, (*path, key), f"{sort}.{key}", own)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from nodes(inner, (*path, index), sort, free)


def parent(document: Any, path: Path) -> Any:
    for token in path[:-1]:
        document = document[token]
    return document


def places(document: Any) -> Iterator[Path]:
    """One place of each sort: the same member of another step of its kind would prove nothing more."""
    seen: set[str] = set()
    for path, _, sort, free in nodes(document):
        if path and not free and sort not in seen and not USERS_OWN.search(sort):
            seen.add(sort)
            yield path


@pytest.mark.parametrize("name", ["sdk_v3", "sdk_v3_more", "sdk_v2", "by_hand"])
def test_a_renamed_member_is_reported(samples: Samples, name: str) -> None:
    survivors = []
    document = samples.load(name)
    for path in places(document):
        mutant = copy.deepcopy(document)
        holder = parent(mutant, path)
        if isinstance(holder, dict):
            holder[f"{path[-1]}X"] = holder.pop(path[-1])
            if not check(json.dumps(mutant)):
                survivors.append(path)
    assert survivors == []


@pytest.mark.parametrize("name", ["sdk_v3", "sdk_v3_more", "sdk_v2", "by_hand"])
def test_a_value_turned_into_an_object_is_reported(samples: Samples, name: str) -> None:
    survivors = []
    document = samples.load(name)
    for path in places(document):
        mutant = copy.deepcopy(document)
        parent(mutant, path)[path[-1]] = {"x": {"y": 1}}
        if not check(json.dumps(mutant)):
            survivors.append(path)
    assert survivors == []


REQUIRED = {
    "Processing": ("ProcessingResources", "AppSpecification", "RoleArn", "AppSpecification.ImageUri"),
    "Training": ("AlgorithmSpecification", "RoleArn", "OutputDataConfig", "ResourceConfig", "StoppingCondition"),
    "Tuning": ("HyperParameterTuningJobConfig", "TrainingJobDefinition"),
    "Transform": ("ModelName", "TransformInput", "TransformOutput", "TransformResources"),
    "Model": ("PrimaryContainer", "PrimaryContainer.Image"),
    "RegisterModel": ("ModelPackageGroupName",),
    "Condition": ("Conditions",),
    "Fail": ("ErrorMessage",),
    "EndpointConfig": ("EndpointConfigName", "ProductionVariants"),
    "Endpoint": ("EndpointName", "EndpointConfigName"),
    "InferenceComponent": ("InferenceComponentName", "EndpointName", "Specification"),
    "QualityCheck": ("ProcessingResources", "AppSpecification", "RoleArn"),
    "ClarifyCheck": ("ProcessingResources", "AppSpecification", "RoleArn"),
    "ForEach": ("IterableItems", "MaxConcurrency", "ForEachBody"),
    "Cleanup": ("Resources",),
    "EMR": ("StepConfig", "ClusterId"),
    "EMRServerless": ("ExecutionRoleArn", "JobConfig", "ApplicationId"),
}


@pytest.mark.parametrize("name", ["sdk_v3", "sdk_v3_more", "sdk_v2", "by_hand"])
def test_a_missing_required_member_is_reported_at_its_step(samples: Samples, name: str) -> None:
    document = samples.load(name)
    steps = [(path, node) for path, node, _, _ in nodes(document) if isinstance(node, dict) and "Arguments" in node]
    for path, step in steps:
        for dotted in REQUIRED.get(step["Type"], ()):
            mutant = copy.deepcopy(document)
            inside = parent(mutant, (*path, ""))["Arguments"]
            *parents, last = dotted.split(".")
            for token in parents:
                inside = inside[token]
            del inside[last]
            places_named = [p.where for p in check(json.dumps(mutant)) if p.code in ("E241", "E250")]
            assert any(f'step "{step["Name"]}"' in where for where in places_named), (step["Name"], dotted)


def test_every_kind_of_the_samples_has_its_required_members_listed(samples: Samples) -> None:
    kinds = {
        node["Type"]
        for name in ("sdk_v3", "sdk_v3_more", "sdk_v2", "by_hand")
        for _, node, _, _ in nodes(samples.load(name))
        if isinstance(node, dict) and "Arguments" in node
    }
    assert kinds - set(REQUIRED) == {"Lambda", "Callback", "Lineage"}
