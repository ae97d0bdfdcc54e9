"""The scoring pipeline: a trained model, and the probability of approval of every application of a table.

CreditModel -> Score. The table is one of `Features`: the target, the model's features, protected columns. Only the
features go to the model; ``jobs/training/inference.py`` in the model's archive answers.
"""

from __future__ import annotations

from sagemaker.core.workflow.parameters import ParameterString
from sagemaker.mlops.workflow.pipeline import Pipeline

from mlops_sm.builders import Context, batch_transform, create_model, framework_image

FEATURES = "$[1:28]"
"""Behind the target, before what a model must not see; see ``jobs/features.py``."""


def pipeline(ctx: Context) -> Pipeline:
    """Score what is there; nothing is trained."""
    model_data = ParameterString("ModelData")
    applications = ParameterString("Applications")
    model = create_model(
        ctx,
        "CreditModel",
        image=framework_image(ctx, "sklearn", "1.2-1"),
        model_data=model_data,
        inference_program="inference.py",
    )
    scored = batch_transform(
        ctx, "Score", model=model, data=applications, input_filter=FEATURES, cache_expire_after=None
    )
    return Pipeline(
        name=ctx.pipeline_name,
        parameters=[model_data, applications],
        steps=[model, scored],
        sagemaker_session=ctx.session,
    )
