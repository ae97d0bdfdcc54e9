"""Whether the functions that stand in for steps are there: read from the source, nothing of the user's is run."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from mlops_sm.errors import Problem, did_you_mean


def function_problems(kind: str, target: str, folder: Path) -> Iterator[Problem]:
    """What keeps a function from being called (E147): no module, no function of that name, a file that is no Python.

    Args:
        kind: The kind of step it stands in for.
        target: ``module:function``.
        folder: Where modules are found first. What is installed elsewhere is not looked at.
    """
    where = f'pyproject.toml -> [tool.mlops_sm.local.handlers] -> "{kind}"'
    module, _, name = target.partition(":")
    file = _file(module, folder)
    if file is None:
        if not _is_installed(module, folder):
            fix = f"Write the function into {'/'.join(module.split('.'))}.py, or correct the name."
            yield Problem("E147", where, f'there is no module "{module}" in {folder}', fix)
        return
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError) as error:
        line = f"{file}:{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else str(file)
        yield Problem("E147", where, f'module "{module}" is no Python: {line}: {error}', "Correct the file there.")
        return
    names = set(_names(tree))
    if name not in names and not names & {"*", "__getattr__"}:
        functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        fix = did_you_mean(name, functions) or f"Write def {name}(arguments): into {file}."
        yield Problem("E147", where, f'module "{module}" has no function "{name}"', fix)


def _file(module: str, folder: Path) -> Path | None:
    path = folder.joinpath(*module.split("."))
    return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)


def _is_installed(module: str, folder: Path) -> bool:
    top = module.partition(".")[0]
    return not (folder / top).is_dir() and importlib.util.find_spec(top) is not None


def _names(tree: ast.Module) -> Iterator[str]:
    """Every name that the module may have; rather one too many than one too few."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                yield from (alias.asname or alias.name.partition(".")[0] for alias in aliases)
            case _:
                continue
