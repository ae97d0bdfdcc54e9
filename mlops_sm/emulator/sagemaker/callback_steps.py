"""SendPipelineExecutionStepSuccess and ...Failure: somebody answers a callback step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.callbacks import ANSWERED, WAITING
from mlops_sm.emulator.errors import AwsError, invalid
from mlops_sm.emulator.service import Call, Operation, once
from mlops_sm.emulator.store import Kind
from mlops_sm.local.handlers import CallbackAnswer


def send_pipeline_execution_step_success(call: Call) -> dict[str, Json]:
    """The step that waits for the token has succeeded, with these outputs."""
    parameters = call.request.get("OutputParameters") or []
    outputs = {parameter["Name"]: parameter["Value"] for parameter in parameters}
    if len(outputs) < len(parameters):
        raise invalid("OutputParameters: a name is given more than once.")
    return _answer(call, CallbackAnswer(outputs))


def send_pipeline_execution_step_failure(call: Call) -> dict[str, Json]:
    """The step that waits for the token has failed."""
    return _answer(call, CallbackAnswer({}, call.request.get("FailureReason", "")))


def _answer(call: Call, answer: CallbackAnswer) -> dict[str, Json]:
    """Keep an answer and hand it on; a token is answered once."""
    token = call.request["CallbackToken"]

    def keep() -> dict[str, Json]:
        callback = call.store.get(call.scope, Kind.CALLBACK, token)
        if callback is None:
            raise AwsError("ResourceNotFound", f"Callback token {token} does not exist.")
        if callback.status != WAITING:
            raise AwsError(
                "ConflictException",
                f"Callback token {token} is no longer waited for: step {callback.body['StepName']} of "
                f"{callback.body['PipelineExecutionArn']} has ended.",
            )
        given: dict[str, Json] = {
            "FailureReason": answer.failure,
            "OutputParameters": [{"Name": name, "Value": value} for name, value in answer.outputs.items()],
        }
        call.store.save(callback.with_body(given, modified=call.now(), status=ANSWERED))
        return {"PipelineExecutionArn": callback.body["PipelineExecutionArn"]}

    result = once(call, keep)
    # Again for a token that is used once more: the step may wait still if the first answer was not handed on.
    call.service.callbacks.deliver(call.scope, token, answer)
    return result


OPERATIONS: Final[Mapping[str, Operation]] = {
    "SendPipelineExecutionStepSuccess": send_pipeline_execution_step_success,
    "SendPipelineExecutionStepFailure": send_pipeline_execution_step_failure,
}
