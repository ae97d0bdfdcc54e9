"""Plain SDK steps beside ours: each side uses what the other produced."""

from sagemaker.core.processing import ScriptProcessor
from sagemaker.core.shapes import ProcessingInput, ProcessingOutput, ProcessingS3Input, ProcessingS3Output
from sagemaker.core.workflow.conditions import ConditionEquals
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.steps import ProcessingStep

from mlops_sm.builders import Context, framework_image, output, processing


def pipeline(ctx: Context) -> Pipeline:
    image = framework_image(ctx, "sklearn", "1.2-1")
    ours = processing(
        ctx, "Ours", image=image, code="jobs/prepare.py", inputs={"raw": "s3://golden-data/raw/"}, outputs=["clean"]
    )
    processor = ScriptProcessor(
        image_uri=image,
        command=["python3"],
        role=ctx.role,
        instance_type="ml.m5.large",
        instance_count=1,
        sagemaker_session=ctx.session,
    )
    raw = ProcessingStep(
        name="Raw",
        step_args=processor.run(
            code=str(ctx.root / "jobs" / "prepare.py"),
            inputs=[
                ProcessingInput(
                    input_name="clean",
                    s3_input=ProcessingS3Input(
                        s3_uri=output(ours, "clean"),
                        local_path="/opt/ml/processing/clean",
                        s3_data_type="S3Prefix",
                        s3_input_mode="File",
                    ),
                )
            ],
            outputs=[
                ProcessingOutput(
                    output_name="report",
                    s3_output=ProcessingS3Output(
                        s3_uri="/opt/ml/processing/report",
                        local_path="/opt/ml/processing/report",
                        s3_upload_mode="EndOfJob",
                    ),
                )
            ],
        ),
    )
    after = processing(
        ctx, "After", image=image, code="jobs/prepare.py", inputs={"report": output(raw, "report")}, outputs=["summary"]
    )
    stop = ConditionStep(
        name="Stop",
        conditions=[ConditionEquals(left=after.properties.ProcessingJobStatus, right="Stopped")],
        if_steps=[FailStep(name="Stopped", error_message="somebody stopped it")],
        else_steps=[],
    )
    return Pipeline(name=ctx.pipeline_name, steps=[ours, raw, after, stop], sagemaker_session=ctx.session)
