"""A function's own code runs, with AWS's words for everything that can go wrong."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_sm.local.functions import Functions
from mlops_sm.local.functions_code import MAX_UNPACKED_BYTES, BadCodeError, check_code, unpacked
from mlops_sm.local.functions_process import Called, Function

ARN = "arn:aws:lambda:us-east-1:123456789012:function:f"


def zipped(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.py"), text)  # of no time: equal code is equal bytes
    return buffer.getvalue()


def function(code: str | bytes, **members: Any) -> Function:
    known: dict[str, Any] = {
        "name": "f",
        "arn": ARN,
        "version": "$LATEST",
        "handler": "app.handler",
        "runtime": "python3.12",
        "code": zipped(app=code) if isinstance(code, str) else code,
        "variables": {},
        "timeout": 60.0,
        "memory": 128,
        "account": "123456789012",
        "region": "eu-west-1",
        "endpoint_url": None,
        "access_key": "local",
    }
    return Function(**{**known, **members})


@pytest.fixture
def functions(tmp_path: Path) -> Iterator[Functions]:
    running = Functions(tmp_path / "functions")
    yield running
    running.close()


def run(functions: Functions, code: str | bytes, payload: Any = None, **members: Any) -> tuple[Any, Called]:
    called = functions.call(function(code, **members), json.dumps(payload), "request-1")
    return json.loads(called.payload), called


def test_handler_gets_the_event_and_a_context(functions: Functions) -> None:
    code = """
def handler(event, context):
    left = context.get_remaining_time_in_millis()
    return [event, context.function_name, context.function_version, context.invoked_function_arn,
            context.memory_limit_in_mb, context.aws_request_id, context.log_group_name, 0 < left <= 60000]
"""
    answer, called = run(functions, code, {"a": "\u00fc"})
    assert answer == [{"a": "\u00fc"}, "f", "$LATEST", ARN, "128", "request-1", "/aws/lambda/f", True]
    assert not called.failed


def test_its_environment_holds_nothing_of_the_callers(functions: Functions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the caller's")
    monkeypatch.setenv("SECRET", "the caller's")
    code = "import os\ndef handler(event, context):\n    return dict(os.environ)"
    answer, _ = run(functions, code, variables={"OWN": "1", "LANG": "C"}, endpoint_url="http://127.0.0.1:1")
    assert "SECRET" not in answer
    assert "the caller's" not in answer.values()
    assert answer["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
    assert (answer["AWS_REGION"], answer["AWS_LAMBDA_FUNCTION_NAME"]) == ("eu-west-1", "f")
    assert (answer["OWN"], answer["LANG"]) == ("1", "C")


def test_without_an_endpoint_it_has_no_credentials(functions: Functions) -> None:
    code = "import os\ndef handler(event, context):\n    return sorted(os.environ)"
    answer, _ = run(functions, code)
    assert not {"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID"} & set(answer)


def test_log_is_what_was_printed_between_lambdas_own_lines(functions: Functions) -> None:
    code = """
import logging, sys
logging.getLogger().setLevel(logging.INFO)
print("while importing")
def handler(event, context):
    print("printed")
    print("to stderr", file=sys.stderr)
    logging.info("logged")
"""
    _, called = run(functions, code)
    lines = called.log.splitlines()
    assert lines[:4] == ["while importing", "START RequestId: request-1 Version: $LATEST", "printed", "to stderr"]
    assert re.fullmatch(r"\[INFO\]\t\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\trequest-1\tlogged", lines[4])
    assert lines[5] == "END RequestId: request-1"
    assert re.match(
        r"REPORT RequestId: request-1\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\tMemory Size: 128", lines[6]
    )
    assert "Init Duration" in lines[6]


def test_the_next_call_finds_the_process_warm(functions: Functions) -> None:
    code = (
        "import os\ncount = []\ndef handler(event, context):\n    count.append(1)\n    return [os.getpid(), len(count)]"
    )
    first, _ = run(functions, code)
    second, called = run(functions, code)
    assert second == [first[0], 2]
    assert "Init Duration" not in called.log
    other, _ = run(functions, code, variables={"A": "changed"})
    assert other[0] != first[0]
    assert other[1] == 1


def test_calls_at_the_same_time_have_processes_of_their_own(functions: Functions, tmp_path: Path) -> None:
    code = """
import os, pathlib, time
def handler(event, context):
    folder = pathlib.Path(event)
    (folder / str(os.getpid())).touch()
    while len(list(folder.iterdir())) < 2:
        time.sleep(0.01)
    return os.getpid()
