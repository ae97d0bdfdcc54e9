"""``mlops-sm run --explain-cache`` as a process: it is told what the next run does, and leaves everything as it is."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from command import begin, mlops, processing, write

CACHE = {"Enabled": True, "ExpireAfter": "P1D"}


def files(folder: Path) -> dict[str, str]:
    """What is in a folder; the lock of a state names its last owner."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def foretold(folder: Path, name: str, *arguments: str) -> dict[str, Any]:
    steps = json.loads(mlops(folder, "run", name, "--explain-cache", "--json", *arguments).stdout)["steps"]
    return {step["name"]: step for step in steps}


def reused(folder: Path, name: str, *arguments: str) -> dict[str, bool]:
    steps = json.loads(mlops(folder, "run", name, "--json", *arguments).stdout)["steps"]
    return {step["name"]: step["result"].startswith("reused") for step in steps}


def test_what_ran_is_a_hit_and_asking_leaves_everything_as_it_is(tmp_path: Path) -> None:
    name = write(tmp_path, processing("A", "true", CacheConfig=CACHE), processing("B", "true"))
    assert reused(tmp_path, name) == {"A": False, "B": False}
    before = files(tmp_path)
    assert {step: found["cause"] for step, found in foretold(tmp_path, name).items()} == {
        "A": "same_key",
        "B": "caching_off",
    }
    assert files(tmp_path) == before


@pytest.mark.slow
def test_where_there_is_no_account_none_is_made(tmp_path: Path) -> None:
    name = write(tmp_path, processing("A", "true", CacheConfig=CACHE))
    before = files(tmp_path)
    assert foretold(tmp_path, name)["A"]["cause"] == "no_earlier_run"
    assert files(tmp_path) == before
    assert reused(tmp_path, name) == {"A": False}
    assert reused(tmp_path, name) == {"A": True}


@contextmanager
def server(folder: Path) -> Iterator[None]:
    serving = begin(folder, "local", "up", "--port", "0")
    try:
        assert serving.stdout is not None
        assert serving.stdout.readline().startswith("ready ")
        yield
    finally:
        serving.terminate()
        serving.communicate()


@pytest.mark.slow
def test_a_server_is_asked_and_its_time_counts(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.mlops_sm]\nname = "asked"\n')
    name = write(tmp_path, processing("A", "true", CacheConfig=CACHE))
    with server(tmp_path):
        assert reused(tmp_path, name) == {"A": False}
        assert foretold(tmp_path, name)["A"]["prediction"] == "hit"
        advance = json.loads((tmp_path / ".mlops_sm" / "server.json").read_text())["url"]
        post(f"{advance}/_mlops_sm/clock/advance", {"seconds": 25 * 3600})
        assert foretold(tmp_path, name)["A"]["cause"] == "expired"
        assert reused(tmp_path, name) == {"A": False}


def post(url: str, body: object) -> None:
    with urlopen(Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})) as answer:  # noqa: S310
        assert answer.status == 200


MODULE = """\
from sagemaker.core.processing import ScriptProcessor
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.steps import CacheConfig, ProcessingStep


def pipeline(ctx):
    processor = ScriptProcessor(
        role=ctx.role, image_uri="123456789012.dkr.ecr.us-east-1.amazonaws.com/x:1", command=["python3"],
        instance_count=1, instance_type="ml.m5.large", sagemaker_session=ctx.session,
    )
    arguments = processor.run(code=ctx.asset("clean.py"))
    cache = CacheConfig(enable_caching=True, expire_after="P1D")
    step = ProcessingStep("Clean", step_args=arguments, cache_config=cache)
    return Pipeline(name=ctx.pipeline_name, steps=[step], sagemaker_session=ctx.session)
"""


@pytest.mark.sdk
@pytest.mark.slow
def test_a_byte_of_a_script_of_a_pipeline_of_the_sdk(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.mlops_sm]\nname = "byte"\n[tool.mlops_sm.local.images]\n"*/x:1" = "python"\n'
    )
    folder = tmp_path / "pipelines" / "one"
    folder.mkdir(parents=True)
    (folder / "build.py").write_text(MODULE)
    (folder / "clean.py").write_text("print(1)\n")
    assert reused(tmp_path, "one.build") == {"Clean": False}
    assert foretold(tmp_path, "one.build")["Clean"]["prediction"] == "hit"
    (folder / "clean.py").write_text("print(2)\n")
    found = foretold(tmp_path, "one.build")["Clean"]
    assert found["cause"] == "key_changed"
    (change,) = found["changes"]
    assert [(file["name"], file["before"]["size"], file["after"]["size"]) for file in change["files"]] == [
        ("clean.py", 9, 9)
    ]
    assert change["files"][0]["after"]["digest"] == hashlib.sha256(b"print(2)\n").hexdigest()
    assert reused(tmp_path, "one.build") == {"Clean": False}
    os.utime(folder / "clean.py")
    assert reused(tmp_path, "one.build") == {"Clean": True}
