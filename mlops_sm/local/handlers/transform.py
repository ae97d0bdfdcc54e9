"""Transform steps."""

from __future__ import annotations

from typing import Final

from mlops_sm.local.handlers.job import JobKind, run_job
from mlops_sm.local.handlers.step import StepResult, StepRun

_KIND: Final = JobKind(
    create="CreateTransformJob",
    describe="DescribeTransformJob",
    name_member="TransformJobName",
    arn_member="TransformJobArn",
    status_member="TransformJobStatus",
    metadata="TransformJob",
)


def run_transform_step(run: StepRun) -> StepResult:
    """Run the step's transform job to its end."""
    return run_job(run, _KIND)
