"""One processing job under the container contract."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.local.environment import job_environment
from mlops_sm.local.images import Image
from mlops_sm.local.isolation.layer import ML, SCRATCH
from mlops_sm.local.jobs.attend import MAX_RUNTIME, OWN, Cause, Command, Ending
from mlops_sm.local.jobs.channels import Channel, Inputs
from mlops_sm.local.jobs.cluster import Instance, run_cluster
from mlops_sm.local.jobs.continuous import ContinuousUpload
from mlops_sm.local.jobs.folder import JobFailureError, JobFolder, host_names
from mlops_sm.local.jobs.layout import instance_count
from mlops_sm.local.jobs.metrics import MetricScanner
from mlops_sm.local.jobs.outcome import JobOutcome, JobStatus
from mlops_sm.local.jobs.packages import furnish
from mlops_sm.local.jobs.running import JobRun, failure_of
from mlops_sm.local.jobs.sdk_requirements import install_for_sdk
from mlops_sm.local.jobs.transfer import upload
from mlops_sm.local.site import Site

_PROCESSING: Final = f"{ML}/processing"
_CONTINUOUS: Final = "Continuous"
_MESSAGE: Final = "output/message"
_MAX_MESSAGE: Final = 1024
"""Characters of /opt/ml/output/message that become ExitMessage."""


def run_processing(
    request: Mapping[str, Json],
    *,
    name: str,
    arn: str,
    site: Site,
    stop: threading.Event,
    on_status: Callable[[str, str], None],
) -> JobOutcome:
    """Run a processing job to its end.

    Args:
        request: A CreateProcessingJob request without expressions.
        name: The job's name; the log of its first instance is at `log_path(site.jobs, name)`.
        arn: The job's ARN.
        site: Where it runs.
        stop: Set it to stop the job.
        on_status: Called with ``Downloading``, ``Processing``, ``Uploading`` and the final status, and a message.
    """
    run = JobRun(name=name, site=site, stop=stop, on_status=on_status)
    return run.guarded(lambda folder: _run(request, arn, run, folder))


def _run(request: Mapping[str, Json], arn: str, run: JobRun, folder: JobFolder) -> JobOutcome:
    site, fault = run.site, run.fault()
    run.on_status("Downloading", "Downloading input data")
    resources = (request.get("ProcessingResources") or {}).get("ClusterConfig") or {}
    hosts = host_names(instance_count(resources))
    network = not (request.get("NetworkConfig") or {}).get("EnableNetworkIsolation", False)
    if len(hosts) > 1 and not network:
        raise JobFailureError(
            "ClientError: several instances without network cannot reach each other on this machine; use one instance"
        )
    image = _image(request["AppSpecification"], site)
    folders = [folder.of_host(host) for host in hosts]
    wanted = (request.get("ProcessingOutputConfig") or {}).get("Outputs") or []
    outputs = [entry for entry in wanted if _is_ours(entry) and "S3Output" in entry]
    inputs: list[Inputs] = []
    for index, (host, here) in enumerate(zip(hosts, folders, strict=True)):
        if len(hosts) > 1:
            here.furnish(hosts)
        (here.ml / "output").mkdir()
        inputs.append(_inputs(request, run, here, (index, len(hosts))))
        furnish(image, here, site)
        if image.engine is None:
            install_for_sdk(here, site, image.interpreter)
        for output in outputs:
            _local(output["S3Output"], here).mkdir(parents=True, exist_ok=True)
        here.write_json(
            "config/processingjobconfig.json", {"ProcessingJobArn": arn, "ProcessingJobName": run.name, **request}
        )
        here.write_json("config/resourceconfig.json", {"current_host": host, "hosts": list(hosts)})
    run.check_stop()
    run.on_status("Processing", "Processing")
    at_end = [output["S3Output"] for output in outputs if output["S3Output"].get("S3UploadMode") != _CONTINUOUS]
    always = [output["S3Output"] for output in outputs if output["S3Output"].get("S3UploadMode") == _CONTINUOUS]
    command = _command(request, image, site, network=network)
    instances = [
        Instance(
            host=host,
            folder=here,
            command=replace(command, inputs=given, fault=fault if fault is not None and fault.host == host else None),
            scanner=MetricScanner((), site.clock),
        )
        for host, here, given in zip(hosts, folders, inputs, strict=True)
    ]
    streams = [(_local(end, here), end["S3Uri"]) for end in always for here in folders]
    with ContinuousUpload(site.store, streams) as continuous:
        cluster = run_cluster(instances, site, stop=run.stop)
    ending = cluster.ending
    message = cluster.folder.read_text(_MESSAGE, _MAX_MESSAGE)
    status, reason = _verdict(ending, message, cluster.folder)
    try:
        # However the job ended.
        continuous.finish()
        if status is JobStatus.COMPLETED:
            run.on_status("Uploading", "Uploading outputs")
            for end in at_end:
                for here in folders:
                    upload(site.store, _local(end, here), end["S3Uri"])
    except JobFailureError as error:
        status, reason = JobStatus.FAILED, reason or error.reason
    return run.outcome(status, ending, reason, exit_message=message or None)


def _verdict(ending: Ending, message: str | None, folder: JobFolder) -> tuple[JobStatus, str | None]:
    match ending.cause:
        case Cause.STOPPED | Cause.TIMED_OUT:
            return JobStatus.STOPPED, None
        case Cause.EXITED if ending.code == 0:
            return JobStatus.COMPLETED, None
        case _:
            return JobStatus.FAILED, failure_of(ending, message or "See job logs for more information", folder)


def _inputs(request: Mapping[str, Json], run: JobRun, folder: JobFolder, place: tuple[int, int]) -> Inputs:
    """What an instance reads; `place` is which of how many it is."""
    inputs = Inputs(folder, run.site, request.get("RoleArn", ""), under=_PROCESSING)
    for entry in request.get("ProcessingInputs") or []:
        if _is_ours(entry):
            run.check_stop()
            distribution = (entry.get("S3Input") or {}).get("S3DataDistributionType")
            inputs.add(Channel.of_processing(entry, place if distribution == "ShardedByS3Key" else (0, 1)))
    return inputs


def _local(end: Mapping[str, Json], folder: JobFolder) -> Path:
    """Where the LocalPath of an S3Input or S3Output is on this machine."""
    if "LocalPath" not in end:
        raise JobFailureError(f"ClientError: {end['S3Uri']} has no LocalPath; only app-managed data may lack it")
    return folder.inside(end["LocalPath"], under=_PROCESSING)


def _is_ours(entry: Mapping[str, Json]) -> bool:
    """Whether the service moves the data; what is app-managed the container moves itself."""
    return not entry.get("AppManaged", False)


def _image(application: Mapping[str, Json], site: Site) -> Image:
    image = site.images.find(application["ImageUri"])
    if image is None:
        raise JobFailureError(f"ClientError: {site.images.refusal(application['ImageUri'], 'AppSpecification').what}")
    return image


def _command(request: Mapping[str, Json], image: Image, site: Site, *, network: bool) -> Command:
    application = request["AppSpecification"]
    entrypoint = application.get("ContainerEntrypoint") or image.entry_point or ()
    if not entrypoint and image.engine is None:
        raise JobFailureError("ClientError: AppSpecification has no ContainerEntrypoint, and the image is not run here")
    return Command(
        argv=(*entrypoint, *(application.get("ContainerArguments") or [])),
        environment=job_environment(
            request.get("Environment") or {},
            region=site.region,
            endpoint_url=site.endpoint_url(network=network),
            account_id=site.account_id,
            parallel_jobs=site.warm.parallel_jobs,
            interpreter=image.interpreter,
        ),
        cwd=SCRATCH,
        network=network,
        warm=image.warm,
        interpreter=image.interpreter or OWN,
        container=image.container(application["ImageUri"], replaces_entry_point=bool(entrypoint)),
        max_runtime_in_seconds=(request.get("StoppingCondition") or {}).get("MaxRuntimeInSeconds") or MAX_RUNTIME,
    )
