"""QualityCheck and ClarifyCheck steps: a processing job that computes a baseline and holds it against an earlier one.

Source: developer guide, "Baseline calculation, drift detection and lifecycle with ClarifyCheck and QualityCheck steps";
API reference, QualityCheckStepMetadata, ClarifyCheckStepMetadata and DriftCheckBaselines. The earlier baseline reaches
the analyzer as a monitoring job's does: as inputs, named by the variables ``baseline_statistics`` and
``baseline_constraints``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.definition.kinds import StepKind
from mlops_sm.engine.resolve import ResolveError
from mlops_sm.engine.status import Failed, Succeeded
from mlops_sm.local.handlers.job import client_error
from mlops_sm.local.handlers.processing import run_processing_step
from mlops_sm.local.handlers.step import ServiceError, StepResult, StepRun

_VIOLATIONS: Final = "constraint_violations.json"
_FOLDERS: Final = {
    "Statistics": "/opt/ml/processing/baseline/stats",
    "Constraints": "/opt/ml/processing/baseline/constraints",
}
_REGISTERED: Final[Mapping[str, tuple[str, str, str | None]]] = {
    "DATA_QUALITY": ("ModelDataQuality", "Constraints", "Statistics"),
    "MODEL_QUALITY": ("ModelQuality", "Constraints", "Statistics"),
    "DATA_BIAS": ("Bias", "PreTrainingConstraints", None),
    "MODEL_BIAS": ("Bias", "PostTrainingConstraints", None),
    "MODEL_EXPLAINABILITY": ("Explainability", "Constraints", None),
}
"""Where a model package's DriftCheckBaselines keep the baseline of a check: a member and its members."""


@dataclass(frozen=True, slots=True)
class _Baseline:
    """URIs of a baseline's files; a ClarifyCheck has constraints only."""

    constraints: str | None = None
    statistics: str | None = None

    def members(self, start: str) -> dict[str, Json]:
        named = {f"{start}Statistics": self.statistics, f"{start}Constraints": self.constraints}
        return {name: uri for name, uri in named.items() if uri is not None}


def run_check(run: StepRun) -> StepResult:
    """Run the step's job, and fail when it reports violations that the step does not tolerate."""
    kind = run.step.kind.value
    skips, registers = _flag(run, "SkipCheck", default=False), _flag(run, "RegisterNewBaseline", default=False)
    shown: dict[str, Json] = {
        "CheckType": run.members["CheckType"],
        "SkipCheck": skips,
        "RegisterNewBaseline": registers,
    }
    if run.members.get("ModelPackageGroupName"):
        shown["ModelPackageGroupName"] = run.members["ModelPackageGroupName"]
    try:
        earlier = _earlier(run)
    except ServiceError as error:
        return StepResult(outcome=Failed(client_error(error)), metadata={kind: shown})
    if earlier.constraints is None and not (skips and registers):
        reason = (
            f"ClientError: there is no earlier baseline for the check {shown['CheckType']}: none is supplied, and no "
            "approved model package of the group has one. It is needed unless both SkipCheck and RegisterNewBaseline "
            "are true."
        )
        return StepResult(outcome=Failed(reason), metadata={kind: shown})
    result = run_processing_step(_with_baseline(run, _Baseline() if skips else earlier))
    shown["CheckJobArn"] = (result.metadata.get("ProcessingJob") or {}).get("Arn")
    if not isinstance(result.outcome, Succeeded):
        return StepResult(outcome=result.outcome, metadata={kind: shown})
    folder = _output(result.outcome.properties)
    calculated = _calculated(run.step.kind, folder)
    used = calculated if registers else earlier
    properties = {**calculated.members("CalculatedBaseline"), **used.members("BaselineUsedForDriftCheck")}
    shown |= properties
    if not skips and _violations(run, f"{folder}/{_VIOLATIONS}"):
        shown["ViolationReport"] = f"{folder}/{_VIOLATIONS}"
        if _flag(run, "FailOnViolation", default=True):
            reason = f"ClientError: the check found violations of the baseline; see {shown['ViolationReport']}"
            return StepResult(outcome=Failed(reason, properties), metadata={kind: shown})
    return StepResult(outcome=Succeeded(properties), metadata={kind: shown})


