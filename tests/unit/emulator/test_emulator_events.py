"""State changes become events, and the targets of rules that match them are really called."""

from __future__ import annotations

import http.server
import io
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from mlops_sm.emulator.store import Scope

Json = Any
SPECIFICATION = {
    "Containers": [{"Image": "python:3.11", "ModelDataUrl": "s3://b/model.tar.gz"}],
    "SupportedContentTypes": ["text/csv"],
    "SupportedResponseMIMETypes": ["text/csv"],
}
APPROVED = {"source": ["aws.sagemaker"], "detail": {"ModelApprovalStatus": ["Approved"]}}


class Bus:
    """Rules, queues and packages of an account, as short as tests want them."""

    def __init__(self, account: Any) -> None:
        self.account = account
        self.events = account.client("events")
        self.sqs = account.client("sqs")

    def queue(self, name: str = "heard", **attributes: str) -> str:
        url = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        found = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        arn: str = found["Attributes"]["QueueArn"]
        return arn

    def rule(self, pattern: Json, *targets: Json, name: str = "rule", **members: Json) -> str:
        arn: str = self.events.put_rule(Name=name, EventPattern=json.dumps(pattern), **members)["RuleArn"]
        bus = {"EventBusName": members["EventBusName"]} if "EventBusName" in members else {}
        given = [{"Id": f"t{number}", **target} for number, target in enumerate(targets)]
        assert self.events.put_targets(Rule=name, Targets=given, **bus)["FailedEntryCount"] == 0
        return arn

    def put(self, detail: Json = None, **members: Json) -> Json:
        entry = {"Source": "mine", "DetailType": "Something", "Detail": json.dumps(detail or {}), **members}
        return self.events.put_events(Entries=[entry])

    def messages(self, name: str = "heard") -> list[Json]:
        """What the queue has got when everything was delivered."""
        assert self.account.local.settle()
        url = self.sqs.get_queue_url(QueueName=name)["QueueUrl"]
        found: list[Json] = []
        while batch := self.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"]
        ).get("Messages"):
            found.extend(batch)
            for message in batch:
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return found

    def heard(self, name: str = "heard") -> list[Json]:
        return [json.loads(message["Body"]) for message in self.messages(name)]

    def package(self, group: str = "group", **members: Json) -> str:
        sagemaker = self.account.sagemaker
        try:
            sagemaker.create_model_package_group(ModelPackageGroupName=group)
        except ClientError as error:
            assert "already exists" in str(error)
        answer = sagemaker.create_model_package(
            ModelPackageGroupName=group, InferenceSpecification=SPECIFICATION, **members
        )
        arn: str = answer["ModelPackageArn"]
        return arn

    def approve(self, package: str, status: str = "Approved") -> None:
        self.account.sagemaker.update_model_package(ModelPackageArn=package, ModelApprovalStatus=status)


@pytest.fixture
def bus(account: Any) -> Bus:
    return Bus(account)


# ---------------------------------------------------------------- what is announced


