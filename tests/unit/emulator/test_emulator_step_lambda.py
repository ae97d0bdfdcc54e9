"""Lambda steps: the event, the outputs and their types, failures, and a stop meanwhile.

Rules: developer guide, "Lambda step"; API reference, StopPipelineExecution and LambdaStepMetadata.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest

ROLE = "arn:aws:iam::123456789012:role/execution"
OUTPUTS = [
    {"OutputName": "text", "OutputType": "String"},
    {"OutputName": "count", "OutputType": "Integer"},
    {"OutputName": "share", "OutputType": "Float"},
    {"OutputName": "good", "OutputType": "Boolean"},
]


class Desk:
    """Functions, and a pipeline with one Lambda step."""

    def __init__(self, account: Any) -> None:
        self.account = account

    def function(self, name: str, code: str, region: str = "eu-west-1", **members: Any) -> str:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("index.py", code)
        client = self.account.local.client("lambda", region)
        arn: str = client.create_function(
            FunctionName=name,
            Runtime="python3.12",
            Role=ROLE,
            Handler="index.handler",
            Code={"ZipFile": packed.getvalue()},
            **members,
        )["FunctionArn"]
        return arn

    def start(self, *steps: Any) -> str:
        self.account.create_pipeline("p", *steps, parameters=[{"Name": "Limit", "Type": "Integer", "DefaultValue": 3}])
        arn: str = self.account.sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
        return arn

    def run(self, *steps: Any) -> tuple[str, dict[str, Any]]:
        arn = self.start(*steps)
        return self.account.execution_end(arn)["PipelineExecutionStatus"], self.account.steps(arn)


def step(arn: str, outputs: list[dict[str, str]] = OUTPUTS, **members: Any) -> dict[str, Any]:
    return {
        "Name": "Call",
        "Type": "Lambda",
        "FunctionArn": arn,
        "OutputParameters": outputs,
        "Arguments": {"limit": {"Get": "Parameters.Limit"}},
        **members,
    }


@pytest.fixture
def desk(account: Any) -> Desk:
    account.local.ensure_role(ROLE)
    return Desk(account)


GOOD = """
def handler(event, context):
    return {"text": "t" * event["limit"], "count": event["limit"], "share": 0.5, "good": True, "more": None}
"""


def test_the_outputs_reach_the_next_step_in_their_types(desk: Desk, make: Any) -> None:
    arn = desk.function("good", GOOD)
    outputs = [{"Get": f"Steps.Call.OutputParameters['{o['OutputName']}']"} for o in OUTPUTS]
    message = {"Std:Join": {"On": " ", "Values": outputs}}
    status, steps = desk.run(step(arn), make.fail("Say", message))
    assert (status, steps["Call"]["StepStatus"]) == ("Failed", "Succeeded")
    assert steps["Say"]["FailureReason"] == "ttt 3 0.5 true"
    assert steps["Call"]["Metadata"] == {
        "Lambda": {
            "Arn": arn,
            "OutputParameters": [
                {"Name": "text", "Value": "ttt"},
                {"Name": "count", "Value": "3"},
                {"Name": "share", "Value": "0.5"},
                {"Name": "good", "Value": "true"},
            ],
        }
    }


def test_a_step_without_outputs_takes_any_answer(desk: Desk) -> None:
    arn = desk.function("plain", "def handler(event, context):\n    return None\n")
    status, steps = desk.run({"Name": "Call", "Type": "Lambda", "FunctionArn": arn})
    assert (status, steps["Call"]["Metadata"]) == ("Succeeded", {"Lambda": {"Arn": arn, "OutputParameters": []}})


def test_an_output_that_holds_a_dictionary_is_text(desk: Desk, make: Any) -> None:
    arn = desk.function("nested", "def handler(event, context):\n    return {'text': {'a': [1]}}\n")
    message = {"Get": "Steps.Call.OutputParameters['text']"}
    _, steps = desk.run(step(arn, OUTPUTS[:1]), make.fail("Say", message))
    assert steps["Say"]["FailureReason"] == '{"a": [1]}'


def test_a_function_of_another_region_and_of_a_version_is_called(desk: Desk) -> None:
    arn = desk.function("far", GOOD, region="us-east-1")
    version = desk.account.local.client("lambda", "us-east-1").publish_version(FunctionName="far")["Version"]
    status, steps = desk.run(step(f"{arn}:{version}", OUTPUTS[1:2]))
    assert (status, steps["Call"]["Metadata"]["Lambda"]["Arn"]) == ("Succeeded", f"{arn}:{version}")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise ValueError('no such bucket')", "ValueError"),
        ("return {'count': object()}", "Runtime.MarshalError"),
        ("return {'text': 'a'}", "returned no output count; it returned: text"),
        ("return {'count': '3'}", "as output count, which is declared as Integer"),
        ("return {'count': True}", "as output count, which is declared as Integer"),
        ("return [3]", "its outputs are read from a dictionary"),
        ("return None", "its outputs are read from a dictionary"),
    ],
)
def test_what_a_function_may_do_wrong(desk: Desk, code: str, reason: str) -> None:
    arn = desk.function("bad", f"def handler(event, context):\n    {code}\n")
    status, steps = desk.run(step(arn, OUTPUTS[1:2]))
    assert (status, steps["Call"]["StepStatus"]) == ("Failed", "Failed")
    assert steps["Call"]["FailureReason"].startswith(f"ClientError: the Lambda function {arn} ")
    assert reason in steps["Call"]["FailureReason"]
    assert steps["Call"]["Metadata"]["Lambda"] == {"Arn": arn}


def test_a_number_that_is_none_is_refused(desk: Desk) -> None:
    arn = desk.function("nan", "def handler(event, context):\n    return {'share': float('nan')}\n")
    _, steps = desk.run(step(arn, OUTPUTS[2:3]))
    reason = f"ClientError: the Lambda function {arn} returned nan as output share, which is declared as Float"
    assert steps["Call"]["FailureReason"].lower() == reason.lower()


def test_a_function_that_does_not_exist_fails_its_step(desk: Desk) -> None:
    arn = "arn:aws:lambda:eu-west-1:123456789012:function:nobody"
    _, steps = desk.run(step(arn))
    assert steps["Call"]["FailureReason"] == f"ClientError: ResourceNotFoundException: Function not found: {arn}"


def test_a_function_that_takes_too_long_fails_its_step(desk: Desk) -> None:
    arn = desk.function("slow", "import time\ndef handler(event, context):\n    time.sleep(60)\n", Timeout=1)
    _, steps = desk.run(step(arn))
    assert "Task timed out after 1.00 seconds" in steps["Call"]["FailureReason"]


def test_an_execution_stops_once_its_function_has_ended(desk: Desk, make: Any) -> None:
    """API reference, StopPipelineExecution: the pipeline waits for the function to finish, and then stops."""
    account = desk.account
    code = """
