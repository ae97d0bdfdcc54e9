"""Rules about what the service demands of Arguments though its model does not say so.

Sources: the SageMaker API reference's prose on each request, and the service's ValidationExceptions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from mlops_sm.checks.subject import Subject, place
from mlops_sm.definition.document import Json, Step
from mlops_sm.definition.expressions import is_expression
from mlops_sm.definition.kinds import StepKind
from mlops_sm.definition.wording import item, member, shown
from mlops_sm.errors import Problem

PROCESSING_ROOT: Final = "/opt/ml/processing"


class _Finding(NamedTuple):
    code: str
    path: str
    what: str
    fix: str


_Findings = Iterator[_Finding]


def check_required(subject: Subject) -> Iterator[Problem]:
    """Members that go together are there together (E250), alternatives are not mixed (E251), values make sense."""
    for step in subject.definition.walk():
        rule = _RULES.get(step.kind)
        for code, path, what, fix in rule(step) if rule is not None else ():
            yield Problem(code, place(step, path), what, fix)


# ---------------------------------------------------------------- looking into Arguments of any shape


def _inside(value: Json, key: str) -> dict[str, Json]:
    """The object under a key; empty when it is absent or something else, which the shapes report."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) and not is_expression(found) else {}


def _each(value: Json, key: str, path: str) -> Iterator[tuple[str, dict[str, Json]]]:
    """The objects of the list under a key, with their paths."""
    found = value.get(key) if isinstance(value, dict) else None
    for index, entry in enumerate(found if isinstance(found, list) else ()):
        if isinstance(entry, dict) and not is_expression(entry):
            yield item(member(path, key), index), entry


def _need(value: dict[str, Json], keys: tuple[str, ...], path: str, why: str = "the service requires it") -> _Findings:
    for key in keys:
        if key not in value:
            yield _Finding("E250", path, f'"{key}" is missing: {why}', f'Add "{key}".')


def _one_of(value: dict[str, Json], keys: tuple[str, ...], path: str) -> _Findings:
    given = [key for key in keys if key in value]
    if not given:
        names = " or ".join(f'"{key}"' for key in keys)
        yield _Finding(
            "E250", path, f"{names} is missing: the service requires one", f'Add "{keys[0]}" or another one.'
        )
    elif len(given) > 1:
        names = " and ".join(f'"{key}"' for key in given)
        yield _Finding("E251", path, f"{names} exclude each other", "Keep one of them.")


def _at_least_one(value: dict[str, Json], key: str, path: str) -> _Findings:
    found = value.get(key)
    if isinstance(found, int) and not isinstance(found, bool) and found == 0:
        yield _Finding("E257", member(path, key), f"{key} must be at least 1", "Give 1 or more.")


def _unique(value: Json, key: str, by: str, path: str) -> _Findings:
    seen: set[str] = set()
    for where, entry in _each(value, key, path):
        name = entry.get(by)
        if isinstance(name, str):
            if name in seen:
                yield _Finding("E256", member(where, by), f'{by} "{shown(name)}" is used twice', "Rename one of them.")
            seen.add(name)


# ---------------------------------------------------------------- kinds


def _processing(step: Step) -> _Findings:
    arguments = step.arguments
    cluster = _inside(_inside(arguments, "ProcessingResources"), "ClusterConfig")
    where = "Arguments.ProcessingResources.ClusterConfig"
    if cluster and "InstancePreferences" not in cluster:
        yield from _need(cluster, ("InstanceCount", "InstanceType"), where)
    for path, entry in _each(arguments, "ProcessingInputs", "Arguments"):
        yield from _one_of(entry, ("S3Input", "DatasetDefinition"), path)
        managed = entry.get("AppManaged") is True
        yield from _local_path(
            _inside(entry, "S3Input"), member(path, "S3Input"), managed, ("LocalPath", "S3InputMode")
        )
        dataset = _inside(entry, "DatasetDefinition")
        yield from _local_path(dataset, member(path, "DatasetDefinition"), managed, ("LocalPath",))
    yield from _unique(arguments, "ProcessingInputs", "InputName", "Arguments")
    outputs = _inside(arguments, "ProcessingOutputConfig")
    for path, entry in _each(outputs, "Outputs", "Arguments.ProcessingOutputConfig"):
        if "FeatureStoreOutput" not in entry:
            yield from _need(entry, ("S3Output",), path)
        managed = entry.get("AppManaged") is True
        yield from _local_path(_inside(entry, "S3Output"), member(path, "S3Output"), managed, ("LocalPath",))
    yield from _unique(outputs, "Outputs", "OutputName", "Arguments.ProcessingOutputConfig")