def test_an_approval_reaches_a_queue(bus: Bus) -> None:
    """Source: "Model package state change" of the SageMaker developer guide."""
    bus.rule(APPROVED, {"Arn": bus.queue()})
    package = bus.package()
    bus.approve(package)
    (event,) = bus.heard()
    assert event["source"] == "aws.sagemaker"
    assert event["detail-type"] == "SageMaker Model Package State Change"
    assert (event["version"], event["account"], event["region"]) == ("0", "123456789012", "us-east-1")
    assert event["resources"] == [package]
    datetime.strptime(event["time"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    detail = event["detail"]
    assert (detail["ModelPackageGroupName"], detail["ModelPackageVersion"]) == ("group", 1)
    assert (detail["ModelPackageArn"], detail["ModelApprovalStatus"]) == (package, "Approved")
    assert detail["ModelPackageStatus"] == "Completed"
    assert detail["InferenceSpecification"] == SPECIFICATION
    datetime.strptime(detail["CreationTime"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert "ModelPackageName" not in detail


def test_each_change_of_a_package_is_announced_and_nothing_else(bus: Bus) -> None:
    bus.rule({"source": ["aws.sagemaker"]}, {"Arn": bus.queue()})
    package = bus.package()
    bus.approve(package, "Rejected")
    bus.approve(package, "Rejected")
    bus.account.sagemaker.update_model_package(ModelPackageArn=package, CustomerMetadataProperties={"a": "b"})
    bus.approve(package)
    assert [event["detail"]["ModelApprovalStatus"] for event in bus.heard()] == [
        "PendingManualApproval",
        "Rejected",
        "Approved",
    ]


def test_execution_and_steps_are_announced(bus: Bus, make: Any) -> None:
    """Source: "Pipeline execution state change" and "Pipeline step state change" of the SageMaker developer guide."""
    bus.rule({"source": ["aws.sagemaker"]}, {"Arn": bus.queue()})
    pipeline = bus.account.create_pipeline("p", make.fail("No", "because"))
    execution = bus.account.sagemaker.start_pipeline_execution(
        PipelineName="p", PipelineExecutionDisplayName="shown", PipelineExecutionDescription="why"
    )["PipelineExecutionArn"]
    bus.account.execution_end(execution)
    events = bus.heard()
    assert all(event["resources"] == [pipeline, execution] for event in events)
    ran = [event["detail"] for event in events if event["detail-type"].endswith("Execution Status Change")]
    assert [
        (detail["previousPipelineExecutionStatus"], detail["currentPipelineExecutionStatus"]) for detail in ran
    ] == [(None, "Executing"), ("Executing", "Failed")]
    assert (ran[0]["pipelineExecutionDisplayName"], ran[0]["pipelineExecutionDescription"]) == ("shown", "why")
    assert "executionEndTime" not in ran[0]
    assert ran[1]["executionEndTime"] >= ran[1]["executionStartTime"]
    assert (ran[1]["pipelineArn"], ran[1]["pipelineExecutionArn"]) == (pipeline, execution)
    steps = [event["detail"] for event in events if event["detail-type"].endswith("Step Status Change")]
    assert [(step["previousStepStatus"], step["currentStepStatus"]) for step in steps] == [
        (None, "Starting"),
        ("Starting", "Failed"),
    ]
    assert {(step["stepName"], step["stepType"]) for step in steps} == {("No", "Fail")}
    assert steps[1]["failureReason"] == "because"
    assert steps[1]["metadata"] == {"fail": {"errorMessage": "because"}}
    assert "stepEndTime" in steps[1]
    assert "stepEndTime" not in steps[0]


def test_steps_of_iterations_are_announced_with_their_type(bus: Bus, make: Any) -> None:
    bus.rule({"source": ["aws.sagemaker"]}, {"Arn": bus.queue()})
    body = make.processing("Score", bus.account.put("code/score.py", ""))
    arguments = {"IterableItems": ["a"], "MaxConcurrency": 1, "ForEachBody": [body]}
    bus.account.create_pipeline("p", {"Name": "Each", "Type": "ForEach", "Arguments": arguments})
    execution = bus.account.sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    bus.account.execution_end(execution)
    steps = [event["detail"] for event in bus.heard() if event["detail-type"].endswith("Step Status Change")]
    assert {(step["stepName"], step["stepType"]) for step in steps} == {("Each", "ForEach"), ("Score-0", "Processing")}
    assert "StepType" not in bus.account.steps(execution)["Score-0"]


def test_jobs_are_announced_as_they_go_on(bus: Bus) -> None:
    """Source: "Training job state change": secondary statuses too, details as Describe has them, milliseconds."""
    bus.rule({"source": ["aws.sagemaker"]}, {"Arn": bus.queue()})
    account = bus.account
    processing = account.processing_request("job", "print('done')")
    training = account.training_request("job", "print('loss=1.5')", Tags=[{"Key": "k", "Value": "v"}])
    account.sagemaker.create_processing_job(**processing)
    account.processing_end("job")
    account.sagemaker.create_training_job(**training)
    account.training_end("job")
    events = bus.heard()
    processed = [event for event in events if event["detail-type"] == "SageMaker Processing Job State Change"]
    assert [event["detail"]["ProcessingJobStatus"] for event in processed] == ["InProgress", "Completed"]
    end = processed[-1]["detail"]
    assert processed[-1]["resources"] == [end["ProcessingJobArn"]]
    assert end["ProcessingJobName"] == "job"
    assert end["AppSpecification"] == processing["AppSpecification"]
    described = account.sagemaker.describe_processing_job(ProcessingJobName="job")
    assert abs(end["ProcessingEndTime"] - described["ProcessingEndTime"].timestamp() * 1000) <= 1
    trained = [event["detail"] for event in events if event["detail-type"] == "SageMaker Training Job State Change"]
    secondary = [detail["SecondaryStatus"] for detail in trained]
    assert secondary[0] == "Starting"
    assert secondary[-1] == "Completed"
    assert "Training" in secondary
    assert [detail["TrainingJobStatus"] for detail in trained][-1] == "Completed"
    assert [detail["Tags"] for detail in trained] == [{"k": "v"}] * len(trained)
    assert trained[-1]["ModelArtifacts"]["S3ModelArtifacts"].endswith("/model.tar.gz")


def test_a_failed_job_says_why(bus: Bus) -> None:
    bus.rule({"detail": {"ProcessingJobStatus": ["Failed"]}}, {"Arn": bus.queue()})
    bus.account.sagemaker.create_processing_job(**bus.account.processing_request("job", "raise SystemExit(3)"))
    bus.account.processing_end("job")
    (event,) = bus.heard()
    described = bus.account.sagemaker.describe_processing_job(ProcessingJobName="job")
    assert event["detail"]["FailureReason"] == described["FailureReason"]


def test_records_are_announced_by_their_family(bus: Bus) -> None:
    """Source: "SageMaker model card state change", "feature group state change" of the SageMaker developer guide."""
    bus.rule({"source": ["aws.sagemaker"]}, {"Arn": bus.queue()})
    sagemaker = bus.account.sagemaker
    sagemaker.create_model_card(
        ModelCardName="card", Content="{}", ModelCardStatus="Draft", Tags=[{"Key": "k", "Value": "v"}]
    )
    sagemaker.update_model_card(ModelCardName="card", ModelCardStatus="Approved")
    sagemaker.update_model_card(ModelCardName="card", Content='{"x": 1}')
    sagemaker.create_feature_group(
        FeatureGroupName="features",
        RecordIdentifierFeatureName="id",
        EventTimeFeatureName="time",
        FeatureDefinitions=[{"FeatureName": name, "FeatureType": "String"} for name in ("id", "time")],
        OnlineStoreConfig={"EnableOnlineStore": True},
    )
    sagemaker.create_model(
        ModelName="model", PrimaryContainer={"Image": "python:3.11"}, ExecutionRoleArn=bus.account.role
    )
    told = [(event["detail-type"].removeprefix("SageMaker "), event["detail"]) for event in bus.heard()]
    cards = [detail for kind, detail in told if kind == "Model Card State Change"]
    assert [card["ModelCardStatus"] for card in cards] == ["Draft", "Approved"]
    assert [card["ModelCardName"] for card in cards] == ["card", "card"]
    assert cards[0]["Tags"] == {"k": "v"}
    (group,) = [detail for kind, detail in told if kind == "Feature Group State Change"]
    assert (group["FeatureGroupName"], group["OnlineStoreConfig"]["EnableOnlineStore"]) == ("features", True)
    (model,) = [detail for kind, detail in told if kind == "Model State Change"]
    assert model["ModelName"] == "model"


def test_without_a_rule_nothing_is_written(account: Any, state: Path) -> None:
    Bus(account).package()
    with sqlite3.connect(state / "account.db") as connection:
        ((numbered,),) = connection.execute("SELECT count(*) FROM sqlite_sequence WHERE name='outbox'").fetchall()
    connection.close()
    assert numbered == 0


# ---------------------------------------------------------------- rules


def test_a_disabled_rule_is_silent(bus: Bus) -> None:
    bus.rule(APPROVED, {"Arn": bus.queue()}, State="DISABLED")
    bus.approve(bus.package())
    assert bus.heard() == []
    bus.events.enable_rule(Name="rule")
    bus.approve(bus.package())
    assert len(bus.heard()) == 1


def test_a_rule_with_a_schedule_only_meets_no_event(bus: Bus) -> None:
    bus.events.put_rule(Name="timed", ScheduleExpression="rate(1 day)")
    bus.events.put_targets(Rule="timed", Targets=[{"Id": "1", "Arn": bus.queue()}])
    bus.put()
    assert bus.heard() == []


def test_put_events_of_users_reach_their_rules(bus: Bus) -> None:
    bus.rule({"source": ["mine"], "detail": {"n": [{"numeric": [">", 2]}]}}, {"Arn": bus.queue()})
    answer = bus.put({"n": 3}, Resources=["r"], Time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    bus.put({"n": 1})
    (event,) = bus.heard()
    assert event == {
        "version": "0",
        "id": answer["Entries"][0]["EventId"],
        "detail-type": "Something",
        "source": "mine",
        "account": "123456789012",
        "time": "2026-01-02T03:04:05Z",
        "region": "us-east-1",
        "resources": ["r"],
        "detail": {"n": 3},
    }


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ({"DetailType": "d", "Detail": "{}"}, "InvalidArgument"),
        ({"Source": "s", "Detail": "{}"}, "InvalidArgument"),
        ({"Source": "s", "DetailType": "d"}, "InvalidArgument"),
        ({"Source": "s", "DetailType": "d", "Detail": "no"}, "MalformedDetail"),
        ({"Source": "s", "DetailType": "d", "Detail": "[1]"}, "MalformedDetail"),
        ({"Source": "aws.sagemaker", "DetailType": "d", "Detail": "{}"}, "NotAuthorizedForSourceException"),
    ],
)
def test_entries_are_refused_one_by_one(bus: Bus, entry: Json, code: str) -> None:
    """Source: PutEventsResultEntry in the EventBridge API reference."""
    good = {"Source": "s", "DetailType": "d", "Detail": "{}"}
    answer = bus.events.put_events(Entries=[entry, good])
    assert answer["FailedEntryCount"] == 1
    assert answer["Entries"][0]["ErrorCode"] == code
    assert set(answer["Entries"][1]) == {"EventId"}


def test_limits_of_put_events(bus: Bus) -> None:
    entry = {"Source": "s", "DetailType": "d", "Detail": "{}"}
    for entries in ([entry] * 11, [{**entry, "Detail": json.dumps({"x": "y" * (1 << 20)})}]):
        with pytest.raises(ClientError) as refused:
            bus.events.put_events(Entries=entries)
        assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_a_target_that_is_missing_does_not_fail_the_request(bus: Bus) -> None:
    missing = {"Arn": "arn:aws:sqs:us-east-1:123456789012:missing"}
    bus.rule({"source": ["mine"]}, missing, {"Arn": bus.queue()})
    assert bus.put()["FailedEntryCount"] == 0
    assert len(bus.heard()) == 1


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ({"Input": '{"fixed": true}'}, '{"fixed": true}'),
        ({"InputPath": "$.detail.inner"}, '{"a":[1,2]}'),
        ({"InputPath": "$.detail.inner.a[1]"}, "2"),
        (
            {
                "InputTransformer": {
                    "InputPathsMap": {"a": "$.detail.inner.a", "s": "$.detail.s", "none": "$.detail.none"},
                    "InputTemplate": '{"list": <a>, "text": <s>, "said": "it is <s> <a>", "none": "<none>"}',
                }
            },
            '{"list": [1,2], "text": "q\\"t", "said": "it is q\\"t [1,2]", "none": ""}',
        ),
        (
            {
                "InputTransformer": {
                    "InputPathsMap": {"s": "$.source"},
                    "InputTemplate": '"from <s> by <aws.events.rule-name>"',
                }
            },
            '"from mine by rule"',
        ),
        ({"InputTransformer": {"InputTemplate": '{"arn": <aws.events.rule-arn>}'}}, '{"arn": "%s"}'),
    ],
)
def test_inputs_are_transformed(bus: Bus, target: Json, text: str) -> None:
    """Source: "Amazon EventBridge input transformation" of the EventBridge user guide."""
    rule = bus.rule({"source": ["mine"]}, {"Arn": bus.queue(), **target})
    bus.put({"inner": {"a": [1, 2]}, "s": 'q"t'})
    (message,) = bus.messages()
    assert message["Body"] == text.replace("%s", rule)


def test_the_whole_event_can_be_wrapped(bus: Bus) -> None:
    template = {"InputTransformer": {"InputTemplate": '{"whole": <aws.events.event.json>, "rest": <aws.events.event>}'}}
    bus.rule({"source": ["mine"]}, {"Arn": bus.queue(), **template})
    bus.put({"a": 1})
    (body,) = bus.heard()
    assert body["whole"]["detail"] == {"a": 1}
    assert "detail" not in body["rest"]
    assert body["rest"]["id"] == body["whole"]["id"]


# ---------------------------------------------------------------- targets


def test_a_pipeline_starts_with_parameters_from_the_event(bus: Bus, make: Any) -> None:
    parameters = [{"Name": "Package", "Type": "String"}, {"Name": "Fixed", "Type": "String", "DefaultValue": "x"}]
    pipeline = bus.account.create_pipeline("p", make.fail("No", {"Get": "Parameters.Package"}), parameters=parameters)
    given = [{"Name": "Package", "Value": "$.detail.ModelPackageArn"}, {"Name": "Fixed", "Value": "y"}]
    bus.rule(
        APPROVED,
        {
            "Arn": pipeline,
            "RoleArn": bus.account.role,
            "SageMakerPipelineParameters": {"PipelineParameterList": given},
        },
    )
    package = bus.package()
    bus.approve(package)
    assert bus.account.local.settle()
    sagemaker = bus.account.sagemaker
    (execution,) = sagemaker.list_pipeline_executions(PipelineName="p")["PipelineExecutionSummaries"]
    arn = execution["PipelineExecutionArn"]
    bound = sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=arn)["PipelineParameters"]
    assert {item["Name"]: item["Value"] for item in bound} == {"Package": package, "Fixed": "y"}
    bus.account.execution_end(arn)
    assert bus.account.steps(arn)["No"]["FailureReason"] == package


