"""AWS's built-in XGBoost from CSV to predictions: a training, a search for a better one, its model scores a batch."""

from sagemaker.core.parameter import ContinuousParameter, IntegerParameter
from sagemaker.core.workflow.parameters import ParameterInteger
from sagemaker.mlops.workflow.pipeline import Pipeline

from mlops_sm.builders import (
    Channel,
    Context,
    algorithm_image,
    batch_transform,
    best_model,
    create_model,
    training,
    tuning,
)

SETTINGS = {"objective": "binary:logistic", "eval_metric": "auc", "early_stopping_rounds": 10}


def pipeline(ctx: Context) -> Pipeline:
    rounds = ParameterInteger("Rounds", default_value=100)
    image = algorithm_image(ctx, "xgboost", "3.0-5")
    channels = {
        name: Channel(s3_uri=f"s3://golden-data/{name}/", content_type="text/csv") for name in ("train", "validation")
    }

    first = training(
        ctx, "First", image=image, channels=channels, hyperparameters={**SETTINGS, "num_round": rounds, "max_depth": 4}
    )
    tuned = tuning(
        ctx,
        "Tune",
        image=image,
        channels=channels,
        hyperparameters={**SETTINGS, "num_round": rounds},
        ranges={
            "eta": ContinuousParameter(0.05, 0.5, scaling_type="Logarithmic"),
            "max_depth": IntegerParameter(2, 6),
        },
        objective="validation:auc",
        max_jobs=8,
        max_parallel_jobs=2,
        depends_on=[first],
    )
    model = create_model(
        ctx,
        "Model",
        image=image,
        model_data=best_model(tuned),
        environment={"SAGEMAKER_INFERENCE_OUTPUT": "predicted_label,probability"},
    )
    scored = batch_transform(
        ctx, "Score", model=model, data="s3://golden-data/applications/", input_filter="$[1:]", join_source="Input"
    )
    return Pipeline(
        name=ctx.pipeline_name,
        parameters=[rounds],
        steps=[first, tuned, model, scored],
        sagemaker_session=ctx.session,
    )