"""
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(run(functions, code, str(meeting))[0])) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(answers)) == 2


@pytest.mark.parametrize(
    ("code", "members", "kind", "message"),
    [
        ("def handler(event, context):\n    return undefined", {}, "NameError", "name 'undefined' is not defined"),
        (
            "def handler(event, context):\n    return {1, 2}",
            {},
            "Runtime.MarshalError",
            "Unable to marshal response: Object of type set is not JSON serializable",
        ),
        (
            "import nothing_like_it",
            {},
            "Runtime.ImportModuleError",
            "Unable to import module 'app': No module named 'nothing_like_it'",
        ),
        ("x = 1", {}, "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'app'"),
        (
            "x = 1",
            {"handler": "other.handler"},
            "Runtime.ImportModuleError",
            "Unable to import module 'other': No module named 'other'",
        ),
        (
            "x = 1",
            {"handler": "handler"},
            "Runtime.MalformedHandlerName",
            "Bad handler 'handler': not enough values to unpack (expected 2, got 1)",
        ),
        ("raise ValueError('early')", {}, "ValueError", "early"),
    ],
)
def test_errors_are_told_in_awss_words(functions: Functions, code: str, members: Any, kind: str, message: str) -> None:
    answer, called = run(functions, code, **members)
    assert called.failed
    assert answer["errorType"] == kind
    assert answer["errorMessage"] == message
    assert answer["requestId"] == "request-1"
    assert isinstance(answer["stackTrace"], list)
    assert f"[ERROR] {kind}: {message}" in called.log


def test_a_syntax_error_is_the_users(functions: Functions) -> None:
    answer, _ = run(functions, "def handler(:")
    assert answer["errorType"] == "Runtime.UserCodeSyntaxError"
    assert answer["errorMessage"].startswith("Syntax error in module 'app': ")


def test_the_stack_is_the_functions_own(functions: Functions) -> None:
    answer, _ = run(functions, "def handler(event, context):\n    inner()\ndef inner():\n    raise KeyError('k')")
    assert [line.split(", in ")[1].splitlines()[0] for line in answer["stackTrace"]] == ["handler", "inner"]


def test_a_function_that_takes_too_long_is_ended_with_what_it_started(functions: Functions, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = f"""
import pathlib, subprocess, time
def handler(event, context):
    child = subprocess.Popen(["sleep", "1000"])
    pathlib.Path({str(note)!r}).write_text(str(child.pid))
    time.sleep(1000)
"""
    answer, called = run(functions, code, timeout=2.0)
    assert called.failed
    assert answer == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": "RequestId: request-1 Error: Task timed out after 2.00 seconds",
    }
    assert "Task timed out after 2.00 seconds" in called.log
    status = Path(f"/proc/{note.read_text()}/stat")
    assert not status.exists() or status.read_text().split()[2] in "ZX"
    again, _ = run(functions, "def handler(event, context):\n    return 1")
    assert again == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("os._exit(3)", "Runtime exited with error: exit status 3"),
        ("os._exit(0)", "Runtime exited without providing a reason"),
        ("os.kill(os.getpid(), 9)", "Runtime exited with error: signal: killed"),
    ],
)
def test_a_process_that_ends_is_told(functions: Functions, call: str, words: str) -> None:
    answer, called = run(functions, f"import os\ndef handler(event, context):\n    {call}")
    assert called.failed
    assert answer == {"errorType": "Runtime.ExitError", "errorMessage": f"RequestId: request-1 Error: {words}"}


def test_an_answer_that_is_too_big_is_refused(functions: Functions) -> None:
    answer, called = run(functions, "def handler(event, context):\n    return 'x' * 6_300_000")
    assert called.failed
    assert answer["errorType"] == "Function.ResponseSizeTooLarge"


def test_a_big_event_and_a_big_answer_arrive(functions: Functions) -> None:
    answer, called = run(functions, "def handler(event, context):\n    return event", "x" * 5_000_000)
    assert not called.failed
    assert len(answer) == 5_000_000


def test_much_output_does_not_block_it(functions: Functions) -> None:
    answer, called = run(functions, "def handler(event, context):\n    print('y' * 3_000_000)\n    return 1")
    assert answer == 1
    assert "y" * 3_000_000 in called.log


def test_layers_are_found(functions: Functions) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("python/shared.py", "value = 7")
    answer, _ = run(
        functions, "import shared\ndef handler(event, context):\n    return shared.value", layers=(buffer.getvalue(),)
    )
    assert answer == 7


def test_closing_ends_what_runs(tmp_path: Path) -> None:
    functions = Functions(tmp_path / "functions")
    begun = tmp_path / "begun"
    code = f"""
