"""What moto's services hold survives the end of the process; every acknowledged change is in the database."""

from __future__ import annotations

import io
import json
import sqlite3
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from mlops_sm.emulator import LocalAccount

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)
ANYTHING = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]})
Open = Callable[..., Any]


def archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("code.py", "def handler(event, context): return event")
    return content.getvalue()


def rows(state: Path, sql: str) -> list[Any]:
    with sqlite3.connect(state / "account.db") as database:
        found = database.execute(sql).fetchall()
    database.close()
    return found


def bodies(sqs: Any, url: str) -> list[str]:
    found: list[str] = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        found += [message["Body"] for message in messages]
    return found


def test_iam_is_there_after_reopening(open_account: Open) -> None:
    iam = open_account().client("iam")
    arn = iam.create_role(RoleName="executes", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    policy = iam.create_policy(PolicyName="anything", PolicyDocument=ANYTHING)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="executes", PolicyArn=policy)
    iam.create_user(UserName="somebody")
    key = iam.create_access_key(UserName="somebody")["AccessKey"]["AccessKeyId"]
    iam = open_account().client("iam")
    assert iam.get_role(RoleName="executes")["Role"]["Arn"] == arn
    assert [
        found["PolicyArn"] for found in iam.list_attached_role_policies(RoleName="executes")["AttachedPolicies"]
    ] == [policy]
    assert iam.get_policy(PolicyArn=policy)["Policy"]["AttachmentCount"] == 1
    assert [found["AccessKeyId"] for found in iam.list_access_keys(UserName="somebody")["AccessKeyMetadata"]] == [key]
    iam.detach_role_policy(RoleName="executes", PolicyArn=policy)
    iam.delete_role(RoleName="executes")
    with pytest.raises(ClientError, match="NoSuchEntity"):
        open_account().client("iam").get_role(RoleName="executes")


def test_what_was_encrypted_before_is_decrypted_after(open_account: Open) -> None:
    kms = open_account().client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/data", TargetKeyId=key)
    secret = kms.encrypt(KeyId="alias/data", Plaintext=b"secret")["CiphertextBlob"]
    signing = {
        spec: kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec=spec)["KeyMetadata"]["KeyId"]
        for spec in ("RSA_2048", "ECC_NIST_P256")
    }
    methods = {"RSA_2048": "RSASSA_PSS_SHA_256", "ECC_NIST_P256": "ECDSA_SHA_256"}
    signatures = {
        spec: kms.sign(KeyId=name, Message=b"m", SigningAlgorithm=methods[spec])["Signature"]
        for spec, name in signing.items()
    }
    public = kms.get_public_key(KeyId=signing["RSA_2048"])["PublicKey"]
    kms = open_account().client("kms")
    assert kms.decrypt(CiphertextBlob=secret)["Plaintext"] == b"secret"
    assert kms.get_public_key(KeyId=signing["RSA_2048"])["PublicKey"] == public
    for spec, name in signing.items():
        verdict = kms.verify(KeyId=name, Message=b"m", Signature=signatures[spec], SigningAlgorithm=methods[spec])
        assert verdict["SignatureValid"]


def test_messages_come_back_as_they_were(open_account: Open) -> None:
    """Received ones are in flight as before, deleted ones gone, and a dead letter is in its queue."""
    sqs = open_account().client("sqs")
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    redrive = json.dumps({"deadLetterTargetArn": "arn:aws:sqs:us-east-1:123456789012:dead", "maxReceiveCount": "1"})
    url = sqs.create_queue(QueueName="work", Attributes={"RedrivePolicy": redrive})["QueueUrl"]
    for number in range(6):
        attributes = {"n": {"DataType": "Number", "StringValue": str(number)}}
        sqs.send_message(QueueUrl=url, MessageBody=f"m{number}", MessageAttributes=attributes)
    handles = [
        sqs.receive_message(QueueUrl=url, VisibilityTimeout=600)["Messages"][0]["ReceiptHandle"] for _ in range(3)
    ]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=handles[0])
    # Seen once and given back: the next look moves it to the dead letters.
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handles[2], VisibilityTimeout=0)
    assert sqs.receive_message(QueueUrl=url, VisibilityTimeout=600)["Messages"][0]["Body"] == "m3"
    sqs = open_account().client("sqs")
    assert bodies(sqs, dead) == ["m2"]
    left = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])["Messages"]
    assert [(found["Body"], found["MessageAttributes"]["n"]["StringValue"]) for found in left] == [
        ("m4", "4"),
        ("m5", "5"),
    ]
    # The handle of a message in flight still deletes it, and one that is deleted is no error.
    sqs.delete_message(QueueUrl=url, ReceiptHandle=handles[1])
    sqs.delete_message(QueueUrl=url, ReceiptHandle=handles[0])
    sqs = open_account().client("sqs")
    waiting = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert waiting["ApproximateNumberOfMessagesNotVisible"] == "3"
    sqs.purge_queue(QueueUrl=url)
    sqs.send_message(QueueUrl=url, MessageBody="after")
    assert bodies(open_account().client("sqs"), url) == ["after"]


