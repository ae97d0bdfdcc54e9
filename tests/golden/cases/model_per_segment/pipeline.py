"""One model per segment, as many segments as the split finds; and the same for segments that are known."""

from sagemaker.mlops.workflow.pipeline import Pipeline

from mlops_sm.builders import Compute, Context, framework_image, model_per_segment


def pipeline(ctx: Context) -> Pipeline:
    image = framework_image(ctx, "sklearn", "1.2-1")
    found = model_per_segment(
        ctx,
        "Found",
        image=image,
        data="s3://golden-data/raw/",
        split="jobs/split.py",
        code="src",
        entry_point="train.py",
        evaluate="jobs/evaluate.py",
        collect="jobs/collect.py",
        model="approval",
        parts=("train", "validation", "test"),
        hyperparameters={"depth": 3},
        metrics={"auc": "auc=([0-9.]+)"},
        compute=Compute(instance_type="ml.m5.xlarge"),
        max_concurrency=8,
    )
    known = model_per_segment(
        ctx,
        "Known",
        image=image,
        data="s3://golden-data/raw/",
        split="jobs/split.py",
        code="src",
        entry_point="train.py",
        evaluate="jobs/evaluate.py",
        model="limit",
        segments=["north", "south"],
        inference_program="inference.py",
    )
    return Pipeline(name=ctx.pipeline_name, steps=[*found, *known], sagemaker_session=ctx.session)
