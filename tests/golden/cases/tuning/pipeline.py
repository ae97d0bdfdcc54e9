"""A Bayesian search over all kinds of ranges, a grid, and models made from the best and the second best training."""

from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter, IntegerParameter
from sagemaker.core.workflow.parameters import ParameterInteger
from sagemaker.mlops.workflow.pipeline import Pipeline

from mlops_sm.builders import Compute, Context, best_model, create_model, framework_image, top_model, tuning

METRICS = {"validation:auc": r"auc: ([0-9.]+)"}
CHANNELS = {"train": "s3://golden-data/train/", "validation": "s3://golden-data/validation/"}


def pipeline(ctx: Context) -> Pipeline:
    jobs = ParameterInteger("TuningJobs", default_value=10)
    image = framework_image(ctx, "xgboost", "1.7-1")

    tuned = tuning(
        ctx,
        "Tune",
        image=image,
        code="src",
        entry_point="train.py",
        channels=CHANNELS,
        ranges={
            "eta": ContinuousParameter(0.01, 0.5, scaling_type="Logarithmic"),
            "max-depth": IntegerParameter(2, 8),
            "booster": CategoricalParameter(["gbtree", "dart"]),
        },
        objective="validation:auc",
        metrics=METRICS,
        hyperparameters={"objective": "binary:logistic"},
        max_jobs=jobs,
        max_parallel_jobs=3,
        early_stopping=True,
        target=0.99,
        seed=7,
        compute=Compute(instance_type="ml.c5.2xlarge", instance_count=2, max_runtime_in_seconds=1800),
        max_wait_time_in_seconds=3600,
        checkpoints="s3://golden-data/checkpoints/",
    )
    grid = tuning(
        ctx,
        "Grid",
        image=image,
        code="src",
        entry_point="train.py",
        channels=CHANNELS,
        ranges={"booster": CategoricalParameter(["gbtree", "dart"])},
        objective="validation:auc",
        metrics=METRICS,
        strategy="Grid",
    )
    serving = framework_image(ctx, "xgboost", "1.7-1", scope="inference")
    best = create_model(ctx, "Best", image=serving, model_data=best_model(tuned), inference_program="inference.py")
    second = create_model(ctx, "Next", image=serving, model_data=top_model(grid, 2), inference_program="inference.py")
    return Pipeline(
        name=ctx.pipeline_name,
        parameters=[jobs],
        steps=[tuned, grid, best, second],
        sagemaker_session=ctx.session,
    )
