"""Pipeline executions: start, describe, list, steps, stop, and that they really run.

Shapes and words: botocore's model; ``Step failure: One or multiple steps failed.`` and ``execution-<epoch ms>`` as in
DescribePipelineExecution answers of real accounts that public repositories quote; the lower-case experiment name
likewise.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
from datetime import datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from mlops_sm.checks.service import sagemaker_model
from mlops_sm.checks.shapes import check_value

ARN = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/"
EVALUATE = """
import json, pathlib
pathlib.Path("/opt/ml/processing/out/report.json").write_text(json.dumps({"auc": {"value": 0.7}}))
print("evaluated")
"""
WAIT = "import time\ntime.sleep(600)"


def gate(code: str, make: Any, *, above: Any) -> list[dict[str, Any]]:
    """Evaluate -> a condition on its property file -> create a model and register it, or fail."""
    report = {"PropertyFileName": "report", "OutputName": "out", "FilePath": "report.json"}
    output = {
        "Std:Join": {"On": "/", "Values": ["s3://emulator-tests", {"Get": "Execution.PipelineExecutionId"}, "evaluate"]}
    }
    evaluate = make.processing("Evaluate", code, output, PropertyFiles=[report])
    container = {"Image": "python:3.11", "ModelDataUrl": "s3://emulator-tests/model.tar.gz"}
    value = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Evaluate.PropertyFiles.report"}, "Path": "auc.value"}}
    register = {
        "ModelPackageGroupName": "lending",
        "InferenceSpecification": {
            "Containers": [container],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
    }
    condition = {
        "Conditions": [{"Type": "GreaterThanOrEqualTo", "LeftValue": value, "RightValue": above}],
        "IfSteps": [
            {
                "Name": "Create",
                "Type": "Model",
                "Arguments": {
                    "ExecutionRoleArn": "arn:aws:iam::123456789012:role/execution",
                    "PrimaryContainer": {
                        **container,
                        "Environment": {"OF": {"Get": "Execution.PipelineExecutionArn"}, "AUC": value},
                    },
                },
            },
            {"Name": "Register", "Type": "RegisterModel", "Arguments": register, "DependsOn": ["Create"]},
        ],
        "ElseSteps": [make.fail("No", {"Std:Join": {"On": "", "Values": ["auc is below ", above]}})],
    }
    return [evaluate, {"Name": "Gate", "Type": "Condition", "Arguments": condition}]


@pytest.fixture
def gated(account: Any, make: Any) -> Any:
    code = account.put("code/evaluate.py", EVALUATE)
    account.create_pipeline(
        "lending-build",
        *gate(code, make, above={"Get": "Parameters.MinAuc"}),
        parameters=[
            {"Name": "MinAuc", "Type": "Float", "DefaultValue": 0.5},
            {"Name": "Stage", "Type": "String", "DefaultValue": "dev", "EnumValues": ["dev", "prod"]},
        ],
    )
    return account


def start(account: Any, name: str, **request: Any) -> str:
    arn: str = account.sagemaker.start_pipeline_execution(PipelineName=name, **request)["PipelineExecutionArn"]
    return arn


def test_a_gate_that_is_met_registers_a_model(gated: Any) -> None:
    arn = start(gated, "lending-build")
    assert re.fullmatch(re.escape(f"{ARN}lending-build/execution/") + "[a-z0-9]{12}", arn)
    assert gated.execution_end(arn)["PipelineExecutionStatus"] == "Succeeded"
    identifier = arn.rsplit("/", 1)[1]
    steps = gated.steps(arn)
    assert set(steps) == {"Evaluate", "Gate", "Create", "Register"}
    assert {step["StepStatus"] for step in steps.values()} == {"Succeeded"}
    job = steps["Evaluate"]["Metadata"]["ProcessingJob"]["Arn"].rsplit("/", 1)[1]
    assert re.fullmatch(f"pipelines-{identifier}-Evaluate-[a-z0-9]{{10}}", job)
    assert steps["Gate"]["Metadata"] == {"Condition": {"Outcome": "True"}}
    model = gated.sagemaker.describe_model(ModelName=steps["Create"]["Metadata"]["Model"]["Arn"].rsplit("/", 1)[1])
    # A number from a property file is text where the service takes text.
    assert model["PrimaryContainer"]["Environment"] == {"OF": arn, "AUC": "0.7"}
    package = steps["Register"]["Metadata"]["RegisterModel"]["Arn"]
    assert package == "arn:aws:sagemaker:us-east-1:123456789012:model-package/lending/1"
    described = gated.sagemaker.describe_model_package(ModelPackageName=package)
    assert described["ModelApprovalStatus"] == "PendingManualApproval"
    assert json.loads(gated.body(f"{identifier}/evaluate/report.json")) == {"auc": {"value": 0.7}}


def test_a_gate_that_is_not_met_takes_the_other_branch(gated: Any) -> None:
    arn = start(gated, "lending-build", PipelineParameters=[{"Name": "MinAuc", "Value": "0.99"}])
    ended = gated.execution_end(arn)
    assert ended["PipelineExecutionStatus"] == "Failed"
    assert ended["FailureReason"] == "Step failure: One or multiple steps failed."
    steps = gated.steps(arn)
    assert set(steps) == {"Evaluate", "Gate", "No"}
    assert steps["Gate"]["Metadata"] == {"Condition": {"Outcome": "False"}}
    assert steps["No"]["FailureReason"] == "auc is below 0.99"
    assert steps["No"]["Metadata"] == {"Fail": {"ErrorMessage": "auc is below 0.99"}}
    assert gated.sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"] == []
    assert gated.sagemaker.list_pipeline_executions(PipelineName="lending-build")["PipelineExecutionSummaries"][0][
        "PipelineExecutionFailureReason"
    ] == ("Step failure: One or multiple steps failed.")


def test_every_answer_fits_the_service_model(gated: Any) -> None:
    arn = start(gated, "lending-build", PipelineExecutionDescription="why")
    gated.execution_end(arn)
    for operation, request in (
        ("DescribePipelineExecution", {"PipelineExecutionArn": arn}),
        ("ListPipelineExecutionSteps", {"PipelineExecutionArn": arn}),
        ("ListPipelineExecutions", {"PipelineName": "lending-build"}),
        ("DescribePipeline", {"PipelineName": "lending-build"}),
    ):
        name = re.sub(r"(?<!^)([A-Z])", r"_\1", operation).lower()
        answer = getattr(gated.sagemaker, name)(**request)
        del answer["ResponseMetadata"]
        shape = sagemaker_model().operation_model(operation).output_shape
        assert check_value(answer, shape, operation, expressions=False) == []


def test_an_execution_is_described(gated: Any) -> None:
    arn = start(
        gated,
        "lending-build",
        PipelineExecutionDisplayName="mine",
        PipelineExecutionDescription="why",
        ParallelismConfiguration={"MaxParallelExecutionSteps": 1},
    )
    described = gated.execution_end(arn)
    assert described["PipelineArn"] == f"{ARN}lending-build"
    assert described["PipelineExecutionDisplayName"] == "mine"
    assert described["PipelineExecutionDescription"] == "why"
    assert described["ParallelismConfiguration"] == {"MaxParallelExecutionSteps": 1}
    assert described["PipelineVersionId"] == 1
    assert described["LastModifiedTime"] > described["CreationTime"]


def test_names_that_nobody_gave(open_account: Any, make: Any, clock: Any, ids: Any) -> None:
    account = open_account(clock=clock, new_id=ids)
    document = json.loads(make.definition(make.fail()))
    document["PipelineExperimentConfig"] = {
        "ExperimentName": {"Get": "Execution.PipelineName"},
        "TrialName": {"Get": "Execution.PipelineExecutionId"},
    }
    account.sagemaker.create_pipeline(
        PipelineName="Build", PipelineDefinition=json.dumps(document), RoleArn=account.role
    )
    arn = start(account, "Build")
    assert arn == f"{ARN}Build/execution/000000000001"
    described = account.execution_end(arn)
    milliseconds = int(described["CreationTime"].timestamp() * 1000)
    assert described["PipelineExecutionDisplayName"] == f"execution-{milliseconds}"
    assert described["PipelineExperimentConfig"] == {"ExperimentName": "build", "TrialName": "000000000001"}


def test_the_same_token_starts_one_execution(account: Any, make: Any) -> None:
    account.create_pipeline("p", make.fail())
    token = "x" * 40
    first = start(account, "p", ClientRequestToken=token)
    assert start(account, "p", ClientRequestToken=token) == first
    with pytest.raises(account.sagemaker.exceptions.ConflictException):
        start(account, "p", ClientRequestToken=token, PipelineExecutionDisplayName="other")
    assert start(account, "p") != first
    assert len(account.sagemaker.list_pipeline_executions(PipelineName="p")["PipelineExecutionSummaries"]) == 2


def test_every_wrong_parameter_is_named_and_nothing_starts(gated: Any) -> None:
    wrong = [("MinAux", "0.5"), ("MinAuc", "high"), ("Stage", "production")]
    given = [{"Name": name, "Value": value} for name, value in wrong]
    with pytest.raises(ClientError) as refused:
        start(gated, "lending-build", PipelineParameters=given)
    error = refused.value.response["Error"]
    assert error["Code"] == "ValidationException"
    for code, word in (("E215", "MinAux"), ("E216", "high"), ("E218", "production")):
        assert code in error["Message"]
        assert word in error["Message"]
    assert gated.sagemaker.list_pipeline_executions(PipelineName="lending-build")["PipelineExecutionSummaries"] == []


def test_a_parameter_that_is_given_twice(gated: Any) -> None:
    given = [{"Name": "MinAuc", "Value": value} for value in ("0.1", "0.2")]
    with pytest.raises(ClientError, match="given more than once: MinAuc"):
        start(gated, "lending-build", PipelineParameters=given)


def test_a_step_that_cannot_run_here_is_refused_before_the_first_one_starts(account: Any, make: Any) -> None:
    foreign = make.processing("A", account.put("code/a.py", "print()"))
    foreign["Arguments"]["AppSpecification"]["ImageUri"] = "111122223333.dkr.ecr.us-east-1.amazonaws.com/rust:1"
    account.create_pipeline("p", foreign)
    with pytest.raises(ClientError) as refused:
        start(account, "p")
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert "E402" in refused.value.response["Error"]["Message"]
    assert account.sagemaker.list_processing_jobs()["ProcessingJobSummaries"] == []


@pytest.mark.parametrize(
    ("member", "words"),
    [
        ({"MlflowExperimentName": "e"}, "MlflowExperimentName: not available in the local account"),
        ({"RoleArn": "arn:aws:iam::123456789012:role/other"}, "RoleArn can't be specified for a pipeline that you"),
    ],
)
def test_settings_without_meaning_here_are_refused(account: Any, make: Any, member: dict[str, Any], words: str) -> None:
    account.create_pipeline("p", make.fail())
    with pytest.raises(ClientError, match=words):
        start(account, "p", **member)


def test_an_execution_keeps_the_definition_and_parameters_it_started_with(gated: Any, make: Any) -> None:
    arn = start(gated, "lending-build", PipelineParameters=[{"Name": "MinAuc", "Value": "0.1"}])
    pipeline = gated.sagemaker.describe_pipeline(PipelineName="lending-build")
    gated.sagemaker.update_pipeline(PipelineName="lending-build", PipelineDefinition=make.definition(make.fail()))
    kept = gated.sagemaker.describe_pipeline_definition_for_execution(PipelineExecutionArn=arn)
    assert kept["PipelineDefinition"] == pipeline["PipelineDefinition"]
    assert kept["CreationTime"] == pipeline["CreationTime"]
    given = gated.sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=arn)["PipelineParameters"]
    assert given == [{"Name": "MinAuc", "Value": "0.1"}]
    second = start(gated, "lending-build")
    assert gated.execution_end(second)["PipelineVersionId"] == 2
    third = start(gated, "lending-build", PipelineVersionId=1)
    assert gated.execution_end(third)["PipelineExecutionStatus"] == "Succeeded"


def test_stop_ends_the_running_jobs(account: Any, make: Any) -> None:
    code = account.put("code/wait.py", WAIT)
    after = make.processing("After", code, DependsOn=["Wait"])
    anyway = make.processing("Anyway", code, DependsOn=[{"Step": "Wait", "Trigger": "Any"}])
    account.create_pipeline("p", make.processing("Wait", code), after, anyway)
    arn = start(account, "p")
    account.until(lambda: account.steps(arn).get("Wait", {}).get("StepStatus") == "Executing", "the step")
    assert account.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)["PipelineExecutionArn"] == arn
    assert account.execution_end(arn)["PipelineExecutionStatus"] == "Stopped"
    steps = account.steps(arn)
    assert set(steps) == {"Wait"}
    assert steps["Wait"]["StepStatus"] == "Stopped"
    assert steps["Wait"]["EndTime"] >= steps["Wait"]["StartTime"]
    job = steps["Wait"]["Metadata"]["ProcessingJob"]["Arn"].rsplit("/", 1)[1]
    assert account.sagemaker.describe_processing_job(ProcessingJobName=job)["ProcessingJobStatus"] == "Stopped"


def test_an_execution_that_has_ended_cannot_be_stopped(account: Any, make: Any) -> None:
    account.create_pipeline("p", make.fail())
    arn = start(account, "p")
    account.execution_end(arn)
    with pytest.raises(account.sagemaker.exceptions.ConflictException, match="in status Failed"):
        account.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)


def test_a_job_that_exits_3_fails_its_step_and_what_depends_on_it_never_starts(account: Any, make: Any) -> None:
    bad = make.processing("Bad", account.put("code/bad.py", "raise SystemExit(3)"))
    after = make.processing("After", account.put("code/good.py", "print()"), DependsOn=["Bad"])
    account.create_pipeline("p", bad, after)
    arn = start(account, "p")
    assert account.execution_end(arn)["PipelineExecutionStatus"] == "Failed"
    steps = account.steps(arn)
    assert set(steps) == {"Bad"}
    assert steps["Bad"]["StepStatus"] == "Failed"
    assert "exit code: 3" in steps["Bad"]["FailureReason"]


@pytest.mark.parametrize("content", ['"nonsense"', '"[" * 100_000'])
def test_a_property_file_without_json_fails_the_condition(account: Any, make: Any, content: str) -> None:
    code = account.put("code/evaluate.py", f'open("/opt/ml/processing/out/report.json", "w").write({content})')
    account.create_pipeline("p", *gate(code, make, above=0.5))
    arn = start(account, "p")
    assert account.execution_end(arn)["PipelineExecutionStatus"] == "Failed"
    assert "report.json does not hold JSON" in account.steps(arn)["Gate"]["FailureReason"]


def test_a_property_file_that_is_not_there_fails_the_condition(account: Any, make: Any) -> None:
    code = account.put("code/evaluate.py", "print()")
    account.create_pipeline("p", *gate(code, make, above=0.5))
    arn = start(account, "p")
    assert account.execution_end(arn)["PipelineExecutionStatus"] == "Failed"
    assert "report.json" in account.steps(arn)["Gate"]["FailureReason"]


def test_parallelism_is_capped(account: Any, make: Any) -> None:
    """Four steps that may run at once, one at a time: no two of them overlap."""
    code = account.put("code/a.py", "print()")
    account.create_pipeline("p", *(make.processing(f"S{number}", code) for number in range(4)))
    arn = start(account, "p", ParallelismConfiguration={"MaxParallelExecutionSteps": 1})
    account.execution_end(arn)
    steps = sorted(account.steps(arn).values(), key=lambda step: step["StartTime"])
    assert [step["StepName"] for step in steps] == ["S0", "S1", "S2", "S3"]
    assert all(before["EndTime"] <= after["StartTime"] for before, after in itertools.pairwise(steps))


def test_steps_run_side_by_side(account: Any, make: Any) -> None:
    """Two jobs that each wait for a file of the other's can only end when both run."""
    script = """
import pathlib, sys, time
mine, other = map(pathlib.Path, sys.argv[1:])
mine.touch()
while not other.exists():
    time.sleep(0.01)
"""
    code = account.put("code/meet.py", script)
    steps = []
    marks = [str(account.local.state.parent / f"mark-{number}") for number in range(2)]
    for number in range(2):
        step = make.processing(f"S{number}", code)
        step["Arguments"]["AppSpecification"]["ContainerArguments"] = [marks[number], marks[1 - number]]
        steps.append(step)
    account.create_pipeline("p", *steps)
    assert account.execution_end(start(account, "p"))["PipelineExecutionStatus"] == "Succeeded"


