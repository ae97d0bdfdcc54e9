"""A request as the front of the account sees it, however it came: from botocore in this process or over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import BinaryIO, NamedTuple


class Arrival(NamedTuple):
    """A request.

    Attributes:
        service: botocore's id of the service, e.g. ``sagemaker``, ``s3``, ``cloudwatch-logs``, ``eventbridge``.
        operation: The operation's name; empty where the protocol does not say it and nobody needed to find out.
        account: Whose credentials signed it.
        region: The region it was signed for; empty when it was not signed.
        method: The HTTP method.
        path: The path of its URL, with the query.
        headers: Its headers by lower-case name.
        read: Its body; may be called more than once.
        stream: Its body as a file that is at its start; None where `read` is all there is.
    """

    service: str
    operation: str
    account: str
    region: str
    method: str
    path: str
    headers: Mapping[str, str]
    read: Callable[[], bytes]
    stream: Callable[[], BinaryIO] | None = None

    def open(self) -> BinaryIO:
        """Its body as a file, for what may be too long for memory."""
        return BytesIO(self.read()) if self.stream is None else self.stream()
