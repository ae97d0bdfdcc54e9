"""The model registry: package versions with their status and metrics."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mlops_sm import naming
from mlops_sm.checks.approval import Evidence, bias_of, numbers_of
from mlops_sm.definition.document import Json
from mlops_sm.errors import InputError, Problem, did_you_mean
from mlops_sm.operations.clients import Clients, Response
from mlops_sm.operations.refusals import AwsError

LATEST = "latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One model package version.

    Attributes:
        arn: Its ARN.
        group: Its model package group.
        version: Its number within the group.
        approval: Approval status, e.g. ``PendingManualApproval``.
        status: ``Completed`` once the service has accepted it.
        created: When it was registered.
        description: What its author wrote.
        model_data: S3 URIs of the model archives, one for each container.
        images: Container images, in the same order.
        metrics_uri: S3 URI of the model quality statistics.
        metrics: Numbers out of those statistics; None when there are none or they cannot be read.
        bias: Bias metrics out of its bias reports; None as for `metrics`.
        properties: What its author and its approvers wrote down about it.
        approval_description: Who decided what, and why.
        stage: Where in its life cycle it is, e.g. ``prod/Approved``.
    """

    arn: str
    group: str
    version: int
    approval: str
    status: str
    created: datetime | None
    description: str
    model_data: tuple[str, ...]
    images: tuple[str, ...]
    metrics_uri: str | None
    metrics: Mapping[str, float] | None
    bias: Mapping[str, float] | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    approval_description: str = ""
    stage: str = ""

    @property
    def name(self) -> str:
        """``GROUP/VERSION``, which commands take as a reference; the ARN of one that is in no group."""
        return f"{self.group}/{self.version}" if self.group else self.arn


def list_packages(
    clients: Clients, *, group: str | None = None, prefix: str = "", limit: int | None = 20
) -> list[Package]:
    """Package versions, newest first.

    Args:
        clients: The account.
        group: Only this group's.
        prefix: Without `group`, only groups whose names start so.
        limit: At most so many; None for all.
    """
    found = sorted(_summaries(clients, group, prefix, limit), key=_age, reverse=True)
    return [show_package(clients, summary["ModelPackageArn"]) for summary in found[:limit]]


def find_package(clients: Clients, reference: str, *, prefix: str = "") -> str:
    """The ARN of a package that is named by ARN, by ``GROUP/VERSION``, by group (its newest version) or ``latest``.

    Raises:
        InputError: There is no such package (E113).
    """
    if reference.startswith("arn:"):
        return reference
    known = sorted(_summaries(clients, None, prefix, None), key=_age, reverse=True)
    for summary in known:
        group, version = summary["ModelPackageGroupName"], summary["ModelPackageVersion"]
        if reference in (LATEST, group, f"{group}/{version}"):
            arn: str = summary["ModelPackageArn"]
            return arn
    names = [f"{s['ModelPackageGroupName']}/{s['ModelPackageVersion']}" for s in known[:20]]
    fix = f"{did_you_mean(reference, names)} mlops-sm models list shows them.".strip()
    raise InputError(Problem("E113", reference, f'there is no model package "{reference}"', fix))


def show_package(clients: Clients, arn: str) -> Package:
    """One package version with its metrics."""
    return read_package(clients, clients.sagemaker.describe_model_package(ModelPackageName=arn))


def read_package(clients: Clients, described: Response) -> Package:
    """A package version out of the answer of DescribeModelPackage, with its metrics."""
    containers = described.get("InferenceSpecification", {}).get("Containers", [])
    reports = described.get("ModelMetrics", {})
    statistics = reports.get("ModelQuality", {}).get("Statistics", {}).get("S3Uri")
    stage = described.get("ModelLifeCycle", {})
    return Package(
        arn=described["ModelPackageArn"],
        group=described.get("ModelPackageGroupName", ""),
        version=described.get("ModelPackageVersion", 0),
        approval=described.get("ModelApprovalStatus", ""),
        status=described.get("ModelPackageStatus", ""),
        created=described.get("CreationTime"),
        description=described.get("ModelPackageDescription", ""),
        model_data=tuple(c["ModelDataUrl"] for c in containers if "ModelDataUrl" in c),
        images=tuple(c["Image"] for c in containers if "Image" in c),
        metrics_uri=statistics,
        metrics=_report(clients, statistics, numbers_of) if statistics else None,
        bias=_bias(clients, reports.get("Bias", {})),
        properties=described.get("CustomerMetadataProperties", {}),
        approval_description=described.get("ApprovalDescription", ""),
        stage=f"{stage['Stage']}/{stage['StageStatus']}" if stage else "",
    )


def package_in_use(clients: Clients, package: Package) -> Package | None:
    """The version that another one of its group would take the place of: the newest approved one, None without any."""
    if not package.group:
        return None
    request = {"ModelPackageGroupName": package.group, "ModelApprovalStatus": "Approved"}
    others = [s for s in _pages(clients, request, None) if s["ModelPackageArn"] != package.arn]
    return show_package(clients, max(others, key=_age)["ModelPackageArn"]) if others else None


def evidence(package: Package) -> Evidence:
    """What a policy looks at."""
    return Evidence(name=package.name, metrics=package.metrics, bias=package.bias)


def _bias(clients: Clients, sources: Mapping[str, Any]) -> Mapping[str, float] | None:
    reports = [_report(clients, source["S3Uri"], bias_of) for source in sources.values() if "S3Uri" in source]
    read = [report for report in reports if report is not None]
    return {name: value for found in read for name, value in found.items()} if read else None


def _report(clients: Clients, uri: str, numbers: Callable[[Json], dict[str, float]]) -> dict[str, float] | None:
    """The numbers of a report in S3. One that cannot be read takes nothing from the package: None."""
    try:
        bucket, key = naming.parse_s3_uri(uri)
        return numbers(json.loads(clients.s3.get_object(Bucket=bucket, Key=key)["Body"].read()))
    except (AwsError, ValueError, OverflowError, RecursionError):
        return None


def _summaries(clients: Clients, group: str | None, prefix: str, limit: int | None) -> Iterator[Mapping[str, Any]]:
    for name in [group] if group is not None else list(_groups(clients, prefix)):
        yield from _pages(clients, {"ModelPackageGroupName": name}, limit)


def _pages(clients: Clients, group: Mapping[str, str], limit: int | None) -> Iterator[Mapping[str, Any]]:
    request: dict[str, Any] = {
        **group,
        "SortBy": "CreationTime",
        "SortOrder": "Descending",
        "MaxResults": min(limit or 100, 100),
    }
    count = 0
    while True:
        page = clients.sagemaker.list_model_packages(**request)
        yield from page["ModelPackageSummaryList"]
        count += len(page["ModelPackageSummaryList"])
        if not page.get("NextToken") or (limit is not None and count >= limit):
            return
        request["NextToken"] = page["NextToken"]


def _groups(clients: Clients, prefix: str) -> Iterator[str]:
    request: dict[str, Any] = {"MaxResults": 100}
    if prefix:
        request["NameContains"] = prefix
    while True:
        page = clients.sagemaker.list_model_package_groups(**request)
        names = (summary["ModelPackageGroupName"] for summary in page["ModelPackageGroupSummaryList"])
        yield from (name for name in names if name.startswith(prefix))
        if not page.get("NextToken"):
            return
        request["NextToken"] = page["NextToken"]


def _age(summary: Mapping[str, Any]) -> tuple[str, int]:
    """Sorts by time, and by version within the same second."""
    return str(summary.get("CreationTime", "")), summary.get("ModelPackageVersion", 0)
