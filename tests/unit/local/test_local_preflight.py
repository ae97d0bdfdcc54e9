"""What cannot run here is refused before the first step, and what has no effect is said once."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.model import Shape

from mlops_sm.checks.service import sagemaker_model
from mlops_sm.definition.document import CachePolicy, Definition, Step
from mlops_sm.definition.kinds import SERVICE_CALLS, StepKind
from mlops_sm.errors import Problem
from mlops_sm.local.fidelity import FIDELITY, Ignored, Member, Refused, treatment_of
from mlops_sm.local.handlers import ENGINE_KINDS, HANDLERS, UNSUPPORTED
from mlops_sm.local.images import ImageTable
from mlops_sm.local.isolation.layer import Capabilities
from mlops_sm.local.isolation.linux import NamespaceIsolation
from mlops_sm.local.preflight import preflight
from mlops_sm.local.user_handlers import UserHandlers

PYTHON = "1.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1"
PROCESSING: dict[str, Any] = {
    "AppSpecification": {"ImageUri": PYTHON, "ContainerEntrypoint": ["python3", "x.py"]},
    "ProcessingResources": {"ClusterConfig": {"InstanceCount": 1}},
}
TRAINING: dict[str, Any] = {
    "AlgorithmSpecification": {"TrainingImage": PYTHON, "TrainingInputMode": "File"},
    "HyperParameters": {"sagemaker_program": "train.py"},
    "ResourceConfig": {"InstanceCount": 1},
}


def step(name: str, kind: StepKind, arguments: Mapping[str, Any], **members: Any) -> Step:
    return Step(name=name, kind=kind, arguments=arguments, path=f'Steps["{name}"]', **members)


def check(*steps: Step, parameters: Mapping[str, Any] | None = None, **options: Any) -> list[Problem]:
    definition = Definition(version="2020-12-01", parameters=(), steps=steps)
    return preflight(definition, parameters or {}, ImageTable(), **options)


def processing(**members: Any) -> Step:
    return step("Prepare", StepKind.PROCESSING, {**PROCESSING, **members})


def training(**members: Any) -> Step:
    return step("Train", StepKind.TRAINING, {**TRAINING, **members})


def codes(problems: list[Problem]) -> list[str]:
    return [problem.code for problem in problems]


def test_every_kind_is_in_exactly_one_table() -> None:
    tables = [set(HANDLERS), set(ENGINE_KINDS), set(UNSUPPORTED)]
    assert set().union(*tables) == set(StepKind)
    assert sum(map(len, tables)) == len(StepKind)


def test_what_runs_here_passes() -> None:
    assert check(processing(), training(), step("Model", StepKind.MODEL, {}), step("Stop", StepKind.FAIL, {})) == []


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_other_kinds_are_refused_with_their_reason(kind: StepKind) -> None:
    (problem,) = check(step("Other", kind, {}))
    assert problem.code == "E403"
    assert UNSUPPORTED[kind] in problem.what


def test_steps_in_branches_are_refused_too() -> None:
    inner = step("Inner", StepKind.EMR, {})
    problems = check(step("If", StepKind.CONDITION, {"IfSteps": [{}]}, children=(inner,)))
    assert codes(problems) == ["E403"]
    assert '"Inner"' in problems[0].what


@pytest.mark.parametrize(
    ("bad", "code", "where"),
    [
        (processing(AppSpecification={"ImageUri": "mine:1"}), "E402", "AppSpecification.ImageUri"),
        (processing(AppSpecification={"ImageUri": PYTHON}), "E407", "AppSpecification.ContainerEntrypoint"),
        (
            processing(
                ProcessingInputs=[{"InputName": "q", "DatasetDefinition": {"LocalPath": "/x", "InputMode": "F"}}]
            ),
            "E404",
            "ProcessingInputs[].DatasetDefinition",
        ),
        (
            processing(ProcessingOutputConfig={"Outputs": [{"FeatureStoreOutput": {"FeatureGroupName": "g"}}]}),
            "E404",
            "FeatureStoreOutput",
        ),
        (training(AlgorithmSpecification={"TrainingImage": "1/xgboost:1"}), "E402", "TrainingImage"),
        (training(HyperParameters={"depth": "3"}), "E405", "AlgorithmSpecification"),
        (training(ResourceConfig={"InstanceCount": 4}, EnableNetworkIsolation=True), "E418", "ResourceConfig"),
        (
            training(
                ResourceConfig={"InstanceGroups": [{"InstanceCount": 1}, {"InstanceCount": 1}]},
                EnableNetworkIsolation=True,
            ),
            "E418",
            "ResourceConfig",
        ),
        (
            processing(
                ProcessingResources={"ClusterConfig": {"InstanceCount": 2}},
                NetworkConfig={"EnableNetworkIsolation": True},
            ),
            "E418",
            "ClusterConfig",
        ),
        (
            training(InputDataConfig=[{"DataSource": {"S3DataSource": {"S3DataType": "Converse"}}}]),
            "E404",
            "S3DataType",
        ),
        (
            training(InputDataConfig=[{"DataSource": {"FileSystemDataSource": {"FileSystemId": "fs-1"}}}]),
            "E404",
            "FileSystemDataSource",
        ),
        (training(AlgorithmSpecification={"AlgorithmName": "arn:x"}), "E404", "AlgorithmName"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refusals(bad: Step, code: str, where: str) -> None:
    problems = [problem for problem in check(bad) if problem.is_error]
    assert codes(problems) == [code]
    assert problems[0].where.startswith(f"{bad.path} -> Arguments.")
    assert where in problems[0].where
    assert problems[0].fix


@pytest.mark.parametrize("member", ["PrimaryContainer", "Containers"])
def test_the_image_of_a_model_matters_when_a_transform_step_uses_it(member: str) -> None:
    container = {"Image": "mine:1", "ModelDataUrl": "s3://b/model.tar.gz"}
    model = step("Make", StepKind.MODEL, {member: container if member == "PrimaryContainer" else [container]})
    used = step("Score", StepKind.TRANSFORM, {"ModelName": {"Get": "Steps.Make.ModelName"}})
    assert codes(check(model)) == []
    (problem,) = check(model, used)
    assert problem.code == "E402"
    assert problem.where.startswith('Steps["Make"] -> Arguments.') and problem.where.endswith("Image")
    assert codes(check(step("Score", StepKind.TRANSFORM, {"ModelName": "there-already"}))) == []


def tuning(strategy: str = "Random", **members: Any) -> Step:
    definition = {**TRAINING, "StaticHyperParameters": TRAINING["HyperParameters"], **members}
    del definition["HyperParameters"]
    config = {"Strategy": strategy, "ResourceLimits": {"MaxParallelTrainingJobs": 1}}
    return step("Tune", StepKind.TUNING, {"HyperParameterTuningJobConfig": config, "TrainingJobDefinition": definition})


@pytest.mark.parametrize(
    ("members", "code", "where"),
    [
        ({"AlgorithmSpecification": {"TrainingImage": "1/xgboost:1"}}, "E402", "AlgorithmSpecification.TrainingImage"),
        ({"StaticHyperParameters": {}}, "E405", "AlgorithmSpecification"),
        (
            {"InputDataConfig": [{"DataSource": {"FileSystemDataSource": {"FileSystemId": "f"}}}]},
            "E404",
            "InputDataConfig",
        ),
    ],
)
def test_the_training_jobs_of_a_tuning_step_are_looked_at(members: dict[str, Any], code: str, where: str) -> None:
    (problem,) = (problem for problem in check(tuning(**members)) if problem.is_error)
    assert problem.code == code
    assert f"Arguments.TrainingJobDefinition.{where}" in problem.where
    (problem,) = (
        problem
        for problem in check(step("Tune", StepKind.TUNING, _several(tuning(**members).arguments)))
        if problem.is_error
    )
    assert problem.code == code
    assert "Arguments.TrainingJobDefinitions[" in problem.where


def _several(arguments: Mapping[str, Any]) -> dict[str, Any]:
    config, definition = arguments["HyperParameterTuningJobConfig"], arguments["TrainingJobDefinition"]
    return {"HyperParameterTuningJobConfig": config, "TrainingJobDefinitions": [definition]}


def test_a_bayesian_search_needs_its_optimiser(monkeypatch: pytest.MonkeyPatch) -> None:
    assert codes([problem for problem in check(tuning("Bayesian")) if problem.is_error]) == []
    monkeypatch.setitem(sys.modules, "optuna", None)
    (problem,) = (problem for problem in check(tuning("Bayesian"), tuning("Random")) if problem.is_error)
    assert problem.code == "E414"
    assert "[tuning]" in problem.fix


def test_an_entrypoint_needs_no_program() -> None:
    algorithm = {"TrainingImage": PYTHON, "ContainerEntrypoint": ["/bin/bash"], "TrainingInputMode": "File"}
    assert check(training(AlgorithmSpecification=algorithm, HyperParameters={})) == []
    assert check(training(HyperParameters={}, Environment={"SAGEMAKER_PROGRAM": "t.py"})) == []


def test_values_of_parameters_are_looked_at() -> None:
    image = {"ImageUri": {"Get": "Parameters.Image"}, "ContainerEntrypoint": ["true"]}
    resources = {"InstanceCount": {"Get": "Parameters.Count"}}
    bad = processing(AppSpecification=image), training(ResourceConfig=resources, EnableNetworkIsolation=True)
    assert sorted(codes(check(*bad, parameters={"Image": "mine:1", "Count": 3}))) == ["E402", "E418"]
    assert check(*bad, parameters={"Image": PYTHON, "Count": 1}) == []


def test_what_only_the_run_knows_is_not_refused() -> None:
    joined = {"Std:Join": {"On": "", "Values": [{"Get": "Steps.A.ImageUri"}, ":1"]}}
    late = {"ImageUri": joined, "ContainerEntrypoint": ["true"]}
    resources = {"ClusterConfig": {"InstanceCount": {"Get": "Steps.A.Count"}}}
    assert check(processing(AppSpecification=late, ProcessingResources=resources)) == []


def test_settings_without_effect_are_said_once_with_their_steps() -> None:
    vpc = {"VpcConfig": {"SecurityGroupIds": ["sg-1", "sg-2"], "Subnets": ["s-1"]}}
    problems = check(processing(RoleArn="arn:r", NetworkConfig=vpc), training(RoleArn="arn:r", **vpc))
    assert codes(problems) == ["W402", "W404"]
    role, network = problems
    assert role.where == "steps Prepare, Train -> RoleArn"
    assert "VpcConfig.Subnets" in network.where
    assert not any(problem.is_error for problem in problems)


@pytest.mark.parametrize(
    ("quiet", "members"),
    [
        ("spot", {"EnableManagedSpotTraining": False}),
        ("encryption", {"EnableInterContainerTrafficEncryption": False}),
        ("profiler", {"ProfilerConfig": {"DisableProfiler": True}}),
        ("empty", {"DebugRuleConfigurations": []}),
        ("tags", {"Tags": [{"Key": "a", "Value": "b"}]}),
    ],
)
def test_settings_that_change_nothing_are_not_mentioned(quiet: str, members: dict[str, Any]) -> None:
    assert check(training(**members)) == [], quiet


def test_input_modes_and_caching_are_not_mentioned() -> None:
    algorithm = {"TrainingImage": PYTHON, "TrainingInputMode": "FastFile"}
    cached = step("Cached", StepKind.MODEL, {}, cache=CachePolicy(enabled=True, expire_after="P1D"))
    piped: Any = {
        "InputMode": "Pipe",
        "CompressionType": "Gzip",
        "RecordWrapperType": "RecordIO",
        "ShuffleConfig": {"Seed": 1},
    }
    channels = [channel("fast"), channel("piped", **piped), channel("lines", lines=True, InputMode="Pipe")]
    assert check(training(AlgorithmSpecification=algorithm, InputDataConfig=channels), cached) == []


def channel(name: str, *, lines: bool = False, **more: Any) -> dict[str, Any]:
    kind = {"S3DataType": "AugmentedManifestFile", "AttributeNames": ["a"]} if lines else {"S3DataType": "S3Prefix"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3Uri": "s3://b/d", **kind}}, **more}


@pytest.mark.parametrize("mode", ["File", "FastFile", None])
def test_an_augmented_manifest_needs_a_pipe(mode: str | None) -> None:
    (problem,) = check(training(InputDataConfig=[channel("c", lines=True, **({"InputMode": mode} if mode else {}))]))
    assert (problem.code, problem.is_error) == ("E422", True)
    assert problem.where.endswith("Arguments.InputDataConfig[0].DataSource.S3DataSource.S3DataType")
    assert f"in {mode or 'File'} mode" in problem.what


def test_an_augmented_manifest_needs_attributes() -> None:
    lines = channel("c", lines=True, InputMode="Pipe")
    del lines["DataSource"]["S3DataSource"]["AttributeNames"]
    assert codes(check(training(InputDataConfig=[lines]))) == ["E422"]


def test_a_mode_that_only_a_run_can_know_is_not_judged() -> None:
    lines = channel("c", lines=True, InputMode={"Get": "Steps.Prepare.ProcessingJobStatus"})
    assert check(processing(), training(InputDataConfig=[lines])) == []


@pytest.mark.parametrize("member", [{"CompressionType": "Gzip"}, {"RecordWrapperType": "RecordIO"}])
def test_what_only_pipes_do_is_mentioned(member: Any) -> None:
    (problem,) = check(training(InputDataConfig=[channel("c", **member)]))
    assert (problem.code, problem.is_error) == ("W418", False)
    source = {"S3Uri": "s3://b/d", "LocalPath": "/opt/ml/processing/x", "S3DataType": "S3Prefix"}
    gzipped = [{"InputName": "x", "S3Input": {**source, "S3InputMode": "File", "S3CompressionType": "Gzip"}}]
    assert codes(check(processing(ProcessingInputs=gzipped))) == ["W418"]
    piped = [{"InputName": "x", "S3Input": {**source, "S3InputMode": "Pipe", "S3CompressionType": "Gzip"}}]
    assert check(processing(ProcessingInputs=piped)) == []


def test_what_a_pipeline_says_of_mlflow_is_mentioned() -> None:
    steps = (step("Model", StepKind.MODEL, {}),)
    raw = {"MlflowConfig": {"MlflowResourceArn": "arn:aws:sagemaker:us-east-1:123456789012:mlflow-app/a"}}
    definition = Definition(version="2020-12-01", parameters=(), steps=steps, raw=raw)
    (problem,) = preflight(definition, {}, ImageTable())
    assert (problem.code, problem.where) == ("W407", "pipeline -> MlflowConfig")


def test_a_machine_without_isolation_refuses_jobs_only() -> None:
    isolation = NamespaceIsolation(platform="darwin")
    assert codes(check(processing(), isolation=isolation)) == ["E401"]
    assert check(step("Model", StepKind.MODEL, {}), isolation=isolation) == []


def test_what_the_user_handles_is_no_job_to_isolate() -> None:
    isolation, quality = NamespaceIsolation(platform="darwin"), step("Quality", StepKind.QUALITY_CHECK, PROCESSING)
    assert codes(check(quality, isolation=isolation)) == ["E401"]
    assert check(quality, isolation=isolation, handlers=UserHandlers({StepKind.QUALITY_CHECK: "json:loads"})) == []


def leaves(shape: Shape, path: str = "") -> list[str]:
    match shape.type_name:
        case "structure":
            return [
                leaf for name, inner in shape.members.items() for leaf in leaves(inner, f"{path}.{name}".lstrip("."))
            ]
        case "list":
            return leaves(shape.member, path + "[]")
        case _:
            return [path]


@pytest.mark.parametrize("kind", FIDELITY)
def test_the_table_knows_every_member_of_the_request_and_no_other(kind: StepKind) -> None:
    paths = leaves(sagemaker_model().operation_model(SERVICE_CALLS[kind].create).input_shape)
    assert [path for path in paths if treatment_of(kind, path) is None] == []
    assert [
        line for line in FIDELITY[kind] if not any(f"{path}.".startswith((f"{line}.", f"{line}[")) for path in paths)
    ] == []


def test_codes_mean_one_thing() -> None:
    settings = {
        treatment
        for table in FIDELITY.values()
        for member in table.values()
        for treatment in (member.treatment, *member.values.values())
        if isinstance(treatment, Ignored | Refused)
    }
    ignored = [setting.code for setting in settings if isinstance(setting, Ignored)]
    assert len(ignored) == len(set(ignored))
    assert all(code.startswith("W4") for code in ignored)


def test_a_value_of_its_own_decides() -> None:
    member = Member(Ignored("W4", "x"), {1: Refused("E4", "y", "z")})
    assert member.of(1) == Refused("E4", "y", "z")
    assert member.of(2) == member.of({"a": 1}) == Ignored("W4", "x")


MADE = {"Get": "Steps.Model.ModelName"}


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (StepKind.ENDPOINT_CONFIG, {"ProductionVariants": [{"VariantName": "a", "ModelName": MADE}]}),
        (StepKind.INFERENCE_COMPONENT, {"Specification": {"ModelName": MADE}}),
    ],
)
def test_the_image_of_a_model_matters_when_it_is_deployed(kind: StepKind, arguments: Mapping[str, Any]) -> None:
    model = step("Model", StepKind.MODEL, {"PrimaryContainer": {"Image": "linear-learner:1"}})
    (problem,) = [each for each in check(model, step("Deploy", kind, arguments)) if each.code.startswith("E")]
    assert (problem.code, "linear-learner" in problem.what) == ("E402", True)


def test_what_endpoints_do_without_is_said_once() -> None:
    variant = {"VariantName": "a", "InitialInstanceCount": 2, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 5}
    config = step(
        "Config", StepKind.ENDPOINT_CONFIG, {"ProductionVariants": [variant, {**variant, "VariantName": "b"}]}
    )
    assert codes(check(config)) == ["W430", "W431"]
    shap = {"ClarifyExplainerConfig": {"ShapConfig": {"Seed": 1}}}
    assert codes(check(step("Config", StepKind.ENDPOINT_CONFIG, {"ExplainerConfig": shap}))) == ["E440"]


def test_an_endpoint_needs_room_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    isolation = NamespaceIsolation()
    monkeypatch.setattr(NamespaceIsolation, "refusal", lambda _: None)
    deploy = step("Deploy", StepKind.ENDPOINT, {"EndpointName": "a", "EndpointConfigName": "b"})
    assert codes(check(deploy, isolation=isolation)) == []
    monkeypatch.setattr(NamespaceIsolation, "capabilities", Capabilities(parallel=1))
    assert codes(check(deploy, isolation=isolation)) == ["E442"]


XGBOOST = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
BUILT_IN = {"AlgorithmSpecification": {"TrainingImage": XGBOOST}}


def boosted(hyperparameters: dict[str, Any], **members: Any) -> Step:
    return training(**{**BUILT_IN, "HyperParameters": hyperparameters, **members})


def test_xgboost_needs_no_script() -> None:
    assert check(boosted({"num_round": "5"})) == []
    assert check(tuning(StaticHyperParameters={"num_round": "5"}, **BUILT_IN)) == []


def test_xgboost_without_the_extra_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)
    (problem,) = check(boosted({"num_round": "5"}))
    assert (problem.code, problem.is_error) == ("E426", True)
    assert "[xgboost]" in problem.fix
    script = {"sagemaker_program": "train.py", "sagemaker_submit_directory": "s3://b/source.tar.gz"}
    assert check(boosted(script)) == []


def test_what_the_image_will_refuse_is_told_before_it_starts() -> None:
    (problem,) = check(boosted({"depth": "3"}))
    assert (problem.code, problem.is_error) == ("W421", False)
    assert "Missing required hyperparameter: num_round; Extraneous hyperparameter found: depth" in problem.what
    later = {"Get": "Steps.Other.ExitMessage"}
    assert check(boosted({"num_round": later, "objective": "multi:softmax"}), step("Other", StepKind.MODEL, {})) == []


def test_gpus_are_this_machine_s_processors() -> None:
    for bad in (
        boosted({"num_round": "5"}, ResourceConfig={"InstanceType": "ml.g4dn.xlarge"}),
        boosted({"num_round": "5", "tree_method": "gpu_hist"}),
    ):
        assert "W422" in codes(check(bad))
