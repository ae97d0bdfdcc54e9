"""Whether a requirements.txt is satisfied by what is installed, without asking pip."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import Final

_LINE: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*([^;]*)")
_SPECIFIER: Final = re.compile(r"(~=|==|!=|<=|>=|<|>)\s*([0-9]+(?:\.[0-9]+)*(?:\.\*)?)")


def unsatisfied(requirements: Path) -> list[str]:
    """One sentence for every line that the installed packages do not meet, or that cannot be decided here."""
    found = []
    for raw in requirements.read_text(encoding="utf-8", errors="replace").splitlines():
        line = raw.split(" #", 1)[0].strip()
        if line and not line.startswith("#") and (why := _why_not(line)):
            found.append(f'"{line}" ({why})')
    return found


def _why_not(line: str) -> str:
    match = _LINE.fullmatch(line)
    if match is None:
        return "only NAME and version bounds can be checked"
    name, bounds = match[1], match[2].strip().strip("()")
    try:
        installed = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
    for bound in filter(None, (part.strip() for part in bounds.split(","))):
        specifier = _SPECIFIER.fullmatch(bound)
        if specifier is None:
            return "only NAME and version bounds can be checked"
        if not _meets(installed, specifier[1], specifier[2]):
            return f"installed is {installed}"
    return ""


def _meets(installed: str, operator: str, wanted: str) -> bool:
    have = _release(installed)
    if wanted.endswith(".*"):
        prefix = _release(wanted[:-2])
        return (have[: len(prefix)] == prefix) is (operator == "==")
    want = _release(wanted)
    width = max(len(have), len(want))
    left, right = _padded(have, width), _padded(want, width)
    match operator:
        case "==":
            return left == right
        case "!=":
            return left != right
        case "<=":
            return left <= right
        case ">=":
            return left >= right
        case "<":
            return left < right
        case ">":
            return left > right
        case _:  # ~=
            return left >= right and have[: len(want) - 1] == want[:-1]


def _release(version: str) -> tuple[int, ...]:
    """The numbers of a version, without its pre-, post- and local parts."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def _padded(release: tuple[int, ...], width: int) -> tuple[int, ...]:
    return release + (0,) * (width - len(release))
