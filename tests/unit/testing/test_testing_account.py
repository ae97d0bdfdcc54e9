from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from mlops_sm.errors import InputError, RefusedError
from mlops_sm.testing import OpenAccount, local_account
from mlops_sm.testing.variables import set_variables
from mlops_sm.testing.workers import lent_workers

PIPELINE = json.dumps(
    {
        "Version": "2020-12-01",
        "Metadata": {},
        "Parameters": [],
        "Steps": [{"Name": "No", "Type": "Fail", "Arguments": {"ErrorMessage": "no"}}],
    }
)


@pytest.fixture(params=[False, True], ids=["here", "there"])
def account(request: pytest.FixtureRequest) -> Iterator[OpenAccount]:
    """An account in this process and one in a process of its own: the same interface."""
    with local_account(own_process=request.param) as opened:
        yield opened


def buckets(client: Any) -> list[str]:
    return [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]


def test_it_is_empty_and_gone_at_the_end() -> None:
    with local_account() as account:
        state = account.state
        assert state.is_dir()
        assert buckets(account.client("s3")) == []
        assert account.client("iam").list_roles()["Roles"] == []
    assert not state.parent.exists()


def test_its_own_process_is_empty_and_gone_at_the_end() -> None:
    with local_account(own_process=True) as account:
        state = account.state
        assert buckets(account.client("s3")) == []
        assert account.client("iam").list_roles()["Roles"] == []
    assert not state.parent.exists()


def test_role_and_bucket_are_there_when_they_are_asked_for(account: OpenAccount) -> None:
    assert account.bucket == "sagemaker-us-east-1-123456789012"
    account.client("s3").put_object(Bucket=account.bucket, Key="k", Body=b"1")
    name = account.role_arn.rpartition("/")[2]
    role = account.client("iam").get_role(RoleName=name)["Role"]
    assert role["Arn"] == account.role_arn
    assert "sagemaker.amazonaws.com" in json.dumps(role["AssumeRolePolicyDocument"])
    simulated = account.client("iam").simulate_principal_policy(
        PolicySourceArn=account.role_arn, ActionNames=["sagemaker:CreateTrainingJob"]
    )
    assert simulated["EvaluationResults"][0]["EvalDecision"] == "allowed"
    assert account.ensure_role(account.role_arn) == account.role_arn
    assert account.ensure_bucket("another", versioned=False) == "another"
    assert account.ensure_bucket("another") == "another"
    assert account.client("s3").get_bucket_versioning(Bucket="another")["Status"] == "Enabled"
    assert account.ensure_role("arn:aws:iam::123456789012:role/service-role/Other").endswith("Other")
    assert account.client("iam").get_role(RoleName="Other")["Role"]["Path"] == "/service-role/"


def test_plain_boto3_finds_it(account: OpenAccount) -> None:
    assert boto3.client("sts").get_caller_identity()["Account"] == account.account_id
    assert boto3.Session().client("sagemaker").list_pipelines()["PipelineSummaries"] == []
    boto3.resource("s3").create_bucket(Bucket="plain")
    assert buckets(account.client("s3")) == ["plain"]


def test_child_processes_find_it(account: OpenAccount) -> None:
    script = "import boto3; boto3.client('s3').create_bucket(Bucket='of-a-child')"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert buckets(account.client("s3")) == ["of-a-child"]


def test_commands_meet_it(tmp_path: Path) -> None:
    (tmp_path / "refuse.json").write_text(PIPELINE)
    run = [sys.executable, "-m", "mlops_sm", "run", "refuse.json", "--json"]
    down = [sys.executable, "-m", "mlops_sm", "local", "down"]
    for own_process in (False, True):
        with local_account(account_id="222222222222", region="eu-west-1", own_process=own_process) as account:
            done = subprocess.run(run, cwd=tmp_path, check=False, capture_output=True, text=True)
            assert done.returncode == 1, done.stderr
            summaries = account.client("sagemaker").list_pipeline_executions(PipelineName="refuse")
            (summary,) = summaries["PipelineExecutionSummaries"]
            assert summary["PipelineExecutionArn"] == json.loads(done.stdout)["execution_arn"]
            if not own_process:
                assert "error[E139]" in subprocess.run(down, check=False, capture_output=True, text=True).stderr
            assert account.client("sagemaker").list_pipelines()["PipelineSummaries"] != []
    assert not (tmp_path / ".mlops_sm").exists()


