"""One process of a function and one call of it: event in, answer, log and time limit out."""

from __future__ import annotations

import json
import os
import select
import signal
import site
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.local.functions_code import unpacked

MAX_ANSWER_BYTES: Final = 6_291_556
"""Of a function's answer ("Lambda quotas": 6 MB)."""
_INIT_SECONDS: Final = 10.0
"""For importing the handler, before its Timeout begins ("Lambda execution environment lifecycle")."""
_LAST_SECONDS: Final = 1.0
_LENGTH: Final = struct.Struct("!I")
_MAX_LOG: Final = 8 << 20
_RUNTIME: Final = Path(__file__).with_name("functions_runtime.py")
_SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One version of a function.

    Attributes:
        name: Its name.
        arn: Its ARN as it was called, with version or alias.
        version: ``$LATEST`` or a number.
        handler: ``module.function``.
        runtime: E.g. ``python3.12``; only shown.
        code: Its zip archive.
        layers: Archives of its layers, the first one first.
        variables: Its own environment variables.
        timeout: Seconds.
        memory: MB; only shown.
        account: Whose it is.
        region: Where it is.
        endpoint_url: Where its AWS calls go; None leaves it without endpoint and credentials.
        access_key: What they are signed with.
    """

    name: str
    arn: str
    version: str
    handler: str
    runtime: str
    code: bytes
    layers: tuple[bytes, ...] = ()
    variables: Mapping[str, str]
    timeout: float
    memory: int
    account: str
    region: str
    endpoint_url: str | None
    access_key: str


@dataclass(frozen=True, slots=True)
class Called:
    """How a call ended.

    Attributes:
        payload: What the caller gets: JSON text.
        failed: Whether the function failed; the payload then says how.
        log: What was printed, with the lines that Lambda adds.
        stream: The log stream of the process that ran it.
        lost: Whether it was ended by `Functions.close`, not by itself.
    """

    payload: str
    failed: bool
    log: str
    stream: str
    lost: bool = False


class FunctionProcess:
    """One process of a function, its control socket and its output."""

    def __init__(self, folder: Path, function: Function) -> None:
        task = unpacked(function.code, folder / "code")
        layers = [unpacked(layer, folder / "code") for layer in function.layers]
        now = datetime.now(UTC)
        # As Lambda names its streams: the day, the version, 32 characters of the environment's own.
        self.stream = f"{now:%Y/%m/%d}/[{function.version}]{os.urandom(16).hex()}"
        self.lost = False
        self.ready = False
        self.usable = False
        self._killed = False
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        self._scratch = tempfile.TemporaryDirectory(dir=folder / "tmp")
        environment = _environment(function, task, layers, scratch=Path(self._scratch.name), stream=self.stream)
        self._life, self._life_end = os.pipe()
        self.output, output_end = os.pipe()
        os.set_blocking(self.output, False)
        self.control, theirs = socket.socketpair()
        try:
            with theirs:
                self._child = subprocess.Popen(  # noqa: S603 - the user's own function
                    [sys.executable, "-P", _RUNTIME, str(theirs.fileno()), str(self._life)],
                    stdin=subprocess.DEVNULL,
                    stdout=output_end,
                    stderr=output_end,
                    pass_fds=(theirs.fileno(), self._life),
                    env=environment,
                    cwd=task,
                    start_new_session=True,
                )
        except BaseException:
            self._let_go()
            raise
        finally:
            os.close(output_end)
            os.close(self._life)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._child.poll() is None

    def exit_text(self) -> str:
        """How it ended, in the words of Lambda."""
        try:
            code = self._child.wait(_LAST_SECONDS)
        except subprocess.TimeoutExpired:
            # It has closed its socket and goes on.
            self.kill()
            code = self._child.wait()
        self.kill()
        if code == 0:
            return "Runtime exited without providing a reason"
        if code < 0:
            words = {signal.SIGKILL: "killed", signal.SIGSEGV: "segmentation fault", signal.SIGABRT: "aborted"}
            return f"Runtime exited with error: signal: {words.get(signal.Signals(-code), str(-code))}"
        return f"Runtime exited with error: exit status {code}"

    def kill(self) -> None:
        """End it and what it started."""
        # Once: its number may be another's later.
        if not self._killed:
            self._killed = True
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()

    def lose(self) -> None:
        """End it while somebody waits for it."""
        self.lost = True
        self.kill()

    def end(self) -> None:
        """End it and let go of everything."""
        self.kill()
        self._let_go()

    def _let_go(self) -> None:
        self.control.close()
        os.close(self.output)
        os.close(self._life_end)
        self._scratch.cleanup()


class Call:
    """One call: sends the event, collects the output, waits for the answer or the time limit."""

    def __init__(self, function: Function, process: FunctionProcess, request_id: str, *, cold: bool) -> None:
        self._function = function
        self._process = process
        self._request_id = request_id
        self._cold = cold
        self._log = bytearray()
        self._received = bytearray()
        self._init_seconds = 0.0

    def run(self, payload: str, context: str | None) -> Called:
        """Call it and wait for the end."""
        function, process = self._function, self._process
        process.usable = False
        limit = function.timeout
        if self._cold:
            began = time.monotonic()
            process.ready = self._answer(began + _INIT_SECONDS + limit) is not None
            self._init_seconds = time.monotonic() - began
        printed_before = len(self._log)
        began = time.monotonic()
        answer: dict[str, Json] | None = None
        if process.ready:
            self._send(
                {
                    "requestId": self._request_id,
                    "arn": function.arn,
                    "seconds": limit,
                    "clientContext": context,
                    "payload": payload,
                }
            )
            answer = self._answer(began + limit)
        seconds = time.monotonic() - began
        timed_out = answer is None and process.alive
        failed, text = self._outcome(answer, timed_out=timed_out)
        process.usable = answer is not None
        log = self._whole_log(printed_before, limit if timed_out else seconds, answer, text if answer is None else "")
        return Called(text, failed, log, process.stream, lost=process.lost)

    def _outcome(self, answer: dict[str, Json] | None, *, timed_out: bool) -> tuple[bool, str]:
        if answer is not None:
            text = str(answer["payload"])
            if len(text.encode("utf-8", "surrogatepass")) > MAX_ANSWER_BYTES:
                return True, _error(
                    "Function.ResponseSizeTooLarge",
                    f"Response payload size exceeded maximum allowed payload size ({MAX_ANSWER_BYTES} bytes).",
                )
            return bool(answer["error"]), text
        if timed_out:
            self._process.kill()
            self._drain()
            message = f"RequestId: {self._request_id} Error: Task timed out after {self._function.timeout:.2f} seconds"
            return True, _error("Sandbox.Timedout", message)
        self._drain()
        return True, _error("Runtime.ExitError", f"RequestId: {self._request_id} Error: {self._process.exit_text()}")

    def _whole_log(self, init: int, seconds: float, answer: dict[str, Json] | None, failure: str) -> str:
        function, request = self._function, self._request_id
        printed = self._log.decode(errors="replace")
        before, during = printed[:init], printed[init:]
        if during and not during.endswith("\n"):
            during += "\n"
        if failure:
            during += (
                f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3]
                + f"Z {request} {json.loads(failure)['errorMessage']}\n"
            )
        milliseconds = seconds * 1000
        used = (answer or {}).get("memory", function.memory)
        report = (
            f"REPORT RequestId: {request}\tDuration: {milliseconds:.2f} ms\t"
            f"Billed Duration: {int(milliseconds) + 1} ms\t"
            f"Memory Size: {function.memory} MB\tMax Memory Used: {used} MB\t"
        )
        if self._cold:
            report += f"Init Duration: {self._init_seconds * 1000:.2f} ms\t"
        start = f"START RequestId: {request} Version: {function.version}"
        return f"{before}{start}\n{during}END RequestId: {request}\n{report}\n"

    def _send(self, request: dict[str, Json]) -> None:
        body = json.dumps(request).encode()
        # Its end, if it has ended, is noticed when its answer is awaited.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._process.control.sendall(_LENGTH.pack(len(body)) + body)

    def _answer(self, deadline: float) -> dict[str, Json] | None:
        """The next answer; None when time is up or the process is gone."""
        process = self._process
        poll = select.poll()
        poll.register(process.control, select.POLLIN)
        poll.register(process.output, select.POLLIN)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            ready = dict(poll.poll(left * 1000))
            if process.output in ready and not self._drain():
                poll.unregister(process.output)
            if process.control.fileno() in ready:
                part = b""
                with suppress(ConnectionResetError):
                    part = process.control.recv(1 << 20)
                if not part:
                    process.exit_text()
                    return None
                self._received += part
                answer = self._complete()
                if answer is not None:
                    # Everything that was printed before is in the pipe by now.
                    self._drain()
                    return answer

    def _complete(self) -> dict[str, Json] | None:
        if len(self._received) < _LENGTH.size:
            return None
        end = _LENGTH.size + _LENGTH.unpack(self._received[: _LENGTH.size])[0]
        if len(self._received) < end:
            return None
        answer: dict[str, Json] = json.loads(self._received[_LENGTH.size : end])
        del self._received[:end]
        return answer

    def _drain(self) -> bool:
        """Take what was printed; False when nobody can print any more."""
        while True:
            try:
                part = os.read(self._process.output, 1 << 16)
            except BlockingIOError:
                return True
            if not part:
                return False
            # A function that prints for ever must not fill the owner's memory.
            if len(self._log) < _MAX_LOG:
                self._log += part


def _error(kind: str, message: str) -> str:
    return json.dumps({"errorType": kind, "errorMessage": message})


def _environment(function: Function, task: Path, layers: list[Path], *, scratch: Path, stream: str) -> dict[str, str]:
    """Nothing of the caller's, what Lambda sets, then the function's own variables."""
    paths = [str(task)]
    for layer in layers:
        paths += [str(layer / "python"), *(str(path) for path in layer.glob("python/lib/python3.*/site-packages"))]
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{_SYSTEM_PATH}",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join(paths),
        "LAMBDA_TASK_ROOT": str(task),
        "LAMBDA_RUNTIME_DIR": str(_RUNTIME.parent),
        "_HANDLER": function.handler,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}",
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": function.version,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": stream,
        "AWS_REGION": function.region,
        "AWS_DEFAULT_REGION": function.region,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    if site.ENABLE_USER_SITE and site.getusersitepackages() in sys.path:
        # The caller's packages may be installed for the user only; HOME no longer leads there.
        environment["PYTHONUSERBASE"] = site.getuserbase()
    if function.endpoint_url is not None:
        environment |= {
            "AWS_ENDPOINT_URL": function.endpoint_url,
            "AWS_ACCESS_KEY_ID": function.access_key,
            "AWS_SECRET_ACCESS_KEY": "local",
        }
    return environment | dict(function.variables)
