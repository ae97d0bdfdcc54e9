"""Event patterns match what EventBridge's match, and what may not be asked is refused with the reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.events.inputs import MISSING, look_up
from mlops_sm.emulator.events.patterns import matches, parse

Json = Any
EVENT = {
    "source": "aws.sagemaker",
    "detail-type": "Something",
    "resources": ["arn:one", "arn:two"],
    "detail": {
        "status": "Failed",
        "count": 5,
        "ratio": 0.5,
        "flag": True,
        "none": None,
        "empty": "",
        "ip": "10.0.0.7",
        "path": "dir/file.PNG",
        "star": "a*b\\c",
        "nothing": [],
        "variants": [{"name": "a", "weight": 1}, {"name": "b", "weight": 2}],
    },
}


@pytest.mark.parametrize(
    ("pattern", "result"),
    [
        ({"source": ["aws.sagemaker"]}, True),
        ({"source": ["aws.ec2", "aws.sagemaker"]}, True),
        ({"source": ["aws.ec2"]}, False),
        ({"source": ["aws.sagemaker"], "detail": {"status": ["Completed"]}}, False),
        ({"resources": ["arn:two"]}, True),
        ({"absent": ["x"]}, False),
        ({"detail": {"count": [5]}}, True),
        ({"detail": {"count": ["5"]}}, False),
        ({"detail": {"flag": [True]}}, True),
        ({"detail": {"flag": [1]}}, False),
        ({"detail": {"none": [None]}}, True),
        ({"detail": {"absent": [None]}}, False),
        ({"detail": {"empty": [""]}}, True),
        ({"detail": {"status": [{"prefix": "Fai"}]}}, True),
        ({"detail": {"status": [{"prefix": {"equals-ignore-case": "fAI"}}]}}, True),
        ({"detail": {"path": [{"suffix": ".png"}]}}, False),
        ({"detail": {"path": [{"suffix": {"equals-ignore-case": ".png"}}]}}, True),
        ({"detail": {"status": [{"equals-ignore-case": "FAILED"}]}}, True),
        ({"detail": {"status": [{"anything-but": "Failed"}]}}, False),
        ({"detail": {"status": [{"anything-but": ["Completed", "Stopped"]}]}}, True),
        ({"detail": {"count": [{"anything-but": [5, 6]}]}}, False),
        ({"detail": {"absent": [{"anything-but": "x"}]}}, False),
        ({"detail": {"status": [{"anything-but": {"prefix": "Fa"}}]}}, False),
        ({"detail": {"status": [{"anything-but": {"suffix": ["x", "y"]}}]}}, True),
        ({"detail": {"path": [{"anything-but": {"wildcard": "dir/*"}}]}}, False),
        ({"detail": {"count": [{"numeric": [">", 0, "<=", 5]}]}}, True),
        ({"detail": {"count": [{"numeric": ["<", 5]}]}}, False),
        ({"detail": {"ratio": [{"numeric": ["=", 0.5]}]}}, True),
        ({"detail": {"flag": [{"numeric": [">=", 0]}]}}, False),
        ({"detail": {"status": [{"numeric": [">=", 0]}]}}, False),
        ({"detail": {"ip": [{"cidr": "10.0.0.0/24"}]}}, True),
        ({"detail": {"ip": [{"cidr": "10.0.1.0/24"}]}}, False),
        ({"detail": {"status": [{"cidr": "10.0.1.0/24"}]}}, False),
        ({"detail": {"status": [{"exists": True}]}}, True),
        ({"detail": {"absent": [{"exists": False}]}}, True),
        ({"detail": {"status": [{"exists": False}]}}, False),
        ({"gone": {"deep": [{"exists": False}]}}, True),
        ({"gone": {"deep": [{"exists": True}]}}, False),
        ({"detail": {"variants": [{"exists": True}]}}, False),
        ({"detail": {"nothing": [{"exists": True}]}}, False),
        ({"detail": {"path": [{"wildcard": "dir/*.PNG"}]}}, True),
        ({"detail": {"path": [{"wildcard": "*.JPG"}]}}, False),
        ({"detail": {"star": [{"wildcard": "a\\*b\\\\*"}]}}, True),
        ({"detail": {"path": [{"wildcard": "dir\\*"}]}}, False),
        ({"detail": {"variants": {"name": ["b"], "weight": [2]}}}, True),
        ({"detail": {"variants": {"name": ["a"], "weight": [2]}}}, False),
        ({"$or": [{"source": ["other"]}, {"detail": {"count": [5]}}]}, True),
        ({"detail": {"$or": [{"count": [6]}, {"flag": [False]}]}}, False),
        ({"source": ["other"], "$or": [{"detail": {"count": [5]}}, {"detail": {"count": [6]}}]}, False),
        ({"detail": {"status": [{"exists": False}, "Failed"]}}, True),
    ],
)
def test_comparison_operators(pattern: Json, result: bool) -> None:
    assert matches(parse(json.dumps(pattern)), EVENT) is result


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("no", "Invalid JSON"),
        ("[]", "Filter is not an object"),
        ("{}", "Empty objects are not allowed"),
        ('{"a": []}', "Empty arrays are not allowed"),
        ('{"a": {}}', "Empty objects are not allowed"),
        ('{"a": "b"}', "'a' must be an object or an array"),
        ('{"a": [["b"]]}', "Match value must be String, number, true, false, or null"),
        ('{"a": [{"like": "b"}]}', "Unrecognized match type like"),
        ('{"a": [{"prefix": "b", "suffix": "c"}]}', "Only one key allowed in match expression"),
        ('{"a": [{"numeric": [">"]}]}', "Value of numeric is not valid"),
        ('{"a": [{"numeric": ["~", 1]}]}', "Value of numeric is not valid"),
        ('{"a": [{"numeric": [">", "1"]}]}', "Value of numeric is not valid"),
        ('{"a": [{"exists": "yes"}]}', "Value of exists is not valid"),
        ('{"a": [{"prefix": 1}]}', "Value of prefix is not valid"),
        ('{"a": [{"anything-but": {"numeric": [1]}}]}', "Value of anything-but is not valid"),
        ('{"$or": [{"a": ["b"]}]}', "There must have at least 2 Objects in $or relationship"),
    ],
)
def test_what_may_not_be_asked_is_refused(pattern: str, reason: str) -> None:
    with pytest.raises(AwsError) as refused:
        parse(pattern)
    assert refused.value.code == "InvalidEventPatternException"
    assert refused.value.message.startswith(f"Event pattern is not valid. Reason: {reason}")


SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3)
NAMES = st.text(alphabet="abc", min_size=1, max_size=2)
OBJECTS = st.recursive(
    st.dictionaries(NAMES, SCALARS, min_size=1, max_size=3),
    lambda inner: st.dictionaries(NAMES, SCALARS | inner, min_size=1, max_size=3),
    max_leaves=8,
)


def exactly(event: Json) -> Json:
    """The pattern that asks for every value of an event."""
    return {name: exactly(value) if isinstance(value, dict) else [value] for name, value in event.items()}


@given(OBJECTS)
def test_an_event_has_everything_that_is_in_it(event: Json) -> None:
    assert matches(parse(json.dumps(exactly(event))), event)


@given(OBJECTS, OBJECTS)
def test_an_alternative_matches_when_one_of_its_sides_does(event: Json, other: Json) -> None:
    sides = [exactly(event), exactly(other)]
    assert matches(parse(json.dumps({"$or": sides})), other) is any(matches(side, other) for side in sides)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", {"a": {"b-c": [1, {"d": 2}]}, "n": None}),
        ("$.a.b-c[0]", 1),
        ("$.a['b-c'][1].d", 2),
        ("$.a.b-c[*].d", [2]),
        ("$.a.*", [[1, {"d": 2}]]),
        ("$.n", None),
        ("$.a.x", MISSING),
        ("$.a.b-c[7]", MISSING),
        ("$.a.b-c.d", MISSING),
        ("a", MISSING),
        ("$a", MISSING),
        ("$..a", MISSING),
    ],
)
def test_paths_into_events(path: str, found: Json) -> None:
    assert look_up(path, {"a": {"b-c": [1, {"d": 2}]}, "n": None}) == found


def test_patterns_can_be_tried(account: Any) -> None:
    """Source: TestEventPattern in the EventBridge API reference."""
    events = account.client("events")
    event = {
        "id": "1",
        "account": "1",
        "time": "t",
        "region": "r",
        **{name: EVENT[name] for name in ("source", "resources", "detail-type")},
    }
    for source, result in (("aws.sagemaker", True), ("other", False)):
        pattern = json.dumps({"source": [source]})
        assert events.test_event_pattern(EventPattern=pattern, Event=json.dumps(event))["Result"] is result
    for pattern, given_event, code in (
        ('{"a": []}', json.dumps(event), "InvalidEventPatternException"),
        ('{"a": ["b"]}', "{}", "ValidationException"),
        ('{"a": ["b"]}', "no", "ValidationException"),
    ):
        with pytest.raises(ClientError) as refused:
            events.test_event_pattern(EventPattern=pattern, Event=given_event)
        assert refused.value.response["Error"]["Code"] == code


def test_a_rule_is_refused_for_its_pattern(account: Any) -> None:
    events = account.client("events")
    with pytest.raises(ClientError, match="Unrecognized match type like") as refused:
        events.put_rule(Name="r", EventPattern='{"a": [{"like": "b"}]}')
    assert refused.value.response["Error"]["Code"] == "InvalidEventPatternException"
    assert events.list_rules()["Rules"] == []