def test_a_queue_made_again_under_its_name_is_empty(open_account: Open, state: Path) -> None:
    sqs = open_account().client("sqs")
    url = sqs.create_queue(QueueName="again")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="of the first")
    sqs.delete_queue(QueueUrl=url)
    assert rows(state, "SELECT count(*) FROM slices") == [(0,)]
    sqs.create_queue(QueueName="again")
    assert bodies(open_account().client("sqs"), url) == []


def test_events_schedules_topics_and_alarms(open_account: Open) -> None:
    account = open_account()
    events, scheduler, sns, alarms = (account.client(name) for name in ("events", "scheduler", "sns", "cloudwatch"))
    queue = account.client("sqs").create_queue(QueueName="told")["QueueUrl"]
    topic = sns.create_topic(Name="news")["TopicArn"]
    subscription = sns.subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint="arn:aws:sqs:us-east-1:123456789012:told", ReturnSubscriptionArn=True
    )["SubscriptionArn"]
    sns.publish(TopicArn=topic, Message="hello")
    events.create_event_bus(Name="own")
    events.put_rule(Name="approved", EventBusName="own", EventPattern=json.dumps({"source": ["mine"]}))
    events.put_targets(Rule="approved", EventBusName="own", Targets=[{"Id": "1", "Arn": topic}])
    events.create_archive(ArchiveName="all", EventSourceArn="arn:aws:events:us-east-1:123456789012:event-bus/own")
    scheduler.create_schedule(
        Name="once",
        ScheduleExpression="at(2099-01-01T00:00:00)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": topic, "RoleArn": account.role},
    )
    alarms.put_metric_alarm(
        AlarmName="drift",
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1,
        MetricName="m",
        Namespace="n",
        Period=60,
        Statistic="Maximum",
        Threshold=1,
    )
    alarms.put_metric_data(Namespace="n", MetricData=[{"MetricName": "m", "Value": 0.5}])
    alarms.put_dashboard(DashboardName="board", DashboardBody="{}")
    account = open_account()
    events, scheduler, sns, alarms = (account.client(name) for name in ("events", "scheduler", "sns", "cloudwatch"))
    assert [found["Arn"] for found in events.list_targets_by_rule(Rule="approved", EventBusName="own")["Targets"]] == [
        topic
    ]
    assert events.describe_archive(ArchiveName="all")["State"] == "ENABLED"
    assert scheduler.get_schedule(Name="once")["ScheduleExpression"] == "at(2099-01-01T00:00:00)"
    assert [found["SubscriptionArn"] for found in sns.list_subscriptions()["Subscriptions"]] == [subscription]
    assert [json.loads(body)["Message"] for body in bodies(account.client("sqs"), queue)] == ["hello"]
    assert [alarm["AlarmName"] for alarm in alarms.describe_alarms()["MetricAlarms"]] == ["drift"]
    assert [metric["MetricName"] for metric in alarms.list_metrics(Namespace="n")["Metrics"]] == ["m"]
    assert alarms.get_dashboard(DashboardName="board")["DashboardBody"] == "{}"


