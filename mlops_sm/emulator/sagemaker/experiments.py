"""Experiments and trials: Create, Describe, Update, Delete, List.

Names are unique in an account and region and not case-sensitive; an experiment with trials and a trial with components
cannot be deleted. Source: SageMaker API reference, CreateExperiment, DeleteExperiment, CreateTrial, DeleteTrial.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import invalid
from mlops_sm.emulator.pages import Listing, list_page
from mlops_sm.emulator.sagemaker.lineage import add_entity, entity_arn, lineage_entity, timed
from mlops_sm.emulator.sagemaker.lineage_graph import Graph
from mlops_sm.emulator.service import Call, Operation
from mlops_sm.emulator.store import Condition, Entity, Kind, Scope


def experiment(scope: Scope, name: str, now: float, members: Mapping[str, Json]) -> Entity:
    """An experiment; `members` are further members of its Describe response."""
    return Entity.new(
        scope,
        Kind.EXPERIMENT,
        name,
        now,
        arn=entity_arn(scope, Kind.EXPERIMENT, name),
        body={"ExperimentName": name, "DisplayName": name, **members},
    )


def trial(owner: Entity, name: str, now: float, members: Mapping[str, Json]) -> Entity:
    """A trial of an experiment; `members` are further members of its Describe response."""
    return Entity.new(
        owner.scope,
        Kind.TRIAL,
        name,
        now,
        arn=entity_arn(owner.scope, Kind.TRIAL, name),
        parent=owner.name,
        body={"TrialName": name, "DisplayName": name, **members, "ExperimentName": owner.name},
    )


def create_experiment(call: Call) -> dict[str, Json]:
    """Keep an experiment."""
    entity = experiment(call.scope, call.request["ExperimentName"], call.now(), call.members("ExperimentName"))
    add_entity(call, entity)
    return {"ExperimentArn": entity.arn}


def describe_experiment(call: Call) -> dict[str, Json]:
    """An experiment."""
    entity = experiment_of(call, call.request["ExperimentName"])
    return {**entity.body, **timed(entity), "ExperimentArn": entity.arn, "CreatedBy": {}, "LastModifiedBy": {}}


def update_experiment(call: Call) -> dict[str, Json]:
    """Change what the request names."""
    with call.store.transaction():
        entity = experiment_of(call, call.request["ExperimentName"])
        call.store.save(entity.with_body(call.members("ExperimentName"), modified=call.now()))
    return {"ExperimentArn": entity.arn}


def delete_experiment(call: Call) -> dict[str, Json]:
    """Forget an experiment that has no trials."""
    with call.store.transaction():
        entity = experiment_of(call, call.request["ExperimentName"])
        if call.store.select(entity.scope, Kind.TRIAL, parent=entity.name, limit=1):
            raise invalid(f"Experiment {entity.arn} has trials. Delete all of its trials first.")
        Graph(call.store).detach(entity.arn)
        call.store.delete(entity)
    return {"ExperimentArn": entity.arn}


def list_experiments(call: Call) -> dict[str, Json]:
    """One page of experiments."""
    return list_page(call, _EXPERIMENTS)


def create_trial(call: Call) -> dict[str, Json]:
    """Keep a trial of an experiment that exists."""
    with call.store.transaction():
        owner = experiment_of(call, call.request["ExperimentName"])
        entity = trial(owner, call.request["TrialName"], call.now(), call.members("TrialName", "ExperimentName"))
        add_entity(call, entity)
    return {"TrialArn": entity.arn}


def describe_trial(call: Call) -> dict[str, Json]:
    """A trial."""
    entity = trial_of(call, call.request["TrialName"])
    return {**entity.body, **timed(entity), "TrialArn": entity.arn, "CreatedBy": {}, "LastModifiedBy": {}}


def update_trial(call: Call) -> dict[str, Json]:
    """Change a trial's display name."""
    with call.store.transaction():
        entity = trial_of(call, call.request["TrialName"])
        call.store.save(entity.with_body(call.members("TrialName"), modified=call.now()))
    return {"TrialArn": entity.arn}


def delete_trial(call: Call) -> dict[str, Json]:
    """Forget a trial that has no components."""
    with call.store.transaction():
        entity = trial_of(call, call.request["TrialName"])
        if Graph(call.store).components(entity.arn):
            raise invalid(f"Trial {entity.arn} has trial components. Disassociate all of its trial components first.")
        call.store.delete(entity)
    return {"TrialArn": entity.arn}


def list_trials(call: Call) -> dict[str, Json]:
    """One page of trials, of an experiment or with a component if the request says so."""
    parent, conditions = None, []
    if "ExperimentName" in call.request:
        parent = experiment_of(call, call.request["ExperimentName"]).name
    if "TrialComponentName" in call.request:
        component = lineage_entity(call, Kind.TRIAL_COMPONENT, call.request["TrialComponentName"])
        conditions = [Condition("arn IN (SELECT trial FROM memberships WHERE component = ?)", component.arn)]
    return list_page(call, _TRIALS, parent=parent, conditions=conditions)


def experiment_of(call: Call, name: str) -> Entity:
    """The experiment of a name. Raises ResourceNotFound."""
    return lineage_entity(call, Kind.EXPERIMENT, name)


def trial_of(call: Call, name: str) -> Entity:
    """The trial of a name. Raises ResourceNotFound."""
    return lineage_entity(call, Kind.TRIAL, name)


def _experiment_summary(entity: Entity) -> dict[str, Json]:
    source = entity.body.get("Source")
    return {**entity.body, **timed(entity), "ExperimentArn": entity.arn, "ExperimentSource": source}


def _trial_summary(entity: Entity) -> dict[str, Json]:
    return {**entity.body, **timed(entity), "TrialArn": entity.arn, "TrialSource": entity.body.get("Source")}


_EXPERIMENTS: Final = Listing(
    kind=Kind.EXPERIMENT, member="ExperimentSummaries", summary=_experiment_summary, descending=True
)
_TRIALS: Final = Listing(kind=Kind.TRIAL, member="TrialSummaries", summary=_trial_summary, descending=True)

OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateExperiment": create_experiment,
    "DescribeExperiment": describe_experiment,
    "UpdateExperiment": update_experiment,
    "DeleteExperiment": delete_experiment,
    "ListExperiments": list_experiments,
    "CreateTrial": create_trial,
    "DescribeTrial": describe_trial,
    "UpdateTrial": update_trial,
    "DeleteTrial": delete_trial,
    "ListTrials": list_trials,
}
