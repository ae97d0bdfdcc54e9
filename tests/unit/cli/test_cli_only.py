from __future__ import annotations

from typing import Any

import pytest

from mlops_sm.testing.aws import Frame

FAILED = "AlgorithmError: it broke, exit code: 3"


@pytest.fixture
def chain(world: Any) -> Any:
    """``churn.build``: Prepare, and Train that uses its output; one execution in which Train failed."""
    train = world.processing("Train")
    source = {"S3Uri": {"Get": "Steps.Prepare.ProcessingOutputConfig.Outputs['data'].S3Output.S3Uri"}}
    source |= {"LocalPath": "/opt/ml/processing/input/data", "S3DataType": "S3Prefix", "S3InputMode": "File"}
    train["Arguments"]["ProcessingInputs"] = [{"InputName": "data", "S3Input": source}]
    prepare = world.processing("Prepare")
    output = {"S3Uri": "s3://bucket/data", "LocalPath": "/opt/ml/processing/data", "S3UploadMode": "EndOfJob"}
    prepare["Arguments"]["ProcessingOutputConfig"] = {"Outputs": [{"OutputName": "data", "S3Output": output}]}
    world.definitions["churn.build"]["Steps"] = [prepare, train, world.processing("After", DependsOn=["Train"])]
    for aws in (world.local, world.aws):
        aws.script(
            Frame(
                "Failed",
                [world.ran("Prepare", "Succeeded", 2), world.ran("Train", "Failed", 3, FailureReason=FAILED)],
            )
        )
    return world


def starts(aws: Any) -> list[Any]:
    return [call.request for call in aws.calls if call.operation == "start_pipeline_execution"]


def arn(number: int) -> str:
    return f"arn:aws:sagemaker:us-east-1:123456789012:pipeline/churn-build/execution/exec{number:08d}"


def test_the_step_alone_with_the_newest_inputs_and_parameters(chain: Any) -> None:
    assert chain.run("run", "churn.build", "-p", "MinAuc=0.7").code == 1
    chain.local.script(Frame("Succeeded", [chain.ran("Prepare", "Succeeded", 2), chain.ran("Train", "Succeeded", 3)]))
    result = chain.run("run", "churn.build", "--only", "Train", "--json")
    assert result.code == 0
    assert starts(chain.local)[1] == {
        "PipelineName": "churn-build",
        "PipelineParameters": [{"Name": "MinAuc", "Value": "0.7"}],
        "SelectiveExecutionConfig": {
            "SourcePipelineExecutionArn": arn(1),
            "SelectedSteps": [{"StepName": "Train"}],
        },
    }
    assert "Prepare and the parameters are those of execution exec00000001" in result.err
    # What comes after it neither ran nor waits.
    assert [step["name"] for step in result.json["steps"]] == ["Prepare", "Train"]


def test_another_account_does_the_same(chain: Any) -> None:
    chain.run("run", "churn.build", "--env", "dev")
    chain.run("run", "churn.build", "--env", "dev", "--only", "Train", "-p", "MinAuc=0.9", "--detach")
    assert starts(chain.aws)[1]["SelectiveExecutionConfig"]["SelectedSteps"] == [{"StepName": "Train"}]
    assert starts(chain.aws)[1]["PipelineParameters"] == [{"Name": "MinAuc", "Value": "0.9"}]
    assert starts(chain.local) == []


def test_the_command_that_runs_it_again_names_the_step(chain: Any) -> None:
    chain.run("run", "churn.build")
    result = chain.run("run", "churn.build", "--only", "Train", "--execution", "exec00000001")
    assert result.code == 1
    assert "run again: mlops-sm run churn.build --only Train --execution exec00000001" in result.err


def test_a_parameter_that_the_pipeline_has_no_more_is_left_out(chain: Any) -> None:
    chain.run("run", "churn.build", "-p", "MinAuc=0.7")
    chain.definitions["churn.build"]["Parameters"] = []
    chain.run("run", "churn.build", "--only", "Train")
    assert "PipelineParameters" not in starts(chain.local)[1]


def test_a_step_that_needs_nothing_needs_no_execution(chain: Any) -> None:
    result = chain.run("run", "churn.build", "--only", "Prepare")
    assert starts(chain.local)[0]["SelectiveExecutionConfig"] == {"SelectedSteps": [{"StepName": "Prepare"}]}
    assert "needs nothing of one" in result.err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--only", "Trian"], "E140", 'Did you mean "Train"?'),
        (["--only", "Train"], "E143", "no execution of churn-build has ended"),
        (["--only", "Train", "--execution", "latest"], "E110", "there is no execution yet"),
        (["--execution", "latest"], "E141", "Add --only STEP"),
    ],
)
def test_what_cannot_run_starts_nothing(chain: Any, arguments: list[str], code: str, says: str) -> None:
    result = chain.run("run", "churn.build", *arguments, "--json")
    assert (result.code, [problem["code"] for problem in result.json["problems"]]) == (2, [code])
    assert says in result.err
    assert chain.local.writes == []


@pytest.mark.parametrize(
    ("frame", "code", "says"),
    [
        (Frame("Stopped"), "E142", "is in status Stopped"),
        (Frame("Failed"), "E143", '"Prepare", which did not succeed in execution exec00000001'),
    ],
)
def test_an_execution_that_cannot_be_built_upon(chain: Any, frame: Frame, code: str, says: str) -> None:
    chain.local.script(frame)
    chain.run("run", "churn.build")
    result = chain.run("run", "churn.build", "--only", "Train", "--execution", "exec00000001", "--json")
    assert [problem["code"] for problem in result.json["problems"]] == [code]
    assert says in result.err
    unnamed = chain.run("run", "churn.build", "--only", "Train")
    assert "error[E143]" in unnamed.err
    assert len(starts(chain.local)) == 1


def test_an_execution_of_another_pipeline(chain: Any) -> None:
    chain.definitions["churn.other"] = chain.definitions["churn.build"]
    chain.run("run", "churn.other")
    result = chain.run("run", "churn.build", "--only", "Train", "--execution", "exec00000001")
    assert "error[E142]" in result.err
    assert "is one of pipeline churn-other, not of churn-build" in result.err