def test_a_topic_passes_the_event_on(bus: Bus) -> None:
    sns = bus.account.client("sns")
    topic = sns.create_topic(Name="topic")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=bus.queue(), Attributes={"RawMessageDelivery": "true"})
    bus.rule(APPROVED, {"Arn": topic})
    bus.approve(bus.package())
    (event,) = bus.heard()
    assert event["detail"]["ModelApprovalStatus"] == "Approved"


def test_a_log_group_gets_the_event(bus: Bus) -> None:
    logs = bus.account.client("logs")
    logs.create_log_group(logGroupName="/aws/events/mine")
    arn = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/events/mine"
    bus.rule({"source": ["mine"]}, {"Arn": arn})
    bus.put({"a": 1})
    assert bus.account.local.settle()
    (entry,) = logs.filter_log_events(logGroupName="/aws/events/mine")["events"]
    assert json.loads(entry["message"])["detail"] == {"a": 1}


def test_a_fifo_queue_gets_its_group(bus: Bus) -> None:
    queue = bus.queue("heard.fifo", FifoQueue="true", ContentBasedDeduplication="true")
    bus.rule({"source": ["mine"]}, {"Arn": queue, "SqsParameters": {"MessageGroupId": "g"}})
    bus.put()
    (message,) = bus.messages("heard.fifo")
    assert message["Attributes"]["MessageGroupId"] == "g"


