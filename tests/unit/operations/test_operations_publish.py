from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from mlops_sm import naming
from mlops_sm.compile import Asset, AssetForm, Compiled
from mlops_sm.compile.assets import file_digest
from mlops_sm.definition import canonical_json, digest
from mlops_sm.errors import RefusedError
from mlops_sm.operations.clients import Clients
from mlops_sm.operations.publish import Action, publish
from mlops_sm.project import Environment, standalone_project
from mlops_sm.testing.aws import FakeAws

BUCKET = "standalone-local-artifacts-123456789012-us-east-1"


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return standalone_project(tmp_path).environment("local")


@pytest.fixture
def compiled(tmp_path: Path) -> Compiled:
    script = tmp_path / "prepare.py"
    script.write_text("print('hello')\n")
    content = file_digest(script)
    uri = f"s3://{BUCKET}/{naming.asset_key('churn-build', content, 'prepare.py')}"
    return of_definition(
        {"Version": "2020-12-01", "Steps": [{"Name": "A", "Arguments": {"Code": uri}}]},
        Asset(uri=uri, path=script, form=AssetForm.FILE, digest=content),
    )


def of_definition(document: object, *assets: Asset) -> Compiled:
    text = canonical_json(document)
    return Compiled(
        reference="churn.build",
        pipeline_name="churn-build",
        source=Path("pipelines/churn/build.py"),
        definition=text,
        digest=digest(text),
        assets=assets,
        from_cache=False,
        warnings=(),
    )


@pytest.fixture
def aws() -> FakeAws:
    return FakeAws(account=naming.LOCAL_ACCOUNT_ID, buckets=[BUCKET])


def test_first_publish_uploads_and_creates(aws: FakeAws, compiled: Compiled, environment: Environment) -> None:
    published = publish(compiled, Clients(aws.client), environment)
    assert published.action is Action.CREATED
    assert published.uploaded == (compiled.assets[0].uri,)
    assert published.digest == compiled.digest
    assert list(aws.objects.values()) == [b"print('hello')\n"]
    pipeline = aws.pipelines["churn-build"]
    assert pipeline["PipelineDefinition"] == compiled.definition
    assert pipeline["RoleArn"] == environment.role_arn
    assert aws.tags[published.pipeline_arn] == environment.tags
    assert environment.tags["mlops-sm:owner"] == "standalone"


def test_second_publish_writes_nothing(aws: FakeAws, compiled: Compiled, environment: Environment) -> None:
    publish(compiled, Clients(aws.client), environment)
    aws.calls.clear()
    published = publish(compiled, Clients(aws.client), environment)
    assert published.action is Action.UNCHANGED
    assert published.uploaded == ()
    assert aws.writes == []


def test_another_spacing_is_no_difference(aws: FakeAws, compiled: Compiled, environment: Environment) -> None:
    publish(compiled, Clients(aws.client), environment)
    aws.pipelines["churn-build"]["PipelineDefinition"] = compiled.definition.replace(":", ": ", 1)
    assert publish(compiled, Clients(aws.client), environment).action is Action.UNCHANGED


def test_changed_definition_updates_and_keeps_parallelism(
    aws: FakeAws, compiled: Compiled, environment: Environment
) -> None:
    publish(compiled, Clients(aws.client), environment)
    aws.pipelines["churn-build"]["ParallelismConfiguration"] = {"MaxParallelExecutionSteps": 2}
    changed = of_definition({"Version": "2020-12-01", "Steps": []})
    assert publish(changed, Clients(aws.client), environment).action is Action.UPDATED
    assert aws.pipelines["churn-build"]["PipelineDefinition"] == changed.definition
    assert aws.pipelines["churn-build"]["ParallelismConfiguration"] == {"MaxParallelExecutionSteps": 2}


def test_changed_role_updates(aws: FakeAws, compiled: Compiled, environment: Environment) -> None:
    publish(compiled, Clients(aws.client), environment)
    other = environment.model_copy(update={"role_arn": "arn:aws:iam::123456789012:role/other"})
    assert publish(compiled, Clients(aws.client), other).action is Action.UPDATED
    assert aws.pipelines["churn-build"]["RoleArn"] == other.role_arn


def test_only_missing_tags_are_added(aws: FakeAws, compiled: Compiled, environment: Environment) -> None:
    arn = publish(compiled, Clients(aws.client), environment).pipeline_arn
    aws.tags[arn] = {"by hand": "stays", "mlops-sm:owner": "somebody else", "mlops-sm:environment": "local"}
    aws.calls.clear()
    assert publish(compiled, Clients(aws.client), environment).action is Action.UPDATED
    assert [(call.operation, call.request["Tags"]) for call in aws.writes] == [
        ("add_tags", [{"Key": "mlops-sm:owner", "Value": "standalone"}])
    ]
    assert aws.tags[arn]["by hand"] == "stays"


def test_objects_are_encrypted_with_the_environments_key(
    aws: FakeAws, compiled: Compiled, environment: Environment
) -> None:
    key = "arn:aws:kms:us-east-1:123456789012:key/1"
    publish(compiled, Clients(aws.client), environment.model_copy(update={"kms_key_arn": key}))
    (request,) = aws.object_requests.values()
    assert (request["ServerSideEncryption"], request["SSEKMSKeyId"]) == ("aws:kms", key)


@pytest.mark.parametrize(("size", "inline"), [(200_000, True), (naming.MAX_INLINE_DEFINITION + 1, False)])
def test_a_large_definition_goes_through_s3(aws: FakeAws, environment: Environment, size: int, *, inline: bool) -> None:
    large = of_definition({"Version": "2020-12-01", "Metadata": {"text": "x" * size}, "Steps": []})
    publish(large, Clients(aws.client), environment)
    (create,) = (call for call in aws.calls if call.operation == "create_pipeline")
    assert ("PipelineDefinition" in create.request) is inline
    assert aws.pipelines["churn-build"]["PipelineDefinition"] == large.definition
    aws.calls.clear()
    assert publish(large, Clients(aws.client), environment).action is Action.UNCHANGED
    assert aws.writes == []


def test_a_missing_bucket_is_named(compiled: Compiled, environment: Environment) -> None:
    aws = FakeAws()
    with pytest.raises(RefusedError) as caught:
        publish(compiled, Clients(aws.client), environment)
    (problem,) = caught.value.problems
    assert problem.code == "E528"
    assert BUCKET in problem.what
    assert aws.pipelines == {}


@pytest.fixture
def moto_clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clients]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        session = boto3.Session(region_name="us-east-1")
        session.client("s3").create_bucket(Bucket=BUCKET)
        yield Clients(session.client)


def test_against_moto(moto_clients: Clients, compiled: Compiled, environment: Environment) -> None:
    assert publish(compiled, moto_clients, environment).action is Action.CREATED
    again = publish(compiled, moto_clients, environment)
    assert (again.action, again.uploaded) == (Action.UNCHANGED, ())
    changed = replace(compiled, definition=canonical_json({"Version": "2020-12-01", "Steps": []}))
    assert publish(changed, moto_clients, environment).action is Action.UPDATED
