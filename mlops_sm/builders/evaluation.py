"""Evaluation: a processing job that measures a model and writes a report that gates and the registry read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Unpack

from sagemaker.core.shapes import ProcessingS3Input
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.steps import ProcessingStep

from mlops_sm.builders.context import Context
from mlops_sm.builders.processing import processing
from mlops_sm.builders.settings import JobOptions
from mlops_sm.builders.values import Scalar, Text


def evaluation(
    ctx: Context,
    name: str,
    *,
    image: Text,
    code: str | Path,
    inputs: Mapping[str, Text | ProcessingS3Input],
    report: str = "evaluation/evaluation.json",
    outputs: Sequence[str] = (),
    arguments: Sequence[Scalar] = (),
    **options: Unpack[JobOptions],
) -> ProcessingStep:
    """A step that measures a model. Its results go to the environment's model bucket.

    Args:
        ctx: The context of the pipeline.
        name: The step's name; the property file of the report is ``<name>Report``.
        image: The container image; see `images`.
        code: The script, relative to the pipeline module's folder.
        inputs: The model and the data to measure it on, as in `processing`.
        report: The JSON file the script writes, as ``<output>/<file>``; in the container it is
            ``/opt/ml/processing/output/<output>/<file>``. `metric` reads values from it, `register_model` attaches it.
        outputs: Further outputs, such as the predictions.
        arguments: Of the script.
        **options: See `JobOptions`.

    Raises:
        InputError: A wrong name, number or combination (E33x), or a script that does not exist (E307).
    """
    output, _, file = report.rpartition("/")
    return processing(
        ctx,
        name,
        image=image,
        code=code,
        arguments=arguments,
        inputs=inputs,
        outputs=[output, *outputs],
        property_files=[PropertyFile(name=f"{name}Report", output_name=output, path=file)],
        output_bucket=ctx.environment.model_bucket,
        **options,
    )
