"""Training jobs: Create, Describe, List, Update, Stop, Delete, with the secondary statuses they go through."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.definition.kinds import StepKind
from mlops_sm.definition.wording import repeated
from mlops_sm.emulator.errors import invalid
from mlops_sm.emulator.jobs import IN_PROGRESS, STOPPING, JobFamily
from mlops_sm.emulator.pages import Listing, list_page
from mlops_sm.emulator.sagemaker.jobs import MAX_RUNTIME, check_active, check_job, delete_job, start_job, stop_job
from mlops_sm.emulator.service import Call, Operation, find
from mlops_sm.emulator.store import Entity, Kind
from mlops_sm.local.built_in import is_xgboost, metric_definitions
from mlops_sm.local.jobs import JobOutcome, Metric, run_training
from mlops_sm.local.jobs.layout import instance_count

_TERMINAL: Final = frozenset({"Completed", "Failed", "Stopped", "MaxRuntimeExceeded", "MaxWaitTimeExceeded"})
_NAMESPACE: Final = "/aws/sagemaker/TrainingJobs"
_TRANSITIONS: Final = "SecondaryStatusTransitions"
_ON_INSTANCES: Final = frozenset({"Downloading", "Training", "Uploading", "Stopping"})
"""The secondary statuses of a job that has instances."""
DEFAULTS: Final[Mapping[str, Json]] = {
    "EnableNetworkIsolation": False,
    "EnableInterContainerTrafficEncryption": False,
    "EnableManagedSpotTraining": False,
}
"""Members that the service always shows."""
_OUTPUT: Final[Mapping[str, Json]] = {"KmsKeyId": "", "CompressionType": "GZIP"}
"""Members of OutputDataConfig that the service always shows; SDK v2's ``Estimator.attach`` fails without them."""
_ENDS: Final[Mapping[str, str]] = {
    "Completed": "Training job completed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job waiting time exceeded MaxWaitTimeInSeconds provided",
}


def create_training_job(call: Call) -> dict[str, Json]:
    """Start a training job."""
    _check_required(call)
    check_training(call)
    call = with_metrics(call)
    entity = new_training_job(call)
    start_job(call, entity, replace(FAMILY, run=partial(run_training, on_metric=partial(publish, call))))
    return {"TrainingJobArn": entity.arn}


def check_training(call: Call) -> None:
    """Refuse a request for a training job that the service would not take, or that this machine cannot run.

    Raises:
        AwsError: ValidationException.
    """
    _check_channels(call.request.get("InputDataConfig") or [])
    _check_resources(call.request)
    _check_waiting(call.request)
    check_job(call, StepKind.TRAINING, call.request["TrainingJobName"], call.members())


def new_training_job(call: Call, parent: str = "", **members: Json) -> Entity:
    """The record of a training job that is about to start.

    Args:
        call: Its CreateTrainingJob request.
        parent: The tuning job that starts it.
        **members: What its record shows beside the request.
    """
    name, now = call.request["TrainingJobName"], call.now()
    body = {**DEFAULTS, **call.members(), **members}
    body["OutputDataConfig"] = {**_OUTPUT, **body["OutputDataConfig"]}
    body.setdefault("StoppingCondition", {"MaxRuntimeInSeconds": MAX_RUNTIME})
    entity = Entity.new(call.scope, Kind.TRAINING_JOB, name, now, parent=parent, status=IN_PROGRESS, body=body)
    return _enter(entity, "Starting", "Starting the training job", now)


def publish(call: Call, metric: Metric) -> None:
    """Tell CloudWatch of a metric of a training job, as soon as its line is in the log.

    Namespace and dimension are those that the SDK's ``TrainingJobAnalytics`` reads.

    Args:
        call: Its CreateTrainingJob request.
        metric: What was found.
    """
    observation, job = call.service.observation, (("TrainingJobName", call.request["TrainingJobName"]),)
    observation.measures.add(call.scope, [job], [(metric.name, "None", metric.value)], namespace=_NAMESPACE)
    observation.noted()


def with_metrics(call: Call) -> Call:
    """A CreateTrainingJob request with the metrics that AWS's XGBoost image brings, unless it has some of its own."""
    algorithm = call.request["AlgorithmSpecification"]
    if algorithm.get("MetricDefinitions") or not is_xgboost(algorithm.get("TrainingImage")):
        return call
    definitions = metric_definitions(call.request.get("HyperParameters") or {})
    request = {**call.request, "AlgorithmSpecification": {**algorithm, "MetricDefinitions": definitions}}
    return replace(call, request=request)


def describe_training_job(call: Call) -> dict[str, Json]:
    """A training job as it stands now."""
    entity = _job(call)
    return {**entity.body, **_summary(entity)}


