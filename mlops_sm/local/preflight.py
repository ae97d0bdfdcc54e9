"""Before the first step starts: what of a definition cannot run on this machine, and what has no effect here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple, assert_never

from mlops_sm.definition.document import Definition, Json, Scalar, Step
from mlops_sm.definition.expressions import is_expression
from mlops_sm.definition.kinds import StepKind
from mlops_sm.engine.resolve import ResolveError, Scope, resolve_value
from mlops_sm.errors import Problem
from mlops_sm.local import built_in
from mlops_sm.local.fidelity import JOBS, MLFLOW, Honoured, Ignored, Refused, treatment_of
from mlops_sm.local.handlers import UNSUPPORTED
from mlops_sm.local.images import Image, ImageTable
from mlops_sm.local.isolation.layer import Isolation
from mlops_sm.local.jobs import remote_function
from mlops_sm.local.jobs.layout import instance_count
from mlops_sm.local.preflight_inputs import check_channels, check_inputs
from mlops_sm.local.tuning import bayesian
from mlops_sm.local.user_handlers import UserHandlers

_UNKNOWN: Final = object()
"""A value that only a finished step or an execution variable can give."""

_STAY: Final = frozenset({StepKind.ENDPOINT, StepKind.INFERENCE_COMPONENT})
"""Kinds whose servers run on when their step has ended."""
_NAMED_STEPS: Final = 5
_ON_AWS: Final = "Nothing to do: it takes effect on AWS."
_MODEL_OF_STEP: Final = re.compile(r"Steps\.([^.\[\]]+)\.ModelName")


class _Use(NamedTuple):
    step: str
    """Empty for a member of the pipeline itself."""
    path: str


def preflight(
    definition: Definition,
    parameters: Mapping[str, Scalar],
    images: ImageTable,
    isolation: Isolation | None = None,
    handlers: UserHandlers | None = None,
) -> list[Problem]:
    """Everything that this machine refuses (E4xx) or ignores (W4xx), all at once.

    Args:
        definition: What is to run.
        parameters: The execution's parameters, complete.
        images: Which image stands for what.
        isolation: Probed when given and when there is a job to isolate.
        handlers: The user's, for kinds of steps that do not run here.
    """
    handlers = handlers or UserHandlers()
    scope = Scope(
        parameters=parameters,
        variables={},
        steps={step.name: step for step in definition.walk()},
        properties={},
        read_json=_no_file,
    )
    problems = list(handlers.problems(step.kind for step in definition.walk()))
    ignored: dict[Ignored, list[_Use]] = {}
    steps = [step for step in definition.walk() if step.kind not in handlers]
    for step in steps:
        if step.kind in UNSUPPORTED:
            problems.append(_unsupported(step))
        elif step.kind in JOBS:
            problems += _check_job(step, scope, images, ignored)
    if definition.raw.get("MlflowConfig"):
        ignored.setdefault(MLFLOW, []).append(_Use("", "MlflowConfig"))
    if isolation is not None and any(step.kind in JOBS for step in steps):
        problems += _check_isolation(isolation, steps, scope)
    problems += [_warning(setting, uses) for setting, uses in sorted(ignored.items(), key=lambda item: item[0].code)]
    return problems


def _check_isolation(isolation: Isolation, steps: Sequence[Step], scope: Scope) -> Iterator[Problem]:
    """What the layer that isolates jobs here cannot do, of what the jobs ask for."""
    refusal = isolation.refusal()
    if refusal is not None:
        yield refusal
        return
    can = isolation.capabilities
    several, cut_off = [], []
    for step in steps:
        for path, value in _leaves(step.arguments, scope) if step.kind in JOBS else ():
            member = path.rpartition(".")[2]
            if member == "InstanceCount" and isinstance(value, int) and value > 1:
                several.append(_Use(step.name, path))
            elif member == "EnableNetworkIsolation" and value is True:
                cut_off.append(_Use(step.name, path))
    if several and not can.hosts:
        yield Problem(
            "E434",
            _uses(several),
            f'a job has several instances, and jobs are isolated by "{isolation.name}" here: they would not find each '
            "other",
            'Use one instance, or see what "mlops-sm doctor" says of the better ways to isolate jobs.',
        )
    jobs = [_Use(step.name, "Type") for step in steps if step.kind in JOBS]
    stay = [_Use(step.name, "Type") for step in steps if step.kind in _STAY]
    if can.parallel == 1 and stay:
        what = f'an endpoint stays, and jobs are isolated by "{isolation.name}" here, one at a time'
        fix = 'See what "mlops-sm doctor" says of the better ways to isolate jobs.'
        yield Problem("E442", _uses(stay), f"{what}: nothing could run beside it", fix)
    if can.parallel == 1 and len(jobs) > 1:
        what = f'jobs are isolated by "{isolation.name}" here, so that they run one at a time'
        yield Problem("W426", _uses(jobs), what, 'See what "mlops-sm doctor" says of the better ways to isolate jobs.')
    if cut_off and not can.network:
        what = f'jobs are isolated by "{isolation.name}" here, which cannot cut them off from the network'
        yield Problem(
            "W425", _uses(cut_off), f"{what}. They get no endpoint and no credentials of the account", _ON_AWS
        )


def _check_job(step: Step, scope: Scope, images: ImageTable, ignored: dict[Ignored, list[_Use]]) -> Iterator[Problem]:
    refused = set()
    for path, value in _leaves(step.arguments, scope):
        member = treatment_of(JOBS[step.kind], path)
        # A member the service does not know is for the definition's own checks.
        if member is None or value in (None, False, "", {}):
            continue
        match member.of(value):
            case Honoured():
                pass
            case Ignored() as setting:
                ignored.setdefault(setting, []).append(_Use(step.name, path))
            case Refused(code, what, fix) as refusal:
                # The members of one structure are refused together.
                if value is not _UNKNOWN and refusal not in refused:
                    refused.add(refusal)
                    yield Problem(code, _where(step, path), f'step "{step.name}": {what}', fix)
            case unreachable:
                assert_never(unreachable)
    match step.kind:
        case StepKind.PROCESSING | StepKind.QUALITY_CHECK | StepKind.CLARIFY_CHECK:
            yield from _check_processing(step, scope, images)
        case StepKind.TRAINING:
            yield from _check_training(step, step.arguments, "", scope, images)
        case StepKind.TUNING:
            yield from _check_tuning(step, scope, images)
        case StepKind.TRANSFORM:
            yield from _check_model(step.arguments.get("ModelName"), scope, images)
        case StepKind.ENDPOINT_CONFIG:
            for variant in step.arguments.get("ProductionVariants") or []:
                yield from _check_model(variant.get("ModelName"), scope, images)
        case StepKind.INFERENCE_COMPONENT:
            yield from _check_model((step.arguments.get("Specification") or {}).get("ModelName"), scope, images)
        case _:
            return


def _check_instances(step: Step, path: str, resources: Json, isolated: Json, scope: Scope) -> Iterator[Problem]:
    """Instances are processes that share this machine's network, or have none."""
    known = _known(resources or {}, scope)
    if _known(isolated, scope) is True and isinstance(known, Mapping) and instance_count(known) > 1:
        yield Problem(
            "E418",
            _where(step, path),
            f'step "{step.name}": several instances without network cannot reach each other on this machine',
            "Set EnableNetworkIsolation to false, or the instance count to 1, for the local environment.",
        )