def _local_path(source: dict[str, Json], path: str, managed: bool, needed: tuple[str, ...]) -> _Findings:
    if not source:
        return
    if not managed:
        yield from _need(source, needed, path, "the service requires it unless AppManaged is true")
    local = source.get("LocalPath")
    if isinstance(local, str) and local != PROCESSING_ROOT and not local.startswith(PROCESSING_ROOT + "/"):
        what = f'LocalPath "{shown(local)}" is outside of {PROCESSING_ROOT}'
        yield _Finding("E252", member(path, "LocalPath"), what, f"Start it with {PROCESSING_ROOT}/.")


def _training(step: Step) -> _Findings:
    arguments = dict(step.arguments)
    if "ServerlessJobConfig" not in arguments:
        yield from _need(arguments, ("AlgorithmSpecification", "ResourceConfig", "StoppingCondition"), "Arguments")
    if isinstance(arguments.get("AlgorithmSpecification"), dict):
        algorithm = _inside(arguments, "AlgorithmSpecification")
        yield from _one_of(algorithm, ("TrainingImage", "AlgorithmName"), "Arguments.AlgorithmSpecification")
    yield from _resources(arguments, "Arguments")
    yield from _channels(arguments, "Arguments")
    yield from _spot(arguments, "Arguments")


def _resources(job: dict[str, Json], path: str) -> _Findings:
    config = job.get("ResourceConfig")
    if not isinstance(config, dict) or is_expression(config):
        return
    where = member(path, "ResourceConfig")
    groups = [*_each(config, "InstanceGroups", where)]
    if "InstanceGroups" in config:
        clash = [key for key in ("InstanceType", "InstanceCount", "KeepAlivePeriodInSeconds") if key in config]
        if clash:
            what = f'"InstanceGroups" excludes {", ".join(clash)}'
            yield _Finding("E251", where, what, "Keep one or the other.")
    elif "InstancePreferences" not in config:
        yield from _need(config, ("InstanceType", "InstanceCount"), where, "without InstanceGroups it is required")
    for here, entry in [(where, config), *groups]:
        yield from _at_least_one(entry, "InstanceCount", here)
    yield from _at_least_one(config, "VolumeSizeInGB", where)
    if "KeepAlivePeriodInSeconds" in config and job.get("EnableManagedSpotTraining") is True:
        what = '"KeepAlivePeriodInSeconds" and managed spot training exclude each other'
        yield _Finding("E251", where, what, "Drop the warm pool or the spot training.")


def _channels(job: dict[str, Json], path: str) -> _Findings:
    for where, channel in _each(job, "InputDataConfig", path):
        if isinstance(channel.get("DataSource"), dict):
            source = _inside(channel, "DataSource")
            known = ("S3DataSource", "FileSystemDataSource", "DatasetSource")
            yield from _one_of(source, known, member(where, "DataSource"))
    yield from _unique(job, "InputDataConfig", "ChannelName", path)


def _spot(job: dict[str, Json], path: str) -> _Findings:
    stopping = _inside(job, "StoppingCondition")
    where = member(path, "StoppingCondition")
    spot, wait = job.get("EnableManagedSpotTraining"), stopping.get("MaxWaitTimeInSeconds")
    if spot is True and wait is None and "StoppingCondition" in job:
        yield from _need(stopping, ("MaxWaitTimeInSeconds",), where, "managed spot training requires it")
    elif wait is not None and spot in (None, False):
        what = "MaxWaitTimeInSeconds is for managed spot training, which is off"
        yield _Finding("E251", where, what, "Remove it, or set EnableManagedSpotTraining to true.")
    runtime = stopping.get("MaxRuntimeInSeconds")
    if isinstance(wait, int) and isinstance(runtime, int) and wait < runtime:
        what = f"MaxWaitTimeInSeconds ({wait}) is less than MaxRuntimeInSeconds ({runtime})"
        yield _Finding("E257", member(where, "MaxWaitTimeInSeconds"), what, f"Give at least {runtime}.")


