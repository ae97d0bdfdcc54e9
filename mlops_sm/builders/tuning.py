"""Hyperparameter tuning: many trainings with values out of ranges, and the model of the best of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Unpack

from sagemaker.core.parameter import CategoricalParameter, ParameterRange
from sagemaker.core.shapes import TuningJobCompletionCriteria
from sagemaker.core.workflow.functions import Join
from sagemaker.mlops.workflow.retry import RetryPolicy
from sagemaker.mlops.workflow.steps import TuningStep
from sagemaker.train.tuner import HyperparameterTuner

from mlops_sm.builders.context import Context
from mlops_sm.builders.problems import count_problems, location, refuse
from mlops_sm.builders.references import expect
from mlops_sm.builders.settings import (
    NOTHING,
    JobOptions,
    Security,
    cache_config,
    job_retries,
    request_tags,
    step_arguments,
)
from mlops_sm.builders.training import Channel, trainer_of, training_problems
from mlops_sm.builders.values import Scalar, Text, Whole, is_variable
from mlops_sm.errors import InputError, Problem, did_you_mean

STRATEGIES = ("Bayesian", "Random", "Grid", "Hyperband")
_TOP = 50
"""Trainings of a step that can be referred to (developer guide, "Tuning Step")."""


def tuning(
    ctx: Context,
    name: str,
    *,
    image: Text,
    channels: Mapping[str, Text | Channel],
    ranges: Mapping[str, ParameterRange],
    objective: str,
    metrics: Mapping[str, str] = NOTHING,
    maximize: bool = True,
    code: str | Path | None = None,
    entry_point: str | None = None,
    hyperparameters: Mapping[str, Scalar] = NOTHING,
    strategy: str = "Bayesian",
    max_jobs: Whole | None = None,
    max_parallel_jobs: Whole = 2,
    early_stopping: bool = False,
    target: float | None = None,
    seed: int | None = None,
    max_wait_time_in_seconds: Whole | None = None,
    checkpoints: Text | None = None,
    **options: Unpack[JobOptions],
) -> TuningStep:
    """A step that searches for good hyperparameters by training. `best_model` is the model.tar.gz of the best training.

    Args:
        ctx: The context of the pipeline.
        name: The step's name.
        image: The container image; see `images`.
        channels: As in `training`.
        ranges: What is searched, by hyperparameter: the SDK's ContinuousParameter, IntegerParameter and
            CategoricalParameter (``sagemaker.core.parameter``).
        objective: The name of the metric that decides.
        metrics: For each name a regular expression with one group, searched in the log; the objective is one of them.
            AWS's built-in algorithms bring their own, e.g. ``validation:auc`` of XGBoost.
        maximize: Whether more of the objective is better.
        code: As in `training`.
        entry_point: As in `training`.
        hyperparameters: Those that stay as they are.
        strategy: ``Bayesian``, ``Random``, ``Grid`` (categorical ranges only) or ``Hyperband``.
        max_jobs: How many trainings; of a Grid there are as many as combinations.
        max_parallel_jobs: How many of them at once.
        early_stopping: Stop a training that is worse than the earlier ones were at the same epoch.
        target: Stop when the objective has reached this.
        seed: Search in the same way every time.
        max_wait_time_in_seconds: As in `training`.
        checkpoints: As in `training`.
        **options: See `JobOptions`.

    Raises:
        InputError: A wrong name, number, range or combination (E33x), or a folder or script that does not exist (E307).
    """
    where = location(ctx, name)
    refuse(
        [
            *training_problems(
                ctx,
                name,
                code=code,
                entry_point=entry_point,
                channels=channels,
                hyperparameters=hyperparameters,
                max_wait_time_in_seconds=max_wait_time_in_seconds,
                options=options,
            ),
            *count_problems(where, max_jobs=max_jobs, max_parallel_jobs=max_parallel_jobs),
            *_search_problems(where, ranges, hyperparameters, strategy, max_jobs),
            *_objective_problems(where, objective, metrics, scripted=code is not None),
        ]
    )
    trainer, inputs = trainer_of(
        ctx,
        name,
        image=image,
        channels=channels,
        code=code,
        entry_point=entry_point,
        hyperparameters=hyperparameters,
        max_wait_time_in_seconds=max_wait_time_in_seconds,
        checkpoints=checkpoints,
        options=options,
    )
    tuner = HyperparameterTuner(
        trainer,
        objective_metric_name=objective,
        hyperparameter_ranges=dict(ranges),
        metric_definitions=[{"Name": k, "Regex": v} for k, v in metrics.items()] or None,
        strategy=strategy,
        objective_type="Maximize" if maximize else "Minimize",
        max_jobs=None if is_variable(max_jobs) else max_jobs,
        max_parallel_jobs=1 if is_variable(max_parallel_jobs) else max_parallel_jobs,
        early_stopping_type="Auto" if early_stopping else "Off",
        completion_criteria_config=None
        if target is None
        else TuningJobCompletionCriteria(target_objective_metric_value=target),
        random_seed=seed,
        tags=request_tags(ctx, options.get("tags", NOTHING)),
        base_tuning_job_name=name,
    )
    limits = {"MaxNumberOfTrainingJobs": max_jobs, "MaxParallelTrainingJobs": max_parallel_jobs}
    return CompleteTuningStep(
        options.get("security", Security.of(ctx.environment)),
        {member: value for member, value in limits.items() if is_variable(value)},
        name=name,
        step_args=tuner.tune(inputs=inputs),
        cache_config=cache_config(options),
        **step_arguments(options, retries=_retries()),
    )


class CompleteTuningStep(TuningStep):  # type: ignore[misc] # the SDK has no types
    """A tuning step with what HyperparameterTuner forgets of a trainer's protection, and limits that are parameters."""

    def __init__(self, security: Security, limits: Mapping[str, Any], **arguments: Any) -> None:  # noqa: ANN401 - the SDK's own
        super().__init__(**arguments)
        self._security = security
        self._limits = limits

    @property
    def arguments(self) -> dict[str, Any]:
        """The CreateHyperParameterTuningJob request."""
        request: dict[str, Any] = dict(super().arguments)
        security, definition = self._security, dict(request["TrainingJobDefinition"])
        if security.volume_kms_key is not None:
            definition["ResourceConfig"] = {**definition["ResourceConfig"], "VolumeKmsKeyId": security.volume_kms_key}
        if security.enable_network_isolation:
            definition["EnableNetworkIsolation"] = True
        if security.encrypt_inter_container_traffic:
            definition["EnableInterContainerTrafficEncryption"] = True
        config = dict(request["HyperParameterTuningJobConfig"])
        config["ResourceLimits"] = {**config["ResourceLimits"], **self._limits}
        return {**request, "HyperParameterTuningJobConfig": config, "TrainingJobDefinition": definition}


