"""The account as a WSGI application: a request becomes an `Arrival`, the front's answer a response."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, BinaryIO, Final
from urllib.parse import urlsplit

from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.protocol import Answer, with_request_id
from mlops_sm.emulator.refusals import refusal, unavailable
from mlops_sm.emulator.server.arrivals import arrival_of, path_style
from mlops_sm.emulator.service_names import SAGEMAKER
from mlops_sm.emulator.store import Scope

Environ = dict[str, Any]
Answerer = Callable[[Arrival, Callable[[], Answer | None]], Answer | None]
"""`AccountFront.answer`."""
Respond = Callable[[str, list[tuple[str, str]]], object]

_OF_THE_CONNECTION: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})
_WITHOUT_BODY: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
_log = logging.getLogger(__name__)


class Application:
    """Answers HTTP requests of one account.

    Args:
        answer: The account's front.
        home: The account of unknown keys and the region of requests that name none.
    """

    def __init__(self, answer: Answerer, home: Scope) -> None:
        self._answer = answer
        self._home = home

    def __call__(self, environ: Environ, respond: Respond) -> Iterable[bytes]:
        """WSGI."""
        arrival = self._arrival(environ)
        answer = with_request_id(self._answered(arrival))
        _log.debug(
            "%s %s: %s of %s: %d", arrival.method, arrival.path, arrival.operation, arrival.service, answer.status
        )
        return _send(arrival.method, answer, respond)

    def _arrival(self, environ: Environ) -> Arrival:
        headers = _headers(environ)
        path = path_style(headers.get("host", ""), _path(environ))
        return arrival_of(
            environ["REQUEST_METHOD"], path, headers, _reader(environ["wsgi.input"]), home=self._home.account
        )

    def _answered(self, arrival: Arrival) -> Answer:
        if arrival.service.startswith(SAGEMAKER) and not arrival.region:
            # "The request must contain a valid (registered) AWS access key ID" in SageMaker's common errors.
            return refusal(
                arrival, AwsError("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
            )
        try:
            answer = self._answer(arrival, lambda: self._forward(arrival))
        except Exception as error:
            _log.exception("%s %s failed inside the local account", arrival.method, arrival.path)
            message = f"The local account failed: {type(error).__name__}: {error}"
            return refusal(arrival, AwsError("InternalFailure", message, 500))
        return answer if answer is not None else refusal(arrival, unavailable(arrival, ""))

    def _forward(self, arrival: Arrival) -> Answer | None:
        from mlops_sm.emulator.moto_requests import ask_moto, aws_request  # noqa: PLC0415 - SageMaker's need none of it

        return ask_moto(arrival, aws_request(arrival, self._home.region))


def _send(method: str, answer: Answer, respond: Respond) -> Iterable[bytes]:
    headers = [(name, value) for name, value in answer.headers.items() if name.lower() not in _OF_THE_CONNECTION]
    length = len(answer.body)
    if method == "HEAD":
        # What GET would have sent.
        given = {name.lower(): value for name, value in answer.headers.items()}
        length = int(given.get("content-length", length))
    if answer.status not in _WITHOUT_BODY:
        headers.append(("Content-Length", str(length)))
    try:
        reason = HTTPStatus(answer.status).phrase
    except ValueError:
        reason = "Unknown"
    respond(f"{answer.status} {reason}", headers)
    return [] if method == "HEAD" or answer.status in _WITHOUT_BODY else [answer.body]


def _headers(environ: Environ) -> dict[str, str]:
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if name in environ:
            headers[name.replace("_", "-").lower()] = environ[name]
    return headers


def _path(environ: Environ) -> str:
    """The request's target as it was sent; of one to a proxy, without scheme and host."""
    target: str = environ["REQUEST_URI"]
    if target.startswith("/"):
        return target
    url = urlsplit(target)
    return f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"


def _reader(stream: BinaryIO) -> Callable[[], bytes]:
    def read() -> bytes:
        stream.seek(0)
        content = stream.read()
        stream.seek(0)
        return content

    return read
