"""The build pipeline: from raw applications to a model that waits for somebody's approval.

PrepareData -> Features -> Train -> Evaluate -> Gate -> Register, or GateMissed with the reason.
"""

from __future__ import annotations

from sagemaker.core.workflow.parameters import ParameterFloat
from sagemaker.mlops.workflow.pipeline import Pipeline

from mlops_sm.builders import (
    Context,
    at_least,
    at_most,
    evaluation,
    framework_image,
    metric,
    model_artifacts,
    output,
    package_group,
    processing,
    quality_gate,
    register_model,
    training,
)
from pipelines.lending import data


def pipeline(ctx: Context) -> Pipeline:
    """Train on every run from the raw data; register only what beats the thresholds."""
    raw_data, seed = data.parameters(ctx)
    regularization = ParameterFloat("InverseRegularization", default_value=0.1)
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

    trained = training(
        ctx,
        "Train",
        image=sklearn,
        code="jobs/training",
        entry_point="train.py",
        channels={"train": output(features, "train"), "validation": output(features, "validation")},
        hyperparameters={"inverse-regularization": regularization},
        metrics={
            "validation:auc": "validation:auc=([0-9.]+)",
            "validation:log_loss": "validation:log_loss=([0-9.]+)",
        },
    )

    evaluated = evaluation(
        ctx,
        "Evaluate",
        image=sklearn,
        code="jobs/evaluate.py",
        inputs={"model": model_artifacts(trained), "test": output(features, "test")},
        outputs=["predictions"],
    )

    registered = register_model(
        ctx,
        "Register",
        image=sklearn,
        model_data=model_artifacts(trained),
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
        parameters=[raw_data, seed, regularization, min_auc, min_accuracy, max_log_loss],
        steps=[prepared, features, trained, evaluated, gate],
        sagemaker_session=ctx.session,
    )
