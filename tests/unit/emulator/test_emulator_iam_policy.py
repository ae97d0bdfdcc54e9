"""IAM's evaluation rules: IAM user guide, "Policy evaluation logic" and "JSON policy elements"."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sm.emulator.iam.policy import Decision, Policy, Question, decide


def policy(*statements: dict[str, Any], name: str = "p") -> Policy:
    return Policy(name, "IAM Policy", json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))


def allow(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Deny", "Action": action, "Resource": resource, **more}


def ask(policies: list[Policy], action: str, resource: str = "*", **context: list[str]) -> Decision:
    named = {key.replace("__", ":").lower(): values for key, values in context.items()}
    return decide(policies, Question(action, resource, named)).decision


def test_what_nothing_allows_is_denied_implicitly() -> None:
    assert ask([], "s3:GetObject") is Decision.IMPLICIT_DENY
    assert ask([policy(allow("s3:PutObject"))], "s3:GetObject") is Decision.IMPLICIT_DENY


def test_a_deny_wins_over_every_allow() -> None:
    both = [policy(allow("*")), policy(deny("s3:Get*"), name="q")]
    assert ask(both, "s3:GetObject") is Decision.EXPLICIT_DENY
    assert ask(both, "s3:PutObject") is Decision.ALLOWED
    assert [found.id for found in decide(both, Question("s3:GetObject", "*")).matched] == ["q"]


@pytest.mark.parametrize(
    ("pattern", "action", "expected"),
    [
        ("sagemaker:*", "sagemaker:CreatePipeline", Decision.ALLOWED),
        ("SageMaker:create*", "sagemaker:CreatePipeline", Decision.ALLOWED),
        ("sagemaker:Create?ipeline", "sagemaker:CreatePipeline", Decision.ALLOWED),
        ("sagemaker:Create", "sagemaker:CreatePipeline", Decision.IMPLICIT_DENY),
        (["s3:*", "sagemaker:Describe*"], "sagemaker:DescribeModel", Decision.ALLOWED),
        # A dot and a plus are characters, not a pattern.
        ("s3:Get.bject", "s3:GetObject", Decision.IMPLICIT_DENY),
    ],
)
def test_actions_match_without_case_and_with_wildcards(pattern: Any, action: str, expected: Decision) -> None:
    assert ask([policy(allow(pattern))], action) is expected


def test_resources_match_with_case() -> None:
    one = [policy(allow("s3:GetObject", "arn:aws:s3:::data/*"))]
    assert ask(one, "s3:GetObject", "arn:aws:s3:::data/a/b") is Decision.ALLOWED
    assert ask(one, "s3:GetObject", "arn:aws:s3:::Data/a/b") is Decision.IMPLICIT_DENY
    assert ask(one, "s3:GetObject", "*") is Decision.IMPLICIT_DENY


def test_not_action_and_not_resource() -> None:
    assert ask([policy({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"})], "s3:GetObject") is Decision.ALLOWED
    assert ask([policy({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"})], "iam:GetRole") is (
        Decision.IMPLICIT_DENY
    )
    outside = [policy(allow("s3:*"), {"Effect": "Deny", "Action": "s3:*", "NotResource": "arn:aws:s3:::mine/*"})]
    assert ask(outside, "s3:GetObject", "arn:aws:s3:::mine/a") is Decision.ALLOWED
    assert ask(outside, "s3:GetObject", "arn:aws:s3:::theirs/a") is Decision.EXPLICIT_DENY


@pytest.mark.parametrize(
    ("operator", "value", "given_values", "expected"),
    [
        ("StringEquals", "a", ["a"], True),
        ("StringEquals", ["a", "b"], ["b"], True),
        ("StringEquals", "a", ["A"], False),
        ("StringEqualsIgnoreCase", "a", ["A"], True),
        ("StringNotEquals", "a", ["b"], True),
        ("StringNotEquals", ["a", "b"], ["b"], False),
        ("StringLike", "pre*", ["prefix"], True),
        ("NumericLessThanEquals", "10", ["10"], True),
        ("NumericLessThan", "10", ["ten"], False),
        ("DateGreaterThan", "2026-01-01T00:00:00Z", ["2026-06-01T00:00:00Z"], True),
        ("DateLessThan", "2026-01-01T00:00:00Z", ["1750000000"], True),
        ("Bool", "true", ["True"], True),
        ("IpAddress", "10.0.0.0/8", ["10.1.2.3"], True),
        ("NotIpAddress", "10.0.0.0/8", ["10.1.2.3"], False),
        ("ArnLike", "arn:aws:s3:::data/*", ["arn:aws:s3:::data/a"], True),
        ("ArnLike", "arn:aws:*:x", ["arn:aws:s3:eu:1:x"], False),
        ("BinaryEquals", "YWI=", ["YWI="], True),
        ("ForAllValues:StringEquals", ["a", "b"], ["a", "c"], False),
        ("ForAllValues:StringEquals", ["a", "b"], ["a", "b"], True),
        ("ForAnyValue:StringEquals", ["a", "b"], ["a", "c"], True),
        ("BinaryEquals", "YWI=", ["\u00e9"], False),
        ("DateLessThan", "9" * 30, ["1750000000"], False),
        ("Null", "true", ["x"], False),
        ("Null", [], ["x"], True),
    ],
)
def test_conditions(operator: str, value: Any, given_values: list[str], expected: bool) -> None:
    conditional = [policy(allow("s3:*", Condition={operator: {"x:Key": value}}))]
    assert (ask(conditional, "s3:GetObject", x__key=given_values) is Decision.ALLOWED) is expected


def test_a_key_that_is_not_given_is_named_and_fails_the_condition() -> None:
    conditional = [policy(allow("s3:*", Condition={"StringEquals": {"aws:SourceVpc": "vpc-1"}}))]
    verdict = decide(conditional, Question("s3:GetObject", "*"))
    assert (verdict.decision, verdict.missing) == (Decision.IMPLICIT_DENY, ("aws:SourceVpc",))


@pytest.mark.parametrize("operator", ["StringEqualsIfExists", "StringNotEquals", "ForAllValues:StringEquals", "Null"])
def test_operators_that_a_missing_key_satisfies(operator: str) -> None:
    value = "true" if operator == "Null" else "a"
    assert ask([policy(allow("s3:*", Condition={operator: {"x:Key": value}}))], "s3:GetObject") is Decision.ALLOWED


def test_every_condition_of_a_statement_must_hold() -> None:
    both = [policy(allow("s3:*", Condition={"StringEquals": {"x:a": "1", "x:b": "2"}}))]
    assert ask(both, "s3:GetObject", x__a=["1"], x__b=["2"]) is Decision.ALLOWED
    assert ask(both, "s3:GetObject", x__a=["1"], x__b=["3"]) is Decision.IMPLICIT_DENY


def test_variables_stand_for_context_values() -> None:
    own = [policy(allow("s3:*", "arn:aws:s3:::home/${aws:username}/*"))]
    assert ask(own, "s3:GetObject", "arn:aws:s3:::home/ann/x", aws__username=["ann"]) is Decision.ALLOWED
    assert ask(own, "s3:GetObject", "arn:aws:s3:::home/bob/x", aws__username=["ann"]) is Decision.IMPLICIT_DENY
    assert ask(own, "s3:GetObject", "arn:aws:s3:::home/bob/x") is Decision.IMPLICIT_DENY


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("StringLike", "a${*}", {"a*"}),
        ("StringLike", "a*", {"a*", "ab"}),
        ("StringLike", "${x:User}?", {"*b"}),
        ("StringEquals", "a${*}", {"a*"}),
        ("StringEquals", "${x:User}b", {"*b"}),
    ],
)
def test_what_a_variable_stands_for_is_no_wildcard(operator: str, value: str, expected: set[str]) -> None:
    """Source: "IAM policy elements: Variables and tags", special characters: ``${*}`` is an asterisk."""
    conditional = [policy(allow("s3:*", Condition={operator: {"x:Key": value}}))]
    found = {
        given
        for given in ("a*", "ab", "*b", "cb")
        if ask(conditional, "s3:Get", x__key=[given], x__user=["*"]) is Decision.ALLOWED
    }
    assert found == expected


def test_unknown_operators_and_documents_are_refused() -> None:
    with pytest.raises(ValueError, match="StringIs is not a condition operator"):
        ask([policy(allow("*", Condition={"StringIs": {"a": "b"}}))], "s3:GetObject", a=["b"])
    with pytest.raises(ValueError, match="needs a Statement"):
        ask([Policy("p", "IAM Policy", "{}")], "s3:GetObject")
    with pytest.raises(ValueError, match="nested too deeply"):
        ask([Policy("p", "IAM Policy", "[" * 100_000)], "s3:GetObject")


@pytest.mark.parametrize("condition", [[], "a", {"StringEquals": 5}, {"StringEquals": ["a"]}])
def test_conditions_of_another_shape_are_refused(condition: Any) -> None:
    with pytest.raises(ValueError, match="a Condition needs an operator"):
        ask([policy(allow("*", Condition=condition))], "s3:GetObject")


@given(st.text("abc*?", max_size=6), st.text("abc", max_size=6))
def test_wildcards_match_as_a_matcher_written_the_plain_way(pattern: str, word: str) -> None:
    def matches(pattern: str, word: str) -> bool:
        if not pattern:
            return not word
        if pattern[0] == "*":
            return any(matches(pattern[1:], word[start:]) for start in range(len(word) + 1))
        return bool(word) and pattern[0] in ("?", word[0]) and matches(pattern[1:], word[1:])

    found = ask([policy(allow("s3:Get", f"arn:{pattern}"))], "s3:Get", f"arn:{word}")
    assert (found is Decision.ALLOWED) is matches(pattern, word)
