"""A model's server at a site: health, invocations, processes, the default handlers, the end."""

from __future__ import annotations

import io
import json
import select
import socket
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from mlops_sm.local.environment import job_environment
from mlops_sm.local.jobs.folder import JobFailureError, JobFolder
from mlops_sm.local.serving import (
    ModelSource,
    NoResponseError,
    NotHealthyError,
    Running,
    ServedModel,
    Server,
    TooSlowError,
    forward,
)
from mlops_sm.local.serving import program as serve_program
from mlops_sm.local.serving.connection import listen
from mlops_sm.local.site import Site
from mlops_sm.testing.stores import MemoryStore

TIMEOUT = 60.0
ECHO = """
import os, threading
def model_fn(model_dir): return os.getpid()
def transform_fn(model, body, content_type, accept): return f"{model} {body}", "text/plain"
"""


class Serving:
    """Serves models of a test's files."""

    def __init__(self, site: Site, store: MemoryStore, make_archive: Callable[..., bytes]) -> None:
        self.site, self.store, self.make_archive = site, store, make_archive
        self.folder = JobFolder.create(site.jobs, "server")

    @contextmanager
    def serve(self, files: Mapping[str, str] | bytes, *, workers: int = 1, **variables: str) -> Iterator[Running]:
        body = files if isinstance(files, bytes) else self.make_archive(files)
        self.store.put("s3://bucket/model.tar.gz", body)
        model = ServedModel(image="python", source=ModelSource("s3://bucket/model.tar.gz"), environment=variables)
        running = self.start(model, workers=workers)
        try:
            yield running
        finally:
            running.stop()

    def start(
        self, model: ServedModel, *, folder: JobFolder | None = None, program: Path | None = None, **options: Any
    ) -> Running:
        folder = folder or self.folder
        script = model.stage(folder, self.store, scripted=program is None)
        environment = job_environment(model.environment, region="us-east-1", endpoint_url=None)
        server = Server(site=self.site, folder=folder, log=folder.log)
        command = None if program is None else (str(program),)
        return server.start(script, environment, program=command, **options)

    @property
    def log(self) -> str:
        return self.folder.log.read_text()


@pytest.fixture
def serving(either_site: Site, store: MemoryStore, make_archive: Callable[..., bytes]) -> Serving:
    return Serving(either_site, store, make_archive)


@pytest.fixture
def cold_serving(site: Site, store: MemoryStore, make_archive: Callable[..., bytes]) -> Serving:
    return Serving(site, store, make_archive)


def packed_model(tmp_path: Path) -> bytes:
    model = LinearRegression().fit(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), np.array([0.0, 1.0, 10.0]))
    joblib.dump(model, tmp_path / "model.joblib")
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        archive.add(tmp_path / "model.joblib", "model.joblib")
    return stream.getvalue()


def test_a_scikit_learn_model_needs_no_script(serving: Serving, tmp_path: Path) -> None:
    with serving.serve(packed_model(tmp_path)) as running:
        csv = running.invoke(b"1,2\n3,4\n", "text/csv", "text/csv", timeout=TIMEOUT)
        assert [round(float(line)) for line in csv.body.split()] == [21, 43]
        one = running.invoke(b"1,2", "text/csv", None, timeout=TIMEOUT)
        assert one.content_type == "application/json"
        assert [round(value) for value in json.loads(one.body)] == [21]
        table = io.BytesIO()
        np.save(table, np.array([[1.0, 2.0]]))
        answer = running.invoke(table.getvalue(), "application/x-npy", "application/x-npy", timeout=TIMEOUT)
        assert np.load(io.BytesIO(answer.body)).round().tolist() == [21.0]
        assert running.invoke(b"[[1, 2]]", "application/json", "*/*", timeout=TIMEOUT).ok
        assert running.invoke(b"<a/>", "text/xml", None, timeout=TIMEOUT).status == 415
        assert running.invoke(b"1,2", "text/csv", "text/xml", timeout=TIMEOUT).status == 406
        assert running.invoke(b"x", "application/json", None, timeout=TIMEOUT).status == 500
    assert "model.joblib was loaded without a model_fn" in serving.log