def test_another_bus_passes_the_event_on_as_it_is(bus: Bus) -> None:
    other = bus.events.create_event_bus(Name="other")["EventBusArn"]
    bus.rule({"source": ["mine"]}, {"Arn": other})
    bus.rule({"source": ["mine"]}, {"Arn": bus.queue()}, name="second", EventBusName="other")
    sent = bus.put({"a": 1})["Entries"][0]["EventId"]
    (event,) = bus.heard()
    assert (event["id"], event["account"], event["detail"]) == (sent, "123456789012", {"a": 1})


def test_an_event_that_goes_in_a_circle_comes_to_an_end(bus: Bus) -> None:
    home = "arn:aws:events:us-east-1:123456789012:event-bus/default"
    bus.rule({"source": ["mine"]}, {"Arn": home}, {"Arn": bus.queue()})
    bus.put()
    assert 1 <= len(bus.heard()) <= 4


def test_an_archive_keeps_events_and_a_replay_sends_them_again(bus: Bus) -> None:
    source = "arn:aws:events:us-east-1:123456789012:event-bus/default"
    archive = bus.events.create_archive(ArchiveName="kept", EventSourceArn=source)["ArchiveArn"]
    bus.rule({"source": ["mine"]}, {"Arn": bus.queue()})
    bus.put({"a": 1})
    assert len(bus.heard()) == 1
    assert bus.events.describe_archive(ArchiveName="kept")["EventCount"] == 1
    bus.events.start_replay(
        ReplayName="again",
        EventSourceArn=archive,
        EventStartTime=datetime(2026, 1, 1, tzinfo=UTC),
        EventEndTime=datetime(2030, 1, 1, tzinfo=UTC),
        Destination={"Arn": source},
    )
    (event,) = bus.heard()
    assert (event["replay-name"], event["detail"]) == ("again", {"a": 1})
    assert event["account"] == "123456789012"


