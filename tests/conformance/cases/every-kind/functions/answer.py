"""Answers callback steps: whoever is asked agrees."""

import json
from typing import Any

import boto3


def handler(event: dict[str, Any], _context: object) -> None:
    for record in event["Records"]:
        message = json.loads(record["body"])
        boto3.client("sagemaker").send_pipeline_execution_step_success(
            CallbackToken=message["token"],
            OutputParameters=[{"Name": "limit", "Value": str(message["arguments"]["limit"])}],
        )
