"""The user's functions for steps that do not run here: arguments, properties, failures, stop, retry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from mlops_sm.definition.kinds import StepKind
from mlops_sm.errors import InputError
from mlops_sm.local.user_handlers import UserHandlers

EMR = {
    "Name": "Spark",
    "Type": "EMR",
    "DisplayName": "Spark",
    "Description": "counts",
    "Arguments": {"ClusterId": {"Get": "Parameters.Cluster"}, "StepConfig": {"HadoopJarStep": {"Jar": "j.jar"}}},
}

Open = Callable[[str], Any]


@pytest.fixture
def open_with(open_account: Callable[..., Any], tmp_path: Path) -> Open:
    """An account whose EMR steps are done by a function of this source."""

    def open_it(source: str) -> Any:
        (tmp_path / "stand_ins.py").write_text(source)
        return open_account(handlers=UserHandlers.of({"EMR": "stand_ins:run"}, tmp_path))

    return open_it


def start(account: Any, *steps: Any) -> str:
    account.create_pipeline("p", *steps, parameters=[{"Name": "Cluster", "Type": "String", "DefaultValue": "j-1"}])
    arn: str = account.sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    return arn


def test_a_function_gets_the_arguments_and_gives_the_properties(open_with: Open, make: Any) -> None:
    account = open_with(
        "def run(arguments):\n    print('hello')\n    return {'ClusterId': arguments['ClusterId'] + '!'}\n"
    )
    arn = start(account, EMR, make.fail("Say", {"Get": "Steps.Spark.ClusterId"}))
    account.execution_end(arn)
    steps = account.steps(arn)
    assert (steps["Spark"]["StepStatus"], steps["Say"]["FailureReason"]) == ("Succeeded", "j-1!")
    assert not steps["Spark"].get("Metadata")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            "def run(arguments):\n    print('so far')\n    raise ValueError('no cluster')\n",
            "ValueError: no cluster. It",
        ),
        ("def run(arguments):\n    return [1]\n", "it returned list, not a dictionary of properties"),
        ("def run(arguments):\n    return {'a': object()}\n", "TypeError: Object of type object is not JSON"),
        ("def run():\n    pass\n", "TypeError: run() takes 0 positional arguments but 1 was given"),
        ("def __getattr__(name):\n    raise AttributeError(name)\n", "AttributeError: run"),
        ("import nowhere\nfrom nowhere import run\n", "ModuleNotFoundError: No module named 'nowhere'"),
        ("import os\ndef run(arguments):\n    os._exit(3)\n", "its process ended before the function did"),
    ],
)
def test_what_a_function_may_do_wrong(open_with: Open, source: str, reason: str) -> None:
    account = open_with(source)
    arn = start(account, EMR)
    assert account.execution_end(arn)["PipelineExecutionStatus"] == "Failed"
    assert account.steps(arn)["Spark"]["FailureReason"].startswith(f"ClientError: handler stand_ins:run: {reason}")


def test_what_it_printed_is_told_with_its_failure(open_with: Open) -> None:
    account = open_with("def run(arguments):\n    print('so far')\n    raise ValueError('no cluster')\n")
    arn = start(account, EMR)
    account.execution_end(arn)
    assert "It printed: so far" in account.steps(arn)["Spark"]["FailureReason"]


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("def ran(arguments):\n    pass\n", 'module "stand_ins" has no function "run"'),
        ("def run(arguments):\n  pass\n pass\n", 'module "stand_ins" is no Python'),
    ],
)
def test_a_function_that_is_not_there_starts_nothing(open_with: Open, source: str, what: str) -> None:
    account = open_with(source)
    with pytest.raises(ClientError, match=what):
        start(account, EMR)
    assert account.sagemaker.list_pipeline_executions(PipelineName="p")["PipelineExecutionSummaries"] == []


@pytest.mark.parametrize(
    ("target", "what"),
    [
        ("nowhere.at_all:run", 'there is no module "nowhere.at_all"'),
        ("there.deeper:run", 'there is no module "there.deeper"'),
        ("there:rum", 'has no function "rum"'),
        ("there:run", None),
        ("there:Later", None),
        ("json:whatever", None),
    ],
)
def test_functions_are_looked_for_without_running_anything(tmp_path: Path, target: str, what: str | None) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "__init__.py").write_text("from x import y as run\nLater = run\nraise SystemExit\n")
    problems = list(UserHandlers.of({"EMR": target}, tmp_path).problems([StepKind.EMR, StepKind.EMR]))
    assert [p.code for p in problems] == ([] if what is None else ["E147"])
    assert all(what in p.what for p in problems if what)


def test_stop_ends_the_function(open_with: Open, tmp_path: Path) -> None:
    account = open_with("import time\ndef run(arguments):\n    open('begun', 'w').close()\n    time.sleep(600)\n")
    arn = start(account, EMR)
    account.until((tmp_path / "begun").exists, "the function")
    account.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    assert account.execution_end(arn)["PipelineExecutionStatus"] == "Stopped"


def test_a_retry_builds_on_the_properties(open_with: Open, make: Any) -> None:
    account = open_with("def run(arguments):\n    return {'ClusterId': 'j-7'}\n")
    last = make.processing("Last", account.put("code/last.py", "import sys\nsys.exit(1)\n"))
    last["Arguments"]["Environment"] = {"CLUSTER": {"Get": "Steps.Spark.ClusterId"}}
    arn = start(account, EMR, last)
    account.execution_end(arn)
    account.put("code/last.py", "import os\nassert os.environ['CLUSTER'] == 'j-7'\n")
    account.sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken="t" * 32)
    assert account.execution_end(arn)["PipelineExecutionStatus"] == "Succeeded"


def test_without_a_function_the_refusal_says_how_to_name_one(account: Any) -> None:
    with pytest.raises(ClientError, match=r'\[tool.mlops_sm.local.handlers\]\s+EMR = "module:function"'):
        start(account, EMR)


@pytest.mark.parametrize(
    ("kind", "what"),
    [("Sparkle", "no kind of step"), ("Training", "run here already"), ("Fail", "start nothing")],
)
def test_a_kind_that_needs_no_function_is_refused(kind: str, what: str) -> None:
    with pytest.raises(InputError) as refused:
        UserHandlers.of({kind: "a:b"}, Path())
    [problem] = refused.value.problems
    assert problem.code == "E415"
    assert what in problem.what
