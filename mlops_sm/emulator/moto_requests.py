"""Requests that moto answers, from botocore in this process and over HTTP alike, with its failures made readable."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any, Final

from botocore.awsrequest import AWSPreparedRequest, HeadersDict
from botocore.exceptions import ClientError
from moto.core.models import botocore_stubber

from mlops_sm.checks.service import service_model
from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.blame import blame
from mlops_sm.emulator.errors import AwsError, UnsavedError
from mlops_sm.emulator.file_parts import FilePart
from mlops_sm.emulator.protocol import Answer
from mlops_sm.emulator.refusals import is_s3, refusal, unavailable
from mlops_sm.emulator.service_names import folder_of, known_folders

_ACCOUNT_HEADER: Final = "x-moto-account-id"
"""moto takes the account from here before it looks at the key."""
_NO_PLACE: Final = "Not yet implemented"
"""What moto says, with status 404, to a URL that none of its services has."""
_CLIENT_ERRORS: Final = 400
_SERVER_ERRORS: Final = 500
_log = logging.getLogger(__name__)


def ask_moto(arrival: Arrival, request: AWSPreparedRequest) -> Answer | None:
    """What moto answers to a request; None when its URL is not one of AWS's.

    What moto does not have, and what it fails at, becomes an error of the request's protocol that names the operation.
    """
    request.headers[_ACCOUNT_HEADER] = arrival.account
    try:
        result = botocore_stubber.process_request(request)
    except NotImplementedError:
        # How moto says that it lacks an operation.
        return refusal(arrival, unavailable(arrival))
    except UnsavedError:
        raise
    except ClientError as error:
        told = error.response["Error"]
        return refusal(arrival, AwsError(told["Code"], told["Message"]))
    except Exception as error:
        blamed = blame(arrival, error)
        if blamed.code == "InternalFailure":
            _log.exception("%s of %s failed inside the local account", arrival.operation, arrival.service)
        return refusal(arrival, blamed)
    if result is None:
        return None
    status, headers, content = result
    body = (
        content.encode() if isinstance(content, str) else content if isinstance(content, FilePart) else bytes(content)
    )
    if status >= _CLIENT_ERRORS and arrival.method != "HEAD" and (not body or _is_page(body) or content == _NO_PLACE):
        return refusal(arrival, _unsaid(arrival, int(status)))
    return Answer(int(status), {name: _text(value) for name, value in headers.items()}, body)


def aws_request(arrival: Arrival, region: str) -> AWSPreparedRequest:
    """A request that came over HTTP as botocore would have sent it to AWS.

    The Host header stays: moto makes URLs of it, for instance of queues, that lead back here.

    Args:
        arrival: The request; of S3 with the bucket in its path.
        region: Of requests that name none.
    """
    url = f"http://{_aws_host(arrival, arrival.region or region)}{arrival.path}"
    return AWSPreparedRequest(arrival.method, url, HeadersDict(arrival.headers), arrival.read(), stream_output=False)


def _aws_host(arrival: Arrival, region: str) -> str:
    folder = folder_of(arrival.service)
    match folder:
        case "budgets":
            return "budgets.amazonaws.com"
        case "dsql" | "s3vectors":
            return f"{folder}.{region}.api.aws"
        case "devops-agent":
            return f"aidevops.{region}.api.aws"
        case "s3control":
            return f"{arrival.headers.get('x-amz-account-id', arrival.account)}.s3-control.{region}.amazonaws.com"
        case "kinesis-video-archived-media":
            return f"archived.kinesisvideo.{region}.amazonaws.com"
        case _ if folder in known_folders():
            return f"{service_model(folder).metadata['endpointPrefix']}.{region}.amazonaws.com"
        case _:
            return f"{folder}.{region}.amazonaws.com"


def _unsaid(arrival: Arrival, status: int) -> AwsError:
    """The error for a status that came without words that a client could read."""
    match status:
        case HTTPStatus.FORBIDDEN:
            return AwsError("AccessDenied", "Access Denied", status)
        case HTTPStatus.NOT_FOUND if not is_s3(arrival):
            return unavailable(arrival)
        case _ if status < _SERVER_ERRORS:
            phrase = HTTPStatus(status).phrase
            return AwsError(phrase.title().replace(" ", ""), phrase, status)
        case _:
            return blame(arrival, RuntimeError(f"HTTP status {status}"))


def _is_page(body: bytes) -> bool:
    return body[:15].lower().startswith((b"<!doctype html", b"<html"))


def _text(value: Any) -> str:  # noqa: ANN401 - moto's headers hold numbers too
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
