"""However a job touches /opt/ml, it touches its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlops_sm.local.isolation.layer import Launch, Process

TOUCHES = Path(__file__).with_name("touches_ml.py")
WAYS = 24
XGBOOST = {"xgboost-save", "xgboost-read"}


def touch(start: Callable[[Launch], Process | None], cell: Any) -> tuple[dict[str, str], str]:
    (cell.root / "ml/model").mkdir()
    code, output = cell.finish(start(cell.script(TOUCHES.read_text())))
    assert code == 0, output
    lines = [line for line in output.splitlines() if line.endswith((" ok", " FAIL", " absent"))]
    return dict(line.split(" ") for line in lines), output


def test_every_way_reaches_the_jobs_own_folder(start: Callable[[Launch], Process | None], cell: Any) -> None:
    results, output = touch(start, cell)
    assert len(results) == WAYS
    assert "FAIL" not in results.values(), output
    made = {path.name for path in (cell.root / "ml/model").iterdir()}
    assert {"opened.txt", "a.csv", "system.txt", "s.db", "j.joblib"} <= made
    assert sorted(name for name, result in results.items() if result == "absent" and name not in XGBOOST) == []


def test_xgboost_reaches_it_too(start: Callable[[Launch], Process | None], cell: Any) -> None:
    pytest.importorskip("xgboost", reason="XGBOOST IS NOT INSTALLED: its C++ reader and writer are not tested here")
    results, output = touch(start, cell)
    assert {results[name] for name in XGBOOST} == {"ok"}, output
