"""Which account a request belongs to: its access key says so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qs

from mlops_sm import naming

_CREDENTIAL: Final = re.compile(r"Credential=([^/,\s]+)/\d+/([^/]+)/([^/]+)/aws4_request")
_GIVEN_OUT: Final = re.compile(r"[A-Z0-9]{20}")
"""The form of every key that moto's STS and IAM give out."""
_OURS: Final = re.compile(rf"{naming.LOCAL_KEY_PREFIX}(\d{{12}})")


class Credential(NamedTuple):
    """What a request's signature says; every member is empty when nobody signed."""

    key: str
    region: str
    service: str
    """The name that the service signs with: SageMaker's runtime services all sign as ``sagemaker``."""


def credential(headers: Mapping[str, str], query: str) -> Credential:
    """Who signed a request.

    Args:
        headers: Its headers by lower-case name.
        query: The query of its URL; a presigned URL carries the signature there.
    """
    found = _CREDENTIAL.search(headers.get("authorization", ""))
    if found is None and "X-Amz-Credential=" in query:
        found = _CREDENTIAL.search("Credential=" + parse_qs(query).get("X-Amz-Credential", [""])[0])
    if found is not None:
        return Credential(*found.groups())
    # The older signature of S3's presigned URLs names neither region nor service.
    key = parse_qs(query).get("AWSAccessKeyId", [""])[0] if "AWSAccessKeyId=" in query else ""
    return Credential(key, "", "s3" if key else "")


def account_of(key: str, home: str) -> str:
    """The account whose key it is.

    Args:
        key: An access key: ours, which names its account; one that STS or IAM of the local account gave out; anybody's.
        home: Where every other key leads.
    """
    ours = _OURS.fullmatch(key)
    if ours is not None:
        return ours[1]
    if _GIVEN_OUT.fullmatch(key) is None:
        return home
    from moto.iam.models import iam_backends  # noqa: PLC0415 - 0.1 s that only foreign keys need

    # What the state has of IAM is read when somebody looks up an account.
    accounts = {home: iam_backends[home], **iam_backends}
    for account, partitions in accounts.items():
        if any(key in backend.access_keys for backend in list(partitions.values())):
            return str(account)
    return home
