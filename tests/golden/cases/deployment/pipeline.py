"""One model behind three endpoints: on instances with captured data, serverless, and asynchronous."""

from sagemaker.mlops.workflow.pipeline import Pipeline

from mlops_sm.builders import Asynchronous, Compute, Context, Serverless, create_model, deploy, framework_image


def pipeline(ctx: Context) -> Pipeline:
    model = create_model(
        ctx,
        "Model",
        image=framework_image(ctx, "sklearn", "1.2-1"),
        model_data="s3://golden-models/lending/model.tar.gz",
    )
    online = deploy(
        ctx,
        "Online",
        endpoint="lending",
        model=model,
        compute=Compute(instance_type="ml.c5.large", instance_count=2),
        capture_percentage=50,
        description="What the web shop asks",
    )
    rare = deploy(ctx, "Rare", endpoint="lending-rare", model=model, serverless=Serverless(max_concurrency=10))
    slow = deploy(
        ctx,
        "Slow",
        endpoint="lending-slow",
        model=model,
        asynchronous=Asynchronous(
            output_path="s3://golden-artifacts/answers",
            error_topic="arn:aws:sns:us-east-1:111122223333:errors",
        ),
        depends_on=[online.endpoint],
    )
    return Pipeline(name="deployment", steps=[model, *online, *rare, *slow], sagemaker_session=ctx.session)
