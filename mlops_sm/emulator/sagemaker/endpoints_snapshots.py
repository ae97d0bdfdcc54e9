"""Copies of configurations and models, taken when an endpoint deploys them."""

from __future__ import annotations

from mlops_sm.definition.document import Json
from mlops_sm.emulator.endpoints.snapshot import PRODUCTION, SHADOW, Snapshot
from mlops_sm.emulator.sagemaker.models import containers_of, named_model
from mlops_sm.emulator.service import Call
from mlops_sm.emulator.store import Entity


def snapshot_of(call: Call, config: Entity) -> Snapshot:
    """A copy of a configuration and its models.

    Raises:
        AwsError: ValidationException, a model is gone.
    """
    models: dict[str, Json] = {}
    for variant in (*config.body[PRODUCTION], *(config.body.get(SHADOW) or [])):
        name = variant.get("ModelName")
        if name is not None:
            models[variant["VariantName"]] = model_copy(call, name)
    return Snapshot({"Config": config.body, "Models": models})


def model_copy(call: Call, name: str) -> dict[str, Json]:
    """What hosting needs of a model.

    Raises:
        AwsError: ValidationException, there is none.
    """
    model = named_model(call, name)
    return {
        "Containers": containers_of(call, model),
        "EnableNetworkIsolation": bool(model.body.get("EnableNetworkIsolation")),
        "Direct": (model.body.get("InferenceExecutionConfig") or {}).get("Mode") == "Direct",
    }
