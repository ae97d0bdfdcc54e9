"""The account as a WSGI application: a request becomes an `Arrival`, the front's answer a response."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any, BinaryIO, Final
from urllib.parse import urlsplit

from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.blame import incomplete
from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.file_parts import FilePart, Flow
from mlops_sm.emulator.moto_requests import ask_moto, aws_request
from mlops_sm.emulator.protocol import Answer, with_request_id
from mlops_sm.emulator.refusals import refusal, unavailable
from mlops_sm.emulator.server.arrivals import arrival_of, needs_signature, path_style, target_of
from mlops_sm.emulator.server.connection import METADATA
from mlops_sm.emulator.server.control import PREFIX, Control
from mlops_sm.emulator.server.doors import is_local, is_loopback, stranger
from mlops_sm.emulator.service_names import SAGEMAKER

Environ = dict[str, Any]
Answerer = Callable[[Arrival, Callable[[], Answer | None]], Answer | None]
"""`AccountFront.answer`."""
Respond = Callable[[str, list[tuple[str, str]]], object]

_OF_THE_CONNECTION: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "server"})
_WITHOUT_BODY: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
_PART: Final = 1024**2
_JSON_TYPES: Final = ("application/x-amz-json-1.", "application/json")
_log = logging.getLogger(__name__)


class Application:
    """Answers HTTP requests of one account.

    Args:
        answer: The account's front.
        control: What the account says about itself.
        exposed: Whether other machines may call.
    """

    def __init__(self, answer: Answerer, control: Control, *, exposed: bool) -> None:
        self._answer = answer
        self._control = control
        self._home = control.home
        self._exposed = exposed

    def __call__(self, environ: Environ, respond: Respond) -> Iterable[bytes]:
        """WSGI."""
        arrival = self._arrival(environ)
        answer = with_request_id(self._own(environ, arrival) or self._answered(arrival))
        _log.debug(
            "%s %s: %s of %s: %d", arrival.method, arrival.path, arrival.operation, arrival.service, answer.status
        )
        return _send(arrival.method, answer, respond)

    def _arrival(self, environ: Environ) -> Arrival:
        headers = _headers(environ)
        headers["host"], path = path_style(headers.get("host", ""), _path(environ))
        source = environ["wsgi.input"]
        arrival = arrival_of(environ["REQUEST_METHOD"], path, headers, _reader(source), home=self._home.account)
        return arrival._replace(stream=lambda: _from_start(source))

    def _own(self, environ: Environ, arrival: Arrival) -> Answer | None:
        """The answer to a request that no account of AWS would get, or that must not get in."""
        strange = stranger(arrival.headers, exposed=self._exposed)
        if strange is not None:
            return refusal(arrival, AwsError("AccessDeniedException", f"The request is refused: {strange}.", 403))
        path = arrival.path.partition("?")[0]
        if not path.startswith(PREFIX):
            return None
        if not (is_loopback(environ["REMOTE_ADDR"]) and is_local(arrival.headers.get("host", ""))):
            return refusal(arrival, AwsError("AccessDeniedException", f"{path} is for this machine only.", 403))
        return self._control.answer(arrival.method, path, arrival.read)

    def _answered(self, arrival: Arrival) -> Answer:
        if not arrival.region and needs_signature(arrival):
            # "The request must contain a valid (registered) AWS access key ID": among the common errors of every API.
            return refusal(
                arrival, AwsError("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
            )
        if arrival.service == SAGEMAKER and not _is_json(arrival):
            given = arrival.headers.get("content-type") or "no content type"
            asked = f"X-Amz-Target SageMaker.{arrival.operation or 'OPERATION'}"
            message = f"SageMaker takes {asked} and the content type application/x-amz-json-1.1, not {given}."
            return refusal(arrival, AwsError("UnknownOperationException", message))
        try:
            answer = self._answer(arrival, lambda: self._forward(arrival))
        except Exception as error:
            _log.exception("%s %s failed inside the local account", arrival.method, arrival.path)
            message = f"The local account failed: {type(error).__name__}: {error}"
            return refusal(arrival, AwsError("InternalFailure", message, 500))
        return answer if answer is not None else refusal(arrival, unavailable(arrival))

    def _forward(self, arrival: Arrival) -> Answer | None:
        missing = incomplete(arrival)
        if missing is not None:
            return refusal(arrival, missing)
        return ask_moto(arrival, aws_request(arrival, self._home.region))


def _is_json(arrival: Arrival) -> bool:
    """Whether a request speaks SageMaker's protocol: AWS does not recognise an operation in anything else."""
    return bool(arrival.operation) and arrival.headers.get("content-type", "").startswith(_JSON_TYPES)


def _send(method: str, answer: Answer, respond: Respond) -> Iterable[bytes]:
    headers = [(name, value) for name, value in answer.headers.items() if name.lower() not in _OF_THE_CONNECTION]
    length = len(answer.body)
    if method == "HEAD":
        # What GET would have sent.
        given = {name.lower(): value for name, value in answer.headers.items()}
        length = int(given.get("content-length", length))
    if answer.status not in _WITHOUT_BODY and not isinstance(answer.body, Flow):
        headers.append(("Content-Length", str(length)))
    try:
        reason = HTTPStatus(answer.status).phrase
    except ValueError:
        reason = "Unknown"
    respond(f"{answer.status} {reason}", headers)
    return () if method == "HEAD" or answer.status in _WITHOUT_BODY else _parts(answer.body)


def _parts(content: bytes) -> Iterator[bytes]:
    """A content in parts, so that no second copy of all of it waits to be sent."""
    if isinstance(content, Flow):
        yield from content.parts
        return
    if isinstance(content, FilePart):
        yield from content.blocks()
        return
    for start in range(0, len(content), _PART):
        yield content[start : start + _PART]


def _headers(environ: Environ) -> dict[str, str]:
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if name in environ:
            headers[name.replace("_", "-").lower()] = environ[name]
    headers.update(environ.get(METADATA, {}))
    return headers


def _path(environ: Environ) -> str:
    """The request's target as it was sent; of one to a proxy, without scheme and host."""
    target: str = environ["REQUEST_URI"]
    if target.startswith("/"):
        return target
    return target_of(urlsplit(target))


def _from_start(stream: BinaryIO) -> BinaryIO:
    stream.seek(0)
    return stream


def _reader(stream: BinaryIO) -> Callable[[], bytes]:
    def read() -> bytes:
        stream.seek(0)
        content = stream.read()
        stream.seek(0)
        return content

    return read
