"""What Search finds: the resources of each kind as members of SearchRecord.

Source: SageMaker API reference, SearchRecord and the structures it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mlops_sm import naming
from mlops_sm.definition.document import Json
from mlops_sm.emulator.sagemaker.experiments_components import component_summary
from mlops_sm.emulator.sagemaker.lineage import group_arn, timed
from mlops_sm.emulator.sagemaker.lineage_graph import Graph
from mlops_sm.emulator.sagemaker.metrics import Metrics
from mlops_sm.emulator.store import Entity, Kind, Scope, Store


class Found:
    """One resource; members that need more than its own record are read when they are asked for.

    Attributes:
        arn: Of the resource.
        modified: Epoch seconds of its last change.
    """

    def __init__(
        self, entity: Entity, members: Mapping[str, Json], later: Mapping[str, Callable[[], Json]] | None = None
    ) -> None:
        self.arn = entity.arn
        self.modified = entity.modified
        self._members = dict(members)
        self._later = dict(later or {})

    def get(self, name: str) -> Json:
        """A member of the record, None when it has none of that name."""
        if name in self._later:
            self._members[name] = self._later.pop(name)()
        return self._members.get(name)

    def members(self) -> dict[str, Json]:
        """The whole record."""
        for name in list(self._later):
            self.get(name)
        return self._members


Project = Callable[[Store, Entity], Iterable[Found]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A value of Search's Resource.

    Attributes:
        member: The member of SearchRecord that holds one.
        kind: The kind of its entities.
        family: The family of its records, when they are records.
        project: What an entity looks like; several when it holds several resources.
        within: The structure in the record whose properties may be named without it.
    """

    member: str
    kind: Kind
    family: str | None = None
    project: Project
    within: str | None = None

    def all(self, store: Store, scope: Scope) -> Iterator[Found]:
        """Every resource of a scope."""
        for entity in store.select(scope, self.kind, parent=self.family):
            yield from self.project(store, entity)


def _tags(store: Store, entity: Entity) -> dict[str, Callable[[], Json]]:
    return {"Tags": lambda: store.tags(entity.arn)}


def _plain(prefix: str, *, named: bool = True, status: str = "") -> Project:
    """The record of an entity whose body is its description."""

    def project(store: Store, entity: Entity) -> Iterable[Found]:
        members: dict[str, Json] = {**entity.body, **timed(entity), f"{prefix}Arn": entity.arn}
        if named:
            members[f"{prefix}Name"] = entity.name
        if status:
            members[status] = entity.status
        return (Found(entity, members, _tags(store, entity)),)

    return project


def _record(prefix: str) -> Project:
    def project(store: Store, entity: Entity) -> Iterable[Found]:
        members = {**timed(entity), **entity.body, f"{prefix}Arn": entity.arn}
        return (Found(entity, members, _tags(store, entity)),)

    return project


def _trial(store: Store, entity: Entity) -> Iterable[Found]:
    def components() -> Json:
        made = (store.by_arn(arn) for arn in Graph(store).components(entity.arn))
        return [component_summary(each) for each in made if each is not None]

    members = {**entity.body, **timed(entity), "TrialArn": entity.arn}
    return (Found(entity, members, {**_tags(store, entity), "TrialComponentSummaries": components}),)


def _component(store: Store, entity: Entity) -> Iterable[Found]:
    later: dict[str, Callable[[], Json]] = {
        **_tags(store, entity),
        "Metrics": lambda: Metrics(store.database).summaries(entity.arn),
        "Parents": lambda: _parents(store, entity),
        "SourceDetail": lambda: _source(store, entity),
    }
    own = {"TrialComponentArn": entity.arn, "LineageGroupArn": group_arn(entity.scope)}
    return (Found(entity, {**entity.body, **timed(entity), **own}, later),)


def _parents(store: Store, component: Entity) -> Json:
    trials = (store.by_arn(arn) for arn in Graph(store).trials(component.arn))
    return [{"TrialName": trial.name, "ExperimentName": trial.parent} for trial in trials if trial is not None]


def _source(store: Store, component: Entity) -> Json:
    job = store.by_arn(component.parent) if component.parent else None
    if job is None or job.kind not in _JOBS:
        return None
    (found,) = _JOBS[job.kind][1](store, job)
    return {"SourceArn": job.arn, _JOBS[job.kind][0]: found.members()}


