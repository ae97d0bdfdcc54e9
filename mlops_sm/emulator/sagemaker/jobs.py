"""What Create, Stop and Delete do for jobs of every kind."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from mlops_sm.definition.document import Definition, Json, Step
from mlops_sm.definition.kinds import StepKind
from mlops_sm.emulator.errors import AwsError, invalid
from mlops_sm.emulator.jobs import ACTIVE, STOPPING, JobFamily
from mlops_sm.emulator.sagemaker.tags import tag_new
from mlops_sm.emulator.service import Call, modelled
from mlops_sm.emulator.store import Entity, Kind
from mlops_sm.local.jobs import JobOutcome

MAX_RUNTIME: Final = 86_400
"""Seconds; what the service fills in for a StoppingCondition that is not given."""

_AT_ITS_START: Final = frozenset({"E401", "E402", "E405", "E407", "E423", "E432"})
"""Problems with the image or the machine: as on AWS, the job is created and fails with them as its FailureReason."""

_log = logging.getLogger(__name__)


def check_job(call: Call, kind: StepKind, name: str, arguments: dict[str, Json]) -> None:
    """Refuse a job that asks for what this machine cannot do; what has no effect here is in the log.

    Raises:
        AwsError: ValidationException, it names everything that is refused.
    """
    step = Step(name=name, kind=kind, arguments=arguments, path=call.operation)
    alone = Definition(version="", parameters=(), steps=(step,))
    refused: list[str] = []
    for problem in call.service.preflight(alone, {}):
        what = problem.what.replace(f'step "{name}"', "the job")
        if problem.code in _AT_ITS_START:
            continue
        if problem.is_error:
            refused.append(f"{what}. {problem.fix} [{problem.code}]")
        else:
            _log.info("job %s: %s (%s)", name, what, problem.where)
    if refused:
        raise invalid(" ".join(refused))


def start_job(
    call: Call,
    entity: Entity,
    family: JobFamily,
    *,
    with_it: Callable[[], None] = lambda: None,
    on_end: Callable[[JobOutcome], None] = lambda _: None,
) -> None:
    """Keep a new job with the request's tags, and run it.

    Args:
        call: The request.
        entity: The job's record.
        family: Its kind.
        with_it: What else is written when the record is, in the same transaction.
        on_end: Called once it has ended.

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
        with_it()
    call.service.jobs.start(entity, call.members(), family, on_end, step=call.step)


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
        check_active(entity)
        if entity.status != STOPPING:
            call.store.save(stopping(entity).with_body({}, modified=call.now(), status=STOPPING))
    call.service.jobs.request_stop(entity.arn)


def check_active(job: Entity) -> None:
    """Refuse a request that only a job takes that has not ended.

    Raises:
        AwsError: ValidationException.
    """
    if job.status not in ACTIVE:
        raise invalid(f"The request was rejected because the {_noun(job.kind)} is in status {job.status}.")


def delete_job(call: Call, read: Callable[[], Entity]) -> None:
    """Forget a job that has ended; its name may be used again.

    Raises:
        AwsError: There is no such job; ResourceInUse, if the operation has it, when the job has not ended (API
            reference, DeleteTrainingJob: only jobs in a terminal state can be deleted).
    """
    with call.store.transaction():
        entity = read()
        if entity.status in ACTIVE:
            what = f"The {_noun(entity.kind)} {entity.name} is in status {entity.status}: stop it first."
            raise modelled(call, "ResourceInUse", what)
        call.store.delete(entity)


def _noun(kind: Kind) -> str:
    return kind.value.replace("-", " ")
