"""The registry's decisions through the command, mostly in this process: a policy, evidence, approvals, promotion."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from command import begin, write
from command import mlops as process

from mlops_sm.cli.main import main
from mlops_sm.cli.outside import real_outside
from mlops_sm.cli.ui import Ui
from mlops_sm.emulator import LocalAccount
from mlops_sm.operations.clients import endpoint_session

GROUP = "shop-limit"
BUCKET = "shop-local-models-123456789012-us-east-1"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
POLICY = """
[tool.mlops_sm]
name = "shop"

[tool.mlops_sm.policy]
bias = { DPL = 0.1 }

[tool.mlops_sm.policy.metrics]
auc = { at_least = 0.75, tolerance = 0.01 }
"""


class Done(NamedTuple):
    stdout: str
    stderr: str


def mlops(folder: Path, *arguments: str, code: int = 0) -> Done:
    """Run the command to its end, which is this exit code."""
    out, err = io.StringIO(), io.StringIO()
    outside = replace(real_outside(), cwd=folder, variables={}, ui=Ui(out, err, {}))
    assert main(arguments, outside) == code, out.getvalue() + err.getvalue()
    return Done(out.getvalue(), err.getvalue())


def bias(value: float) -> dict[str, Any]:
    metrics = [{"name": "DPL", "description": "Difference in Positive Proportions", "value": value}]
    facets = {"age": [{"value_or_threshold": "40", "metrics": metrics}]}
    return {"version": "1.0", "post_training_bias_metrics": {"label": "y", "facets": facets}}


def register(
    sagemaker: Any, s3: Any, *, auc: float | None, dpl: float = 0.02, bucket: str = BUCKET, **properties: str
) -> str:
    """A version with its archive and reports; its ARN."""
    folder = f"runs/{auc}-{dpl}"
    s3.put_object(Bucket=bucket, Key=f"{folder}/output/model.tar.gz", Body=f"model with {auc}".encode())
    reports = {"bias.json": bias(dpl)}
    metrics: dict[str, Any] = {
        "Bias": {"Report": {"ContentType": "application/json", "S3Uri": f"s3://{bucket}/{folder}/bias.json"}}
    }
    if auc is not None:
        reports["quality.json"] = {"binary_classification_metrics": {"auc": {"value": auc}}}
        uri = f"s3://{bucket}/{folder}/quality.json"
        metrics["ModelQuality"] = {"Statistics": {"ContentType": "application/json", "S3Uri": uri}}
    for name, report in reports.items():
        s3.put_object(Bucket=bucket, Key=f"{folder}/{name}", Body=json.dumps(report).encode())
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://{bucket}/{folder}/output/model.tar.gz"}
    arn: str = sagemaker.create_model_package(
        ModelPackageGroupName=GROUP,
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={
            "Containers": [container],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
        ModelMetrics=metrics,
        CustomerMetadataProperties={"commit": "4f2a91c", "data_version": "2026-10", **properties},
    )["ModelPackageArn"]
    return arn


Filled = Callable[..., Path]


@pytest.fixture
def filled(tmp_path: Path) -> Filled:
    """A project whose local account holds versions with these metrics."""

    def fill(*versions: Mapping[str, Any], settings: str = POLICY) -> Path:
        (tmp_path / "pyproject.toml").write_text(settings)
        with LocalAccount.open(tmp_path / ".mlops_sm") as account:
            account.ensure_bucket(BUCKET)
            sagemaker, s3 = account.client("sagemaker"), account.client("s3")
            sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
            for version in versions:
                register(sagemaker, s3, **version)
        return tmp_path

    return fill


def shown(folder: Path, version: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(mlops(folder, "models", "show", f"{GROUP}/{version}", "--json").stdout)
    return found


def test_an_approval_is_written_down_with_its_evidence(filled: Filled) -> None:
    folder = filled({"auc": 0.8})
    done = mlops(folder, "models", "approve", f"{GROUP}/1", "--why", "better (on 3 of 4 segments)!")
    assert "met     auc must be at least 0.75 and is 0.8" in done.stdout
    assert f"{GROUP}/1: Approved by arn:aws:" in done.stdout
    package = shown(folder, 1)
    assert (package["approval"], package["stage"]) == ("Approved", "local/Approved")
    properties = package["properties"]
    assert properties["approval.1.by"].startswith("arn:aws:")
    assert properties["approval.1.why"] == "better on 3 of 4 segments"
    assert properties["approval.1.at"].endswith("Z")
    assert properties["approval.policy"] == "passed"
    assert properties["approval.evidence.auc"] == "0.8"
    assert properties["approval.evidence.bias DPL of age=40"] == "0.02"
    assert (properties["commit"], properties["data_version"]) == ("4f2a91c", "2026-10")
    assert "better (on 3 of 4 segments)!. Policy passed: auc must be at least 0.75" in package["approval_description"]
    again = mlops(folder, "models", "approve", f"{GROUP}/1", "--why", "once more", code=3)
    assert "error[E148]: it is approved already" in again.stderr


def test_a_version_that_misses_the_policy_is_refused_with_every_reason_unless_somebody_overrides(
    filled: Filled,
) -> None:
    folder = filled({"auc": 0.84}, {"auc": 0.7, "dpl": -0.3}, {"auc": None})
    mlops(folder, "models", "approve", f"{GROUP}/1", "--why", "the first")
    refused = mlops(folder, "models", "approve", f"{GROUP}/2", "--why", "hm", code=1)
    told = [line.split(maxsplit=1) for line in refused.stdout.splitlines()[1:]]
    assert told == [
        ["MISSED", "auc must be at least 0.75 and is 0.7"],
        ["MISSED", f"auc may be 0.01 worse than 0.84 of {GROUP}/1, which is in use, and is 0.7"],
        ["MISSED", "bias DPL of age=40 must be at least -0.1 and at most 0.1 and is -0.3"],
    ]
    command = f"mlops-sm models approve {GROUP}/2 --why hm --override TEXT\n"
    assert refused.stderr.endswith(f"nothing was changed; approve it all the same: {command}")
    assert shown(folder, 2)["approval"] == "PendingManualApproval"
    policy = shown(folder, 2)["policy"]
    assert (policy["passed"], [reason["text"] for reason in policy["reasons"]]) == (False, [text for _, text in told])
    nothing = mlops(folder, "models", "approve", f"{GROUP}/3", "--why", "hm", code=1)
    assert "auc is required and was not measured: it has no report that can be read" in nothing.stdout

    mlops(folder, "models", "approve", f"{GROUP}/2", "--why", "hm", "--override", "the regulator asks for it")
    package = shown(folder, 2)
    assert package["approval"] == "Approved"
    assert package["properties"]["approval.policy"] == "overridden"
    assert package["properties"]["approval.override"] == "the regulator asks for it"
    assert "Policy overridden: the regulator asks for it." in package["approval_description"]


def test_a_rejection_says_why_and_takes_an_approval_back(filled: Filled) -> None:
    folder = filled({"auc": 0.8})
    mlops(folder, "models", "approve", f"{GROUP}/1", "--why", "good")
    mlops(folder, "models", "reject", f"{GROUP}/1", "--why", "trained on the wrong month")
    package = shown(folder, 1)
    assert package["approval"] == "Rejected"
    assert package["properties"]["approval.rejected.why"] == "trained on the wrong month"
    assert "approval.1.by" not in package["properties"]
    assert "error[E148]" in mlops(folder, "models", "reject", f"{GROUP}/1", "--why", "again", code=3).stderr
    mlops(folder, "models", "approve", f"{GROUP}/1", "--why", "it was the right one")
    assert "approval.rejected.why" not in shown(folder, 1)["properties"]


def test_who_made_a_version_does_not_approve_it(filled: Filled) -> None:
    settings = f"{POLICY}\n[tool.mlops_sm.environments.local]\nfour_eyes = true\n"
    folder = filled({"auc": 0.8}, settings=settings)
    own = mlops(folder, "models", "approve", f"{GROUP}/1", "--why", "mine", "--override", "mine", code=3)
    assert "made it and cannot approve it" in own.stderr

    role = "arn:aws:iam::123456789012:role/publisher"
    with LocalAccount.open(folder / ".mlops_sm") as account:
        account.ensure_role(role)
        key = account.client("sts").assume_role(RoleArn=role, RoleSessionName="ada")["Credentials"]
        ada = boto3.client(
            "sagemaker",
            region_name="us-east-1",
            aws_access_key_id=key["AccessKeyId"],
            aws_secret_access_key=key["SecretAccessKey"],
            aws_session_token=key["SessionToken"],
        )
        arn = register(ada, account.client("s3"), auc=0.81)
        made = ada.describe_model_package(ModelPackageName=arn)["CreatedBy"]["IamIdentity"]["Arn"]
        me = account.client("sts").get_caller_identity()["Arn"]
        register(ada, account.client("s3"), auc=0.82, author=me)
    assert made == "arn:aws:sts::123456789012:assumed-role/publisher/ada"
    assert f"Approved by {me}" in mlops(folder, "models", "approve", f"{GROUP}/2", "--why", "good").stdout
    named = mlops(folder, "models", "approve", f"{GROUP}/3", "--why", "mine too", code=3)
    assert f"{me} made it and cannot approve it" in named.stderr


def test_who_started_the_execution_made_what_it_registered(filled: Filled) -> None:
    folder = filled({"auc": 0.8}, settings=f"{POLICY}\n[tool.mlops_sm.environments.local]\nfour_eyes = true\n")
    step = {
        "Name": "Register",
        "Type": "RegisterModel",
        "Arguments": {
            "ModelPackageGroupName": GROUP,
            "InferenceSpecification": {
                "Containers": [{"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/runs/0.8-0.02/output/model.tar.gz"}],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
            "CustomerMetadataProperties": {"pipeline_execution_arn": {"Get": "Execution.PipelineExecutionArn"}},
        },
    }
    process(folder, "run", write(folder, step))
    assert shown(folder, 2)["properties"]["pipeline_execution_arn"].startswith("arn:aws:sagemaker:")
    refused = process(folder, "models", "approve", f"{GROUP}/2", "--why", "good", "--override", "x", code=3)
    assert "made it and cannot approve it" in refused.stderr


def test_several_must_approve(filled: Filled) -> None:
    folder = filled({"auc": 0.8}, settings=POLICY.replace("bias =", "required_approvals = 2\nbias ="))
    first = mlops(folder, "models", "approve", f"{GROUP}/1", "--why", "good")
    assert "1 of 2 approvals; 1 more needed" in first.stdout
    assert shown(folder, 1)["approval"] == "PendingManualApproval"
    same = mlops(folder, "models", "approve", f"{GROUP}/1", "--why", "good again", code=3)
    assert "has approved it already" in same.stderr


def test_two_versions_are_compared(filled: Filled) -> None:
    folder = filled({"auc": 0.8}, {"auc": 0.78, "data_version": "2026-11"})
    done = mlops(folder, "models", "compare", f"{GROUP}/1", f"{GROUP}/2", code=1)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["auc", "0.8", "0.78", "-0.02"] in lines
    assert ["data_version", "2026-10", "2026-11", "differs"] in lines
    assert ["commit", "4f2a91c", "4f2a91c"] in lines
    assert f"MISSED  auc may be 0.01 worse than 0.8 of {GROUP}/1" in done.stdout
    back = mlops(folder, "models", "compare", f"{GROUP}/2", f"{GROUP}/1", "--json")
    found = json.loads(back.stdout)
    assert found["policy"]["passed"] is True
    assert found["metrics"][0]["difference"] == pytest.approx(0.02)


def test_a_policy_that_is_wrong_is_told_all_at_once(filled: Filled) -> None:
    folder = filled(settings=POLICY.replace("at_least", "atleast").replace("DPL = 0.1", "DPL = -1"))
    told = mlops(folder, "models", "list", code=2).stderr
    assert "error[E103]" in told
    assert 'Did you mean "at_least"?' in told
    assert "error[E105]" in told


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server on the project's state, where the account of environment prod is another one; its URL."""
    (tmp_path / "pyproject.toml").write_text(
        f'{POLICY}\n[tool.mlops_sm.environments.prod]\naccount = "222222222222"\nregion = "us-east-1"\n'
    )
    server = begin(tmp_path, "local", "up", "--port", "0")
    assert server.stdout is not None
    url = server.stdout.readline().removeprefix("ready ").strip()
    for name, value in {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "LOCALKEY222222222222",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(name, value)
    try:
        yield url
    finally:
        server.terminate()
        server.communicate()


def test_a_version_is_promoted_by_a_verified_copy(served: str, tmp_path: Path) -> None:
    home = endpoint_session(served, access_key="LOCALKEY123456789012", region="us-east-1")
    away = endpoint_session(served, access_key="LOCALKEY222222222222", region="us-east-1")
    home.client("sagemaker").create_model_package_group(ModelPackageGroupName=GROUP)
    register(home.client("sagemaker"), home.client("s3"), auc=0.8)
    target = "shop-prod-models-222222222222-us-east-1"
    away.client("s3").create_bucket(Bucket=target)
    promote = ("models", "promote", f"{GROUP}/1", "--to", "prod", "--why", "release 12")
    assert "not Approved" in mlops(tmp_path, *promote, code=3).stderr

    mlops(tmp_path, "models", "approve", f"{GROUP}/1", "--why", "good")
    done = json.loads(mlops(tmp_path, *promote, "--json").stdout)
    assert (done["package"]["approval"], done["package"]["stage"]) == (
        "PendingManualApproval",
        "prod/PendingManualApproval",
    )
    [uri] = done["package"]["model_data"]
    content = away.client("s3").get_object(Bucket=target, Key=uri.removeprefix(f"s3://{target}/"))["Body"].read()
    assert content == b"model with 0.8"
    [archive] = [each for each in done["copied"] if each["target"] == uri]
    assert archive["sha256"] == hashlib.sha256(content).hexdigest()
    assert done["package"]["metrics"] == {"auc": 0.8}
    assert done["package"]["bias"] == {"DPL of age=40": 0.02}
    properties = done["package"]["properties"]
    assert properties["promoted.from"].endswith(f"model-package/{GROUP}/1")
    assert (properties["promoted.why"], properties["commit"]) == ("release 12", "4f2a91c")
    assert "approval.1.by" not in properties
    assert shown(tmp_path, 1)["stage"] == "prod/Promoted"

    again = json.loads(mlops(tmp_path, *promote, "--json").stdout)
    assert again["existing"] is True
    assert again["package"]["arn"] == done["package"]["arn"]
    approved = mlops(tmp_path, "models", "approve", GROUP, "--env", "prod", "--why", "go")
    assert f"{GROUP}/1: Approved" in approved.stdout


def test_a_version_is_promoted_by_reference(served: str, tmp_path: Path) -> None:
    home = endpoint_session(served, access_key="LOCALKEY123456789012", region="us-east-1")
    home.client("sagemaker").create_model_package_group(ModelPackageGroupName=GROUP)
    arn = register(home.client("sagemaker"), home.client("s3"), auc=0.8)
    mlops(tmp_path, "models", "approve", f"{GROUP}/1", "--why", "good")
    away = endpoint_session(served, access_key="LOCALKEY222222222222", region="us-east-1")
    with pytest.raises(away.client("sagemaker").exceptions.ClientError):
        away.client("sagemaker").describe_model_package(ModelPackageName=arn)
    promote = ("models", "promote", f"{GROUP}/1", "--to", "prod", "--why", "release 12", "--by", "reference")
    assert "warning[W429]" in mlops(tmp_path, *promote).stderr
    assert away.client("sagemaker").describe_model_package(ModelPackageName=arn)["ModelPackageArn"] == arn
    mlops(tmp_path, *promote)
    policy = home.client("sagemaker").get_model_package_group_policy(ModelPackageGroupName=GROUP)["ResourcePolicy"]
    assert len(json.loads(policy)["Statement"]) == 1


def test_bad_promotions(filled: Filled) -> None:
    folder = filled({"auc": 0.8})
    same = mlops(folder, "models", "promote", f"{GROUP}/1", "--to", "local", "--why", "x", code=2)
    assert "error[E149]" in same.stderr
    assert "error[E106]" in mlops(folder, "models", "promote", "latest", "--to", "prod", "--why", "x", code=2).stderr
    assert "error[E149]" in mlops(folder, "models", "approve", f"{GROUP}/1", "--why", " ", code=2).stderr
    blank = ("models", "approve", f"{GROUP}/1", "--why", "x", "--override", " ")
    assert "--override" in mlops(folder, *blank, code=2).stderr
    assert "error[E113]" in mlops(folder, "models", "approve", f"{GROUP}/9", "--why", "x", code=2).stderr


def test_the_local_account_is_not_taken_for_the_account_of_aws(filled: Filled) -> None:
    # The environment has even the local account's number, so that only the way there differs.
    prod = '\n[tool.mlops_sm.environments.prod]\naccount = "123456789012"\nregion = "us-east-1"\n'
    folder = filled({"auc": 0.8}, settings=POLICY + prod)
    mlops(folder, "models", "approve", f"{GROUP}/1", "--why", "good")
    refused = mlops(folder, "models", "promote", f"{GROUP}/1", "--to", "prod", "--why", "release", code=2)
    assert "no request of it could reach AWS" in refused.stderr
    assert "mlops-sm local up" in refused.stderr
    assert shown(folder, 1)["stage"] == "local/Approved"


def test_what_is_measured_of_bias_only_is_shown_and_no_policy_is_no_table(filled: Filled) -> None:
    folder = filled({"auc": None}, settings='[tool.mlops_sm]\nname = "shop"\n')
    assert "DPL of age=40  0.02" in mlops(folder, "models", "show", f"{GROUP}/1").stdout
    done = mlops(folder, "models", "approve", f"{GROUP}/1", "--why", "good")
    assert done.stdout.startswith(f"{GROUP}/1: Approved by ")
    assert "the project has no policy for models" in done.stderr