def test_steps_are_listed_last_first_in_pages(account: Any, make: Any) -> None:
    code = account.put("code/a.py", "print()")
    chain = [make.processing("S0", code)]
    chain += [make.processing(f"S{number}", code, DependsOn=[f"S{number - 1}"]) for number in range(1, 3)]
    chain[1] |= {"DisplayName": "second", "Description": "the second"}
    account.create_pipeline("p", *chain)
    arn = start(account, "p")
    account.execution_end(arn)

    def names(**request: Any) -> list[str]:
        pages = account.sagemaker.get_paginator("list_pipeline_execution_steps").paginate(
            PipelineExecutionArn=arn, **request
        )
        return [step["StepName"] for page in pages for step in page["PipelineExecutionSteps"]]

    assert names() == ["S2", "S1", "S0"]
    assert names(MaxResults=1, SortOrder="Ascending") == ["S0", "S1", "S2"]
    second = account.steps(arn)["S1"]
    assert (second["StepDisplayName"], second["StepDescription"], second["AttemptCount"]) == ("second", "the second", 1)


def test_executions_are_listed_newest_first_in_pages(open_account: Any, make: Any, clock: Any) -> None:
    account = open_account(clock=clock)
    account.create_pipeline("p", make.fail())
    account.create_pipeline("q", make.fail())
    arns = [start(account, "p", PipelineExecutionDisplayName=f"run-{number}") for number in range(3)]
    start(account, "q")
    for arn in arns:
        account.execution_end(arn)

    def listed(**request: Any) -> list[str]:
        pages = account.sagemaker.get_paginator("list_pipeline_executions").paginate(PipelineName="p", **request)
        return [s["PipelineExecutionArn"] for page in pages for s in page["PipelineExecutionSummaries"]]

    assert listed() == arns[::-1]
    assert listed(SortOrder="Ascending", MaxResults=2) == arns
    assert listed(SortBy="PipelineExecutionArn", SortOrder="Ascending", MaxResults=1) == sorted(arns)
    middle = account.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arns[1])["CreationTime"]
    assert listed(CreatedAfter=middle) == [arns[2]]
    assert listed(CreatedBefore=middle) == [arns[0]]


