"""SimulatePrincipalPolicy, SimulateCustomPolicy and AWS's managed policies, as IAM's API reference describes them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)
FULL = "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"


def document(effect: str, action: str, resource: str = "*") -> str:
    return json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": effect, "Action": action, "Resource": resource}]}
    )


@pytest.fixture
def iam(account: Any) -> Any:
    return account.client("iam")


@pytest.fixture
def role(iam: Any) -> str:
    arn: str = iam.create_role(RoleName="worker", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    return arn


def decisions(answer: dict[str, Any]) -> dict[tuple[str, str], str]:
    return {
        (result["EvalActionName"], result["EvalResourceName"]): result["EvalDecision"]
        for result in answer["EvaluationResults"]
    }


def test_a_managed_policy_of_aws_can_be_attached_and_counts(iam: Any, role: str) -> None:
    iam.attach_role_policy(RoleName="worker", PolicyArn=FULL)
    assert [
        policy["PolicyArn"] for policy in iam.list_attached_role_policies(RoleName="worker")["AttachedPolicies"]
    ] == [FULL]
    answer = iam.simulate_principal_policy(
        PolicySourceArn=role, ActionNames=["sagemaker:CreateTrainingJob", "ec2:RunInstances"]
    )
    assert decisions(answer) == {
        ("sagemaker:CreateTrainingJob", "*"): "allowed",
        ("ec2:RunInstances", "*"): "implicitDeny",
    }
    assert answer["IsTruncated"] is False
    assert answer["EvaluationResults"][0]["MatchedStatements"][0]["SourcePolicyId"] == "AmazonSageMakerFullAccess"


def test_each_action_is_asked_for_each_resource(iam: Any, role: str) -> None:
    iam.put_role_policy(
        RoleName="worker", PolicyName="in", PolicyDocument=document("Allow", "s3:Get*", "arn:aws:s3:::a/*")
    )
    answer = iam.simulate_principal_policy(
        PolicySourceArn=role, ActionNames=["s3:GetObject"], ResourceArns=["arn:aws:s3:::a/x", "arn:aws:s3:::b/x"]
    )
    assert decisions(answer) == {
        ("s3:GetObject", "arn:aws:s3:::a/x"): "allowed",
        ("s3:GetObject", "arn:aws:s3:::b/x"): "implicitDeny",
    }


def test_a_boundary_limits_what_policies_allow(iam: Any, role: str) -> None:
    iam.put_role_policy(RoleName="worker", PolicyName="in", PolicyDocument=document("Allow", "*"))
    limit = iam.create_policy(PolicyName="limit", PolicyDocument=document("Allow", "s3:*"))["Policy"]["Arn"]
    iam.put_role_permissions_boundary(RoleName="worker", PermissionsBoundary=limit)
    answer = iam.simulate_principal_policy(PolicySourceArn=role, ActionNames=["s3:GetObject", "sqs:SendMessage"])
    assert decisions(answer) == {("s3:GetObject", "*"): "allowed", ("sqs:SendMessage", "*"): "implicitDeny"}
    assert [
        result["PermissionsBoundaryDecisionDetail"]["AllowedByPermissionsBoundary"]
        for result in answer["EvaluationResults"]
    ] == [True, False]


def test_a_user_has_the_policies_of_its_groups(iam: Any, account: Any) -> None:
    iam.create_user(UserName="ann")
    iam.create_group(GroupName="team")
    iam.add_user_to_group(UserName="ann", GroupName="team")
    iam.put_group_policy(GroupName="team", PolicyName="in", PolicyDocument=document("Allow", "s3:*"))
    for arn in ("arn:aws:iam::123456789012:user/ann", "arn:aws:iam::123456789012:group/team"):
        answer = iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=["s3:GetObject"])
        assert decisions(answer) == {("s3:GetObject", "*"): "allowed"}


def test_custom_policies_are_simulated_with_context(iam: Any) -> None:
    conditional = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Action": "s3:*",
                "Resource": "*",
                "Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1"}},
            },
        }
    )
    without = iam.simulate_custom_policy(PolicyInputList=[conditional], ActionNames=["s3:GetObject"])
    (result,) = without["EvaluationResults"]
    assert (result["EvalDecision"], result["MissingContextValues"]) == ("implicitDeny", ["aws:SourceVpc"])
    context = [{"ContextKeyName": "aws:SourceVpc", "ContextKeyType": "string", "ContextKeyValues": ["vpc-1"]}]
    given = iam.simulate_custom_policy(
        PolicyInputList=[conditional], ActionNames=["s3:GetObject"], ContextEntries=context
    )
    assert decisions(given) == {("s3:GetObject", "*"): "allowed"}


def test_results_come_in_pages(iam: Any, role: str) -> None:
    actions = [f"s3:Get{letter}" for letter in "ABCDE"]
    pages = list(
        iam.get_paginator("simulate_principal_policy").paginate(
            PolicySourceArn=role, ActionNames=actions, PaginationConfig={"PageSize": 2}
        )
    )
    assert [len(page["EvaluationResults"]) for page in pages] == [2, 2, 1]
    assert [result["EvalActionName"] for page in pages for result in page["EvaluationResults"]] == actions


@pytest.mark.parametrize(
    ("request_members", "code", "status"),
    [
        ({"PolicySourceArn": "arn:aws:iam::123456789012:role/nobody", "ActionNames": ["s3:Get"]}, "NoSuchEntity", 404),
        ({"PolicySourceArn": "arn:aws:iam::123456789012:user/nobody", "ActionNames": ["s3:Get"]}, "NoSuchEntity", 404),
        (
            {"PolicySourceArn": "arn:aws:sts::123456789012:assumed-role/a/b", "ActionNames": ["s3:Get"]},
            "InvalidInput",
            400,
        ),
        ({"PolicySourceArn": "{role}", "ActionNames": ["nonsense"]}, "InvalidInput", 400),
        (
            {"PolicySourceArn": "{role}", "ActionNames": ["s3:Get"], "PolicyInputList": ["not json"]},
            "InvalidInput",
            400,
        ),
        ({"PolicySourceArn": "{role}", "ActionNames": ["s3:Get"], "Marker": "x"}, "InvalidInput", 400),
    ],
)
def test_refusals(iam: Any, role: str, request_members: dict[str, Any], code: str, status: int) -> None:
    filled = {name: role if value == "{role}" else value for name, value in request_members.items()}
    with pytest.raises(ClientError) as refused:
        iam.simulate_principal_policy(**filled)
    assert refused.value.response["Error"]["Code"] == code
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_a_policy_of_aws_that_does_not_exist_is_refused(iam: Any, role: str) -> None:
    with pytest.raises(ClientError) as refused:
        iam.attach_role_policy(RoleName="worker", PolicyArn="arn:aws:iam::aws:policy/NoSuchPolicyOfAws")
    assert refused.value.response["Error"]["Code"] == "NoSuchEntity"
