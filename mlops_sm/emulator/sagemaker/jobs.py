"""What Create and Stop do for jobs of every kind."""

from __future__ import annotations

from collections.abc import Callable

from mlops_sm.emulator.errors import AwsError, invalid
from mlops_sm.emulator.jobs import ACTIVE, STOPPING, JobFamily
from mlops_sm.emulator.sagemaker.tags import tag_new
from mlops_sm.emulator.service import Call
from mlops_sm.emulator.store import Entity, Kind


def start_job(call: Call, entity: Entity, family: JobFamily) -> None:
    """Keep a new job with the request's tags, and run it.

    Raises:
        AwsError: ResourceInUse, a job has that name already.
    """
    noun = _noun(entity.kind)
    with call.store.transaction():
        if not call.store.add(entity):
            raise AwsError(
                "ResourceInUse",
                f"{noun.capitalize()} names must be unique within an AWS account and region, and a {noun} with this "
                f"name already exists ({entity.arn})",
            )
        tag_new(call, entity.arn)
    call.service.jobs.start(entity, call.members(), family)


def stop_job(call: Call, read: Callable[[], Entity], stopping: Callable[[Entity], Entity] = lambda job: job) -> None:
    """Ask a running job to end; one that is asked already stays as it is.

    Args:
        call: The request.
        read: Reads the job.
        stopping: The job with what else changes when it is asked to end.

    Raises:
        AwsError: There is no such job, or it has ended.
    """
    with call.store.transaction():
        entity = read()
        if entity.status not in ACTIVE:
            noun = _noun(entity.kind)
            raise invalid(f"The request was rejected because the {noun} is in status {entity.status}.")
        if entity.status != STOPPING:
            call.store.save(stopping(entity).with_body({}, modified=call.now(), status=STOPPING))
    call.service.jobs.request_stop(entity.arn)


def _noun(kind: Kind) -> str:
    return kind.value.replace("-", " ")