import pathlib, time
def handler(event, context):
    pathlib.Path({str(begun)!r}).touch()
    time.sleep(1000)
"""
    ended: list[Called] = []
    thread = threading.Thread(target=lambda: ended.append(run(functions, code)[1]))
    thread.start()
    while not begun.exists():
        thread.join(0.01)
    functions.close()
    thread.join()
    assert ended[0].lost


def test_nothing_is_left_when_its_owner_is_killed(tmp_path: Path) -> None:
    """The owner is another process here, so that it can die."""
    note, program = tmp_path / "pid", tmp_path / "owner.py"
    code = f"""
import os, pathlib, time
def handler(event, context):
    pathlib.Path({str(note)!r}).write_text(str(os.getpid()))
    time.sleep(1000)
"""
    program.write_text(
        f"""
import io, pathlib, zipfile
from mlops_sm.local.functions import Functions
from mlops_sm.local.functions_process import Function
buffer = io.BytesIO()
with zipfile.ZipFile(buffer, "w") as archive:
    archive.writestr("app.py", {code!r})
Functions(pathlib.Path({str(tmp_path / "functions")!r})).call(
    Function(name="f", arn="a", version="$LATEST", handler="app.handler", runtime="python3.12", code=buffer.getvalue(),
             variables={{}}, timeout=900.0, memory=128, account="1", region="r", endpoint_url=None, access_key="k"),
    "{{}}", "r")
"""
    )
    owner = subprocess.Popen([sys.executable, str(program)], cwd=Path(__file__).parents[3])
    while not (note.exists() and note.read_text()):
        assert owner.poll() is None
        time.sleep(0.01)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    status = Path(f"/proc/{note.read_text()}/stat")
    for _ in range(3000):
        if not status.exists() or status.read_text().split()[2] in "ZX":
            return
        time.sleep(0.01)
    raise AssertionError("the function outlived its owner")


def archive_of(*members: tuple[str, bytes, int]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"not a zip",
        b"",
        archive_of(("../out.py", b"", stat.S_IFREG | 0o644)),
        archive_of(("/etc/out.py", b"", stat.S_IFREG | 0o644)),
        archive_of(("device", b"", stat.S_IFCHR | 0o644)),
        archive_of(("pipe", b"", stat.S_IFIFO | 0o644)),
    ],
)
def test_archives_that_lead_out_are_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BadCodeError):
        check_code(content)
    with pytest.raises(BadCodeError):
        unpacked(content, tmp_path / "code")
    assert [path.name for path in tmp_path.rglob("*")] == ["code"]


@pytest.mark.parametrize(
    "members",
    [
        (("link", b"/etc", stat.S_IFLNK | 0o777),),
        (("link", b"../..", stat.S_IFLNK | 0o777),),
        (("folder", b".", stat.S_IFLNK | 0o777), ("folder/x", b"../../out", stat.S_IFLNK | 0o777)),
    ],
)
def test_links_that_lead_out_are_refused(tmp_path: Path, members: Any) -> None:
    with pytest.raises(BadCodeError):
        unpacked(archive_of(*members), tmp_path / "code")
    assert [path.name for path in tmp_path.rglob("*")] == ["code"]


def test_links_within_are_kept_and_programs_can_be_executed(tmp_path: Path) -> None:
    folder = unpacked(
        archive_of(
            ("bin/tool", b"#!", stat.S_IFREG | 0o755),
            ("plain", b"x", stat.S_IFREG | 0o644),
            ("link", b"bin/tool", stat.S_IFLNK | 0o777),
        ),
        tmp_path,
    )
    assert (folder / "link").resolve() == (folder / "bin" / "tool").resolve()
    assert os.access(folder / "bin" / "tool", os.X_OK)
    assert not os.access(folder / "plain", os.X_OK)


def test_size_is_limited_by_what_is_unpacked() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"zeros{number}", bytes(MAX_UNPACKED_BYTES // 3 + 1))
    with pytest.raises(BadCodeError, match="Unzipped size must be smaller than 262144000 bytes"):
        check_code(buffer.getvalue())


def test_the_same_archive_is_unpacked_once(tmp_path: Path) -> None:
    content = zipped(app="x = 1")
    first = unpacked(content, tmp_path)
    (first / "note").touch()
    assert (unpacked(content, tmp_path) / "note").exists()
