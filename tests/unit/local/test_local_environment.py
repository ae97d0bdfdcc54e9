"""Nothing of the caller's environment reaches a job."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_sm.local.environment import base_environment, is_read_at_start, job_environment
from mlops_sm.local.isolation.linux import NamespaceIsolation
from mlops_sm.local.warm import WarmWorkers

MARK = "AKIAFAKEFAKEFAKEFAKE"
SPILL = """
import glob, os, pandas
print(sorted(os.environ))
seen = [open("/proc/self/environ").read(), repr(os.environ)]
parent = os.getppid()
while parent > 1:
    fields = open(f"/proc/{parent}/stat").read().rpartition(")")[2].split()
    if "mlops_sm.local" not in open(f"/proc/{parent}/cmdline").read():
        break
    seen.append(open(f"/proc/{parent}/environ").read())
    parent = int(fields[1])
print(len(seen), "SECRET" if any("MARK_OF_THE_CALLER" in text or "AKIAFAKE" in text for text in seen) else "clean")
"""


@pytest.fixture
def caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", MARK)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", MARK)
    monkeypatch.setenv("AWS_PROFILE", "prod")
    monkeypatch.setenv("MARK_OF_THE_CALLER", "1")
    monkeypatch.setenv("PYTHONPATH", "/caller")


@pytest.fixture(params=["cold", "warm"])
def starter(request: pytest.FixtureRequest, caller: None, isolation: NamespaceIsolation) -> Iterator[Any]:
    layer, workers = NamespaceIsolation(), WarmWorkers()
    yield layer.run if request.param == "cold" else workers.start
    workers.close()
    layer.close()


def test_a_credential_of_the_caller_is_nowhere_in_a_job(starter: Any, cell: Any) -> None:
    assert os.environ["AWS_ACCESS_KEY_ID"] == MARK
    code, output = cell.finish(starter(cell.script(SPILL)))
    assert code == 0, output
    names, verdict = output.splitlines()
    assert verdict.split()[1] == "clean"
    assert int(verdict.split()[0]) >= 4, "the supervisor and the worker were to be looked at too"
    assert set(ast.literal_eval(names)) == {
        *("PATH", "LANG", "HOME", "TMPDIR", "TZ", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "OMP_NUM_THREADS"),
        *("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_EC2_METADATA_DISABLED"),
    }


def test_the_path_starts_with_the_interpreters_folder() -> None:
    path = base_environment()["PATH"].split(":")
    assert path[0] == str(Path(sys.executable).parent)
    assert "/usr/bin" in path


def test_an_endpoint_comes_with_credentials_that_are_none() -> None:
    without = job_environment({}, region="eu-west-1", endpoint_url=None)
    assert "AWS_ENDPOINT_URL" not in without
    assert "AWS_ACCESS_KEY_ID" not in without
    assert without["AWS_REGION"] == without["AWS_DEFAULT_REGION"] == "eu-west-1"
    given = job_environment({}, region="eu-west-1", endpoint_url="http://127.0.0.1:1")
    assert given["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
    assert given["AWS_ACCESS_KEY_ID"] == "LOCALKEY123456789012"
    theirs = job_environment({}, region="eu-west-1", endpoint_url="http://127.0.0.1:1", account_id="111122223333")
    assert theirs["AWS_ACCESS_KEY_ID"] == "LOCALKEY111122223333"
    assert given["AWS_EC2_METADATA_DISABLED"] == "true"


def test_the_request_wins() -> None:
    environment = job_environment({"HOME": "/x", "AWS_REGION": "mine", "A": "b"}, region="us-east-1", endpoint_url=None)
    assert (environment["HOME"], environment["AWS_REGION"], environment["A"]) == ("/x", "mine", "b")


@pytest.mark.parametrize(("jobs", "divisor"), [(1, 1), (2, 2), (10_000, 10_000)])
def test_threads_are_the_cores_divided_by_the_jobs(jobs: int, divisor: int) -> None:
    cores = os.cpu_count() or 1
    assert base_environment(parallel_jobs=jobs)["OMP_NUM_THREADS"] == str(max(1, cores // divisor))


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"])
def test_a_request_that_sets_threads_is_left_alone(name: str) -> None:
    environment = job_environment({name: "5"}, region="us-east-1", endpoint_url=None)
    assert {key: value for key, value in environment.items() if key.endswith("_NUM_THREADS")} == {name: "5"}


@pytest.mark.parametrize("name", ["MIN_AUC", "AWS_REGION", "HOME", "MYPYTHON", "TZ"])
def test_ordinary_variables_are_read_whenever(name: str) -> None:
    assert not is_read_at_start(name)
