"""Training with a script in one of AWS's images, on spot instances, and the model made from it."""

from sagemaker.core.workflow.parameters import ParameterInteger, ParameterString
from sagemaker.mlops.workflow.pipeline import Pipeline

from mlops_sm.builders import Channel, Compute, Context, create_model, framework_image, model_artifacts, training


def pipeline(ctx: Context) -> Pipeline:
    data = ParameterString("Data", default_value="s3://golden-data/train/")
    depth = ParameterInteger("MaxDepth", default_value=4)

    trained = training(
        ctx,
        "Train",
        image=framework_image(ctx, "xgboost", "1.7-1"),
        code="src",
        entry_point="train.py",
        channels={
            "train": Channel(s3_uri=data, content_type="text/csv", input_mode="FastFile"),
            "validation": "s3://golden-data/validation/",
        },
        hyperparameters={"max-depth": depth, "eta": 0.2, "objective": "binary:logistic", "verbose": True},
        metrics={"validation:auc": r"auc: ([0-9.]+)"},
        compute=Compute(instance_type="ml.c5.2xlarge", max_runtime_in_seconds=1800),
        max_wait_time_in_seconds=3600,
        checkpoints="s3://golden-data/checkpoints/",
        environment={"OMP_NUM_THREADS": "4"},
    )
    model = create_model(
        ctx,
        "CreateModel",
        image=framework_image(ctx, "xgboost", "1.7-1", scope="inference"),
        model_data=model_artifacts(trained),
        inference_program="inference.py",
        environment={"LOG_LEVEL": "info"},
    )
    return Pipeline(
        name=ctx.pipeline_name, parameters=[data, depth], steps=[trained, model], sagemaker_session=ctx.session
    )