def _execution(_store: Store, entity: Entity) -> Iterable[Found]:
    members = {
        **entity.body,
        **timed(entity),
        "PipelineArn": naming.pipeline_arn(entity.arn),
        "PipelineExecutionArn": entity.arn,
        "PipelineExecutionStatus": entity.status,
    }
    return (Found(entity, members),)


def _version(_store: Store, entity: Entity) -> Iterable[Found]:
    return (Found(entity, {**entity.body, **timed(entity), "PipelineArn": entity.arn.rsplit("/version/", 1)[0]}),)


def _model(store: Store, entity: Entity) -> Iterable[Found]:
    model = {**entity.body, **timed(entity), "ModelName": entity.name, "ModelArn": entity.arn}
    return (Found(entity, {}, {"Model": lambda: {**model, "Tags": store.tags(entity.arn)}}),)


def _features(_store: Store, group: Entity) -> Iterable[Found]:
    described = group.body.get("FeatureMetadata") or {}
    for feature in group.body.get("FeatureDefinitions") or []:
        name = feature["FeatureName"]
        own = {**feature, **timed(group), **(described.get(name) or {})}
        own |= {"FeatureGroupArn": group.arn, "FeatureGroupName": group.body.get("FeatureGroupName")}
        found = Found(group, own)
        found.arn = f"{group.arn}/{name}"
        yield found


_TRAINING: Final = _plain("TrainingJob", status="TrainingJobStatus")
_JOBS: Final[Mapping[Kind, tuple[str, Project]]] = {
    Kind.TRAINING_JOB: ("TrainingJob", _TRAINING),
    Kind.PROCESSING_JOB: ("ProcessingJob", _plain("ProcessingJob", status="ProcessingJobStatus")),
}


def _of_records(family: str, member: str = "") -> Resource:
    return Resource(member=member or family, kind=Kind.RECORD, family=family, project=_record(family))


RESOURCES: Final[Mapping[str, Resource | None]] = {
    "TrainingJob": Resource(member="TrainingJob", kind=Kind.TRAINING_JOB, project=_TRAINING),
    "Experiment": Resource(member="Experiment", kind=Kind.EXPERIMENT, project=_plain("Experiment")),
    "ExperimentTrial": Resource(member="Trial", kind=Kind.TRIAL, project=_trial),
    "ExperimentTrialComponent": Resource(member="TrialComponent", kind=Kind.TRIAL_COMPONENT, project=_component),
    "Pipeline": Resource(member="Pipeline", kind=Kind.PIPELINE, project=_plain("Pipeline")),
    "PipelineExecution": Resource(member="PipelineExecution", kind=Kind.EXECUTION, project=_execution),
    "PipelineVersion": Resource(member="PipelineVersion", kind=Kind.PIPELINE_VERSION, project=_version),
    "ModelPackage": Resource(
        member="ModelPackage", kind=Kind.MODEL_PACKAGE, project=_plain("ModelPackage", named=False)
    ),
    "ModelPackageGroup": Resource(
        member="ModelPackageGroup", kind=Kind.MODEL_PACKAGE_GROUP, project=_plain("ModelPackageGroup")
    ),
    "Model": Resource(member="Model", kind=Kind.MODEL, project=_model, within="Model"),
    "Endpoint": Resource(member="Endpoint", kind=Kind.ENDPOINT, project=_plain("Endpoint", status="EndpointStatus")),
    "FeatureGroup": _of_records("FeatureGroup"),
    "FeatureMetadata": Resource(member="FeatureMetadata", kind=Kind.RECORD, family="FeatureGroup", project=_features),
    "Project": _of_records("Project"),
    "ModelCard": _of_records("ModelCard"),
    "HyperParameterTuningJob": Resource(
        member="HyperParameterTuningJob",
        kind=Kind.TUNING_JOB,
        project=_plain("HyperParameterTuningJob", status="HyperParameterTuningJobStatus"),
    ),
    "Job": _of_records("Job"),
    "HubContent": _of_records("HubContent"),
    # SearchRecord has no member for these two.
    "Image": None,
    "ImageVersion": None,
}
"""By the value of Resource; None for what no record of the model can hold."""