def test_functions_with_versions_aliases_and_permissions(open_account: Open) -> None:
    account = open_account()
    account.local.ensure_role(account.role)
    functions = account.client("lambda")
    made = functions.create_function(
        FunctionName="gate",
        Runtime="python3.11",
        Role=account.role,
        Handler="code.handler",
        Code={"ZipFile": archive()},
    )
    functions.publish_version(FunctionName="gate")
    functions.create_alias(FunctionName="gate", Name="live", FunctionVersion="1")
    functions.add_permission(
        FunctionName="gate", StatementId="s", Action="lambda:InvokeFunction", Principal="events.amazonaws.com"
    )
    functions = open_account().client("lambda")
    found = functions.get_function(FunctionName="gate", Qualifier="live")["Configuration"]
    assert (found["CodeSha256"], found["Version"]) == (made["CodeSha256"], "1")
    assert "events.amazonaws.com" in functions.get_policy(FunctionName="gate")["Policy"]
    versions = functions.list_versions_by_function(FunctionName="gate")["Versions"]
    assert [version["Version"] for version in versions] == ["$LATEST", "1"]


def test_parameters_secrets_logs_images_tables_and_machines(open_account: Open) -> None:
    account = open_account()
    names = ("ssm", "secretsmanager", "logs", "ecr", "dynamodb", "stepfunctions", "application-autoscaling")
    ssm, secrets, logs, ecr, tables, machines, scaling = (account.client(name) for name in names)
    for value in ("a", "b"):
        ssm.put_parameter(Name="/model/version", Value=value, Type="SecureString", Overwrite=value == "b")
    secrets.create_secret(Name="token", SecretString="first")
    secrets.put_secret_value(SecretId="token", SecretString="second")
    logs.create_log_group(logGroupName="/g")
    logs.create_log_stream(logGroupName="/g", logStreamName="s")
    for number in range(3):
        event = {"timestamp": 1_795_000_000_000 + number, "message": f"line {number}"}
        logs.put_log_events(logGroupName="/g", logStreamName="s", logEvents=[event])
    ecr.create_repository(repositoryName="images")
    tables.create_table(
        TableName="t",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    tables.put_item(TableName="t", Item={"id": {"S": "a"}, "n": {"N": "1.5"}, "b": {"B": b"\0"}})
    machine = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}})
    machines.create_state_machine(name="m", definition=machine, roleArn=account.role)
    scaling.register_scalable_target(
        ServiceNamespace="sagemaker",
        ResourceId="endpoint/e/variant/v",
        ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        MinCapacity=1,
        MaxCapacity=2,
    )
    account = open_account()
    ssm, secrets, logs, ecr, tables, machines, scaling = (account.client(name) for name in names)
    assert ssm.get_parameter(Name="/model/version", WithDecryption=True)["Parameter"]["Value"] == "b"
    assert [
        found["Value"] for found in ssm.get_parameter_history(Name="/model/version", WithDecryption=True)["Parameters"]
    ] == [
        "a",
        "b",
    ]
    assert secrets.get_secret_value(SecretId="token", VersionStage="AWSPREVIOUS")["SecretString"] == "first"
    assert [repository["repositoryName"] for repository in ecr.describe_repositories()["repositories"]] == ["images"]
    assert tables.scan(TableName="t")["Items"] == [{"id": {"S": "a"}, "n": {"N": "1.5"}, "b": {"B": b"\0"}}]
    assert [found["name"] for found in machines.list_state_machines()["stateMachines"]] == ["m"]
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"][0]["MaxCapacity"] == 2
    streams = logs.describe_log_streams(logGroupName="/g")["logStreams"]
    assert [(stream["logStreamName"], stream["storedBytes"]) for stream in streams] == [("s", 18)]


