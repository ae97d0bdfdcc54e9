"""QualityCheck and ClarifyCheck steps: skip, register, fail, and which baseline is the earlier one.

Rules: developer guide, "Baseline calculation, drift detection and lifecycle with ClarifyCheck and QualityCheck steps":
the four rows of its table; API reference, QualityCheckStepMetadata and DriftCheckBaselines. The analyzer is a script.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

# Writes what an analyzer writes; it finds a violation when the earlier constraints say so.
ANALYZER = """
import json, os
out = "/opt/ml/processing/out"
for name in ("statistics", "constraints", "analysis"):
    json.dump({"name": name}, open(f"{out}/{name}.json", "w"))
earlier = os.environ.get("baseline_constraints")
if earlier:
    found = json.load(open(earlier))
    json.dump({"violations": found["violations"]}, open(f"{out}/constraint_violations.json", "w"))
"""
OUT = "s3://emulator-tests/checked"
CALCULATED = {
    "CalculatedBaselineStatistics": f"{OUT}/statistics.json",
    "CalculatedBaselineConstraints": f"{OUT}/constraints.json",
}


class Desk:
    """Runs a check."""

    def __init__(self, account: Any, make: Any) -> None:
        self.account = account
        self.make = make
        self.code = account.put("code/analyzer.py", ANALYZER)
        self.sagemaker = account.sagemaker

    def check(self, kind: str = "QualityCheck", check: str = "DATA_QUALITY", **members: Any) -> dict[str, Any]:
        step: dict[str, Any] = self.make.processing("Check", self.code, output=OUT)
        return {**step, "Type": kind, "CheckType": check, **members}

    def run(self, *steps: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        self.account.create_pipeline("p", *steps)
        arn = self.sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
        self.arn = arn
        return self.account.execution_end(arn)["PipelineExecutionStatus"], self.account.steps(arn)

    def earlier(self, name: str, violations: list[Any]) -> dict[str, str]:
        return {
            "SuppliedBaselineConstraints": self.account.put(
                f"{name}/constraints.json", json.dumps({"violations": violations})
            ),
            "SuppliedBaselineStatistics": self.account.put(f"{name}/statistics.json", "{}"),
        }

    def register(self, status: str, baselines: dict[str, Any]) -> None:
        container = {"Image": "python:3.11", "ModelDataUrl": "s3://emulator-tests/m.tar.gz"}
        self.sagemaker.create_model_package(
            ModelPackageGroupName="group",
            ModelApprovalStatus=status,
            InferenceSpecification={
                "Containers": [container],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
            DriftCheckBaselines=baselines,
        )


@pytest.fixture
def desk(account: Any, make: Any) -> Desk:
    return Desk(account, make)


VIOLATION = [{"feature_name": "age", "constraint_check_type": "baseline_drift_check", "description": "far"}]


@pytest.mark.parametrize("skips", [False, True])
@pytest.mark.parametrize("registers", [False, True])
def test_which_baseline_is_used_and_whether_it_is_checked(desk: Desk, skips: bool, registers: bool) -> None:
    supplied = desk.earlier("old", VIOLATION)
    flags = {"SkipCheck": skips, "RegisterNewBaseline": registers, "FailOnViolation": False}
    say = desk.make.fail("Say", {"Get": "Steps.Check.BaselineUsedForDriftCheckConstraints"})
    _, steps = desk.run(desk.check(**supplied, **flags), say)
    shown = steps["Check"]["Metadata"]["QualityCheck"]
    used = CALCULATED["CalculatedBaselineConstraints"] if registers else supplied["SuppliedBaselineConstraints"]
    assert steps["Say"]["FailureReason"] == shown["BaselineUsedForDriftCheckConstraints"] == used
    assert {name: shown[name] for name in CALCULATED} == CALCULATED
    assert (shown["CheckType"], shown["SkipCheck"], shown["RegisterNewBaseline"]) == ("DATA_QUALITY", skips, registers)
    assert shown.get("ViolationReport") == (None if skips else f"{OUT}/constraint_violations.json")
    assert ":processing-job/pipelines-" in shown["CheckJobArn"]


@pytest.mark.parametrize("members", [{}, {"FailOnViolation": True}])
def test_a_violation_fails_the_step(desk: Desk, members: dict[str, Any]) -> None:
    status, steps = desk.run(desk.check(**desk.earlier("old", VIOLATION), **members))
    assert status == "Failed"
    assert f"{OUT}/constraint_violations.json" in steps["Check"]["FailureReason"]
    assert steps["Check"]["Metadata"]["QualityCheck"]["ViolationReport"] == f"{OUT}/constraint_violations.json"


def test_without_a_violation_the_step_succeeds(desk: Desk) -> None:
    status, steps = desk.run(desk.check(**desk.earlier("old", [])))
    assert status == "Succeeded"
    assert "ViolationReport" not in steps["Check"]["Metadata"]["QualityCheck"]


@pytest.mark.parametrize("flags", [{}, {"SkipCheck": True}, {"RegisterNewBaseline": True}])
def test_an_earlier_baseline_is_needed(desk: Desk, flags: dict[str, bool]) -> None:
    _, steps = desk.run(desk.check(**flags))
    assert steps["Check"]["FailureReason"].startswith("ClientError: there is no earlier baseline")
    assert "CheckJobArn" not in steps["Check"]["Metadata"]["QualityCheck"]


def test_the_first_run_registers_and_skips(desk: Desk) -> None:
    status, _ = desk.run(desk.check(SkipCheck=True, RegisterNewBaseline=True))
    assert status == "Succeeded"


def test_the_earlier_baseline_is_that_of_the_latest_approved_package(desk: Desk) -> None:
    desk.sagemaker.create_model_package_group(ModelPackageGroupName="group")
    for name, status in (("old", "Approved"), ("good", "Approved"), ("pending", "PendingManualApproval")):
        uris = desk.earlier(name, [] if name == "good" else VIOLATION)
        kept = {
            "Constraints": {"ContentType": "application/json", "S3Uri": uris["SuppliedBaselineConstraints"]},
            "Statistics": {"ContentType": "application/json", "S3Uri": uris["SuppliedBaselineStatistics"]},
        }
        desk.register(status, {"ModelDataQuality": kept})
    status, steps = desk.run(desk.check(ModelPackageGroupName="group"))
    assert status == "Succeeded"
    shown = steps["Check"]["Metadata"]["QualityCheck"]
    assert shown["ModelPackageGroupName"] == "group"
    assert shown["BaselineUsedForDriftCheckConstraints"] == "s3://emulator-tests/good/constraints.json"
    assert shown["BaselineUsedForDriftCheckStatistics"] == "s3://emulator-tests/good/statistics.json"


@pytest.mark.parametrize(
    ("check", "member"),
    [
        ("DATA_BIAS", ("Bias", "PreTrainingConstraints")),
        ("MODEL_BIAS", ("Bias", "PostTrainingConstraints")),
        ("MODEL_EXPLAINABILITY", ("Explainability", "Constraints")),
    ],
)
def test_a_clarify_check_has_constraints_only(desk: Desk, check: str, member: tuple[str, str]) -> None:
    desk.sagemaker.create_model_package_group(ModelPackageGroupName="group")
    uri = desk.earlier("old", [])["SuppliedBaselineConstraints"]
    desk.register("Approved", {member[0]: {member[1]: {"ContentType": "application/json", "S3Uri": uri}}})
    status, steps = desk.run(desk.check("ClarifyCheck", check, ModelPackageGroupName="group"))
    assert status == "Succeeded"
    shown = steps["Check"]["Metadata"]["ClarifyCheck"]
    assert shown["CalculatedBaselineConstraints"] == f"{OUT}/analysis.json"
    assert shown["BaselineUsedForDriftCheckConstraints"] == uri
    assert "CalculatedBaselineStatistics" not in shown


def test_a_retry_builds_on_the_check(desk: Desk) -> None:
    account = desk.account
    last = desk.make.processing("Last", account.put("code/last.py", "import sys\nsys.exit(1)\n"))
    last["Arguments"]["Environment"] = {"URI": {"Get": "Steps.Check.CalculatedBaselineStatistics"}}
    desk.run(desk.check(SkipCheck=True, RegisterNewBaseline=True), last)
    account.put("code/last.py", "import os\nassert os.environ['URI'].endswith('/statistics.json')\n")
    account.sagemaker.retry_pipeline_execution(PipelineExecutionArn=desk.arn, ClientRequestToken="t" * 32)
    assert account.execution_end(desk.arn)["PipelineExecutionStatus"] == "Succeeded"


def test_a_failed_job_fails_the_step(desk: Desk) -> None:
    desk.code = desk.account.put("code/analyzer.py", "import sys\nsys.exit(3)\n")
    _, steps = desk.run(desk.check(SkipCheck=True, RegisterNewBaseline=True))
    assert "exit code: 3" in steps["Check"]["FailureReason"]
    assert "CheckJobArn" in steps["Check"]["Metadata"]["QualityCheck"]


@pytest.mark.parametrize("name", ["sagemaker-model-monitor-analyzer", "sagemaker-clarify-processing:1.0"])
def test_the_analyzers_of_aws_are_refused_before_anything_starts(desk: Desk, name: str) -> None:
    step = desk.check(SkipCheck=True, RegisterNewBaseline=True)
    step["Arguments"]["AppSpecification"] = {"ImageUri": f"156813124566.dkr.ecr.us-east-1.amazonaws.com/{name}"}
    with pytest.raises(ClientError, match="is AWS's analyzer, whose program is not on this machine yet"):
        desk.run(step)
