"""A version is registered when it keeps the bounds of the project's policy."""

from sagemaker.mlops.workflow.pipeline import Pipeline

from mlops_sm.builders import Context, evaluation, framework_image, package_group, policy_gate, register_model


def pipeline(ctx: Context) -> Pipeline:
    image = framework_image(ctx, "sklearn", "1.2-1")
    model = "s3://golden-models/model.tar.gz"
    evaluated = evaluation(ctx, "Evaluate", image=image, code="jobs/evaluate.py", inputs={"model": model})
    registered = register_model(
        ctx,
        "Register",
        image=image,
        model_data=model,
        model_package_group_name=package_group(ctx, "approval"),
        evaluation=evaluated,
    )
    gate = policy_gate(ctx, "Gate", evaluated=evaluated, if_met=[registered])
    return Pipeline(name=ctx.pipeline_name, steps=[evaluated, gate], sagemaker_session=ctx.session)
