"""The table of codes and the code agree."""

from __future__ import annotations

import re
from pathlib import Path

import mlops_sm.checks
import mlops_sm.definition
from mlops_sm.checks.codes import CODES


def test_every_code_in_use_has_a_meaning_and_every_meaning_is_in_use() -> None:
    rooms = [Path(package.__path__[0]) for package in (mlops_sm.checks, mlops_sm.definition)]
    sources = [path for room in rooms for path in room.glob("*.py") if path.name != "codes.py"]
    used = {code for path in sources for code in re.findall(r'"([EW]2\d\d)"', path.read_text(encoding="utf-8"))}
    assert used == set(CODES)


def test_meanings_are_one_line_sentences() -> None:
    for code, meaning in CODES.items():
        assert re.fullmatch(r"[EW]2\d\d", code)
        assert meaning.endswith(".")
        assert "\n" not in meaning