def test_account_and_region_can_be_chosen() -> None:
    with local_account(account_id="999999999999", region="eu-west-1") as account:
        assert boto3.client("sts").get_caller_identity()["Account"] == "999999999999"
        assert boto3.session.Session().region_name == "eu-west-1"
        assert account.role_arn.split(":")[4] == "999999999999"
        location = account.client("s3").get_bucket_location(Bucket=account.bucket)
        assert location["LocationConstraint"] == "eu-west-1"


def test_every_account_id_is_an_account_of_its_own(account: OpenAccount) -> None:
    other = account.session("eu-west-1", account_id="222222222222")
    assert other.client("sts").get_caller_identity()["Account"] == "222222222222"
    role = account.ensure_role("Runner")
    account.client("sagemaker").create_pipeline(PipelineName="p", PipelineDefinition=PIPELINE, RoleArn=role)
    assert other.client("sagemaker").list_pipelines()["PipelineSummaries"] == []
    assert account.client("sagemaker", "eu-west-1").list_pipelines()["PipelineSummaries"] == []
    assert account.client("sagemaker", account_id="222222222222").list_pipelines()["PipelineSummaries"] == []


def test_clients_are_made_once(account: OpenAccount) -> None:
    assert account.client("s3") is account.client("s3", "us-east-1")
    assert account.client("s3") is not account.client("s3", "eu-west-1")


def test_a_given_state_is_kept(tmp_path: Path) -> None:
    with local_account(tmp_path / "state") as account:
        account.client("s3").put_object(Bucket=account.bucket, Key="k", Body=b"1")
    with local_account(str(tmp_path / "state"), own_process=True) as account:
        assert account.client("s3").get_object(Bucket=account.bucket, Key="k")["Body"].read() == b"1"


def test_accounts_inside_one_another_are_apart() -> None:
    with local_account() as outer, local_account(account_id="222222222222") as inner:
        assert os.environ["AWS_ENDPOINT_URL"] == inner.endpoint_url != outer.endpoint_url
        boto3.client("s3").create_bucket(Bucket="inner")
        outer.ensure_bucket("outer")
        with local_account() as innermost:
            assert buckets(boto3.client("s3")) == buckets(innermost.client("s3")) == []
        assert buckets(boto3.client("s3")) == buckets(inner.client("s3")) == ["inner"]
        assert buckets(outer.client("s3")) == ["outer"]
        assert boto3.client("sts").get_caller_identity()["Account"] == "222222222222"


def test_one_state_cannot_be_opened_twice(tmp_path: Path) -> None:
    with local_account(tmp_path), pytest.raises(RefusedError) as caught, local_account(tmp_path):
        pass
    assert caught.value.problems[0].code == "E540"


def test_one_state_cannot_be_opened_twice_by_a_process_of_its_own(tmp_path: Path) -> None:
    with local_account(tmp_path), pytest.raises(RefusedError) as caught, local_account(tmp_path, own_process=True):
        pass
    assert [problem.code for problem in caught.value.problems] == ["E540"]


def test_a_state_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RefusedError) as caught, local_account(tmp_path / "file" / "below"):
        pass
    assert caught.value.problems[0].code == "E541"
    with pytest.raises(RefusedError) as caught, local_account(tmp_path / "file" / "below", own_process=True):
        pass
    assert caught.value.problems[0].code == "E541"
    with pytest.raises(InputError), local_account(tmp_path / "file", own_process=True):
        pass


def test_a_process_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    with pytest.raises(RefusedError) as caught, local_account(own_process=True):
        pass
    (problem,) = caught.value.problems
    assert problem.code == "E137"
    assert "PYTHONHOME" in problem.what


def test_images_of_the_project_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.mlops_sm]\nname = "churn"\n[tool.mlops_sm.local.images]\n"mine" = "nothing known"\n'
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught, local_account():
        pass
    assert caught.value.problems[0].code == "E410"
    with local_account(images={}):
        pass


@pytest.mark.parametrize("own_process", [False, True], ids=["here", "there"])
def test_a_folder_of_programs_is_relative_to_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_process: bool
) -> None:
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs" / "train").touch(mode=0o755)
    (tmp_path / "needs.txt").touch()
    monkeypatch.chdir(tmp_path)
    table = {"program": "programs", "interpreter": "sh", "requirements": "needs.txt"}
    with local_account(images={"mine": "./programs", "other": table}, own_process=own_process) as account:
        assert account.state.is_dir()


