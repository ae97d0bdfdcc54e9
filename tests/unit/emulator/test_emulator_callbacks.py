"""Callback steps: the message, the answer, the wait.

Rules: developer guide, "Callback step" (the message's members); API reference, SendPipelineExecutionStepSuccess,
SendPipelineExecutionStepFailure and StopPipelineExecution (the second message with status Stopping).
"""

from __future__ import annotations

import json
import re
import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError

TOKEN = "t" * 32


def callback(queue: str, name: str = "Ask", **members: Any) -> dict[str, Any]:
    return {
        "Name": name,
        "Type": "Callback",
        "SqsQueueUrl": queue,
        "OutputParameters": [
            {"OutputName": "score", "OutputType": "Float"},
            {"OutputName": "good", "OutputType": "Boolean"},
            {"OutputName": "who", "OutputType": "String"},
        ],
        "Arguments": {"run": {"Get": "Execution.PipelineExecutionId"}, "limit": {"Get": "Parameters.Limit"}},
        **members,
    }


GOOD = [{"Name": "score", "Value": "0.75"}, {"Name": "good", "Value": "True"}, {"Name": "who", "Value": "ann"}]


class Desk:
    """A pipeline with a callback step, its queue, and somebody who answers."""

    def __init__(self, account: Any) -> None:
        self.account = account
        self.sqs = account.client("sqs")
        self.queue = self.sqs.create_queue(QueueName="ask")["QueueUrl"]

    def create(self, *steps: Any) -> None:
        self.account.create_pipeline("p", *steps, parameters=[{"Name": "Limit", "Type": "Integer", "DefaultValue": 3}])

    def start(self) -> str:
        arn: str = self.account.sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
        return arn

    def message(self) -> dict[str, Any]:
        got: list[Any] = []

        def look() -> bool:
            got.extend(self.sqs.receive_message(QueueUrl=self.queue).get("Messages", []))
            return bool(got)

        self.account.until(look, "a message")
        self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=got[0]["ReceiptHandle"])
        body: dict[str, Any] = json.loads(got[0]["Body"])
        return body

    def succeed(self, token: str, **request: Any) -> str:
        answer = self.account.sagemaker.send_pipeline_execution_step_success(
            CallbackToken=token, **{"OutputParameters": GOOD, **request}
        )
        arn: str = answer["PipelineExecutionArn"]
        return arn

    def fail(self, token: str, **request: Any) -> str:
        answer = self.account.sagemaker.send_pipeline_execution_step_failure(CallbackToken=token, **request)
        arn: str = answer["PipelineExecutionArn"]
        return arn


@pytest.fixture
def desk(account: Any) -> Desk:
    return Desk(account)


def test_an_answer_lets_the_execution_go_on(desk: Desk, make: Any) -> None:
    account = desk.account
    equals = {"Type": "Equals", "RightValue": 0.75, "LeftValue": {"Get": "Steps.Ask.OutputParameters['score']"}}
    truth = {"Type": "Equals", "RightValue": True, "LeftValue": {"Get": "Steps.Ask.OutputParameters['good']"}}
    after = make.processing("After", account.put("code/a.py", "print()"))
    after["Arguments"]["Environment"] = {"WHO": {"Get": "Steps.Ask.OutputParameters['who']"}}
    arguments = {"Conditions": [equals, truth], "IfSteps": [after], "ElseSteps": []}
    desk.create(callback(desk.queue), {"Name": "Gate", "Type": "Condition", "Arguments": arguments})
    arn = desk.start()
    message = desk.message()
    assert re.fullmatch("[a-z0-9]{10}", message["token"])
    assert message == {
        "token": message["token"],
        "pipelineExecutionArn": arn,
        "arguments": {"run": arn.rsplit("/", 1)[1], "limit": 3},
        "status": "Executing",
    }
    waiting = account.steps(arn)["Ask"]
    assert waiting["StepStatus"] == "Executing"
    assert waiting["Metadata"] == {"Callback": {"CallbackToken": message["token"], "SqsQueueUrl": desk.queue}}
    assert desk.succeed(message["token"]) == arn
    assert account.execution_end(arn)["PipelineExecutionStatus"] == "Succeeded"
    ended = account.steps(arn)
    assert ended["Ask"]["Metadata"]["Callback"]["OutputParameters"] == GOOD
    name = ended["After"]["Metadata"]["ProcessingJob"]["Arn"].rsplit("/", 1)[1]
    assert account.sagemaker.describe_processing_job(ProcessingJobName=name)["Environment"] == {"WHO": "ann"}


