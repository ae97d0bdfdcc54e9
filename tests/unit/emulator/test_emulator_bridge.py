"""botocore while an account is open, and after."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.core.botocore_stubber import BotocoreStubber
from moto.core.models import botocore_stubber

from mlops_sm.emulator import LocalAccount


def test_botocore_is_given_back_as_it_was(tmp_path: Path) -> None:
    handlers = (BotocoreStubber.__call__, BotocoreStubber.process_prepared_request)
    with LocalAccount.open(tmp_path) as account:
        assert BotocoreStubber.__call__ is not handlers[0]
        account.client("sagemaker").list_pipelines()
    assert (BotocoreStubber.__call__, BotocoreStubber.process_prepared_request) == handlers
    assert not botocore_stubber.enabled


def test_a_variable_of_the_caller_survives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_ACCOUNT_ID", "999988887777")
    with LocalAccount.open(tmp_path) as account:
        assert account.client("sts").get_caller_identity()["Account"] == "123456789012"
    assert os.environ["MOTO_ACCOUNT_ID"] == "999988887777"


def test_credentials_of_a_role_of_another_account_reach_that_account(account: Any, make: Any) -> None:
    arn = "arn:aws:iam::111122223333:role/visitor"
    key = account.client("sts").assume_role(RoleArn=arn, RoleSessionName="session")["Credentials"]
    visitor = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], key["SessionToken"], "us-east-1")
    visiting = visitor.client("sagemaker")
    created = visiting.create_model_package_group(ModelPackageGroupName="theirs")
    assert created["ModelPackageGroupArn"] == "arn:aws:sagemaker:us-east-1:111122223333:model-package-group/theirs"
    assert account.sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"] == []


def test_buckets_of_another_account_are_as_durable(open_account: Any) -> None:
    account = open_account()
    arn = "arn:aws:iam::111122223333:role/visitor"
    key = account.client("sts").assume_role(RoleArn=arn, RoleSessionName="session")["Credentials"]
    visitor = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], key["SessionToken"], "us-east-1").client("s3")
    visitor.create_bucket(Bucket="theirs")
    visitor.put_object(Bucket="theirs", Key="k", Body=b"x")
    account = open_account()
    assert [bucket["Name"] for bucket in account.s3.list_buckets()["Buckets"]] == [account.bucket]
    key = account.client("sts").assume_role(RoleArn=arn, RoleSessionName="session")["Credentials"]
    visitor = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], key["SessionToken"], "us-east-1").client("s3")
    assert [bucket["Name"] for bucket in visitor.list_buckets()["Buckets"]] == ["theirs"]
    assert visitor.get_object(Bucket="theirs", Key="k")["Body"].read() == b"x"
