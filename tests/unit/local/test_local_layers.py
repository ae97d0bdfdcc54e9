"""Each way to isolate jobs, on a machine as it is meant for: however a job touches /opt/ml, it touches its own.

The namespaces of the calling user are tested in test_local_isolation.py and test_local_touches.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mlops_sm.local.isolation.preload import PreloadIsolation

TOUCHES = Path(__file__).with_name("touches_ml.py")
ABSENT = {"parquet", "xgboost-save", "xgboost-read"}
"""Ways that take a library which need not be installed."""

PROGRAM = """
import json, os, signal, socket, sys, time
from pathlib import Path
from mlops_sm.errors import MlopsSmError
from mlops_sm.local.environment import job_environment
from mlops_sm.local.isolation.layer import Launch
from mlops_sm.local.warm import WarmWorkers

{make}

def furnish(name):
    root = Path(name).absolute()
    for folder in ("ml/code", "ml/model", "scratch/tmp"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "hosts").write_text("127.0.0.1 localhost\\n")
    return root

def begin(root, *argv, forks=None, **options):
    output, log = os.pipe()
    process = layer.run(Launch(
        argv=argv, ml=root / "ml", scratch=root / "scratch", hosts=root / "hosts", cwd="/opt/ml/code", log=log,
        environment=job_environment({{}}, region="us-east-1", endpoint_url=None) | options.pop("environment", {{}}),
        **options,
    ), forks)
    os.close(log)
    return process, output

def finish(process, output):
    text = b""
    while chunk := os.read(output, 65536):
        text += chunk
    os.close(output)
    ended = process.wait(60)
    process.close()
    return ended.code, text.decode(errors="replace")

def run(root, *argv, **options):
    return finish(*begin(root, *argv, **options))

try:
    exec({body!r})
finally:
    layer.close()
print(json.dumps(result))
"""

SUDO = """
from mlops_sm.local.isolation.sudo import SudoIsolation
layer = SudoIsolation(sudo="/opt/sudo")
"""
PRELOAD = """
from mlops_sm.local.isolation.preload import PreloadIsolation
layer = PreloadIsolation()
"""
RELOCATE = """
from mlops_sm.local.isolation.relocate import RelocateIsolation
layer = RelocateIsolation()
"""
DIRECT = """
from mlops_sm.local.isolation.direct import DirectIsolation
layer = DirectIsolation(home=Path("/opt/home"), patience=0.2)
"""
STAND_IN = """
#include <unistd.h>
/* sudo -n -- command: the command as root, and nothing else handed on */
int main(int count, char **words) {
    char *environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", 0};
    for (int descriptor = 3; descriptor < 1024; descriptor++) close(descriptor);
    if (count < 4 || setgid(0) || setuid(0)) return 1;
    execve(words[3], words + 3, environment);
    return 1;
}
"""
COVER = """
import sys
sys.path.insert(0, {root!r})
from mlops_sm.local.isolation import namespace
namespace._cover_opt()
for folder in ("/opt/ml", "/opt/mlops-sm"):
    os.rmdir(folder)
"""


class Machine(NamedTuple):
    """A machine for one layer: how the layer is made, and what root has prepared there."""

    make: str
    prepare: str


Run = Callable[[str], Any]


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What acts as sudo for everybody."""
    if os.geteuid() != 0 or shutil.which("cc") is None:
        pytest.skip("THE SUDO LAYER IS NOT TESTED HERE: that takes root and a C compiler")
    folder = tmp_path_factory.mktemp("sudo")
    (folder / "sudo.c").write_text(STAND_IN)
    subprocess.run(["cc", "-o", folder / "sudo", folder / "sudo.c"], check=True)
    return folder / "sudo"


@pytest.fixture
def machines(request: pytest.FixtureRequest) -> Callable[[str], Machine]:
    """Makes the machine for a layer."""
    cover = COVER.format(root=str(Path(__file__).parents[3]))

    def make(layer: str) -> Machine:
        match layer:
            case "sudo":
                program = request.getfixturevalue("stand_in")
                copy = f"import shutil; shutil.copy({str(program)!r}, '/opt/sudo'); os.chmod('/opt/sudo', 0o4755)"
                mount = (
                    "libc.mount(b'none', b'/opt', None, ctypes.c_ulong(32), b'')"  # setuid is off in a tmpfs of ours
                )
                return Machine(SUDO, f"{cover}\n{mount}\n{copy}")
            case "direct":
                folder = "/opt/home/.cache/mlops-sm/direct"
                home = f"os.makedirs({folder!r}); os.chown({folder!r}, 65534, 65534)"
                return Machine(DIRECT, f"{cover}\n{home}\nos.symlink({folder!r} + '/ml', '/opt/ml')")
            case "preload":
                return Machine(PRELOAD, cover)
            case "relocate":
                return Machine(RELOCATE, cover)
            case _:
                raise AssertionError(layer)

    return make


