"""What there is to know about the Python that runs jobs: where its packages are and what is installed.

A program with nothing of this package in it: another interpreter is asked by running this file.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import site
import subprocess
import sys
import sysconfig
from pathlib import Path


class InterpreterError(Exception):
    """An interpreter that cannot be run; the message says why."""


class Interpreter:
    """One Python.

    Args:
        path: Its executable.
        prefix: The virtual environment that it belongs to; empty when to none.
        folders: Where its packages and programs are installed.
        search: Where it looks for packages.
    """

    def __init__(self, path: str, prefix: str, folders: list[str], search: list[str]) -> None:
        self.path = Path(path)
        self._prefix = prefix
        self._folders = folders
        self._search = search

    def changeable(self, job: Path) -> tuple[str, ...]:
        """What an installation of packages would change.

        Args:
            job: The folder of a job. An environment that it is in stays as it is, except for its packages.
        """
        folders = self._folders
        if self._prefix and not job.is_relative_to(self._prefix):
            folders = [self._prefix, *(folder for folder in folders if not Path(folder).is_relative_to(self._prefix))]
        return tuple(
            dict.fromkeys(folder for folder in folders if Path(folder).is_dir() and not job.is_relative_to(folder))
        )

    def digest(self) -> str:
        """Differs when another interpreter is meant, or other packages or versions are installed."""
        names = {entry.name for folder in self._search if Path(folder).is_dir() for entry in os.scandir(folder)}
        installed = sorted(name for name in names if name.endswith((".dist-info", ".egg-info", ".egg-link")))
        return hashlib.sha256(json.dumps([str(self.path), installed]).encode()).hexdigest()


def own() -> Interpreter:
    """The Python that this runs in."""
    return Interpreter(**_describe())  # type: ignore[arg-type]


@functools.cache
def of(path: Path) -> Interpreter:
    """Another one, asked once.

    Raises:
        InterpreterError: It cannot be run.
    """
    if path == Path(sys.executable):
        return own()
    try:
        done = subprocess.run(  # noqa: S603 - the user has named it
            [str(path), "-B", __file__],
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
            env={"PATH": os.defpath},
        )
        return Interpreter(**json.loads(done.stdout))
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise InterpreterError(f"{path} is no Python that can be run: {error}") from error


def _describe() -> dict[str, str | list[str]]:
    paths = sysconfig.get_paths()
    folders = [paths["purelib"], paths["platlib"], paths["scripts"]]
    if site.ENABLE_USER_SITE and site.getusersitepackages() in sys.path:
        folders += [site.getusersitepackages(), os.path.join(site.getuserbase(), "bin")]  # noqa: PTH118 - text goes out
    return {
        "path": sys.executable,
        "prefix": sys.prefix if sys.prefix != sys.base_prefix else "",
        "folders": folders,
        "search": [entry for entry in sys.path if entry],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_describe()))
