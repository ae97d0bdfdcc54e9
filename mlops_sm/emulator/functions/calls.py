"""Calls of functions: which version is meant, its run, its log, and what follows an asynchronous call.

Functions are moto's; it keeps their code and configuration and never runs them here.
"""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from mlops_sm import naming
from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.events.delivery import Postponed, UndeliveredError
from mlops_sm.emulator.events.letters import Invocation, Letter, tried
from mlops_sm.emulator.events.targets import ClientOf
from mlops_sm.emulator.functions.results import Result
from mlops_sm.emulator.store import Scope
from mlops_sm.local.functions import Functions
from mlops_sm.local.functions_code import BadCodeError
from mlops_sm.local.functions_process import Called, Function

LATEST: Final = "$LATEST"
_NAME: Final = re.compile(
    r"(?:(?:arn:[^:]+:lambda:(?P<region>[^:]*):)?(?P<account>\d{12}):function:)?"
    r"(?P<name>[a-zA-Z0-9_-]+)(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9_-]+))?"
)
_RETRY_SECONDS: Final = (60.0, 120.0)
"""Between the attempts of an asynchronous call ("Retry behavior" of the Lambda developer guide)."""
_MAX_AGE: Final = 21_600
_LINES: Final = 5_000
_MAX_LINE: Final = 250_000
_log = logging.getLogger(__name__)

MotoFunction = Any
"""A ``moto.awslambda.models.LambdaFunction``."""


class Named(NamedTuple):
    """A function as a request names it."""

    scope: Scope
    name: str
    qualifier: str

    @property
    def arn(self) -> str:
        """Its ARN, with the version or alias that was named."""
        suffix = f":{self.qualifier}" if self.qualifier else ""
        return naming.arn("lambda", self.scope.region, self.scope.account, f"function:{self.name}{suffix}")


class Outcome(NamedTuple):
    """A call's end and the version that ran."""

    called: Called
    version: str


def named(scope: Scope, text: str, qualifier: str) -> Named:
    """The function that a name, a partial ARN or an ARN names, from a request of a scope.

    Raises:
        AwsError: It is neither.
    """
    found = _NAME.fullmatch(text)
    if found is None:
        raise AwsError(
            "ValidationException",
            f"1 validation error detected: Value '{text}' at 'functionName' failed to satisfy constraint: Member must "
            "satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}((-gov)|(-iso(b?)))?-[a-z]+-"
            r"\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?",
        )
    own = found["qualifier"] or ""
    if own and qualifier and own != qualifier:
        raise AwsError("InvalidParameterValueException", "The derived qualifier from the function name does not match.")
    return Named(
        Scope(found["account"] or scope.account, found["region"] or scope.region), found["name"], own or qualifier
    )


