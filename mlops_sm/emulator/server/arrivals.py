"""What an HTTP request is about: service, operation, account and region, as botocore's events would have told them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import SplitResult, parse_qs

from mlops_sm.checks.service import service_model
from mlops_sm.emulator.accounts import account_of, credential
from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.server.doors import is_loopback
from mlops_sm.emulator.server.routes import rest_operation
from mlops_sm.emulator.service_names import SAGEMAKER, folders, known_folders, service_id

_CBOR_PATH: Final = re.compile(r"/service/([^/]+)/operation/([^/]+)")
_FORM: Final = "application/x-www-form-urlencoded"
_S3_CONTROL_PATH: Final = "/v20180820/"
_UNSIGNED_TARGETS: Final[Mapping[str, str]] = {
    "SageMaker": "sagemaker",
    "AWSCognitoIdentityService": "cognito-identity",
    "AWSCognitoIdentityProviderService": "cognito-idp",
}
"""Folders by the first part of X-Amz-Target, for requests that are not signed."""
_UNSIGNED_ACTIONS: Final = frozenset({"AssumeRoleWithSAML", "AssumeRoleWithWebIdentity"})
_KEYED_OPERATIONS: Final[Mapping[str, frozenset[str]]] = {
    "sagemaker-runtime": frozenset({"InvokeEndpoint", "InvokeEndpointAsync", "InvokeEndpointWithResponseStream"}),
    "sagemaker-metrics": frozenset({"BatchPutMetrics"}),
}
"""Operations by folder whose paths could be those of objects, but hardly are."""
_PORT: Final = re.compile(r"(.*?)((?::\d+)?)", re.DOTALL)
_VIRTUAL_HOST: Final = re.compile(
    r"(?P<bucket>[a-z0-9][a-z0-9.\-_]*?)"
    r"\.(?:s3[a-z0-9.\-]*\.)?(?P<host>127\.0\.0\.1|localhost|s3[a-z0-9.\-]*\.amazonaws\.com)"
)
_S3_HOST: Final = re.compile(r"s3[a-z0-9.\-]*\.(?:localhost|127\.0\.0\.1|amazonaws\.com)")
"""A host that has S3's own name in front, and no bucket."""


def arrival_of(method: str, path: str, headers: Mapping[str, str], read: Callable[[], bytes], *, home: str) -> Arrival:
    """A request as the account's front wants it.

    Args:
        method: HTTP method.
        path: The path of its URL as it was sent, with the query; of S3 with the bucket in front, see `path_style`.
        headers: Its headers by lower-case name.
        read: Its body.
        home: The account of keys that nobody gave out.
    """
    place, _, query = path.partition("?")
    signed = credential(headers, query)
    folder, operation = _meant(method, (place, query), headers, read, signed.service)
    return Arrival(
        service=service_id(folder),
        operation=operation,
        account=account_of(signed.key, home),
        region=signed.region,
        method=method,
        path=path,
        headers=headers,
        read=read,
    )


def needs_signature(arrival: Arrival) -> bool:
    """Whether AWS does not even look at a request that nobody signed."""
    match arrival.service:
        case "s3" | "cognito-identity" | "cognito-identity-provider":
            return False
        case "sts":
            return arrival.operation not in _UNSIGNED_ACTIONS
        case _:
            return True


def target_of(url: SplitResult) -> str:
    """The path of a URL with the query, as it stands in a request's first line."""
    path = url.path or "/"
    return f"{path}?{url.query}" if url.query else path


def path_style(host: str, path: str) -> tuple[str, str]:
    """Host and path with a bucket that the host names moved to the path; as they are when it names none.

    Args:
        host: The Host header, perhaps with a port.
        path: The path of a request, with the query.
    """
    name, port = _PORT.fullmatch(host.lower()).groups()  # type: ignore[union-attr] # it fits every text
    found = _VIRTUAL_HOST.fullmatch(name)
    if found is None or _S3_HOST.fullmatch(name) or is_loopback(name):
        return host, path
    return found["host"] + port, f"/{found['bucket']}{path}"


def _meant(
    method: str, place: tuple[str, str], headers: Mapping[str, str], read: Callable[[], bytes], signing_name: str
) -> tuple[str, str]:
    """The folder of the service's model, and the operation; empty when the service has none like that."""
    path, query = place
    cbor = _CBOR_PATH.fullmatch(path)
    if cbor is not None and "smithy-protocol" in headers:
        return folders(signing_name)[0], cbor[2]
    prefix, _, target = headers.get("x-amz-target", "").rpartition(".")
    if "x-amz-target" in headers:
        return _targeted(prefix, target, signing_name)
    action, version = ("", "") if signing_name == "s3" else _action(method, headers, query, read)
    if not signing_name:
        return ("sts", action) if action else _unsigned(method, path, query, headers)
    candidates = folders(signing_name)
    if action:
        return _speaking_query(candidates, action, version), action
    if path.startswith(_S3_CONTROL_PATH) and "s3control" in candidates:
        candidates = ("s3control",)
    for folder in _known(candidates):
        if _is_rest(folder):
            operation = rest_operation(folder, method, path, query, headers)
            if operation:
                return folder, operation
    return candidates[0], ""


def _targeted(prefix: str, target: str, signing_name: str) -> tuple[str, str]:
    """Folder and operation of an X-Amz-Target; without operation when the prefix is none of the service's."""
    if not signing_name:
        return _UNSIGNED_TARGETS.get(prefix, prefix.lower()), target
    candidates = folders(signing_name)
    fitting = [folder for folder in _known(candidates) if service_model(folder).metadata.get("targetPrefix") == prefix]
    if fitting:
        # Some services share even that.
        named = [folder for folder in fitting if target in service_model(folder).operation_names]
        return (named or fitting)[0], target
    return candidates[0], "" if signing_name == SAGEMAKER else target


def _unsigned(method: str, path: str, query: str, headers: Mapping[str, str]) -> tuple[str, str]:
    """Only S3 has anything to say to somebody who does not say who he is; SageMaker's own paths are told from keys."""
    for folder, keyed in _KEYED_OPERATIONS.items():
        operation = rest_operation(folder, method, path, query, headers)
        if operation in keyed:
            return folder, operation
    return "s3", rest_operation("s3", method, path, query, headers)


def _speaking_query(candidates: tuple[str, ...], action: str, version: str) -> str:
    known = _known(candidates)
    dated = [folder for folder in known if service_model(folder).metadata["apiVersion"] == version]
    named = [folder for folder in dated or known if action in service_model(folder).operation_names]
    speaking = [folder for folder in known if service_model(folder).metadata["protocol"] in {"query", "ec2"}]
    return next(iter([*named, *speaking, *candidates]))


def _known(candidates: tuple[str, ...]) -> list[str]:
    return [folder for folder in candidates if folder in known_folders()]


def _is_rest(folder: str) -> bool:
    return str(service_model(folder).metadata["protocol"]).startswith("rest-")


def _action(method: str, headers: Mapping[str, str], query: str, read: Callable[[], bytes]) -> tuple[str, str]:
    """The parameters Action and Version of the query protocol."""
    sent = query
    if "Action=" not in query and method == "POST" and headers.get("content-type", "").startswith(_FORM):
        sent = read().decode("latin-1")
    if "Action=" not in sent:
        return "", ""
    given = parse_qs(sent)
    return given.get("Action", [""])[0], given.get("Version", [""])[0]
