"""One handler per step kind that starts something; the table of kinds is complete."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from mlops_sm.definition.kinds import StepKind
from mlops_sm.engine.states import ENGINE_KINDS
from mlops_sm.local.handlers.callback import run_callback
from mlops_sm.local.handlers.check import run_check
from mlops_sm.local.handlers.cleanup import run_cleanup
from mlops_sm.local.handlers.endpoint import run_endpoint
from mlops_sm.local.handlers.endpoint_config import run_endpoint_config
from mlops_sm.local.handlers.inference_component import run_inference_component
from mlops_sm.local.handlers.lambda_step import run_lambda
from mlops_sm.local.handlers.lineage import run_lineage
from mlops_sm.local.handlers.model import run_model
from mlops_sm.local.handlers.processing import run_processing_step
from mlops_sm.local.handlers.recall import recall
from mlops_sm.local.handlers.register_model import run_register_model
from mlops_sm.local.handlers.step import (
    Callback,
    CallbackAnswer,
    ControlPlane,
    FunctionAnswer,
    ServiceError,
    StepResult,
    StepRun,
    StopSignal,
)
from mlops_sm.local.handlers.training import run_training_step
from mlops_sm.local.handlers.transform import run_transform_step
from mlops_sm.local.handlers.tuning import run_tuning_step

__all__ = [
    "ENGINE_KINDS",
    "HANDLERS",
    "UNSUPPORTED",
    "Callback",
    "CallbackAnswer",
    "ControlPlane",
    "FunctionAnswer",
    "ServiceError",
    "StepResult",
    "StepRun",
    "StopSignal",
    "recall",
]

Handler = Callable[[StepRun], StepResult]

HANDLERS: Final[Mapping[StepKind, Handler]] = MappingProxyType(
    {
        StepKind.PROCESSING: run_processing_step,
        StepKind.TRAINING: run_training_step,
        StepKind.TRANSFORM: run_transform_step,
        StepKind.TUNING: run_tuning_step,
        StepKind.MODEL: run_model,
        StepKind.REGISTER_MODEL: run_register_model,
        StepKind.CALLBACK: run_callback,
        StepKind.LAMBDA: run_lambda,
        StepKind.ENDPOINT_CONFIG: run_endpoint_config,
        StepKind.ENDPOINT: run_endpoint,
        StepKind.INFERENCE_COMPONENT: run_inference_component,
        StepKind.LINEAGE: run_lineage,
        StepKind.CLEANUP: run_cleanup,
        StepKind.QUALITY_CHECK: run_check,
        StepKind.CLARIFY_CHECK: run_check,
    }
)
"""What runs a step of a kind."""

_OTHER_SERVICE: Final = "it calls another AWS service, which does not exist on this machine"

UNSUPPORTED: Final[Mapping[StepKind, str]] = MappingProxyType(
    {
        StepKind.EMR: _OTHER_SERVICE,
        StepKind.EMR_SERVERLESS: _OTHER_SERVICE,
        StepKind.ATHENA: _OTHER_SERVICE,
        StepKind.AUTO_ML: "Autopilot's search runs only on AWS",
        StepKind.HUB_CONTENT: "model hubs exist only on AWS",
        StepKind.JOB: "its job runs only on AWS",
        StepKind.BEDROCK_CUSTOM_MODEL: _OTHER_SERVICE,
        StepKind.BEDROCK_CUSTOM_MODEL_DEPLOYMENT: _OTHER_SERVICE,
        StepKind.BEDROCK_PROVISIONED_MODEL_THROUGHPUT: _OTHER_SERVICE,
        StepKind.BEDROCK_MODEL_IMPORT: _OTHER_SERVICE,
    }
)
"""Why a step of a kind is refused before an execution starts."""
