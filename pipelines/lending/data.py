"""The data pipeline: raw applications, validated and split, with a report of what was dropped and why."""

from __future__ import annotations

from sagemaker.core.workflow.parameters import Parameter, ParameterInteger, ParameterString
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.steps import ProcessingStep

from mlops_sm.builders import Context, framework_image, processing

PARTS = ("train", "validation", "test")


def pipeline(ctx: Context) -> Pipeline:
    """Validate and split, and nothing more: the result is what a data set version is made of."""
    raw_data, seed = parameters(ctx)
    return Pipeline(
        name=ctx.pipeline_name,
        parameters=[raw_data, seed],
        steps=[prepared_data(ctx, raw_data, seed)],
        sagemaker_session=ctx.session,
    )


def parameters(ctx: Context) -> tuple[ParameterString, Parameter]:
    """Where the raw applications are (default: the CSV beside this file), and the seed of the split."""
    return (
        ParameterString("RawData", default_value=ctx.asset("data/loanapp.csv")),
        ParameterInteger("Seed", default_value=42),
    )


def prepared_data(ctx: Context, raw_data: ParameterString, seed: Parameter) -> ProcessingStep:
    """One CSV for each part, and ``report.json`` in the output ``report``."""
    return processing(
        ctx,
        "PrepareData",
        image=framework_image(ctx, "sklearn", "1.2-1"),
        code="jobs/prepare.py",
        inputs={"raw": raw_data},
        arguments=["--seed", seed],
        outputs=[*PARTS, "report"],
    )
