"""What the account records by itself of jobs, executions and model packages.

Source: developer guide, "Amazon SageMaker-Created Tracking Entities". Names and texts as AWS shows them: descriptions
of trial components in public notebooks, e.g. ``Status: Completed, exit message: null, failure reason: null``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from mlops_sm.emulator.database import FILE_NAME, Database
from mlops_sm.emulator.store import Store

DONE = "open('/opt/ml/processing/out/x.csv', 'w').write('1')"
TRAIN = "print('loss=0.5'); print('loss=0.25'); open('/opt/ml/model/m', 'w').write('1')"


def sources(account: Any, arn: str, direction: str = "Ascendants", **filters: Any) -> list[str]:
    """SourceUris of the artifacts that a query finds."""
    answer = account.sagemaker.query_lineage(
        StartArns=[arn],
        Direction=direction,
        IncludeEdges=False,
        MaxResults=50,
        Filters={"LineageTypes": ["Artifact"], **filters},
    )
    found = (account.sagemaker.describe_artifact(ArtifactArn=vertex["Arn"]) for vertex in answer["Vertices"])
    return [artifact["Source"]["SourceUri"] for artifact in found]


def test_a_processing_job_has_a_component(account: Any) -> None:
    account.sagemaker.create_processing_job(**account.processing_request("Prepare", DONE))
    account.processing_end("Prepare")
    described = account.sagemaker.describe_trial_component(TrialComponentName="Prepare-aws-processing-job")
    assert described["Source"] == {
        "SourceArn": "arn:aws:sagemaker:us-east-1:123456789012:processing-job/Prepare",
        "SourceType": "SageMakerProcessingJob",
    }
    assert described["Status"] == {
        "PrimaryStatus": "Completed",
        "Message": "Status: Completed, exit message: null, failure reason: null",
    }
    assert described["Parameters"] == {
        "SageMaker.InstanceCount": {"NumberValue": 1.0},
        "SageMaker.InstanceType": {"StringValue": "ml.m5.large"},
        "SageMaker.VolumeSizeInGB": {"NumberValue": 5.0},
    }
    assert described["InputArtifacts"] == {
        "SageMaker.ImageUri": {"Value": "python:3.11"},
        "code": {"Value": "s3://emulator-tests/code/Prepare.py"},
    }
    assert described["OutputArtifacts"] == {"out": {"Value": "s3://emulator-tests/Prepare/out"}}
    assert described["StartTime"] <= described["EndTime"]
    (listed,) = account.sagemaker.list_trial_components(SourceArn=described["Source"]["SourceArn"])[
        "TrialComponentSummaries"
    ]
    assert listed["TrialComponentArn"] == described["TrialComponentArn"]
    associations = account.sagemaker.list_associations(DestinationArn=described["TrialComponentArn"])
    assert {each["SourceType"] for each in associations["AssociationSummaries"]} == {"DataSet", "Image"}
    assert sources(account, described["TrialComponentArn"], "Descendants") == ["s3://emulator-tests/Prepare/out"]


def test_a_training_job_has_a_component_with_its_metrics(account: Any) -> None:
    request = account.training_request("fit", TRAIN, HyperParameters={"lr": "0.5", "loss": '"mse"'})
    account.sagemaker.create_training_job(**request)
    model = account.training_end("fit")["ModelArtifacts"]["S3ModelArtifacts"]
    described = account.sagemaker.describe_trial_component(TrialComponentName="fit-aws-training-job")
    assert described["Parameters"]["lr"] == {"NumberValue": 0.5}
    assert described["Parameters"]["loss"] == {"StringValue": '"mse"'}
    assert described["Status"]["Message"] == "Status: Completed, secondary status: Completed, failure reason: ."
    assert described["OutputArtifacts"] == {"SageMaker.ModelArtifact": {"Value": model}}
    (metric,) = described["Metrics"]
    job = described["Source"]["SourceArn"]
    assert (metric["MetricName"], metric["SourceArn"], metric["Count"]) == ("loss", job, 2)
    assert (metric["Min"], metric["Max"], metric["Last"]) == (0.25, 0.5, 0.25)
    query = {
        "MetricName": "loss",
        "ResourceArn": job,
        "MetricStat": "Count",
        "Period": "OneHour",
        "XAxisType": "Timestamp",
    }
    (got,) = account.local.client("sagemaker-metrics").batch_get_metrics(MetricQueries=[query])["MetricQueryResults"]
    assert sum(got["MetricValues"]) == 2
    assert sources(account, described["TrialComponentArn"], "Descendants", Types=["Model"]) == [model]
    found = account.sagemaker.search(
        Resource="ExperimentTrialComponent",
        SearchExpression={"Filters": [{"Name": "Source.SourceType", "Value": "SageMakerTrainingJob"}]},
    )["Results"][0]["TrialComponent"]
    assert found["SourceDetail"]["TrainingJob"]["TrainingJobName"] == "fit"


def test_a_failed_job_produced_nothing(account: Any) -> None:
    account.sagemaker.create_processing_job(**account.processing_request("bad", "raise SystemExit(3)"))
    reason = account.processing_end("bad")["FailureReason"]
    described = account.sagemaker.describe_trial_component(TrialComponentName="bad-aws-processing-job")
    assert described["Status"]["PrimaryStatus"] == "Failed"
    assert reason in described["Status"]["Message"]
    assert sources(account, described["TrialComponentArn"], "Descendants") == []
    assert sorted(sources(account, described["TrialComponentArn"])) == [
        "python:3.11",
        "s3://emulator-tests/code/bad.py",
    ]


def test_an_experiment_config_of_a_job(account: Any) -> None:
    sagemaker = account.sagemaker
    sagemaker.create_experiment(ExperimentName="e")
    sagemaker.create_trial(TrialName="t", ExperimentName="e")
    config = {"ExperimentName": "e", "TrialName": "t", "TrialComponentDisplayName": "shown", "RunName": "run"}
    sagemaker.create_processing_job(**account.processing_request("in-trial", DONE, ExperimentConfig=config))
    (component,) = sagemaker.list_trial_components(TrialName="t")["TrialComponentSummaries"]
    assert component["DisplayName"] == "shown"
    by_run = {"Filters": [{"Name": "RunName", "Value": "run"}, {"Name": "Parents.TrialName", "Value": "t"}]}
    assert len(sagemaker.search(Resource="ExperimentTrialComponent", SearchExpression=by_run)["Results"]) == 1
    # Without a trial a new one is made.
    sagemaker.create_processing_job(
        **account.processing_request("no-trial", DONE, ExperimentConfig={"ExperimentName": "e"})
    )
    assert len(sagemaker.list_trials(ExperimentName="e")["TrialSummaries"]) == 2
    for name in ("in-trial", "no-trial"):
        account.processing_end(name)
    with pytest.raises(sagemaker.exceptions.ResourceNotFound, match="experiment/none does not exist"):
        sagemaker.create_processing_job(
            **account.processing_request("lost", DONE, ExperimentConfig={"ExperimentName": "none"})
        )
    with pytest.raises(ClientError, match="ValidationException"):
        sagemaker.describe_processing_job(ProcessingJobName="lost")


def test_an_execution_makes_its_experiment_and_trial(account: Any, make: Any) -> None:
    code = account.put("code/step.py", DONE)
    document = json.loads(make.definition(make.processing("Prepare", code)))
    document["PipelineExperimentConfig"] = {
        "ExperimentName": {"Get": "Execution.PipelineName"},
        "TrialName": {"Get": "Execution.PipelineExecutionId"},
    }
    sagemaker = account.sagemaker
    sagemaker.create_pipeline(PipelineName="Build", PipelineDefinition=json.dumps(document), RoleArn=account.role)
    for _ in range(2):
        arn = sagemaker.start_pipeline_execution(PipelineName="Build")["PipelineExecutionArn"]
        assert account.execution_end(arn)["PipelineExecutionStatus"] == "Succeeded"
        identifier = arn.rsplit("/", 1)[-1]
        assert sagemaker.describe_trial(TrialName=identifier)["ExperimentName"] == "build"
        (component,) = sagemaker.list_trial_components(TrialName=identifier)["TrialComponentSummaries"]
        job = account.steps(arn)["Prepare"]["Metadata"]["ProcessingJob"]["Arn"]
        assert component["TrialComponentSource"]["SourceArn"] == job
    assert len(sagemaker.list_trials(ExperimentName="build")["TrialSummaries"]) == 2


def test_from_a_registered_model_back_to_the_data(account: Any) -> None:
    """Prepare, train, register: the model package's artifact leads to the raw data's URI."""
    sagemaker = account.sagemaker
    raw = account.put("raw/data.csv", "1")
    request = account.processing_request("prepare", DONE)
    request["ProcessingInputs"].append(
        {
            "InputName": "raw",
            "S3Input": {
                "S3Uri": raw,
                "LocalPath": "/opt/ml/processing/input/raw",
                "S3DataType": "S3Prefix",
                "S3InputMode": "File",
            },
        }
    )
    sagemaker.create_processing_job(**request)
    account.processing_end("prepare")
    request = account.training_request("fit", TRAIN)
    train = {
        "ChannelName": "train",
        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://emulator-tests/prepare/out"}},
    }
    request["InputDataConfig"].append(train)
    sagemaker.create_training_job(**request)
    model = account.training_end("fit")["ModelArtifacts"]["S3ModelArtifacts"]
    sagemaker.create_model_package_group(ModelPackageGroupName="Group")
    package = sagemaker.create_model_package(
        ModelPackageGroupName="Group",
        InferenceSpecification={
            "Containers": [{"Image": "serve:1", "ModelDataUrl": model}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
    )["ModelPackageArn"]
    (artifact,) = sagemaker.list_artifacts(SourceUri=package)["ArtifactSummaries"]
    assert artifact["ArtifactType"] == "Model"
    assert raw in sources(account, artifact["ArtifactArn"], Types=["DataSet"])
    assert sources(account, artifact["ArtifactArn"], Types=["Model"]) == [model]
    (data,) = sagemaker.list_artifacts(SourceUri=raw)["ArtifactSummaries"]
    assert package in sources(account, data["ArtifactArn"], "Descendants", Types=["Model"])
    (context,) = sagemaker.list_contexts(ContextType="ModelGroup")["ContextSummaries"]
    assert context["Source"]["SourceUri"].endswith(":model-package-group/Group")
    (association,) = sagemaker.list_associations(SourceArn=artifact["ArtifactArn"])["AssociationSummaries"]
    assert (association["DestinationArn"], association["AssociationType"]) == (context["ContextArn"], "AssociatedWith")


def test_approvals_are_actions(account: Any) -> None:
    sagemaker = account.sagemaker
    sagemaker.create_model_package_group(ModelPackageGroupName="g")
    package = sagemaker.create_model_package(ModelPackageGroupName="g")["ModelPackageArn"]
    sagemaker.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved")
    sagemaker.update_model_package(ModelPackageArn=package, ApprovalDescription="still")
    actions = sagemaker.list_actions(SourceUri=package, ActionType="Approval", SortOrder="Ascending")["ActionSummaries"]
    statuses = [
        sagemaker.describe_action(ActionName=each["ActionName"])["Properties"]["ModelApprovalStatus"]
        for each in actions
    ]
    assert statuses == ["PendingManualApproval", "Approved"]
    (artifact,) = sagemaker.list_artifacts(SourceUri=package)["ArtifactSummaries"]
    incoming = sagemaker.list_associations(DestinationArn=artifact["ArtifactArn"], SourceType="Approval")
    assert len(incoming["AssociationSummaries"]) == 2


def test_a_package_without_a_group(account: Any) -> None:
    package = account.sagemaker.create_model_package(
        ModelPackageName="alone",
        InferenceSpecification={
            "Containers": [{"Image": "serve:1", "ModelDataUrl": "s3://emulator-tests/m.tar.gz"}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
    )["ModelPackageArn"]
    (artifact,) = account.sagemaker.list_artifacts(SourceUri=package)["ArtifactSummaries"]
    assert sorted(sources(account, artifact["ArtifactArn"])) == ["s3://emulator-tests/m.tar.gz", "serve:1"]
    assert account.sagemaker.list_contexts()["ContextSummaries"] == []


def test_one_uri_has_one_artifact(account: Any) -> None:
    made = account.sagemaker.create_artifact(
        ArtifactName="mine", Source={"SourceUri": "s3://emulator-tests/code/again.py"}, ArtifactType="Code"
    )["ArtifactArn"]
    for name in ("one", "two"):
        request = account.processing_request(name, DONE)
        account.put("code/again.py", DONE)
        request["ProcessingInputs"][0]["S3Input"]["S3Uri"] = "s3://emulator-tests/code/again.py"
        request["AppSpecification"]["ContainerEntrypoint"] = ["python", "/opt/ml/processing/input/code/again.py"]
        account.sagemaker.create_processing_job(**request)
        assert account.processing_end(name)["ProcessingJobStatus"] == "Completed"
    assert len(account.sagemaker.list_associations(SourceArn=made)["AssociationSummaries"]) == 2
    images = account.sagemaker.list_artifacts(ArtifactType="Image")["ArtifactSummaries"]
    assert [each["Source"]["SourceUri"] for each in images] == ["python:3.11"]


def test_the_component_of_a_job_that_died_with_its_account(open_account: Callable[..., Any], state: Path) -> None:
    account = open_account()
    account.sagemaker.create_training_job(**account.training_request("fit", TRAIN))
    account.training_end("fit")
    # The job as it was while it ran: the next owner of the state finds it so when this one is killed.
    database = Database(state / FILE_NAME)
    store = Store(database)
    job = store.by_arn("arn:aws:sagemaker:us-east-1:123456789012:training-job/fit")
    component = store.by_arn("arn:aws:sagemaker:us-east-1:123456789012:experiment-trial-component/fit-aws-training-job")
    assert job is not None
    assert component is not None
    store.save(job.with_body({"TrainingEndTime": None}, modified=job.modified, status="InProgress"))
    store.save(component.with_body({"Status": {"PrimaryStatus": "InProgress"}}, modified=job.modified))
    database.close()
    sagemaker = open_account().sagemaker
    ended = sagemaker.describe_training_job(TrainingJobName="fit")["TrainingJobStatus"]
    described = sagemaker.describe_trial_component(TrialComponentName="fit-aws-training-job")
    assert described["Status"]["PrimaryStatus"] == ended == "Failed"


def test_a_job_that_takes_the_name_of_a_deleted_one(account: Any) -> None:
    request = account.training_request("fit", TRAIN)
    for rate in ("1", "2"):
        account.sagemaker.create_training_job(**request, HyperParameters={"rate": rate})
        account.training_end("fit")
        described = account.sagemaker.describe_trial_component(TrialComponentName="fit-aws-training-job")
        assert described["Parameters"]["rate"] == {"NumberValue": float(rate)}
        assert described["Metrics"][0]["Count"] == 2
        account.sagemaker.delete_training_job(TrainingJobName="fit")