class FunctionCalls:
    """Calls functions.

    Args:
        functions: Runs them.
        clients: For their logs.
        endpoint: Where their own AWS calls go; served when it is asked for.
        now: Epoch seconds.
    """

    def __init__(
        self, functions: Functions, clients: ClientOf, endpoint: Callable[[], str], now: Callable[[], float]
    ) -> None:
        self._functions = functions
        self._clients = clients
        self._endpoint = endpoint
        self._now = now
        self._lock = threading.Lock()
        self._in_flight: Counter[str] = Counter()
        self._streams: set[tuple[Scope, str, str]] = set()

    def find(self, which: Named) -> MotoFunction:
        """The version of a function that is meant.

        Raises:
            AwsError: There is none, or it cannot run here.
        """
        from moto.awslambda.exceptions import LambdaClientError  # noqa: PLC0415 - 0.3 s that other requests do without
        from moto.awslambda.utils import get_backend  # noqa: PLC0415 - see above

        backend = get_backend(which.scope.account, which.scope.region)
        try:
            function = backend.get_function(which.name, which.qualifier or None)
            aliases = {alias.name: alias for alias in backend.list_aliases(which.name)} if which.qualifier else {}
            if which.qualifier in aliases:
                function = backend.get_function(which.name, _routed(aliases[which.qualifier]))
        except (LambdaClientError, ValueError) as error:
            raise AwsError("ResourceNotFoundException", f"Function not found: {which.arn}", 404) from error
        if function.package_type != "Zip" or not str(function.run_time).startswith("python"):
            what = "a container image" if function.package_type != "Zip" else f"the runtime {function.run_time}"
            raise AwsError(
                "InvalidParameterValueException",
                f"{which.name} uses {what}. Functions that run in the local account are zip archives for Python.",
            )
        return function

    def call(self, which: Named, payload: str, request_id: str, context: str | None = None) -> Outcome:
        """Call a function and wait for its end; its log is written.

        Raises:
            AwsError: It cannot be called.
        """
        function = self.find(which)
        with self._counted(function):
            try:
                called = self._functions.call(self._runnable(function, which), payload, request_id, context=context)
            except BadCodeError as error:
                raise AwsError("InvalidZipFileException", f"The function's archive cannot be used: {error}") from error
        self._write_log(which, called)
        return Outcome(called, str(function.version))

    def invoke(self, letter: Invocation) -> list[Letter]:
        """Perform an asynchronous call.

        Raises:
            UndeliveredError: The function failed.
        """
        which = Named(letter.scope, letter.function, letter.qualifier)
        try:
            called, version = self.call(which, letter.payload, letter.request_id)
        except AwsError as error:
            again = error.code == "TooManyRequestsException"
            raise UndeliveredError(error.code, error.message, retry=again) from error
        if called.lost:
            raise UndeliveredError("INTERNAL_ERROR", "The account was closed meanwhile.", retry=True)
        if called.failed:
            raise UndeliveredError("Unhandled", called.payload, retry=True)
        result = Result(letter, arn=self._shown(letter), version=version, answer=called.payload)
        return result.reported(self._event_config(letter), self._now())

    def bury(self, letter: Invocation, error: UndeliveredError, now: float) -> Postponed | list[Letter]:
        """Try an asynchronous call again, or report its failure to the function's destination."""
        limits = self._event_config(letter)
        attempts = limits.get("MaximumRetryAttempts", len(_RETRY_SECONDS))
        too_old = now - letter.created >= limits.get("MaximumEventAgeInSeconds", _MAX_AGE)
        if error.retry and letter.attempts < attempts and not too_old:
            return Postponed(tried(letter), _RETRY_SECONDS[min(letter.attempts, len(_RETRY_SECONDS) - 1)])
        failed = error.code == "Unhandled"
        result = Result(
            letter,
            arn=self._shown(letter),
            version=LATEST,
            answer=error.message if failed else "null",
            condition="EventAgeExceeded" if too_old else "RetriesExhausted",
            error="Unhandled" if failed else error.code,
        )
        dead_letters = getattr(self._latest(letter), "dead_letter_config", None) or {}
        return result.dead_letter(dead_letters, error.message, now) + result.reported(limits, now)

    def _shown(self, letter: Invocation) -> str:
        return Named(letter.scope, letter.function, letter.qualifier or LATEST).arn

    def _event_config(self, letter: Invocation) -> dict[str, Json]:
        function = self._latest(letter)
        configs = [] if function is None else function.event_invoke_config
        return dict(configs[0].config) if configs else {}

    def _latest(self, letter: Invocation) -> MotoFunction | None:
        from moto.awslambda.exceptions import LambdaClientError  # noqa: PLC0415 - see find
        from moto.awslambda.utils import get_backend  # noqa: PLC0415 - see find

        try:
            return get_backend(letter.scope.account, letter.scope.region).get_function(letter.function)
        except (LambdaClientError, ValueError):
            return None

    def _runnable(self, function: MotoFunction, which: Named) -> Function:
        return Function(
            name=which.name,
            arn=which.arn,
            version=str(function.version),
            handler=function.handler,
            runtime=function.run_time,
            code=function.code_bytes,
            layers=tuple(_layers(function)),
            variables={name: str(value) for name, value in (function.environment_vars or {}).items()},
            timeout=float(function.timeout),
            memory=int(function.memory_size),
            account=which.scope.account,
            region=which.scope.region,
            endpoint_url=self._endpoint(),
            access_key=naming.local_access_key(which.scope.account),
        )

    @contextmanager
    def _counted(self, function: MotoFunction) -> Iterator[None]:
        """One more call that runs, unless the function's reserved concurrency says no."""
        arn, limit = function.function_arn, function.reserved_concurrency
        with self._lock:
            if limit is not None and self._in_flight[arn] >= int(limit):
                raise AwsError("TooManyRequestsException", "Rate Exceeded.", 429)
            self._in_flight[arn] += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_flight[arn] -= 1

    def _write_log(self, which: Named, called: Called) -> None:
        """Append to the stream of the process; a log that cannot be written does not fail the call."""
        group = f"/aws/lambda/{which.name}"
        # CloudWatch Logs refuses times that are not near the machine's.
        now = round(time.time() * 1000)
        lines = [line[:_MAX_LINE] for line in called.log.splitlines(keepends=True) if line]
        try:
            logs = self._clients(which.scope, "logs")
            self._ensure_stream(logs, which.scope, group, called.stream)
            for start in range(0, len(lines), _LINES):
                logs.put_log_events(
                    logGroupName=group,
                    logStreamName=called.stream,
                    logEvents=[{"timestamp": now, "message": line} for line in lines[start : start + _LINES]],
                )
        except (ClientError, BotoCoreError) as error:
            _log.warning("the log of %s could not be written: %s", which.arn, error)

    def _ensure_stream(self, logs: Any, scope: Scope, group: str, stream: str) -> None:  # noqa: ANN401 - a client
        if (scope, group, stream) in self._streams:
            return
        for create, names in (
            (logs.create_log_group, {"logGroupName": group}),
            (logs.create_log_stream, {"logGroupName": group, "logStreamName": stream}),
        ):
            try:
                create(**names)
            except ClientError as error:
                if error.response["Error"]["Code"] != "ResourceAlreadyExistsException":
                    raise
        self._streams.add((scope, group, stream))


def _routed(alias: Any) -> str:  # noqa: ANN401 - an alias of moto
    """The version that a call of an alias runs: one of those with a weight, or the alias's own."""
    weights = (alias.routing_config or {}).get("AdditionalVersionWeights") or {}
    drawn = random.random()  # noqa: S311 - no secret hangs on it
    for version, weight in weights.items():
        drawn -= float(weight)
        if drawn < 0:
            return str(version)
    return str(alias.function_version)


def _layers(function: MotoFunction) -> Iterator[bytes]:
    if not function.layers:
        return
    from moto.awslambda.utils import get_backend  # noqa: PLC0415 - see find

    backend = get_backend(function.account_id, function.region)
    for layer in function.layers:
        version = backend.layers_versions_by_arn(layer["Arn"])
        if version is not None:
            yield version.code_bytes
