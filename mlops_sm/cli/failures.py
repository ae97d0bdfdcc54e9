"""From whatever was raised to a message and an exit code."""

from __future__ import annotations

import errno
import os
import traceback
from typing import Final

import click

from mlops_sm import __version__
from mlops_sm.cli.outside import Outside
from mlops_sm.errors import MlopsSmError, Problem

BAD_INPUT: Final = 2
REFUSED: Final = 3
BUG: Final = 70
INTERRUPTED: Final = 130
"""What a shell expects of a command that Ctrl-C ended: 128 + SIGINT."""

_DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_NOT_ALLOWED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def report(err: BaseException, outside: Outside) -> int:
    """Tell the user what happened and return the exit code for it; SystemExit goes on."""
    ui = outside.ui
    match err:
        case MlopsSmError():
            return _refuse(outside, err.exit_code, *err.problems)
        case click.Abort() | KeyboardInterrupt():
            ui.say("interrupted")
            return INTERRUPTED
        case click.UsageError():
            page = f" ({err.ctx.command_path} --help shows how)" if err.ctx else ""
            return _refuse(
                outside, BAD_INPUT, Problem("E100", "command line", err.format_message(), f"Correct the command.{page}")
            )
        case click.ClickException():
            return _refuse(
                outside, BAD_INPUT, Problem("E100", "command line", err.format_message(), "Correct the command.")
            )
        case SystemExit():
            raise err
        case OSError() if err.errno in _DISK_FULL:
            what = f"the disk is full{_place(err)}"
            return _refuse(
                outside, REFUSED, Problem("E131", _where(err), what, "Free some space and run the command again.")
            )
        case OSError() if err.errno in _NOT_ALLOWED:
            what = f"{os.strerror(err.errno or 0)}{_place(err)}"
            fix = "Change the permissions, or give another place (for local state: --state DIR)."
            return _refuse(outside, REFUSED, Problem("E132", _where(err), what, fix))
        case _:
            ui.say("".join(traceback.format_exception(err)).rstrip())
            ui.say(
                f"\nThis is a bug in mlops-sm {__version__}, not in your input. Please report it with the lines above."
            )
            ui.data({"exit_code": BUG, "problems": []})
            return BUG


def _refuse(outside: Outside, code: int, *problems: Problem) -> int:
    outside.ui.report(problems)
    outside.ui.data({"exit_code": code, "problems": [problem._asdict() for problem in problems]})
    return code


def _where(err: OSError) -> str:
    return str(err.filename) if err.filename else "local files"


def _place(err: OSError) -> str:
    return f": {err.filename}" if err.filename else ""
