"""A training that streams compressed data through pipes, labels out of an augmented manifest, and reads fast files."""

from sagemaker.core.workflow.parameters import ParameterString
from sagemaker.mlops.workflow.pipeline import Pipeline

from mlops_sm.builders import Channel, Context, framework_image, training


def pipeline(ctx: Context) -> Pipeline:
    data = ParameterString("Data", default_value="s3://golden-data/rows/")
    trained = training(
        ctx,
        "Train",
        image=framework_image(ctx, "sklearn", "1.2-1"),
        code="src",
        entry_point="train.py",
        channels={
            "rows": Channel(s3_uri=data, input_mode="Pipe", compression_type="Gzip", shuffle_seed=7),
            "labels": Channel(
                s3_uri="s3://golden-data/labels.manifest",
                s3_data_type="AugmentedManifestFile",
                attribute_names=["image-ref", "label"],
                input_mode="Pipe",
                record_wrapper_type="RecordIO",
                content_type="application/x-recordio",
            ),
            "validation": Channel(
                s3_uri="s3://golden-data/validation.manifest", s3_data_type="ManifestFile", input_mode="FastFile"
            ),
        },
    )
    return Pipeline(name=ctx.pipeline_name, parameters=[data], steps=[trained], sagemaker_session=ctx.session)
