"""Lineage steps: actions, artifacts and contexts, then the associations between them.

Source: SDK 3.27, mlops/workflow/lineage_step.py; API reference, LineageMetadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from mlops_sm.definition.document import Json
from mlops_sm.definition.wording import shown
from mlops_sm.engine.status import Failed, Succeeded
from mlops_sm.local.handlers.job import client_error
from mlops_sm.local.handlers.request import as_request
from mlops_sm.local.handlers.step import ServiceError, StepResult, StepRun


class _Entity(NamedTuple):
    member: str
    noun: str
    arns: str


_ENTITIES: Final = (
    _Entity("Actions", "Action", "ActionArns"),
    _Entity("Artifacts", "Artifact", "ArtifactArns"),
    _Entity("Contexts", "Context", "ContextArns"),
)


def run_lineage(run: StepRun) -> StepResult:
    """Record what the step names; what was recorded before a refusal stays."""
    left: dict[str, Json] = {entity.arns: {} for entity in _ENTITIES} | {"Associations": []}
    made: dict[tuple[str, str], str] = {}
    try:
        for entity in _ENTITIES:
            for members in run.arguments.get(entity.member) or []:
                operation = f"Create{entity.noun}"
                arn = run.control.call(operation, as_request(operation, members))[f"{entity.noun}Arn"]
                name = members.get(f"{entity.noun}Name")
                if name is not None:
                    left[entity.arns][name] = made[entity.noun, name] = arn
        for association in run.arguments.get("Associations") or []:
            request = {
                "SourceArn": _arn(association["Source"], made),
                "DestinationArn": _arn(association["Destination"], made),
            }
            kind = association.get("AssociationType")
            run.control.call("AddAssociation", {**request, **({"AssociationType": kind} if kind else {})})
            left["Associations"].append(request)
    except ServiceError as error:
        return StepResult(outcome=Failed(client_error(error)), metadata={"Lineage": left})
    return StepResult(outcome=Succeeded(left), metadata={"Lineage": left})


def _arn(end: Mapping[str, Json], made: Mapping[tuple[str, str], str]) -> str:
    """The ARN of one end of an association; a name is one of those that the same step records."""
    if "Arn" in end:
        return str(end["Arn"])
    key = (end["Type"], end["Name"])
    if key not in made:
        raise ServiceError("ValidationException", f"The step records no {key[0]} of the name {shown(key[1])}.")
    return made[key]
