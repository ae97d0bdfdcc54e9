"""Deployment: a model behind an endpoint, on instances, serverless or asynchronous."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Unpack

from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join
from sagemaker.mlops.workflow.endpoint_step import EndpointConfigStep, EndpointStep
from sagemaker.mlops.workflow.model_step import ModelStep

from mlops_sm.builders.context import Context
from mlops_sm.builders.problems import count_problems, location, refuse
from mlops_sm.builders.settings import (
    NOTHING,
    Compute,
    Security,
    StepOptions,
    call_retries,
    request_tags,
    step_arguments,
    step_option_problems,
)
from mlops_sm.builders.values import Text, Whole, is_variable
from mlops_sm.errors import Problem

VARIANT: Final = "AllTraffic"
"""The only production variant, as the SDK calls it."""
_MEMORY: Final = (1024, 2048, 3072, 4096, 5120, 6144)
"""Megabytes of a serverless variant (API reference, ProductionVariantServerlessConfig)."""
_MAX_ENDPOINT: Final = 50
"""Characters of an endpoint's name: that of its configuration has 63, with the execution's id at its end."""
_DEFAULTS: Final = Compute()


@dataclass(frozen=True, slots=True, kw_only=True)
class Serverless:
    """An endpoint without instances.

    Attributes:
        memory_size_in_mb: One of 1024, 2048, ... 6144.
        max_concurrency: Requests at once; more are refused.
    """

    memory_size_in_mb: Whole = 2048
    max_concurrency: Whole = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Asynchronous:
    """An endpoint whose answers are objects in S3.

    Attributes:
        output_path: S3 URI below which answers are stored.
        failure_path: S3 URI below which errors are stored.
        success_topic: ARN of a topic that is told of answers.
        error_topic: ARN of a topic that is told of errors.
    """

    output_path: Text
    failure_path: Text | None = None
    success_topic: Text | None = None
    error_topic: Text | None = None

    def config(self) -> dict[str, Any]:
        """The AsyncInferenceConfig."""
        topics = {"SuccessTopic": self.success_topic, "ErrorTopic": self.error_topic}
        notification = {name: topic for name, topic in topics.items() if topic is not None}
        output = {
            "S3OutputPath": self.output_path,
            "S3FailurePath": self.failure_path,
            "NotificationConfig": notification or None,
        }
        return {"OutputConfig": {name: value for name, value in output.items() if value is not None}}


class Deployment(NamedTuple):
    """The two steps of a deployment; a pipeline takes both, ``steps=[model, *deployment]``."""

    config: EndpointConfigStep
    endpoint: EndpointStep


def deploy(
    ctx: Context,
    name: str,
    *,
    endpoint: str,
    model: ModelStep | Text,
    compute: Compute = _DEFAULTS,
    serverless: Serverless | None = None,
    asynchronous: Asynchronous | None = None,
    capture_percentage: Whole | None = None,
    capture_path: Text | None = None,
    tags: Mapping[str, str] = NOTHING,
    **options: Unpack[StepOptions],
) -> Deployment:
    """Steps that make an endpoint, or take the one of that name to this model; they end when it is in service.

    Each execution has an endpoint configuration of its own, whose name ends with the execution's id.

    Args:
        ctx: The context of the pipeline.
        name: The name of the step that deploys; the other one is called `name` with ``Config`` behind it.
        endpoint: The endpoint's name.
        model: The step that makes the model, see `create_model`, or a model's name.
        compute: Instance type and count; volume and runtime are not an endpoint's.
        serverless: Instead of instances.
        asynchronous: When requests wait in a queue and answers are stored in S3.
        capture_percentage: How many of 100 requests are captured with their answers; None captures nothing.
        capture_path: S3 URI below which. Default: ``captured`` in the artifact bucket.
        tags: Added to the environment's tags.
        **options: See `StepOptions`; retries are those of the configuration, an endpoint has none.

    Raises:
        InputError: A wrong name, number or combination (E33x, E443).
    """
    where = location(ctx, name)
    security = Security.of(ctx.environment)
    refuse(
        [
            *step_option_problems(where, name, options),
            *compute.problems(where),
            *count_problems(where, capture_percentage=capture_percentage),
            *_problems(
                where,
                endpoint,
                compute,
                serverless,
                is_asynchronous=asynchronous is not None,
                capture_percentage=capture_percentage,
            ),
        ]
    )
    variant: dict[str, Any] = {
        "VariantName": VARIANT,
        "ModelName": model.properties.ModelName if isinstance(model, ModelStep) else model,
        "InitialVariantWeight": 1,
    }
    if serverless is None:
        variant |= {"InitialInstanceCount": compute.instance_count, "InstanceType": compute.instance_type}
    else:
        variant["ServerlessConfig"] = {
            "MemorySizeInMB": serverless.memory_size_in_mb,
            "MaxConcurrency": serverless.max_concurrency,
        }
    configured = step_arguments(options, retries=call_retries())
    config = EndpointConfigStep(
        name=f"{name}Config",
        step_args=ctx.session.create_endpoint_config(
            name=Join(on="-", values=[endpoint, ExecutionVariables.PIPELINE_EXECUTION_ID]),
            production_variants=[variant],
            tags=request_tags(ctx, tags),
            kms_key=None if serverless is not None else security.volume_kms_key,
            data_capture_config_dict=_capture(ctx, capture_percentage, capture_path, security),
            async_inference_config_dict=None if asynchronous is None else asynchronous.config(),
        ),
        depends_on=configured["depends_on"],
        retry_policies=configured["retry_policies"],
    )
    deployed = EndpointStep(
        name=name,
        step_args=ctx.session.create_endpoint(
            endpoint_name=endpoint,
            config_name=config.properties.EndpointConfigName,
            tags=request_tags(ctx, tags),
        ),
        display_name=configured["display_name"],
        description=configured["description"],
    )
    return Deployment(config, deployed)


def _capture(ctx: Context, percentage: Whole | None, path: Text | None, security: Security) -> dict[str, Any] | None:
    if percentage is None:
        return None
    captured: dict[str, Any] = {
        "EnableCapture": True,
        "InitialSamplingPercentage": percentage,
        "DestinationS3Uri": path or f"s3://{ctx.environment.artifact_bucket}/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
    }
    if security.output_kms_key is not None:
        captured["KmsKeyId"] = security.output_kms_key
    return captured


def _problems(
    where: str,
    endpoint: object,
    compute: Compute,
    serverless: Serverless | None,
    *,
    is_asynchronous: bool,
    capture_percentage: Whole | None,
) -> Iterator[Problem]:
    if not isinstance(endpoint, str) or not 1 <= len(endpoint) <= _MAX_ENDPOINT:
        yield Problem("E443", where, f"{endpoint!r} is no endpoint's name", f"give 1 to {_MAX_ENDPOINT} characters")
    for limit in ("volume_size_in_gb", "max_runtime_in_seconds"):
        if getattr(compute, limit) != getattr(_DEFAULTS, limit):
            yield Problem("E443", where, f"an endpoint has no {limit}", f"leave {limit} out of its Compute")
    if isinstance(capture_percentage, int) and capture_percentage > 100:  # noqa: PLR2004 - a percentage
        yield Problem("E443", where, f"capture_percentage is {capture_percentage}", "give at most 100")
    if serverless is None:
        return
    yield from count_problems(where, max_concurrency=serverless.max_concurrency)
    memory = serverless.memory_size_in_mb
    if not is_variable(memory) and memory not in _MEMORY:
        sizes = ", ".join(map(str, _MEMORY))
        yield Problem("E443", where, f"memory_size_in_mb is {memory!r}", f"choose one of {sizes}")
    if compute != _DEFAULTS:
        yield Problem("E443", where, "a serverless endpoint has no instances", "leave compute or serverless out")
    if is_asynchronous or capture_percentage is not None:
        what = "asynchronous" if is_asynchronous else "capture_percentage"
        yield Problem("E443", where, f"AWS has no {what} for serverless endpoints", f"leave {what} or serverless out")