class Listener(http.server.BaseHTTPRequestHandler):
    heard: list[tuple[str, dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.heard.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""


@pytest.fixture
def site() -> Iterator[tuple[str, list[tuple[str, dict[str, str], bytes]]]]:
    """An HTTP server on this machine and what it was sent."""
    heard: list[tuple[str, dict[str, str], bytes]] = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Listener,), {"heard": heard}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", heard
    server.shutdown()
    server.server_close()
    thread.join()


def destination(bus: Bus, url: str) -> str:
    connection = bus.events.create_connection(
        Name="connection",
        AuthorizationType="API_KEY",
        AuthParameters={"ApiKeyAuthParameters": {"ApiKeyName": "k", "ApiKeyValue": "v"}},
    )["ConnectionArn"]
    arn: str = bus.events.create_api_destination(
        Name="there", ConnectionArn=connection, InvocationEndpoint=url, HttpMethod="POST"
    )["ApiDestinationArn"]
    return arn


def test_an_api_destination_on_this_machine_is_called(bus: Bus, site: Any) -> None:
    url, heard = site
    parameters = {"HeaderParameters": {"X-Own": "1"}, "QueryStringParameters": {"q": "2"}}
    bus.rule({"source": ["mine"]}, {"Arn": destination(bus, url + "/hook"), "HttpParameters": parameters})
    bus.put({"a": 1})
    assert bus.account.local.settle()
    ((path, headers, body),) = heard
    assert (path, headers["x-own"], json.loads(body)["detail"]) == ("/hook?q=2", "1", {"a": 1})


def test_a_retry_policy_is_kept(bus: Bus) -> None:
    """Source: RetryPolicy of a target in the EventBridge API reference, and the attributes of its dead letters."""
    closed = http.server.HTTPServer(("127.0.0.1", 0), Listener)
    nobody = f"http://127.0.0.1:{closed.server_port}"
    closed.server_close()
    target = {
        "Arn": destination(bus, nobody),
        "RetryPolicy": {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 3600},
        "DeadLetterConfig": {"Arn": bus.queue("dead")},
    }
    bus.rule({"source": ["mine"]}, target)
    bus.put()
    assert bus.messages("dead") == []
    bus.account.local.clock.advance(seconds=30)
    (message,) = bus.messages("dead")
    attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert attributes["ERROR_CODE"] == "CONNECTION_FAILURE"
    assert attributes["RETRY_ATTEMPTS"] == "2"
    assert attributes["EXHAUSTED_RETRY_CONDITION"] == "MaximumRetryAttempts"


def test_an_event_that_grows_too_old_is_given_up(bus: Bus) -> None:
    closed = http.server.HTTPServer(("127.0.0.1", 0), Listener)
    nobody = f"http://127.0.0.1:{closed.server_port}"
    closed.server_close()
    target = {
        "Arn": destination(bus, nobody),
        "RetryPolicy": {"MaximumEventAgeInSeconds": 60},
        "DeadLetterConfig": {"Arn": bus.queue("dead")},
    }
    bus.rule({"source": ["mine"]}, target)
    bus.put()
    assert bus.messages("dead") == []
    bus.account.local.clock.advance(minutes=5)
    (message,) = bus.messages("dead")
    assert message["MessageAttributes"]["EXHAUSTED_RETRY_CONDITION"]["StringValue"] == "MaximumEventAgeInSeconds"


def test_a_state_machine_starts_with_the_event(bus: Bus) -> None:
    machines = bus.account.client("stepfunctions")
    bus.account.local.ensure_role(bus.account.role)
    definition = json.dumps({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}})
    arn = machines.create_state_machine(name="m", definition=definition, roleArn=bus.account.role)["stateMachineArn"]
    bus.rule({"source": ["mine"]}, {"Arn": arn, "RoleArn": bus.account.role})
    bus.put({"a": 1})
    assert bus.account.local.settle()
    (execution,) = machines.list_executions(stateMachineArn=arn)["executions"]
    given = machines.describe_execution(executionArn=execution["executionArn"])["input"]
    assert json.loads(given)["detail"] == {"a": 1}