def list_training_jobs(call: Call) -> dict[str, Json]:
    """One page of training jobs."""
    if {"WarmPoolStatusEquals", "TrainingPlanArnEquals"} & call.request.keys():
        # No job here has a warm pool or a plan.
        return {"TrainingJobSummaries": []}
    status = call.request.get("StatusEquals")
    if status is None or "MaxResults" not in call.request:
        return list_page(call, _LISTING)
    # "the MaxResults number of training jobs are first retrieved ignoring the StatusEquals parameter and then they are
    # filtered" (API reference, ListTrainingJobs).
    asked = {name: value for name, value in call.request.items() if name != "StatusEquals"}
    page = list_page(replace(call, request=asked), _LISTING)
    chosen = [job for job in page["TrainingJobSummaries"] if job["TrainingJobStatus"] == status]
    return {**page, "TrainingJobSummaries": chosen}


def stop_training_job(call: Call) -> dict[str, Json]:
    """Ask a running job to end."""
    stop_job(call, lambda: _job(call), lambda job: stopping(job, call.now()))
    return {}


def stopping(job: Entity, now: float) -> Entity:
    """A job that was asked to end, in the secondary status that says so."""
    return _enter(job, "Stopping", "Stopping the training job", now)


def update_training_job(call: Call) -> dict[str, Json]:
    """Change the settings of a running job that may change: profiling, remote debugging, the time a warm pool is kept.

    None of them has an effect on this machine, as CreateTrainingJob says of them too.
    """
    with call.store.transaction():
        entity = _job(call)
        check_active(entity)
        changes: dict[str, Json] = {
            member: {**(entity.body.get(member) or {}), **call.request[member]}
            for member in ("ProfilerConfig", "ResourceConfig", "RemoteDebugConfig")
            if member in call.request
        }
        if "ProfilerRuleConfigurations" in call.request:
            changes["ProfilerRuleConfigurations"] = call.request["ProfilerRuleConfigurations"]
        call.store.save(entity.with_body(changes, modified=call.now()))
    return {"TrainingJobArn": entity.arn}


def delete_training_job(call: Call) -> dict[str, Json]:
    """Forget a job that has ended."""
    delete_job(call, lambda: _job(call))
    return {}


def check_algorithm(algorithm: Mapping[str, Json]) -> None:
    """Refuse an AlgorithmSpecification that names no algorithm, or two.

    Raises:
        AwsError: ValidationException.
    """
    if ("TrainingImage" in algorithm) == ("AlgorithmName" in algorithm):
        raise invalid("You must specify either AlgorithmName or TrainingImage, and not both.")


def _check_required(call: Call) -> None:
    """What the API reference requires of jobs that are not serverless, and the shapes do not."""
    call.refuse_members("ServerlessJobConfig", "ModelPackageConfig")
    for member in ("AlgorithmSpecification", "ResourceConfig"):
        if member not in call.request:
            raise invalid(f"{member} is required.")
    check_algorithm(call.request["AlgorithmSpecification"])


def _check_channels(channels: Sequence[Mapping[str, Json]]) -> None:
    """Each channel is a named input source (API reference, Channel): its name is its folder, and it has one source."""
    several = repeated(channel["ChannelName"] for channel in channels)
    if several:
        raise invalid(f"Channel names must be unique: {', '.join(several)}.")
    for channel in channels:
        if len(channel["DataSource"]) != 1:
            raise invalid(f"The DataSource of channel {channel['ChannelName']} must name one source of data.")


def _check_resources(request: Mapping[str, Json]) -> None:
    """API reference, ResourceConfig; developer guide, "Configure a training job with a heterogeneous cluster"."""
    resources = request.get("ResourceConfig") or {}
    groups = resources.get("InstanceGroups") or []
    clash = [name for name in ("InstanceType", "InstanceCount", "KeepAlivePeriodInSeconds") if name in resources]
    if groups and clash:
        raise invalid(f"InstanceGroups cannot be used together with {', '.join(clash)}.")
    if not groups and not resources.get("InstancePreferences"):
        for member in ("InstanceType", "InstanceCount"):
            if member not in resources:
                raise invalid(f"{member} is required in ResourceConfig unless InstanceGroups are used.")
    if not resources.get("InstancePreferences") and instance_count(resources) < 1:
        raise invalid("InstanceCount must be at least 1.")
    if "KeepAlivePeriodInSeconds" in resources and request.get("EnableManagedSpotTraining"):
        raise invalid("KeepAlivePeriodInSeconds is not supported when EnableManagedSpotTraining is set to true.")
    names = [group["InstanceGroupName"] for group in groups]
    if several := repeated(names):
        raise invalid(f"Instance group names must be unique: {', '.join(several)}.")
    for channel in request.get("InputDataConfig") or []:
        source = channel["DataSource"].get("S3DataSource") or {}
        unknown = sorted(set(source.get("InstanceGroupNames") or []) - set(names))
        if unknown:
            raise invalid(f"Channel {channel['ChannelName']} names no instance group of the job: {', '.join(unknown)}.")


