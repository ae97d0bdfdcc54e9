"""Leads a Python to its job's folders: what it calls with a path below /opt/ml is called with the path on this machine.

The standard library only, and nothing newer than Python 3.8: a job's Python need not be the one of this package. What
Python does itself is led; what would slip past it and can be seen is refused.
"""

from __future__ import annotations

import errno
import os
import sys

TYPE_CHECKING = False
"""Known to type checkers by its name; every Python of a job would wait for `typing` itself."""
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

ML = "/opt/ml"
SCRATCH = "/opt/mlops-sm"
VARIABLES = {ML: "MLOPS_SM_ML", SCRATCH: "MLOPS_SM_SCRATCH"}
"""Path of the job -> variable that holds the path on this machine."""

_SUFFIXES = (".py", ".sh", ".bash", ".json", ".yaml", ".yml", ".toml", ".cfg", ".ini")
_MAX_BYTES = 1_000_000
_MAX_FILES = 500

_ONE_PATH = (
    *("access", "chdir", "chflags", "chmod", "chown", "chroot", "getxattr", "lchflags", "lchmod", "lchown", "listdir"),
    *("listxattr", "lstat", "mkdir", "mkfifo", "mknod", "open", "pathconf", "readlink", "remove", "removexattr"),
    *("rmdir", "scandir", "setxattr", "stat", "statvfs", "truncate", "unlink", "utime"),
)
_TWO_PATHS = ("link", "rename", "replace", "symlink")
_SEEN = frozenset(
    (
        *("open", "sqlite3.connect", "ctypes.dlopen", "os.system", "os.exec"),
        *("os.posix_spawn", "os.listdir", "os.scandir", "os.mkdir", "os.rmdir", "os.remove", "os.rename", "os.link"),
        *("os.symlink", "os.truncate", "os.chmod", "os.chown", "os.utime", "os.chdir", "os.setxattr"),
    )
)
"""Events that functions of C announce just before they do it, with the path that they were given."""


def rewrite_text(text: str, places: Mapping[str, str]) -> str:
    """Replace every path of the job in a text: ``/opt/ml/model`` and ``--out=/opt/ml``, but not ``s3://b/opt/ml``."""
    if not any(path in text for path in places):
        return text
    import re  # noqa: PLC0415 - most processes need it never, and every one would wait for it

    for path, place in places.items():
        whole = rf"(?:(?<=file://)|(?<![\w./~}})*-])){re.escape(path)}(?![\w.-])"
        text = re.sub(whole, place.replace("\\", r"\\"), text)
    return text


def rewrite_files(paths: Iterable[str], places: Mapping[str, str]) -> None:
    """Rewrite programs and their settings; what is none, no plain file, no text or large stays as it is."""
    for path in paths:
        try:
            if os.path.islink(path) or not os.path.isfile(path) or os.path.getsize(path) > _MAX_BYTES:
                continue
            with open(path, "rb") as file:
                raw = file.read()
            if not (path.endswith(_SUFFIXES) or raw.startswith(b"#!")):
                continue
            text = raw.decode()
            rewritten = rewrite_text(text, places)
            if rewritten != text:
                _replace(path, rewritten.encode())
        except (OSError, UnicodeDecodeError):
            continue


def _replace(path: str, content: bytes) -> None:
    """In one move: it may be another name of a file that is not the job's, and several processes may do the same."""
    fresh = f"{path}.{os.getpid()}.led"
    with open(fresh, "wb") as file:
        file.write(content)
    os.chmod(fresh, os.stat(path).st_mode & 0o7777)
    os.replace(fresh, path)


def files_below(folder: str) -> list[str]:
    """The first files of a folder, in no order; links are not followed."""
    found: list[str] = []
    for place, _, names in os.walk(folder):
        found += [os.path.join(place, name) for name in names]
        if len(found) > _MAX_FILES:
            break
    return found[:_MAX_FILES]


