"""What a dead owner left running: marked with a reason that says so, before anybody can look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator import callbacks, jobs, runner
from mlops_sm.emulator.sagemaker.tuning_records import children_of
from mlops_sm.emulator.sagemaker.tuning_records import closed as closed_tuning_job
from mlops_sm.emulator.store import Entity, Kind, Store
from mlops_sm.engine import ExecutionStatus

_REASON: Final = "InternalServerError: the process that owned the local account ended before this {what} did. {fix}"
_RETRY: Final = "RetryPipelineExecution goes on from the steps that succeeded."
_OPEN_STEPS: Final = frozenset({"Starting", "Executing", "Stopping"})
_JOBS: Final = ("ProcessingJob", "TrainingJob", "TransformJob", "TuningJob")
_THINGS: Final = ("Model", "RegisterModel", "EndpointConfig")
"""Members of a step's Metadata: jobs, which end, and what is there or not."""
_END_MEMBERS: Final = {
    Kind.PROCESSING_JOB: "ProcessingEndTime",
    Kind.TRAINING_JOB: "TrainingEndTime",
    Kind.TRANSFORM_JOB: "TransformEndTime",
}


def close_abandoned(store: Store, now: float) -> list[str]:
    """Mark jobs, steps and executions that no process runs any more; returns their ARNs.

    What had been asked to stop is Stopped, the rest is Failed; either can be retried, and goes on from the steps that
    had succeeded. A step whose work was done has succeeded, even if its owner could not write that down. Callback
    tokens that were waited for are abandoned: whoever answers one is told so.

    Args:
        store: The account's, of which the caller is the only owner.
        now: Epoch seconds.
    """
    closed: list[str] = []
    with store.transaction():
        for kind in _END_MEMBERS:
            for job in store.in_status(kind, jobs.ACTIVE):
                store.save(_closed_job(job, now))
                closed.append(job.arn)
        for tuning_job in store.in_status(Kind.TUNING_JOB, jobs.ACTIVE):
            # After the training jobs, which it counts.
            store.save(_closed_tuning_job(store, tuning_job, now))
            closed.append(tuning_job.arn)
        for callback in store.in_status(Kind.CALLBACK, [callbacks.WAITING]):
            store.save(callback.with_body({}, modified=now, status=callbacks.ABANDONED))
            closed.append(callback.arn)
        for execution in store.in_status(Kind.EXECUTION, runner.ACTIVE):
            _close_steps(store, execution, now)
            store.save(_closed_execution(execution, now))
            closed.append(execution.arn)
    return closed


def _closed_job(job: Entity, now: float) -> Entity:
    stopped = job.status == jobs.STOPPING
    status = "Stopped" if stopped else "Failed"
    changes: dict[str, Json] = {_END_MEMBERS[job.kind]: now}
    if not stopped:
        changes["FailureReason"] = _REASON.format(what="job", fix="Please start it again.")
    if job.kind is Kind.TRAINING_JOB:
        transitions = [dict(transition) for transition in job.body["SecondaryStatusTransitions"]]
        transitions[-1]["EndTime"] = now
        message = changes.get("FailureReason", "Training job stopped")
        transitions.append({"Status": status, "StartTime": now, "EndTime": now, "StatusMessage": message})
        changes |= {"SecondaryStatusTransitions": transitions, "SecondaryStatus": status}
        if "ObjectiveStatus" in job.body:
            changes["ObjectiveStatus"] = "Failed"
    return job.with_body(changes, modified=now, status=status)


def _closed_tuning_job(store: Store, job: Entity, now: float) -> Entity:
    children = children_of(store, job)
    if job.status == jobs.STOPPING:
        return closed_tuning_job(job, children, "Stopped", None, now)
    return closed_tuning_job(job, children, "Failed", _REASON.format(what="job", fix="Please start it again."), now)


def _close_steps(store: Store, execution: Entity, now: float) -> None:
    stopped = execution.status == ExecutionStatus.STOPPING
    for position, step in store.steps(execution.arn):
        if step["StepStatus"] not in _OPEN_STEPS:
            continue
        done = _done(store, execution, step.get("Metadata") or {})
        if done is not None:
            step |= {"StepStatus": "Succeeded", "EndTime": now, "Metadata": done}
        else:
            step |= {"StepStatus": "Stopped" if stopped else "Failed", "EndTime": now}
        if step["StepStatus"] == "Failed":
            step["FailureReason"] = _REASON.format(what="step", fix=_RETRY)
        store.put_step(execution.arn, position, step["StepName"], step)


def _done(store: Store, execution: Entity, metadata: Mapping[str, Json]) -> Mapping[str, Json] | None:
    """The Metadata of a step whose work was done, None of one that ended with its owner."""
    for member in (*_JOBS, *_THINGS):
        if member in metadata:
            made = store.by_arn(metadata[member]["Arn"])
            well = made is not None and (member in _THINGS or made.status == "Completed")
            return metadata if well else None
    if "Callback" in metadata:
        shown = metadata["Callback"]
        callback = store.get(execution.scope, Kind.CALLBACK, shown["CallbackToken"])
        if callback is not None and callback.status == callbacks.ANSWERED and "FailureReason" not in callback.body:
            return {"Callback": {**shown, "OutputParameters": callback.body["OutputParameters"]}}
    return None


def _closed_execution(execution: Entity, now: float) -> Entity:
    if execution.status == ExecutionStatus.STOPPING:
        return execution.with_body({}, modified=now, status=ExecutionStatus.STOPPED)
    reason = _REASON.format(what="execution", fix=_RETRY)
    return execution.with_body({"FailureReason": reason}, modified=now, status=ExecutionStatus.FAILED)
