"""Pipeline references: ``lending.build`` is the function ``pipeline`` of ``pipelines/lending/build.py``."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

from mlops_sm.errors import InputError, Problem, did_you_mean

FOLDER: Final = "pipelines"
FUNCTION: Final = "pipeline"

_REFERENCE: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def find_module(project_root: Path, reference: str) -> Path:
    """The module a reference names.

    Raises:
        InputError: There is none (E301).
    """
    if _REFERENCE.fullmatch(reference):
        module = project_root.joinpath(FOLDER, *reference.split(".")).with_suffix(".py")
        if module.is_file():
            return module
    known = known_references(project_root)
    if reference in (f"{FOLDER}/{r.replace('.', '/')}.py" for r in known):
        meant = reference.removeprefix(f"{FOLDER}/").removesuffix(".py").replace("/", ".")
        hint = f'Did you mean "{meant}"?'
    elif known:
        hint = did_you_mean(reference, known)
    else:
        hint = f"No module below {FOLDER}/ defines a function {FUNCTION}(ctx)."
    expected = f"{FOLDER}/{reference.replace('.', '/')}.py"
    raise InputError(
        Problem(
            "E301",
            str(project_root / FOLDER),
            f'there is no pipeline "{reference}"',
            f"write {expected} or correct the name. {hint}"
            if _REFERENCE.fullmatch(reference)
            else hint or "correct it",
        )
    )


def known_references(project_root: Path) -> tuple[str, ...]:
    """Every pipeline of a project, sorted: modules below ``pipelines/`` that define `pipeline` at their top level."""
    folder = project_root / FOLDER
    modules = sorted(folder.rglob("*.py")) if folder.is_dir() else []
    return tuple(
        ".".join(module.relative_to(folder).with_suffix("").parts) for module in modules if _defines_pipeline(module)
    )


def _defines_pipeline(module: Path) -> bool:
    try:
        tree = ast.parse(module.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False
    return any(isinstance(node, ast.FunctionDef) and node.name == FUNCTION for node in tree.body)
