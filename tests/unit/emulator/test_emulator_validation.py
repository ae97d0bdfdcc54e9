"""Constraint violations in the service's own words, and patterns as Java reads them.

Sources, all answers of SageMaker quoted in public issue trackers:
aws-samples/sagemaker-ml-workflow-with-apache-airflow#3, aws/sagemaker-python-sdk#314, aws/sagemaker-python-sdk#6016,
aws-samples/amazon-sagemaker-pytorch-detectron2#10.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unicodedata import category

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlops_sm.checks.service import resolver, sagemaker_model
from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.validation import compiled_pattern, matches, read_request

SHAPES = {
    "String": {"type": "string"},
    "Name": {"type": "string", "min": 1, "max": 5, "pattern": "[a-z]*"},
    "Names": {"type": "list", "member": {"shape": "Name"}, "min": 1, "max": 2},
    "Many": {"type": "list", "member": {"shape": "Names"}},
    "Colour": {"type": "string", "enum": ["Red", "Blue"]},
    "Colours": {"type": "list", "member": {"shape": "Colour"}},
    "Weight": {"type": "float", "min": 0, "max": 1},
    "Weights": {"type": "map", "key": {"shape": "String"}, "value": {"shape": "Weight"}},
    "Labels": {"type": "map", "key": {"shape": "Name"}, "value": {"shape": "Name"}, "max": 1},
    "Groups": {"type": "map", "key": {"shape": "String"}, "value": {"shape": "Names"}},
    "Item": {"type": "structure", "members": {"Name": {"shape": "Name"}}, "required": ["Name"]},
    "Items": {"type": "list", "member": {"shape": "Item"}},
    "ByName": {"type": "map", "key": {"shape": "String"}, "value": {"shape": "Item"}},
}
NAME = (
    "[Member must have length less than or equal to 5, Member must have length greater than or equal to 1, "
    "Member must satisfy regular expression pattern: [a-z]*]"
)


def shape(**members: str) -> Any:
    structure = {"type": "structure", "members": {name: {"shape": kind} for name, kind in members.items()}}
    return resolver({**SHAPES, "Request": structure}).get_shape_by_name("Request")


def refusal(request: Any, **members: str) -> str:
    with pytest.raises(AwsError) as refused:
        read_request(request, shape(**members))
    assert (refused.value.code, refused.value.status) == ("ValidationException", 400)
    return refused.value.message


def test_a_name_that_is_too_long_and_does_not_match_is_two_findings() -> None:
    model = sagemaker_model().operation_model("CreateModel").input_shape
    name = "{{ task }}" * 7
    with pytest.raises(AwsError) as refused:
        read_request({"ModelName": name}, model)
    pattern = model.members["ModelName"].metadata["pattern"]
    assert refused.value.message == (
        f"2 validation errors detected: Value '{name}' at 'modelName' failed to satisfy constraint: Member must have "
        f"length less than or equal to 63; Value '{name}' at 'modelName' failed to satisfy constraint: Member must "
        f"satisfy regular expression pattern: {pattern}"
    )


def test_every_constraint_of_a_map_s_values_is_named() -> None:
    model = sagemaker_model().operation_model("CreateTrainingJob").input_shape
    request = {
        "TrainingJobName": "job",
        "RoleArn": "arn:aws:iam::123456789012:role/r",
        "OutputDataConfig": {"S3OutputPath": "s3://b/k"},
        "HyperParameters": {"epochs": "10", "labels": "x" * 2501},
    }
    with pytest.raises(AwsError) as refused:
        read_request(request, model)
    assert refused.value.message.startswith("1 validation error detected: Value '{epochs=10, labels=xxx")
    assert refused.value.message.endswith(
        "x' at 'hyperParameters' failed to satisfy constraint: Map value must satisfy constraint: [Member must have "
        "length less than or equal to 2500, Member must have length greater than or equal to 0, Member must satisfy "
        "regular expression pattern: .*]"
    )


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (
            "Names",
            ["ok", "NO"],
            f"Value '[ok, NO]' at 'it' failed to satisfy constraint: Member must satisfy constraint: {NAME}",
        ),
        (
            "Names",
            [],
            "Value '[]' at 'it' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ),
        (
            "Names",
            ["a", "b", "c"],
            "Value '[a, b, c]' at 'it' failed to satisfy constraint: Member must have length less than or equal to 2",
        ),
        (
            "Many",
            [["a"], []],
            "Value '[[a], []]' at 'it' failed to satisfy constraint: Member must satisfy constraint: "
            "[Member must have length less than or equal to 2, Member must have length greater than or equal to 1]",
        ),
        (
            "Colours",
            ["Red", "Green"],
            "Value '[Red, Green]' at 'it' failed to satisfy constraint: Member must satisfy constraint: "
            "[Member must satisfy enum value set: [Red, Blue]]",
        ),
        (
            "Weights",
            {"a": 2},
            "Value '{a=2}' at 'it' failed to satisfy constraint: Map value must satisfy constraint: "
            "[Member must have value less than or equal to 1, Member must have value greater than or equal to 0]",
        ),
        (
            "Labels",
            {"a": "b", "c": "d"},
            "Value '{a=b, c=d}' at 'it' failed to satisfy constraint: Member must have length less than or equal to 1",
        ),
        (
            "Labels",
            {"A": "b"},
            f"Value '{{A=b}}' at 'it' failed to satisfy constraint: Map keys must satisfy constraint: {NAME}",
        ),
        (
            "Groups",
            {"a": []},
            "Value '{a=[]}' at 'it' failed to satisfy constraint: Map value must satisfy constraint: "
            "[Member must have length less than or equal to 2, Member must have length greater than or equal to 1]",
        ),
        (
            "Items",
            [{"Name": "a"}, {}],
            "Value null at 'it.2.member.name' failed to satisfy constraint: Member must not be null",
        ),
        ("ByName", {"x": {}}, "Value null at 'it.x.member.name' failed to satisfy constraint: Member must not be null"),
        (
            "Colour",
            "",
            "Value '' at 'it' failed to satisfy constraint: Member must satisfy enum value set: [Red, Blue]",
        ),
        (
            "Weight",
            1.5,
            "Value '1.5' at 'it' failed to satisfy constraint: Member must have value less than or equal to 1",
        ),
        (
            "Weight",
            -1,
            "Value '-1.0' at 'it' failed to satisfy constraint: Member must have value greater than or equal to 0",
        ),
    ],
)
def test_where_and_what(kind: str, value: Any, words: str) -> None:
    assert refusal({"It": value}, It=kind) == f"1 validation error detected: {words}"


def test_findings_are_told_together() -> None:
    message = refusal({"A": "Green", "B": [{}], "C": 2}, A="Colour", B="Items", C="Weight")
    assert message.startswith("3 validation errors detected: ")
    assert [finding.split("' failed")[0].rsplit("'", 1)[1] for finding in message.split("; ")] == [
        "a",
        "b.1.member.name",
        "c",
    ]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "START_ARRAY can not be converted to a structure"),
        ({"It": [1]}, "NUMBER_VALUE can not be converted to a String"),
        ({"It": [None]}, "NULL_VALUE can not be converted to a String"),
        ({"It": [[]]}, "START_ARRAY can not be converted to a String"),
        ({"It": {}}, "START_OBJECT can not be converted to a list"),
        ({"It": "a"}, "STRING_VALUE can not be converted to a list"),
    ],
)
def test_the_wrong_type_ends_the_reading(value: Any, words: str) -> None:
    with pytest.raises(AwsError, match=f"SerializationException: {words}"):
        read_request(value, shape(It="Names"))


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        # \w, \d and \s are ASCII's in Java.
        (r"[\w+=,.@-]+", "role_1@x", "rôle"),
        (r"\d+", "12", "١٢"),
        (r"[^\s]*", "a\u2003b", "a b"),
        # Unicode's classes.
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "größe 1 日本語\u2003²", "a#b"),
        (r"[\p{L}\p{M}\p{Z}\p{S}\p{N}\p{P}]*", "e\u0301 😀 € « [x]\\", "tab\t"),
        (r"arn:[\p{Alnum}\-]+:x", "arn:aws-cn:x", "arn:aws_cn:x"),
        # Java's way to write characters beyond the first 65,536, and an anchor that is repeated.
        (r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*", "a😀\t", "a\n"),
        (r"([\p{L}\p{Z}\p{N}_.:\/=+\-@]*)${1,128}", "key/1", "a,b"),
        # The whole value, and a dot that is not the end of a line.
        ("abc", "abc", "abcd"),
        (".*", "a b", "a\nb"),
    ],
)
def test_patterns(pattern: str, good: str, bad: str) -> None:
    assert matches(pattern, good)
    assert not matches(pattern, bad)


def shapes_below(top: Any, seen: set[str]) -> Iterator[Any]:
    if top is None or top.name in seen:
        return
    seen.add(top.name)
    yield top
    match top.type_name:
        case "structure":
            below = list(top.members.values())
        case "list":
            below = [top.member]
        case "map":
            below = [top.key, top.value]
        case _:
            below = []
    for inner in below:
        yield from shapes_below(inner, seen)


def test_every_pattern_of_the_model_is_understood() -> None:
    seen: set[str] = set()
    model = sagemaker_model()
    shapes = [
        found for name in model.operation_names for found in shapes_below(model.operation_model(name).input_shape, seen)
    ]
    patterns = {found.metadata["pattern"] for found in shapes if "pattern" in found.metadata}
    assert len(patterns) > 150
    assert [pattern for pattern in patterns if compiled_pattern(pattern) is None] == []


@given(st.text())
@example("\ue000")
def test_a_class_of_java_s_takes_what_unicode_says(text: str) -> None:
    described = r"[\p{L}\p{M}\p{Z}\p{S}\p{N}\p{P}]*"
    # What is left are control characters and what is not assigned.
    expected = not any(category(char).startswith("C") for char in text)
    assert matches(described, text) is expected