@pytest.mark.parametrize("own_process", [False, True], ids=["here", "there"])
def test_handlers_of_the_project_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_process: bool) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.mlops_sm]\nname = "churn"\n[tool.mlops_sm.local.handlers]\nEMR = "stand_ins:run"\n'
    )
    (tmp_path / "stand_ins.py").write_text("def run(arguments):\n    return {}\n")
    monkeypatch.chdir(tmp_path)
    step = {"Name": "Spark", "Type": "EMR", "DisplayName": "Spark", "Description": "counts"}
    step["Arguments"] = {"ClusterId": "j-1", "StepConfig": {"HadoopJarStep": {"Jar": "j.jar"}}}  # type: ignore[assignment] # JSON
    document = json.dumps({"Version": "2020-12-01", "Metadata": {}, "Parameters": [], "Steps": [step]})
    with local_account(own_process=own_process) as account:
        sagemaker = account.client("sagemaker")
        sagemaker.create_pipeline(PipelineName="p", PipelineDefinition=document, RoleArn=account.role_arn)
        execution = account.wait(sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"])
        assert execution.status == "Succeeded"


# ---------------------------------------------------------------- the environment


def test_the_environment_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:1")
    monkeypatch.setenv("NO_PROXY", "here")
    default = boto3.DEFAULT_SESSION
    before = dict(os.environ)
    with local_account() as account:
        assert "AWS_PROFILE" not in os.environ
        assert "AWS_ENDPOINT_URL_S3" not in os.environ
        assert os.environ["NO_PROXY"] == "here,127.0.0.1,localhost"
        assert os.environ["AWS_REGION"] == os.environ["AWS_DEFAULT_REGION"] == account.region
        boto3.client("s3").create_bucket(Bucket="some-bucket")
        os.environ["AWS_SESSION_TOKEN"] = "set by a test"  # noqa: S105 - opens nothing
    assert dict(os.environ) == before
    assert boto3.DEFAULT_SESSION is default


def test_the_environment_is_as_it_was_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "mine")
    before = dict(os.environ)
    with pytest.raises(ZeroDivisionError), local_account():
        raise ZeroDivisionError
    assert dict(os.environ) == before
    with local_account():
        pass


def test_variables_that_are_not_of_aws_are_left_alone() -> None:
    with set_variables({"AWS_REGION": "here"}):
        os.environ["OTHER"] = "set meanwhile"
    assert os.environ.pop("OTHER") == "set meanwhile"
    assert "AWS_REGION" not in os.environ


def test_an_explicit_session_ignores_the_environment(account: OpenAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    client = account.client("s3")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert buckets(client) == buckets(account.session().client("s3")) == []


@pytest.mark.sdk
def test_the_sdk_sends_no_telemetry_and_asks_nobody_for_its_bucket(tmp_path: Path) -> None:
    script = (
        "from sagemaker.core.helper.session_helper import Session\n"
        "from sagemaker.core.common_utils import resolve_value_from_config\n"
        "from sagemaker.core.config.config_schema import TELEMETRY_OPT_OUT_PATH\n"
        "session = Session()\n"
        "print(session.default_bucket(), resolve_value_from_config(None, TELEMETRY_OPT_OUT_PATH, False, session))\n"
    )
    with local_account() as account:
        done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[-2:] == [account.bucket, "True"]


# ---------------------------------------------------------------- the clock


def test_the_clock_moves_when_it_is_told_to(account: OpenAccount) -> None:
    before = account.clock.now()
    after = account.clock.advance(hours=2, minutes=30)
    assert after - before >= timedelta(hours=2, minutes=30)
    assert account.clock.now() >= after
    account.client("sagemaker").create_pipeline(PipelineName="p", PipelineDefinition=PIPELINE, RoleArn=account.role_arn)
    created = account.client("sagemaker").describe_pipeline(PipelineName="p")["CreationTime"]
    assert abs(created - after) < timedelta(minutes=5)
    for span in ({"hours": -1}, {"days": 999_999_999}, {"weeks": 1e300}):
        with pytest.raises(ValueError, match="advanced"):
            account.clock.advance(**span)
    assert abs(account.clock.now() - after) < timedelta(minutes=5)


def test_a_schedule_starts_a_pipeline_when_the_clock_reaches_it(account: OpenAccount) -> None:
    sagemaker = account.client("sagemaker")
    sagemaker.create_pipeline(PipelineName="p", PipelineDefinition=PIPELINE, RoleArn=account.role_arn)
    arn = sagemaker.describe_pipeline(PipelineName="p")["PipelineArn"]
    events = account.client("events")
    events.put_rule(Name="hourly", ScheduleExpression="rate(1 hour)")
    events.put_targets(Rule="hourly", Targets=[{"Id": "1", "Arn": arn, "RoleArn": account.role_arn}])
    account.clock.advance(hours=3)
    found = sagemaker.list_pipeline_executions(PipelineName="p")["PipelineExecutionSummaries"]
    assert len(found) == 3


def test_settle_waits_for_what_was_set_off(account: OpenAccount) -> None:
    sqs, events, sagemaker = (account.client(name) for name in ("sqs", "events", "sagemaker"))
    queue = sqs.create_queue(QueueName="seen")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="ended", EventPattern=json.dumps({"source": ["aws.sagemaker"]}))
    events.put_targets(Rule="ended", Targets=[{"Id": "1", "Arn": arn}])
    sagemaker.create_pipeline(PipelineName="p", PipelineDefinition=PIPELINE, RoleArn=account.role_arn)
    started = sagemaker.start_pipeline_execution(PipelineName="p")
    execution = account.wait(started["PipelineExecutionArn"])
    account.settle()
    assert (execution.status, execution.step("No").failure_reason) == ("Failed", "no")
    seen = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    kinds = [json.loads(message["Body"])["detail-type"] for message in seen]
    assert "SageMaker Model Building Pipeline Execution Status Change" in kinds


