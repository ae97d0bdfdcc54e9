"""RegisterModel steps: CreateModelPackage, in a group that is made when it does not exist."""

from __future__ import annotations

from mlops_sm.engine.status import Failed, Succeeded
from mlops_sm.local.handlers.job import client_error, merged_tags
from mlops_sm.local.handlers.request import as_request
from mlops_sm.local.handlers.step import ServiceError, StepResult, StepRun


def run_register_model(run: StepRun) -> StepResult:
    """Register the model package; its properties are those of DescribeModelPackage."""
    request = as_request("CreateModelPackage", {**run.arguments, **merged_tags(run)})
    group = request.get("ModelPackageGroupName")
    if group is not None:
        # A version of a group takes no tags of its own; the service puts the pipeline's on the group.
        request.pop("Tags", None)
    try:
        if group is not None:
            _ensure_group(run, group)
        created = run.control.call("CreateModelPackage", request)
        described = run.control.call("DescribeModelPackage", {"ModelPackageName": created["ModelPackageArn"]})
    except ServiceError as error:
        return StepResult(outcome=Failed(client_error(error)))
    return StepResult(outcome=Succeeded(described), metadata={"RegisterModel": {"Arn": created["ModelPackageArn"]}})


def _ensure_group(run: StepRun, group: str) -> None:
    """Make the group unless it is there; an ARN names one that must be."""
    if group.startswith("arn:"):
        return
    describe = {"ModelPackageGroupName": group}
    try:
        run.control.call("DescribeModelPackageGroup", describe)
    except ServiceError:
        try:
            run.control.call("CreateModelPackageGroup", {**describe, **merged_tags(run)})
        except ServiceError:
            # Another step may have made it in between; otherwise this says what is wrong.
            run.control.call("DescribeModelPackageGroup", describe)