def _check_processing(step: Step, scope: Scope, images: ImageTable) -> Iterator[Problem]:
    cluster = (step.arguments.get("ProcessingResources") or {}).get("ClusterConfig")
    isolated = (step.arguments.get("NetworkConfig") or {}).get("EnableNetworkIsolation")
    yield from _check_instances(step, "ProcessingResources.ClusterConfig", cluster, isolated, scope)
    inputs, known = step.arguments.get("ProcessingInputs"), partial(_known, scope=scope)
    yield from check_inputs(inputs, known, lambda place: _where(step, f"ProcessingInputs{place}"), step.name)
    application = step.arguments.get("AppSpecification") or {}
    path = "AppSpecification.ImageUri"
    image_uri = _known(application.get("ImageUri"), scope)
    if isinstance(image_uri, str) and images.find(image_uri) is None:
        yield images.refusal(image_uri, _where(step, path))
    elif not application.get("ContainerEntrypoint") and not _has_entry_point(images, image_uri):
        yield Problem(
            "E407",
            _where(step, "AppSpecification.ContainerEntrypoint"),
            f'step "{step.name}" runs the image\'s own program, and images do not run on this machine',
            'Name the command, e.g. "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/script.py"].',
        )


def _has_entry_point(images: ImageTable, image_uri: Json) -> bool:
    image = images.find(image_uri) if isinstance(image_uri, str) else None
    if image is not None and image.engine is not None:
        return True
    return image is not None and image.entry_point is not None


