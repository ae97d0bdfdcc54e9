"""How SageMaker Runtime words what it refuses and what a model has failed at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from mlops_sm import naming
from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.protocol import Answer
from mlops_sm.emulator.store import Scope
from mlops_sm.local.serving.host import ContainerError
from mlops_sm.local.serving.server import TooSlowError

_SHOWN: Final = 1024
"""Characters of a model's answer that an error shows."""
_CLIENT: Final = range(400, 500)
_JSON: Final = "application/json"


def log_group(endpoint: str) -> str:
    """The log group of an endpoint."""
    return f"/aws/sagemaker/Endpoints/{endpoint}"


class RuntimeFailure(AwsError):
    """A refusal with further members.

    Attributes:
        members: They.
    """

    def __init__(self, code: str, message: str, status: int, members: Mapping[str, Json]) -> None:
        self.members = members
        super().__init__(code, message, status)


def not_valid(message: str) -> AwsError:
    """A ValidationError; SageMaker Runtime's differs in name from SageMaker's."""
    return AwsError("ValidationError", message)


def not_found(scope: Scope, endpoint: str) -> AwsError:
    """There is no such endpoint, or it is not in service (aws/amazon-sagemaker-examples#559)."""
    return not_valid(f"Endpoint {endpoint} of account {scope.account} not found.")


def model_error(scope: Scope, endpoint: str, error: ContainerError) -> RuntimeFailure:
    """A ModelError: "Model (owned by the customer in the container) returned 4xx or 5xx error code".

    Its words are those of aws/amazon-sagemaker-examples#407. A container that says nothing has the status 0.
    """
    response = error.response
    if response is not None:
        status, said = response.status, response.body[: 4 * _SHOWN].decode(errors="replace")[:_SHOWN]
    elif isinstance(error.cause, TooSlowError):
        status = 0
        said = (
            f"Your invocation timed out while waiting for a response from container {error.container}. Review the "
            "latency metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
        )
    else:
        status, said = 0, f"The container {error.container} gave no answer: {error.cause}."
    blame = "client" if status in _CLIENT else "server"
    group = log_group(endpoint)
    console = f"https://{scope.region}.console.aws.amazon.com/cloudwatch/home?region={scope.region}"
    message = (
        f'Received {blame} error ({status}) from {error.container} with message "{said}". See '
        f"{console}#logEventViewer:group={group} in account {scope.account} for more information."
    )
    members = {
        "OriginalStatusCode": status,
        "OriginalMessage": said,
        "LogStreamArn": naming.arn("logs", scope.region, scope.account, f"log-group:{group}"),
    }
    return RuntimeFailure("ModelError", message, 424, members)


def refused(error: AwsError) -> Answer:
    """The answer for a refusal, in the protocol of SageMaker Runtime."""
    members = error.members if isinstance(error, RuntimeFailure) else {}
    body = json.dumps({"message": error.message, "Message": error.message, **members}).encode()
    return Answer(error.status, {"Content-Type": _JSON, "x-amzn-ErrorType": error.code}, body)
