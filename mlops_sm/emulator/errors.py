"""What an operation raises to refuse a request; the protocol turns it into the service's error answer."""

from __future__ import annotations

from mlops_sm.emulator.absent import why_absent


class AwsError(Exception):
    """A refusal in the service's words.

    Attributes:
        code: The error's name, e.g. ``ValidationException``, ``ResourceNotFound``.
        message: The service's message.
        status: HTTP status; 400 unless the service says otherwise.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        self.code = code
        self.message = message
        self.status = status
        super().__init__(f"{code}: {message}")


class UnsavedError(Exception):
    """A change of S3 could not be written down and was taken back; the cause says why."""


def invalid(message: str) -> AwsError:
    """A ValidationException."""
    return AwsError("ValidationException", message)


def unknown_operation(service: str, operation: str) -> AwsError:
    """The answer to an operation that the local account does not have."""
    why = f": {why_absent(operation)}" if service == "sagemaker" else ""
    return AwsError(
        "UnknownOperationException",
        f"The operation {operation} of {service} is not available in the local account{why}.",
    )
