"""Opening, owning, recovering and closing an account."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from mlops_sm.emulator import LocalAccount
from mlops_sm.emulator.clients import Clients
from mlops_sm.emulator.store import Scope
from mlops_sm.errors import InputError, RefusedError

WAIT = "import time\ntime.sleep(600)"


def refusal(state: Path, **options: Any) -> RefusedError:
    with pytest.raises(RefusedError) as refused:
        LocalAccount.open(state, **options)
    assert refused.value.exit_code == 3
    return refused.value


@pytest.fixture
def other_process(state: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has the account open until its stdin is closed."""
    script = (
        "import sys; from pathlib import Path; from mlops_sm.emulator import LocalAccount\n"
        "with LocalAccount.open(Path(sys.argv[1])): print('open', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(state)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "open\n"
    yield child
    child.communicate()


def test_a_second_owner_is_refused_and_told_who_the_first_is(other_process: subprocess.Popen[str], state: Path) -> None:
    (problem,) = refusal(state).problems
    assert problem.code == "E540"
    assert f"process {other_process.pid} (-c {state})" in problem.what
    assert str(state) in problem.where
    other_process.communicate()
    LocalAccount.open(state).close()


def test_one_account_at_a_time_in_one_process(tmp_path: Path) -> None:
    with LocalAccount.open(tmp_path / "one") as account:
        (problem,) = refusal(tmp_path / "two").problems
        assert problem.code == "E544"
        account.client("s3").list_buckets()
    LocalAccount.open(tmp_path / "two").close()


def test_a_state_that_cannot_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for state in (tmp_path / "file", tmp_path / "file" / "state"):
        (problem,) = refusal(state).problems
        assert problem.code == "E541"
        assert "--state" in problem.fix


def test_a_database_that_cannot_be_written(state: Path) -> None:
    (state / "account.db").mkdir(parents=True)
    (problem,) = refusal(state).problems
    assert problem.code == "E541"


@pytest.mark.parametrize("damage", ["garbage", "cut", "overwritten"])
def test_a_damaged_database_is_named_and_kept(state: Path, damage: str) -> None:
    with LocalAccount.open(state) as account:
        account.ensure_bucket("bucket")
        for number in range(200):
            account.client("sagemaker").create_model_package_group(ModelPackageGroupName=f"g{number}")
    database = state / "account.db"
    content = bytearray(database.read_bytes())
    match damage:
        case "garbage":
            content[:] = b"this is no database" * 100
        case "cut":
            del content[len(content) // 2 :]
        case _:
            content[4096:-4096] = b"\x55" * len(content[4096:-4096])
    database.write_bytes(content)
    (problem,) = refusal(state).problems
    assert problem.code == "E542"
    assert ".recover" in problem.fix
    assert f"mv {state}" in problem.fix
    assert database.read_bytes() == content


def test_a_state_of_another_version_is_refused_and_kept(state: Path) -> None:
    LocalAccount.open(state).close()
    with sqlite3.connect(state / "account.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    (problem,) = refusal(state).problems
    assert problem.code == "E543"
    assert "schema 99, not 2" in problem.what
    assert "start anew" in problem.fix


def test_a_database_of_somebody_else_is_refused(state: Path) -> None:
    state.mkdir()
    with sqlite3.connect(state / "account.db") as database:
        database.execute("CREATE TABLE mine (x)")
    database.close()
    (problem,) = refusal(state).problems
    assert problem.code == "E543"
    assert "was not written by the local account" in problem.what


def test_an_image_that_stands_for_something_unknown(state: Path) -> None:
    with pytest.raises(InputError, match="E410"):
        LocalAccount.open(state, images={"mine": "perl"})
    assert not state.exists()


def test_a_refused_opening_leaves_nothing_behind(state: Path, tmp_path: Path) -> None:
    LocalAccount.open(state).close()
    (state / "account.db").write_bytes(b"garbage" * 100)
    before = dict(os.environ)
    refusal(state)
    assert dict(os.environ) == before
    with LocalAccount.open(tmp_path / "other"):
        assert os.environ["AWS_ACCESS_KEY_ID"] == "FOOBARKEY"
    assert dict(os.environ) == before


def test_everything_is_there_after_reopening(open_account: Callable[..., Any], make: Any) -> None:
    account = open_account()
    account.create_pipeline("p", make.fail(), Tags=[{"Key": "k", "Value": "v"}])
    execution = account.sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    account.execution_end(execution)
    account.sagemaker.create_training_job(**account.training_request("job", "print()"))
    account.training_end("job")

    def everything() -> list[Any]:
        sagemaker = account.sagemaker
        answers = [
            sagemaker.describe_pipeline(PipelineName="p"),
            sagemaker.list_pipeline_executions(PipelineName="p"),
            sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution),
            sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=execution),
            sagemaker.describe_training_job(TrainingJobName="job"),
            sagemaker.list_tags(ResourceArn="arn:aws:sagemaker:us-east-1:123456789012:pipeline/p"),
        ]
        return [{k: v for k, v in answer.items() if k != "ResponseMetadata"} for answer in answers]

    before = everything()
    account = open_account()
    assert everything() == before


def test_nothing_of_one_account_is_in_the_next(tmp_path: Path, open_account: Callable[..., Any], make: Any) -> None:
    account = open_account(state=tmp_path / "one")
    account.create_pipeline("p", make.fail())
    account.local.ensure_role(account.role)
    account.s3.create_bucket(Bucket="only-in-one")
    account = open_account(state=tmp_path / "two")
    assert account.sagemaker.list_pipelines()["PipelineSummaries"] == []
    assert [bucket["Name"] for bucket in account.s3.list_buckets()["Buckets"]] == [account.bucket]
    assert account.client("iam").list_roles()["Roles"] == []


def test_roles_and_buckets_are_made_once(open_account: Callable[..., Any]) -> None:
    account = open_account()
    arn = "arn:aws:iam::123456789012:role/service/lending-local-pipeline"
    for _ in range(2):
        account.local.ensure_role(arn)
        account.local.ensure_bucket("made")
        account.local.ensure_bucket("plain", versioned=False)
    role = account.client("iam").get_role(RoleName="lending-local-pipeline")["Role"]
    assert role["Arn"] == arn
    assert "sagemaker.amazonaws.com" in json.dumps(role["AssumeRolePolicyDocument"])
    assert account.s3.get_bucket_versioning(Bucket="made")["Status"] == "Enabled"
    assert "Status" not in account.s3.get_bucket_versioning(Bucket="plain")
    identity = account.client("sts").get_caller_identity()
    assert identity["Account"] == "123456789012"


def test_another_account_and_region(tmp_path: Path, make: Any) -> None:
    with LocalAccount.open(tmp_path, account_id="111122223333", region="eu-central-1") as account:
        account.ensure_bucket("bucket")
        sagemaker = account.client("sagemaker")
        created = sagemaker.create_pipeline(
            PipelineName="p",
            PipelineDefinition=make.definition(make.fail()),
            RoleArn="arn:aws:iam::111122223333:role/r",
        )
        assert created["PipelineArn"] == "arn:aws:sagemaker:eu-central-1:111122223333:pipeline/p"
        assert account.client("sts").get_caller_identity()["Account"] == "111122223333"
        assert account.client("s3").get_bucket_location(Bucket="bucket")["LocationConstraint"] == "eu-central-1"
        elsewhere = account.session("us-west-2").client("sagemaker")
        assert elsewhere.list_pipelines()["PipelineSummaries"] == []
        with pytest.raises(elsewhere.exceptions.ResourceNotFound):
            elsewhere.describe_pipeline(PipelineName="p")
    assert "MOTO_ACCOUNT_ID" not in os.environ


def test_a_session_is_plain_boto3_and_clients_are_made_once(open_account: Callable[..., Any]) -> None:
    account = open_account()
    assert isinstance(account.local.session(), boto3.Session)
    assert account.local.client("sts") is account.local.client("sts")
    assert account.local.client("sts") is not account.local.client("sts", "eu-west-1")


def test_a_configured_endpoint_is_not_ours(open_account: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    account = open_account()
    assert account.local.session().client("s3").list_buckets()["Buckets"]


@pytest.mark.parametrize("variable", ["AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_USE_FIPS_ENDPOINT"])
def test_what_the_account_sends_by_itself_goes_by_nobodys_configuration(
    open_account: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    broken = tmp_path / "config"
    broken.write_text("[default\n")
    monkeypatch.setenv(
        variable, {"AWS_PROFILE": "nobody", "AWS_CONFIG_FILE": str(broken), "AWS_USE_FIPS_ENDPOINT": "true"}[variable]
    )
    account = open_account()
    client = Clients()(Scope(account.local.account_id, account.local.region), "sqs")
    url = client.create_queue(QueueName="q")["QueueUrl"]
    assert "fips" not in client.meta.endpoint_url
    assert account.client("sqs").get_queue_url(QueueName="q")["QueueUrl"] == url


def test_no_request_leaves_the_process(open_account: Callable[..., Any]) -> None:
    account = open_account()
    elsewhere = account.local.session().client("s3", endpoint_url="http://example.com:1")
    with pytest.raises(RefusedError, match="E545"):
        elsewhere.list_buckets()


def test_closing_twice_is_once(state: Path) -> None:
    account = LocalAccount.open(state)
    account.close()
    account.close()


def test_closing_stops_what_runs(open_account: Callable[..., Any], make: Any, state: Path) -> None:
    account = open_account()
    pids = state.parent / "pids"
    pids.mkdir()
    script = f"import os, pathlib, time\npathlib.Path('{pids}', str(os.getpid())).touch()\ntime.sleep(600)"
    account.create_pipeline("p", make.processing("Wait", account.put("code/wait.py", script)))
    execution = account.sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    account.sagemaker.create_training_job(**account.training_request("alone", script))
    account.until(lambda: len(list(pids.iterdir())) == 2, "the jobs")
    account = open_account()
    assert account.execution_end(execution)["PipelineExecutionStatus"] == "Stopped"
    assert account.steps(execution)["Wait"]["StepStatus"] == "Stopped"
    assert account.training_end("alone")["TrainingJobStatus"] == "Stopped"
    running = [thread.name for thread in threading.enumerate() if thread.name.startswith(("job", "execution", "step"))]
    assert running == []


def test_a_job_that_does_not_listen_is_killed_on_closing(open_account: Callable[..., Any], state: Path) -> None:
    account = open_account(patience=0.1)
    beat = state.parent / "beat"
    script = f"""
import pathlib, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    pathlib.Path("{beat}").write_text(str(time.time()))
    time.sleep(0.01)
"""
    account.sagemaker.create_processing_job(**account.processing_request("deaf", script))
    account.until(beat.exists, "the job")
    account = open_account()
    last = beat.read_text()
    ended = account.processing_end("deaf")
    assert ended["ProcessingJobStatus"] == "Stopped"
    assert "FailureReason" not in ended
    assert beat.read_text() == last


DYING = """
import json, os, signal, sys
from pathlib import Path
from mlops_sm.emulator import LocalAccount

account = LocalAccount.open(Path(sys.argv[1]))
account.ensure_bucket("emulator-tests")
sagemaker, s3 = account.client("sagemaker"), account.client("s3")
requests = json.loads(Path(sys.argv[2]).read_text())
s3.put_object(Bucket="emulator-tests", Key="code/wait.py", Body=requests["script"].encode())
sagemaker.create_pipeline(**requests["pipeline"])
arn = sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
sagemaker.create_training_job(**requests["training"])
while sagemaker.describe_training_job(TrainingJobName="alone")["SecondaryStatus"] != "Training":
    pass
steps = []
while not steps or not steps[0].get("Metadata"):
    steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn)["PipelineExecutionSteps"]
print(arn, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_dead_owner_left_running_is_marked(open_account: Callable[..., Any], make: Any, state: Path) -> None:
    account = open_account()
    training = account.training_request("alone", WAIT)
    account.local.close()
    shutil.rmtree(state)
    wait = make.processing("Wait", "s3://emulator-tests/code/wait.py")
    pipeline = {"PipelineName": "p", "PipelineDefinition": make.definition(wait), "RoleArn": account.role}
    training["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"] = "s3://emulator-tests/code/wait.py"
    training["AlgorithmSpecification"]["ContainerEntrypoint"][1] = "/opt/ml/input/data/code/wait.py"
    requests = state.parent / "requests.json"
    requests.write_text(json.dumps({"script": WAIT, "pipeline": pipeline, "training": training}))
    died = subprocess.run(
        [sys.executable, "-c", DYING, str(state), str(requests)], capture_output=True, text=True, check=False
    )
    assert died.returncode == -9, died.stderr
    execution = died.stdout.strip()
    account = open_account()
    ended = account.execution_end(execution)
    assert ended["PipelineExecutionStatus"] == "Failed"
    assert "the process that owned the local account ended" in ended["FailureReason"]
    step = account.steps(execution)["Wait"]
    assert (step["StepStatus"], step["FailureReason"][:21]) == ("Failed", "InternalServerError: ")
    assert "EndTime" in step
    job = account.sagemaker.describe_training_job(TrainingJobName="alone")
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Failed"
    assert "the process that owned the local account ended" in job["FailureReason"]
    assert job["SecondaryStatusTransitions"][-1]["Status"] == "Failed"
    name = step["Metadata"]["ProcessingJob"]["Arn"].rsplit("/", 1)[1]
    assert account.sagemaker.describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"] == "Failed"
    # The next run works.
    assert account.sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"] != execution


def test_many_executions_at_once_all_end_well(open_account: Callable[..., Any], make: Any) -> None:
    account = open_account()
    code = account.put("code/a.py", "print()")
    account.create_pipeline("p", make.processing("A", code), make.processing("B", code, DependsOn=["A"]))
    started: list[str] = []

    def start() -> None:
        for _ in range(3):
            started.append(account.sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"])

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(started)) == 12
    assert {account.execution_end(arn)["PipelineExecutionStatus"] for arn in started} == {"Succeeded"}


def fill(account: Any) -> None:
    """Make the database full: it may not grow, and whatever room it has is used up."""
    database = account.local._storage._database
    ((pages,),) = database.query("PRAGMA page_count")
    database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(ClientError) as refused:
        for number in range(10_000):
            account.sagemaker.create_model_package_group(ModelPackageGroupName=f"g{number}")
    assert refused.value.response["Error"]["Code"] == "InsufficientStorage"
    assert "full" in refused.value.response["Error"]["Message"]
    assert refused.value.response["ResponseMetadata"]["RetryAttempts"] == 0


def test_a_full_database_leaves_nobody_waiting(open_account: Callable[..., Any], make: Any, state: Path) -> None:
    account = open_account()
    go = state.parent / "go"
    script = f"import pathlib, time\nwhile not pathlib.Path('{go}').exists(): time.sleep(0.01)"
    code = account.put("code/a.py", script)
    account.create_pipeline("p", make.processing("A", code), make.processing("B", code, DependsOn=["A"]))
    execution = account.sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    account.sagemaker.create_training_job(**account.training_request("alone", script))
    account.until(lambda: "Metadata" in account.steps(execution).get("A", {}), "the step")
    fill(account)
    go.touch()
    ended = account.execution_end(execution)
    assert ended["PipelineExecutionStatus"] == "Failed"
    assert ended["FailureReason"]
    # Failed if there was no room for its model either.
    assert account.training_end("alone")["TrainingJobStatus"] in {"Completed", "Failed"}
    account = open_account()
    assert account.execution_end(execution)["PipelineExecutionStatus"] == "Failed"
    assert account.training_end("alone")["TrainingJobStatus"] == "Failed"
    assert account.execution_end(account.sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"])


def test_a_client_of_a_closed_account_gets_no_further(open_account: Callable[..., Any]) -> None:
    account = open_account()
    s3 = account.s3
    account.put("k", "x")
    open_account(state=account.local.state.parent / "next")
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket=account.bucket, Key="k")
