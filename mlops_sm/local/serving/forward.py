"""The program of a server that is a program of the user's: starts its ``serve``, hands requests on over HTTP.

Copied into the job beside `program`; imports nothing of this package. The container contract is AWS's: ``serve``
listens on port 8080, GET /ping says that it is healthy, POST /invocations answers ("Custom Inference Code with Hosting
Services" and "... with Batch Transform"). The job has a network of its own, so that the port is always free.
"""

from __future__ import annotations

import http.client
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any, Final

_PORT: Final = 8080
_OWNER: Final = "/opt/mlops-sm/serving.sock"
_PING_SECONDS: Final = 2.0
"""A container has two seconds to answer a ping (the same page)."""
_BETWEEN_PINGS: Final = 0.05
_OK: Final = 200
_BAD_GATEWAY: Final = 502
_OWN: Final = "x-amzn-sagemaker-"
"""How headers of a response start that the service hands on."""
_PART: Final = 64 * 1024


def main(workers: int, *serve: str) -> int:
    """Run the user's program until it ends; so many requests are handed on at once."""
    environment = {**os.environ, "SAGEMAKER_BIND_TO_PORT": str(_PORT)}
    process = subprocess.Popen(serve, env=environment)  # noqa: S603 - running it is the purpose
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    threading.Thread(target=_connect, args=(workers, process), daemon=True).start()
    return process.wait() or 1


def _connect(workers: int, process: subprocess.Popen[bytes]) -> None:
    """Tell the owner that the program is healthy, by connecting to it."""
    while not _is_healthy():
        if process.poll() is not None:
            return
        time.sleep(_BETWEEN_PINGS)
    for _ in range(workers):
        threading.Thread(target=_forward, daemon=True).start()


def _is_healthy() -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", _PORT, timeout=_PING_SECONDS)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == _OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _forward() -> None:
    """Hand on request after request; an owner that gave up waiting for an answer gets another connection."""
    connection = http.client.HTTPConnection("127.0.0.1", _PORT)
    while True:
        with socket.socket(socket.AF_UNIX) as owner:
            owner.connect(_OWNER)
            try:
                _answer(owner, connection)
            except (BrokenPipeError, ConnectionResetError):
                continue
            return


def _answer(owner: socket.socket, connection: http.client.HTTPConnection) -> None:
    # Beside this file in the job.
    wire = importlib.import_module("serve")
    while lengths := wire.receive(owner, wire.LENGTHS.size):
        head_size, body_size = wire.LENGTHS.unpack(lengths)
        head = json.loads(wire.receive(owner, head_size))
        body = wire.receive(owner, body_size)
        try:
            response = _ask(connection, head, body)
            said = {
                "status": response.status,
                "content_type": response.headers.get("Content-Type") or "application/octet-stream",
                "attributes": {
                    name: value for name, value in response.headers.items() if name.lower().startswith(_OWN)
                },
            }
            if head.get("stream"):
                _pass_on(owner, said, response, wire)
                continue
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            said = {"status": _BAD_GATEWAY, "content_type": "text/plain", "attributes": {}}
            answer = f"{type(error).__name__}: {error}".encode()
        wire.send(owner, {**said, "more": False} if head.get("stream") else said, answer)


def _pass_on(owner: socket.socket, said: dict[str, Any], response: http.client.HTTPResponse, wire: Any) -> None:  # noqa: ANN401 - the module beside this one
    """Hand the parts of a response on as they come."""
    broken = False
    try:
        while part := response.read1(_PART):
            wire.send(owner, {**said, "more": True}, part)
    except http.client.HTTPException:
        broken = True
    wire.send(owner, {**said, "more": False, "broken": broken}, b"")


def _ask(connection: http.client.HTTPConnection, head: dict[str, Any], body: bytes) -> http.client.HTTPResponse:
    headers = {"Content-Type": head.get("content_type"), "Accept": head.get("accept"), **head["attributes"]}
    given = {name: value for name, value in headers.items() if value is not None}
    for left in (1, 0):
        try:
            if "path" in head:
                connection.request("GET", head["path"], headers=given)
            else:
                connection.request("POST", "/invocations", body, given)
            response = connection.getresponse()
            break
        except (ConnectionError, http.client.RemoteDisconnected):
            # A connection that was kept open may have been closed at the other end meanwhile.
            connection.close()
            if not left:
                raise
    return response


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), *sys.argv[2:]))