def test_a_token_of_another_request_is_refused(account: Any, make: Any) -> None:
    account.create_pipeline("p", make.fail())
    account.create_pipeline("q", make.fail())
    for _ in range(2):
        account.execution_end(start(account, "p"))
    token = account.sagemaker.list_pipeline_executions(PipelineName="p", MaxResults=1)["NextToken"]
    with pytest.raises(ClientError, match="Invalid NextToken"):
        account.sagemaker.list_pipeline_executions(PipelineName="q", MaxResults=1, NextToken=token)
    for nonsense in (b"nonsense", b"[" * 6000):
        token = base64.urlsafe_b64encode(nonsense).decode()
        with pytest.raises(ClientError, match="Invalid NextToken"):
            account.sagemaker.list_pipeline_executions(PipelineName="p", MaxResults=1, NextToken=token)


@pytest.mark.parametrize(
    "operation",
    [
        "describe_pipeline_execution",
        "stop_pipeline_execution",
        "retry_pipeline_execution",
        "update_pipeline_execution",
        "list_pipeline_execution_steps",
        "describe_pipeline_definition_for_execution",
        "list_pipeline_parameters_for_execution",
    ],
)
def test_an_execution_that_does_not_exist(account: Any, operation: str) -> None:
    arn = f"{ARN}p/execution/aaaaaaaaaaaa"
    with pytest.raises(account.sagemaker.exceptions.ResourceNotFound, match="does not exist"):
        getattr(account.sagemaker, operation)(PipelineExecutionArn=arn)


