"""Run a Python script in this process the way ``python script.py args`` runs it in a process of its own.

For the forks of a warm worker: the script is ``__main__``, its folder is first on the path, and the end is the one the
interpreter gives: threads joined, exit functions called, files closed, the same exit code and the same traceback.
"""

from __future__ import annotations

import atexit
import builtins
import gc
import importlib.machinery
import itertools
import os
import signal
import sys
import tempfile
import threading
import time
import types
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from mlops_sm.local.isolation.layer import ML
from mlops_sm.local.isolation.supervisor import Request

_CANNOT_OPEN: Final = 2
_FLUSH_FAILED: Final = 120
"""What the interpreter exits with when stdout cannot be flushed at its end."""


def run(request: Request) -> NoReturn:
    """Become the job: take its environment and run ``argv[1]`` with the arguments after it.

    The process has the start environment of the worker in /proc/self/environ whatever is put into os.environ here,
    which is why the worker's is scrubbed.
    """
    environment: dict[str, str] = request["environment"]
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.path[:0] = [entry for entry in environment.get("PYTHONPATH", "").split(":") if entry]
    _forget_the_worker()
    script, *arguments = request["argv"][1:]
    code = _run_as_main(script, arguments)
    with suppress(BaseException):
        sys.stderr.flush()
    os._exit(code)


def _run_as_main(script: str, arguments: list[str]) -> int:
    path = Path(script).absolute()
    sys.argv = [script, *arguments]
    sys.orig_argv = [sys.executable, script, *arguments]
    try:
        source = path.read_bytes()
    except OSError as error:
        sys.stderr.write(f"{sys.executable}: can't open file '{path}': [Errno {error.errno}] {error.strerror}\n")
        return _CANNOT_OPEN
    sys.path.insert(0, str(path.resolve().parent))
    main = types.ModuleType("__main__")
    main.__dict__.update(
        __file__=str(path),
        __builtins__=builtins,
        __loader__=importlib.machinery.SourceFileLoader("__main__", str(path)),
        __cached__=None,
    )
    newest = next(reversed(sys.modules))
    sys.modules["__main__"] = main
    code = 0
    try:
        # dont_inherit: this module's own __future__ imports are not the script's.
        exec(compile(source, path, "exec", dont_inherit=True), main.__dict__)  # noqa: S102 - running it is the purpose
    except SystemExit as end:
        code = _exit_code(end)
    except KeyboardInterrupt as interrupt:
        _report(interrupt)
        _finish(main, newest)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException as error:
        _report(error)
        code = 1
    return _finish(main, newest) or code


def _exit_code(end: SystemExit) -> int:
    if end.code is None:
        return 0
    if isinstance(end.code, int):
        return end.code & 0xFF
    with suppress(Exception):
        sys.stderr.write(f"{end.code}\n")
    return 1


def _report(error: BaseException) -> None:
    """Print the traceback without this module's frame, through the script's own hook if it set one."""
    trace = error.__traceback__.tb_next if error.__traceback__ is not None else None
    try:
        sys.excepthook(type(error), error.with_traceback(trace), trace)
    except BaseException as broken:  # a broken hook must not hide the error
        sys.stderr.write(f"Error in sys.excepthook:\n{broken!r}\n\nOriginal exception was:\n")
        sys.__excepthook__(type(error), error, trace)


def _finish(main: types.ModuleType, newest: str) -> int:
    """Do what the interpreter does at its end, without taking the big imported libraries apart."""
    threading._shutdown()  # type: ignore[attr-defined]  # the only way to wait for non-daemon threads as the interpreter does
    atexit._run_exitfuncs()
    try:
        if not sys.stdout.closed:
            sys.stdout.flush()
    except OSError:
        return _FLUSH_FAILED
    # Files that were never closed are written when their last reference goes, which is in a module's namespace.
    own = [module for module in _modules_since(newest) if _is_from_the_job(module)]
    for module in (main, *own):
        module.__dict__.clear()
    gc.collect()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    return 0


def _modules_since(name: str) -> Iterator[object]:
    """What was imported after a module. No other is touched: the fork would copy the memory it is in, milliseconds."""
    for later in list(itertools.takewhile(lambda each: each != name, reversed(sys.modules))):
        yield sys.modules.get(later)


def _is_from_the_job(module: object) -> bool:
    return str(getattr(module, "__file__", None) or "").startswith(ML + "/")


def _forget_the_worker() -> None:
    """Undo what the worker remembers for itself and would share with every job.

    numpy's global generator was seeded once, in the worker; Python's own reseeds itself after a fork.
    """
    random = sys.modules.get("numpy.random")
    if random is not None:
        random.seed()
    tempfile.tempdir = None
