"""Who may come in: on loopback only programs of this machine, not a web page that a browser on it shows.

A page may send requests to loopback, under its own name (then Origin tells) or, when its name was made to lead here,
under one that looks like ours (then Host tells). What can start jobs must not listen to either.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

_OF_THIS_MACHINE: Final = re.compile(
    r"(?:.+\.)?(?:localhost|127\.0\.0\.1|localhost\.localstack\.cloud)|host\.docker\.internal"
    r"|(?:.+\.)?s3[a-z0-9.\-]*\.amazonaws\.com"
)
"""Names that no stranger can make lead anywhere; with a bucket in front for S3."""


def stranger(headers: Mapping[str, str], *, exposed: bool) -> str | None:
    """What is wrong with a request that a browser may have been tricked into sending; None when nothing is.

    Args:
        headers: Its headers by lower-case name.
        exposed: Whether the server was told to listen to other machines, which call it by any name.
    """
    host = headers.get("host", "")
    if not exposed and host and not is_local(host):
        return f"the Host header names {host}, which is not this machine"
    origin = headers.get("origin")
    if origin is not None:
        asking = _asking(origin)
        if not is_local(asking) and not (exposed and asking == host):
            return f"it comes from a web page of {origin}"
    return None


def _asking(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        # No page has such an origin.
        return ""


@lru_cache(maxsize=256)
def is_local(host: str) -> bool:
    """Whether a host, perhaps with a port, can only be this machine."""
    name = re.sub(r":\d+$", "", host.lower()).strip("[]")
    return is_loopback(name) or _OF_THIS_MACHINE.fullmatch(name) is not None


def is_loopback(host: str) -> bool:
    """Whether it is an address of the loopback interface, or its name."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
