"""One job from its Create request to its outcome."""

from mlops_sm.local.jobs.folder import log_path, log_paths
from mlops_sm.local.jobs.outcome import JobOutcome, JobStatus, Metric
from mlops_sm.local.jobs.processing import run_processing
from mlops_sm.local.jobs.training import run_training

__all__ = ["JobOutcome", "JobStatus", "Metric", "log_path", "log_paths", "run_processing", "run_training"]
