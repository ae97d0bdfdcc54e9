"""Requests to HTTP endpoints, on this machine only: subscriptions of SNS and API destinations of EventBridge."""

from __future__ import annotations

import http.client
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from mlops_sm.emulator.events.delivery import UndeliveredError
from mlops_sm.emulator.events.letters import Post
from mlops_sm.emulator.server.doors import is_loopback

_TIMEOUT: Final = 5.0
"""Seconds; "client execution timeout of 5 seconds" of API destinations."""
_AGAIN: Final = frozenset({401, 407, 409, 429})
"""Statuses, beside the server's errors, after which an API destination is tried again ("API destinations")."""


class _NoRedirect(HTTPRedirectHandler):
    """What is called is on this machine; where it would lead may not be."""

    def redirect_request(self, *_arguments: object) -> None:
        """Follow nothing."""


_OPENER: Final = build_opener(ProxyHandler({}), _NoRedirect())


def leads_here(url: str) -> bool:
    """Whether it is a URL of HTTP that leads to this machine."""
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and is_loopback(parts.hostname or "")
    except ValueError:
        return False


def post(letter: Post) -> None:
    """Send a request.

    Raises:
        UndeliveredError: Its URL leads elsewhere, nobody answers, or the answer is an error.
    """
    if not leads_here(letter.url):
        raise UndeliveredError(
            "INVALID_PARAMETER", f"{letter.url}: the local account calls HTTP endpoints on this machine only."
        )
    request = Request(  # noqa: S310 - only http(s) to loopback gets here
        letter.url, data=letter.payload.encode(), headers=dict(letter.headers), method=letter.method
    )
    try:
        with _OPENER.open(request, timeout=_TIMEOUT):
            return
    except HTTPError as error:
        with error:
            again = error.code >= http.HTTPStatus.INTERNAL_SERVER_ERROR or error.code in _AGAIN
            raise UndeliveredError("SDK_CLIENT_ERROR", f"{letter.url}: {error}", retry=again) from error
    except (URLError, OSError, http.client.HTTPException) as error:
        raise UndeliveredError("CONNECTION_FAILURE", f"{letter.url}: {error}", retry=True) from error
