"""What an endpoint configuration may say.

Source: API reference, CreateEndpointConfig, ProductionVariant and ProductionVariantServerlessConfig; for what
serverless endpoints do not have "Feature exclusions" of the developer guide's page on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.definition.wording import repeated
from mlops_sm.emulator.endpoints.snapshot import PRODUCTION, SEVERAL, SHADOW
from mlops_sm.emulator.errors import invalid
from mlops_sm.emulator.sagemaker.models import named_model
from mlops_sm.emulator.service import Call

_GIGABYTE: Final = 1024
_INSTANCES: Final = (
    "InitialInstanceCount",
    "InstanceType",
    "InstancePools",
    "AcceleratorType",
    "ManagedInstanceScaling",
)
"""Members of a variant that say what machines it has."""
_NOT_SERVERLESS: Final = ("DataCaptureConfig", "AsyncInferenceConfig", SHADOW, "VpcConfig")
"""Members of a configuration that one with a serverless variant cannot have."""


def endpoint_config(call: Call) -> dict[str, Json]:
    """Check a configuration, and give its variants the weight they have when they name none.

    ``InitialVariantWeight``: "If unspecified, it defaults to 1.0" (API reference, ProductionVariant).

    Raises:
        AwsError: ValidationException.
    """
    request = call.request
    production, shadow = request[PRODUCTION], request.get(SHADOW) or []
    variants = [*production, *shadow]
    twice = repeated(variant["VariantName"] for variant in variants)
    if twice:
        raise invalid(f"The variant name {twice[0]} is used twice: it must be unique.")
    for variant in variants:
        _check_model(call, variant)
        _check_machines(variant)
    if shadow and (len(production), len(shadow)) != (1, 1):
        raise invalid(
            "You can only specify one variant for ProductionVariants and one variant for ShadowProductionVariants."
        )
    if not sum(variant.get("InitialVariantWeight", 1.0) for variant in production):
        raise invalid("The sum of InitialVariantWeight of all production variants must be greater than 0.")
    _check_serverless(call, variants)
    _check_capture(request.get("DataCaptureConfig"))
    return {
        member: [{"InitialVariantWeight": 1.0, **variant} for variant in request[member]]
        for member in (PRODUCTION, SHADOW)
        if member in request
    }


def _check_model(call: Call, variant: Mapping[str, Json]) -> None:
    name = variant.get("ModelName")
    if name is not None:
        named_model(call, name)
    elif "ExecutionRoleArn" not in call.request:
        raise invalid(
            f"The variant {variant['VariantName']} has no ModelName, and the request no ExecutionRoleArn, without "
            "which inference components cannot be deployed to it."
        )


def _check_machines(variant: Mapping[str, Json]) -> None:
    name = variant["VariantName"]
    serverless = variant.get("ServerlessConfig")
    if serverless is None:
        if "InstancePools" not in variant and "InstanceType" not in variant:
            raise invalid(f"The variant {name} needs an InstanceType, or a ServerlessConfig.")
        if "ManagedInstanceScaling" not in variant and "InitialInstanceCount" not in variant:
            raise invalid(f"The variant {name} needs an InitialInstanceCount.")
        return
    given = [member for member in _INSTANCES if member in variant]
    if given:
        raise invalid(f"The variant {name} has a ServerlessConfig, with which it cannot have {', '.join(given)}.")
    if serverless["MemorySizeInMB"] % _GIGABYTE:
        raise invalid(
            f"MemorySizeInMB of the variant {name} must be one of 1024, 2048, 3072, 4096, 5120 and 6144, not "
            f"{serverless['MemorySizeInMB']}."
        )
    if serverless.get("ProvisionedConcurrency", 0) > serverless["MaxConcurrency"]:
        raise invalid(f"ProvisionedConcurrency of the variant {name} cannot be greater than its MaxConcurrency.")


def _check_serverless(call: Call, variants: Sequence[Mapping[str, Json]]) -> None:
    if not any("ServerlessConfig" in variant for variant in variants):
        return
    if len(variants) > 1:
        raise invalid("A serverless endpoint has exactly one production variant.")
    given = [member for member in _NOT_SERVERLESS if member in call.request]
    if given:
        raise invalid(f"Serverless endpoints do not support {', '.join(given)}.")
    name = variants[0].get("ModelName")
    model = None if name is None else named_model(call, name)
    primary = {} if model is None else model.body.get("PrimaryContainer") or {}
    if primary.get("Mode") == SEVERAL:
        raise invalid("Serverless endpoints do not support multi-model containers.")


def _check_capture(capture: Mapping[str, Json] | None) -> None:
    modes = [option["CaptureMode"] for option in (capture or {}).get("CaptureOptions") or []]
    twice = repeated(modes)
    if twice:
        raise invalid(f"CaptureOptions names the mode {twice[0]} twice.")
