"""What `emulator.iam` counts on of moto.

When one of these fails after an upgrade of moto, `emulator/iam` needs a look before the pin in pyproject.toml moves.
"""

from __future__ import annotations

import json
from typing import Any

from moto.core.parse import QueryParser
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model
from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.models import AWSManagedPolicy, IAMBackend


def test_managed_policies_can_be_made_one_by_one() -> None:
    data = json.loads(aws_managed_policies_data)
    policy = AWSManagedPolicy.from_data(
        "AmazonSageMakerFullAccess", "123456789012", "aws", data["AmazonSageMakerFullAccess"]
    )
    assert policy.arn == "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"
    assert "Statement" in json.loads(next(version.document for version in policy.versions if version.is_default))


def test_a_backend_keeps_what_simulation_reads() -> None:
    backend = IAMBackend("aws", "123456789012")
    role = backend.create_role(
        role_name="r",
        assume_role_policy_document="{}",
        path="/",
        permissions_boundary=None,
        description="",
        tags=[],
        max_session_duration="3600",
    )
    role.put_policy("inline", "{}")
    assert backend.roles[role.id] is role
    assert (role.name, role.policies, role.managed_policies) == ("r", {"inline": "{}"}, {})
    assert not role.permissions_boundary_arn
    assert (backend.users, backend.groups, backend.managed_policies, backend.aws_managed_policies) == ({}, {}, {}, [])


def test_the_query_protocol_is_read_and_written_by_the_service_model() -> None:
    shapes = get_service_model("iam").operation_model("SimulateCustomPolicy")
    values: Any = {"ActionNames.member.1": "s3:Get", "MaxItems": "7"}
    assert QueryParser(shapes).parse({"values": values}) == {"ActionNames": ["s3:Get"], "MaxItems": 7}  # type: ignore[typeddict-item] # all that it reads
    rendered = get_serializer_class("iam", "query")(shapes).serialize({"IsTruncated": False})
    assert "<SimulateCustomPolicyResult><IsTruncated>false</IsTruncated>" in rendered["body"]
