"""The `preload` layer: a small library, loaded before all others, leads a job's programs to its folders.

For Linux where neither namespaces nor a link are possible. The library is compiled when it is first needed.
"""

from __future__ import annotations

import hashlib
import os
import platform as machine
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from mlops_sm.local.isolation.layer import ML, Capabilities, Fact, Forks, Launch, Process, Way
from mlops_sm.local.isolation.linux import not_linux
from mlops_sm.local.isolation.rewriting import Rewriting
from mlops_sm.local.isolation.starting import Layer

_SOURCE: Final = Path(__file__).with_name("preload.c")
_COMPILERS: Final = ("cc", "gcc", "clang")
_FLAGS: Final = ("-shared", "-fPIC", "-O2", "-w")
_COMPILE_TIMEOUT: Final = 120.0
_OWNER_ONLY: Final = 0o700


class PreloadIsolation(Layer):
    """Starts each job with the library; every program that the job starts has it too.

    Args:
        platform: ``sys.platform``.
        cache: Where the compiled library is kept; the user's cache folder when absent.
        environ: Where HOME, XDG_CACHE_HOME and PATH are read.
    """

    def __init__(
        self, platform: str = sys.platform, cache: Path | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        super().__init__()
        self._platform = platform
        self._cache = cache
        self._environ = environ
        self._library: Path | None = None

    @property
    def name(self) -> str:
        """``preload``."""
        return "preload"

    @property
    def capabilities(self) -> Capabilities:
        """All but forks of warm workers, which were started without the library."""
        return Capabilities(warm=False, mounts=False)

    def _begin(self, launch: Launch, forks: Forks | None) -> Process:
        ml, scratch = str(launch.ml.resolve()), str(launch.scratch.resolve())
        here = Rewriting.of(ml=ml, scratch=scratch)
        environment = dict(launch.environment)
        environment["LD_PRELOAD"] = ":".join(filter(None, [str(self._library), environment.get("LD_PRELOAD", "")]))
        environment |= {"MLOPS_SM_ML": ml, "MLOPS_SM_SCRATCH": scratch}
        # Programs are looked up by the C library itself, which the library before it does not see.
        environment["PATH"] = here.text(environment.get("PATH", os.defpath))
        for folder in launch.read_only:
            environment["MLOPS_SM_READ_ONLY"] = here.text(folder)
        if not launch.network:
            environment["MLOPS_SM_NETWORK"] = "none"
        program, *arguments = launch.argv
        led = replace(launch, argv=(here.text(program), *arguments), environment=environment, cwd=here.text(launch.cwd))
        return self._launcher.start(led, Way())

    def _try(self) -> Fact:
        if not self._platform.startswith("linux"):
            return not_linux(self.name, self._platform)
        try:
            self._library = self._compile()
        except _CannotCompileError as error:
            return Fact(
                self.name, ok=False, detail=str(error), fix="Install a C compiler, e.g. apt-get install gcc libc6-dev."
            )
        reason = self._trial()
        if reason:
            return Fact(self.name, ok=False, detail=reason, fix='See what "mlops-sm doctor" says of the other ways.')
        return Fact(self.name, ok=True, detail=f"every job is led to its own {ML} by {self._library}")

    def _compile(self) -> Path:
        """The library; compiled unless it is there for this source, this compiler's machine and this C library."""
        source = _SOURCE.read_bytes()
        key = hashlib.sha256(source + repr((machine.machine(), machine.libc_ver())).encode()).hexdigest()[:16]
        library = self._folder() / f"preload-{key}.so"
        if library.is_file():
            return library
        path = self._environ.get("PATH", os.defpath)
        compiler = next(filter(None, (shutil.which(name, path=path) for name in _COMPILERS)), None)
        if compiler is None:
            raise _CannotCompileError(f"no C compiler ({', '.join(_COMPILERS)}) is on the PATH")
        descriptor, name = tempfile.mkstemp(dir=library.parent, suffix=".so")
        os.close(descriptor)
        fresh = Path(name)
        try:
            done = subprocess.run(  # noqa: S603 - the user's own compiler
                [compiler, *_FLAGS, "-o", str(fresh), str(_SOURCE), "-ldl"],
                capture_output=True,
                text=True,
                timeout=_COMPILE_TIMEOUT,
                check=False,
                stdin=subprocess.DEVNULL,
            )
            if done.returncode != 0:
                words = (done.stderr.strip() or f"it exits with {done.returncode}").splitlines()
                raise _CannotCompileError(f"{compiler} cannot compile the library: {words[0]}")
            # In one move: another process may be doing the same.
            fresh.rename(library)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _CannotCompileError(f"{compiler} cannot compile the library: {error}") from error
        finally:
            fresh.unlink(missing_ok=True)
        return library

    def _folder(self) -> Path:
        """Where the library is kept: a folder that nobody else can write to, because programs load what is in it."""
        if self._cache is not None:
            return self._cache
        home = self._environ.get("XDG_CACHE_HOME") or f"{self._environ.get('HOME', '')}/.cache"
        for folder in (Path(home, "mlops-sm"), Path(tempfile.gettempdir(), f"mlops-sm-{os.geteuid()}")):
            if not folder.is_absolute():
                continue
            try:
                folder.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
                status = folder.lstat()
            except OSError:
                continue
            if not folder.is_symlink() and status.st_uid == os.geteuid() and not status.st_mode & 0o022:
                return folder
        raise _CannotCompileError(f"there is no folder to keep the library in: neither {home} nor the temporary one")


class _CannotCompileError(Exception):
    """The library cannot be had; the message says why."""
