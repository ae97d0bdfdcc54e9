"""Images of one's own: with their own entrypoint, and with one given here."""

from sagemaker.mlops.workflow.pipeline import Pipeline

from mlops_sm.builders import Context, output, own_image, processing, training


def pipeline(ctx: Context) -> Pipeline:
    image = own_image(ctx, "credit/scoring", tag="2.4.0")
    pinned = own_image(ctx, "credit/scoring", digest="sha256:" + "0" * 64)

    by_itself = processing(ctx, "ByItself", image=pinned, inputs={"data": "s3://golden-data/raw/"}, outputs=["clean"])
    told = processing(
        ctx,
        "Told",
        image=image,
        container_entrypoint=["/usr/bin/score", "prepare"],
        arguments=["--fast"],
        inputs={"data": output(by_itself, "clean")},
        outputs=["ready"],
    )
    own_train = training(ctx, "OwnTrain", image=pinned, channels={"train": output(told, "ready")})
    told_train = training(
        ctx,
        "ToldTrain",
        image=image,
        container_entrypoint=["/usr/bin/score"],
        container_arguments=["train", "--verbose"],
        channels={"train": output(told, "ready")},
        hyperparameters={"depth": 3},
    )
    return Pipeline(
        name=ctx.pipeline_name, steps=[by_itself, told, own_train, told_train], sagemaker_session=ctx.session
    )