def _check_tuning(step: Step, scope: Scope, images: ImageTable) -> Iterator[Problem]:
    config = step.arguments.get("HyperParameterTuningJobConfig") or {}
    if _known(config.get("Strategy"), scope) == "Bayesian" and not bayesian.is_available():
        yield Problem(
            "E414",
            _where(step, "HyperParameterTuningJobConfig.Strategy"),
            f'step "{step.name}" uses the Bayesian strategy, and the optimiser is not installed',
            bayesian.FIX,
        )
    several = enumerate(step.arguments.get("TrainingJobDefinitions") or [])
    definitions = [(f"TrainingJobDefinitions[{index}].", each) for index, each in several]
    if "TrainingJobDefinition" in step.arguments:
        definitions.append(("TrainingJobDefinition.", step.arguments["TrainingJobDefinition"]))
    for prefix, definition in definitions:
        arguments = {**definition, "HyperParameters": definition.get("StaticHyperParameters")}
        yield from _check_training(step, arguments, prefix, scope, images)


def _check_model(name: Json, scope: Scope, images: ImageTable) -> Iterator[Problem]:
    """The images of a model that is served, when a step of the same pipeline makes it."""
    reference = _MODEL_OF_STEP.fullmatch(name["Get"]) if isinstance(name, dict) and "Get" in name else None
    made = scope.steps.get(reference[1]) if reference is not None else None
    if made is None:
        return
    several = enumerate(made.arguments.get("Containers") or [])
    containers = [(f"Containers[{index}].", each) for index, each in several]
    if "PrimaryContainer" in made.arguments:
        containers.append(("PrimaryContainer.", made.arguments["PrimaryContainer"]))
    for prefix, container in containers:
        image_uri = _known(container.get("Image"), scope)
        image = images.find(image_uri) if isinstance(image_uri, str) else None
        if isinstance(image_uri, str) and image is None:
            yield images.refusal(image_uri, _where(made, f"{prefix}Image"))
        elif image is not None and image.programs is not None and image.program("serve") is None:
            yield images.lacking(str(image_uri), "serve", _where(made, f"{prefix}Image"))


def _check_training(
    step: Step, arguments: Mapping[str, Json], prefix: str, scope: Scope, images: ImageTable
) -> Iterator[Problem]:
    for member in ("ResourceConfig", "HyperParameterTuningResourceConfig"):
        resources, isolated = arguments.get(member), arguments.get("EnableNetworkIsolation")
        yield from _check_instances(step, f"{prefix}{member}", resources, isolated, scope)
    algorithm = arguments.get("AlgorithmSpecification") or {}
    yield from check_channels(
        arguments.get("InputDataConfig"),
        algorithm.get("TrainingInputMode"),
        partial(_known, scope=scope),
        lambda place: _where(step, f"{prefix}InputDataConfig{place}"),
        step.name,
    )
    image_uri = _known(algorithm.get("TrainingImage"), scope)
    if isinstance(image_uri, str) and images.find(image_uri) is None:
        yield images.refusal(image_uri, _where(step, f"{prefix}AlgorithmSpecification.TrainingImage"))
        return
    hyperparameters = arguments.get("HyperParameters") or {}
    environment = arguments.get("Environment") or {}
    has_program = "sagemaker_program" in hyperparameters or "SAGEMAKER_PROGRAM" in environment
    image = images.find(image_uri) if isinstance(image_uri, str) else None
    refusal = remote_function.refusal(algorithm, _where(step, f"{prefix}AlgorithmSpecification"))
    if refusal is not None and (image is None or image.warm):
        yield refusal
    has_program = has_program or (image is not None and image.program("train") is not None)
    if (
        image is not None
        and image.programs is not None
        and not algorithm.get("ContainerEntrypoint")
        and not has_program
    ):
        yield images.lacking(str(image_uri), "train", _where(step, f"{prefix}AlgorithmSpecification.TrainingImage"))
    elif image is not None and image.stands_for_python and built_in.is_xgboost(image_uri) and not has_program:
        if not algorithm.get("ContainerEntrypoint"):
            yield from _check_built_in(step, arguments, prefix, image, scope)
    elif image_uri is not None and not algorithm.get("ContainerEntrypoint") and not has_program:
        yield Problem(
            "E405",
            _where(step, f"{prefix}AlgorithmSpecification"),
            f'step "{step.name}" runs the image\'s built-in training program, and images do not run on this machine',
            "Train with a script: hyperparameters sagemaker_program and sagemaker_submit_directory, or a "
            "ContainerEntrypoint.",
        )