def _check_waiting(request: Mapping[str, Json]) -> None:
    """API reference, StoppingCondition. The words are the service's (e.g. Kenza-AI/sagify #111)."""
    condition = request.get("StoppingCondition") or {}
    wait = condition.get("MaxWaitTimeInSeconds")
    if not request.get("EnableManagedSpotTraining"):
        if wait is not None:
            raise invalid(
                "Invalid MaxWaitTimeInSeconds. It is only supported when EnableManagedSpotTraining is set to true"
            )
    elif wait is None or wait < condition.get("MaxRuntimeInSeconds", MAX_RUNTIME):
        raise invalid(
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"
        )


def _job(call: Call) -> Entity:
    return find(
        call, Kind.TRAINING_JOB, call.request["TrainingJobName"], lambda _: invalid("Requested resource not found.")
    )


def _summary(entity: Entity) -> dict[str, Json]:
    return {
        "TrainingJobName": entity.name,
        "TrainingJobArn": entity.arn,
        "CreationTime": entity.created,
        "LastModifiedTime": entity.modified,
        "TrainingJobStatus": entity.status,
        "TrainingEndTime": entity.body.get("TrainingEndTime"),
        "SecondaryStatus": entity.body["SecondaryStatus"],
    }


def _enter(entity: Entity, status: str, message: str, now: float) -> Entity:
    """The entity in another secondary status; the one before ends at the same moment."""
    before = [dict(transition) for transition in entity.body.get(_TRANSITIONS, [])]
    if before and before[-1]["Status"] == status:
        if before[-1].get("StatusMessage") == message:
            return entity
        before[-1]["StatusMessage"] = message
        return entity.with_body({_TRANSITIONS: before}, modified=now)
    if before:
        before[-1]["EndTime"] = now
    after = [*before, {"Status": status, "StartTime": now, "StatusMessage": message}]
    return entity.with_body({_TRANSITIONS: after, "SecondaryStatus": status}, modified=now)


def _progress(entity: Entity, status: str, message: str, now: float) -> Entity:
    if status in _TERMINAL:
        # Written with the outcome, so that no one sees one without the other.
        return entity
    if status == "Downloading" and "TrainingStartTime" not in entity.body:
        entity = entity.with_body({"TrainingStartTime": now}, modified=now)
    entity = _enter(entity, status, message, now)
    # It has run or waited too long: that its owner did not ask makes no difference.
    return entity.with_body({}, modified=now, status=STOPPING) if status == STOPPING else entity


def _finish(entity: Entity, outcome: JobOutcome, now: float) -> Entity:
    status = outcome.secondary_status or outcome.status.value
    message = outcome.failure_reason or _ENDS.get(status, f"Training job {status.lower()}")
    entity = _enter(entity, status, message, now)
    started = entity.body.get("TrainingStartTime")
    # Whole seconds, begun ones counted; none of a job that was stopped before its turn came.
    seconds = None if started is None else max(1, math.ceil(now - started))
    metrics = [
        {"MetricName": metric.name, "Value": metric.value, "Timestamp": metric.timestamp.timestamp()}
        for metric in outcome.final_metrics
    ]
    artifacts = {"S3ModelArtifacts": outcome.model_artifacts} if outcome.model_artifacts else None
    transitions = entity.body[_TRANSITIONS]
    transitions[-1]["EndTime"] = now
    return entity.with_body(
        {
            "TrainingStartTime": started,
            "TrainingEndTime": now,
            "TrainingTimeInSeconds": seconds,
            "BillableTimeInSeconds": None if started is None else _billable(transitions),
            "FailureReason": outcome.failure_reason,
            "ModelArtifacts": artifacts,
            "FinalMetricDataList": metrics or None,
            # Whoever records the job's metrics takes it out again.
            "MetricSeries": [[each.name, each.timestamp.timestamp(), each.value] for each in outcome.metrics] or None,
            _TRANSITIONS: transitions,
        },
        modified=now,
        status=outcome.status.value,
    )


def _billable(transitions: Sequence[Mapping[str, Json]]) -> int:
    """Seconds for which there were instances: waiting for them and interruptions are not billed."""
    spans: list[float] = [
        each["EndTime"] - each["StartTime"] for each in transitions if each["Status"] in _ON_INSTANCES
    ]
    return max(1, math.ceil(sum(spans)))


FAMILY: Final = JobFamily(kind=Kind.TRAINING_JOB, run=run_training, progress=_progress, finish=_finish)

_LISTING: Final = Listing(
    kind=Kind.TRAINING_JOB,
    member="TrainingJobSummaries",
    summary=_summary,
    sort={"CreationTime": "created", "Name": "name", "Status": "status"},
)

OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateTrainingJob": create_training_job,
    "DescribeTrainingJob": describe_training_job,
    "ListTrainingJobs": list_training_jobs,
    "UpdateTrainingJob": update_training_job,
    "StopTrainingJob": stop_training_job,
    "DeleteTrainingJob": delete_training_job,
}