def test_a_stack_and_what_it_made(open_account: Open) -> None:
    """CloudFormation changes the backends of other services inside its own request."""
    account = open_account()
    template = {
        "Resources": {
            "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "stacked"}},
            "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "stacked"}},
            "Key": {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": {}}},
            "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "stacked"}},
        }
    }
    account.client("cloudformation").create_stack(StackName="s", TemplateBody=json.dumps(template))
    account = open_account()
    assert account.client("sqs").get_queue_url(QueueName="stacked")["QueueUrl"]
    assert len(account.client("sns").list_topics()["Topics"]) == 1
    assert len(account.client("kms").list_keys()["Keys"]) == 1
    account.s3.head_bucket(Bucket="stacked")
    account.client("cloudformation").delete_stack(StackName="s")
    account = open_account()
    assert account.client("sns").list_topics()["Topics"] == []


def test_what_another_service_writes_to_s3_stays(open_account: Open) -> None:
    account = open_account()
    bucket = f"arn:aws:s3:::{account.bucket}"
    streams, logs = account.client("firehose"), account.client("logs")
    destination = {"RoleARN": account.role, "BucketARN": bucket, "Prefix": "stream/"}
    streams.create_delivery_stream(DeliveryStreamName="d", ExtendedS3DestinationConfiguration=destination)
    streams.put_record(DeliveryStreamName="d", Record={"Data": b"a record"})
    logs.create_log_group(logGroupName="/g")
    logs.create_log_stream(logGroupName="/g", logStreamName="s")
    logs.put_log_events(
        logGroupName="/g", logStreamName="s", logEvents=[{"timestamp": 1_795_000_000_000, "message": "a line"}]
    )
    logs.create_export_task(
        logGroupName="/g", fromTime=0, to=1_895_000_000_000, destination=account.bucket, destinationPrefix="logs"
    )
    account = open_account()
    keys = [found["Key"] for found in account.s3.list_objects_v2(Bucket=account.bucket)["Contents"]]
    assert any(key.startswith("stream/") for key in keys)
    assert any(key.startswith("logs/") for key in keys)


LAZY = """
import sys
from pathlib import Path
from mlops_sm.emulator import LocalAccount
with LocalAccount.open(Path(sys.argv[1])) as account:
    print(sorted(name for name in sys.modules if name in ("moto.iam.models", "moto.kms.models", "moto.sqs.models")))
    account.client("iam").list_roles()
    print(sorted(name for name in sys.modules if name in ("moto.iam.models", "moto.kms.models", "moto.sqs.models")))
"""


def test_opening_imports_nothing_of_what_is_kept(open_account: Open, state: Path) -> None:
    account = open_account()
    account.client("kms").create_key()
    account.client("iam").create_user(UserName="u")
    account.client("sqs").create_queue(QueueName="q")
    account.local.close()
    run = subprocess.run([sys.executable, "-c", LAZY, str(state)], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["[]", "['moto.iam.models']"]


def test_an_assumed_role_keeps_its_keys_and_its_account(open_account: Open) -> None:
    account = open_account()
    assumed = account.client("sts").assume_role(RoleArn="arn:aws:iam::111122223333:role/r", RoleSessionName="session")
    key = assumed["Credentials"]
    account = open_account()
    other = account.local.session().client(
        "sts",
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
        aws_session_token=key["SessionToken"],
    )
    assert other.get_caller_identity()["Account"] == "111122223333"


def test_reading_writes_nothing(open_account: Open, state: Path) -> None:
    account = open_account()
    account.client("kms").create_key()
    written = rows(state, "SELECT service, account, region, state FROM backends ORDER BY 1, 2, 3")
    database = account.local._storage._database
    (before,) = database.query("PRAGMA data_version")
    key = account.client("kms").list_keys()["Keys"][0]["KeyId"]
    account.client("kms").encrypt(KeyId=key, Plaintext=b"x")
    account.client("sqs").list_queues()
    account.client("iam").list_roles()
    assert rows(state, "SELECT service, account, region, state FROM backends ORDER BY 1, 2, 3") == written
    assert database.query("PRAGMA data_version") == [before]


def test_a_refused_request_that_changed_nothing_writes_nothing(open_account: Open, state: Path) -> None:
    account = open_account()
    account.client("sqs").create_queue(QueueName="q")
    written = rows(state, "SELECT * FROM backends")
    with pytest.raises(ClientError):
        account.client("sqs").send_message(
            QueueUrl="https://sqs.us-east-1.amazonaws.com/123456789012/no", MessageBody="x"
        )
    assert rows(state, "SELECT * FROM backends") == written


def test_another_service_is_not_read_before_it_is_needed(open_account: Open, state: Path) -> None:
    """A damaged KMS is no obstacle to whoever needs IAM; whoever needs KMS is told, and its bytes stay."""
    account = open_account()
    account.client("kms").create_key()
    account.client("iam").create_user(UserName="u")
    account.local.close()
    with sqlite3.connect(state / "account.db") as database:
        database.execute("UPDATE backends SET state=x'80055d', moto='9.9.9' WHERE service='kms'")
    database.close()
    account = open_account()
    assert [user["UserName"] for user in account.client("iam").list_users()["Users"]] == ["u"]
    for _ in range(2):
        with pytest.raises(ClientError, match=r"E550[\s\S]*kms[\s\S]*9\.9\.9"):
            account.client("kms").create_key()
    account.local.close()
    assert rows(state, "SELECT hex(state) FROM backends WHERE service='kms'") == [("80055D",)]


def test_a_state_that_names_other_classes_runs_nothing(open_account: Open, state: Path) -> None:
    account = open_account()
    account.client("sqs").create_queue(QueueName="q")
    account.local.close()
    trap = state / "sprung"
    for evil in (
        b"cos\nsystem\n(S'touch %s'\ntR." % str(trap).encode(),
        b"cmoto.core.utils\ncamelcase_to_underscores\n(S'antigravity'\ntR.",
        b"cbuiltins\ngetattr\n(cbuiltins\nobject\nS'__subclasses__'\ntR.",
    ):
        with sqlite3.connect(state / "account.db") as database:
            database.execute("UPDATE backends SET state=?", (evil,))
        database.close()
        account = open_account()
        with pytest.raises(ClientError, match=r"E550[\s\S]*does not belong"):
            account.client("sqs").list_queues()
        account.local.close()
    assert not trap.exists()


def test_whoever_waits_for_a_message_keeps_nobody_waiting(open_account: Open) -> None:
    account = open_account()
    sqs = account.client("sqs")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    got: list[str] = []

    def wait() -> None:
        answer = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)
        got.extend(message["Body"] for message in answer.get("Messages", []))

    waiting = threading.Thread(target=wait)
    waiting.start()
    sqs.send_message(QueueUrl=url, MessageBody="here")
    waiting.join()
    assert got == ["here"]


def test_many_threads_lose_nothing(open_account: Open) -> None:
    account = open_account()
    sqs, ssm = account.client("sqs"), account.client("ssm")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    ssm.put_parameter(Name="/0", Value="x", Type="String")

    def work(number: int) -> None:
        for round_ in range(15):
            sqs.send_message(QueueUrl=url, MessageBody=f"{number}.{round_}")
            ssm.put_parameter(Name=f"/{number}.{round_}", Value="x", Type="String")
            if round_ % 3 == 0:
                sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    account = open_account()
    held = account.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert held["ApproximateNumberOfMessages"] == "60"
    pages = account.client("ssm").get_paginator("describe_parameters").paginate()
    assert sum(len(page["Parameters"]) for page in pages) == 61


def test_a_disk_that_refuses_takes_the_change_back(open_account: Open, state: Path) -> None:
    account = open_account()
    sqs, iam = account.client("sqs"), account.client("iam")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="before")
    database = account.local._storage._database
    ((pages,),) = database.query("PRAGMA page_count")
    database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(ClientError) as refused:
        for number in range(1000):
            sqs.send_message(QueueUrl=url, MessageBody=f"{number}" + "x" * 10_000)
    answer = refused.value.response
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == ("InsufficientStorage", 507)
    with pytest.raises(ClientError, match="InsufficientStorage"):
        for number in range(1000):
            iam.create_role(RoleName=f"r{number}", AssumeRolePolicyDocument=TRUST)
    held = int(
        sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]["ApproximateNumberOfMessages"]
    )
    roles = {role["RoleName"] for role in iam.list_roles(MaxItems=1000)["Roles"]}
    database.execute("PRAGMA max_page_count = 1000000")
    sqs.send_message(QueueUrl=url, MessageBody="room again")
    account = open_account()
    found = bodies(account.client("sqs"), url)
    assert (found[0], found[-1], len(found)) == ("before", "room again", held + 1)
    assert {role["RoleName"] for role in account.client("iam").list_roles(MaxItems=1000)["Roles"]} == roles


def test_an_account_of_one_region_is_not_another_s(open_account: Open, state: Path) -> None:
    account = open_account()
    account.local.client("sqs", region="eu-west-1").create_queue(QueueName="there")
    account.client("sqs").create_queue(QueueName="here")
    account.local.close()
    local = LocalAccount.open(state)
    try:
        there = local.client("sqs", region="eu-west-1").list_queues()["QueueUrls"]
        here = local.client("sqs").list_queues()["QueueUrls"]
    finally:
        local.close()
    assert [url.rsplit("/", 1)[1] for url in (*there, *here)] == ["there", "here"]
