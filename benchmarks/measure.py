"""Run commands as whole processes, a command and its baseline in turn, and compare them pair by pair."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One line of the report; `within` says whether the bound holds in this run."""

    name: str
    measured: str
    bound: str
    within: bool


class Usage(NamedTuple):
    """What one process cost: wall seconds, CPU seconds (children included)."""

    wall: float
    cpu: float


def run(command: Sequence[str | Path], *, cwd: Path | None = None, ok: tuple[int, ...] = (0,)) -> Usage:
    """Run a command to its end, output thrown away.

    Raises:
        RuntimeError: It exited with a code that is not in `ok`.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command], cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=_environment()
    )
    stderr = process.stderr.read() if process.stderr else b""
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in ok:
        raise RuntimeError(f"{command} exited with {process.returncode}: {stderr.decode(errors='replace')[-2000:]}")
    return Usage(wall, usage.ru_utime + usage.ru_stime)


def peak_mb(command: Sequence[str | Path]) -> float:
    """Peak memory in MB of a command's own process, read while it runs: wait4 counts its children too."""
    process = subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_environment()
    )
    peak = watch_peak(process, every=0.005)
    if process.returncode != 0:
        raise RuntimeError(f"{command} exited with {process.returncode}")
    return peak


def watch_peak(process: subprocess.Popen[Any], *, every: float) -> float:
    """Peak memory in MB of a process, looked at every so many seconds until it has ended."""
    peak = 0.0
    while process.poll() is None:
        peak = peak_so_far(process.pid) or peak
        time.sleep(every)
    return peak


def peak_so_far(pid: int) -> float:
    """Peak memory in MB of a process that runs; 0 when it has just ended."""
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def ratio(measured: Callable[[], float], baseline: Callable[[], float], *, pairs: int) -> tuple[float, float, float]:
    """Median ratio over interleaved pairs and the two medians (measured, baseline); one unmeasured pair goes first."""
    measured()
    baseline()
    couples = [(measured(), baseline()) for _ in range(pairs)]
    return (
        statistics.median(a / b for a, b in couples),
        statistics.median(a for a, _ in couples),
        statistics.median(b for _, b in couples),
    )


def ratio_row(
    name: str, measured: Callable[[], float], baseline: Callable[[], float], *, bound: float, pairs: int = 5
) -> Row:
    """A row that compares by ratio: at most `bound` times the baseline."""
    value, ours, theirs = ratio(measured, baseline, pairs=pairs)
    return Row(
        name, f"{value:.2f} x  ({ours * 1000:.0f} ms / {theirs * 1000:.0f} ms)", f"<= {bound:g} x", value <= bound
    )


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "MLOPS_SM_"))}
    return kept | {"NO_COLOR": "1"}
