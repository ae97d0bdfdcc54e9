"""Batch transform: a model's predictions for everything below an S3 prefix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Unpack

from sagemaker.core.shapes import BatchDataCaptureConfig
from sagemaker.core.transformer import Transformer
from sagemaker.mlops.workflow.model_step import ModelStep
from sagemaker.mlops.workflow.steps import TransformStep

from mlops_sm.builders.context import Context
from mlops_sm.builders.layout import execution_uri
from mlops_sm.builders.problems import count_problems, location, refuse
from mlops_sm.builders.settings import (
    NOTHING,
    Compute,
    JobOptions,
    Security,
    cache_config,
    job_option_problems,
    job_retries,
    request_tags,
    step_arguments,
)
from mlops_sm.builders.values import Text, Whole, is_variable
from mlops_sm.errors import Problem, did_you_mean

_DEFAULTS: Final = Compute()
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "data_type": ("S3Prefix", "ManifestFile"),
    "split_type": ("None", "Line", "RecordIO", "TFRecord"),
    "assemble_with": ("None", "Line"),
    "compression_type": ("None", "Gzip"),
    "strategy": ("MultiRecord", "SingleRecord"),
    "join_source": ("None", "Input"),
}


def batch_transform(
    ctx: Context,
    name: str,
    *,
    model: ModelStep | Text,
    data: Text,
    data_type: Text = "S3Prefix",
    content_type: Text = "text/csv",
    accept: Text | None = None,
    split_type: Text = "Line",
    assemble_with: Text = "Line",
    strategy: Text = "MultiRecord",
    compression_type: Text | None = None,
    input_filter: Text | None = None,
    join_source: Text | None = None,
    output_filter: Text | None = None,
    max_payload: Whole | None = None,
    max_concurrent_transforms: Whole | None = None,
    output_path: Text | None = None,
    data_capture: BatchDataCaptureConfig | None = None,
    **options: Unpack[JobOptions],
) -> TransformStep:
    """A step that runs a batch transform job; see `predictions` for where its results are.

    Args:
        ctx: The context of the pipeline.
        name: The step's name.
        model: The step that makes the model, see `create_model`, or a model's name.
        data: S3 URI of the input, or another step's output. Every object below it has an object ``<key>.out`` in the
            output.
        data_type: ``S3Prefix``, or ``ManifestFile`` when `data` is a list of objects.
        content_type: What the input is.
        accept: What the output is to be; default `content_type`.
        split_type: ``Line``, or ``None`` for one request per object.
        assemble_with: ``Line`` ends every answer with a line end.
        strategy: ``MultiRecord`` sends as many records at once as `max_payload` allows, ``SingleRecord`` one.
        compression_type: ``Gzip`` when the input is compressed.
        input_filter: JSONPath of what the model gets of a record, e.g. ``$[1:]`` without the first column.
        join_source: ``Input`` puts the answer beside the record it belongs to.
        output_filter: JSONPath of what is kept of that.
        max_payload: Megabytes of one request; the service's default is 6.
        max_concurrent_transforms: Requests at once to each instance; the service's default is 1.
        output_path: Where the results go. Default: a place of the execution in the artifact bucket; see `layout`.
        data_capture: For monitoring; the SDK's ``BatchDataCaptureConfig``.
        **options: See `JobOptions`. A transform job takes no volume size and no runtime limit, and its network is the
            model's.

    Raises:
        InputError: A wrong name, number, choice or combination (E33x).
    """
    compute = options.get("compute", _DEFAULTS)
    security = options.get("security", Security.of(ctx.environment))
    where = location(ctx, name)
    chosen = {
        "data_type": data_type,
        "split_type": split_type,
        "assemble_with": assemble_with,
        "compression_type": compression_type,
        "strategy": strategy,
        "join_source": join_source,
    }
    refuse(
        [
            *job_option_problems(where, name, options, compute, security),
            *count_problems(where, max_payload=max_payload, max_concurrent_transforms=max_concurrent_transforms),
            *_problems(where, chosen, compute),
        ]
    )
    transformer = Transformer(
        model_name=model.properties.ModelName if isinstance(model, ModelStep) else model,
        instance_count=compute.instance_count,
        instance_type=compute.instance_type,
        strategy=strategy,
        assemble_with=assemble_with,
        output_path=output_path or execution_uri(ctx, ctx.environment.artifact_bucket, name),
        output_kms_key=security.output_kms_key,
        accept=accept or content_type,
        max_concurrent_transforms=max_concurrent_transforms,
        max_payload=max_payload,
        tags=request_tags(ctx, options.get("tags", NOTHING)),
        env=dict(options.get("environment", NOTHING)) or None,
        base_transform_job_name=name,
        sagemaker_session=ctx.session,
        volume_kms_key=security.volume_kms_key,
    )
    step_args = transformer.transform(
        data=data,
        data_type=data_type,
        content_type=content_type,
        compression_type=compression_type,
        split_type=split_type,
        input_filter=input_filter,
        output_filter=output_filter,
        join_source=join_source,
        batch_data_capture_config=data_capture,
    )
    return TransformStep(
        name=name,
        step_args=step_args,
        cache_config=cache_config(options),
        **step_arguments(options, retries=job_retries()),
    )


def _problems(where: str, chosen: Mapping[str, Text | None], compute: Compute) -> Iterator[Problem]:
    for argument, value in chosen.items():
        if value is not None and not is_variable(value) and value not in _CHOICES[argument]:
            fix = did_you_mean(str(value), _CHOICES[argument]) or f"choose one of {', '.join(_CHOICES[argument])}"
            yield Problem("E339", where, f"there is no {argument} {value!r}", fix)
    for limit in ("volume_size_in_gb", "max_runtime_in_seconds"):
        if getattr(compute, limit) != getattr(_DEFAULTS, limit):
            yield Problem("E339", where, f"a transform job has no {limit}", f"leave {limit} out of its Compute")