def check_properties(shown: Mapping[str, Json]) -> dict[str, Json]:
    """A check step's properties, from its Metadata."""
    return {name: uri for name, uri in shown.items() if name.startswith(("CalculatedBaseline", "BaselineUsed"))}


def _earlier(run: StepRun) -> _Baseline:
    """The baseline that is there: the supplied one, else the one of the group's latest approved package.

    Raises:
        ServiceError: The group cannot be read.
    """
    constraints = run.members.get("SuppliedBaselineConstraints")
    statistics = run.members.get("SuppliedBaselineStatistics")
    group = run.members.get("ModelPackageGroupName")
    if constraints or statistics or not group:
        return _Baseline(constraints, statistics)
    found = run.control.call(
        "ListModelPackages",
        {
            "ModelPackageGroupName": group,
            "ModelApprovalStatus": "Approved",
            "SortBy": "CreationTime",
            "SortOrder": "Descending",
            "MaxResults": 1,
        },
    )["ModelPackageSummaryList"]
    if not found:
        return _Baseline()
    package = run.control.call("DescribeModelPackage", {"ModelPackageName": found[0]["ModelPackageArn"]})
    member, constraints, statistics = _REGISTERED[run.members["CheckType"]]
    kept = (package.get("DriftCheckBaselines") or {}).get(member) or {}
    return _Baseline(_uri(kept, constraints), _uri(kept, statistics))


def _uri(kept: Mapping[str, Json], member: str | None) -> str | None:
    uri: str | None = (kept.get(member) or {}).get("S3Uri") if member is not None else None
    return uri


def _with_baseline(run: StepRun, baseline: _Baseline) -> StepRun:
    """The step with the earlier baseline among its job's inputs."""
    files = [("Statistics", baseline.statistics), ("Constraints", baseline.constraints)]
    given = [(name, uri) for name, uri in files if uri is not None]
    if not given:
        return run
    inputs = [
        {
            "InputName": f"baseline_{name.lower()}",
            "S3Input": {
                "S3Uri": uri,
                "LocalPath": _FOLDERS[name],
                "S3DataType": "S3Prefix",
                "S3InputMode": "File",
            },
        }
        for name, uri in given
    ]
    variables = {f"baseline_{name.lower()}": f"{_FOLDERS[name]}/{uri.rsplit('/', 1)[-1]}" for name, uri in given}
    arguments = {
        **run.arguments,
        "ProcessingInputs": [*(run.arguments.get("ProcessingInputs") or []), *inputs],
        "Environment": {**(run.arguments.get("Environment") or {}), **variables},
    }
    return run.with_arguments(arguments)


def _output(described: Mapping[str, Json]) -> str:
    """Where the analyzer's results are; both images have one output."""
    uri: str = described["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]
    return uri.rstrip("/")


def _calculated(kind: StepKind, folder: str) -> _Baseline:
    if kind is StepKind.CLARIFY_CHECK:
        return _Baseline(f"{folder}/analysis.json")
    return _Baseline(f"{folder}/constraints.json", f"{folder}/statistics.json")


def _violations(run: StepRun, uri: str) -> bool:
    """Whether there is a report that names violations; an analyzer that finds none writes none, or an empty one."""
    try:
        report = run.read_json(uri)
    except ResolveError:
        return False
    return bool(report.get("violations")) if isinstance(report, dict) else True


def _flag(run: StepRun, name: str, *, default: bool) -> bool:
    """A flag, which may have come as text out of a String parameter."""
    value = run.members.get(name)
    return default if value is None else str(value).lower() == "true"
