"""Who may approve a version, and what fits into its package."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mlops_sm.emulator import LocalAccount
from mlops_sm.errors import RefusedError
from mlops_sm.operations.approvals import APPROVED, Decision, approve, approvers_of, authors_of, reject
from mlops_sm.operations.clients import Clients
from mlops_sm.operations.models import show_package
from mlops_sm.project import Environment, Policy

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
GROUP = "shop-limit"
ADA = "arn:aws:sts::111122223333:assumed-role/data-science/ada"
# botocore's model, CustomerMetadataValue: letters, separators, numbers and these.
VALUE = re.compile(r"[\w\s.:/=+\-@]{1,256}")


def environment(**more: Any) -> Environment:
    return Environment(
        name="prod",
        account="123456789012",
        region="us-east-1",
        role_arn="arn:aws:iam::123456789012:role/pipelines",
        artifact_bucket="prod-artifacts",
        data_bucket="prod-data",
        model_bucket="prod-models",
        **more,
    )


class Desk:
    """An account with one version."""

    def __init__(self, account: LocalAccount) -> None:
        self.clients = Clients(account.client)
        self.clients.sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
        self.arn = self.register()

    def register(self, **properties: str) -> str:
        more = {"CustomerMetadataProperties": properties} if properties else {}
        arn: str = self.clients.sagemaker.create_model_package(ModelPackageGroupName=GROUP, **more)["ModelPackageArn"]
        return arn

    def approve(self, arn: str, why: str = "good", policy: Policy | None = None, **more: Any) -> Decision:
        return approve(
            self.clients,
            arn,
            environment=environment(**more),
            policy=policy or Policy(),
            why=why,
            override="",
            now=NOW,
        )

    def authors(self, created_by: dict[str, Any], **properties: str) -> set[str]:
        package = show_package(self.clients, self.register(**properties))
        return authors_of(self.clients, package, {"CreatedBy": created_by})


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with LocalAccount.open(tmp_path / "state") as account:
        yield Desk(account)


@pytest.mark.parametrize(
    ("created_by", "expected"),
    [
        ({"IamIdentity": {"Arn": ADA, "PrincipalId": "AROA:ada"}}, {ADA}),
        ({"UserProfileArn": "arn:aws:sagemaker:us-east-1:111122223333:user-profile/d-1/ada"}, {"user-profile"}),
        ({}, set()),
        # A pipeline that calls in the name of its role is nobody.
        ({"IamIdentity": {"Arn": "arn:aws:sts::111122223333:assumed-role/pipelines/SageMaker"}}, set()),
    ],
)
def test_who_made_a_version_as_the_service_tells_it(desk: Desk, created_by: dict[str, Any], expected: set[str]) -> None:
    found = desk.authors(created_by)
    assert {"user-profile" if "user-profile" in each else each for each in found} == expected


def test_an_execution_that_is_gone_tells_nothing(desk: Desk) -> None:
    gone = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/none/execution/abcdefghijkl"
    assert desk.authors({}, pipeline_execution_arn=gone, author="ada") == {"ada"}


def test_who_is_written_down_as_the_author_cannot_approve_even_though_another_registered(desk: Desk) -> None:
    me = desk.clients.sts.get_caller_identity()["Arn"]
    with pytest.raises(RefusedError, match=f"{me} made it and cannot approve it"):
        desk.approve(desk.register(author=me), four_eyes=True)
    assert desk.approve(desk.register(author=me)).status == APPROVED


def test_everything_that_is_written_down_fits(desk: Desk) -> None:
    properties = {f"note {index}": "x" for index in range(44)}
    arn = desk.register(**properties)
    decision = desk.approve(arn, why='100 % sure\n(really): "yes" ' + "ä" * 2000)
    described = desk.clients.sagemaker.describe_model_package(ModelPackageName=arn)
    assert len(described["ApprovalDescription"]) == 1024
    assert "\n" not in described["ApprovalDescription"]
    assert '100 % sure (really): "yes" ä' in described["ApprovalDescription"]
    written = described["CustomerMetadataProperties"]
    assert len(written) <= 50
    assert properties.items() <= written.items()
    assert all(VALUE.fullmatch(value) for value in written.values())
    assert written["approval.1.why"].startswith("100 sure really : yes ää")
    assert decision.package.approval == APPROVED


def test_approvals_count_people_and_a_rejection_makes_them_void(desk: Desk) -> None:
    two = Policy(required_approvals=2)
    first = desk.approve(desk.arn, policy=two)
    assert (first.status, first.approvals, first.required) == ("PendingManualApproval", 1, 2)
    with pytest.raises(RefusedError, match="has approved it already"):
        desk.approve(desk.arn, policy=two)
    reject(desk.clients, desk.arn, environment=environment(), policy=two, why="bad", now=NOW)
    assert approvers_of(show_package(desk.clients, desk.arn)) == []
    again = desk.approve(desk.arn, policy=two)
    assert (again.status, again.approvals) == ("PendingManualApproval", 1)

    # Somebody else's approval, as it stands in the package.
    desk.clients.sagemaker.update_model_package(
        ModelPackageArn=desk.arn, CustomerMetadataProperties={"approval.1.by": ADA}
    )
    second = desk.approve(desk.arn, policy=two)
    assert (second.status, second.approvals) == (APPROVED, 2)
    properties = second.package.properties
    assert (properties["approval.1.by"], properties["approval.2.at"]) == (ADA, "2026-11-24T12:30:00Z")
    assert second.package.stage == "prod/Approved"
