"""Serve one model: unpack it, load its inference script in processes of its own, answer invocations."""

from mlops_sm.local.serving.connection import Response
from mlops_sm.local.serving.model import ModelSource, ServedModel
from mlops_sm.local.serving.server import (
    NoResponseError,
    NotHealthyError,
    Running,
    Server,
    TooSlowError,
)

__all__ = [
    "ModelSource",
    "NoResponseError",
    "NotHealthyError",
    "Response",
    "Running",
    "ServedModel",
    "Server",
    "TooSlowError",
]
