"""The build pipeline: from raw applications to a model that waits for somebody's approval.

PrepareData -> Features -> Tune -> Evaluate -> Gate -> Register, or GateMissed with the reason.
"""

from __future__ import annotations

from sagemaker.core.parameter import ContinuousParameter
from sagemaker.core.workflow.parameters import ParameterFloat, ParameterInteger
from sagemaker.mlops.workflow.pipeline import Pipeline

from mlops_sm.builders import (
    Context,
    at_least,
    at_most,
    best_model,
    evaluation,
    framework_image,
    metric,
    output,
    package_group,
    processing,
    quality_gate,
    register_model,
    tuning,
)
from pipelines.lending import data


def pipeline(ctx: Context) -> Pipeline:
    """Search for the best model on every run from the raw data; register only what beats the thresholds."""
    raw_data, seed = data.parameters(ctx)
    tuning_jobs = ParameterInteger("TuningJobs", default_value=4)
    min_auc = ParameterFloat("MinAuc", default_value=0.75)
    min_accuracy = ParameterFloat("MinAccuracy", default_value=0.85)
    max_log_loss = ParameterFloat("MaxLogLoss", default_value=0.35)

    sklearn = framework_image(ctx, "sklearn", "1.2-1")

    prepared = data.prepared_data(ctx, raw_data, seed)

    features = processing(
        ctx,
        "Features",
        image=sklearn,
        code="jobs/features.py",
        inputs={part: output(prepared, part) for part in data.PARTS},
        outputs=data.PARTS,
    )

    tuned = tuning(
        ctx,
        "Tune",
        image=sklearn,
        code="jobs/training",
        entry_point="train.py",
        channels={"train": output(features, "train"), "validation": output(features, "validation")},
        ranges={"inverse-regularization": ContinuousParameter(0.01, 10.0, scaling_type="Logarithmic")},
        objective="validation:auc",
        metrics={
            "validation:auc": "validation:auc=([0-9.]+)",
            "validation:log_loss": "validation:log_loss=([0-9.]+)",
        },
        strategy="Random",
        max_jobs=tuning_jobs,
        seed=7,
    )

    evaluated = evaluation(
        ctx,
        "Evaluate",
        image=sklearn,
        code="jobs/evaluate.py",
        inputs={"model": best_model(tuned), "test": output(features, "test")},
        outputs=["predictions"],
    )

    registered = register_model(
        ctx,
        "Register",
        image=sklearn,
        model_data=best_model(tuned),
        model_package_group_name=package_group(ctx, "approval"),
        evaluation=evaluated,
        inference_program="inference.py",
        content_types=["text/csv", "application/json"],
        response_types=["text/csv", "application/json"],
    )

    gate = quality_gate(
        ctx,
        "Gate",
        thresholds=[
            at_least(metric(evaluated, "binary_classification_metrics.auc.value"), min_auc),
            at_least(metric(evaluated, "binary_classification_metrics.accuracy.value"), min_accuracy),
            at_most(metric(evaluated, "binary_classification_metrics.log_loss.value"), max_log_loss),
        ],
        if_met=[registered],
    )

    return Pipeline(
        name=ctx.pipeline_name,
        parameters=[raw_data, seed, tuning_jobs, min_auc, min_accuracy, max_log_loss],
        steps=[prepared, features, tuned, evaluated, gate],
        sagemaker_session=ctx.session,
    )
