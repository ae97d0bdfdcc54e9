"""Processing: a script with every kind of input, argument and output."""

from sagemaker.core.shapes import ProcessingS3Input, ProcessingS3Output
from sagemaker.core.workflow.parameters import ParameterFloat, ParameterInteger, ParameterString
from sagemaker.mlops.workflow.pipeline import Pipeline

from mlops_sm.builders import Compute, Context, framework_image, output, processing


def pipeline(ctx: Context) -> Pipeline:
    raw = ParameterString("Raw", default_value="s3://golden-data/raw/")
    share = ParameterFloat("TestShare", default_value=0.2)
    count = ParameterInteger("InstanceCount", default_value=2)
    instance_type = ParameterString("InstanceType", default_value="ml.m5.xlarge")

    split = processing(
        ctx,
        "Split",
        image=framework_image(ctx, "sklearn", "1.2-1"),
        code="jobs/prepare.py",
        arguments=["--test-share", share, "--seed", 42, "--raw", raw, "--shuffle", True],
        inputs={
            "raw": raw,
            "schema": "s3://golden-data/schema.json",
            "shards": ProcessingS3Input(
                s3_uri="s3://golden-data/shards/",
                local_path="/opt/ml/processing/shards",
                s3_data_type="S3Prefix",
                s3_input_mode="File",
                s3_data_distribution_type="ShardedByS3Key",
            ),
        },
        outputs=["train", "test"],
        compute=Compute(
            instance_type=instance_type, instance_count=count, volume_size_in_gb=50, max_runtime_in_seconds=900
        ),
        environment={"LOG_LEVEL": "debug"},
        tags={"team": "pricing", "stage": "data"},
        display_name="Split the data",
        description="Train and test",
    )
    publish = processing(
        ctx,
        "Publish",
        image=framework_image(ctx, "sklearn", "1.2-1"),
        code="jobs/prepare.py",
        container_entrypoint=["python3", "-X", "utf8"],
        inputs={"train": output(split, "train")},
        outputs={
            "published": "s3://golden-data/published/",
            "log": ProcessingS3Output(
                s3_uri="s3://golden-data/log/", local_path="/opt/ml/processing/log", s3_upload_mode="Continuous"
            ),
        },
        depends_on=[split],
        cache_expire_after=None,
        retry_policies=[],
    )
    return Pipeline(
        name=ctx.pipeline_name,
        parameters=[raw, share, count, instance_type],
        steps=[split, publish],
        sagemaker_session=ctx.session,
    )
