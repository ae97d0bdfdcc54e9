"""Training with AWS's built-in algorithms: no script, everything is said by hyperparameters."""

from sagemaker.mlops.workflow.pipeline import Pipeline

from mlops_sm.builders import Channel, Context, algorithm_image, training


def pipeline(ctx: Context) -> Pipeline:
    csv = Channel(s3_uri="s3://golden-data/train/", content_type="text/csv", s3_data_distribution_type="ShardedByS3Key")
    boosted = training(
        ctx,
        "Boosted",
        image=algorithm_image(ctx, "xgboost", "1.7-1"),
        channels={"train": csv, "validation": csv},
        hyperparameters={"objective": "binary:logistic", "num_round": 50},
    )
    linear = training(
        ctx,
        "Linear",
        image=algorithm_image(ctx, "linear-learner"),
        channels={"train": csv},
        hyperparameters={"predictor_type": "binary_classifier", "mini_batch_size": 100},
    )
    return Pipeline(name=ctx.pipeline_name, steps=[boosted, linear], sagemaker_session=ctx.session)