import time, boto3
def handler(event, context):
    s3 = boto3.client("s3")
    s3.put_object(Bucket="emulator-tests", Key="begun", Body=b"")
    while not s3.list_objects_v2(Bucket="emulator-tests", Prefix="go").get("Contents"):
        time.sleep(0.02)
"""
    never = make.fail("Never") | {"DependsOn": ["Call"]}
    arn = desk.start(step(desk.function("waits", code, Timeout=60), []), never)
    account.until(lambda: "Contents" in account.s3.list_objects_v2(Bucket=account.bucket, Prefix="begun"), "the call")
    account.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    shown = account.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    assert shown["PipelineExecutionStatus"] == "Stopping"
    account.put("go", b"")
    assert account.execution_end(arn)["PipelineExecutionStatus"] == "Stopped"
    assert {name: found["StepStatus"] for name, found in account.steps(arn).items()} == {"Call": "Succeeded"}


def test_a_retried_execution_builds_on_the_outputs(desk: Desk, make: Any) -> None:
    account = desk.account
    code = account.put("code/last.py", "import sys\nsys.exit(1)\n")
    last = make.processing("Last", code)
    last["Arguments"]["Environment"] = {"TEXT": {"Get": "Steps.Call.OutputParameters['text']"}}
    arn = desk.start(step(desk.function("good", GOOD), OUTPUTS[:2]), last)
    account.execution_end(arn)
    begun = account.steps(arn)["Call"]["StartTime"]
    account.put("code/last.py", "import os\nopen('/opt/ml/processing/out/c', 'w').write(os.environ['TEXT'])\n")
    account.sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken="t" * 32)
    assert account.execution_end(arn)["PipelineExecutionStatus"] == "Succeeded"
    assert account.steps(arn)["Call"]["StartTime"] == begun
    assert account.body("out/c") == b"ttt"


def test_the_event_is_json(desk: Desk, make: Any) -> None:
    arn = desk.function("echo", "import json\ndef handler(event, context):\n    return {'text': json.dumps(event)}\n")
    arguments = {"a": [1, {"Get": "Parameters.Limit"}], "b": {"c": True}}
    message = {"Get": "Steps.Call.OutputParameters['text']"}
    _, steps = desk.run(step(arn, OUTPUTS[:1], Arguments=arguments), make.fail("Say", message))
    assert json.loads(steps["Say"]["FailureReason"]) == {"a": [1, 3], "b": {"c": True}}
