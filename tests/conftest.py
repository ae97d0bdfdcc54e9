"""Fixtures of several rooms."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlops_sm.compile import Request
from mlops_sm.compile.child import question, read_answer, worker_environment
from mlops_sm.compile.structure import Structure


@pytest.fixture(scope="session")
def sdk_spawn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Request], Structure]]:
    """Compiles in forks of one process that has the SDK imported: ``compile_pipeline(..., spawn=sdk_spawn)``."""
    scratch = tmp_path_factory.mktemp("sdk")
    log = (scratch / "log").open("w+")
    environment = worker_environment(os.environ, region="us-east-1", home=scratch)
    server = subprocess.Popen(
        [sys.executable, "-P", str(Path(__file__).with_name("sdk_server.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env=environment,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None

    def spawn(request: Request) -> Structure:
        result = scratch / "result.json"
        result.unlink(missing_ok=True)
        server.stdin.write(question(request, result) + "\n")
        server.stdin.flush()
        answered = server.stdout.readline()
        assert answered == "answered\n", (scratch / "log").read_text()
        assert result.exists(), (scratch / "log").read_text()
        return read_answer(result)

    yield spawn
    server.stdin.close()
    server.wait(timeout=30)
    server.stdout.close()
    log.close()
