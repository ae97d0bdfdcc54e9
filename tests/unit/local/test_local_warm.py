"""A fork of a warm worker behaves as a process of its own, and starts only where that is so."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_sm.local.isolation.layer import Launch
from mlops_sm.local.isolation.linux import NamespaceIsolation
from mlops_sm.local.warm import WarmWorkers, imports_of, probe


@pytest.fixture
def fragile(isolation: NamespaceIsolation) -> Iterator[WarmWorkers]:
    workers = WarmWorkers()
    yield workers
    workers.close()


SCRIPTS = {
    "success": "print('fine')",
    "no newline at the end": "import sys\nsys.stdout.write('x')",
    "exit 3": "import sys\nsys.exit(3)",
    "exit 256": "import sys\nsys.exit(256)",
    "exit -1": "import sys\nsys.exit(-1)",
    "exit True": "import sys\nsys.exit(True)",
    "exit None": "import sys\nsys.exit()",
    "exit text": "import sys\nsys.exit('went wrong')",
    "exit object": "import sys\nsys.exit({'a': 1})",
    "os._exit": "import os\nos._exit(9)",
    "exception": "def inner():\n    raise ValueError('boom')\n\ninner()",
    "chained": "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise KeyError('key') from error",
    "group": "raise ExceptionGroup('many', [ValueError(1), TypeError(2)])",
    "syntax error": "print('never'\nx = = 1",
    "keyboard interrupt": "raise KeyboardInterrupt",
    "sigterm": "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)",
    "sigkill": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "abort": "import os\nos.abort()",
    "own excepthook": "import sys\nsys.excepthook = lambda kind, value, trace: print(value)\nraise ValueError('boom')",
    "broken pipe": "import signal\nprint(signal.getsignal(signal.SIGPIPE), signal.getsignal(signal.SIGINT).__name__)",
    "atexit and threads": """
import atexit, threading
gate = threading.Event()
atexit.register(lambda: print('atexit'))
def work():
    gate.wait()
    print('thread')
threading.Thread(target=work).start()
print('main')
gate.set()
""",
    "logging": """
import logging
logging.basicConfig(format='%(levelname)s %(name)s %(message)s', level=logging.INFO)
logging.getLogger('job').info('hello')
""",
    "main module": """
import __main__, inspect, pickle, sys
class Model:
    def __init__(self, value): self.value = value
print(pickle.loads(pickle.dumps(Model(3))).value, pickle.dumps(Model(1)).count(b'__main__'))
print(__name__, __file__, __spec__, __package__, __doc__, __cached__, __builtins__.__name__)
print(__main__.Model is Model, sys.modules['__main__'].__dict__ is globals(), sys.argv, sys.path[0])
print(inspect.getsource(Model).splitlines()[0], type(__loader__).__name__)
print(sys.flags, sys.dont_write_bytecode, sys.prefix, sys.warnoptions)
""",
    "sibling module": "import beside\nprint(beside.VALUE, beside.__file__)",
    "future annotations are not inherited": "def f(x: undefined_name = 1): pass",
    "multiprocessing fork": """
import multiprocessing
def square(x): return x * x
if __name__ == '__main__':
    with multiprocessing.get_context('fork').Pool(2) as pool:
        print(pool.map(square, range(4)))
""",
    "multiprocessing spawn": """
import multiprocessing
def square(x): return x * x
if __name__ == '__main__':
    with multiprocessing.get_context('spawn').Pool(2) as pool:
        print(pool.map(square, range(4)))
""",
    "joblib": """
import joblib
def square(x): return x * x
print(joblib.Parallel(n_jobs=2)(joblib.delayed(square)(x) for x in range(4)))
""",
    "subprocess": """
import os, subprocess, sys
print(subprocess.check_output([sys.executable, '-c', 'import os; print(os.environ["MARK"])'], text=True).strip())
print(subprocess.run(['sh', '-c', 'exit 4']).returncode, os.system('exit 5') >> 8)
""",
    "fork": """
import os, sys
if os.fork() == 0:
    sys.exit(6)
print(os.waitstatus_to_exitcode(os.wait()[1]))
""",
    "environment": "import os\nprint(sorted(os.environ.items()), os.getcwd(), os.umask(0))",
    "time zone": "import time\nprint(time.tzname, time.localtime(0).tm_hour)",
    "streams": """
import sys
print(sys.stdin.read() == '', sys.stdout.encoding, sys.stderr.encoding, sys.stdout.errors, sys.stdout.isatty())
print(sys.stdout.line_buffering, sys.stdout.write_through, sys.stderr.line_buffering)
sys.stdout.buffer.write(bytes(range(256)))
""",
    "closed stdout": "import sys\nsys.stdout.close()",
    "estimator": """
