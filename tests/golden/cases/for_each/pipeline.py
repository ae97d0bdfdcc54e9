"""A model and predictions for every region, four at a time; regions are objects, and the best model is told apart."""

from sagemaker.core.workflow.functions import Join
from sagemaker.core.workflow.parameters import ParameterString
from sagemaker.mlops.workflow.for_each_step import CurrentItem, ForEachSelector, IterationOutput
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.steps import Step

from mlops_sm.builders import (
    Context,
    batch_transform,
    collected,
    create_model,
    for_each,
    framework_image,
    model_artifacts,
    output,
    processing,
    training,
)

METRICS = {"auc": "auc=([0-9.]+)"}


def pipeline(ctx: Context) -> Pipeline:
    image = framework_image(ctx, "sklearn", "1.2-1")
    months = ParameterString("Months", default_value='["2026-10","2026-11"]')

    def region(each: Context, item: CurrentItem) -> list[Step]:
        trained = training(
            each,
            "Train",
            image=image,
            code="src",
            entry_point="train.py",
            channels={"train": Join(on="", values=["s3://golden-data/regions/", item.name, "/"])},
            hyperparameters={"depth": item.depth},
            metrics=METRICS,
        )
        model = create_model(each, "Model", image=image, model_data=model_artifacts(trained))
        return [
            trained,
            model,
            batch_transform(
                each, "Predict", model=model, data=Join(on="", values=["s3://golden-data/new/", item.name])
            ),
        ]

    regions = for_each(
        ctx,
        "Regions",
        items=[{"name": "north", "depth": 3}, {"name": "south", "depth": 5}],
        key="name",
        body=region,
        selector=ForEachSelector("MaxBy", IterationOutput("Train").FinalMetricDataList["auc"].Value),
        description="One model per region",
    )

    def month(each: Context, item: CurrentItem) -> list[Step]:
        return [
            processing(
                each,
                "Score",
                image=image,
                code="jobs/score.py",
                inputs={"model": regions.properties.Selected.ModelArtifacts.S3ModelArtifacts},
                outputs=["scores"],
                arguments=["--month", item],
                cache_expire_after=None,
            )
        ]

    scores = for_each(ctx, "Scores", items=months, body=month, max_concurrency=2)
    summary = processing(
        ctx,
        "Summary",
        image=image,
        code="jobs/score.py",
        inputs={"scores": collected(scores, "Score")},
        outputs=["summary"],
        depends_on=[scores],
    )
    last = processing(
        ctx,
        "Compare",
        image=image,
        code="jobs/score.py",
        inputs={"summary": output(summary, "summary")},
        outputs=["comparison"],
        arguments=["--regions", regions.properties.InputItemCount.to_string()],
    )
    return Pipeline(
        name=ctx.pipeline_name,
        parameters=[months],
        steps=[regions, scores, summary, last],
        sagemaker_session=ctx.session,
    )
