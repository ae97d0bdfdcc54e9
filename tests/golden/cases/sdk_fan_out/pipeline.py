"""Functions, iterations, lineage and cleaning as the SDK writes them, beside our steps."""

from sagemaker.core.lambda_helper import Lambda
from sagemaker.core.lineage.action import Action
from sagemaker.core.lineage.artifact import Artifact
from sagemaker.core.workflow.functions import Join
from sagemaker.mlops.workflow.cleanup_step import CleanupStep, S3CleanupSource
from sagemaker.mlops.workflow.for_each_step import CurrentItem, ForEachSelector, ForEachStep, IterationOutput
from sagemaker.mlops.workflow.lambda_step import LambdaOutput, LambdaOutputTypeEnum, LambdaStep
from sagemaker.mlops.workflow.lineage_step import LineageAssociation, LineageEntityReference, LineageStep
from sagemaker.mlops.workflow.pipeline import Pipeline

from mlops_sm.builders import Context, framework_image, output, processing

_FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:{}"


def pipeline(ctx: Context) -> Pipeline:
    image = framework_image(ctx, "sklearn", "1.2-1")
    plan = LambdaStep(
        name="Plan",
        lambda_func=Lambda(function_arn=_FUNCTION.format("plan"), session=ctx.session),
        inputs={"bucket": "golden-data"},
        outputs=[LambdaOutput(output_name="segments", output_type=LambdaOutputTypeEnum.String)],
    )
    score = LambdaStep(
        name="Score",
        lambda_func=Lambda(function_arn=_FUNCTION.format("score"), session=ctx.session),
        inputs={"segment": CurrentItem().name},
        outputs=[LambdaOutput(output_name="auc", output_type=LambdaOutputTypeEnum.Float)],
    )
    train = processing(
        ctx,
        "Segment",
        image=image,
        code="jobs/segment.py",
        inputs={"raw": "s3://golden-data/raw/"},
        outputs={"model": Join(on="/", values=["s3://golden-models/segments", CurrentItem().name])},
        environment={"SEGMENT": CurrentItem().name, "AUC": Join(on="", values=[score.properties.Outputs["auc"]])},
    )
    each = ForEachStep(
        name="Segments",
        iterable_items=plan.properties.Outputs["segments"],
        max_concurrency=4,
        for_each_body=[score, train],
        selector=ForEachSelector("MaxBy", IterationOutput(score).OutputParameters["auc"]),
    )
    report = processing(
        ctx,
        "Report",
        image=image,
        code="jobs/segment.py",
        inputs={"raw": "s3://golden-data/raw/"},
        outputs=["report"],
    )
    tell = LambdaStep(
        name="Tell",
        lambda_func=Lambda(function_arn=_FUNCTION.format("tell"), session=ctx.session),
        inputs={
            "best": each.properties.Selected.OutputParameters["auc"],
            "first": each.properties.IterationOutputs[0].Score.OutputParameters["auc"],
            "count": each.properties.SucceededStepCount,
        },
        outputs=[],
    )
    record = LineageStep(
        name="Record",
        actions=[
            Action.create(
                action_name="segments",
                source_uri="s3://golden-data/raw/",
                action_type="Scoring",
                sagemaker_session=ctx.session,
            )
        ],
        artifacts=[
            Artifact.create(
                artifact_name="report",
                source_uri=output(report, "report"),
                artifact_type="Report",
                sagemaker_session=ctx.session,
            )
        ],
        associations=[
            LineageAssociation(
                source=LineageEntityReference(name="segments", type="Action"),
                destination=LineageEntityReference(name="report", type="Artifact"),
                association_type="Produced",
            )
        ],
    )
    clean = CleanupStep(
        name="Clean",
        s3_sources=[S3CleanupSource(report, s3_uris=[f"s3://{ctx.environment.artifact_bucket}/scratch"])],
        depends_on=[record],
    )
    return Pipeline(
        name=ctx.pipeline_name, steps=[plan, each, tell, report, record, clean], sagemaker_session=ctx.session
    )
