"""A pipeline with nothing but boto3: written by hand, started, followed and read; the environment says which account.

Prints one JSON object for whoever started it.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import boto3

BUCKET = "boto3-only"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
SUM = """
import json, pathlib
numbers = [int(line) for line in pathlib.Path("/opt/ml/processing/input/numbers.csv").read_text().split()]
target = pathlib.Path("/opt/ml/processing/output/sum.json")
target.write_text(json.dumps({"sum": sum(numbers)}))
print(f"summed {len(numbers)} numbers")
"""
TRAIN = """
import json, os, pathlib
total = json.loads(pathlib.Path("/opt/ml/input/data/sum/sum.json").read_text())["sum"]
pathlib.Path("/opt/ml/model/weights.json").write_text(json.dumps({"weight": total * 2}))
print(f"loss={1 / total}")
"""


def s3_input(name: str, uri: object, folder: str) -> dict[str, Any]:
    return {
        "InputName": name,
        "S3Input": {
            "S3Uri": uri,
            "LocalPath": folder,
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
            "S3DataDistributionType": "FullyReplicated",
        },
    }


def channel(name: str, uri: object) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def definition(role: str) -> str:
    summed = {"Get": "Steps.Sum.ProcessingOutputConfig.Outputs['sum'].S3Output.S3Uri"}
    steps = [
        {
            "Name": "Sum",
            "Type": "Processing",
            "Arguments": {
                "ProcessingResources": {
                    "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10}
                },
                "AppSpecification": {
                    "ImageUri": IMAGE,
                    "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/sum.py"],
                },
                "RoleArn": role,
                "ProcessingInputs": [
                    s3_input("numbers", {"Get": "Parameters.Numbers"}, "/opt/ml/processing/input"),
                    s3_input("code", f"s3://{BUCKET}/code/sum.py", "/opt/ml/processing/input/code"),
                ],
                "ProcessingOutputConfig": {
                    "Outputs": [
                        {
                            "OutputName": "sum",
                            "S3Output": {
                                "S3Uri": f"s3://{BUCKET}/sum",
                                "LocalPath": "/opt/ml/processing/output",
                                "S3UploadMode": "EndOfJob",
                            },
                        }
                    ]
                },
            },
            "PropertyFiles": [{"PropertyFileName": "Sum", "OutputName": "sum", "FilePath": "sum.json"}],
        },
        {
            "Name": "LargeEnough",
            "Type": "Condition",
            "Arguments": {
                "Conditions": [
                    {
                        "Type": "GreaterThan",
                        "LeftValue": {
                            "Std:JsonGet": {"PropertyFile": {"Get": "Steps.Sum.PropertyFiles.Sum"}, "Path": "sum"}
                        },
                        "RightValue": {"Get": "Parameters.AtLeast"},
                    }
                ],
                "IfSteps": [
                    {
                        "Name": "Train",
                        "Type": "Training",
                        "Arguments": {
                            "AlgorithmSpecification": {
                                "TrainingImage": IMAGE,
                                "TrainingInputMode": "File",
                                "ContainerEntrypoint": ["python3", "/opt/ml/input/data/code/train.py"],
                                "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
                            },
                            "InputDataConfig": [
                                channel("sum", summed),
                                channel("code", f"s3://{BUCKET}/code/train.py"),
                            ],
                            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/models"},
                            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
                            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
                            "RoleArn": role,
                        },
                    }
                ],
                "ElseSteps": [
                    {"Name": "TooSmall", "Type": "Fail", "Arguments": {"ErrorMessage": "the sum is too small"}}
                ],
            },
        },
    ]
    parameters = [
        {"Name": "Numbers", "Type": "String", "DefaultValue": f"s3://{BUCKET}/numbers.csv"},
        {"Name": "AtLeast", "Type": "Integer", "DefaultValue": 5},
    ]
    return json.dumps({"Version": "2020-12-01", "Metadata": {}, "Parameters": parameters, "Steps": steps})


def run(sagemaker: Any, **members: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Start the pipeline; the execution's end and the status of each step."""
    arn = sagemaker.start_pipeline_execution(PipelineName="sums", **members)["PipelineExecutionArn"]
    deadline = time.monotonic() + 120
    while True:
        execution: dict[str, Any] = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        if execution["PipelineExecutionStatus"] not in ("Executing", "Stopping"):
            break
        if time.monotonic() > deadline:
            raise TimeoutError(arn)
        time.sleep(0.05)
    pages = sagemaker.get_paginator("list_pipeline_execution_steps").paginate(PipelineExecutionArn=arn)
    steps = [step for page in pages for step in page["PipelineExecutionSteps"]]
    return execution, {step["StepName"]: step["StepStatus"] for step in steps}


def main() -> int:
    iam, s3, sagemaker = (boto3.client(service) for service in ("iam", "s3", "sagemaker"))
    role = iam.create_role(RoleName="sums", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    s3.create_bucket(Bucket=BUCKET)
    for key, content in {"numbers.csv": "1\n2\n3\n", "code/sum.py": SUM, "code/train.py": TRAIN}.items():
        s3.put_object(Bucket=BUCKET, Key=key, Body=content.encode())
    sagemaker.create_pipeline(PipelineName="sums", PipelineDefinition=definition(role), RoleArn=role)
    done, steps = run(sagemaker)
    missed, missed_steps = run(sagemaker, PipelineParameters=[{"Name": "AtLeast", "Value": "100"}])

    (job,) = sagemaker.list_training_jobs()["TrainingJobSummaries"]
    training = sagemaker.describe_training_job(TrainingJobName=job["TrainingJobName"])
    model = training["ModelArtifacts"]["S3ModelArtifacts"].removeprefix(f"s3://{BUCKET}/")
    logs = boto3.client("logs")
    group = "/aws/sagemaker/ProcessingJobs"
    stream = logs.describe_log_streams(logGroupName=group)["logStreams"][0]["logStreamName"]
    events = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)["events"]
    result = {
        "account": boto3.client("sts").get_caller_identity()["Account"],
        "status": done["PipelineExecutionStatus"],
        "steps": steps,
        "missed": missed["PipelineExecutionStatus"],
        "missed_steps": missed_steps,
        "sum": json.loads(s3.get_object(Bucket=BUCKET, Key="sum/sum.json")["Body"].read())["sum"],
        "model_bytes": s3.head_object(Bucket=BUCKET, Key=model)["ContentLength"],
        "loss": training["FinalMetricDataList"][0]["Value"],
        "log": [event["message"] for event in events],
    }
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
