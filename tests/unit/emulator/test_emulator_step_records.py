"""Lineage, Cleanup and EndpointConfig steps: what they leave in the account and in the list of steps.

Rules: SDK 3.27, mlops/workflow/{lineage,cleanup,endpoint}_step.py; API reference, LineageMetadata, CleanupStepMetadata
and EndpointConfigStepMetadata.
"""

from __future__ import annotations

from typing import Any

import pytest


class Desk:
    """Runs pipelines."""

    def __init__(self, account: Any, make: Any) -> None:
        self.account = account
        self.make = make

    def run(self, *steps: dict[str, Any], pipeline: str = "p") -> str:
        self.account.create_pipeline(pipeline, *steps)
        arn: str = self.account.sagemaker.start_pipeline_execution(PipelineName=pipeline)["PipelineExecutionArn"]
        self.account.execution_end(arn)
        return arn

    def retry(self, arn: str) -> str:
        self.account.sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken="t" * 32)
        status: str = self.account.execution_end(arn)["PipelineExecutionStatus"]
        return status


@pytest.fixture
def desk(account: Any, make: Any) -> Desk:
    return Desk(account, make)


# ---------------------------------------------------------------------- Lineage


def lineage(**arguments: Any) -> dict[str, Any]:
    return {"Name": "Record", "Type": "Lineage", "Arguments": arguments}


ACTION = {"ActionName": "run", "ActionType": "ModelTraining", "Source": {"SourceUri": "s3://b/run"}}
ARTIFACT = {"ArtifactName": "model", "ArtifactType": "Model", "Source": {"SourceUri": "s3://b/model.tar.gz"}}
CONTEXT = {"ContextName": "era", "ContextType": "Era", "Source": {"SourceUri": "s3://b/era"}}
BY_NAME = {
    "Source": {"Name": "run", "Type": "Action"},
    "Destination": {"Name": "model", "Type": "Artifact"},
    "AssociationType": "Produced",
}


def test_a_lineage_step_records_entities_and_associations(desk: Desk) -> None:
    sagemaker = desk.account.sagemaker
    known = sagemaker.create_artifact(ArtifactType="DataSet", Source={"SourceUri": "s3://b/data"})["ArtifactArn"]
    by_arn = {"Source": {"Arn": known}, "Destination": {"Name": "era", "Type": "Context"}}
    say = desk.make.fail("Say", {"Get": "Steps.Record.ArtifactArns['model']"})
    arn = desk.run(
        lineage(Actions=[ACTION], Artifacts=[ARTIFACT], Contexts=[CONTEXT], Associations=[BY_NAME, by_arn]), say
    )
    steps = desk.account.steps(arn)
    left = steps["Record"]["Metadata"]["Lineage"]
    action, artifact, context = left["ActionArns"]["run"], left["ArtifactArns"]["model"], left["ContextArns"]["era"]
    assert left["Associations"] == [
        {"SourceArn": action, "DestinationArn": artifact},
        {"SourceArn": known, "DestinationArn": context},
    ]
    assert steps["Say"]["FailureReason"] == artifact
    assert sagemaker.describe_action(ActionName="run")["ActionArn"] == action
    [found] = sagemaker.list_associations(SourceArn=action)["AssociationSummaries"]
    assert (found["DestinationArn"], found["AssociationType"]) == (artifact, "Produced")


def test_a_name_that_the_step_does_not_record_fails_it(desk: Desk) -> None:
    arn = desk.run(lineage(Actions=[ACTION], Associations=[BY_NAME]))
    step = desk.account.steps(arn)["Record"]
    assert step["FailureReason"] == "ClientError: ValidationException: The step records no Artifact of the name model."
    assert list(step["Metadata"]["Lineage"]["ActionArns"]) == ["run"]


def test_an_action_that_exists_fails_the_step(desk: Desk) -> None:
    desk.run(lineage(Actions=[ACTION]))
    arn = desk.run(lineage(Actions=[ACTION]), pipeline="q")
    assert "already exists" in desk.account.steps(arn)["Record"]["FailureReason"]


def test_a_retry_builds_on_what_was_recorded(desk: Desk) -> None:
    last = desk.make.processing("Last", desk.account.put("code/last.py", "import sys\nsys.exit(1)\n"))
    last["Arguments"]["Environment"] = {"ARN": {"Get": "Steps.Record.ActionArns['run']"}}
    arn = desk.run(lineage(Actions=[ACTION]), last)
    desk.account.put("code/last.py", "import os\nassert ':action/run' in os.environ['ARN']\n")
    assert desk.retry(arn) == "Succeeded"


# ---------------------------------------------------------------------- EndpointConfig


