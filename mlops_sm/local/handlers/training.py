"""Training steps."""

from __future__ import annotations

from typing import Final

from mlops_sm.local.handlers.job import JobKind, run_job
from mlops_sm.local.handlers.step import StepResult, StepRun

_KIND: Final = JobKind(
    create="CreateTrainingJob",
    describe="DescribeTrainingJob",
    name_member="TrainingJobName",
    arn_member="TrainingJobArn",
    status_member="TrainingJobStatus",
    metadata="TrainingJob",
)


def run_training_step(run: StepRun) -> StepResult:
    """Run the step's training job to its end."""
    return run_job(run, _KIND)
