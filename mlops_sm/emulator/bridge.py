"""botocore's requests in this process: SageMaker's answered by us, the others by moto, none by the network.

moto puts one handler on botocore's ``before-send`` event; its call is wrapped while an account is open. moto's state is
the process's, so one account can be open at a time; what is left behind on closing is nothing.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber, MockRawResponse
from moto.core.models import DEFAULT_ACCOUNT_ID

from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.protocol import Answer
from mlops_sm.errors import Problem, RefusedError

ACCESS_KEY: Final = "AKIALOCALACCOUNT0000"
"""What clients of the account's owner sign with; it opens nothing anywhere."""

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_ACCOUNT_VARIABLE: Final = "MOTO_ACCOUNT_ID"
_CREDENTIAL: Final = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/[^/]+/aws4_request")


class Front(Protocol):
    """Stands before moto."""

    def answer(self, arrival: Arrival, forward: Callable[[], Any]) -> Any:  # noqa: ANN401 - an Answer or what moto returns
        """Answer a request, or let moto do it with `forward`; None when nobody here can."""

    def answer_plain(self, method: str, forward: Callable[[], Any]) -> Any:  # noqa: ANN401 - an Answer or what moto returns
        """Likewise for a request that the `requests` library was about to send to a URL of AWS."""


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
        self._mock = mock_aws()
        self._handle: Callable[..., Any] = BotocoreStubber.__call__
        self._handle_plain: Callable[..., Any] = BotocoreStubber.process_prepared_request
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
        # The default account needs no variable, and without one the credentials of an assumed role decide.
        if self._account == DEFAULT_ACCOUNT_ID:
            os.environ.pop(_ACCOUNT_VARIABLE, None)
        else:
            os.environ[_ACCOUNT_VARIABLE] = self._account
        # Before the start: moto then hands the second one, bound, to the library that stands in for `requests`.
        BotocoreStubber.__call__ = self._handler()  # type: ignore[method-assign] # moto has no hook
        BotocoreStubber.process_prepared_request = self._plain_handler()  # type: ignore[method-assign] # moto has no hook
        self._mock.start()

    def leave(self) -> None:
        """Give botocore back as it was; moto forgets everything."""
        self._mock.stop()
        BotocoreStubber.__call__ = self._handle  # type: ignore[method-assign] # moto has no hook
        BotocoreStubber.process_prepared_request = self._handle_plain  # type: ignore[method-assign] # moto has no hook
        if self._variable is None:
            os.environ.pop(_ACCOUNT_VARIABLE, None)
        else:
            os.environ[_ACCOUNT_VARIABLE] = self._variable
        Bridge._open.release()

    def _handler(self) -> Callable[..., Any]:
        original, front = self._handle, self._front

        def handle(stubber: BotocoreStubber, event_name: str, request: AWSPreparedRequest, **options: object) -> Any:  # noqa: ANN401 - what moto's own handler returns
            if not stubber.enabled:
                return None
            url = urlsplit(request.url)
            if url.hostname in _LOOPBACK:
                # Meant for a server on this machine, this account's own or another's.
                return None
            _, service, operation = event_name.split(".", 2)
            headers = {name.lower(): _text(value) for name, value in request.headers.items()}
            account, region = self._signer(headers)
            path = f"{url.path}?{url.query}" if url.query else url.path
            arrival = Arrival(
                service, operation, account, region, request.method, path, headers, lambda: _body(request.body)
            )
            answer = front.answer(arrival, lambda: original(stubber, event_name, request, **options))
            match answer:
                case Answer(status, headers, body):
                    return AWSResponse(request.url, status, headers, MockRawResponse(body))
                case None:
                    raise RefusedError(_no_network(request.url))
                case _:
                    return answer

        return handle

    def _plain_handler(self) -> Callable[..., Any]:
        original, front = self._handle_plain, self._front

        def handle(stubber: BotocoreStubber, request: Any) -> Any:  # noqa: ANN401 - a request of the requests library
            answer = front.answer_plain(request.method, lambda: original(stubber, request))
            return (answer.status, answer.headers, answer.body) if isinstance(answer, Answer) else answer

        return handle

    def _signer(self, headers: Mapping[str, str]) -> tuple[str, str]:
        match = _CREDENTIAL.search(headers.get("authorization", ""))
        if match is None or match[1] == ACCESS_KEY:
            return self._account, match[2] if match else ""
        if _ACCOUNT_VARIABLE in os.environ:
            return os.environ[_ACCOUNT_VARIABLE], match[2]
        from moto.iam.models import get_account_id_from  # noqa: PLC0415 - 0.1 s that only foreign credentials need

        return get_account_id_from(match[1]), match[2]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _body(content: Any) -> bytes:  # noqa: ANN401 - text, bytes or an open file, as botocore was given it
    if content is None:
        return b""
    if isinstance(content, str):
        return content.encode()
    return bytes(content if isinstance(content, bytes | bytearray) else content.read())


def _no_network(url: str) -> Problem:
    return Problem(
        "E545",
        url,
        "the local account lets no request leave this process",
        "Make clients with account.session() or account.client(), without an endpoint URL.",
    )
