"""Builders: functions that return SDK v3 steps with the defaults a production pipeline wants.

The only room that imports `sagemaker`, beside the compile worker. A plain SDK step may stand beside any of ours.
"""

from mlops_sm.builders.batch import batch_transform
from mlops_sm.builders.context import Context
from mlops_sm.builders.deployment import Asynchronous, Deployment, Serverless, deploy
from mlops_sm.builders.evaluation import evaluation
from mlops_sm.builders.fail import fail
from mlops_sm.builders.for_each import collected, for_each
from mlops_sm.builders.gate import at_least, at_most, equals, gate
from mlops_sm.builders.images import algorithm_image, framework_image, own_image
from mlops_sm.builders.processing import processing
from mlops_sm.builders.recipes import model_per_segment, policy_gate, quality_gate
from mlops_sm.builders.references import metric, model_artifacts, output, predictions, report_uri
from mlops_sm.builders.registry import create_model, package_group, register_model
from mlops_sm.builders.settings import Compute, Security, call_retries, job_retries
from mlops_sm.builders.training import Channel, training
from mlops_sm.builders.tuning import best_model, top_model, tuning

__all__ = [
    "Asynchronous",
    "Channel",
    "Compute",
    "Context",
    "Deployment",
    "Security",
    "Serverless",
    "algorithm_image",
    "at_least",
    "at_most",
    "batch_transform",
    "best_model",
    "call_retries",
    "collected",
    "create_model",
    "deploy",
    "equals",
    "evaluation",
    "fail",
    "for_each",
    "framework_image",
    "gate",
    "job_retries",
    "metric",
    "model_artifacts",
    "model_per_segment",
    "output",
    "own_image",
    "package_group",
    "policy_gate",
    "predictions",
    "processing",
    "quality_gate",
    "register_model",
    "report_uri",
    "top_model",
    "training",
    "tuning",
]