def _retries() -> list[RetryPolicy]:
    """Those of jobs but one: faults inside its trainings are the tuning job's own to retry (developer guide)."""
    service, _, capacity = job_retries()
    return [service, capacity]


def best_model(step: TuningStep) -> Join:
    """The S3 URI of the model.tar.gz of a tuning step's best training.

    Raises:
        InputError: It is no tuning step (E338).
    """
    expect(step, TuningStep, "best_model")
    return top_model(step, 1)


def top_model(step: TuningStep, rank: int) -> Join:
    """The S3 URI of the model.tar.gz of one of a tuning step's best trainings.

    Args:
        step: A tuning step, of ours or of the SDK.
        rank: 1 for the best, 2 for the second best, up to 50.

    Raises:
        InputError: It is no tuning step, or has no such training (E338).
    """
    expect(step, TuningStep, "top_model")
    if not 1 <= rank <= _TOP:
        what = f"there is no training of rank {rank}"
        raise InputError(Problem("E338", f'step "{step.name}"', what, f"give a rank from 1 to {_TOP}"))
    place = step.step_args.func_args[0].model_trainer.output_data_config.s3_output_path
    if isinstance(place, str):
        base = place.rstrip("/")
    else:
        # Where the tuning job did put it: the step may be taken over from another execution, by the cache.
        base = step.properties.TrainingJobDefinition.OutputDataConfig.S3OutputPath
    training_job = (
        step.properties.BestTrainingJob if rank == 1 else step.properties.TrainingJobSummaries[rank - 1]
    ).TrainingJobName
    return Join(on="/", values=[base, training_job, "output/model.tar.gz"])


def _search_problems(
    where: str,
    ranges: Mapping[str, ParameterRange],
    hyperparameters: Mapping[str, Scalar],
    strategy: str,
    max_jobs: Whole | None,
) -> Iterator[Problem]:
    if not ranges:
        yield Problem("E333", where, "it has no ranges, so there is nothing to search", "give ranges={...}")
    for name in sorted(ranges.keys() & hyperparameters.keys()):
        yield Problem("E339", where, f'"{name}" is both fixed and searched', "leave it in one of them")
    if strategy not in STRATEGIES:
        yield Problem("E339", where, f'there is no strategy "{strategy}"', did_you_mean(strategy, STRATEGIES))
    if (max_jobs is None) != (strategy == "Grid"):
        what = "a grid has as many jobs as combinations" if max_jobs is not None else "max_jobs is missing"
        yield Problem("E339", where, what, "give max_jobs to every strategy but Grid")
    for name, values in ranges.items():
        if isinstance(values, CategoricalParameter):
            continue
        if strategy == "Grid":
            yield Problem("E339", where, f'the range of "{name}" is not categorical', "a grid takes categories only")
        low, high = values.min_value, values.max_value
        if not is_variable(low) and not is_variable(high) and low > high:
            yield Problem("E339", where, f'the range of "{name}" begins at {low} and ends at {high}', "swap them")


def _objective_problems(where: str, objective: str, metrics: Mapping[str, str], *, scripted: bool) -> Iterator[Problem]:
    if objective not in metrics and (metrics or scripted):
        hint = did_you_mean(objective, metrics) or "define it"
        yield Problem("E339", where, f'the objective "{objective}" is not one of the metrics', hint)
