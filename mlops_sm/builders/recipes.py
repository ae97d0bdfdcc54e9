"""Recipes: what takes several steps, in one call."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Unpack

from sagemaker.core.helper.pipeline_variable import PipelineVariable
from sagemaker.core.workflow.functions import Join
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.for_each_step import CurrentItem
from sagemaker.mlops.workflow.step_collections import StepCollection
from sagemaker.mlops.workflow.steps import ProcessingStep, Step

from mlops_sm.builders.context import Context
from mlops_sm.builders.evaluation import evaluation
from mlops_sm.builders.fail import fail
from mlops_sm.builders.for_each import collected, for_each
from mlops_sm.builders.gate import Threshold, at_least, at_most, gate
from mlops_sm.builders.problems import location, refuse
from mlops_sm.builders.processing import processing
from mlops_sm.builders.references import metric, model_artifacts, output
from mlops_sm.builders.registry import package_group, register_model
from mlops_sm.builders.settings import NOTHING, JobOptions, StepOptions
from mlops_sm.builders.training import training
from mlops_sm.builders.values import Scalar, Text, is_variable
from mlops_sm.errors import Problem

_SEGMENTS: Final = "segments"
_SEGMENT: Final = re.compile("[A-Za-z0-9]+(-[A-Za-z0-9]+)*")
_MIN_PARTS: Final = 2


def quality_gate(
    ctx: Context,
    name: str,
    *,
    thresholds: Sequence[Threshold],
    if_met: Sequence[Step | StepCollection],
    **options: Unpack[StepOptions],
) -> ConditionStep:
    """A gate, and behind it a step ``<name>Missed`` that fails with every threshold and what was measured.

    Args:
        ctx: The context of the pipeline.
        name: The gate's name.
        thresholds: All of them must be met.
        if_met: Steps that run then.
        **options: See `StepOptions`.

    Raises:
        InputError: As `gate`.
    """
    missed = fail(ctx, f"{name}Missed", message=_message(thresholds)) if thresholds else None
    return gate(ctx, name, thresholds=thresholds, if_met=if_met, otherwise=[missed] if missed else [], **options)


def policy_gate(
    ctx: Context,
    name: str,
    *,
    evaluated: ProcessingStep,
    if_met: Sequence[Step | StepCollection],
    path: str = "binary_classification_metrics.{}.value",
    **options: Unpack[StepOptions],
) -> ConditionStep:
    """A quality gate with the bounds of the project's policy, ``[tool.mlops_sm.policy.metrics]``.

    What only the registry can know is for ``mlops-sm models approve``: the comparison with the version in use, and the
    limits of bias.

    Args:
        ctx: The context of the pipeline.
        name: The gate's name.
        evaluated: The step whose report has the metrics; see `evaluation`.
        if_met: Steps that run when every bound is kept, usually the registration.
        path: Where in the report a metric is, with ``{}`` for its name.
        **options: See `StepOptions`.

    Raises:
        InputError: The policy bounds no metric (E334); or as `quality_gate`.
    """
    thresholds = []
    for label, rule in ctx.policy.metrics.items():
        value = metric(evaluated, path.format(label))
        if rule.at_least is not None:
            thresholds.append(at_least(value, rule.at_least, label=label))
        if rule.at_most is not None:
            thresholds.append(at_most(value, rule.at_most, label=label))
    if not thresholds:
        what = "the project's policy bounds no metric, so that the gate stops nothing"
        fix = "write it into pyproject.toml: [tool.mlops_sm.policy.metrics] auc = { at_least = 0.75 }"
        refuse([Problem("E334", location(ctx, name), what, fix)])
    return quality_gate(ctx, name, thresholds=thresholds, if_met=if_met, **options)


def _message(thresholds: Sequence[Threshold]) -> list[Scalar]:
    parts: list[Scalar] = ["The model did not pass the gate: "]
    for threshold in thresholds:
        parts += [*threshold.sentence(), "; "]
    return [*parts[:-1], "."]


def model_per_segment(
    ctx: Context,
    name: str,
    *,
    image: Text,
    data: Text,
    split: str | Path,
    code: str | Path,
    entry_point: str,
    evaluate: str | Path,
    model: str,
    segments: Sequence[str] | PipelineVariable | None = None,
    parts: Sequence[str] = ("train", "test"),
    hyperparameters: Mapping[str, Scalar] = NOTHING,
    metrics: Mapping[str, str] = NOTHING,
    inference_program: str | None = None,
    collect: str | Path | None = None,
    max_concurrency: int = 4,
    **options: Unpack[JobOptions],
) -> list[Step]:
    """One model for each segment of the data: split it, then train, evaluate and register each, then collect.

    The steps are ``<name>Split``, the ForEach ``<name>`` with ``<name>Train``, ``<name>Evaluate`` and
    ``<name>Register``, and ``<name>Collect``. The last of `parts` is what the models are evaluated on, the others are
    channels of the training. Where one segment fails, no other begins any more and the execution fails.

    Args:
        ctx: The context of the pipeline.
        name: What the names of the steps begin with.
        image: The container image of all steps, one of AWS's script-mode images.
        data: S3 URI of the data; the split finds it in ``/opt/ml/processing/input/data``.
        split: The script that writes ``/opt/ml/processing/output/<part>/<segment>/``, and, where `segments` is not
            given, ``/opt/ml/processing/output/segments/segments.json``. Its member ``segments``
            is the list as JSON text, ``json.dumps({"segments": json.dumps(names)})``.
        code: The folder with the training script, which gets each segment's parts as channels.
        entry_point: The training script.
        evaluate: The script that writes ``/opt/ml/processing/output/evaluation/evaluation.json`` from the inputs
            ``model`` and the last of `parts`.
        model: Each segment's model package group is ``<project>-<model>-<segment>``.
        segments: Their names, or a parameter or output whose text is a JSON list of them; default is what the split
            found. They are parts of S3 keys and of names: letters, digits and single hyphens.
        parts: What the split makes of each segment.
        hyperparameters: As in `training`.
        metrics: As in `training`.
        inference_program: As in `register_model`.
        collect: A script that finds every segment's report in
            ``/opt/ml/processing/input/reports/<segment>/evaluation/evaluation.json`` and writes
            ``/opt/ml/processing/output/report/``. Without it there is no such step.
        max_concurrency: How many steps of the ForEach run at the same time.
        **options: Of every step that runs a job; see `JobOptions`. What it depends on and its description are the
            split's.

    Raises:
        InputError: As the builders it is made of.
    """
    refuse(_segment_problems(location(ctx, name), parts, segments))
    *channels, held_out = parts
    found = [PropertyFile(name=f"{name}Found", output_name=_SEGMENTS, path="segments.json")]
    separated = processing(
        ctx,
        f"{name}Split",
        image=image,
        code=split,
        inputs={"data": data},
        outputs=[*parts, *([_SEGMENTS] if segments is None else [])],
        property_files=found if segments is None else [],
        **options,
    )
    inner: JobOptions = {**options}
    inner.pop("depends_on", None)
    inner.pop("display_name", None)
    inner.pop("description", None)
    # Not from the cache: what collects the reports reads those of this execution.
    uncached: JobOptions = {**inner, "cache_expire_after": None}

    def of_segment(part: str, segment: CurrentItem) -> Join:
        # The slash at the end: a prefix "north" would also find "north-east".
        return Join(on="/", values=[output(separated, part), segment, ""])

    def body(each: Context, segment: CurrentItem) -> list[Step]:
        trained = training(
            each,
            f"{name}Train",
            image=image,
            code=code,
            entry_point=entry_point,
            channels={part: of_segment(part, segment) for part in channels},
            hyperparameters=hyperparameters,
            metrics=metrics,
            **inner,
        )
        evaluated = evaluation(
            each,
            f"{name}Evaluate",
            image=image,
            code=evaluate,
            inputs={"model": model_artifacts(trained), held_out: of_segment(held_out, segment)},
            **uncached,
        )
        registered = register_model(
            each,
            f"{name}Register",
            image=image,
            model_data=model_artifacts(trained),
            model_package_group_name=Join(on="-", values=[package_group(ctx, model), segment]),
            evaluation=evaluated,
            inference_program=inference_program,
            customer_metadata_properties={"segment": segment},
        )
        return [trained, evaluated, registered]

    loop = for_each(
        ctx,
        name,
        items=metric(separated, _SEGMENTS) if segments is None else segments,
        body=body,
        max_concurrency=max_concurrency,
    )
    steps: list[Step] = [separated, loop]
    if collect is not None:
        afterwards: JobOptions = {**uncached, "depends_on": [loop]}
        steps.append(
            processing(
                ctx,
                f"{name}Collect",
                image=image,
                code=collect,
                inputs={"reports": collected(loop, f"{name}Evaluate")},
                outputs=["report"],
                **afterwards,
            )
        )
    return steps


def _segment_problems(where: str, parts: Sequence[str], segments: object) -> Iterator[Problem]:
    if isinstance(parts, str) or len(parts) < _MIN_PARTS:
        fix = 'give what the models learn from and what they are evaluated on: parts=("train", "test")'
        yield Problem("E437", where, f"parts is {parts!r}", fix)
    if segments is None or is_variable(segments) or not isinstance(segments, list | tuple):
        return
    for segment in segments:
        if not isinstance(segment, str) or _SEGMENT.fullmatch(segment) is None:
            fix = "use letters, digits and single hyphens: it becomes part of S3 keys and of a package group's name"
            yield Problem("E437", where, f"{segment!r} is no name of a segment", fix)
