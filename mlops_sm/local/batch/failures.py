"""How the service words what a batch transform could not do, in the job's log and as its FailureReason.

Source: logs and reasons of transform jobs in the issues of aws/sagemaker-python-sdk (703, 1951, 753),
aws/amazon-sagemaker-examples (1620) and aws/sagemaker-tensorflow-serving-container (93).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from mlops_sm.local.jobs.running import MAX_REASON
from mlops_sm.local.serving import Response
from mlops_sm.naming import S3Uri

_MESSAGE: Final = 500
"""Characters of a model's answer that the log and the reason show."""
_CLIENT: Final = range(400, 500)


class PayloadFailedError(Exception):
    """One payload was not transformed.

    Attributes:
        blame: ``ClientError`` or ``AlgorithmError``.
        what: As the service logs it.
        message: What the model said.
    """

    def __init__(self, blame: str, what: str, message: str = "") -> None:
        self.blame = blame
        self.what = what
        self.message = message.strip()[:_MESSAGE]
        super().__init__(what)

    def lines(self, name: str) -> Iterator[str]:
        """What the log says about it; `name` is the object's."""
        yield f"{name}: {self.what}"
        if self.message:
            for line in ("", "Message:", *self.message.splitlines()):
                yield f"{name}: {line}"


def bad_status(response: Response) -> PayloadFailedError:
    """The failure of a payload that was answered with another status than 200."""
    message = response.body[: 4 * _MESSAGE].decode(errors="replace")
    if response.status in _CLIENT:
        return PayloadFailedError("ClientError", f"ClientError: {response.status}", message)
    return PayloadFailedError("AlgorithmError", f"Bad HTTP status received from algorithm: {response.status}", message)


def reason_of(failed: Sequence[tuple[str, PayloadFailedError]]) -> str | None:
    """FailureReason for the objects that failed, the first one in detail; None when none did."""
    if not failed:
        return None
    name, failure = failed[0]
    last = failure.message.splitlines()[-1:]
    more = f"; {len(failed) - 1} more of the input objects failed" if len(failed) > 1 else ""
    detail = ": ".join([name, failure.what, *last])
    return f"{failure.blame}: See job logs for more information ({detail}{more})"[:MAX_REASON]


def shown(source: S3Uri) -> str:
    """An object as the service's log names it."""
    return f"{source.bucket}/{source.key}"
