"""Search over what the account holds. Rules: SageMaker API reference, Search, SearchExpression, Filter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from mlops_sm.checks.service import sagemaker_model
from mlops_sm.emulator.database import FILE_NAME, Database
from mlops_sm.emulator.sagemaker.search_resources import RESOURCES
from mlops_sm.emulator.store import Entity, Kind, Scope, Store

HOME = Scope("123456789012", "us-east-1")
AT = datetime(2026, 11, 24, 9, 0, tzinfo=UTC).timestamp()


def condition(name: str, operator: str | None = None, value: str | None = None) -> dict[str, str]:
    told = {"Name": name, "Operator": operator, "Value": value}
    return {key: each for key, each in told.items() if each is not None}


def add_training_job(store: Store, name: str, number: int, **body: Any) -> None:
    members = {
        "TrainingJobName": name,
        "SecondaryStatus": "Completed",
        "AlgorithmSpecification": {"TrainingImage": "python:3.11", "TrainingInputMode": "File"},
        "HyperParameters": {"learning_rate": str(number / 4), "loss": "mse" if number % 2 else "mae"},
        "InputDataConfig": [
            {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3Uri": f"s3://b/train/{number}"}}},
            {"ChannelName": "test", "DataSource": {"S3DataSource": {"S3Uri": "s3://b/test"}}},
        ],
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": number, "VolumeSizeInGB": 5},
        "FinalMetricDataList": [{"MetricName": "accuracy", "Value": number / 10, "Timestamp": AT}],
        "EnableNetworkIsolation": number == 1,
        "BillableTimeInSeconds": number * 10,
        **body,
    }
    arn = HOME.arn(Kind.TRAINING_JOB, name)
    entity = Entity(
        scope=HOME,
        kind=Kind.TRAINING_JOB,
        name=name,
        arn=arn,
        # Shown and compared without what is less than a millisecond.
        created=AT + number + 0.0004,
        modified=AT + 100 - number,
        status="Completed" if number < 3 else "Failed",
        body=members,
    )
    assert store.add(entity)


@pytest.fixture
def account(account: Any, state: Path) -> Iterator[Any]:
    """An account with four training jobs that ended long ago, written past it: it has no component for them."""
    database = Database(state / FILE_NAME)
    account.store = Store(database)
    for number in range(1, 5):
        add_training_job(account.store, f"job-{number}", number)
        account.sagemaker.add_tags(
            ResourceArn=HOME.arn(Kind.TRAINING_JOB, f"job-{number}"),
            Tags=[{"Key": "team", "Value": "red" if number < 3 else "blue"}, {"Key": f"k{number}", "Value": "v"}],
        )
    yield account
    database.close()


@pytest.fixture
def find(account: Any) -> Callable[..., str]:
    """The numbers of the jobs that satisfy an expression, ascending by name."""

    def look(**expression: Any) -> str:
        answer = account.sagemaker.search(
            Resource="TrainingJob",
            SearchExpression=expression,
            SortBy="TrainingJobName",
            SortOrder="Ascending",
            MaxResults=100,
        )
        assert answer["TotalHits"] == {"Value": len(answer["Results"]), "Relation": "EqualTo"}
        return "".join(each["TrainingJob"]["TrainingJobName"][-1] for each in answer["Results"])

    return look


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (condition("TrainingJobName", None, "job-2"), "2"),
        (condition("TrainingJobName", "Equals", "JOB-2"), ""),
        (condition("TrainingJobStatus", "NotEquals", "Failed"), "12"),
        (condition("TrainingJobName", "Contains", "b-3"), "3"),
        (condition("TrainingJobName", "In", "job-1,job-4,job-9"), "14"),
        (condition("FailureReason", "Exists"), ""),
        (condition("FailureReason", "NotExists"), "1234"),
        (condition("BillableTimeInSeconds", "GreaterThan", "20"), "34"),
        (condition("BillableTimeInSeconds", "GreaterThanOrEqualTo", "20"), "234"),
        (condition("BillableTimeInSeconds", "LessThan", "20.5"), "12"),
        (condition("BillableTimeInSeconds", "LessThanOrEqualTo", "10"), "1"),
        (condition("BillableTimeInSeconds", "Equals", "30.0"), "3"),
        (condition("ResourceConfig.InstanceCount", "Equals", "4"), "4"),
        (condition("ResourceConfig.InstanceType", "Equals", "ml.m5.large"), "1234"),
        (condition("EnableNetworkIsolation", "Equals", "true"), "1"),
        (condition("CreationTime", "GreaterThan", "2026-11-24T09:00:02"), "34"),
        (condition("CreationTime", "LessThanOrEqualTo", "2026-11-24T10:00:02+01:00"), "12"),
        (condition("CreationTime", "Equals", "2026-11-24T09:00:03Z"), "3"),
        (condition("LastModifiedTime", "LessThan", str(AT + 97.5)), "34"),
        (condition("Metrics.accuracy", "GreaterThan", "0.25"), "34"),
        (condition("Metrics.never", "Exists"), ""),
        (condition("HyperParameters.loss", "Equals", "mse"), "13"),
        (condition("HyperParameters.loss", "Contains", "ma"), "24"),
        (condition("HyperParameters.learning_rate", "LessThan", "0.6"), "12"),
        # An integer makes integers of them: 0.25, 0.5 and 0.75 are 0.
        (condition("HyperParameters.learning_rate", "Equals", "0"), "123"),
        (condition("HyperParameters.loss", "GreaterThan", "1"), ""),
        (condition("Tags.team", "Equals", "red"), "12"),
        (condition("Tags.k3", "Exists"), "3"),
        (condition("Tags.team", "NotEquals", "red"), "34"),
        (condition("InputDataConfig.ChannelName", "Equals", "test"), "1234"),
        (condition("InputDataConfig.DataSource.S3DataSource.S3Uri", "Contains", "train/2"), "2"),
    ],
)
def test_a_filter(find: Callable[..., str], told: dict[str, str], wanted: str) -> None:
    assert find(Filters=[told]) == wanted


def test_and_or_and_subexpressions(find: Callable[..., str]) -> None:
    red, failed = condition("Tags.team", "Equals", "red"), condition("TrainingJobStatus", "Equals", "Failed")
    first = condition("TrainingJobName", "Equals", "job-1")
    assert find(Filters=[red, first]) == "1"
    assert find(Filters=[failed, first], Operator="Or") == "134"
    assert find(Filters=[red], SubExpressions=[{"Filters": [failed, first], "Operator": "Or"}]) == "1"
    assert find(SubExpressions=[{"Filters": [first]}, {"Filters": [failed]}], Operator="Or") == "134"


def test_a_nested_filter_is_about_one_object(find: Callable[..., str]) -> None:
    def nested(channel: str, uri: str) -> dict[str, Any]:
        return {
            "NestedPropertyName": "InputDataConfig",
            "Filters": [
                condition("InputDataConfig.ChannelName", "Equals", channel),
                condition("InputDataConfig.DataSource.S3DataSource.S3Uri", "Contains", uri),
            ],
        }

    assert find(NestedFilters=[nested("train", "train/3")]) == "3"
    # Both are true of the job, but not of one of its channels.
    assert find(NestedFilters=[nested("test", "train/3")]) == ""
    tag = {
        "NestedPropertyName": "Tags",
        "Filters": [condition("Tags.Key", None, "team"), condition("Tags.Value", None, "blue")],
    }
    assert find(NestedFilters=[tag]) == "34"


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ([condition("Nonsense", "Equals", "1")], "Unknown property name: Nonsense"),
        ([condition("ResourceConfig.Nonsense", "Equals", "1")], "Unknown property name"),
        ([condition("TrainingJobName.More", "Equals", "1")], "Unknown property name"),
        ([condition("TrainingJobName", "GreaterThan", "a")], "GreaterThan is not supported for TrainingJobName"),
        ([condition("BillableTimeInSeconds", "Contains", "1")], "only supported for text properties"),
        ([condition("BillableTimeInSeconds", "In", "1,2")], "only supported for text properties"),
        ([condition("BillableTimeInSeconds", "Equals", "many")], "an integer or a decimal number"),
        ([condition("Metrics.accuracy", "GreaterThan", "inf")], "an integer or a decimal number"),
        ([condition("CreationTime", "LessThan", "yesterday")], "a time such as"),
        ([condition("EnableNetworkIsolation", "Equals", "1")], "true or false"),
        ([condition("TrainingJobName", "Equals")], "needs a Value"),
        (
            [condition("TrainingJobName", "Contains", "a"), condition("TrainingJobName", "Contains", "b")],
            "'CONTAINS' operator usage limit of 1 exceeded",
        ),
    ],
)
def test_a_filter_that_makes_no_sense(find: Callable[..., str], told: list[dict[str, str]], message: str) -> None:
    with pytest.raises(ClientError, match="ValidationException") as caught:
        find(Filters=told)
    assert message in str(caught.value)


def test_an_expression_has_conditions_but_not_too_many(find: Callable[..., str]) -> None:
    with pytest.raises(ClientError, match=r"ValidationException.*at least one filter"):
        find()
    many = {"Filters": [condition("TrainingJobName", "Exists")] * 20}
    with pytest.raises(ClientError, match=r"ValidationException.*at most 50"):
        find(SubExpressions=[many, many, many])
    not_a_list = {"NestedPropertyName": "ResourceConfig", "Filters": [condition("ResourceConfig.InstanceCount")]}
    with pytest.raises(ClientError, match="ValidationException"):
        find(NestedFilters=[not_a_list])


def names(answer: dict[str, Any]) -> list[str]:
    return [each["TrainingJob"]["TrainingJobName"] for each in answer["Results"]]


def test_the_order(account: Any) -> None:
    search = account.sagemaker.search
    # The last modified first.
    assert names(search(Resource="TrainingJob")) == ["job-1", "job-2", "job-3", "job-4"]
    assert names(search(Resource="TrainingJob", SortOrder="Ascending"))[0] == "job-4"
    assert names(search(Resource="TrainingJob", SortBy="CreationTime"))[0] == "job-4"
    by_metric = search(Resource="TrainingJob", SortBy="metrics.accuracy", SortOrder="Ascending")
    assert names(by_metric) == ["job-1", "job-2", "job-3", "job-4"]
    # Those without a value come last either way.
    for order in ("Ascending", "Descending"):
        assert names(search(Resource="TrainingJob", SortBy="Tags.k3", SortOrder=order))[0] == "job-3"
    with pytest.raises(ClientError, match=r"ValidationException.*Unknown property name"):
        search(Resource="TrainingJob", SortBy="Nonsense")


def test_pages_stay_when_something_is_created_between_them(account: Any) -> None:
    request: dict[str, Any] = {"Resource": "TrainingJob", "SortBy": "CreationTime", "MaxResults": 2}
    first = account.sagemaker.search(**request)
    add_training_job(account.store, "job-9", 9)
    second = account.sagemaker.search(**request, NextToken=first["NextToken"])
    assert names(first) + names(second) == ["job-4", "job-3", "job-2", "job-1"]
    assert "NextToken" not in second
    with pytest.raises(ClientError, match=r"ValidationException.*NextToken"):
        account.sagemaker.search(**{**request, "SortBy": "TrainingJobName"}, NextToken=first["NextToken"])


def test_visibility_and_other_accounts(account: Any) -> None:
    search = account.sagemaker.search
    seen = search(Resource="TrainingJob", VisibilityConditions=[{"Key": "Tags.team", "Value": "red"}])
    assert names(seen) == ["job-1", "job-2"]
    seen = search(Resource="TrainingJob", VisibilityConditions=[{"Key": "Tags.k1", "Value": "other"}])
    assert names(seen) == ["job-2", "job-3", "job-4"]
    assert search(Resource="TrainingJob", CrossAccountFilterOption="CrossAccount")["Results"] == []
    with pytest.raises(ClientError, match=r"ValidationException.*Tags\.<key>"):
        search(Resource="TrainingJob", VisibilityConditions=[{"Key": "team", "Value": "red"}])


def test_trial_components_by_their_parents_parameters_and_metrics(account: Any) -> None:
    sagemaker = account.sagemaker
    sagemaker.create_experiment(ExperimentName="e")
    sagemaker.create_trial(TrialName="t", ExperimentName="e")
    for name, rate in (("c1", 0.1), ("c2", 0.2)):
        sagemaker.create_trial_component(
            TrialComponentName=name,
            Parameters={"lr": {"NumberValue": rate}, "a.b": {"StringValue": name}},
            InputArtifacts={"data": {"Value": f"s3://b/{name}"}},
            Tags=[{"Key": "t", "Value": name}],
        )
        account.local.client("sagemaker-metrics").batch_put_metrics(
            TrialComponentName=name,
            MetricData=[
                {"MetricName": "val:acc", "Value": value, "Timestamp": datetime.now(UTC)} for value in (rate, rate * 2)
            ],
        )
    sagemaker.associate_trial_component(TrialComponentName="c1", TrialName="t")

    def found(*filters: dict[str, str], **more: Any) -> list[str]:
        answer = sagemaker.search(
            Resource="ExperimentTrialComponent", SearchExpression={"Filters": list(filters)}, **more
        )
        return [each["TrialComponent"]["TrialComponentName"] for each in answer["Results"]]

    assert found(condition("Parents.ExperimentName", None, "e")) == ["c1"]
    assert found(condition("TrialComponentName", None, "c1"), condition("Parents.TrialName", None, "t")) == ["c1"]
    assert found(condition("Parameters.lr", "GreaterThan", "0.15")) == ["c2"]
    assert found(condition("Parameters.a.b", "Equals", "c1")) == ["c1"]
    assert found(condition("InputArtifacts.data.Value", "Contains", "b/c2")) == ["c2"]
    assert found(condition("InputArtifacts", "Contains", "b/c2"), condition("Tags.t", "Contains", "c")) == ["c2"]
    assert found(condition("Metrics.val:acc.Max", "GreaterThan", "0.3")) == ["c2"]
    assert found(condition("TrialComponentName", "Exists"), SortBy="metrics.val:acc.min", SortOrder="Ascending") == [
        "c1",
        "c2",
    ]
    (result,) = sagemaker.search(
        Resource="ExperimentTrialComponent",
        SearchExpression={"Filters": [condition("TrialComponentName", None, "c1")]},
    )["Results"]
    assert result["TrialComponent"]["Parents"] == [{"TrialName": "t", "ExperimentName": "e"}]
    assert result["TrialComponent"]["Metrics"][0]["Count"] == 2
    (trial,) = sagemaker.search(Resource="ExperimentTrial")["Results"]
    assert [each["TrialComponentName"] for each in trial["Trial"]["TrialComponentSummaries"]] == ["c1"]
    assert sagemaker.search(Resource="Experiment")["Results"][0]["Experiment"]["ExperimentName"] == "e"


def test_pipelines_models_and_packages(account: Any, make: Any) -> None:
    sagemaker = account.sagemaker
    arn = account.create_pipeline("p", make.fail(), Tags=[{"Key": "a", "Value": "1"}])
    execution = sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    account.execution_end(execution)
    sagemaker.create_model_package_group(ModelPackageGroupName="g")
    package = sagemaker.create_model_package(ModelPackageGroupName="g")["ModelPackageArn"]
    sagemaker.create_model(ModelName="m", PrimaryContainer={"Image": "i"}, ExecutionRoleArn=account.role)

    def only(resource: str, *filters: dict[str, str]) -> Any:
        (result,) = sagemaker.search(Resource=resource, SearchExpression={"Filters": list(filters)})["Results"]
        (member,) = result.values()
        return member

    assert only("Pipeline", condition("Tags.a", None, "1"))["PipelineArn"] == arn
    found = only("PipelineExecution", condition("PipelineArn", None, arn))
    assert (found["PipelineExecutionArn"], found["PipelineExecutionStatus"]) == (execution, "Failed")
    assert only("PipelineVersion", condition("PipelineVersionId", "LessThan", "2"))["PipelineArn"] == arn
    assert (
        only("ModelPackageGroup", condition("ModelPackageGroupName", None, "g"))["ModelPackageGroupStatus"]
        == "Completed"
    )
    found = only("ModelPackage", condition("ModelApprovalStatus", None, "PendingManualApproval"))
    assert (found["ModelPackageArn"], found["ModelPackageVersion"]) == (package, 1)
    assert only("Model", condition("ModelName", None, "m"))["Model"]["ModelName"] == "m"
    assert only("Model", condition("Model.PrimaryContainer.Image", None, "i"))["Model"]["ModelName"] == "m"


def test_records_are_found(account: Any) -> None:
    account.sagemaker.create_feature_group(
        FeatureGroupName="f",
        RecordIdentifierFeatureName="id",
        EventTimeFeatureName="at",
        FeatureDefinitions=[
            {"FeatureName": "id", "FeatureType": "String"},
            {"FeatureName": "at", "FeatureType": "String"},
        ],
        OnlineStoreConfig={"EnableOnlineStore": True},
        Tags=[{"Key": "a", "Value": "1"}],
    )
    search = account.sagemaker.search
    by_tag = {"Filters": [condition("Tags.a", None, "1")]}
    (group,) = search(Resource="FeatureGroup", SearchExpression=by_tag)["Results"]
    assert group["FeatureGroup"]["FeatureGroupName"] == "f"
    by_name = {"Filters": [condition("FeatureName", None, "id")]}
    (feature,) = search(Resource="FeatureMetadata", SearchExpression=by_name)["Results"]
    assert feature["FeatureMetadata"]["FeatureType"] == "String"


def test_every_resource_of_the_model_is_known(account: Any) -> None:
    known = sagemaker_model().shape_for("ResourceType").enum
    assert set(known) == set(RESOURCES)
    held = sagemaker_model().shape_for("SearchRecord").members
    for name, resource in RESOURCES.items():
        assert (resource is None) == (name in {"Image", "ImageVersion"})
        assert resource is None or resource.member in held
        answer = account.sagemaker.search(Resource=name)
        assert len(answer["Results"]) == (4 if name == "TrainingJob" else 0)
    with pytest.raises(ClientError, match=r"ValidationException.*enum value set"):
        account.sagemaker.search(Resource="ProcessingJob")


def test_suggestions(account: Any) -> None:
    def suggested(hint: str) -> list[str]:
        answer = account.sagemaker.get_search_suggestions(
            Resource="TrainingJob", SuggestionQuery={"PropertyNameQuery": {"PropertyNameHint": hint}}
        )
        return [each["PropertyName"] for each in answer["PropertyNameSuggestions"]]

    assert suggested("hyper") == ["HyperParameters", "HyperParameters.learning_rate", "HyperParameters.loss"]
    assert suggested("Tags.t") == ["Tags.team"]
    assert suggested("Metrics.") == ["Metrics.accuracy"]
    assert "TrainingJobName" in suggested("")