def test_a_stream_gets_the_event(bus: Bus) -> None:
    kinesis = bus.account.client("kinesis")
    kinesis.create_stream(StreamName="s", ShardCount=1)
    arn = kinesis.describe_stream(StreamName="s")["StreamDescription"]["StreamARN"]
    bus.rule({"source": ["mine"]}, {"Arn": arn, "KinesisParameters": {"PartitionKeyPath": "$.source"}})
    bus.put({"a": 1})
    assert bus.account.local.settle()
    iterator = kinesis.get_shard_iterator(
        StreamName="s", ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    (record,) = kinesis.get_records(ShardIterator=iterator)["Records"]
    assert (record["PartitionKey"], json.loads(record["Data"])["detail"]) == ("mine", {"a": 1})


def test_a_target_can_be_any_operation(bus: Bus, make: Any) -> None:
    """What the scheduler calls universal targets: arn:aws:scheduler:::aws-sdk:service:operation."""
    scope, deliveries = Scope("123456789012", "us-east-1"), bus.account.local._work.deliveries
    bus.account.create_pipeline("p", make.fail())
    bus.queue()
    url = bus.sqs.get_queue_url(QueueName="heard")["QueueUrl"]
    for operation, request in (
        ("sagemaker:startPipelineExecution", {"PipelineName": "p"}),
        ("sqs:sendMessage", {"QueueUrl": url, "MessageBody": "[1]"}),
        ("sqs:noSuchOperation", {}),
    ):
        target = {"Arn": f"arn:aws:scheduler:::aws-sdk:{operation}"}
        deliveries.target(scope, target, json.dumps(request), origin="arn:aws:scheduler:us-east-1:1:schedule/a/b")
    assert bus.heard() == [[1]]
    assert len(bus.account.sagemaker.list_pipeline_executions(PipelineName="p")["PipelineExecutionSummaries"]) == 1


def test_one_rule_can_be_sent_an_event_whatever_its_pattern(bus: Bus) -> None:
    """What a rule with a schedule does when its time has come."""
    scope, deliveries = Scope("123456789012", "us-east-1"), bus.account.local._work.deliveries
    bus.rule({"source": ["never"]}, {"Arn": bus.queue(), "InputPath": "$.detail"})
    deliveries.rule(scope, "rule", {"detail": {"a": 1}})
    deliveries.rule(scope, "missing", {"detail": {"a": 2}})
    assert bus.heard() == [{"a": 1}]
    bus.events.disable_rule(Name="rule")
    deliveries.rule(scope, "rule", {"detail": {"a": 3}})
    assert bus.heard() == []


def test_an_api_destination_elsewhere_is_not(bus: Bus) -> None:
    target = {"Arn": destination(bus, "https://example.com/hook"), "DeadLetterConfig": {"Arn": bus.queue("dead")}}
    bus.rule({"source": ["mine"]}, target)
    bus.put()
    (message,) = bus.messages("dead")
    assert "on this machine only" in message["MessageAttributes"]["ERROR_MESSAGE"]["StringValue"]


def test_subscriptions_of_http_endpoints(bus: Bus, site: Any) -> None:
    url, heard = site
    sns = bus.account.client("sns")
    topic = sns.create_topic(Name="topic")["TopicArn"]
    with pytest.raises(ClientError) as refused:
        sns.subscribe(TopicArn=topic, Protocol="https", Endpoint="https://example.com/")
    assert refused.value.response["Error"]["Code"] == "InvalidParameter"
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=url)
    sns.publish(TopicArn=topic, Message="hello", Subject="s")
    assert bus.account.local.settle()
    ((_, headers, body),) = heard
    assert headers["x-amz-sns-message-type"] == "Notification"
    told = json.loads(body)
    assert (told["Type"], told["Message"], told["Subject"], told["TopicArn"]) == ("Notification", "hello", "s", topic)