def endpoint_config(model: Any) -> dict[str, Any]:
    variant = {"VariantName": "A", "ModelName": model, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    arguments = {"EndpointConfigName": "config", "ProductionVariants": [variant]}
    return {"Name": "Config", "Type": "EndpointConfig", "Arguments": arguments}


def test_an_endpoint_configuration_is_made_and_described(desk: Desk) -> None:
    account = desk.account
    account.sagemaker.create_model(
        ModelName="model", ExecutionRoleArn=account.role, PrimaryContainer={"Image": "python:3.11"}
    )
    arn = desk.run(
        endpoint_config("model"), desk.make.fail("Say", {"Get": "Steps.Config.ProductionVariants[0].VariantName"})
    )
    steps = account.steps(arn)
    made = account.sagemaker.describe_endpoint_config(EndpointConfigName="config")
    assert steps["Config"]["Metadata"] == {"EndpointConfig": {"Arn": made["EndpointConfigArn"]}}
    assert steps["Say"]["FailureReason"] == "A"


def test_a_model_that_does_not_exist_fails_the_step(desk: Desk) -> None:
    arn = desk.run(endpoint_config("nobody"))
    assert desk.account.steps(arn)["Config"]["FailureReason"].startswith("ClientError: ValidationException: ")


# ---------------------------------------------------------------------- Cleanup


def cleanup(*sources: dict[str, Any], after: Any = None) -> dict[str, Any]:
    depends_on = after if after is not None else [source["StepName"] for source in sources]
    return {
        "Name": "Clean",
        "Type": "Cleanup",
        "Arguments": {"Resources": {"S3": list(sources)}},
        "DependsOn": depends_on,
    }


def keys(account: Any, prefix: str) -> list[str]:
    found = account.s3.list_objects_v2(Bucket=account.bucket, Prefix=prefix).get("Contents", [])
    return [each["Key"] for each in found]


TWO = "for n in 'ab':\n    open(f'/opt/ml/processing/out/{n}', 'w').write(n)\n"


def test_named_objects_of_a_processing_step_are_deleted(desk: Desk) -> None:
    account = desk.account
    source = {"StepName": "Make", "S3Uris": [f"s3://{account.bucket}/out/a"]}
    arn = desk.run(desk.make.processing("Make", account.put("code/make.py", TWO)), cleanup(source))
    assert account.steps(arn)["Clean"]["Metadata"]["Cleanup"] == {
        "CleanedSteps": ["Make"],
        "FailedSteps": [],
        "SkippedSteps": [],
    }
    assert keys(account, "out/") == ["out/b"]


def test_what_a_training_job_left_is_found(desk: Desk) -> None:
    account = desk.account
    train = account.training_request("train", "open('/opt/ml/model/m', 'w').write('m')\n")
    del train["TrainingJobName"]
    account.put("models/another", b"")
    arn = desk.run({"Name": "Train", "Type": "Training", "Arguments": train}, cleanup({"StepName": "Train"}))
    assert account.steps(arn)["Clean"]["Metadata"]["Cleanup"]["CleanedSteps"] == ["Train"]
    assert keys(account, "models/") == ["models/another"]


def test_outputs_that_cannot_be_located_are_skipped(desk: Desk) -> None:
    """A processing step's objects must be named; a step that did not run has left none."""
    account = desk.account
    make = desk.make.processing("Make", account.put("code/make.py", TWO))
    arn = desk.run(make, cleanup({"StepName": "Make"}))
    assert account.steps(arn)["Clean"]["Metadata"]["Cleanup"]["SkippedSteps"] == ["Make"]
    assert keys(account, "out/") == ["out/a", "out/b"]


def test_objects_of_others_stay_and_the_step_fails(desk: Desk) -> None:
    account = desk.account
    account.put("precious", b"1")
    make = desk.make.processing("Make", account.put("code/make.py", TWO))
    uris = [f"s3://{account.bucket}/out/a", f"s3://{account.bucket}/precious"]
    arn = desk.run(make, cleanup({"StepName": "Make", "S3Uris": uris}))
    step = account.steps(arn)["Clean"]
    [failed] = step["Metadata"]["Cleanup"]["FailedSteps"]
    assert (failed["StepName"], failed["ErrorCode"]) == ("Make", "ClientError")
    assert "/precious is no object under the outputs of the step" in failed["ErrorMessage"]
    assert step["StepStatus"] == "Failed"
    assert keys(account, "") == ["code/make.py", "out/a", "out/b", "precious"]


def test_a_failed_step_is_cleaned_when_a_trigger_asks_for_it(desk: Desk) -> None:
    account = desk.account
    make = desk.make.processing("Make", account.put("code/make.py", TWO + "raise SystemExit(1)\n"))
    account.put("out/a", b"left")
    source = {"StepName": "Make", "S3Uris": [f"s3://{account.bucket}/out/a"]}
    arn = desk.run(make, cleanup(source, after=[{"Step": "Make", "Trigger": "Any"}]))
    assert account.steps(arn)["Clean"]["StepStatus"] == "Succeeded"
    assert keys(account, "out/a") == []