class Led:
    """A function that is called with the paths on this machine.

    An object rather than a function: as an attribute of a class it must not become a method, as a function of C does
    not.

    Args:
        function: What is called.
        change: Makes the arguments those on this machine.
        named: The same for arguments that are given by their name.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        change: Callable[..., tuple[Any, ...]],
        named: Mapping[str, Callable[[Any], Any]],
    ) -> None:
        self.__wrapped__ = function
        self.__name__ = self.__qualname__ = function.__name__
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__
        self._function = function
        self._change = change
        self._named = named

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call it."""
        if named:
            named = {name: self._named.get(name, _same)(value) for name, value in named.items()}
        return self._function(*self._change(*arguments), **named)

    def __reduce__(self) -> str:
        """Found by its name, as a function of C is."""
        return self.__name__

    def __repr__(self) -> str:
        """As the function's."""
        return repr(self._function)


def _same(value: Any) -> Any:
    return value


def _each(*changes: Callable[[Any], Any]) -> Callable[..., tuple[Any, ...]]:
    """Changes the first arguments, each in its way."""

    def change(*arguments: Any) -> tuple[Any, ...]:
        led = [way(argument) for way, argument in zip(changes, arguments)]  # noqa: B905 - Python 3.8
        return (*led, *arguments[len(changes) :])

    return change


