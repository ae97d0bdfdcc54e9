"""The packages of a requirements.txt, for one job: installed into a folder beside the job's Python, never into it.

What is installed depends on the requirements, on the Python and on what that has already; the folder is kept by these,
so that the next job with the same requirements starts at once, also offline. pip decides what is needed, by the
configuration that the caller has: indexes, folders of wheels, proxies.
"""

from __future__ import annotations

import ensurepip
import fcntl
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.local import interpreter
from mlops_sm.local.images import Image
from mlops_sm.local.interpreter import Interpreter, InterpreterError
from mlops_sm.local.isolation.layer import SCRATCH
from mlops_sm.local.jobs.folder import JobFailureError, JobFolder
from mlops_sm.local.jobs.requirements import unsatisfied
from mlops_sm.local.site import Site

_PACKAGES: Final = "packages"
_PYTHON: Final = "python"
_INSTALLED: Final = f"{SCRATCH}/installed"
_NESTED: Final = re.compile(r"^\s*(?:-r|--requirement|-c|--constraint)[\s=]+(\S+)")
_OPTION: Final = re.compile(r"^\s*--?[a-z]")
_NOT_OPTIONS: Final = ("-r", "--requirement", "-c", "--constraint", "-e", "--editable", "--hash")
_ERROR: Final = re.compile(r"^\s*ERROR: (.+)$", re.MULTILINE)
_BLAMED: Final = re.compile(r"(?:No matching distribution found for|satisfies the requirement) ([^(\n]+)")
_WORDS: Final = 500
_SETTINGS: Final = {
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
    # Nothing is installed into what the distribution manages.
    "PIP_BREAK_SYSTEM_PACKAGES": "1",
}
_AGAINST_US: Final = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIRE_VIRTUALENV", "PYTHONHOME")
"""Settings that would have pip install elsewhere."""


def install(
    requirements: Path, folder: JobFolder, site: Site, *, python: Path | None = None, what: str = "requirements.txt"
) -> None:
    """Give a job the packages that a file asks for and its Python lacks.

    Args:
        requirements: The file; one that does not exist asks for nothing.
        folder: The job's folder.
        site: Where it runs.
        python: The job's Python; this one by default.
        what: How a failure names the file.

    Raises:
        JobFailureError: They cannot be had.
    """
    if not requirements.is_file() or (python is None and not unsatisfied(requirements)):
        return
    try:
        job_python = interpreter.of(python or Path(sys.executable))
    except InterpreterError as error:
        raise JobFailureError(f"ClientError: {error}") from error
    links = folder.scratch / _PACKAGES
    before = [link.resolve() for link in _links(folder)]
    kept = _Kept(site.package_folder, job_python, requirements, before, what)
    found = kept.find_or_make(folder.log)
    if any(found.iterdir()):
        links.mkdir(exist_ok=True)
        (links / str(len(before))).symlink_to(found)


def furnish(image: Image, folder: JobFolder, site: Site) -> None:
    """Give a job what the image that it runs in has: its Python, and its packages.

    Raises:
        JobFailureError: They cannot be had.
    """
    if image.interpreter is not None:
        shims = folder.scratch / _PYTHON
        shims.mkdir(exist_ok=True)
        # Not links: a Python finds its virtual environment by the path that it was called by.
        python = f'#!/bin/sh\nexec {shlex.quote(str(image.interpreter))}{{}} "$@"\n'
        for name, arguments in {"python": "", "python3": "", "pip": " -m pip", "pip3": " -m pip"}.items():
            (shims / name).write_text(python.format(arguments))
            (shims / name).chmod(0o755)
    if image.requirements is not None:
        install(image.requirements, folder, site, python=image.interpreter, what=str(image.requirements))


def with_packages(environment: Mapping[str, str], folder: JobFolder, site: Site, argv: Sequence[str]) -> dict[str, str]:
    """A job's environment in which it finds the Python and packages it was given, and pip the caller's settings.

    Args:
        environment: The environment without that.
        folder: The job's folder.
        site: Where it runs.
        argv: Its command.
    """
    found = {**_of_the_caller(), **environment}
    # The latest first: it may replace what an earlier one has.
    places = [f"{SCRATCH}/{_PACKAGES}/{link.name}" for link in reversed(_links(folder))]
    programs = [f"{place}/bin" for place in places]
    if not site.isolation.capabilities.mounts and not _is_script(argv):
        # No layer is over the packages of its Python: what it installs itself goes beside it.
        found.setdefault("PIP_PREFIX", _INSTALLED)
        places.insert(0, sysconfig.get_path("purelib", "posix_prefix", vars={"base": _INSTALLED}))
        programs.insert(0, f"{_INSTALLED}/bin")
    if places:
        own = found.get("PYTHONPATH")
        found["PYTHONPATH"] = ":".join([own, *places] if own else places)
    if (folder.scratch / _PYTHON).is_dir():
        programs.append(f"{SCRATCH}/{_PYTHON}")
    if programs:
        found["PATH"] = ":".join([*programs, found.get("PATH", os.defpath)])
    return found


def has_packages(folder: JobFolder) -> bool:
    """Whether a job was given packages: it starts cold, because a warm worker has imported others."""
    return bool(_links(folder))


