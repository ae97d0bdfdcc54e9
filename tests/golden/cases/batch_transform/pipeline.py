"""Batch transform: a model made in the pipeline scores CSV beside its input; a finished model scores JSON lines."""

from sagemaker.core.shapes import BatchDataCaptureConfig
from sagemaker.core.workflow.parameters import ParameterInteger, ParameterString
from sagemaker.mlops.workflow.pipeline import Pipeline

from mlops_sm.builders import Compute, Context, batch_transform, create_model, framework_image, predictions, processing


def pipeline(ctx: Context) -> Pipeline:
    applications = ParameterString("Applications", default_value="s3://golden-data/applications/")
    payload = ParameterInteger("MaxPayload", default_value=2)
    sklearn = framework_image(ctx, "sklearn", "1.2-1")

    model = create_model(
        ctx,
        "CreditModel",
        image=sklearn,
        model_data="s3://golden-models/credit/model.tar.gz",
        inference_program="inference.py",
    )
    scored = batch_transform(
        ctx,
        "Score",
        model=model,
        data=applications,
        input_filter="$[1:]",
        join_source="Input",
        output_filter="$[0,-1]",
        max_payload=payload,
        max_concurrent_transforms=4,
        environment={"THRESHOLD": "0.5"},
        compute=Compute(instance_type="ml.m5.xlarge", instance_count=2),
    )
    captured = batch_transform(
        ctx,
        "Explain",
        model="explainer",
        data="s3://golden-data/manifest.json",
        data_type="ManifestFile",
        content_type="application/jsonlines",
        compression_type="Gzip",
        strategy="SingleRecord",
        output_path="s3://golden-results/explained/",
        data_capture=BatchDataCaptureConfig(
            destination_s3_uri="s3://golden-results/captured/", generate_inference_id=True
        ),
        cache_expire_after=None,
    )
    report = processing(
        ctx,
        "Report",
        image=sklearn,
        code="jobs/report.py",
        inputs={"scores": predictions(scored)},
        outputs=["report"],
    )
    return Pipeline(
        name=ctx.pipeline_name,
        parameters=[applications, payload],
        steps=[model, scored, captured, report],
        sagemaker_session=ctx.session,
    )
