from __future__ import annotations

from pathlib import Path

import pytest
from botocore import exceptions as botocore

from mlops_sm.errors import RefusedError
from mlops_sm.operations.clients import Clients, connect
from mlops_sm.operations.refusals import AwsError
from mlops_sm.project import Environment, standalone_project
from mlops_sm.testing.aws import FakeAws


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return standalone_project(tmp_path).environment("local")


class FakeSession:
    def __init__(self, aws: FakeAws) -> None:
        self.aws = aws
        self.options: dict[str, object] = {}

    def __call__(self, **options: object) -> FakeSession:
        self.options = options
        return self

    def client(self, service: str, *, config: object) -> object:
        assert config is not None
        return self.aws.client(service)


def test_connect_uses_profile_and_region(environment: Environment) -> None:
    session = FakeSession(FakeAws(account=environment.account))
    connect(environment.model_copy(update={"profile": "work"}), session=session)
    assert session.options == {"profile_name": "work", "region_name": "us-east-1"}


def test_another_account_is_refused_before_any_write(environment: Environment) -> None:
    aws = FakeAws(account="999999999999")
    with pytest.raises(RefusedError) as caught:
        connect(environment, session=FakeSession(aws))
    (problem,) = caught.value.problems
    assert problem.code == "E525"
    assert "999999999999" in problem.what
    assert "built in" in problem.where
    assert aws.writes == []


def test_unknown_profile(environment: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(AwsError) as caught:
        connect(environment.model_copy(update={"profile": "nobody"}))
    assert caught.value.problems[0].code == "E526"


@pytest.mark.parametrize(
    ("code", "message", "expected", "says"),
    [
        ("ExpiredToken", "The security token included in the request is expired", "E521", "expired"),
        ("InvalidClientTokenId", "The security token included in the request is invalid.", "E521", "does not accept"),
        (
            "AccessDeniedException",
            "User: arn:aws:sts::1:assumed-role/x is not authorized to perform: sagemaker:AddTags on resource: y",
            "E522",
            "Allow sagemaker:AddTags for",
        ),
        ("ThrottlingException", "Rate exceeded", "E523", "throttling"),
        ("InternalFailure", "", "E527", "internal failure"),
        ("InsufficientStorage", "The disk is full.", "E530", "--state DIR"),
        ("ConflictException", "somebody else", "E527", "somebody else"),
    ],
)
def test_a_refusal_is_one_problem(code: str, message: str, expected: str, says: str) -> None:
    aws = FakeAws()
    aws.refuse("create_pipeline", code, message)
    with pytest.raises(AwsError) as caught:
        Clients(aws.client).sagemaker.create_pipeline(PipelineName="x")
    (problem,) = caught.value.problems
    assert problem.code == expected
    assert problem.where == "sagemaker:CreatePipeline"
    assert says in problem.render()
    assert "\n" not in problem.what
    assert isinstance(caught.value.__cause__, botocore.ClientError)


def test_a_bare_403_names_the_actions_that_are_needed() -> None:
    aws = FakeAws()
    aws.refuse("head_object", "403", "Forbidden")
    with pytest.raises(AwsError) as caught:
        Clients(aws.client).s3.head_object(Bucket="b", Key="k")
    assert "s3:GetObject and s3:ListBucket" in caught.value.problems[0].fix


@pytest.mark.parametrize(
    ("error", "expected", "passing"),
    [
        (botocore.NoCredentialsError(), "E520", False),
        (botocore.PartialCredentialsError(provider="env", cred_var="x"), "E520", False),
        (botocore.SSOTokenLoadError(error_msg="gone"), "E521", False),
        (botocore.EndpointConnectionError(endpoint_url="https://x", error="no route"), "E524", True),
        (botocore.ConnectTimeoutError(endpoint_url="https://x", error="late"), "E524", True),
        (botocore.ParamValidationError(report="Missing required parameter"), "E527", False),
        (botocore.DataNotFoundError(data_path="x"), "E527", False),
    ],
)
def test_no_answer_is_one_problem(error: botocore.BotoCoreError, expected: str, *, passing: bool) -> None:
    class Failing:
        def get_caller_identity(self) -> object:
            raise error

    with pytest.raises(AwsError) as caught:
        Clients(lambda _service: Failing()).sts.get_caller_identity()
    assert caught.value.problems[0].code == expected
    assert caught.value.passing is passing
    assert caught.value.__cause__ is error


def test_not_found_is_told_from_other_validation_errors() -> None:
    aws = FakeAws()
    clients = Clients(aws.client)
    aws.refuse("describe_pipeline", "ValidationException", "Could not find pipeline with PipelineName x.", times=1)
    with pytest.raises(AwsError) as missing:
        clients.sagemaker.describe_pipeline(PipelineName="x")
    aws.refuse("describe_pipeline", "ValidationException", "1 validation error detected", times=1)
    with pytest.raises(AwsError) as malformed:
        clients.sagemaker.describe_pipeline(PipelineName="x")
    assert (missing.value.is_not_found, malformed.value.is_not_found) == (True, False)


def test_clients_are_made_when_used() -> None:
    made: list[str] = []
    aws = FakeAws()

    def make(service: str) -> object:
        made.append(service)
        return aws.client(service)

    clients = Clients(make)
    assert made == []
    assert clients.sts is clients.sts
    assert made == ["sts"]