from sklearn.linear_model import LogisticRegression
import numpy
print(LogisticRegression().fit(numpy.array([[0.0], [1.0]]), [0, 1]).predict([[2.0]]))
""",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_fork_ends_as_a_process_of_its_own_does(
    name: str, tmp_path: Path, isolation: NamespaceIsolation, warm: WarmWorkers, make_cell: Callable[[Path], Any]
) -> None:
    ends = []
    for way, start in (("cold", isolation.run), ("warm", warm.start)):
        cell = make_cell(tmp_path / way)
        (cell.root / "ml/code/beside.py").write_text("import pandas\nVALUE = 42\n")
        ends.append(cell.finish(start(cell.script(SCRIPTS[name], "--flag", "a b", environment={"MARK": "mark"}))))
    assert ends[1] == ends[0]


def test_files_that_were_never_closed_are_written(warm: WarmWorkers, cell: Any) -> None:
    (cell.root / "ml/code/helper.py").write_text("import pandas\nout = open('/opt/ml/b', 'w')\nout.write('b' * 10)\n")
    script = "import helper\nkept = open('/opt/ml/a', 'w')\nkept.write('a' * 10)\n"
    assert cell.finish(warm.start(cell.script(script))) == (0, "")
    assert ((cell.root / "ml/a").read_text(), (cell.root / "ml/b").read_text()) == ("a" * 10, "b" * 10)


def test_every_job_draws_its_own_random_numbers(
    tmp_path: Path, warm: WarmWorkers, make_cell: Callable[[Path], Any]
) -> None:
    script = "import numpy, random, uuid, tempfile\nprint(numpy.random.random(), random.random(), uuid.uuid4())"
    cells = [make_cell(tmp_path / str(number)) for number in range(2)]
    first, second = (cell.finish(warm.start(cell.script(script)))[1].split() for cell in cells)
    assert not set(first) & set(second)


def test_jobs_do_not_see_each_other(tmp_path: Path, warm: WarmWorkers, make_cell: Callable[[Path], Any]) -> None:
    one, two = make_cell(tmp_path / "1"), make_cell(tmp_path / "2")
    one.finish(warm.start(one.script("import pandas, os\npandas.MARK = 1\nos.environ['MARK'] = '1'")))
    script = "import pandas, os\nprint(hasattr(pandas, 'MARK'), 'MARK' in os.environ)"
    assert two.finish(warm.start(two.script(script))) == (0, "False False\n")


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONHASHSEED": "0"},
        {"PYTHONPATH": "/elsewhere"},
        {"OMP_NUM_THREADS": "7"},
        {"MKL_NUM_THREADS": "1"},
        {"OPENBLAS_NUM_THREADS": "1"},
        {"NUMEXPR_MAX_THREADS": "1"},
        {"LD_LIBRARY_PATH": "/x"},
        {"MALLOC_ARENA_MAX": "1"},
        {"LC_ALL": "C"},
        {"LANG": "de_DE.UTF-8"},
        {"PATH": "/usr/bin"},
    ],
    ids=lambda environment: next(iter(environment)),
)
def test_variables_that_are_read_at_the_start_start_cold(
    warm: WarmWorkers, cell: Any, environment: dict[str, str]
) -> None:
    assert warm.start(cell.script("import pandas", environment=environment)) is None


@pytest.mark.parametrize(
    "argv",
    [
        ("python3",),
        ("python3", "-m", "script"),
        ("python3", "-u", "script.py"),
        ("python3", "-c", "import pandas"),
        ("python2", "script.py"),
        ("/elsewhere/bin/python3", "script.py"),
        ("bash", "script.py"),
        ("python3", "script"),
    ],
    ids=" ".join,
)
def test_other_commands_start_cold(warm: WarmWorkers, cell: Any, argv: tuple[str, ...]) -> None:
    (cell.root / "ml/code/script.py").write_text("import pandas")
    assert warm.start(cell.launch(*argv)) is None


def test_a_script_without_big_imports_starts_cold(warm: WarmWorkers, cell: Any) -> None:
    assert warm.start(cell.script("import json, os, sys\n")) is None
    assert warm.start(cell.script("print('nothing')\n")) is None


def test_a_script_with_other_packages_starts_warm_once_the_worker_is_ready(
    cell: Any, fragile: WarmWorkers, warm: WarmWorkers, make_cell: Callable[[Path], Any], tmp_path: Path
) -> None:
    # Importing an installed package may import what is warm; waiting for a worker may cost more than that saves.
    script = "import click\nprint('up')"
    assert fragile.start(cell.script(script)) is None
    cell.finish(warm.start(cell.script("import pandas")))
    assert warm.ready
    other = make_cell(tmp_path / "other")
    assert other.finish(warm.start(other.script(script))) == (0, "up\n")


def test_ordinary_variables_start_warm(warm: WarmWorkers, cell: Any) -> None:
    script = "import os, pandas, time\nprint(os.environ['MIN_AUC'], time.tzname[0])"
    launch = cell.script(script, environment={"MIN_AUC": "0.7", "TZ": "Europe/Berlin", "PYTHONPATH": "/opt/ml/code"})
    assert cell.finish(warm.start(launch)) == (0, "0.7 CET\n")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("import pandas as pd", {"pandas"}),
        ("import os, sklearn.linear_model as lm, json", {"os", "sklearn", "json"}),
        ("from sklearn.ensemble import A, B", {"sklearn"}),
        ("def f():\n    import numpy\n", {"numpy"}),
        ("# import pandas\n'import numpy'", set()),
        ("from . import x", set()),
        ("import beside, torch", {"torch"}),
    ],
)
def test_imports_are_found_by_their_text(tmp_path: Path, text: str, names: set[str]) -> None:
    (tmp_path / "script.py").write_text(text)
    (tmp_path / "beside.py").write_text("")
    assert imports_of(tmp_path / "script.py") == names


def test_imports_of_modules_beside_the_script_count(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("import package.part")
    (tmp_path / "package").mkdir()
    (tmp_path / "package/part.py").write_text("import pandas")
    assert imports_of(tmp_path / "script.py") == {"pandas"}
    assert imports_of(tmp_path / "missing.py") == frozenset()


def test_jobs_end_with_their_worker_and_the_next_job_gets_another(
    tmp_path: Path, fragile: WarmWorkers, make_cell: Callable[[Path], Any]
) -> None:
    one, two = make_cell(tmp_path / "1"), make_cell(tmp_path / "2")
    process = fragile.start(one.script("import os, pandas\nprint('up', flush=True)\nos.read(os.pipe()[0], 1)"))
    assert process is not None
    assert one.read_line() == "up"
    first = fragile.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    ended = process.wait(60)
    assert ended is not None
    assert ended.code == 137
    process.close()
    assert two.finish(fragile.start(two.script("import pandas\nprint('again')"))) == (0, "again\n")
    assert fragile.pid not in {None, first}


def test_a_worker_that_dies_while_it_imports_is_replaced(cell: Any, fragile: WarmWorkers) -> None:
    fragile.prewarm()
    assert fragile.pid is not None
    os.kill(fragile.pid, signal.SIGKILL)
    assert cell.finish(fragile.start(cell.script("import pandas\nprint('up')"))) == (0, "up\n")


def test_workers_that_keep_dying_are_given_up(cell: Any, fragile: WarmWorkers) -> None:
    for _ in range(3):
        fragile.prewarm()
        pid = fragile.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert fragile.start(cell.script("import pandas")) is None
    assert fragile.pid is None


def test_prewarming_does_not_wait_and_closing_ends_the_worker() -> None:
    workers = WarmWorkers()
    workers.prewarm()
    assert not workers.ready
    pid = workers.pid
    assert pid is not None
    workers.close()
    assert not Path(f"/proc/{pid}").exists()


def test_many_threads_may_start_jobs(tmp_path: Path, warm: WarmWorkers, make_cell: Callable[[Path], Any]) -> None:
    cells = [make_cell(tmp_path / str(number)) for number in range(6)]
    ends: dict[int, tuple[int, str]] = {}

    def run(number: int) -> None:
        launch: Launch = cells[number].script(f"import pandas\nprint({number})")
        ends[number] = cells[number].finish(warm.start(launch))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(cells))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends == {number: (0, f"{number}\n") for number in range(len(cells))}


def test_the_threads_of_the_libraries_follow_the_number_of_parallel_jobs(
    cell: Any, isolation: NamespaceIsolation
) -> None:
    workers = WarmWorkers(parallel_jobs=1)
    try:
        launch = cell.script("import os, pandas\nprint(os.environ['OMP_NUM_THREADS'])")
        # The launch was made for as many jobs as there are cores.
        assert (workers.start(launch) is None) is ((os.cpu_count() or 1) > 1)
    finally:
        workers.close()


def test_doctor_hears_what_is_preloaded() -> None:
    (fact,) = probe()
    assert fact.ok
    assert "scikit-learn" in fact.detail
