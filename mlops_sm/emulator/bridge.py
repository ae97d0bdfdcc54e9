"""botocore's requests in this process: SageMaker's answered by us, the others by moto, none by the network.

moto puts one handler on botocore's ``before-send`` event; its call is wrapped while an account is open. moto's state is
the process's, so one account can be open at a time; what is left behind on closing is nothing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from io import BytesIO
from typing import Any, BinaryIO, Final, Protocol
from urllib.parse import urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse, HeadersDict
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber, MockRawResponse

from mlops_sm.emulator.accounts import account_of, credential
from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.file_parts import FilePart, Flow, raw, whole
from mlops_sm.emulator.moto_requests import ask_moto
from mlops_sm.emulator.protocol import Answer, with_request_id
from mlops_sm.emulator.refusals import refusal, unavailable
from mlops_sm.emulator.replacing import Replaced
from mlops_sm.emulator.server.arrivals import arrival_of, path_style, target_of
from mlops_sm.emulator.server.doors import is_loopback
from mlops_sm.errors import Problem, RefusedError

_OF_AWS: Final = (".amazonaws.com", ".api.aws", ".amazonaws.com.cn")
_ACCOUNT_VARIABLE: Final = "MOTO_ACCOUNT_ID"


class Front(Protocol):
    """Stands before moto."""

    def answer(self, arrival: Arrival, forward: Callable[[], Answer | None]) -> Answer | None:
        """Answer a request, or let moto do it with `forward`; None when nobody here can."""


class Bridge:
    """The connection of one open account to botocore.

    Args:
        account: Answers requests that name no other.
        front: Gets every request of this process.
    """

    _open = threading.Lock()

    def __init__(self, account: str, front: Front) -> None:
        self._account = account
        self._front = front
        # Functions run here and not in moto's containers.
        self._mock = mock_aws(config={"lambda": {"use_docker": False}})
        self._replaced = Replaced()
        self._variable = os.environ.get(_ACCOUNT_VARIABLE)

    def enter(self) -> None:
        """From here on no request of this process reaches the network.

        Raises:
            RefusedError: E544, another account is open in this process.
        """
        if not Bridge._open.acquire(blocking=False):
            raise RefusedError(
                Problem(
                    "E544",
                    "LocalAccount.open",
                    "another local account is open in this process",
                    "Close it first; moto's state, which it stands on, exists once per process.",
                )
            )
        # It would hide the accounts that credentials lead to; every request names its account to moto by a header.
        os.environ.pop(_ACCOUNT_VARIABLE, None)
        # Before the start: moto then hands the second one, bound, to the library that stands in for `requests`.
        self._replaced.method(BotocoreStubber, "__call__", lambda _: self._handler())
        self._replaced.method(BotocoreStubber, "process_prepared_request", lambda _: self._plain_handler())
        self._mock.start()

    def leave(self) -> None:
        """Give botocore back as it was; moto forgets everything."""
        self._mock.stop()
        self._replaced.restore()
        if self._variable is None:
            os.environ.pop(_ACCOUNT_VARIABLE, None)
        else:
            os.environ[_ACCOUNT_VARIABLE] = self._variable
        Bridge._open.release()

    def _handler(self) -> Callable[..., Any]:
        front, home = self._front, self._account

        def handle(stubber: BotocoreStubber, event_name: str, request: AWSPreparedRequest, **_options: object) -> Any:  # noqa: ANN401 - what moto's own handler returns
            if not stubber.enabled:
                return None
            url = urlsplit(request.url)
            if is_loopback(url.hostname or ""):
                # Meant for a server on this machine, this account's own or another's.
                return None
            _event, service, operation = event_name.split(".", 2)
            arrival = _arrival(request, service, operation, home)
            answer = front.answer(arrival, lambda: ask_moto(arrival, request))
            if answer is None and (url.hostname or "").endswith(_OF_AWS):
                answer = refusal(arrival, unavailable(arrival))
            if answer is None:
                raise RefusedError(_no_network(request.url))
            sent = with_request_id(answer)
            body = raw(sent.body) if isinstance(sent.body, FilePart | Flow) else MockRawResponse(sent.body)
            return AWSResponse(request.url, sent.status, sent.headers, body)

        return handle

    def _plain_handler(self) -> Callable[..., Any]:
        front, home = self._front, self._account

        def handle(_: BotocoreStubber, plain: Any) -> Any:  # noqa: ANN401 - a request of the requests library
            request = AWSPreparedRequest(
                plain.method, plain.url, HeadersDict(plain.headers), plain.body, stream_output=False
            )
            url = urlsplit(plain.url)
            _host, target = path_style(url.netloc, target_of(url))
            headers = {name.lower(): _text(value) for name, value in plain.headers.items()}
            arrival = arrival_of(plain.method, target, headers, lambda: _body(plain.body), home=home)
            answer = front.answer(arrival, lambda: ask_moto(arrival, request))
            if answer is None:
                return None
            sent = with_request_id(answer)
            # The library that stands in for `requests` takes bytes only.
            return sent.status, sent.headers, whole(sent.body)

        return handle


def _arrival(request: AWSPreparedRequest, service: str, operation: str, home: str) -> Arrival:
    url = urlsplit(request.url)
    path = target_of(url)
    if service == "s3":
        path = path_style(url.netloc, path)[1]
    headers = {name.lower(): _text(value) for name, value in request.headers.items()}
    signed = credential(headers, url.query)
    return Arrival(
        service=service,
        operation=operation,
        account=account_of(signed.key, home),
        region=signed.region,
        method=request.method,
        path=path,
        headers=headers,
        read=lambda: _body(request.body),
        stream=lambda: _stream(request.body),
    )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _body(content: Any) -> bytes:  # noqa: ANN401 - text, bytes or an open file, as botocore was given it
    if content is None:
        return b""
    if isinstance(content, str):
        return content.encode()
    if isinstance(content, bytes | bytearray):
        return bytes(content)
    # botocore sends files from where they stand.
    place = content.tell()
    read = bytes(content.read())
    content.seek(place)
    return read


def _stream(content: Any) -> BinaryIO:  # noqa: ANN401 - text, bytes or an open file, as botocore was given it
    if hasattr(content, "read"):
        opened: BinaryIO = content
        return opened
    return BytesIO(_body(content))


def _no_network(url: str) -> Problem:
    return Problem(
        "E545",
        url,
        "the local account lets no request leave this process",
        "Make clients with account.session() or account.client(), without an endpoint URL.",
    )