def test_tags_of_the_pipeline_are_on_its_jobs(account: Any, make: Any) -> None:
    account.create_pipeline(
        "p", make.processing("A", account.put("code/a.py", "print()")), Tags=[{"Key": "team", "Value": "risk"}]
    )
    arn = start(account, "p")
    account.execution_end(arn)
    job = account.steps(arn)["A"]["Metadata"]["ProcessingJob"]["Arn"]
    assert account.sagemaker.list_tags(ResourceArn=job)["Tags"] == [
        {"Key": "team", "Value": "risk"},
        {"Key": "sagemaker:pipeline-execution-arn", "Value": arn},
        {"Key": "sagemaker:pipeline-step-name", "Value": "A"},
    ]


def test_the_current_time_is_that_of_the_step_and_the_start_that_of_the_execution(
    open_account: Any, make: Any, clock: Any
) -> None:
    account = open_account(clock=clock)
    code = account.put("code/a.py", "print()")
    first, second = make.processing("A", code), make.processing("B", code, DependsOn=["A"])
    for step in (first, second):
        step["Arguments"]["Environment"] = {
            "NOW": {"Get": "Execution.CurrentDateTime"},
            "START": {"Get": "Execution.StartDateTime"},
        }
    account.create_pipeline("p", first, second)
    arn = start(account, "p")
    created = account.execution_end(arn)["CreationTime"]
    seen = []
    for name in ("A", "B"):
        job = account.steps(arn)[name]["Metadata"]["ProcessingJob"]["Arn"].rsplit("/", 1)[1]
        environment = account.sagemaker.describe_processing_job(ProcessingJobName=job)["Environment"]
        assert datetime.fromisoformat(environment["START"]) == created
        seen.append(datetime.fromisoformat(environment["NOW"]))
    assert created < seen[0] < seen[1]