def test_waiting_has_a_limit(account: OpenAccount) -> None:
    sagemaker = account.client("sagemaker")
    step = {"Name": "Wait", "Type": "Callback", "SqsQueueUrl": "", "OutputParameters": [], "Arguments": {}}
    step["SqsQueueUrl"] = account.client("sqs").create_queue(QueueName="work")["QueueUrl"]
    document = json.dumps({"Version": "2020-12-01", "Metadata": {}, "Parameters": [], "Steps": [step]})
    sagemaker.create_pipeline(PipelineName="p", PipelineDefinition=document, RoleArn=account.role_arn)
    started = sagemaker.start_pipeline_execution(PipelineName="p")
    with pytest.raises(TimeoutError, match="still runs"):
        account.wait(started["PipelineExecutionArn"], timeout_in_seconds=0.2)


# ---------------------------------------------------------------- jobs


def test_the_log_of_a_step(account: OpenAccount) -> None:
    step = {
        "Name": "Say",
        "Type": "Processing",
        "Arguments": {
            "RoleArn": account.role_arn,
            "AppSpecification": {"ImageUri": "python:3.11", "ContainerEntrypoint": ["sh", "-c", "echo one; echo two"]},
            "ProcessingResources": {
                "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
            },
        },
    }
    document = json.dumps({"Version": "2020-12-01", "Metadata": {}, "Parameters": [], "Steps": [step]})
    sagemaker = account.client("sagemaker", "eu-west-1", account_id="222222222222")
    sagemaker.create_pipeline(PipelineName="p", PipelineDefinition=document, RoleArn=account.role_arn)
    arn = sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    assert account.wait(arn).succeeded
    assert account.log(arn, "Say") == "one\ntwo\n"
    with pytest.raises(InputError):
        account.log(arn, "Other")


def start_job(account: OpenAccount, code: str) -> None:
    account.client("s3").put_object(Bucket=account.bucket, Key="code/run.py", Body=code.encode())
    account.client("sagemaker").create_processing_job(
        ProcessingJobName="job",
        RoleArn=account.role_arn,
        AppSpecification={
            "ImageUri": "python:3.11",
            "ContainerEntrypoint": ["python", "/opt/ml/processing/code/run.py"],
        },
        ProcessingResources={"ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}},
        ProcessingInputs=[
            {
                "InputName": "code",
                "S3Input": {
                    "S3Uri": f"s3://{account.bucket}/code/",
                    "LocalPath": "/opt/ml/processing/code",
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }
        ],
    )


def until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return found


def printed(account: OpenAccount) -> str:
    return "".join(log.read_text() for log in account.state.glob("jobs/job/log"))


def test_jobs_of_accounts_one_after_the_other_share_warm_workers() -> None:
    parents = []
    for _ in range(2):
        with local_account() as account:
            start_job(account, "import os, pandas\nprint(os.getppid(), 'is my parent')\n")
            until(lambda account=account: "parent" in printed(account), "the job's log")
            parents.append(lent_workers().pid)
    assert parents[0] == parents[1] is not None


def test_a_job_that_ignores_its_end_does_not_outlive_its_account() -> None:
    code = (
        "import os, pandas, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(os.getpid(), flush=True)\n"
        "time.sleep(1000)\n"
    )
    with local_account() as account:
        start_job(account, code)
        process = Path("/proc", until(lambda: printed(account), "the job").strip())
        worker = lent_workers().pid
        assert process.exists()
        assert worker is not None
    assert not process.exists()
    assert lent_workers().pid == worker
