"""Evaluation, a gate with all comparisons, registration behind it, and a gate with another way out than failing."""

from sagemaker.core.workflow.parameters import ParameterFloat, ParameterString
from sagemaker.mlops.workflow.pipeline import Pipeline

from mlops_sm.builders import (
    Context,
    at_least,
    at_most,
    equals,
    evaluation,
    fail,
    framework_image,
    gate,
    metric,
    package_group,
    quality_gate,
    register_model,
)

MODEL = "s3://golden-models/old/model.tar.gz"


def pipeline(ctx: Context) -> Pipeline:
    min_auc = ParameterFloat("MinAuc", default_value=0.8)
    approval = ParameterString("ApprovalStatus", default_value="PendingManualApproval")
    sklearn = framework_image(ctx, "sklearn", "1.2-1")

    evaluated = evaluation(
        ctx,
        "Evaluate",
        image=sklearn,
        code="jobs/evaluate.py",
        inputs={"model": MODEL, "test": "s3://golden-data/test/"},
        report="quality/report.json",
        outputs=["predictions"],
    )
    registered = register_model(
        ctx,
        "Register",
        image=sklearn,
        model_data=MODEL,
        model_package_group_name=package_group(ctx, "scoring"),
        evaluation=evaluated,
        approval_status=approval,
        inference_program="inference.py",
        customer_metadata_properties={"owner": "credit-risk"},
    )
    too_few = fail(ctx, "TooFew", message=["only ", metric(evaluated, "rows"), " rows: nothing can be said"])
    enough = gate(
        ctx,
        "EnoughRows",
        thresholds=[at_least(metric(evaluated, "rows"), 100)],
        if_met=[
            quality_gate(
                ctx,
                "GoodEnough",
                thresholds=[
                    at_least(metric(evaluated, "metrics.auc.value"), min_auc),
                    at_most(metric(evaluated, "metrics.log_loss.value"), 0.4, label="the logarithmic loss"),
                    equals(metric(evaluated, "metrics.confusion_matrix['0']['1']"), 0, label="false approvals"),
                ],
                if_met=[registered],
            )
        ],
        otherwise=[too_few],
        description="Small samples prove nothing",
    )
    return Pipeline(
        name=ctx.pipeline_name,
        parameters=[min_auc, approval],
        steps=[evaluated, enough],
        sagemaker_session=ctx.session,
    )
