"""Training: a script in one of AWS's images, one of AWS's algorithms, or a container of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Unpack

from sagemaker.core import shapes
from sagemaker.core.training import configs
from sagemaker.mlops.workflow.steps import TrainingStep
from sagemaker.train import ModelTrainer

from mlops_sm.builders.context import Context
from mlops_sm.builders.layout import execution_uri
from mlops_sm.builders.problems import constant_problems, count_problems, location, part_name_problems, refuse
from mlops_sm.builders.settings import (
    NOTHING,
    Compute,
    JobOptions,
    Security,
    cache_config,
    job_option_problems,
    job_retries,
    merged_tags,
    step_arguments,
)
from mlops_sm.builders.values import Scalar, Text, Whole, as_text
from mlops_sm.errors import Problem, did_you_mean

CODE_CHANNEL: Final = "code"
"""The channel an isolated container gets its script through; the name AWS's own SDK uses for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One input of a training job: the folder ``/opt/ml/input/data/<channel>`` in the container.

    Attributes:
        s3_uri: Where it comes from.
        content_type: For algorithms that read several, e.g. ``text/csv``.
        input_mode: ``File``, ``FastFile`` or ``Pipe``.
        s3_data_distribution_type: ``FullyReplicated``, or ``ShardedByS3Key`` for a part of it on each instance.
        s3_data_type: ``S3Prefix``, ``ManifestFile``, or ``AugmentedManifestFile``, which takes Pipe mode.
        attribute_names: What of each line of an augmented manifest is streamed, in this order.
        compression_type: ``Gzip`` unpacks the objects on their way into a pipe.
        record_wrapper_type: ``RecordIO`` makes each object, or attribute, in a pipe a record.
        shuffle_seed: Shuffles the objects, or lines, in Pipe mode for every epoch anew.
    """

    s3_uri: Text
    content_type: Text | None = None
    input_mode: Text = "File"
    s3_data_distribution_type: Text = "FullyReplicated"
    s3_data_type: Text = "S3Prefix"
    attribute_names: Sequence[str] = ()
    compression_type: Text | None = None
    record_wrapper_type: Text | None = None
    shuffle_seed: Whole | None = None


def training(
    ctx: Context,
    name: str,
    *,
    image: Text,
    channels: Mapping[str, Text | Channel],
    code: str | Path | None = None,
    entry_point: str | None = None,
    container_entrypoint: Sequence[str] | None = None,
    container_arguments: Sequence[str] | None = None,
    hyperparameters: Mapping[str, Scalar] = NOTHING,
    metrics: Mapping[str, str] = NOTHING,
    max_wait_time_in_seconds: Whole | None = None,
    checkpoints: Text | None = None,
    **options: Unpack[JobOptions],
) -> TrainingStep:
    """A step that trains a model. `model_artifacts` is the model.tar.gz, in the environment's model bucket.

    Three ways, by what is given:
        `code` and `entry_point`: one of AWS's script-mode images runs the script, with the hyperparameters as its
            command line. The folder is one archive, named by its content, so an unchanged script is the same step.
        neither: a built-in algorithm, or an image with its own ``train``.
        `container_entrypoint`: what an image of one's own runs.

    Args:
        ctx: The context of the pipeline.
        name: The step's name.
        image: The container image; see `images`.
        channels: Inputs by name: S3 URIs, outputs of other steps, or `Channel` for more.
        code: The folder with the script and what it imports, relative to the pipeline module's folder.
        entry_point: The script inside the folder.
        container_entrypoint: Replaces the image's entrypoint.
        container_arguments: Of that entrypoint.
        hyperparameters: Numbers, text or parameters; the service takes text and gets it. AWS's images give a script
            ``--name value`` for each, and ``-n value`` when the name is one letter.
        metrics: For each name a regular expression with one group, searched in the log.
        max_wait_time_in_seconds: Train on spot instances and wait this long at most, interruptions included.
        checkpoints: The S3 URI at which ``/opt/ml/checkpoints`` is kept: what is there when a training starts, or
            starts again after an interruption, is there for the script.
        **options: See `JobOptions`.

    Raises:
        InputError: A wrong name, number or combination (E33x), or a folder or script that does not exist (E307).
    """
    where = location(ctx, name)
    refuse(
        [
            *training_problems(
                ctx,
                name,
                code=code,
                entry_point=entry_point,
                channels=channels,
                hyperparameters=hyperparameters,
                max_wait_time_in_seconds=max_wait_time_in_seconds,
                options=options,
            ),
            *_container_problems(where, code, container_entrypoint, container_arguments),
        ]
    )
    trainer, inputs = trainer_of(
        ctx,
        name,
        image=image,
        channels=channels,
        code=code,
        entry_point=entry_point,
        hyperparameters=hyperparameters,
        max_wait_time_in_seconds=max_wait_time_in_seconds,
        checkpoints=checkpoints,
        options=options,
    )
    if metrics:
        trainer.with_metric_definitions([shapes.MetricDefinition(name=k, regex=v) for k, v in metrics.items()])
    arguments = {
        "name": name,
        "step_args": trainer.train(input_data_config=inputs),
        "cache_config": cache_config(options),
        **step_arguments(options, retries=job_retries()),
    }
    if container_entrypoint:
        return ContainerTrainingStep(container_entrypoint, container_arguments or (), **arguments)
    return TrainingStep(**arguments)


def training_problems(
    ctx: Context,
    name: str,
    *,
    code: str | Path | None,
    entry_point: str | None,
    channels: Mapping[str, Text | Channel],
    hyperparameters: Mapping[str, Scalar],
    max_wait_time_in_seconds: Whole | None,
    options: Mapping[str, Any],
) -> Iterator[Problem]:
    """What is wrong with a job that trains, whoever starts it."""
    where = location(ctx, name)
    compute, security = _surroundings(ctx, options)
    yield from job_option_problems(where, name, options, compute, security)
    yield from count_problems(where, max_wait_time_in_seconds=max_wait_time_in_seconds)
    yield from _script_problems(ctx, where, code, entry_point, channels)
    yield from _data_problems(where, channels, hyperparameters)


def trainer_of(
    ctx: Context,
    name: str,
    *,
    image: Text,
    channels: Mapping[str, Text | Channel],
    code: str | Path | None,
    entry_point: str | None,
    hyperparameters: Mapping[str, Scalar],
    max_wait_time_in_seconds: Whole | None,
    checkpoints: Text | None,
    options: Mapping[str, Any],
) -> tuple[ModelTrainer, list[shapes.Channel]]:
    """The SDK's trainer of a job that has no problems, and the channels it is given."""
    compute, security = _surroundings(ctx, options)
    script, channels = _script(ctx, code, entry_point, channels, isolated=security.enable_network_isolation)
    trainer = ModelTrainer(
        training_image=image,
        role=ctx.role,
        hyperparameters={**{k: as_text(v) for k, v in hyperparameters.items()}, **script},
        compute=configs.Compute(
            instance_type=compute.instance_type,
            instance_count=compute.instance_count,
            volume_size_in_gb=compute.volume_size_in_gb,
            volume_kms_key_id=security.volume_kms_key,
            enable_managed_spot_training=True if max_wait_time_in_seconds is not None else None,
        ),
        stopping_condition=configs.StoppingCondition(
            max_runtime_in_seconds=compute.max_runtime_in_seconds,
            max_wait_time_in_seconds=max_wait_time_in_seconds,
        ),
        output_data_config=configs.OutputDataConfig(
            s3_output_path=execution_uri(ctx, ctx.environment.model_bucket, name),
            kms_key_id=security.output_kms_key,
        ),
        checkpoint_config=None if checkpoints is None else configs.CheckpointConfig(s3_uri=checkpoints),
        networking=_networking(security),
        environment=dict(options.get("environment", NOTHING)),
        tags=[shapes.Tag(key=k, value=v) for k, v in merged_tags(ctx, options.get("tags", NOTHING)).items()],
        base_job_name=name,
        sagemaker_session=ctx.session,
    )
    return trainer, [_channel(n, c) for n, c in channels.items()]


