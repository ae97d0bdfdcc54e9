"""Two model versions side by side: metrics, parameters, data, and what the policy says of one against the other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mlops_sm.checks.approval import Verdict, judge
from mlops_sm.operations.clients import Clients, Response
from mlops_sm.operations.models import Package, evidence
from mlops_sm.operations.refusals import AwsError
from mlops_sm.project import Policy

_JOB_OF_MODEL: Final = re.compile(r"s3://.+/([a-zA-Z0-9](?:-*[a-zA-Z0-9]){0,62})/output/model\.tar\.gz")
_OF_AWS: Final = "sagemaker_"
_DATA: Final = ("data_version", "dataset_version", "commit", "git_commit")
"""Properties that say where a version comes from."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the comparison: text where there is no number, None where a version has nothing."""

    name: str
    first: float | str | None
    second: float | str | None

    @property
    def difference(self) -> float | None:
        """The second minus the first, of numbers."""
        if isinstance(self.first, float) and isinstance(self.second, float):
            return self.second - self.first
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What two versions have in common and what not.

    Attributes:
        first: What is compared with.
        second: The one that would take its place.
        metrics: Metrics, then bias metrics.
        parameters: Hyperparameters of the trainings, as far as these are still known.
        data: What the trainings read, and what the versions say of where they come from.
        verdict: What the policy says of the second while the first is in use.
    """

    first: Package
    second: Package
    metrics: tuple[Row, ...]
    parameters: tuple[Row, ...]
    data: tuple[Row, ...]
    verdict: Verdict


def compare(clients: Clients, first: Package, second: Package, policy: Policy) -> Comparison:
    """Compare two versions."""
    trained = [_training(clients, package) for package in (first, second)]
    parameters = [
        {k: v for k, v in job.get("HyperParameters", {}).items() if not k.startswith((_OF_AWS, "_"))} for job in trained
    ]
    channels = [
        {
            f"channel {channel['ChannelName']}": channel["DataSource"]["S3DataSource"]["S3Uri"]
            for channel in job.get("InputDataConfig", [])
            if "S3DataSource" in channel.get("DataSource", {}) and channel["ChannelName"] != "code"
        }
        for job in trained
    ]
    said = [{key: p.properties[key] for key in _DATA if key in p.properties} for p in (first, second)]
    return Comparison(
        first=first,
        second=second,
        metrics=(
            *_rows(first.metrics or {}, second.metrics or {}),
            *_rows(first.bias or {}, second.bias or {}),
        ),
        parameters=_rows(*parameters),
        data=_rows({**said[0], **channels[0]}, {**said[1], **channels[1]}),
        verdict=judge(policy, evidence(second), evidence(first)),
    )


def _rows(first: Mapping[str, float | str], second: Mapping[str, float | str]) -> tuple[Row, ...]:
    return tuple(Row(name, first.get(name), second.get(name)) for name in dict.fromkeys([*first, *second]))


def _training(clients: Clients, package: Package) -> Response:
    """The training job whose archive the version serves; empty when it is gone or was no training's."""
    for uri in package.model_data:
        found = _JOB_OF_MODEL.fullmatch(uri)
        if found is None:
            continue
        try:
            return clients.sagemaker.describe_training_job(TrainingJobName=found[1])
        except AwsError as error:
            if not error.is_not_found:
                raise
    return {}
