"""Names and ARNs obey the service's patterns, whatever goes in."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sm import naming

WORDS = st.text(alphabet="abcXYZ019-_. é", min_size=1, max_size=120).filter(naming.slug)


@given(project=WORDS, environment=WORDS, purpose=st.sampled_from(["data", "artifacts", "models"]))
def test_a_bucket_name_is_legal_and_ends_with_account_and_region(project: str, environment: str, purpose: str) -> None:
    name = naming.bucket_name(project, environment, purpose, "111111111111", "eu-central-1")
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", name)
    assert name.endswith("-111111111111-eu-central-1")


def test_long_names_stay_different() -> None:
    one = naming.bucket_name("p" * 80 + "1", "dev", "data", "111111111111", "us-east-1")
    two = naming.bucket_name("p" * 80 + "2", "dev", "data", "111111111111", "us-east-1")
    assert one != two
    assert len(one) <= naming.MAX_BUCKET_NAME


@given(step=st.text(alphabet="abcXYZ019-_", min_size=1, max_size=64))
def test_a_step_job_name_is_legal(step: str) -> None:
    name = naming.step_job_name("4r83jejmhorv", step, "xw869y8C4a")
    assert naming.JOB_NAME.fullmatch(name)
    assert name.startswith("pipelines-4r83jejmhorv-")
    assert name.endswith("-xw869y8C4a")


def test_a_step_job_name_is_the_one_of_awss_events() -> None:
    assert naming.step_job_name("4r83jejmhorv", "TrainAbaloneModel", "xw869y8C4a") == (
        "pipelines-4r83jejmhorv-TrainAbaloneModel-xw869y8C4a"
    )


@given(step=st.text(alphabet="abcXYZ019-_", min_size=1, max_size=64))
def test_the_tuning_job_of_a_step_has_a_short_legal_name(step: str) -> None:
    name = naming.step_tuning_job_name("4r83jejmhorv", step, "xw869y8C4a")
    assert len(name) <= naming.MAX_TUNING_JOB_NAME
    assert naming.JOB_NAME.fullmatch(name)


def test_the_tuning_job_of_a_step_is_named_as_in_awss_notebooks() -> None:
    assert naming.step_tuning_job_name("vrcgdqm2k1bk", "HPTuning", "CtJTsjVBPe") == "vrcgdqm2k1bk-HPTunin-CtJTsjVBPe"


@pytest.mark.parametrize(
    ("project", "reference", "expected"),
    [("lending", "lending.build", "lending-build"), ("bank", "lending.build", "bank-lending-build"), ("a", "a", "a")],
)
def test_a_pipeline_carries_its_project_once(project: str, reference: str, expected: str) -> None:
    assert naming.pipeline_name(project, reference) == expected


@given(bucket=st.from_regex(r"[a-z0-9.-]{3,20}", fullmatch=True), key=st.text(max_size=30))
def test_an_s3_uri_survives_a_round_trip(bucket: str, key: str) -> None:
    assert naming.parse_s3_uri(str(naming.S3Uri(bucket, key))) == (bucket, key)


def test_joining_puts_exactly_one_slash() -> None:
    assert str(naming.S3Uri("b", "a/").join("/c/", "d")) == "s3://b/a/c/d"
    assert str(naming.S3Uri("b", "").join("c")) == "s3://b/c"


@pytest.mark.parametrize("uri", ["", "s3://", "https://b/k", "b/k", "s3:///k"])
def test_what_is_no_s3_uri_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="not an S3 URI"):
        naming.parse_s3_uri(uri)


@pytest.mark.parametrize(
    ("region", "partition"), [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")]
)
def test_arns_carry_the_partition(region: str, partition: str) -> None:
    assert naming.sagemaker_arn(region, "1", "model", "m") == f"arn:{partition}:sagemaker:{region}:1:model/m"
    assert naming.role_arn(region, "1", "r") == f"arn:{partition}:iam::1:role/r"