def test_a_failure_fails_the_step(desk: Desk) -> None:
    desk.create(callback(desk.queue))
    arn = desk.start()
    assert desk.fail(desk.message()["token"], FailureReason="no budget") == arn
    assert desk.account.execution_end(arn)["PipelineExecutionStatus"] == "Failed"
    assert desk.account.steps(arn)["Ask"]["FailureReason"] == "no budget"


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        (GOOD[1:], "no output score"),
        ([{"Name": "score", "Value": "high"}, *GOOD[1:]], "output score is 'high', which is no Float"),
        ([{"Name": "score", "Value": "nan"}, *GOOD[1:]], "output score is 'nan', which is no Float"),
        ([GOOD[0], {"Name": "good", "Value": "maybe"}, GOOD[2]], "output good is 'maybe', which is no Boolean"),
    ],
)
def test_an_answer_that_is_not_as_declared_fails_the_step(desk: Desk, outputs: Any, words: str) -> None:
    desk.create(callback(desk.queue))
    arn = desk.start()
    desk.succeed(desk.message()["token"], OutputParameters=outputs)
    assert desk.account.execution_end(arn)["PipelineExecutionStatus"] == "Failed"
    assert words in desk.account.steps(arn)["Ask"]["FailureReason"]


def test_a_token_is_answered_once(desk: Desk) -> None:
    desk.create(callback(desk.queue))
    arn = desk.start()
    token = desk.message()["token"]
    assert desk.succeed(token, ClientRequestToken=TOKEN) == arn
    # The same request again is the same answer; any other comes too late.
    assert desk.succeed(token, ClientRequestToken=TOKEN) == arn
    exceptions = desk.account.sagemaker.exceptions
    with pytest.raises(exceptions.ConflictException, match="no longer waited for"):
        desk.fail(token)
    with pytest.raises(exceptions.ResourceNotFound, match="does not exist"):
        desk.succeed("a" * 10)
    with pytest.raises(ClientError, match="Member must satisfy regular expression pattern"):
        desk.succeed("a token - ")
    assert desk.account.execution_end(arn)["PipelineExecutionStatus"] == "Succeeded"


@pytest.mark.parametrize("answer", ["succeed", "fail"])
def test_a_stop_waits_for_the_answer(desk: Desk, answer: str) -> None:
    desk.create(callback(desk.queue))
    arn = desk.start()
    token = desk.message()["token"]
    desk.account.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    message = desk.message()
    assert (message["status"], message["token"], message["pipelineExecutionArn"]) == ("Stopping", token, arn)
    described = desk.account.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    assert described["PipelineExecutionStatus"] == "Stopping"
    desk.account.until(lambda: desk.account.steps(arn)["Ask"]["StepStatus"] == "Stopping", "the step")
    getattr(desk, answer)(token)
    assert desk.account.execution_end(arn)["PipelineExecutionStatus"] == "Stopped"


def test_a_queue_that_does_not_exist_fails_the_step(desk: Desk) -> None:
    desk.create(callback(desk.queue + "-not"))
    arn = desk.start()
    assert desk.account.execution_end(arn)["PipelineExecutionStatus"] == "Failed"
    step = desk.account.steps(arn)["Ask"]
    assert "NonExistentQueue" in step["FailureReason"]
    with pytest.raises(desk.account.sagemaker.exceptions.ConflictException):
        desk.succeed(step["Metadata"]["Callback"]["CallbackToken"])


def test_hundreds_may_wait_at_once(desk: Desk) -> None:
    desk.create(*(callback(desk.queue, f"Ask{number}") for number in range(200)))
    arn = desk.start()
    tokens = [desk.message()["token"] for _ in range(200)]
    assert len(set(tokens)) == 200
    threads = [threading.Thread(target=desk.succeed, args=(token,)) for token in tokens[:100]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for token in tokens[100:]:
        desk.succeed(token)
    assert desk.account.execution_end(arn)["PipelineExecutionStatus"] == "Succeeded"


def test_a_closed_account_stops_the_execution_and_a_retry_asks_anew(desk: Desk, open_account: Any) -> None:
    desk.create(callback(desk.queue))
    arn = desk.start()
    old = desk.message()["token"]
    account = open_account()
    assert account.execution_end(arn)["PipelineExecutionStatus"] == "Stopped"
    assert account.steps(arn)["Ask"]["StepStatus"] == "Stopped"
    again = Desk(account)
    with pytest.raises(account.sagemaker.exceptions.ConflictException):
        again.succeed(old)
    account.sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn)
    new = {}

    def renewed() -> bool:
        new.update(again.message())
        return bool(new["token"] != old)

    account.until(renewed, "the new message")
    again.succeed(new["token"])
    assert account.execution_end(arn)["PipelineExecutionStatus"] == "Succeeded"
