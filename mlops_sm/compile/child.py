"""The structure stage in a child process: a scrubbed environment, a scratch home, the answer in a file."""

from __future__ import annotations

import json
import os
import signal
import site
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mlops_sm.compile.compiler import Request
from mlops_sm.compile.dependencies import PACKAGE_ROOT
from mlops_sm.compile.structure import Structure, load
from mlops_sm.errors import InputError, Problem, RefusedError

_PASSED_ON: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""What starting a Python may need; nothing else of the caller's environment reaches a pipeline module."""

_FIXED: Final = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    # defaults from files of this machine would make another definition on the next one
    "SAGEMAKER_ADMIN_CONFIG_OVERRIDE": os.devnull,
    "SAGEMAKER_USER_CONFIG_OVERRIDE": os.devnull,
    # the SDK would ask IAM whether the role may do what the pipeline does
    "SAGEMAKER_VALIDATE_ROLE": "false",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
    "PYTHONUNBUFFERED": "1",
}


def run_worker(request: Request) -> Structure:
    """Run the structure stage; what the pipeline module prints goes to stderr.

    Raises:
        InputError: Something about the pipeline module is wrong.
        RefusedError: The SDK is not installed (E312) or the process died (E314).
    """
    region = json.loads(request.environment)["region"]
    with tempfile.TemporaryDirectory(prefix="mlops-sm-compile-") as scratch:
        result = Path(scratch) / "result.json"
        home = Path(scratch) / "home"
        home.mkdir()
        # -P: the working folder is the project, and only the worker decides when its modules can be imported
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "mlops_sm.compile.worker"],
            input=question(request, result).encode(),
            stdout=sys.__stderr__ if sys.__stderr__ is not None else subprocess.DEVNULL,
            cwd=request.project_root,
            env=worker_environment(os.environ, region=region, home=home),
            check=False,
        )
        if not result.exists():
            raise RefusedError(
                Problem(
                    "E314",
                    str(request.module),
                    f"the compile process ended without a result: {_how(ended.returncode)}",
                    "see its messages above; if the process was killed, free memory (the SDK needs about 300 MB)",
                )
            )
        return read_answer(result)


def question(request: Request, result: Path) -> str:
    """The request as the worker reads it: one line of JSON that names the file for the answer."""
    return json.dumps(
        {
            "module": str(request.module),
            "project_root": str(request.project_root),
            "project_name": request.project_name,
            "pipeline_name": request.pipeline_name,
            "environment": request.environment,
            "policy": request.policy,
            "result": str(result),
        }
    )


def read_answer(result: Path) -> Structure:
    """The structure in the worker's answer.

    Raises:
        InputError: The answer is that something about the pipeline module is wrong.
        RefusedError: The answer is that the SDK is not there (E312).
    """
    answer = json.loads(result.read_text(encoding="utf-8"))
    if "structure" in answer:
        return load(answer["structure"])
    problems = [Problem(*problem) for problem in answer["problems"]]
    raise (RefusedError if answer["refused"] else InputError)(*problems)


def worker_environment(caller: Mapping[str, str], *, region: str, home: Path) -> dict[str, str]:
    """The whole environment of the child.

    Args:
        caller: The environment of this process, of which next to nothing is passed on.
        region: The region compiled for; the SDK makes clients while it is imported.
        home: An empty folder, so that no configuration of the user is found.
    """
    path = [str(Path(folder).absolute()) for folder in caller.get("PYTHONPATH", "").split(os.pathsep) if folder]
    if PACKAGE_ROOT.name not in {"site-packages", "dist-packages"}:
        # a checkout; installed packages are found anyway, and must not come before the standard library
        path.insert(0, str(PACKAGE_ROOT))
    return {
        **{name: caller[name] for name in _PASSED_ON if name in caller},
        **_FIXED,
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "HOME": str(home),
        "TMPDIR": str(home),
        "PYTHONPATH": os.pathsep.join(path),
        # packages installed for the user stay importable although home is another
        "PYTHONUSERBASE": site.getuserbase(),
    }


def _how(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