# ---------------------------------------------------------------- what cannot be delivered


def test_what_cannot_be_delivered_ends_in_the_dead_letter_queue(bus: Bus) -> None:
    """Source: "Using dead-letter queues to process undelivered events" of the EventBridge user guide."""
    arn = "arn:aws:sqs:us-east-1:123456789012:missing"
    rule = bus.rule({"source": ["mine"]}, {"Arn": arn, "DeadLetterConfig": {"Arn": bus.queue("dead")}})
    bus.put({"a": 1})
    (message,) = bus.messages("dead")
    attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert json.loads(message["Body"])["detail"] == {"a": 1}
    assert (attributes["RULE_ARN"], attributes["TARGET_ARN"]) == (rule, arn)
    assert (attributes["ERROR_CODE"], attributes["RETRY_ATTEMPTS"]) == ("NO_RESOURCE", "0")
    assert "EXHAUSTED_RETRY_CONDITION" not in attributes


def test_a_dead_letter_of_a_schedule_names_the_schedule(bus: Bus) -> None:
    """Source: "Configuring a dead-letter queue for EventBridge Scheduler" of the Scheduler user guide."""
    target = {
        "Arn": "arn:aws:lambda:us-east-1:123456789012:function:missing",
        "DeadLetterConfig": {"Arn": bus.queue("dead")},
    }
    schedule = "arn:aws:scheduler:us-east-1:123456789012:schedule/default/mine"
    deliveries = bus.account.local._work.deliveries
    moment = {"time": "2026-01-02T03:04:05Z"}
    deliveries.target(Scope("123456789012", "us-east-1"), target, "[1]", origin=schedule, event=moment)
    (message,) = bus.messages("dead")
    attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert (message["Body"], attributes["SCHEDULE_ARN"]) == ("[1]", schedule)
    assert attributes["SCHEDULED_TIME"] == "2026-01-02T03:04:05Z"
    assert attributes["ERROR_CODE"] == "NO_RESOURCE"
    assert "RULE_ARN" not in attributes


@pytest.mark.parametrize(
    "arn", ["arn:aws:ecs:us-east-1:123456789012:cluster/c", "arn:aws:codebuild:us-east-1:123456789012:project/p"]
)
def test_a_target_that_is_not_available_here_says_so(bus: Bus, arn: str) -> None:
    bus.rule({"source": ["mine"]}, {"Arn": arn, "DeadLetterConfig": {"Arn": bus.queue("dead")}})
    bus.put()
    (message,) = bus.messages("dead")
    assert "not available in the local account" in message["MessageAttributes"]["ERROR_MESSAGE"]["StringValue"]


def test_failures_that_may_pass_are_tried_again_by_the_clock(open_account: Callable[..., Any], site: Any) -> None:
    """An HTTP subscription that is down for a while: three retries, as the clock goes on."""
    account, (_, heard) = open_account(), site
    sns = account.client("sns")
    closed = http.server.HTTPServer(("127.0.0.1", 0), Listener)
    nobody = f"http://127.0.0.1:{closed.server_port}"
    closed.server_close()
    topic = sns.create_topic(Name="topic")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=nobody)
    sns.publish(TopicArn=topic, Message="hello")
    assert account.local.settle()
    assert waiting(account) == 1
    account.local.clock.advance(seconds=30)
    assert waiting(account) == 1
    account.local.clock.advance(seconds=60)
    assert waiting(account) == 0
    assert heard == []


def waiting(account: Any) -> int:
    connection = sqlite3.connect(account.local.state / "account.db")
    ((count,),) = connection.execute("SELECT count(*) FROM outbox").fetchall()
    connection.close()
    return int(count)


# ---------------------------------------------------------------- notifications of S3


def notify(bus: Bus, **configuration: Json) -> None:
    bus.account.s3.put_bucket_notification_configuration(
        Bucket=bus.account.bucket, NotificationConfiguration=configuration
    )


