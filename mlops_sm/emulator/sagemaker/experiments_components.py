"""Trial components: the stages of trials, made by clients or for jobs.

A component may be part of several trials and must be part of none when it is deleted. Source: SageMaker API reference,
CreateTrialComponent, UpdateTrialComponent, DeleteTrialComponent, ListTrialComponents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import AwsError, invalid
from mlops_sm.emulator.pages import Listing, list_page
from mlops_sm.emulator.sagemaker.experiments import experiment_of, trial_of
from mlops_sm.emulator.sagemaker.lineage import add_entity, entity_arn, group_arn, lineage_entity, timed
from mlops_sm.emulator.sagemaker.lineage_graph import Graph
from mlops_sm.emulator.sagemaker.metrics import Metrics
from mlops_sm.emulator.service import Call, Operation
from mlops_sm.emulator.store import Condition, Entity, Kind, Scope

_REPLACED: Final = ("DisplayName", "Status", "StartTime", "EndTime")
_MERGED: Final[Mapping[str, int]] = {"Parameters": 300, "InputArtifacts": 60, "OutputArtifacts": 60}
"""Maps that updates add to, and how many entries each may have."""
_FILTERS: Final = ("ExperimentName", "TrialName", "SourceArn")


def component(scope: Scope, name: str, now: float, members: Mapping[str, Json]) -> Entity:
    """A trial component; `members` are further members of its Describe response."""
    source = members.get("Source") or {}
    return Entity.new(
        scope,
        Kind.TRIAL_COMPONENT,
        name,
        now,
        arn=entity_arn(scope, Kind.TRIAL_COMPONENT, name),
        parent=source.get("SourceArn", ""),
        status=source.get("SourceType", ""),
        body={"TrialComponentName": name, "DisplayName": name, **members},
    )


def create_trial_component(call: Call) -> dict[str, Json]:
    """Keep a component."""
    _check_parameters(call)
    members = call.members("TrialComponentName")
    entity = component(call.scope, call.request["TrialComponentName"], call.now(), members)
    add_entity(call, entity)
    return {"TrialComponentArn": entity.arn}


def describe_trial_component(call: Call) -> dict[str, Json]:
    """A component with statistics of its metrics."""
    entity = component_of(call, call.request["TrialComponentName"])
    return {
        **entity.body,
        **timed(entity),
        "TrialComponentArn": entity.arn,
        "CreatedBy": {},
        "LastModifiedBy": {},
        "Metrics": Metrics(call.store.database).summaries(entity.arn),
        "LineageGroupArn": group_arn(entity.scope),
        "Sources": [entity.body["Source"]] if "Source" in entity.body else None,
    }


def update_trial_component(call: Call) -> dict[str, Json]:
    """Replace single members; add to, overwrite in and remove from the maps."""
    _check_parameters(call)
    request = call.request
    with call.store.transaction():
        entity = component_of(call, request["TrialComponentName"])
        changes: dict[str, Json] = {name: request[name] for name in _REPLACED if name in request}
        for name, most in _MERGED.items():
            entries = {**(entity.body.get(name) or {}), **(request.get(name) or {})}
            for key in request.get(f"{name}ToRemove") or []:
                entries.pop(key, None)
            if len(entries) > most:
                raise invalid(f"{name} of {entity.arn} would have {len(entries)} entries; the limit is {most}.")
            changes[name] = entries or None
        call.store.save(entity.with_body(changes, modified=call.now()))
    return {"TrialComponentArn": entity.arn}


def delete_trial_component(call: Call) -> dict[str, Json]:
    """Forget a component that is part of no trial, with its metrics."""
    with call.store.transaction():
        entity = component_of(call, call.request["TrialComponentName"])
        graph = Graph(call.store)
        trials = graph.trials(entity.arn)
        if trials:
            raise invalid(
                f"Trial component {entity.arn} is associated with {', '.join(trials)}. "
                "Disassociate it from all trials first."
            )
        graph.detach(entity.arn)
        Metrics(call.store.database).forget(entity.arn)
        call.store.delete(entity)
    return {"TrialComponentArn": entity.arn}


def list_trial_components(call: Call) -> dict[str, Json]:
    """One page of components, of an experiment, a trial or a source if the request says so."""
    request = call.request
    given = [name for name in _FILTERS if name in request]
    if len(given) > 1:
        raise invalid(
            f"Only one of ExperimentName, TrialName and SourceArn can be specified, not {' and '.join(given)}."
        )
    conditions: list[Condition] = []
    if "ExperimentName" in request:
        experiment = experiment_of(call, request["ExperimentName"])
        conditions = [
            Condition(
                "arn IN (SELECT component FROM memberships m JOIN entities t ON t.arn = m.trial"
                " WHERE t.kind = 'experiment-trial' AND t.account = entities.account"
                " AND t.region = entities.region AND t.parent = ?)",
                experiment.name,
            )
        ]
    if "TrialName" in request:
        trial = trial_of(call, request["TrialName"])
        conditions = [Condition("arn IN (SELECT component FROM memberships WHERE trial = ?)", trial.arn)]
    return list_page(call, _LISTING, parent=request.get("SourceArn"), conditions=conditions)


def associate_trial_component(call: Call) -> dict[str, Json]:
    """Make a component part of a trial; once more changes nothing."""
    with call.store.transaction():
        entity, trial = (
            component_of(call, call.request["TrialComponentName"]),
            trial_of(call, call.request["TrialName"]),
        )
        Graph(call.store).join_trial(trial.arn, entity.arn, call.now())
    return {"TrialComponentArn": entity.arn, "TrialArn": trial.arn}


def disassociate_trial_component(call: Call) -> dict[str, Json]:
    """Take a component out of a trial."""
    with call.store.transaction():
        entity, trial = (
            component_of(call, call.request["TrialComponentName"]),
            trial_of(call, call.request["TrialName"]),
        )
        if not Graph(call.store).leave_trial(trial.arn, entity.arn):
            raise AwsError(
                "ResourceNotFound", f"Trial component {entity.arn} is not associated with trial {trial.arn}."
            )
    return {"TrialComponentArn": entity.arn, "TrialArn": trial.arn}


def component_of(call: Call, value: str) -> Entity:
    """The component of a name or ARN. Raises ResourceNotFound."""
    return lineage_entity(call, Kind.TRIAL_COMPONENT, value)


def component_summary(entity: Entity) -> dict[str, Json]:
    """A component as lists show it."""
    return {
        **entity.body,
        **timed(entity),
        "TrialComponentArn": entity.arn,
        "TrialComponentSource": entity.body.get("Source"),
        "CreatedBy": {},
        "LastModifiedBy": {},
    }


def _check_parameters(call: Call) -> None:
    """A parameter is a union: a string or a number (API reference, TrialComponentParameterValue)."""
    for name, value in (call.request.get("Parameters") or {}).items():
        if len(value) != 1:
            raise invalid(f"Parameter {name} must have exactly one of StringValue and NumberValue.")


_LISTING: Final = Listing(
    kind=Kind.TRIAL_COMPONENT, member="TrialComponentSummaries", summary=component_summary, descending=True
)

OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateTrialComponent": create_trial_component,
    "DescribeTrialComponent": describe_trial_component,
    "UpdateTrialComponent": update_trial_component,
    "DeleteTrialComponent": delete_trial_component,
    "ListTrialComponents": list_trial_components,
    "AssociateTrialComponent": associate_trial_component,
    "DisassociateTrialComponent": disassociate_trial_component,
}
