"""Connections of the HTTP server, where waitress does not do as AWS does."""

from __future__ import annotations

from typing import Any, Final

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.task import ErrorTask, WSGITask

from mlops_sm.emulator.accounts import credential
from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.protocol import with_request_id
from mlops_sm.emulator.refusals import refusal
from mlops_sm.emulator.service_names import folders, service_id

METADATA: Final = "mlops_sm.metadata"
"""Where the WSGI environment holds headers with an underscore in their name."""
_METADATA_PREFIX: Final = b"x-amz-meta-"
_CODES: Final = {413: "EntityTooLarge", 431: "RequestHeaderSectionTooLarge", 501: "NotImplemented"}


class _Parser(HTTPRequestParser):  # type: ignore[misc] # waitress has no types
    """Keeps metadata of S3 objects whose name has an underscore; to a WSGI server it looks like a hyphen."""

    def __init__(self, adj: Adjustments) -> None:
        super().__init__(adj)
        self.metadata: dict[str, str] = {}

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        for line in header_plus.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if b"_" in name and name.lower().startswith(_METADATA_PREFIX):
                self.metadata[name.lower().decode("latin-1")] = value.strip(b" \t").decode("latin-1")


class _Task(WSGITask):  # type: ignore[misc] # likewise
    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        environ[METADATA] = self.request.metadata
        return environ

    def build_response_header(self) -> bytes:
        """Names in lower case as S3 sends them: clients take the names of metadata as they come."""
        status, *lines = super().build_response_header().split(b"\r\n")
        named = (line.partition(b":") for line in lines)
        return b"\r\n".join([status, *(name.lower() + colon + value for name, colon, value in named)])


class _Refusal(ErrorTask):  # type: ignore[misc] # likewise
    """What is not even HTTP, or too big, is refused in the words of the service it was meant for."""

    def execute(self) -> None:
        error = self.request.error
        headers = {name.replace("_", "-").lower(): value for name, value in self.request.headers.items()}
        signed = credential(headers, "")
        arrival = Arrival(
            service=service_id(folders(signed.service)[0]) if signed.service else "s3",
            operation="",
            account="",
            region=signed.region,
            method="",
            path="",
            headers=headers,
            read=bytes,
        )
        code = _CODES.get(error.code, "BadRequest")
        status, sent, body = with_request_id(
            refusal(arrival, AwsError(code, f"{error.reason}: {error.body}", error.code))
        )
        self.status = f"{status} {error.reason}"
        self.response_headers.extend(sent.items())
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class Connection(HTTPChannel):  # type: ignore[misc] # likewise
    """One connection."""

    parser_class = _Parser
    task_class = _Task
    error_task_class = _Refusal

    def send_continue(self) -> None:
        """Ask for the body, unless there is none: waitress would wait for it, and the client for an answer."""
        complete = self.request.completed
        super().send_continue()
        self.request.completed = complete

    def handle_close(self) -> None:
        """Close the files, too, that hold what has been received of requests."""
        super().handle_close()
        for request in (self.request, *self.requests):
            if request is not None:
                request.close()
