"""Processing steps."""

from __future__ import annotations

from typing import Final

from mlops_sm.local.handlers.job import JobKind, run_job
from mlops_sm.local.handlers.step import StepResult, StepRun

_KIND: Final = JobKind(
    create="CreateProcessingJob",
    describe="DescribeProcessingJob",
    name_member="ProcessingJobName",
    arn_member="ProcessingJobArn",
    status_member="ProcessingJobStatus",
    metadata="ProcessingJob",
)


def run_processing_step(run: StepRun) -> StepResult:
    """Run the step's processing job to its end."""
    return run_job(run, _KIND)
