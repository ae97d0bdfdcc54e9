"""In the worker: what went wrong in a pipeline module, with the line that did it."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from botocore.exceptions import NoCredentialsError

from mlops_sm.builders.plan_session import is_project_file
from mlops_sm.compile.references import FUNCTION
from mlops_sm.compile.watch import NetworkRefusedError
from mlops_sm.errors import InputError, Problem

_SHOWN_FRAMES: Final = 5
_SHOWN_CHARACTERS: Final = 600


@contextmanager
def explaining(code: str, module: Path, root: Path) -> Iterator[None]:
    """Turn whatever the user's code raises into problems that name the line.

    Args:
        code: Of a problem that has no code of its own.
        module: The pipeline module, named when no line of the project is to blame.
        root: Folder of the project; lines of other files are the SDK's and say nothing to the user.

    Raises:
        InputError: Instead of what was raised.
    """
    try:
        yield
    except (Exception, SystemExit) as raised:
        for error in _chain(raised):
            if isinstance(error, InputError):
                raise error from None
        raise InputError(_problem(code, raised, module, root)) from raised


def _problem(code: str, raised: BaseException, module: Path, root: Path) -> Problem:
    lines = _project_lines(raised, root)
    where = lines[-1][0] if lines else str(module.relative_to(root))
    for error in _chain(raised):
        if isinstance(error, NetworkRefusedError):
            what = f"compiling tried to reach the network: {error}"
            return Problem("E310", where, what, "compile needs no network: read the value from a file of the project")
        if isinstance(error, NoCredentialsError):
            what = "compiling tried to call AWS with a session of its own"
            return Problem("E309", where, what, "give `sagemaker_session=ctx.session` to every SDK object")
    if isinstance(raised, SyntaxError) and raised.filename:
        path = Path(raised.filename)
        shown = path.relative_to(root) if path.is_relative_to(root) else path
        source = f"\n    {raised.text.strip()}" if raised.text else ""
        return Problem(
            code, f"{shown}:{raised.lineno}", f"{type(raised).__name__}: {raised.msg}{source}", "correct the syntax"
        )
    message = f"{type(raised).__name__}: {raised}".strip()[:_SHOWN_CHARACTERS]
    tail = "".join(f"\n    {place}: {source}" for place, source in lines[-_SHOWN_FRAMES:])
    match raised:
        case ModuleNotFoundError():
            fix = f"install it, correct the name, or add it to the project (imports start at {root.name}/)"
        case SystemExit():
            fix = f"`{FUNCTION}` must return the Pipeline; do not exit"
        case _:
            fix = "correct the line above"
    return Problem(code, where, message + tail, fix)


def _project_lines(raised: BaseException, root: Path) -> list[tuple[str, str]]:
    """(path:line, source) of the project's frames, outermost first."""
    return [
        (f"{Path(frame.filename).relative_to(root)}:{frame.lineno}", (frame.line or "").strip())
        for frame in traceback.extract_tb(raised.__traceback__)
        if is_project_file(Path(frame.filename), root)
    ]


def _chain(raised: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    error: BaseException | None = raised
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
