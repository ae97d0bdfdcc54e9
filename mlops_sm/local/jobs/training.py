"""One training job under the container contract."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.local.environment import job_environment
from mlops_sm.local.images import Image
from mlops_sm.local.isolation.layer import ML, SCRATCH
from mlops_sm.local.jobs import archive
from mlops_sm.local.jobs.attend import MAX_RUNTIME, Cause, Command, Ending, run_command
from mlops_sm.local.jobs.continuous import ContinuousUpload
from mlops_sm.local.jobs.folder import HOST, JobFailureError, JobFolder, last_line
from mlops_sm.local.jobs.metrics import MetricScanner
from mlops_sm.local.jobs.outcome import JobOutcome, JobStatus, Metric
from mlops_sm.local.jobs.running import JobRun, failure_of
from mlops_sm.local.jobs.script_mode import CODE, ScriptMode
from mlops_sm.local.jobs.transfer import as_job_failure, download, restore, upload, upload_file
from mlops_sm.local.site import Site

_GROUP: Final = "homogeneousCluster"
_FAILURE: Final = "output/failure"
_MAX_FAILURE: Final = 1024
"""Characters of /opt/ml/output/failure that become FailureReason."""


def run_training(
    request: Mapping[str, Json],
    *,
    name: str,
    arn: str,
    site: Site,
    stop: threading.Event,
    on_status: Callable[[str, str], None],
    on_metric: Callable[[Metric], None] = lambda _: None,
) -> JobOutcome:
    """Run a training job to its end.

    Args:
        request: A CreateTrainingJob request without expressions.
        name: The job's name; its log is at `log_path(site.jobs, name)`.
        arn: The job's ARN.
        site: Where it runs.
        stop: Set it to stop the job.
        on_status: Called with every secondary status and its message.
        on_metric: Called with every metric while the log is written.
    """
    run = JobRun(name=name, site=site, stop=stop, on_status=on_status)
    return run.guarded(lambda folder: _run(request, arn, run, folder, on_metric))


def _run(
    request: Mapping[str, Json], arn: str, run: JobRun, folder: JobFolder, on_metric: Callable[[Metric], None]
) -> JobOutcome:
    site = run.site
    run.on_status("Starting", "Starting the training job")
    algorithm = request["AlgorithmSpecification"]
    scanner = MetricScanner(algorithm.get("MetricDefinitions") or [], site.clock, on_metric)
    for name in ("input/config", "input/data", "model", "output/data"):
        (folder.ml / name).mkdir(parents=True)
    run.on_status("Downloading", "Downloading input data")
    _download(request, run, folder)
    image, script = _image(algorithm, site), None
    # What a program of the image's own, or of the request's, makes of a script is its affair.
    if not algorithm.get("ContainerEntrypoint") and image.program("train") is None:
        script = ScriptMode.of(request.get("HyperParameters") or {}, request.get("Environment") or {})
    if script is not None:
        script.stage(folder, site.store)
    command = _command(request, arn, run, script, image)
    run.check_stop()
    run.on_status("Training", "Training image download completed. Training in progress.")
    with ContinuousUpload(site.store, _checkpoint_folders(request, folder)) as checkpoints:
        ending = run_command(command, folder, site, stop=run.stop, scanner=scanner)
    if ending.cause in {Cause.STOPPED, Cause.TIMED_OUT}:
        run.on_status("Stopping", "Stopping the training job")
    status, reason = _verdict(ending, folder, script)
    model = None
    try:
        checkpoints.finish()
        if status is not JobStatus.FAILED:
            run.on_status("Uploading", "Uploading generated training model")
            model = _upload(request["OutputDataConfig"], run, folder)
    except JobFailureError as error:
        status, reason = JobStatus.FAILED, reason or error.reason
    return run.outcome(status, ending, reason, model_artifacts=model, metrics=tuple(scanner.found))


def _download(request: Mapping[str, Json], run: JobRun, folder: JobFolder) -> None:
    for channel in request.get("InputDataConfig") or []:
        run.check_stop()
        name = channel["ChannelName"]
        source = _s3_source(channel)
        download(
            run.site.store,
            source["S3Uri"],
            folder.inside(f"{ML}/input/data/{name}", under=f"{ML}/input/data"),
            data_type=source.get("S3DataType", "S3Prefix"),
            region=run.site.region,
            role=request.get("RoleArn", ""),
        )
    folder.write_json("input/config/inputdataconfig.json", _input_data_config(request))
    folder.write_json("input/config/hyperparameters.json", request.get("HyperParameters") or {})
    folder.write_json("input/config/resourceconfig.json", _resource_config(request))
    checkpoints = request.get("CheckpointConfig")
    if checkpoints is not None:
        restore(run.site.store, checkpoints["S3Uri"], _checkpoints(checkpoints, folder))


def _s3_source(channel: Mapping[str, Json]) -> Mapping[str, Json]:
    source: Mapping[str, Json] | None = (channel.get("DataSource") or {}).get("S3DataSource")
    if source is None:
        raise JobFailureError(
            f"ClientError: channel {channel['ChannelName']} has no S3DataSource; only that works here"
        )
    return source


def _input_data_config(request: Mapping[str, Json]) -> dict[str, dict[str, Json]]:
    mode = request["AlgorithmSpecification"].get("TrainingInputMode", "File")
    config = {}
    for channel in request.get("InputDataConfig") or []:
        entry = {
            "TrainingInputMode": channel.get("InputMode", mode),
            "S3DistributionType": _s3_source(channel).get("S3DataDistributionType", "FullyReplicated"),
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
        }
        if "ContentType" in channel:
            entry["ContentType"] = channel["ContentType"]
        config[channel["ChannelName"]] = entry
    return config


def _resource_config(request: Mapping[str, Json]) -> dict[str, Json]:
    instance_type = (request.get("ResourceConfig") or {}).get("InstanceType", "local")
    return {
        "current_host": HOST,
        "current_instance_type": instance_type,
        "current_group_name": _GROUP,
        "hosts": [HOST],
        "instance_groups": [{"instance_group_name": _GROUP, "instance_type": instance_type, "hosts": [HOST]}],
        "network_interface_name": "eth0",
    }


def _command(request: Mapping[str, Json], arn: str, run: JobRun, script: ScriptMode | None, image: Image) -> Command:
    site = run.site
    algorithm = request["AlgorithmSpecification"]
    requested: dict[str, str] = dict(request.get("Environment") or {})
    variables = {"TRAINING_JOB_NAME": run.name, "TRAINING_JOB_ARN": arn}
    if script is not None:
        argv, cwd = script.argv(), CODE
        variables |= script.environment(run.name, _input_data_config(request), _resource_config(request))
        if "PYTHONPATH" in requested:
            requested["PYTHONPATH"] = f"{CODE}:{requested['PYTHONPATH']}"
    elif algorithm.get("ContainerEntrypoint"):
        argv, cwd = (*algorithm["ContainerEntrypoint"], *(algorithm.get("ContainerArguments") or [])), SCRATCH
    elif (program := image.program("train")) is not None:
        argv, cwd = (str(program),), SCRATCH
    else:
        raise JobFailureError(
            "ClientError: the request has neither ContainerEntrypoint nor the hyperparameter sagemaker_program, and "
            "the image's own training program is not run here"
        )
    network = not request.get("EnableNetworkIsolation", False)
    environment = job_environment(
        requested,
        region=site.region,
        endpoint_url=site.endpoint_url(network=network),
        account_id=site.account_id,
        parallel_jobs=site.warm.parallel_jobs,
    )
    return Command(
        argv=argv,
        environment=variables | environment,
        cwd=cwd,
        network=network,
        warm=image.warm,
        max_runtime_in_seconds=(request.get("StoppingCondition") or {}).get("MaxRuntimeInSeconds") or MAX_RUNTIME,
    )


def _image(algorithm: Mapping[str, Json], site: Site) -> Image:
    uri = algorithm.get("TrainingImage")
    if uri is None:
        raise JobFailureError("ClientError: AlgorithmSpecification has no TrainingImage; only that can run here")
    image = site.images.find(uri)
    if image is None:
        raise JobFailureError(f"ClientError: {site.images.refusal(uri, 'AlgorithmSpecification').what}")
    return image


def _verdict(ending: Ending, folder: JobFolder, script: ScriptMode | None) -> tuple[JobStatus, str | None]:
    match ending.cause:
        case Cause.STOPPED | Cause.TIMED_OUT:
            return JobStatus.STOPPED, None
        case Cause.EXITED if ending.code == 0:
            return JobStatus.COMPLETED, None
        case _:
            message = folder.read_text(_FAILURE, _MAX_FAILURE)
            if message is None and script is not None:
                message = script.failure(ending.code, last_line(folder.log))
            return JobStatus.FAILED, failure_of(ending, message or "", folder)


def _checkpoints(config: Mapping[str, Json], folder: JobFolder) -> Path:
    return folder.inside(config.get("LocalPath") or f"{ML}/checkpoints")


def _checkpoint_folders(request: Mapping[str, Json], folder: JobFolder) -> list[tuple[Path, str]]:
    config = request.get("CheckpointConfig")
    return [] if config is None else [(_checkpoints(config, folder), config["S3Uri"])]


def _upload(config: Mapping[str, Json], run: JobRun, folder: JobFolder) -> str:
    """Store the model and the output data; the model's S3 URI."""
    base = f"{config['S3OutputPath'].rstrip('/')}/{run.name}/output"
    model, data = folder.ml / "model", folder.ml / "output/data"
    model.mkdir(exist_ok=True)
    has_data = data.is_dir() and any(data.iterdir())
    store = run.site.store
    if config.get("CompressionType", "GZIP") == "NONE":
        upload(store, model, f"{base}/model")
        if has_data:
            upload(store, data, f"{base}/data")
        return f"{base}/model/"
    _upload_packed(model, f"{base}/model.tar.gz", run, folder)
    if has_data:
        _upload_packed(data, f"{base}/output.tar.gz", run, folder)
    return f"{base}/model.tar.gz"


def _upload_packed(source: Path, uri: str, run: JobRun, folder: JobFolder) -> None:
    packed = folder.scratch / "artifact.tar.gz"
    with as_job_failure("Artifact upload failed", source):
        archive.pack(source, packed)
    upload_file(run.site.store, packed, uri)
    packed.unlink()