def _surroundings(ctx: Context, options: Mapping[str, Any]) -> tuple[Compute, Security]:
    return options.get("compute", Compute()), options.get("security", Security.of(ctx.environment))


class ContainerTrainingStep(TrainingStep):  # type: ignore[misc] # the SDK has no types
    """A training step whose container runs something else than its image's entrypoint: ModelTrainer cannot say so."""

    def __init__(self, entrypoint: Sequence[str], container_arguments: Sequence[str], **arguments: Any) -> None:  # noqa: ANN401 - the SDK's own
        super().__init__(**arguments)
        self._container = {"ContainerEntrypoint": list(entrypoint)}
        if container_arguments:
            self._container["ContainerArguments"] = list(container_arguments)

    @property
    def arguments(self) -> dict[str, Any]:
        """The CreateTrainingJob request."""
        request: dict[str, Any] = super().arguments
        return {**request, "AlgorithmSpecification": {**request["AlgorithmSpecification"], **self._container}}


def _script(
    ctx: Context,
    code: str | Path | None,
    entry_point: str | None,
    channels: Mapping[str, Text | Channel],
    *,
    isolated: bool,
) -> tuple[Mapping[str, str], Mapping[str, Text | Channel]]:
    """The hyperparameters by which AWS's script-mode images find a script, and the channels with what they need."""
    if code is None or entry_point is None:
        return {}, channels
    archive = ctx.archive(code)
    if not isolated:
        return {"sagemaker_program": entry_point, "sagemaker_submit_directory": archive}, channels
    # An isolated container cannot fetch its script: it comes through a channel, like the data.
    local = f"/opt/ml/input/data/{CODE_CHANNEL}/sourcedir.tar.gz"
    return (
        {"sagemaker_program": entry_point, "sagemaker_submit_directory": local},
        {**channels, CODE_CHANNEL: archive},
    )