def test_notifications_of_a_bucket_reach_a_queue(bus: Bus) -> None:
    """Source: "Event message structure" of the S3 user guide."""
    notify(bus, QueueConfigurations=[{"Id": "n", "QueueArn": bus.queue(), "Events": ["s3:ObjectCreated:*"]}])
    assert [message["Event"] for message in bus.heard()] == ["s3:TestEvent"]
    bus.account.put("folder/my file.txt", "abc")
    (message,) = bus.heard()
    (record,) = message["Records"]
    assert (record["eventSource"], record["eventName"]) == ("aws:s3", "ObjectCreated:Put")
    assert record["s3"]["bucket"]["name"] == bus.account.bucket
    assert (record["s3"]["object"]["key"], record["s3"]["object"]["size"]) == ("folder/my+file.txt", 3)
    assert record["s3"]["configurationId"] == "n"


def test_notifications_of_a_bucket_reach_rules(bus: Bus) -> None:
    """Source: "Amazon S3 event message structure" of the S3 user guide; it is inside S3's lock that this begins."""
    notify(bus, EventBridgeConfiguration={})
    pattern = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [bus.account.bucket]}},
    }
    bus.rule(pattern, {"Arn": bus.queue()})
    bus.account.put("a b", "abc")
    (event,) = bus.heard()
    assert (event["account"], event["resources"]) == ("123456789012", [f"arn:aws:s3:::{bus.account.bucket}"])
    detail = event["detail"]
    assert (detail["object"]["key"], detail["object"]["size"], detail["reason"]) == ("a b", 3, "PutObject")
    assert detail["object"]["etag"] == "900150983cd24fb0d6963f7d28e17f72"


def changes(bus: Bus) -> list[tuple[str, str]]:
    return [
        (message["Records"][0]["eventName"], message["Records"][0]["s3"]["object"]["key"])
        for message in bus.heard()
        if "Records" in message
    ]


def test_each_change_is_told_once_and_as_what_it_was(bus: Bus) -> None:
    """Source: "Supported event types for SQS, SNS, and Lambda" of the S3 user guide."""
    events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectTagging:*", "s3:ObjectAcl:Put"]
    notify(bus, QueueConfigurations=[{"QueueArn": bus.queue(), "Events": events}])
    s3, bucket = bus.account.s3, bus.account.bucket
    s3.put_object(Bucket=bucket, Key="put", Body=b"x")
    s3.upload_fileobj(io.BytesIO(bytes(9 << 20)), bucket, "parts")
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/put")
    s3.put_object_tagging(Bucket=bucket, Key="put", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    s3.delete_object(Bucket=bucket, Key="put")
    version = s3.list_object_versions(Bucket=bucket, Prefix="put")["Versions"][0]["VersionId"]
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "put", "VersionId": version}, {"Key": "copy"}]})
    assert changes(bus) == [
        ("ObjectCreated:Put", "put"),
        ("ObjectCreated:CompleteMultipartUpload", "parts"),
        ("ObjectCreated:Copy", "copy"),
        ("ObjectTagging:Put", "put"),
        ("ObjectRemoved:DeleteMarkerCreated", "put"),
        ("ObjectRemoved:Delete", "put"),
        ("ObjectRemoved:DeleteMarkerCreated", "copy"),
    ]


def test_what_jobs_store_is_told_too(open_account: Callable[..., Any]) -> None:
    """A job's output is no request; here it is the first thing that happens after reopening."""
    bus = Bus(open_account())
    notify(bus, QueueConfigurations=[{"QueueArn": bus.queue(), "Events": ["s3:ObjectCreated:*"]}])
    request = bus.account.processing_request("job", "open('/opt/ml/processing/out/made', 'w').write('x')")
    bus.heard()
    account = open_account()
    account.sagemaker.create_processing_job(**request)
    account.processing_end("job")
    assert changes(Bus(account)) == [("ObjectCreated:Put", "job/out/made")]


# ---------------------------------------------------------------- nothing is lost


def test_what_was_left_is_delivered_at_the_next_opening(open_account: Callable[..., Any], state: Path) -> None:
    """An event that was written with its cause and never delivered, as after SIGKILL between the two."""
    account = open_account()
    bus = Bus(account)
    bus.rule(APPROVED, {"Arn": bus.queue()})
    package = bus.package()
    assert account.local.settle()
    account.local._work.deliveries.stop()
    bus.approve(package)
    assert waiting(account) == 1
    bus = Bus(open_account())
    (event,) = bus.heard()
    assert event["resources"] == [package]
    assert waiting(bus.account) == 0


def test_an_event_is_lost_with_the_change_that_caused_it(bus: Bus) -> None:
    bus.rule({"source": ["aws.sagemaker"]}, {"Arn": bus.queue()})
    with pytest.raises(ClientError):
        bus.package(Tags=[{"Key": "a", "Value": "b"}])
    assert bus.heard() == []
