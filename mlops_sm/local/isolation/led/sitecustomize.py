"""The first that a Python of a job runs: it is led to the job's folders, then the machine's own file of this name."""

from __future__ import annotations

import os
import sys

import mlops_sm_led  # type: ignore[import-not-found]  # beside this file, which is found by its folder

_HERE = os.path.dirname(os.path.abspath(__file__))


def _run_the_machines_own() -> None:
    """Ours is found instead of one that an administrator has put there."""
    from importlib.machinery import PathFinder  # noqa: PLC0415 - only where there is a job
    from importlib.util import module_from_spec  # noqa: PLC0415

    spec = PathFinder.find_spec("sitecustomize", [entry for entry in sys.path if entry != _HERE])
    if spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


mlops_sm_led.install(_HERE, os.environ)
if _HERE in sys.path:
    # A program sees the path that it would see without us; other programs get it by their environment.
    sys.path.remove(_HERE)
_run_the_machines_own()
