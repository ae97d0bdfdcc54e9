"""The model registry: package versions with their status and metrics."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlops_sm import naming
from mlops_sm.errors import InputError, Problem, did_you_mean
from mlops_sm.operations.clients import Clients
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

    @property
    def name(self) -> str:
        """``GROUP/VERSION``, which commands take as a reference."""
        return f"{self.group}/{self.version}"


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
    described = clients.sagemaker.describe_model_package(ModelPackageName=arn)
    containers = described.get("InferenceSpecification", {}).get("Containers", [])
    statistics = described.get("ModelMetrics", {}).get("ModelQuality", {}).get("Statistics", {}).get("S3Uri")
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
        metrics=_metrics(clients, statistics) if statistics else None,
    )


def _metrics(clients: Clients, uri: str) -> Mapping[str, float] | None:
    """The numbers of a statistics file. A report that cannot be read takes nothing from the package: None."""
    try:
        bucket, key = naming.parse_s3_uri(uri)
        document = json.loads(clients.s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except (AwsError, ValueError):
        return None
    return dict(_numbers(document))


def _numbers(document: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, float]]:
    """Metrics by name: ``{"..._metrics": {"auc": {"value": 0.8}}}`` gives ``auc``; other numbers keep their path."""
    match document:
        case {"value": int() | float() as value} if not isinstance(value, bool):
            yield ".".join(path), float(value)
        case dict():
            for key, value in document.items():
                yield from _numbers(value, path if key.endswith("_metrics") and not path else (*path, str(key)))
        case bool() | list():
            return
        case int() | float():
            yield ".".join(path), float(document)
        case _:
            return


def _summaries(clients: Clients, group: str | None, prefix: str, limit: int | None) -> Iterator[Mapping[str, Any]]:
    for name in [group] if group is not None else list(_groups(clients, prefix)):
        request: dict[str, Any] = {
            "ModelPackageGroupName": name,
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
                break
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
