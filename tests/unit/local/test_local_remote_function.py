"""Jobs that run a function of the SDK: its bootstrap finds what it looks for, or the job says what is missing."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from mlops_sm.definition.document import Definition, Step
from mlops_sm.definition.kinds import StepKind
from mlops_sm.local.images import ImageTable
from mlops_sm.local.jobs import JobStatus, remote_function
from mlops_sm.local.preflight import preflight

BOOTSTRAP = "sagemaker_remote_function_bootstrap"


def function(version: str = "3.27.0") -> dict[str, Any]:
    return {
        "ContainerEntrypoint": ["/bin/bash", f"/opt/ml/input/data/{BOOTSTRAP}/job_driver.sh"],
        "ContainerArguments": ["--region", "us-east-1", "--client_sagemaker_pysdk_version", version],
    }


@pytest.fixture
def channels(store: Any) -> list[dict[str, Any]]:
    driver = 'python -c "import getpass; print(getpass.getuser())"; cat ~/.config/pip/pip.conf 2>/dev/null || true\n'
    store.put(f"s3://bucket/{BOOTSTRAP}/job_driver.sh", driver)
    source = {"S3Uri": f"s3://bucket/{BOOTSTRAP}", "S3DataType": "S3Prefix"}
    return [{"ChannelName": BOOTSTRAP, "DataSource": {"S3DataSource": source}}]


@pytest.fixture
def no_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the import system sees a package that is not there."""
    monkeypatch.setitem(sys.modules, "sagemaker", None)


def test_the_bootstrap_is_spared_sudo(bench: Any, channels: list[dict[str, Any]]) -> None:
    # sagemaker/core/remote_function/runtime_environment/bootstrap_runtime_environment.py: `getpass.getuser() != "root"`
    outcome = bench.train({}, algorithm=function("2.257.0"), channels=channels)
    assert outcome.status is JobStatus.COMPLETED, bench.log()
    assert bench.log() == "root\n"


DEPENDENCIES = "pre_exec_script_and_dependencies"


def dependencies(store: Any, files: dict[str, str]) -> dict[str, Any]:
    for name, text in files.items():
        store.put(f"s3://bucket/{DEPENDENCIES}/{name}", text)
    source = {"S3Uri": f"s3://bucket/{DEPENDENCIES}", "S3DataType": "S3Prefix"}
    return {"ChannelName": DEPENDENCIES, "DataSource": {"S3DataSource": source}}


def test_pip_asks_no_index_for_what_is_there(bench: Any, store: Any, channels: list[dict[str, Any]]) -> None:
    given = [*channels, dependencies(store, {"requirements.txt": "pandas>=1\n"})]
    assert bench.train({}, algorithm=function("2.257.0"), channels=given).status is JobStatus.COMPLETED, bench.log()
    assert bench.log() == "root\n[install]\nno-index = true\n"


def test_commands_of_the_user_may_ask_it(bench: Any, store: Any, channels: list[dict[str, Any]]) -> None:
    given = [*channels, dependencies(store, {"requirements.txt": "pandas>=1\n", "pre_exec.sh": "pip install it\n"})]
    assert bench.train({}, algorithm=function("2.257.0"), channels=given).status is JobStatus.COMPLETED, bench.log()
    assert bench.log() == "root\n"


def test_dependencies_that_cannot_be_had_are_named(
    bench: Any, store: Any, channels: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    given = [*channels, dependencies(store, {"requirements.txt": "nobody-has-this==1.0\n"})]
    outcome = bench.train({}, algorithm=function("2.257.0"), channels=given)
    assert outcome.status is JobStatus.FAILED
    assert '"nobody-has-this==1.0" of requirements.txt cannot be installed' in outcome.failure_reason


def test_other_jobs_are_who_they_are() -> None:
    assert remote_function.environment({"ContainerEntrypoint": ["/bin/bash", "job_driver.sh"]}) == {}
    assert remote_function.environment({}) == {}


@pytest.mark.usefixtures("no_sdk")
def test_a_job_says_that_the_sdk_is_missing(bench: Any, channels: list[dict[str, Any]]) -> None:
    outcome = bench.train({}, algorithm=function(), channels=channels)
    assert outcome.status is JobStatus.FAILED
    assert outcome.failure_reason == (
        "ClientError: the job runs a function of the SageMaker SDK, which is not installed for the Python that runs "
        "jobs here. Install it: python -m pip install 'mlops-sm-kit[sdk]'"
    )


@pytest.mark.usefixtures("no_sdk")
def test_only_jobs_that_find_nothing_are_refused() -> None:
    assert remote_function.refusal(function(), "here") is not None
    assert remote_function.refusal(function("2.257.0"), "here") is None, "it installs the SDK itself"
    assert remote_function.refusal({"ContainerEntrypoint": ["train"]}, "here") is None


@pytest.mark.sdk
def test_the_installed_sdk_is_found() -> None:
    assert remote_function.refusal(function(), "here") is None


@pytest.mark.usefixtures("no_sdk")
def test_a_pipeline_is_refused_before_its_first_step() -> None:
    arguments = {"AlgorithmSpecification": {"TrainingImage": "python", **function()}}
    step = Step(name="Split", kind=StepKind.TRAINING, arguments=arguments, path='Steps["Split"]')
    definition = Definition(version="2020-12-01", parameters=(), steps=(step,))
    (problem,) = [p for p in preflight(definition, {}, ImageTable()) if p.code.startswith("E")]
    assert problem.code == "E430"
    assert problem.where == 'Steps["Split"] -> Arguments.AlgorithmSpecification'
