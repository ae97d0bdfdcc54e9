"""In the worker: which files of the project a structure is made from, and no way to the network."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Final

from mlops_sm.compile.dependencies import PACKAGE_ROOT, record
from mlops_sm.compile.structure import Dependency

_LOOKUPS: Final = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
_NETWORK: Final = _LOOKUPS | {"socket.connect", "socket.sendto", "socket.sendmsg"}
_LISTINGS: Final = frozenset({"os.listdir", "os.scandir"})
_PROGRAMS: Final = frozenset({"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn"})
_WATCHED: Final = _NETWORK | _LISTINGS | _PROGRAMS | {"open"}

_STANDARD_LIBRARY: Final = sysconfig.get_path("stdlib") + os.sep
_SITE_PACKAGES: Final = f"{os.sep}site-packages{os.sep}"
_OURS: Final = str(PACKAGE_ROOT / "mlops_sm") + os.sep

_NAMERS: Final = (
    str(Path("sagemaker", "core", "workflow", "utilities.py")),
    str(Path(_OURS, "builders", "context.py")),
)
"""Code that reads a project's files only to name an upload, which the link stage renames, or to word a problem."""


class NetworkRefusedError(Exception):
    """Something tried to reach the network; not an OSError, because clients retry those."""


class Watch:
    """Python's audit events of this process, for good: an audit hook cannot be removed.

    The network is refused from the start; files are recorded from `start` on. What is not seen: whether a path exists
    (``Path.exists``), and files opened by C libraries on their own.

    Args:
        project_root: Only files below it are recorded; virtual environments and this package are not the project's.
    """

    def __init__(self, project_root: Path) -> None:
        self._root = project_root
        self._prefix = str(project_root) + os.sep
        # a virtual environment in the project is not the project; a project below /usr is not the Python there
        interpreters = {f"{p}{os.sep}" for p in (sys.prefix, sys.base_prefix)}
        self._foreign = (_OURS, *(p for p in interpreters if not self._prefix.startswith(p)))
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._programs: list[str] = []
        self._recording = False
        sys.addaudithook(self._on_event)

    def start(self) -> None:
        """Record from now on."""
        self._recording = True

    def stop(self) -> None:
        """Record no more; the network stays refused."""
        self._recording = False

    @property
    def programs(self) -> tuple[str, ...]:
        """Programs the project's code started: their output may depend on anything."""
        return tuple(self._programs)

    def dependencies(self) -> tuple[Dependency, ...]:
        """Everything recorded, with the project's and our modules that are loaded, as they are on disk now."""
        modules = {str(m.__file__) for m in list(sys.modules.values()) if getattr(m, "__file__", None)}
        files = self._files | {path for path in modules if self._is_project(path)}
        found = [
            *(record("project", self._root, Path(path)) for path in sorted(files)),
            *(record("project", self._root, Path(path), listing=True) for path in sorted(self._folders)),
            *(record("package", PACKAGE_ROOT, Path(path)) for path in sorted(modules) if path.startswith(_OURS)),
        ]
        return tuple(found)

    def _on_event(self, event: str, arguments: tuple[object, ...]) -> None:
        if event not in _WATCHED:
            return
        if event in _NETWORK:
            raise NetworkRefusedError(_target(event, arguments))
        if not self._recording:
            return
        if event in _PROGRAMS:
            if self._is_project(_caller(sys._getframe(1)) or ""):
                self._programs.append(str(arguments[0]))
            return
        path = _absolute(arguments[0])
        if path is None or not self._is_project(path):
            return
        caller = _caller(sys._getframe(1))
        if caller is not None and caller.endswith(_NAMERS):
            return
        if event in _LISTINGS:
            # looking for modules lists folders too; which modules were found is known
            if caller is not None:
                self._folders.add(path)
        elif _reads(arguments):
            self._files.add(path)

    def _is_project(self, path: str) -> bool:
        if not path.startswith(self._prefix) and path != str(self._root):
            return False
        return _SITE_PACKAGES not in path and "__pycache__" not in path and not path.startswith(self._foreign)


def _target(event: str, arguments: tuple[object, ...]) -> str:
    """Where it wanted to go: ``host:port``, or the path of a local socket."""
    # the address comes after the socket; the look-ups have no socket, and their host and port are arguments themselves
    address = arguments if event in _LOOKUPS else arguments[1]
    match address:
        case (str(host), int(port), *_):
            return f"{host}:{port}"
        case (host, *_):
            return str(host)
        case _:
            return str(address)


def _absolute(path: object) -> str | None:
    if path is None:
        return str(Path.cwd())
    if not isinstance(path, (str, bytes, os.PathLike)):
        return None  # a descriptor of something that was opened before
    text = os.fsdecode(path)
    return os.path.normpath(text if text.startswith(os.sep) else Path.cwd() / text)


def _reads(arguments: tuple[object, ...]) -> bool:
    flags = arguments[2]
    return not isinstance(flags, int) or flags & os.O_ACCMODE != os.O_WRONLY


def _caller(frame: FrameType | None) -> str | None:
    """The innermost file outside of the standard library, or None inside of the import system."""
    for each in _frames(frame):
        name = each.f_code.co_filename
        if name.startswith("<frozen importlib"):
            return None
        if name.startswith("<frozen") or (name.startswith(_STANDARD_LIBRARY) and _SITE_PACKAGES not in name):
            continue
        return name
    return None


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
