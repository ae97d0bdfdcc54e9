"""What an environment with a key, a VPC and isolation makes of steps that say nothing of it, and of one that does."""

from dataclasses import replace

from sagemaker.mlops.workflow.pipeline import Pipeline

from mlops_sm.builders import (
    Context,
    Security,
    create_model,
    evaluation,
    framework_image,
    model_artifacts,
    training,
)


def pipeline(ctx: Context) -> Pipeline:
    sklearn = framework_image(ctx, "sklearn", "1.2-1")
    trained = training(
        ctx,
        "Train",
        image=sklearn,
        code="src",
        entry_point="train.py",
        channels={"train": "s3://golden-data/train/"},
    )
    model = create_model(ctx, "CreateModel", image=sklearn, model_data=model_artifacts(trained))
    evaluated = evaluation(
        ctx,
        "Evaluate",
        image=sklearn,
        code="jobs/evaluate.py",
        inputs={"model": model_artifacts(trained)},
    )
    online = training(
        ctx,
        "Online",
        image=sklearn,
        code="src",
        entry_point="train.py",
        channels={"train": "s3://golden-data/train/"},
        security=replace(
            Security.of(ctx.environment),
            volume_kms_key=None,
            enable_network_isolation=False,
            encrypt_inter_container_traffic=True,
        ),
    )
    return Pipeline(name=ctx.pipeline_name, steps=[trained, model, evaluated, online], sagemaker_session=ctx.session)
