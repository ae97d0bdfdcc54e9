"""What SageMaker itself records: trial components of jobs, artifacts and associations of jobs and model packages.

Sources: developer guide, "Amazon SageMaker-Created Tracking Entities"; the names of entities, parameters and types as
AWS's sample notebooks and SDK show them (``-aws-training-job``, ``SageMaker.InstanceType``, ``ModelGroup``);
the SDK finds a job's execution by its tag ``sagemaker:pipeline-execution-arn``.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from mlops_sm import naming
from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.sagemaker.experiments import experiment, trial
from mlops_sm.emulator.sagemaker.experiments_components import component
from mlops_sm.emulator.sagemaker.lineage import artifact, entity_arn, missing, named
from mlops_sm.emulator.sagemaker.lineage_graph import Association, Graph
from mlops_sm.emulator.sagemaker.lineage_jobs import JobFacts, facts_of
from mlops_sm.emulator.sagemaker.metrics import Metrics, Point
from mlops_sm.emulator.sagemaker.tuning_records import children_of
from mlops_sm.emulator.store import Entity, Kind, Scope, Store

_log = logging.getLogger(__name__)

_JOBS: Final = ("ProcessingJob", "TrainingJob", "TransformJob", "TuningJob")
"""Members of a step's metadata that name a job with a trial component, or with training jobs that have one."""
_EXECUTION_TAG: Final = "sagemaker:pipeline-execution-arn"
_MAX_NAME: Final = 120
_AUTOMATIC: Final[Mapping[str, Json]] = {"Automatic": True}
"""Does not count for the limits of what clients create."""