def _tuning(step: Step) -> _Findings:
    arguments = dict(step.arguments)
    single, several = "TrainingJobDefinition", "TrainingJobDefinitions"
    yield from _one_of(arguments, (single, several), "Arguments")
    config = _inside(arguments, "HyperParameterTuningJobConfig")
    if config and single in arguments:
        yield from _need(config, ("HyperParameterTuningJobObjective",), "Arguments.HyperParameterTuningJobConfig")
    definitions = [("Arguments." + single, _inside(arguments, single)), *_each(arguments, several, "Arguments")]
    for path, definition in definitions:
        if not definition:
            continue
        yield from _one_of(definition, ("ResourceConfig", "HyperParameterTuningResourceConfig"), path)
        algorithm = definition.get("AlgorithmSpecification")
        if isinstance(algorithm, dict):
            yield from _one_of(algorithm, ("TrainingImage", "AlgorithmName"), member(path, "AlgorithmSpecification"))
        if path.endswith("]"):
            why = "several definitions need their own name and objective"
            yield from _need(definition, ("DefinitionName", "TuningObjective"), path, why)
        yield from _resources(definition, path)
        yield from _channels(definition, path)
        yield from _spot(definition, path)


def _model(step: Step) -> _Findings:
    arguments = dict(step.arguments)
    yield from _one_of(arguments, ("PrimaryContainer", "Containers"), "Arguments")
    containers = [*_each(arguments, "Containers", "Arguments")]
    if isinstance(arguments.get("PrimaryContainer"), dict):
        containers.append(("Arguments.PrimaryContainer", _inside(arguments, "PrimaryContainer")))
    for path, container in containers:
        yield from _one_of(container, ("Image", "ModelPackageName"), path)
        if "ModelDataUrl" in container and "ModelDataSource" in container:
            yield from _one_of(container, ("ModelDataUrl", "ModelDataSource"), path)


def _register_model(step: Step) -> _Findings:
    if "ModelPackageGroupName" not in step.arguments and "ModelPackageName" not in step.arguments:
        yield from _one_of(dict(step.arguments), ("ModelPackageGroupName", "ModelPackageName"), "Arguments")


def _endpoint_config(step: Step) -> _Findings:
    for key in ("ProductionVariants", "ShadowProductionVariants"):
        for path, variant in _each(dict(step.arguments), key, "Arguments"):
            if "ServerlessConfig" in variant:
                for other in ("InstanceType", "InitialInstanceCount"):
                    if other in variant:
                        what = f'"ServerlessConfig" and "{other}" exclude each other'
                        yield _Finding("E251", path, what, "Keep one of them.")
            elif "InstancePools" not in variant:
                why = "without ServerlessConfig it is required"
                # A variant without a model hosts inference components, which bring their own copies.
                needed = ("InstanceType", "InitialInstanceCount") if "ModelName" in variant else ("InstanceType",)
                yield from _need(variant, needed, path, why)


def _inference_component(step: Step) -> _Findings:
    yield from _one_of(dict(step.arguments), ("Specification", "Specifications"), "Arguments")


def _emr(step: Step) -> _Findings:
    arguments = dict(step.arguments)
    yield from _one_of(arguments, ("ClusterId", "ClusterConfig"), "Arguments")
    if "ExecutionRoleArn" in arguments and "ClusterConfig" in arguments:
        what = "ExecutionRoleArn is for a running cluster, named by ClusterId"
        yield _Finding("E251", "Arguments", what, "Remove it, or use ClusterId.")


def _emr_serverless(step: Step) -> _Findings:
    yield from _one_of(dict(step.arguments), ("ApplicationId", "ApplicationConfig"), "Arguments")


def _lineage(step: Step) -> _Findings:
    kinds = ("Actions", "Artifacts", "Contexts", "Associations")
    if not any(step.arguments.get(key) for key in kinds):
        what = "a Lineage step needs at least one entity or association"
        yield _Finding("E250", "Arguments", what, "Add Actions, Artifacts, Contexts or Associations.")
    for path, association in _each(dict(step.arguments), "Associations", "Arguments"):
        for key in ("Source", "Destination"):
            entity = association.get(key)
            if isinstance(entity, dict) and "Arn" not in entity and not {"Name", "Type"} <= entity.keys():
                what = "an entity is named by its Arn, or by its Name and Type"
                yield _Finding("E250", member(path, key), what, 'Add "Arn", or both "Name" and "Type".')


_RULES: Final[Mapping[StepKind, Callable[[Step], _Findings]]] = MappingProxyType(
    {
        StepKind.PROCESSING: _processing,
        StepKind.QUALITY_CHECK: _processing,
        StepKind.CLARIFY_CHECK: _processing,
        StepKind.TRAINING: _training,
        StepKind.TUNING: _tuning,
        StepKind.MODEL: _model,
        StepKind.REGISTER_MODEL: _register_model,
        StepKind.ENDPOINT_CONFIG: _endpoint_config,
        StepKind.INFERENCE_COMPONENT: _inference_component,
        StepKind.EMR: _emr,
        StepKind.EMR_SERVERLESS: _emr_serverless,
        StepKind.LINEAGE: _lineage,
    }
)
