"""Requirements that programs of the SageMaker SDK install while the job runs: provided before, and so kept.

The SDK's ModelTrainer and FrameworkProcessor send a shell script that has pip install a file of the source code; a
function as a step brings the file in a channel. What is provided before is satisfied then; a package that cannot be had
fails the job with its name, before it starts.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mlops_sm.local.jobs.folder import JobFolder
from mlops_sm.local.jobs.packages import install
from mlops_sm.local.site import Site

_INSTALLS: Final = re.compile(r"(?:install_requirements\.py|pip install -r)\s+'?([^\s';]+)")
_MAX_SCRIPT: Final = 1 << 20
_MAX_TEXT: Final = 1 << 20
_UNPACKED: Final = "requirements"
_FUNCTION: Final = "input/data/pre_exec_script_and_dependencies"
"""The channel of a function's requirements, and of commands that may have pip install what they like."""


def install_for_sdk(folder: JobFolder, site: Site, python: Path | None = None) -> None:
    """Give a job the packages that the SDK's own scripts would install.

    Raises:
        JobFailureError: They cannot be had.
    """
    for requirements in _files(folder):
        install(requirements, folder, site, python=python, what=requirements.name)
    if any(_of_a_function(folder)) and not (folder.ml / _FUNCTION / "pre_exec.sh").is_file():
        # It has pip look for newer versions of what it was given, for minutes where there is no network.
        settings = folder.scratch / ".config/pip/pip.conf"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text("[install]\nno-index = true\n")


def _files(folder: JobFolder) -> Iterator[Path]:
    trainer = folder.ml / "input/data/sm_drivers/sm_train.sh"
    for name in _named_in(trainer):
        yield folder.ml / "input/data/code" / name
    yield from _of_a_function(folder)
    for script in sorted(folder.ml.glob("processing/input/*/runproc.sh")):
        for name in _named_in(script):
            yield from _out_of(folder.ml / "processing/input/code/sourcedir.tar.gz", name, folder)


def _of_a_function(folder: JobFolder) -> list[Path]:
    return sorted((folder.ml / _FUNCTION).glob("*.txt"))


def _named_in(script: Path) -> list[str]:
    if not script.is_file() or script.stat().st_size > _MAX_SCRIPT:
        return []
    return list(dict.fromkeys(_INSTALLS.findall(script.read_text("utf-8", "replace"))))


def _out_of(archive: Path, name: str, folder: JobFolder) -> Iterator[Path]:
    """A text of an archive; nothing when it is not there: the job will say what it thinks of that."""
    target = folder.scratch / _UNPACKED / Path(name).name
    try:
        with tarfile.open(archive) as source:
            member = source.getmember(name)
            content = source.extractfile(member) if member.isfile() and member.size <= _MAX_TEXT else None
            if content is None:
                return
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(content.read())
    except (OSError, KeyError, tarfile.TarError):
        return
    yield target