class LineageRecorder:
    """A listener of the store that writes the records inside the transaction of the change they are about.

    Args:
        store: Told of, and written to.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._graph = Graph(store)
        self._metrics = Metrics(store.database)

    def entity_changed(self, before: Entity | None, after: Entity) -> None:
        """Record a job, an execution, a model package or its group.

        Raises:
            AwsError: ResourceNotFound, a new job names an experiment or a trial that does not exist.
        """
        try:
            self._record(before, after)
        except (AwsError, sqlite3.Error):
            raise
        except Exception:
            # A record is not worth a job.
            _log.exception("the lineage of %s could not be recorded", after.arn)

    def step_changed(self, execution: str, before: str | None, body: Mapping[str, Json]) -> None:
        """Tag a step's job, and make its component part of the execution's trial."""
        if body["StepStatus"] != "Executing" or before == "Executing":
            return
        metadata = body.get("Metadata") or {}
        arn = next((metadata[name]["Arn"] for name in _JOBS if name in metadata), None)
        if arn is None:
            return
        tags = {_EXECUTION_TAG: execution, "sagemaker:pipeline-step-name": body["StepName"]}
        self._store.put_tags(arn, [{"Key": key, "Value": value} for key, value in tags.items()])
        jobs = [arn]
        if "TuningJob" in metadata:
            tuning_job = self._store.by_arn(arn)
            if tuning_job is not None:
                # Those that it has started by now; later ones find the tag.
                jobs = [child.arn for child in children_of(self._store, tuning_job)]
        for job in jobs:
            self._join_execution(job, execution, body["StartTime"])

    def _join_execution(self, job: str, execution: str, now: float) -> None:
        """Make a job's component part of an execution's trial."""
        owner = self._store.by_arn(execution)
        name = (owner.body.get("PipelineExperimentConfig") or {}).get("TrialName") if owner is not None else None
        if owner is not None and name is not None:
            for made in self._store.select(owner.scope, Kind.TRIAL_COMPONENT, parent=job):
                self._graph.join_trial(entity_arn(owner.scope, Kind.TRIAL, name), made.arn, now)

    def _record(self, before: Entity | None, after: Entity) -> None:
        match after.kind:
            case Kind.PROCESSING_JOB | Kind.TRAINING_JOB | Kind.TRANSFORM_JOB:
                if before is None:
                    self._job_started(after)
                elif before.status != after.status:
                    self._job_changed(after)
            case Kind.EXECUTION if before is None:
                self._execution_started(after)
            case Kind.MODEL_PACKAGE_GROUP if before is None:
                self._store.add(_group_context(after.scope, after.name, after.arn, after.created))
            case Kind.MODEL_PACKAGE:
                if before is None:
                    self._package_registered(after)
                elif before.status != after.status:
                    self._package_decided(after)
            case _:
                return

    # ------------------------------------------------------------------ experiments

    def _execution_started(self, execution: Entity) -> None:
        config = execution.body.get("PipelineExperimentConfig") or {}
        if not config.keys() >= {"ExperimentName", "TrialName"}:
            return
        now, scope, name = execution.created, execution.scope, config["ExperimentName"]
        source = {"SourceArn": naming.pipeline_arn(execution.arn), "SourceType": "SageMakerPipeline"}
        self._store.add(experiment(scope, name, now, {"Source": source}))
        owner = self._store.by_arn(entity_arn(scope, Kind.EXPERIMENT, name))
        if owner is not None:
            source = {"SourceArn": execution.arn, "SourceType": "SageMakerPipelineExecution"}
            self._store.add(trial(owner, config["TrialName"], now, {"Source": source}))

    def _join_trial(self, job: Entity, made: Entity) -> None:
        """Follow the request's ExperimentConfig (API reference, ExperimentConfig)."""
        config = job.body.get("ExperimentConfig") or {}
        if "ExperimentName" in config:
            owner = self._find(job.scope, Kind.EXPERIMENT, config["ExperimentName"])
            if "TrialName" not in config:
                fresh = trial(owner, naming.shorten(f"{job.name}-aws-trial", _MAX_NAME), job.created, {})
                self._store.add(fresh)
                self._graph.join_trial(fresh.arn, made.arn, job.created)
        if "TrialName" in config:
            found = self._find(job.scope, Kind.TRIAL, config["TrialName"])
            self._graph.join_trial(found.arn, made.arn, job.created)

    def _find(self, scope: Scope, kind: Kind, name: str) -> Entity:
        arn = entity_arn(scope, kind, name)
        found = self._store.by_arn(arn)
        if found is None:
            raise missing(kind, arn)
        return found

    # ------------------------------------------------------------------ jobs

    def _job_started(self, job: Entity) -> None:
        facts = facts_of(job)
        config = job.body.get("ExperimentConfig") or {}
        members: dict[str, Json] = {
            "DisplayName": config.get("TrialComponentDisplayName", facts.component),
            "Source": {"SourceArn": job.arn, "SourceType": facts.source_type},
            "Status": facts.status,
            "Parameters": dict(facts.parameters),
            "InputArtifacts": {name: {"Value": uri} for name, uri in facts.inputs.items()},
            "OutputArtifacts": {name: {"Value": uri} for name, uri in facts.outputs.items()},
        }
        if "RunName" in config:
            members["RunName"] = config["RunName"]
        made = component(job.scope, facts.component, job.created, members)
        if not self._store.add(made):
            # Of a job of that name that was deleted.
            self._metrics.forget(made.arn)
            self._store.save(made)
        self._join_trial(job, made)
        for tag in self._store.tags(job.body["TuningJobArn"]) if "TuningJobArn" in job.body else ():
            if tag["Key"] == _EXECUTION_TAG:
                self._join_execution(job.arn, tag["Value"], job.created)

    def _job_changed(self, job: Entity) -> None:
        facts = facts_of(job)
        made = self._store.by_arn(entity_arn(job.scope, Kind.TRIAL_COMPONENT, facts.component))
        if made is None:
            return
        changes: dict[str, Json] = {"Status": facts.status, "StartTime": facts.started, "EndTime": facts.ended}
        if facts.has_ended:
            outputs = {name: {"Value": uri} for name, uri in facts.outputs.items()}
            changes["OutputArtifacts"] = {**(made.body.get("OutputArtifacts") or {}), **outputs}
        self._store.save(made.with_body(changes, modified=job.modified))
        if facts.has_ended:
            self._job_ended(job, facts, made)

    def _job_ended(self, job: Entity, facts: JobFacts, made: Entity) -> None:
        for uri, kind in facts.sources():
            self._link(self._artifact(job, uri, kind), made.arn, "ContributedTo", job)
        for uri, kind in facts.products():
            self._link(made.arn, self._artifact(job, uri, kind), "Produced", job)
        series = job.body.get("MetricSeries") or []
        for name, time, value in series:
            self._metrics.put(made.arn, name, job.arn, [Point(None, time, value)])
        if series:
            self._store.save(job.with_body({"MetricSeries": None}, modified=job.modified))

    # ------------------------------------------------------------------ model packages

    def _package_registered(self, package: Entity) -> None:
        own = artifact(package.scope, {"SourceUri": package.arn}, "Model", package.created, _AUTOMATIC)
        self._store.add(own)
        for uri, kind in _package_sources(package.body):
            self._link(self._artifact(package, uri, kind), own.arn, "ContributedTo", package)
        if package.parent:
            group = package.scope.arn(Kind.MODEL_PACKAGE_GROUP, package.parent)
            context = _group_context(package.scope, package.parent, group, package.created)
            self._store.add(context)
            self._link(own.arn, context.arn, "AssociatedWith", package)
            self._package_decided(package)

    def _package_decided(self, package: Entity) -> None:
        """An action per approval status that a version enters."""
        # group/version as group-version
        subject = package.arn.split(f":{Kind.MODEL_PACKAGE}/", 1)[-1].replace("/", "-")
        name = f"{subject}-{package.status}-{int(package.modified)}-aws-model-group"
        members = {
            "Source": {"SourceUri": package.arn, "SourceType": "ARN"},
            "ActionType": "Approval",
            "Status": "Completed",
            "Properties": {"ModelApprovalStatus": package.status},
            **_AUTOMATIC,
        }
        action = named(Kind.ACTION, package.scope, naming.shorten(name, _MAX_NAME), package.modified, members)
        self._store.add(action)
        own = artifact(package.scope, {"SourceUri": package.arn}, "Model", package.created)
        self._link(action.arn, own.arn, "ContributedTo", package)

    # ------------------------------------------------------------------ edges

    def _artifact(self, about: Entity, uri: str, kind: str) -> str:
        """The ARN of the artifact of a URI; one that exists is used again, whoever made it."""
        made = artifact(about.scope, {"SourceUri": uri}, kind, about.modified, _AUTOMATIC)
        self._store.add(made)
        return made.arn

    def _link(self, source: str, destination: str, kind: str, about: Entity) -> None:
        edge = Association(source, destination, kind, about.modified)
        self._graph.associate(about.scope, edge, automatic=True)


def _group_context(scope: Scope, group: str, arn: str, now: float) -> Entity:
    members = {"Source": {"SourceUri": arn, "SourceType": "ARN"}, "ContextType": "ModelGroup", **_AUTOMATIC}
    return named(Kind.CONTEXT, scope, naming.shorten(f"{group}-aws-model-group", _MAX_NAME), now, members)


def _package_sources(body: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """URIs and artifact types of what a model package is made of."""
    specifications = [body.get("InferenceSpecification"), *(body.get("AdditionalInferenceSpecifications") or [])]
    containers: Iterable[Json] = (each for spec in specifications for each in (spec or {}).get("Containers") or [])
    for container in containers:
        source = ((container.get("ModelDataSource") or {}).get("S3DataSource") or {}).get("S3Uri")
        for uri, kind in ((container.get("Image"), "Image"), (container.get("ModelDataUrl") or source, "Model")):
            if uri:
                yield uri, kind
    for algorithm in (body.get("SourceAlgorithmSpecification") or {}).get("SourceAlgorithms") or []:
        yield algorithm["AlgorithmName"], "Algorithm"
        if algorithm.get("ModelDataUrl"):
            yield algorithm["ModelDataUrl"], "Model"