def test_processes_answer_side_by_side(cold_serving: Serving) -> None:
    script = """
import os, socket
def model_fn(model_dir): return os.getpid()
def transform_fn(model, body, content_type, accept):
    import time
    mark = f"/opt/mlops-sm/{body}"
    open(mark, "w").close()
    while not os.path.exists("/opt/mlops-sm/" + ("b" if body == "a" else "a")): time.sleep(0.005)
    return str(model), "text/plain"
"""
    with cold_serving.serve({"code/inference.py": script}, workers=2) as running:
        answers: list[bytes] = []
        threads = [
            threading.Thread(
                target=lambda b=body: answers.append(running.invoke(b, "text/csv", timeout=TIMEOUT).body)  # type: ignore[misc] # a default argument of a lambda
            )
            for body in (b"a", b"b")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
        assert len(set(answers)) == 2


def test_a_process_that_died_is_replaced(cold_serving: Serving) -> None:
    script = ECHO.replace("return f", "body == 'die' and os._exit(3); return f")
    with cold_serving.serve({"code/inference.py": script}) as running:
        first = running.invoke(b"x", "text/csv", timeout=TIMEOUT).body
        with pytest.raises(NoResponseError, match="process ended"):
            running.invoke(b"die", "text/csv", timeout=TIMEOUT)
        second = running.invoke(b"x", "text/csv", timeout=TIMEOUT).body
        assert first.split()[1] == second.split()[1] == b"x"
        assert first != second


class Ending:
    """A server's process that ends when it is told to."""

    pid = 0

    def __init__(self) -> None:
        self._seen, self._end = socket.socketpair()

    def fileno(self) -> int:
        return self._seen.fileno()

    def wait(self, timeout: float | None = None) -> None:
        """Nobody waits for it."""

    def terminate(self) -> None:
        self._end.close()

    kill = terminate

    def close(self) -> None:
        self._seen.close()


@pytest.fixture
def owned(tmp_path: Path) -> Iterator[tuple[Running, Callable[[], socket.socket]]]:
    """A server whose processes are the test's own connections, and what makes one more of them."""
    running = Running(listen(tmp_path), asks=False)
    running.attend(Ending())
    connections: list[socket.socket] = []

    def connect() -> socket.socket:
        before = running._idle.qsize()
        connection = socket.socket(socket.AF_UNIX)
        connections.append(connection)
        connection.connect(str(tmp_path / "serving.sock"))
        while running._idle.qsize() == before:
            pass
        return connection

    try:
        yield running, connect
    finally:
        running.stop()
        for connection in connections:
            connection.close()


def answer(connection: socket.socket, say: bytes) -> None:
    head, body = serve_program.LENGTHS.unpack(serve_program.receive(connection, serve_program.LENGTHS.size))
    serve_program.receive(connection, head + body)
    serve_program.send(connection, {"status": 200, "content_type": "text/plain"}, say)


def test_a_request_that_a_process_did_not_live_to_read_is_anothers(owned: Any) -> None:
    """All processes of a server that was killed end with it, one after the other: whoever asks need not notice."""
    running, connect = owned
    left = connect()
    dying = [connect(), connect()]
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(running.invoke, b"x" * 100_000, "text/csv", timeout=TIMEOUT)
        for each in reversed(dying):
            each.recv(1)
            each.close()
        answer(left, b"fine")
        assert asked.result(TIMEOUT).body == b"fine"


def test_a_request_that_was_read_is_not_made_twice(owned: Any) -> None:
    running, connect = owned
    connect()
    dying = connect()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(running.invoke, b"x", "text/csv", timeout=TIMEOUT)
        head, body = serve_program.LENGTHS.unpack(serve_program.receive(dying, serve_program.LENGTHS.size))
        serve_program.receive(dying, head + body)
        dying.close()
        with pytest.raises(NoResponseError, match="process ended"):
            asked.result(TIMEOUT)


def test_a_process_whose_parent_has_ended_reads_nothing_more() -> None:
    """It is killed any moment."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"request")
        serve_program._serve(theirs, 0, lambda *_: pytest.fail("it was asked"))
        assert theirs.recv(100) == b"request"


def test_a_process_that_dies_while_it_answers_in_parts(cold_serving: Serving) -> None:
    script = """
import os
def model_fn(model_dir): return 1
def transform_fn(model, body, content_type, accept):
    def parts():
        yield "one"
        os._exit(3)
    return parts(), "text/plain"
"""
    with cold_serving.serve({"code/inference.py": script}) as running:
        parts = running.parts(b"x", "text/csv", timeout=TIMEOUT)
        assert next(parts).body == b"one"
        with pytest.raises(NoResponseError, match="process ended"):
            next(parts)


def test_a_model_that_takes_too_long_for_its_next_part(cold_serving: Serving) -> None:
    script = """
import time
def model_fn(model_dir): return 1
def transform_fn(model, body, content_type, accept):
    def parts():
        yield "one"
        time.sleep(600)
    return parts(), "text/plain"
"""
    with cold_serving.serve({"code/inference.py": script}) as running:
        parts = running.parts(b"x", "text/csv", timeout=0.5)
        with pytest.raises(TooSlowError, match=r"no answer within 0\.5 seconds"):
            list(parts)


def test_parts_that_nobody_has_read_are_under_way(owned: Any) -> None:
    running, connect = owned
    worker = connect()
    with ThreadPoolExecutor(1) as pool:
        parts = running.parts(b"x", "text/csv", timeout=TIMEOUT)
        first = pool.submit(next, parts)
        head, body = serve_program.LENGTHS.unpack(serve_program.receive(worker, serve_program.LENGTHS.size))
        serve_program.receive(worker, head + body)
        said = {"status": 200, "content_type": "text/plain"}
        serve_program.send(worker, {**said, "more": True}, b"one")
        assert first.result(TIMEOUT).body == b"one"
        assert running.busy
        serve_program.send(worker, {**said, "more": False}, b"")
        assert [part.body for part in parts] == [b""]
        assert not running.busy


def test_what_takes_too_long_is_given_up(cold_serving: Serving) -> None:
    script = "import time\ndef model_fn(d): return 1\ndef predict_fn(data, model): time.sleep(600)\n"
    with cold_serving.serve({"code/inference.py": script}) as running:
        with pytest.raises(NoResponseError, match=r"no answer within 0\.2 seconds"):
            running.invoke(b"1", "text/csv", timeout=0.2)
        # Its process is another one by now, or not there yet.
        with pytest.raises(NoResponseError, match=r"no answer within|is busy"):
            running.invoke(b"1", "text/csv", timeout=0.2)


def test_a_server_that_is_stopped_answers_nobody(cold_serving: Serving) -> None:
    with cold_serving.serve({"code/inference.py": ECHO}) as running:
        assert running.is_healthy()
        assert running.invoke(b"x", "text/csv", timeout=TIMEOUT).ok
    assert running.ended
    assert not running.is_healthy()
    with pytest.raises(NoResponseError, match="has ended"):
        running.invoke(b"x", "text/csv", timeout=TIMEOUT)


def test_a_handler_may_take_the_context_and_say_the_status(cold_serving: Serving) -> None:
    script = """
class Teapot(Exception):
    status_code = 418

def model_fn(model_dir, context): return context.system_properties["model_dir"]
def input_fn(body, content_type, context): return context.get_request_header(0, "X-Amzn-SageMaker-Custom-Attributes")
def predict_fn(data, model):
    if not data: raise Teapot("short and stout")
    return {"model": model, "data": data}
def output_fn(prediction, accept): return prediction
"""
    with cold_serving.serve({"code/inference.py": script}) as running:
        attributes = {"X-Amzn-SageMaker-Custom-Attributes": "trace=1"}
        answer = running.invoke(b"", "application/json", "application/json", attributes, timeout=TIMEOUT)
        assert json.loads(answer.body) == {"model": "/opt/ml/model", "data": "trace=1"}
        refused = running.invoke(b"", "application/json", timeout=TIMEOUT)
        assert (refused.status, refused.body) == (418, b"Teapot: short and stout")


def test_a_big_body_goes_through_as_it_is(cold_serving: Serving) -> None:
    script = "def model_fn(d): return 1\ndef transform_fn(m, body, content_type, accept): return body, content_type\n"
    body = bytes(range(256)) * (20 << 12)
    with cold_serving.serve({"code/inference.py": script}) as running:
        assert running.invoke(body, "application/octet-stream", timeout=TIMEOUT).body == body


def test_whoever_waits_for_its_health_may_give_up(cold_serving: Serving) -> None:
    script = "import time\ntime.sleep(600)\n"
    cold_serving.store.put("s3://bucket/model.tar.gz", cold_serving.make_archive({"code/inference.py": script}))
    model = ServedModel(image="python", source=ModelSource("s3://bucket/model.tar.gz"))
    with pytest.raises(NotHealthyError):
        cold_serving.start(model, is_stopped=lambda: True)


@pytest.mark.parametrize("name", ["../outside.py", "/outside.py"])
def test_an_archive_that_leads_out_of_its_folder_is_refused(cold_serving: Serving, name: str) -> None:
    with (
        pytest.raises(JobFailureError, match="Failed to extract model data archive"),
        cold_serving.serve({name: "x"}),
    ):
        raise AssertionError("it was served")


def test_the_script_may_come_from_elsewhere(cold_serving: Serving) -> None:
    cold_serving.store.put("s3://bucket/source.tar.gz", cold_serving.make_archive({"mine.py": ECHO}))
    with cold_serving.serve(
        {"weights.txt": "1"}, SAGEMAKER_PROGRAM="mine.py", SAGEMAKER_SUBMIT_DIRECTORY="s3://bucket/source.tar.gz"
    ) as running:
        assert running.invoke(b"x", "text/csv", timeout=TIMEOUT).ok


@pytest.mark.parametrize("uri", ["s3://bucket/model/", "s3://bucket/model/code/inference.py"])
def test_artifacts_may_be_files(cold_serving: Serving, uri: str) -> None:
    cold_serving.store.put("s3://bucket/model/code/inference.py", ECHO)
    model = ServedModel(image="python", source=ModelSource(uri, packed=False))
    script: Any = model.stage(cold_serving.folder, cold_serving.store)
    alone = uri.endswith(".py")
    assert script == ("/opt/ml/model/code", "" if alone else "inference.py")
    made = cold_serving.folder.ml / "model" / ("inference.py" if alone else "code/inference.py")
    assert made.read_text() == ECHO


@pytest.mark.parametrize("uri", ["s3://bucket/nothing/", "s3://bucket/nothing.bin", "s3://nowhere/model/"])
def test_artifacts_that_are_not_there(cold_serving: Serving, uri: str) -> None:
    model = ServedModel(image="python", source=ModelSource(uri, packed=False))
    with pytest.raises(JobFailureError, match="ClientError: Data download failed"):
        model.stage(cold_serving.folder, cold_serving.store)


SERVE = """#!/usr/bin/env python3
import http.server, json, os, sys

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        wanted = {"MaxConcurrentTransforms": 3, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 2}
        self.answer(200, json.dumps(wanted).encode() if self.path == "/execution-parameters" else b"")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        model = open("/opt/ml/model/weights.txt").read()
        headers = {name.lower(): value for name, value in self.headers.items()}
        told = [sys.argv[1:], self.path, model, body.decode(), headers["content-type"], headers.get("accept")]
        self.answer(400 if body == b"bad" else 200, json.dumps(told).encode())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        print("asked", arguments[1])

http.server.HTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""


def program(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "serve"
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_two_programs_of_ones_own_serve_on_the_same_port(cold_serving: Serving, tmp_path: Path) -> None:
    serving, serve = cold_serving, program(tmp_path, SERVE)
    running = []
    try:
        for number in ("1", "2"):
            serving.store.put(f"s3://bucket/{number}.tar.gz", serving.make_archive({"weights.txt": number}))
            folder = JobFolder.create(serving.site.jobs, f"server-{number}")
            model = ServedModel(image="mine", source=ModelSource(f"s3://bucket/{number}.tar.gz"))
            running.append(serving.start(model, folder=folder, program=serve))
        for number, each in zip(("1", "2"), running, strict=True):
            answer = each.invoke(b"1,2", "text/csv", "application/json", timeout=TIMEOUT)
            told = [[], "/invocations", number, "1,2", "text/csv", "application/json"]
            assert json.loads(answer.body) == told
            assert answer.content_type == "application/json"
            assert each.invoke(b"bad", "text/csv", timeout=TIMEOUT).status == 400
            assert each.execution_parameters(timeout=TIMEOUT)["MaxConcurrentTransforms"] == 3
    finally:
        for each in running:
            each.stop()


def test_a_program_of_ones_own_survives_an_answer_that_comes_too_late(cold_serving: Serving, tmp_path: Path) -> None:
    slow = SERVE.replace(
        "        model = open",
        '        while body == b"slow" and not os.path.exists("/opt/mlops-sm/go"): pass\n        model = open',
    )
    slow = slow.replace("http.server.HTTPServer", "http.server.ThreadingHTTPServer")
    serve = program(tmp_path, slow)
    cold_serving.store.put("s3://bucket/model.tar.gz", cold_serving.make_archive({"weights.txt": "1"}))
    model = ServedModel(image="mine", source=ModelSource("s3://bucket/model.tar.gz"))
    running = cold_serving.start(model, program=serve)
    try:
        with pytest.raises(NoResponseError, match="no answer within"):
            running.invoke(b"slow", "text/csv", timeout=0.2)
        (cold_serving.folder.scratch / "go").touch()
        assert running.invoke(b"fast", "text/csv", timeout=TIMEOUT).ok
    finally:
        running.stop()


def test_an_answer_that_nobody_fetched_costs_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner gives up when the answer is on its way already: what forwards requests connects to it again."""

    class Ok(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Ok) as http, listen(tmp_path) as owner:
        monkeypatch.setitem(sys.modules, "serve", serve_program)
        monkeypatch.setattr(forward, "_PORT", http.server_port)
        monkeypatch.setattr(forward, "_OWNER", str(tmp_path / "serving.sock"))
        owner.settimeout(TIMEOUT)
        serving = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        forwarding = threading.Thread(target=forward._forward, daemon=True)
        serving.start()
        forwarding.start()
        given_up, _ = owner.accept()
        serve_program.send(given_up, {"attributes": {}}, b"1")
        assert select.select([given_up], [], [], TIMEOUT)[0]
        given_up.close()
        again, _ = owner.accept()
        again.close()
        forwarding.join(TIMEOUT)
        http.shutdown()
        serving.join(TIMEOUT)


def test_a_program_that_ends_is_not_healthy(cold_serving: Serving, tmp_path: Path) -> None:
    serve = program(tmp_path, "#!/bin/sh\necho no weights; exit 3\n")
    with pytest.raises(NotHealthyError, match="no weights"):
        cold_serving.start(ServedModel(image="mine", source=None), program=serve)
