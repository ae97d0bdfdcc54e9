"""Callback steps: a message on a queue, then the wait for somebody's answer.

Source: developer guide, "Callback step"; API reference, StopPipelineExecution (the message with status ``Stopping``)
and CallbackStepMetadata.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.engine.status import Failed, Outcome, Stopped, Succeeded
from mlops_sm.local.handlers.job import client_error
from mlops_sm.local.handlers.step import Callback, CallbackAnswer, ServiceError, StepResult, StepRun

_BOOLEANS: Final = {"true": True, "false": False}
_log = logging.getLogger(__name__)


def run_callback(run: StepRun) -> StepResult:
    """Send the step's message and wait for the answer; a step that is asked to stop says so and waits on."""
    queue, token = run.members["SqsQueueUrl"], run.new_suffix()
    metadata: dict[str, Json] = {"CallbackToken": token, "SqsQueueUrl": queue}

    def tell() -> None:
        try:
            run.control.send_message(queue, _message(run, token, "Stopping"))
        except ServiceError as error:
            _log.warning("nobody can be told that step %s is to stop: %s", run.step.name, error)

    with run.control.open_callback(Callback(token, run.execution_arn, run.step.name, queue)) as wait:
        try:
            run.control.send_message(queue, _message(run, token, "Executing"))
        except ServiceError as error:
            return StepResult(outcome=Failed(client_error(error)), metadata={"Callback": metadata})
        end_watch = run.stop.watch(tell)
        answer = wait()
        end_watch()
    if answer is not None and answer.failure is None:
        metadata["OutputParameters"] = [{"Name": name, "Value": value} for name, value in answer.outputs.items()]
    return StepResult(outcome=_outcome(run, answer), metadata={"Callback": metadata})


def callback_properties(declared: list[Mapping[str, str]], outputs: Mapping[str, str]) -> dict[str, Json]:
    """A callback step's properties: the answer's outputs, those that the step declares in their types.

    Raises:
        ValueError: A declared output is not there or is not of its type.
    """
    values: dict[str, Json] = dict(outputs)
    for output in declared:
        name = output["OutputName"]
        if name not in outputs:
            raise ValueError(f"the answer has no output {name}")
        values[name] = _typed(name, output["OutputType"], outputs[name])
    return {"OutputParameters": values}


def _message(run: StepRun, token: str, status: str) -> str:
    return json.dumps(
        {
            "token": token,
            "pipelineExecutionArn": run.execution_arn,
            "arguments": run.arguments,
            "status": status,
        }
    )


def _outcome(run: StepRun, answer: CallbackAnswer | None) -> Outcome:
    match answer:
        case None:
            return Stopped()
        case CallbackAnswer(failure=None):
            try:
                return Succeeded(callback_properties(run.members.get("OutputParameters") or [], answer.outputs))
            except ValueError as error:
                return Failed(f"ClientError: {error}")
        case _ if run.stop.is_set():
            # The answer to the request to stop.
            return Stopped()
        case _:
            return Failed(answer.failure or "")


def _typed(name: str, kind: str, value: str) -> Json:
    try:
        match kind:
            case "Integer":
                return int(value)
            case "Float":
                return _finite(value)
            case "Boolean":
                return _BOOLEANS[value.lower()]
            case _:
                return value
    except (ValueError, KeyError):
        raise ValueError(f"output {name} is {value!r}, which is no {kind}") from None


def _finite(text: str) -> float:
    """A number; nan and the infinities, which Python reads too, are none to JSON."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number
