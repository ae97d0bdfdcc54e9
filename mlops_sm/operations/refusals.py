"""What AWS says when it refuses, in one line and with a way out. The only place that knows botocore's exceptions."""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar, cast

from botocore import exceptions as botocore

from mlops_sm.errors import Problem, RefusedError

_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
_INVALID_CREDENTIALS: Final = frozenset(
    {
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "AuthFailure",
    }
)
_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403", "NotAuthorized"})
_THROTTLED: Final = frozenset(
    {"Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown"}
)
_NOT_FOUND: Final = frozenset(
    {
        "404",
        "NoSuchKey",
        "NoSuchEntity",
        "NotFound",
        "ResourceNotFound",
        "ResourceNotFoundException",
        "ValidationException",
    }
)
_NOT_FOUND_TEXT: Final = re.compile(r"could not find|does not exist|not exist|cannot find", re.IGNORECASE)
_NO_SPACE: Final = "InsufficientStorage"
"""Only the local account answers so: its disk is full."""
_ACTIONS: Final = {
    # operations whose IAM action has another name; a HEAD on a missing object needs ListBucket to be answered with 404
    "s3:HeadObject": "s3:GetObject and s3:ListBucket",
    "s3:ListObjectsV2": "s3:ListBucket",
}
_Client = TypeVar("_Client")


class AwsError(RefusedError):
    """AWS refused one call.

    Attributes:
        operation: For example ``sagemaker:CreatePipeline``.
        code: AWS's error code, or the name of botocore's exception when there was no answer.
        passing: Whether the same call may succeed a moment later.
    """

    def __init__(
        self, problem: Problem, *, operation: str, code: str, message: str = "", passing: bool = False
    ) -> None:
        self.operation = operation
        self.code = code
        self.message = message
        self.passing = passing
        super().__init__(problem)

    @property
    def is_not_found(self) -> bool:
        """Whether AWS said that the thing asked for is not there."""
        if self.code == "ValidationException":
            # several SageMaker operations answer so for a name that nobody has
            return _NOT_FOUND_TEXT.search(self.message) is not None
        return self.code in _NOT_FOUND


def translated(client: _Client, service: str) -> _Client:
    """A client that raises `AwsError` where the given one raises what botocore raises."""
    return cast("_Client", _Translated(client, service))


class _Translated:
    def __init__(self, client: object, service: str) -> None:
        self._client = client
        self._service = service

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - stands for any method of any client
        method = getattr(self._client, name)

        def call(*args: object, **request: object) -> object:
            try:
                return method(*args, **request)
            except (botocore.ClientError, botocore.BotoCoreError) as err:
                raise translate(err, f"{self._service}:{_operation(name)}") from err

        return call


def _operation(method: str) -> str:
    return "".join(part.capitalize() for part in method.split("_"))


def translate(err: botocore.ClientError | botocore.BotoCoreError, operation: str) -> AwsError:
    """A botocore exception as ours; the caller raises it `from` the original."""
    if isinstance(err, botocore.ClientError):
        return _answered(err, operation)
    return _unanswered(err, operation)


def _answered(err: botocore.ClientError, operation: str) -> AwsError:
    error = err.response.get("Error", {})
    code, message = str(error.get("Code", "")), str(error.get("Message", "")).strip()
    service = operation.partition(":")[0]
    operation = f"{service}:{err.operation_name}"

    def refusal(number: str, what: str, fix: str, *, passing: bool = False) -> AwsError:
        problem = Problem(number, operation, what, fix)
        return AwsError(problem, operation=operation, code=code, message=message, passing=passing)

    if code in _EXPIRED:
        return refusal("E521", "the AWS credentials have expired", "Sign in again, for example: aws sso login")
    if code in _INVALID_CREDENTIALS:
        fix = "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the environment's profile."
        return refusal("E521", f"AWS does not accept the credentials ({code})", fix)
    if code in _DENIED:
        named = re.search(r"not authorized to perform: ([\w:*\-]+)", message)
        action = named[1] if named else _ACTIONS.get(operation, operation)
        what = f"AWS denied {operation}" + (f": {message}" if message and message != "Forbidden" else "")
        return refusal("E522", what, f"Allow {action} for the role or user whose credentials are used.")
    if code in _THROTTLED:
        fix = "Wait a minute and run the command again; nothing that was done is lost."
        return refusal("E523", f"AWS is throttling {operation} ({code})", fix, passing=True)
    if code == "NoSuchBucket":
        bucket = str(error.get("BucketName", "")) or "named by the environment"
        fix = "Provision the environment's buckets, or give the bucket in [tool.mlops_sm.environments]."
        return refusal("E528", f"the bucket {bucket} does not exist", fix)
    if code == _NO_SPACE:
        return refusal("E530", message, "Free some space, or name another folder with --state DIR.")
    passing = code in {"InternalFailure", "InternalError", "ServiceUnavailable", "InternalServerError", "500", "503"}
    request = str(err.response.get("ResponseMetadata", {}).get("RequestId", ""))
    fix = "Correct what AWS names." if not passing else "Run the command again; AWS had an internal failure."
    fix += f" AWS's request id: {request}" if request else ""
    return refusal("E527", f"AWS refused {operation} ({code}): {message}", fix, passing=passing)


def _unanswered(err: botocore.BotoCoreError, operation: str) -> AwsError:
    code = type(err).__name__
    text = " ".join(str(err).split())

    def refusal(number: str, what: str, fix: str, *, passing: bool = False) -> AwsError:
        return AwsError(
            Problem(number, operation, what, fix), operation=operation, code=code, message=text, passing=passing
        )

    match err:
        case botocore.NoCredentialsError() | botocore.PartialCredentialsError():
            fix = "Sign in (aws sso login, aws configure), set AWS_PROFILE, or give profile in the environment."
            return refusal("E520", "there are no AWS credentials here", fix)
        case (
            botocore.SSOTokenLoadError()
            | botocore.UnauthorizedSSOTokenError()
            | botocore.TokenRetrievalError()
            | botocore.CredentialRetrievalError()
        ):
            return refusal("E521", f"the AWS credentials have expired: {text}", "Sign in again: aws sso login")
        case botocore.ProfileNotFound():
            fix = "Correct profile in the environment, or AWS_PROFILE; aws configure list-profiles lists them."
            return refusal("E526", text, fix)
        case botocore.HTTPClientError() | botocore.ConnectionError():
            fix = "Check the network, the proxy and the environment's region."
            return refusal("E524", f"AWS cannot be reached: {text}", fix, passing=True)
        case botocore.ParamValidationError():
            return refusal("E527", f"the request for {operation} is malformed: {text}", "Correct what is named.")
        case _:
            return refusal("E527", f"{operation} failed: {text}", "Correct what is named.")