def _script_problems(
    ctx: Context, where: str, code: str | Path | None, entry_point: str | None, channels: Mapping[str, Text | Channel]
) -> Iterator[Problem]:
    yield from constant_problems(where, code=code, entry_point=entry_point)
    if (code is None) != (entry_point is None):
        given, absent = ("code", "entry_point") if entry_point is None else ("entry_point", "code")
        yield Problem("E339", where, f"{given} without {absent}", "give the folder as code, the script as entry_point")
    if isinstance(code, str | Path) and isinstance(entry_point, str):
        folder = ctx.root / code
        if folder.is_dir() and not (folder / entry_point).is_file():
            scripts = [p.relative_to(folder).as_posix() for p in folder.rglob("*.py")]
            hint = did_you_mean(entry_point, scripts)
            yield Problem("E307", where, f'there is no "{entry_point}" in "{code}"', f"correct entry_point. {hint}")
        if CODE_CHANNEL in channels:
            yield Problem("E332", where, 'the channel "code" is the script itself', "give your channel another name")


def _container_problems(
    where: str,
    code: str | Path | None,
    container_entrypoint: Sequence[str] | None,
    container_arguments: Sequence[str] | None,
) -> Iterator[Problem]:
    if code is not None and (container_entrypoint or container_arguments):
        yield Problem(
            "E339",
            where,
            "both a script and an entrypoint of the container",
            "leave one out: AWS's image finds the script, and its arguments are the hyperparameters",
        )
    elif container_arguments and not container_entrypoint:
        yield Problem(
            "E339", where, "container_arguments without container_entrypoint", "give both, or hyperparameters"
        )


def _data_problems(
    where: str, channels: Mapping[str, Text | Channel], hyperparameters: Mapping[str, Scalar]
) -> Iterator[Problem]:
    if not channels:
        yield Problem("E333", where, "it has no channels, so there is nothing to learn from", "give channels={...}")
    yield from part_name_problems(where, "channel", channels)
    for name, channel in channels.items():
        if isinstance(channel, Channel) and channel.s3_data_type == "AugmentedManifestFile":
            if channel.input_mode != "Pipe":
                what = f'channel "{name}" reads an augmented manifest, which only Pipe mode does'
                yield Problem("E339", where, what, 'set input_mode="Pipe"')
            if not channel.attribute_names:
                what = f'channel "{name}" reads an augmented manifest and names none of its attributes'
                yield Problem(
                    "E339", where, what, "give attribute_names, in the order in which they are to be streamed"
                )
    for name in hyperparameters:
        if name.startswith("sagemaker_"):
            yield Problem("E339", where, f'the hyperparameter "{name}" is AWS\'s own', "use code and entry_point")


def _channel(name: str, channel: Text | Channel) -> shapes.Channel:
    if not isinstance(channel, Channel):
        channel = Channel(s3_uri=channel)
    attributes: dict[str, Any] = {"attribute_names": list(channel.attribute_names)} if channel.attribute_names else {}
    more: dict[str, Any] = {
        "content_type": channel.content_type,
        "compression_type": channel.compression_type,
        "record_wrapper_type": channel.record_wrapper_type,
        "shuffle_config": None if channel.shuffle_seed is None else shapes.ShuffleConfig(seed=channel.shuffle_seed),
    }
    return shapes.Channel(
        channel_name=name,
        data_source=shapes.DataSource(
            s3_data_source=shapes.S3DataSource(
                s3_data_type=channel.s3_data_type,
                s3_uri=channel.s3_uri,
                s3_data_distribution_type=channel.s3_data_distribution_type,
                **attributes,
            )
        ),
        input_mode=channel.input_mode,
        **{name: value for name, value in more.items() if value is not None},
    )


def _networking(security: Security) -> configs.Networking | None:
    if not (security.subnets or security.enable_network_isolation or security.encrypt_inter_container_traffic):
        return None
    return configs.Networking(
        subnets=list(security.subnets) or None,
        security_group_ids=list(security.security_group_ids) or None,
        enable_network_isolation=security.enable_network_isolation,
        enable_inter_container_traffic_encryption=security.encrypt_inter_container_traffic or None,
    )
