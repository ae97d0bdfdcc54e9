"""Inside a function's process: imports the handler, then answers one event after the other until its owner is gone.

A program by itself: it is run by its path and imports nothing of this package, so that a function finds only its own
modules. Its contract is that of AWS's Python runtime: the words of errors, the context object, the format of logs
("Lambda function handler in Python" and "Lambda function errors in Python" of the Lambda developer guide).

On the control socket the owner sends a length and a JSON request, the process a length and a JSON answer; the first
answer, without a request, says that the handler is imported. What is printed goes to stdout, which the owner reads.
"""

from __future__ import annotations

import base64
import decimal
import importlib
import json
import logging
import os
import resource
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NoReturn

_LENGTH = struct.Struct("!I")
_OWN_FRAMES = __file__
_KILLED = 137

Handler = Callable[[Any, Any], Any]


class LambdaContext:
    """What a handler gets beside the event."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.aws_request_id: str = request["requestId"]
        self.invoked_function_arn: str = request["arn"]
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.identity = SimpleNamespace(cognito_identity_id=None, cognito_identity_pool_id=None)
        self.client_context = _client_context(request.get("clientContext"))
        self._deadline = time.monotonic() + request["seconds"]

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function is ended."""
        left: float = self._deadline - time.monotonic()
        return max(0, round(left * 1000))

    def log(self, message: object) -> None:
        """Print without a line's end."""
        sys.stdout.write(str(message))


class HandlerError(Exception):
    """The handler cannot be found.

    Attributes:
        kind: AWS's name for it, e.g. ``Runtime.ImportModuleError``.
    """

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


def main(control: int, life: int) -> NoReturn:
    """Serve until the owner closes the control socket.

    Args:
        control: Descriptor of the socket.
        life: Read end of a pipe whose write end only the owner holds.
    """
    threading.Thread(target=_end_with, args=(life,), daemon=True).start()
    connection = socket.socket(fileno=control)
    request_id = [""]
    _set_up_logging(request_id)
    sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
    sys.argv = [os.environ["_HANDLER"]]
    handler: Handler | None = None
    failure: dict[str, Any] | None = None
    try:
        handler = find_handler(os.environ["_HANDLER"])
    except Exception as error:
        failure = _failure(error, "")
    sys.stdout.flush()
    sys.stderr.flush()
    _send(connection, {"ready": failure is None})
    while True:
        request = _receive(connection)
        if request is None:
            os._exit(0)
        request_id[0] = request["requestId"]
        answer = _answer(handler, failure, request)
        sys.stdout.flush()
        sys.stderr.flush()
        _send(connection, {**answer, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024})


def find_handler(name: str) -> Handler:
    """The function that ``module.function`` names; the module may be in packages, written with slashes or dots.

    Raises:
        HandlerError: There is none.
    """
    module_name, dot, function_name = name.rpartition(".")
    if not dot:
        raise HandlerError(
            "Runtime.MalformedHandlerName", f"Bad handler '{name}': not enough values to unpack (expected 2, got 1)"
        )
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        raise HandlerError("Runtime.ImportModuleError", f"Unable to import module '{module_name}': {error}") from error
    except SyntaxError as error:
        raise HandlerError("Runtime.UserCodeSyntaxError", f"Syntax error in module '{module_name}': {error}") from error
    try:
        found: Handler = getattr(module, function_name)
    except AttributeError as error:
        raise HandlerError(
            "Runtime.HandlerNotFound", f"Handler '{function_name}' missing on module '{module_name}'"
        ) from error
    return found


def _answer(handler: Handler | None, failure: dict[str, Any] | None, request: dict[str, Any]) -> dict[str, Any]:
    if handler is None:
        shown = {**(failure or {}), "requestId": request["requestId"]}
    else:
        try:
            return {"error": False, "payload": _handled(handler, request)}
        except Exception as error:
            shown = _failure(error, request["requestId"])
    _print_failure(shown)
    return {"error": True, "payload": json.dumps(shown)}


def _handled(handler: Handler, request: dict[str, Any]) -> str:
    result = handler(json.loads(request["payload"]), LambdaContext(request))
    try:
        return json.dumps(result, ensure_ascii=False, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise HandlerError("Runtime.MarshalError", f"Unable to marshal response: {error}") from error


def _plain(value: object) -> float:
    if isinstance(value, decimal.Decimal):
        return float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _failure(error: Exception, request_id: str) -> dict[str, Any]:
    """What the caller is told of an exception."""
    shown: dict[str, Any] = {
        "errorMessage": str(error),
        "errorType": error.kind if isinstance(error, HandlerError) else type(error).__name__,
        "requestId": request_id,
        "stackTrace": [],
    }
    if not isinstance(error, HandlerError):
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_the_functions(frame.filename)]
        shown["stackTrace"] = traceback.format_list(frames)
    return shown


def _is_the_functions(file: str) -> bool:
    return (
        file != _OWN_FRAMES and not file.startswith("<frozen importlib") and os.sep + "importlib" + os.sep not in file
    )


def _print_failure(shown: dict[str, Any]) -> None:
    lines = [f"[ERROR] {shown['errorType']}: {shown['errorMessage']}"]
    if shown["stackTrace"]:
        lines += ["Traceback (most recent call last):", *(line.rstrip("\n") for line in shown["stackTrace"])]
    sys.stdout.write("\n".join(lines) + "\n")


def _set_up_logging(request_id: list[str]) -> None:
    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            sys.stdout.write(self.format(record) + "\n")

    class WithRequest(logging.Formatter):
        converter = staticmethod(time.gmtime)

        def format(self, record: logging.LogRecord) -> str:
            record.aws_request_id = request_id[0]
            return super().format(record)

    handler = Handler()
    handler.setFormatter(
        WithRequest("[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s", "%Y-%m-%dT%H:%M:%S")
    )
    logging.getLogger().addHandler(handler)


def _client_context(encoded: str | None) -> SimpleNamespace | None:
    if not encoded:
        return None
    try:
        given = json.loads(base64.b64decode(encoded))
    except ValueError:
        return None
    return SimpleNamespace(client=given.get("client"), custom=given.get("custom"), env=given.get("env"))


def _end_with(life: int) -> None:
    """End the process, and what it started, when its owner is gone."""
    while os.read(life, 1):
        continue
    os.killpg(0, 9)
    os._exit(_KILLED)


def _receive(connection: socket.socket) -> dict[str, Any] | None:
    head = _read(connection, _LENGTH.size)
    if head is None:
        return None
    body = _read(connection, _LENGTH.unpack(head)[0])
    return None if body is None else json.loads(body)


def _read(connection: socket.socket, size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(min(size - len(parts), 1 << 20))
        if not part:
            return None
        parts += part
    return bytes(parts)


def _send(connection: socket.socket, answer: dict[str, Any]) -> None:
    body = json.dumps(answer).encode()
    connection.sendall(_LENGTH.pack(len(body)) + body)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