class Leading:
    """Where the paths of a job lead.

    Args:
        places: Path of the job -> path on this machine.
        folder: The folder that every Python of the job has first on its path.
    """

    def __init__(self, places: Mapping[str, str], folder: str) -> None:
        self.places = dict(places)
        self.folder = folder
        self._bytes = {os.fsencode(path): os.fsencode(place) for path, place in places.items()}

    def path(self, path: Any) -> Any:
        """A path on this machine; what is none below the job's, or no path at all, is handed back."""
        if isinstance(path, int) or path is None:
            return path
        try:
            text = os.fspath(path)
        except TypeError:
            return path
        if isinstance(text, str):
            return self._led(text, path, self.places, "/", "opt")
        return self._led(text, path, self._bytes, b"/", b"opt")

    @staticmethod
    def _led(text: Any, path: Any, places: Mapping[Any, Any], slash: Any, mark: Any) -> Any:
        if text[:1] != slash or mark not in text:
            return path
        for form in (text, os.path.normpath(text)):
            # normpath keeps two slashes at the beginning.
            whole = form[1:] if form[:2] == slash + slash else form
            for below, place in places.items():
                if whole.startswith(below) and whole[len(below) : len(below) + 1] in (slash[:0], slash):
                    return place + whole[len(below) :]
        return path

    def word(self, word: Any) -> Any:
        """A word of a command: a path, or a text with paths in it."""
        try:
            text = os.fspath(word)
        except TypeError:
            return word
        if isinstance(text, bytes):
            return os.fsencode(rewrite_text(os.fsdecode(text), self.places))
        return rewrite_text(text, self.places)

    def words(self, words: Any) -> Any:
        """A command."""
        return [self.word(word) for word in words] if isinstance(words, (list, tuple)) else words

    def variables(self, variables: Any) -> Any:
        """The environment of another program: a mapping, or lines of bytes. It is led, too."""
        if variables is None:
            return None
        if not isinstance(variables, (list, tuple)):
            return {name: self.variable(name, value) for name, value in self._ours(variables).items()}
        pairs = dict(line.partition(b"=")[::2] for line in variables)
        given = {os.fsdecode(name): os.fsdecode(value) for name, value in pairs.items()}
        return [os.fsencode(f"{name}={self.variable(name, value)}") for name, value in self._ours(given).items()]

    def _ours(self, variables: Any) -> dict[Any, Any]:
        own: Any = {variable: self.places[path] for path, variable in VARIABLES.items() if path in self.places}
        own["PYTHONPATH"] = ""
        kind = next(iter(variables), "")
        if isinstance(kind, bytes):
            own = {os.fsencode(name): os.fsencode(value) for name, value in own.items()}
        return {**own, **variables}

    def variable(self, name: Any, value: Any) -> Any:
        """The value of a variable as another program gets it."""
        led = self.word(value)
        if name not in ("PYTHONPATH", b"PYTHONPATH"):
            return led
        rest = [entry for entry in os.fsdecode(led).split(":") if entry and entry != self.folder]
        whole = ":".join([self.folder, *rest])
        return os.fsencode(whole) if isinstance(led, bytes) else whole

    def install(self) -> None:
        """Lead this process, and every Python that it starts."""
        import _io  # noqa: PLC0415 - another name of what is led
        import builtins  # noqa: PLC0415
        import io  # noqa: PLC0415
        import posix  # noqa: PLC0415

        system = (os, posix)
        for name in _ONE_PATH:
            self._lead(system, name, _each(self.path))
        for name in _TWO_PATHS:
            self._lead(system, name, _each(self.path, self.path))
        self._lead((builtins, io, _io), "open", _each(self.path))
        self._lead((io, _io), "open_code", _each(self.path))
        self._lead(system, "execv", _each(self.path, self.words))
        for name in ("execve", "posix_spawn", "posix_spawnp"):
            self._lead(system, name, _each(self.path, self.words, self.variables))
        self._lead(system, "system", _each(self.word))
        self._lead(system, "putenv", lambda name, value: (name, self.variable(name, value)))
        self._lead(system, "unsetenv", lambda name: (self._forgotten(name),))
        try:
            import _posixsubprocess  # noqa: PLC0415 - what `subprocess` and `multiprocessing` start programs by
        except ImportError:
            pass  # another implementation of Python, which starts them by what is led already
        else:
            fork = _each(self.words, self._programs, _same, _same, self.path, self.variables)
            self._lead((_posixsubprocess,), "fork_exec", fork)
        sys.path_hooks.insert(0, self._find)
        sys.addaudithook(self._refuse)

    def _lead(self, modules: Sequence[Any], name: str, change: Callable[..., tuple[Any, ...]]) -> None:
        function = getattr(modules[0], name, None)
        if function is None:
            return  # not on this system
        named = {each: self.path for each in ("path", "src", "dst", "file")}
        led = Led(function, change, {**named, "argv": self.words, "env": self.variables, "command": self.word})
        for module in modules:
            setattr(module, name, led)
        # What else can be done with it is asked of these.
        for able in (os.supports_dir_fd, os.supports_effective_ids, os.supports_fd, os.supports_follow_symlinks):
            if function in able:
                able.add(led)

    def _programs(self, paths: Any) -> tuple[Any, ...]:
        return tuple(self.path(each) for each in paths)

    def _forgotten(self, name: Any) -> Any:
        """A variable to forget: not those by which other programs are led, and nothing instead of them."""
        text = os.fsdecode(name)
        if text == "PYTHONPATH":
            os.putenv("PYTHONPATH", "")
        return f"{text}_" if text == "PYTHONPATH" or text in VARIABLES.values() else name

    def _find(self, entry: str) -> Any:
        """What finds modules in a folder of the job."""
        place = self.path(entry)
        if place == entry:
            raise ImportError(entry)
        for hook in sys.path_hooks:
            if hook != self._find:
                try:
                    return hook(place)
                except ImportError:
                    continue
        raise ImportError(entry)

    def _refuse(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _SEEN:
            return
        for each in arguments:
            if isinstance(each, (str, bytes, os.PathLike)) and self.path(each) is not each:
                raise PermissionError(
                    errno.EACCES,
                    "E428: this would go to the machine's own /opt/ml instead of the job's, because it does not go "
                    "through Python's functions. Take the folder from a variable (SM_MODEL_DIR, SM_CHANNEL_...) or "
                    "from an argument, or write the whole path into the script",
                    os.fsdecode(each),
                )


def install(folder: str, environment: Mapping[str, str]) -> bool:
    """Lead this process if it belongs to a job; whether it does.

    Args:
        folder: What every Python of the job has first on its path.
        environment: Of this process.
    """
    places = {path: environment[name] for path, name in VARIABLES.items() if environment.get(name)}
    if ML not in places:
        return False
    code = _code_folder(getattr(sys, "orig_argv", []), os.getcwd(), os.path.realpath(places[ML]))
    if code is not None:
        rewrite_files(files_below(code), places)
    Leading(places, folder).install()
    return True


def _code_folder(argv: list[str], cwd: str, ml: str) -> str | None:
    """The folder of the program that this Python is to run, when it is one of the job's own."""
    words = iter(argv[1:])
    for word in words:
        if word in ("-c", "-"):
            return None
        if word == "-m":
            folder = os.path.realpath(cwd)
        elif word in ("-W", "-X"):
            next(words, None)
            continue
        elif word.startswith("-"):
            continue
        else:
            folder = os.path.dirname(os.path.realpath(os.path.join(cwd, word)))
        return folder if folder.startswith(ml + "/") else None
    return None
