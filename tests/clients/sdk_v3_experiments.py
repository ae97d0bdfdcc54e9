"""An experiment run and the lineage of a job, with nothing but the SageMaker SDK v3.

Takes a role, a bucket and a scratch folder; prints one JSON object for whoever started it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import boto3
from sagemaker.core.experiments.run import Run, list_runs, load_run
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.lineage.artifact import Artifact, DatasetArtifact
from sagemaker.core.lineage.visualizer import LineageTableVisualizer

NO_TELEMETRY = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}
WRITE = "import pathlib; pathlib.Path('/opt/ml/processing/out/x').write_text('1')"


def main(role: str, bucket: str, scratch: Path) -> int:
    session = Session(boto_session=boto3.Session(), default_bucket=bucket, sagemaker_config=NO_TELEMETRY)
    (scratch / "notes.txt").write_text("notes")
    with Run(experiment_name="Rates", run_name="first", sagemaker_session=session) as run:
        run.log_parameters({"rate": 0.1, "loss": "mse"})
        for step in range(12):
            run.log_metric("loss", 1 / (step + 1), step=step)
        run.log_file(str(scratch / "notes.txt"), name="notes")
    with load_run(experiment_name="Rates", run_name="first", sagemaker_session=session) as run:
        run.log_parameter("more", 1)
    (found,) = list_runs(experiment_name="Rates", sagemaker_session=session)
    (metric,) = found._trial_component.metrics

    sagemaker = session.sagemaker_client
    sagemaker.create_processing_job(
        ProcessingJobName="write",
        ProcessingResources={"ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}},
        AppSpecification={"ImageUri": "python:3.11", "ContainerEntrypoint": ["python", "-c", WRITE]},
        RoleArn=role,
        ProcessingOutputConfig={
            "Outputs": [
                {
                    "OutputName": "out",
                    "S3Output": {
                        "S3Uri": f"s3://{bucket}/written",
                        "LocalPath": "/opt/ml/processing/out",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ]
        },
    )
    sagemaker.get_waiter("processing_job_completed_or_stopped").wait(
        ProcessingJobName="write", WaiterConfig={"Delay": 1}
    )
    table = LineageTableVisualizer(session).show(processing_job_name="write")
    (written,) = Artifact.list(source_uri=f"s3://{bucket}/written", sagemaker_session=session)
    dataset = DatasetArtifact.load(artifact_arn=written.artifact_arn, sagemaker_session=session)
    result = {
        "parameters": found._trial_component.parameters,
        "files": sorted(found._trial_component.output_artifacts),
        "loss": [metric.count, metric.min, metric.max],
        "lineage": sorted(zip(table["Type"], table["Association Type"], strict=True)),
        "dataset": dataset.artifact_type,
    }
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
