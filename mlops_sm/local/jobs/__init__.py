"""One job from its Create request to its outcome."""

from mlops_sm.local.jobs.folder import log_path
from mlops_sm.local.jobs.outcome import JobOutcome, JobStatus, Metric
from mlops_sm.local.jobs.processing import run_processing
from mlops_sm.local.jobs.training import run_training

__all__ = ["JobOutcome", "JobStatus", "Metric", "log_path", "run_processing", "run_training"]
