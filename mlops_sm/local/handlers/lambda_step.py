"""Lambda steps: a call of a function, whose answer is a flat dictionary of outputs.

Sources: developer guide, "Lambda step" (10 minutes at most, an output that holds a dictionary is passed on as text);
API reference, StopPipelineExecution (a function that runs is waited for) and LambdaStepMetadata.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Mapping
from queue import Empty, SimpleQueue
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.definition.wording import shown, type_word
from mlops_sm.engine.resolve import as_text
from mlops_sm.engine.status import Failed, Outcome, Stopped, Succeeded
from mlops_sm.local.handlers.job import client_error
from mlops_sm.local.handlers.step import FunctionAnswer, ServiceError, StepResult, StepRun

LIMIT_SECONDS: Final = 600.0
"""A step waits for its function so long; a function may go on after that for as long as its own Timeout lets it."""

_MAX_VALUE: Final = 1024
"""Characters of an output (API reference, OutputParameter)."""


def run_lambda(run: StepRun, *, limit: float = LIMIT_SECONDS) -> StepResult:
    """Call the step's function with its Arguments and read the declared outputs from the answer.

    Args:
        run: The step.
        limit: Seconds to wait.
    """
    arn = run.members["FunctionArn"]
    answers: SimpleQueue[FunctionAnswer | ServiceError] = SimpleQueue()

    def call() -> None:
        try:
            answers.put(run.control.invoke_function(arn, json.dumps(run.arguments)))
        except ServiceError as error:
            answers.put(error)

    threading.Thread(target=call, name=f"function of step {run.step.name}", daemon=True).start()
    metadata: dict[str, Json] = {"Arn": arn}
    try:
        answer = answers.get(timeout=limit)
    except Empty:
        reason = (
            f"ClientError: the Lambda function {arn} did not end within {limit:.0f} seconds, which a step may last."
        )
        return StepResult(outcome=Failed(reason), metadata={"Lambda": metadata})
    outcome = _outcome(arn, run.members.get("OutputParameters") or [], answer)
    if isinstance(outcome, Succeeded):
        values = outcome.properties["OutputParameters"]
        metadata["OutputParameters"] = [{"Name": name, "Value": as_text(value)} for name, value in values.items()]
    return StepResult(outcome=outcome, metadata={"Lambda": metadata})


def _outcome(arn: str, declared: list[Mapping[str, str]], answer: FunctionAnswer | ServiceError) -> Outcome:
    if isinstance(answer, ServiceError):
        return Failed(client_error(answer))
    if answer.lost:
        return Stopped()
    if answer.failed:
        return Failed(f"ClientError: the Lambda function {arn} failed: {answer.payload}")
    try:
        return Succeeded({"OutputParameters": dict(_outputs(declared, json.loads(answer.payload)))})
    except ValueError as error:
        return Failed(f"ClientError: the Lambda function {arn} {error}")


def _outputs(declared: list[Mapping[str, str]], answer: Json) -> dict[str, Json]:
    """The declared outputs of an answer.

    Raises:
        ValueError: One is not there, or is not of its type.
    """
    if not declared:
        return {}
    if not isinstance(answer, dict):
        what = f"returned {type_word(answer)}; its outputs are read from a dictionary"
        raise ValueError(what)  # noqa: TRY004 - the answer's mistake, not the caller's
    return {output["OutputName"]: _output(output["OutputName"], output["OutputType"], answer) for output in declared}


def _output(name: str, kind: str, answer: Mapping[str, Json]) -> Json:
    if name not in answer:
        raise ValueError(f"returned no output {shown(name)}; it returned: {', '.join(map(shown, answer)) or 'nothing'}")
    value = answer[name]
    match kind, value:
        case "String", dict() | list():
            value = json.dumps(value)
        case ("String", str()) | ("Boolean", bool()):
            pass
        case ("Integer" | "Float", int()) if not isinstance(value, bool):
            pass
        case "Float", float() if math.isfinite(value):
            pass
        case _:
            raise ValueError(f"returned {shown(value)} as output {shown(name)}, which is declared as {kind}")
    if isinstance(value, str) and len(value) > _MAX_VALUE:
        raise ValueError(f"returned {len(value)} characters as output {shown(name)}; {_MAX_VALUE} can be passed on")
    return value