@pytest.fixture(params=["sudo", "direct", "preload", "relocate"])
def layer(request: pytest.FixtureRequest) -> str:
    """Each layer's name."""
    return str(request.param)


@pytest.fixture
def on_machine(layer: str, machines: Callable[[str], Machine], as_nobody: Callable[..., Any]) -> Iterator[Run]:
    """Runs the body of a program as an unprivileged user on the machine that a layer is meant for."""
    machine = machines(layer)

    def run(body: str) -> Any:
        return as_nobody(PROGRAM.format(make=machine.make, body=body), prepare=machine.prepare)

    yield run


def test_every_way_reaches_the_jobs_own_folder(on_machine: Run) -> None:
    result = on_machine(
        f"""
root = furnish("cell")
(root / "ml/code/script.py").write_text(Path({str(TOUCHES)!r}).read_text())
fact = layer.probe()
code, output = run(root, "python3", "script.py") if fact.ok else (1, fact.detail)
owners = {{path.stat().st_uid for path in root.rglob("*")}}
files = sorted(path.name for path in (root / "ml/model").iterdir())
result = {{"code": code, "output": output, "owners": sorted(owners), "me": os.getuid(), "files": files}}
"""
    )
    assert result["code"] == 0, result["output"]
    lines = [line.split(" ") for line in result["output"].splitlines() if line.endswith((" ok", " FAIL", " absent"))]
    ways = dict(lines)
    assert len(ways) == 24
    assert "FAIL" not in ways.values(), result["output"]
    assert {name for name, end in ways.items() if end == "absent"} <= ABSENT
    assert {"opened.txt", "a.csv", "system.txt", "s.db", "j.joblib"} <= set(result["files"])
    assert result["owners"] == [result["me"]]


def test_a_job_is_who_asked_for_it_and_nothing_of_it_stays(on_machine: Run) -> None:
    result = on_machine(
        """
root = furnish("cell")
code, output = run(root, "sh", "-c", "id -u; id -g; cd $HOME && pwd > /opt/ml/there; sleep 300 &")
status = run(root, "python3", "-c", "print([l.split()[1] for l in open('/proc/self/status') if l[:6] == 'CapEff'])")[1]
result = [code, output.split(), [str(os.getuid()), str(os.getgid())], status.strip(), os.path.lexists("/opt/ml/there")]
"""
    )
    assert result == [0, result[2], result[2], f"['{0:016x}']", False]


def test_a_job_ends_by_signals_with_everything_it_started(on_machine: Run) -> None:
    result = on_machine(
        """
root = furnish("cell")
TRAP = "trap 'echo asked; exit 7' TERM; sleep 300 & echo up > /opt/ml/up; while :; do wait; done"
ends = []
for act in ("terminate", "kill"):
    process, output = begin(root, "sh", "-c", TRAP)
    while not (root / "ml/up").exists() or not (root / "ml/up").read_text():
        time.sleep(0.01)
    (root / "ml/up").unlink()
    getattr(process, act)()
    ends.append(finish(process, output))
result = ends
"""
    )
    assert result == [[7, "asked\n"], [137, ""]]


def test_a_missing_program_and_a_missing_folder_are_told(on_machine: Run) -> None:
    result = on_machine(
        """
root = furnish("cell")
missing = run(root, "no-such-program")
try:
    begin(Path("nowhere").absolute(), "true")
    refused = ""
except MlopsSmError as error:
    refused = error.problems[0].code
result = [missing, refused]
"""
    )
    assert result == [[127, 'exec: "no-such-program": not found\n'], "E409"]


DIRECT_ONLY = pytest.mark.parametrize("layer", ["direct"])


@DIRECT_ONLY
def test_the_link_leads_to_one_job_at_a_time_of_all_processes(on_machine: Run) -> None:
    result = on_machine(
        """
from mlops_sm.local.isolation.direct import DirectIsolation
first, second = furnish("first"), furnish("second")
os.mkfifo(first / "ml/go")
process, output = begin(first, "sh", "-c", "echo $$ > /opt/ml/me; read x < /opt/ml/go")
while not (first / "ml/me").exists():
    time.sleep(0.01)
mine, layer = layer, DirectIsolation(home=Path("/opt/home"), patience=0.05)
try:
    begin(second, "true")
    said = ""
except MlopsSmError as error:
    said = error.problems[0].code
layer.close()
layer = mine
process.kill()
killed = finish(process, output)[0]
after = run(second, "sh", "-c", "echo second > /opt/ml/me")[0]
result = [said, killed, after, (second / "ml/me").read_text(), os.path.lexists("/opt/home/.cache/mlops-sm/direct/ml")]
"""
    )
    assert result == ["E435", 137, 0, "second\n", False]


@DIRECT_ONLY
def test_a_link_that_a_killed_process_left_is_used_again(on_machine: Run) -> None:
    result = on_machine(
        """
os.symlink("/tmp/mlops-sm-direct-gone/1/ml", "/opt/home/.cache/mlops-sm/direct/ml")
root = furnish("cell")
result = run(root, "sh", "-c", "echo here > /opt/ml/me; cat /opt/ml/me")
"""
    )
    assert result == [0, "here\n"]