def _check_built_in(
    step: Step, arguments: Mapping[str, Json], prefix: str, image: Image, scope: Scope
) -> Iterator[Problem]:
    """AWS's XGBoost image without a script."""
    where = _where(step, f"{prefix}AlgorithmSpecification.TrainingImage")
    if image.interpreter is None and not built_in.is_available():
        yield built_in.refusal(where)
        return
    given = {name: _known(value, scope) for name, value in (arguments.get("HyperParameters") or {}).items()}
    problems = built_in.problems_of(given, _searched(step, arguments))
    if problems:
        yield Problem(
            "W421",
            _where(step, f"{prefix}{'StaticHyperParameters' if step.kind is StepKind.TUNING else 'HyperParameters'}"),
            f'step "{step.name}": the image will refuse its hyperparameters: {"; ".join(problems)}',
            'See "XGBoost hyperparameters" in the developer guide.',
        )
    instance_type = _known((arguments.get("ResourceConfig") or {}).get("InstanceType"), scope)
    if built_in.has_gpu(instance_type) or given.get("tree_method") == "gpu_hist":
        yield Problem(
            "W422",
            where,
            f'step "{step.name}" trains on GPUs on AWS, and on the processors of this machine here',
            _ON_AWS,
        )


def _searched(step: Step, arguments: Mapping[str, Json]) -> list[str]:
    """The hyperparameters that a tuning step searches."""
    config = step.arguments.get("HyperParameterTuningJobConfig") or {}
    ranges = [config.get("ParameterRanges") or {}, arguments.get("HyperParameterRanges") or {}]
    return [str(each.get("Name")) for named in ranges for several in named.values() for each in several or []]


def _unsupported(step: Step) -> Problem:
    return Problem(
        "E403",
        f'{step.path} -> step "{step.name}"',
        f'step "{step.name}" is of type {step.kind}: {UNSUPPORTED[step.kind]}',
        "Run the pipeline with --env on an AWS account, or name a function that stands in for it:"
        f'\n         [tool.mlops_sm.local.handlers]\n         {step.kind} = "module:function"',
    )


def _warning(setting: Ignored, uses: list[_Use]) -> Problem:
    return Problem(setting.code, _uses(uses), f"{setting.what}. This has no effect here", _ON_AWS)


def _uses(uses: list[_Use]) -> str:
    """Which steps, and which members of their requests."""
    steps = list(dict.fromkeys(use.step for use in uses if use.step))
    more = len(steps) - _NAMED_STEPS
    named = ", ".join(steps[:_NAMED_STEPS]) + (f" and {more} more" if more > 0 else "")
    members = ", ".join(dict.fromkeys(use.path.replace("[]", "") for use in uses))
    return f"{f'steps {named}' if steps else 'pipeline'} -> {members}"


def _leaves(value: Json, scope: Scope, path: str = "") -> Iterator[tuple[str, Json]]:
    """Every member of a request that holds no structure, with its value where it is known now."""
    value = _known(value, scope) if is_expression(value) else value
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(inner, scope, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, scope, f"{path}[]")
    else:
        yield path, value


def _known(value: Json, scope: Scope) -> Json:
    """A value before anything ran; `_UNKNOWN` when it takes a run to know it."""
    try:
        return resolve_value(value, scope)
    except ResolveError:
        return _UNKNOWN


def _no_file(uri: str) -> Json:
    raise ResolveError(f"{uri} is read when the pipeline runs")


def _where(step: Step, path: str) -> str:
    return f"{step.path} -> Arguments.{path}"
