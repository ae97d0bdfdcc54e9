"""Processing: a script, or a container of one's own, that turns inputs in S3 into outputs in S3."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Unpack

from sagemaker.core.network import NetworkConfig
from sagemaker.core.processing import Processor, ScriptProcessor
from sagemaker.core.shapes import ProcessingInput, ProcessingOutput, ProcessingS3Input, ProcessingS3Output
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.steps import ProcessingStep

from mlops_sm.builders.context import Context
from mlops_sm.builders.layout import execution_uri
from mlops_sm.builders.problems import constant_problems, location, part_name_problems, refuse
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
from mlops_sm.builders.values import Scalar, Text, as_text
from mlops_sm.errors import Problem

BASE: Final = "/opt/ml/processing"
"""Everything a processing container shares with S3 is below this folder."""

_CODE: Final = "code"


def processing(
    ctx: Context,
    name: str,
    *,
    image: Text,
    outputs: Sequence[str] | Mapping[str, Text | ProcessingS3Output],
    code: str | Path | None = None,
    container_entrypoint: Sequence[Text] | None = None,
    arguments: Sequence[Scalar] = (),
    inputs: Mapping[str, Text | ProcessingS3Input] = NOTHING,
    property_files: Sequence[PropertyFile] = (),
    output_bucket: str | None = None,
    **options: Unpack[JobOptions],
) -> ProcessingStep:
    """A step that runs a processing job.

    Args:
        ctx: The context of the pipeline.
        name: The step's name.
        image: The container image; see `images`.
        outputs: What the job leaves behind: names, or names with an S3 URI of one's own. In the container an output is
            the folder ``/opt/ml/processing/output/<name>``; `layout` says where it goes in S3. Another folder or
            upload mode: give the SDK's ``ProcessingS3Output``.
        code: The script, relative to the pipeline module's folder; it is an asset. An S3 URI is taken as it is.
        container_entrypoint: With `code` the interpreter, default ``python3``; without it what the container runs,
            default the image's own.
        arguments: Of the script; numbers and parameters become text.
        inputs: S3 URIs or outputs of other steps. In the container an input is the folder
            ``/opt/ml/processing/input/<name>``. Another folder, sharding or a manifest: give ``ProcessingS3Input``.
        property_files: JSON files among the outputs that later steps read values from.
        output_bucket: Default is the environment's artifact bucket.
        **options: See `JobOptions`.

    Raises:
        InputError: A wrong name, number or combination (E33x), or a script that does not exist (E307).
    """
    compute = options.get("compute", Compute())
    security = options.get("security", Security.of(ctx.environment))
    where = location(ctx, name)
    refuse(
        [
            *job_option_problems(where, name, options, compute, security),
            *constant_problems(where, code=code),
            *_problems(where, inputs, outputs, has_code=code is not None),
        ]
    )
    shared = {
        "image_uri": image,
        "role": ctx.role,
        "instance_type": compute.instance_type,
        "instance_count": compute.instance_count,
        "volume_size_in_gb": compute.volume_size_in_gb,
        "max_runtime_in_seconds": compute.max_runtime_in_seconds,
        "volume_kms_key": security.volume_kms_key,
        "output_kms_key": security.output_kms_key,
        "network_config": _network(security),
        "env": dict(options.get("environment", NOTHING)) or None,
        "tags": request_tags(ctx, options.get("tags", NOTHING)),
        "base_job_name": name,
        "sagemaker_session": ctx.session,
    }
    run = {
        "inputs": [_input(n, value) for n, value in inputs.items()],
        "outputs": _outputs(ctx, name, outputs, output_bucket or ctx.environment.artifact_bucket),
        "arguments": [as_text(a) for a in arguments] or None,
    }
    if code is None:
        step_args = Processor(entrypoint=list(container_entrypoint) if container_entrypoint else None, **shared).run(
            **run
        )
    else:
        script = code if isinstance(code, str) and code.startswith("s3://") else ctx.asset(code)
        step_args = ScriptProcessor(command=list(container_entrypoint or ("python3",)), **shared).run(
            code=script, **run
        )
    return ProcessingStep(
        name=name,
        step_args=step_args,
        property_files=list(property_files) or None,
        cache_config=cache_config(options),
        **step_arguments(options, retries=job_retries()),
    )


def _problems(
    where: str,
    inputs: Mapping[str, Text | ProcessingS3Input],
    outputs: Sequence[str] | Mapping[str, Text | ProcessingS3Output],
    *,
    has_code: bool,
) -> Iterator[Problem]:
    if isinstance(outputs, str):
        yield Problem("E333", where, f"outputs is the text {outputs!r}", f"give a list of names: outputs=[{outputs!r}]")
    elif not outputs:
        yield Problem(
            "E333",
            where,
            "it has no outputs, so whatever the job makes is lost",
            'name what it leaves behind: outputs=["train"] keeps /opt/ml/processing/output/train',
        )
    else:
        yield from part_name_problems(where, "output", outputs)
    yield from part_name_problems(where, "input", inputs)
    if has_code and _CODE in inputs:
        yield Problem("E332", where, 'the input "code" is the script itself', "give your input another name")


def _input(name: str, value: Text | ProcessingS3Input) -> ProcessingInput:
    if not isinstance(value, ProcessingS3Input):
        value = ProcessingS3Input(
            s3_uri=value,
            local_path=f"{BASE}/input/{name}",
            s3_data_type="S3Prefix",
            s3_input_mode="File",
            s3_data_distribution_type="FullyReplicated",
        )
    return ProcessingInput(input_name=name, s3_input=value)


def _outputs(
    ctx: Context, step: str, outputs: Sequence[str] | Mapping[str, Text | ProcessingS3Output], bucket: str
) -> list[ProcessingOutput]:
    """Always with a URI: without one the SDK writes its own into the object it was given."""
    targets: Mapping[str, Any] = outputs if isinstance(outputs, Mapping) else dict.fromkeys(outputs)

    def full(name: str, target: Text | ProcessingS3Output | None) -> ProcessingS3Output:
        if isinstance(target, ProcessingS3Output):
            return target
        return ProcessingS3Output(
            s3_uri=execution_uri(ctx, bucket, step, name) if target is None else target,
            local_path=f"{BASE}/output/{name}",
            s3_upload_mode="EndOfJob",
        )

    return [ProcessingOutput(output_name=n, s3_output=full(n, target)) for n, target in targets.items()]


def _network(security: Security) -> NetworkConfig | None:
    if security == Security(volume_kms_key=security.volume_kms_key, output_kms_key=security.output_kms_key):
        return None
    return NetworkConfig(
        enable_network_isolation=security.enable_network_isolation,
        encrypt_inter_container_traffic=security.encrypt_inter_container_traffic or None,
        subnets=list(security.subnets) or None,
        security_group_ids=list(security.security_group_ids) or None,
    )