@DIRECT_ONLY
def test_forks_of_a_warm_worker_find_their_folder_too(on_machine: Run) -> None:
    result = on_machine(
        """
root, warm = furnish("cell"), WarmWorkers()
(root / "ml/code/script.py").write_text("import pandas; print(open('/opt/ml/code/script.py').read()[:6])")
result = [warm.pid, run(root, "python3", "script.py", forks=warm), warm.pid is not None]
warm.close()
"""
    )
    (before, (code, output), after) = result
    assert (before, code, output.split()[0], after) == (None, 0, "import", True)


PRELOAD_ONLY = pytest.mark.parametrize("layer", ["preload"])


@PRELOAD_ONLY
def test_programs_are_led_however_they_are_started_and_whatever_they_are_given(on_machine: Run) -> None:
    result = on_machine(
        '''
root = furnish("cell")
(root / "ml/code/train").write_text("#!/bin/sh\\necho train $0 $(pwd) $(cat /opt/ml/code/word)\\n")
(root / "ml/code/train").chmod(0o755)
(root / "ml/code/word").write_text("word")
SCRIPT = """
import os, subprocess, sys, tempfile
made = tempfile.mkstemp(dir="/opt/ml/code", suffix=".x")[1]
print(os.getcwd(), os.path.realpath("word"), made.startswith("/opt/ml/code/"))
print(subprocess.check_output(["/opt/ml/code/train"], env={"A": "b"}, text=True).split()[-1])
print(subprocess.check_output("exec /opt/ml/code/train", shell=True, env={}, text=True).split()[-1])
print(subprocess.check_output(["env", "-i", "/opt/ml/code/train"], text=True).split()[-1])
print(os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn("/opt/ml/code/train", ["train"], {}), 0)[1]))
sys.stdout.flush()
os.execl("/opt/ml/code/train", "train")
"""
inside = run(root, "python3", "-c", SCRIPT)
path = run(root, "train", environment={"PATH": "/opt/ml/code:/usr/bin:/bin"})
result = [inside, path]
'''
    )
    (code, output), (path_code, path_output) = result
    assert code == 0, output
    lines = output.splitlines()
    assert lines[0] == "/opt/ml/code /opt/ml/code/word True"
    assert lines[1:4] == ["word", "word", "word"]
    assert [line.split()[-2:] for line in lines[4:]] == [["/opt/ml/code", "word"], ["0"], ["/opt/ml/code", "word"]]
    assert (path_code, path_output.split()[-2:]) == (0, ["/opt/ml/code", "word"])


@PRELOAD_ONLY
def test_sockets_names_networks_and_read_only_folders_are_led_too(on_machine: Run) -> None:
    result = on_machine(
        '''
root = furnish("cell-" + "x" * 120)
SCRIPT = """
import socket
listener = socket.socket(socket.AF_UNIX)
listener.bind("/opt/mlops-sm/s.sock")
listener.listen()
socket.socket(socket.AF_UNIX).connect("/opt/mlops-sm/s.sock")
print(socket.gethostbyname("algo-2"), socket.getaddrinfo("algo-12", 80, type=socket.SOCK_STREAM)[0][4])
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname()).close()
try:
    socket.create_connection(("192.0.2.1", 9), timeout=5)
except OSError as error:
    print(error.strerror)
try:
    open("/opt/ml/model/x", "w")
except OSError as error:
    print(error.strerror)
print(open("/opt/ml/model/there").read())
open("/opt/ml/x", "w").close()
"""
(root / "ml/model/there").write_text("there")
result = run(root, "python3", "-c", SCRIPT, network=False, read_only=("/opt/ml/model",))
'''
    )
    assert result == [
        0,
        "127.0.0.2 ('127.0.0.12', 80)\nNetwork is unreachable\nRead-only file system\nthere\n",
    ]


def test_without_a_compiler_the_preload_layer_says_so(tmp_path: Path) -> None:
    layer = PreloadIsolation(cache=tmp_path, environ={"PATH": str(tmp_path)})
    fact = layer.probe()
    assert (fact.ok, "no C compiler" in fact.detail, "Install a C compiler" in fact.fix) == (False, True, True)
    (tmp_path / "cc").write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    (tmp_path / "cc").chmod(0o755)
    layer = PreloadIsolation(cache=tmp_path, environ={"PATH": str(tmp_path)})
    assert layer.probe().detail == f"{tmp_path}/cc cannot compile the library: broken"
    assert [path.name for path in tmp_path.iterdir()] == ["cc"]


def test_the_library_is_not_kept_where_others_can_write(tmp_path: Path) -> None:
    (tmp_path / "mlops-sm").mkdir()
    (tmp_path / "mlops-sm").chmod(0o777)
    layer = PreloadIsolation(environ={"XDG_CACHE_HOME": str(tmp_path), "PATH": ""})
    assert layer._folder() != tmp_path / "mlops-sm"
