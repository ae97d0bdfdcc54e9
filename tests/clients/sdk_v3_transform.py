"""Batch transform with nothing but the SageMaker SDK v3: a Transformer on a model that boto3 made.

Takes a role and a bucket; prints one JSON object for whoever started it.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile

import boto3
from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.transformer import Transformer

NO_TELEMETRY = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}
INFERENCE = """
def model_fn(model_dir):
    return 3

def input_fn(body, content_type):
    return [float(line) for line in body.split()]

def predict_fn(numbers, factor):
    return [number * factor for number in numbers]

def output_fn(numbers, accept):
    return "".join(f"{number}\\n" for number in numbers), accept
"""


def main(role: str, bucket: str) -> int:
    session = Session(boto_session=boto3.Session(), default_bucket=bucket, sagemaker_config=NO_TELEMETRY)
    image = image_uris.retrieve(
        "sklearn", region=session.boto_region_name, version="1.2-1", instance_type="ml.m5.large"
    )
    s3 = boto3.client("s3")
    s3.put_object(Bucket=bucket, Key="transform/model.tar.gz", Body=packed())
    s3.put_object(Bucket=bucket, Key="transform/in/numbers.csv", Body=b"1\n2\n")
    boto3.client("sagemaker").create_model(
        ModelName="thrice",
        ExecutionRoleArn=role,
        PrimaryContainer={"Image": image, "ModelDataUrl": f"s3://{bucket}/transform/model.tar.gz"},
    )
    transformer = Transformer(
        model_name="thrice",
        instance_count=1,
        instance_type="ml.m5.large",
        strategy="MultiRecord",
        assemble_with="Line",
        accept="text/csv",
        output_path=f"s3://{bucket}/transform/out",
        base_transform_job_name="thrice",
        sagemaker_session=session,
    )
    transformer.transform(
        data=f"s3://{bucket}/transform/in",
        content_type="text/csv",
        split_type="Line",
        join_source="Input",
        wait=True,
        logs=True,
    )
    again = Transformer.attach(transformer.latest_transform_job.transform_job_name, sagemaker_session=session)
    body = s3.get_object(Bucket=bucket, Key="transform/out/numbers.csv.out")["Body"].read().decode()
    status = again.latest_transform_job.transform_job_status
    sys.stdout.write("\n" + json.dumps({"status": status, "rows": body.split()}) + "\n")
    return 0


def packed() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        member = tarfile.TarInfo("code/inference.py")
        member.size = len(INFERENCE)
        archive.addfile(member, io.BytesIO(INFERENCE.encode()))
    return stream.getvalue()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
