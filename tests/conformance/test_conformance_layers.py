"""Every case ends the same by every layer that can isolate jobs on this machine, each in a machine of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_sm.local.isolation.choice import VARIABLE, choose

ROOT = Path(__file__).parents[2]
WAYS = {"sudo": "cold", "direct": "cold and not instances and not deploy and not input-modes", "preload": "cold"}
"""Layer -> the tests it can do: a link gives no second instance, nothing beside an endpoint, nothing read-only."""

PROGRAM = """
import os, sys
sys.path.insert(0, {root!r})
from mlops_sm.local.isolation import namespace
# A mount namespace in which nothing but this run has an /opt/ml.
namespace._unshare(namespace._CLONE_NEWNS)
namespace._mount("none", "/", None, namespace._MS_REC | namespace._MS_PRIVATE)
namespace._cover_opt()
for folder in ("/opt/ml", "/opt/mlops-sm"):
    os.rmdir(folder)
os.execv(sys.executable, [sys.executable, "-m", "pytest", "-q", "-n0", "-x", "-p", "no:cacheprovider", *sys.argv[1:]])
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("layer", WAYS)
def test_every_case_ends_the_same_by(layer: str, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip(f"CONFORMANCE BY {layer} IS NOT TESTED HERE: a machine of its own takes root")
    if layer != "direct":  # which would be tried at the machine's own /opt/ml
        isolation = choose(layer, {})
        refusal = isolation.refusal()
        isolation.close()
        if refusal is not None:
            pytest.skip(f"CONFORMANCE BY {layer} IS NOT TESTED HERE: {refusal.what}")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            PROGRAM.format(root=str(ROOT)),
            "-k",
            WAYS[layer],
            f"--basetemp={tmp_path / 'run'}",
            "tests/conformance/test_conformance.py",
        ],
        env={**os.environ, VARIABLE: layer},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