def _is_script(argv: Sequence[str]) -> bool:
    """Whether it may fork from a warm worker, which has its paths already, and is no program that calls pip first."""
    return Path(argv[0]).name.startswith("python") and "pip" not in argv


def _links(folder: JobFolder) -> list[Path]:
    return sorted((folder.scratch / _PACKAGES).glob("*"), key=lambda link: int(link.name))


def _of_the_caller() -> dict[str, str]:
    """How the caller has configured pip; a job's HOME is its own."""
    found = {name: value for name, value in os.environ.items() if name.startswith("PIP_") and name not in _AGAINST_US}
    for place in (".config/pip/pip.conf", ".pip/pip.conf"):
        if (Path.home() / place).is_file():
            found.setdefault("PIP_CONFIG_FILE", str(Path.home() / place))
            break
    return found | _SETTINGS


@dataclass(frozen=True, slots=True)
class _Kept:
    """The folder that is kept for some requirements."""

    place: Path
    python: Interpreter
    requirements: Path
    before: Sequence[Path]
    what: str

    def find_or_make(self, log: Path) -> Path:
        target = self.place / self._key()
        if target.is_dir():
            return target
        self.place.mkdir(parents=True, exist_ok=True)
        with _alone(self.place / f"{target.name}.lock"):
            if not target.is_dir():
                with tempfile.TemporaryDirectory(dir=self.place, prefix="new-") as made:
                    fresh = Path(made, "packages")
                    fresh.mkdir()
                    self._fill(fresh, Path(made), log)
                    fresh.rename(target)
        return target

    def _key(self) -> str:
        files = _files(self.requirements)
        parts = [self.python.digest(), *map(str, self.before), *(file.read_text("utf-8", "replace") for file in files)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def _fill(self, target: Path, scratch: Path, log: Path) -> None:
        report, pinned = scratch / "report.json", scratch / "pinned.txt"
        self._pip("--dry-run", "--quiet", "--report", str(report), "-r", str(self.requirements), log=log)
        wanted = _pinned(json.loads(report.read_text())["install"])
        if not wanted:
            return
        # What the files say of indexes and folders of wheels holds for what was chosen from them, too.
        pinned.write_text("\n".join([*_options(self.requirements), *wanted]) + "\n")
        self._pip("--no-deps", "--target", str(target), "-r", str(pinned), log=log)

    def _pip(self, *arguments: str, log: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in _AGAINST_US}
        environment |= _SETTINGS | {"PYTHONPATH": ":".join(map(str, self.before))}
        # Without a network there is nothing to wait for.
        environment.setdefault("PIP_RETRIES", "1")
        done = self._run(["-m", "pip"], arguments, environment)
        if done.returncode and "No module named pip" in done.stderr:
            wheel = next(Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl"), None)
            if wheel is not None:
                done = self._run([str(wheel / "pip")], arguments, environment)
        with log.open("a") as file:
            file.write(done.stdout + done.stderr)
        if done.returncode:
            raise self._failure(done.stderr)

    def _run(
        self, pip: list[str], arguments: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - pip, with what the user asks for
            [str(self.python.path), *pip, "install", *arguments],
            cwd=self.requirements.parent,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )

    def _failure(self, words: str) -> JobFailureError:
        blamed = _BLAMED.search(words)
        name = f'"{blamed[1].strip()}" of {self.what}' if blamed else self.what
        errors = _ERROR.findall(words)
        said = (errors[0] if errors else words.strip().rpartition("\n")[2] or "no words")[:_WORDS]
        return JobFailureError(
            f"AlgorithmError: InstallRequirementsError: {name} cannot be installed: {said}. Install it into the Python "
            f"that runs jobs ({self.python.path} -m pip install ...), or set PIP_FIND_LINKS to a folder that holds its "
            "wheels; what was installed once is kept for jobs without a network. The whole answer of pip is in the log."
        )


def _pinned(items: Sequence[Mapping[str, Json]]) -> list[str]:
    """What pip chose, as lines of a requirements file: the very archives, if it has the digests of all of them."""
    digests = [(item["download_info"].get("archive_info") or {}).get("hashes", {}).get("sha256") for item in items]
    lines = [_pin(item) for item in items]
    if not all(digests):
        return lines
    return [f"{line} --hash=sha256:{digest}" for line, digest in zip(lines, digests, strict=True)]


def _pin(item: Mapping[str, Json]) -> str:
    name = item["metadata"]["name"]
    if item.get("is_direct"):
        return f"{name} @ {item['download_info']['url']}"
    return f"{name}=={item['metadata']['version']}"


def _files(requirements: Path) -> list[Path]:
    """The file and all that it includes."""
    found: list[Path] = []
    waiting = [requirements]
    while waiting:
        file = waiting.pop()
        if file in found or not file.is_file():
            continue
        found.append(file)
        for line in file.read_text("utf-8", "replace").splitlines():
            nested = _NESTED.match(line)
            if nested:
                waiting.append((file.parent / nested[1]).resolve())
    return found


def _options(requirements: Path) -> list[str]:
    """The lines that are options of pip, of the file and all that it includes."""
    lines = (line.strip() for file in _files(requirements) for line in file.read_text("utf-8", "replace").splitlines())
    return [line for line in lines if _OPTION.match(line) and not line.startswith(_NOT_OPTIONS)]


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One process and thread at a time."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
