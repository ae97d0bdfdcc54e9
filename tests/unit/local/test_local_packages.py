"""What a job installs or removes is its own."""

from __future__ import annotations

import json
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlops_sm.local import interpreter
from mlops_sm.local.jobs import JobStatus

CHANGE = """
import pathlib, sysconfig
site = pathlib.Path(sysconfig.get_paths()["purelib"])
scripts = pathlib.Path(sysconfig.get_paths()["scripts"])
(site / "of_a_test_job.py").write_text("WHOSE = 'mine'")
(scripts / "of-a-test-job").write_text("#!/bin/sh")
import of_a_test_job
print(of_a_test_job.WHOSE)
"""


def snapshot() -> set[str]:
    """What stands at the top of the packages and programs."""
    return {str(path) for name in ("purelib", "scripts") for path in Path(sysconfig.get_paths()[name]).iterdir()}


def test_what_a_job_changes_in_the_packages_only_it_sees(either_bench: Any) -> None:
    before = snapshot()
    outcome = either_bench.process(CHANGE)
    try:
        assert outcome.status is JobStatus.COMPLETED, either_bench.log()
        assert either_bench.log() == "mine\n"
        assert snapshot() == before
    finally:
        for path in snapshot() - before:
            Path(path).unlink()


AS_NOBODY = """
import json, os, sys, sysconfig, pathlib, tempfile
from mlops_sm.local.isolation.layer import Launch
from mlops_sm.local.isolation.linux import NamespaceIsolation
root = pathlib.Path(tempfile.mkdtemp())
for name in ("ml", "scratch", "packages"):
    (root / name).mkdir()
(root / "packages/kept.txt").write_text("kept")
log = os.open(root / "log", os.O_RDWR | os.O_CREAT)
layer = NamespaceIsolation()
script = f"cd {root}/packages && rm kept.txt && echo new > new.txt && ls"
process = layer.run(Launch(argv=("/bin/sh", "-c", script), ml=root / "ml", scratch=root / "scratch",
                           environment={"PATH": "/usr/bin:/bin"}, log=log, overlaid=(str(root / "packages"),)))
ended = process.wait(30)
process.close()
layer.close()
print(json.dumps({"code": ended.code, "log": (root / "log").read_text(),
                  "left": sorted(path.name for path in (root / "packages").iterdir())}))
"""


def test_an_unprivileged_user_may_change_packages_for_the_job(
    as_nobody: Callable[[str], Any], isolation: object
) -> None:
    assert isolation
    assert as_nobody(AS_NOBODY) == {"code": 0, "log": "new.txt\n", "left": ["kept.txt"]}


def test_an_environment_that_a_job_is_in_is_overlaid_in_parts(tmp_path: Path) -> None:
    packages = tmp_path / "lib"
    packages.mkdir()
    python = interpreter.Interpreter("python", str(tmp_path), [str(packages)], [])
    assert python.changeable(tmp_path / "jobs/one") == (str(packages),)
    assert python.changeable(Path("/elsewhere")) == (str(tmp_path),)


def test_another_interpreter_is_asked(tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    program.chmod(0o755)
    asked = interpreter.of(program)
    assert asked.changeable(tmp_path) == interpreter.own().changeable(tmp_path)
    assert json.dumps(asked.digest()) == json.dumps(interpreter.own().digest())


def test_an_interpreter_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(interpreter.InterpreterError, match="no Python that can be run"):
        interpreter.of(tmp_path / "none")
