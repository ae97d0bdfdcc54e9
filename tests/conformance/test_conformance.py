"""Every case, found by walking the folder, ends as written in its ``expected.json`` on every executor.

A case is a definition, the objects its jobs read (bucket ``conformance``), and what each of its runs must leave. It may
have functions (``functions/NAME.py`` with a ``handler``), and queues with the function that takes their messages.
"""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_sm.emulator import LocalAccount
from mlops_sm.local.warm import WarmWorkers

CASES = sorted(path.parent for path in Path(__file__).parent.glob("cases/*/definition.json"))
BUCKET = "conformance"
ROLE = "arn:aws:iam::123456789012:role/execution"


@pytest.fixture(params=["warm", "cold"])
def account(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalAccount]:
    """An executor: jobs fork from a warm worker, or each starts an interpreter of its own."""
    warm = WarmWorkers(enabled=request.param == "warm")
    if request.param == "warm":
        warm.prewarm()
    with LocalAccount.open(tmp_path / "state", warm=warm) as opened:
        opened.ensure_bucket(BUCKET)
        yield opened


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_case(case: Path, account: LocalAccount) -> None:
    sagemaker, s3 = account.client("sagemaker"), account.client("s3")
    for path in sorted((case / "objects").rglob("*")):
        if path.is_file():
            s3.put_object(Bucket=BUCKET, Key=str(path.relative_to(case / "objects")), Body=path.read_bytes())
    create_functions(case, account)
    sagemaker.create_model_package_group(ModelPackageGroupName="conformance")
    sagemaker.create_pipeline(
        PipelineName=case.name, PipelineDefinition=(case / "definition.json").read_text(), RoleArn=ROLE
    )
    for expected in json.loads((case / "expected.json").read_text()):
        assert run(account, case.name, expected["parameters"]) == {
            "status": expected["status"],
            "steps": expected["steps"],
            "reasons": expected["reasons"],
        }
        for key, content in expected["objects"].items():
            assert s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode() == content


def create_functions(case: Path, account: LocalAccount) -> None:
    """Create the case's functions and the queues that call them."""
    functions = account.client("lambda")
    for path in sorted((case / "functions").glob("*.py")):
        account.ensure_role(ROLE)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.write(path, "index.py")
        functions.create_function(
            FunctionName=path.stem,
            Runtime="python3.12",
            Role=ROLE,
            Handler="index.handler",
            Code={"ZipFile": packed.getvalue()},
            Timeout=60,
        )
    more = case / "case.json"
    for queue, function in (json.loads(more.read_text())["queues"] if more.exists() else {}).items():
        account.client("sqs").create_queue(QueueName=queue)
        arn = f"arn:aws:sqs:{account.region}:{account.account_id}:{queue}"
        functions.create_event_source_mapping(EventSourceArn=arn, FunctionName=function)


def run(account: LocalAccount, pipeline: str, parameters: dict[str, str]) -> dict[str, Any]:
    """Run to the end and report statuses and reasons as the service lists them."""
    sagemaker = account.client("sagemaker")
    arn = sagemaker.start_pipeline_execution(
        PipelineName=pipeline, PipelineParameters=[{"Name": name, "Value": v} for name, v in parameters.items()]
    )["PipelineExecutionArn"]
    while True:
        status = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)["PipelineExecutionStatus"]
        if status not in {"Executing", "Stopping"}:
            break
        time.sleep(0.01)
    steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn)["PipelineExecutionSteps"]
    return {
        "status": status,
        "steps": {step["StepName"]: step["StepStatus"] for step in steps},
        "reasons": {step["StepName"]: step["FailureReason"] for step in steps if step.get("FailureReason")},
    }
