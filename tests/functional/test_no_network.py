"""A whole local run, cold compile with the SDK included, sends nothing anywhere but to loopback."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WATCH = ["unshare", "-n", sys.executable, str(ROOT / "tests" / "watched_run.py")]


def can_watch() -> bool:
    return shutil.which("unshare") is not None and os.access("/dev/net/tun", os.R_OK | os.W_OK) and os.geteuid() == 0


pytestmark = pytest.mark.skipif(
    not can_watch(), reason="NETWORK USE IS NOT TESTED HERE: it needs Linux, root, unshare and /dev/net/tun"
)


def watched(*command: str, cwd: Path) -> tuple[int, int, str]:
    """Exit code, packets that left loopback, and the output of a command."""
    # What would make an SDK call home or look for credentials stays as a user may have it, only without a real home.
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "AWS_DEFAULT_REGION": "eu-west-1"}
    done = subprocess.run([*WATCH, *command], check=False, cwd=cwd, env=environment, capture_output=True, text=True)
    (packets,) = re.findall(r"^packets: (\d+)$", done.stdout, re.MULTILINE)
    return done.returncode, int(packets), done.stdout + done.stderr


@pytest.mark.parametrize(
    "call", ["connect_ex(('192.0.2.1', 443))", "sendto(b'x', ('203.0.113.9', 53))"], ids=["tcp", "udp"]
)
def test_the_watch_sees_what_leaves(tmp_path: Path, call: str) -> None:
    kind = "SOCK_STREAM" if call.startswith("connect") else "SOCK_DGRAM"
    program = f"import socket; s = socket.socket(type=socket.{kind}); s.setblocking(False); s.{call}"
    assert watched(sys.executable, "-c", program, cwd=tmp_path)[1] > 0


@pytest.mark.sdk
def test_a_whole_run_stays_on_this_machine(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "pipelines", tmp_path / "pipelines", ignore=shutil.ignore_patterns("__pycache__"))
    code, packets, output = watched(sys.executable, "-m", "mlops_sm", "run", "lending.build", cwd=tmp_path)
    assert code == 0, output
    assert "lending-approval/1" in output
    assert packets == 0, output


@pytest.mark.sdk
def test_the_plain_sdk_and_its_jobs_stay_on_this_machine(tmp_path: Path) -> None:
    command = (sys.executable, str(ROOT / "tests" / "served_run.py"), str(ROOT))
    code, packets, output = watched(*command, cwd=tmp_path)
    assert code == 0, output
    assert "Register   Succeeded" in output
    assert packets == 0, output
