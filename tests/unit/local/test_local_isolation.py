"""A job has its own /opt/ml and leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlops_sm.errors import RefusedError
from mlops_sm.local.isolation.layer import Launch, Process
from mlops_sm.local.isolation.linux import NamespaceIsolation, _advice
from mlops_sm.local.warm import WarmWorkers

Start = Callable[[Launch], Process | None]

FAMILY = """
import os, subprocess, sys, time, pandas
subprocess.Popen(["sleep", "600"])
subprocess.Popen(["sleep", "600"], start_new_session=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", "600"])
    os._exit(0)
os.wait()
print("ready", os.getpid(), flush=True)
time.sleep(600)
"""


def namespace_of(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/mnt").readlink())


def members_of(namespace: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if str((entry / "ns/mnt").readlink()) == namespace:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def until(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    give_up = time.monotonic() + seconds
    never = threading.Event()
    while not (met := condition()) and time.monotonic() < give_up:
        never.wait(0.01)
    return met


def test_every_job_has_its_own_ml_folder_and_the_machine_gets_none(start: Start, cell: Any) -> None:
    before = sorted(path.name for path in Path("/opt").iterdir())
    code, output = cell.finish(
        start(
            cell.script(
                """
import os, pandas
open("/opt/ml/model.txt", "w").write("mine")
open("/opt/outside.txt", "w").write("covered")
print(sorted(os.listdir("/opt/ml")), sorted(set(os.listdir("/opt")) - {"ml", "mlops-sm", "outside.txt"}))
"""
            )
        )
    )
    assert code == 0, output
    assert output.strip() == f"['code', 'model.txt'] {sorted(set(before) - {'ml'})}"
    assert (cell.root / "ml/model.txt").read_text() == "mine"
    assert sorted(path.name for path in Path("/opt").iterdir()) == before


def test_a_job_finds_its_hosts_file_home_and_nothing_else_of_the_caller(start: Start, cell: Any) -> None:
    code, output = cell.finish(
        start(
            cell.script(
                """
import os, pandas, socket, sys, tempfile
print(socket.gethostbyname("algo-1"), os.path.expanduser("~"), tempfile.gettempdir(), os.getcwd())
print(os.getpid() == os.getpgrp() == os.getsid(0), os.readlink("/proc/self/fd/0"), sys.stdin.read() == "")
print([name for name in os.listdir("/proc/self/fd") if int(name) > 3])
"""
            )
        )
    )
    assert code == 0, output
    assert output.splitlines() == [
        "127.0.0.1 /opt/mlops-sm /opt/mlops-sm/tmp /opt/ml/code",
        "True /dev/null True",
        "[]",
    ]


@pytest.mark.parametrize("network", [True, False])
def test_network_isolation_leaves_only_loopback(start: Start, cell: Any, network: bool) -> None:
    launch = cell.script(
        """
import pandas, socket
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname()).close()
print([name for _, name in socket.if_nameindex()])
""",
        network=network,
    )
    code, output = cell.finish(start(launch))
    assert code == 0, output
    here = [name for _, name in socket.if_nameindex()]
    assert output.strip() == str(here if network else ["lo"])


def test_everything_a_job_started_is_gone_when_it_is_killed(start: Start, cell: Any) -> None:
    process = start(cell.script(FAMILY))
    assert process is not None
    assert cell.read_line().startswith("ready")
    namespace = namespace_of(process.pid)
    assert len(members_of(namespace)) == 4
    process.kill()
    assert cell.finish(process)[0] == 128 + signal.SIGKILL
    assert members_of(namespace) == []


def test_everything_a_job_left_running_is_gone_when_it_ends(start: Start, cell: Any) -> None:
    text = FAMILY.replace("time.sleep(600)", "os.open('/opt/ml/gate', os.O_RDONLY)\nos.kill(os.getpid(), 9)")
    os.mkfifo(cell.root / "ml/gate")
    process = start(cell.script(text))
    assert process is not None
    cell.read_line()
    namespace = namespace_of(process.pid)
    (cell.root / "ml/gate").open("w").close()
    assert cell.finish(process)[0] == 128 + signal.SIGKILL
    assert members_of(namespace) == []


def test_terminate_reaches_the_whole_group(start: Start, cell: Any) -> None:
    process = start(
        cell.script(
            '''
import os, pandas, signal, subprocess, sys
CHILD = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: (print("child"), sys.exit(5)))
print("armed", flush=True)
signal.pause()
"""
child = subprocess.Popen(["python3", "-c", CHILD])
def stop(*_):
    print("parent", child.wait(), flush=True)
    sys.exit(7)
signal.signal(signal.SIGTERM, stop)
signal.pause()
'''
        )
    )
    assert process is not None
    assert cell.read_line() == "armed"
    process.terminate()
    code, output = cell.finish(process)
    assert code == 7
    assert sorted(output.split()) == ["5", "child", "parent"]


def test_a_closed_process_is_killed(start: Start, cell: Any) -> None:
    process = start(cell.script("import pandas, time\nprint('ready', flush=True)\ntime.sleep(600)"))
    assert process is not None
    assert cell.read_line() == "ready"
    namespace = namespace_of(process.pid)
    process.close()
    assert until(lambda: members_of(namespace) == [])


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (("/bin/sh", "-c", "exit 3"), 3, ""),
        (("/bin/sh", "-c", "kill -9 $$"), 137, ""),
        (("/bin/sh", "-c", "kill -TERM $$"), 143, ""),
        (("no-such-program",), 127, 'exec: "no-such-program": not found'),
        (("/etc/passwd",), 126, 'exec: "/etc/passwd": Permission denied'),
    ],
)
def test_exit_codes_are_those_of_a_container(
    isolation: NamespaceIsolation, cell: Any, command: tuple[str, ...], code: int, words: str
) -> None:
    assert cell.finish(isolation.run(cell.launch(*command))) == (code, words + "\n" if words else "")


def test_a_missing_working_directory_is_a_refusal(isolation: NamespaceIsolation, cell: Any) -> None:
    (cell.root / "ml/code").rmdir()
    with pytest.raises(RefusedError) as refused:
        isolation.run(cell.launch("true"))
    assert refused.value.problems[0].code == "E409"
    assert "/opt/ml/code" in refused.value.problems[0].what


def test_jobs_end_with_their_launcher_and_the_next_job_runs(cell: Any, tmp_path: Path) -> None:
    layer = NamespaceIsolation()
    if not layer.probe().ok:
        layer.close()
        pytest.skip("NO ISOLATION HERE, JOBS ARE NOT TESTED")
    try:
        process = layer.run(cell.script(FAMILY))
        cell.read_line()
        namespace = namespace_of(process.pid)
        launcher = layer._launcher
        assert launcher.pid is not None
        os.kill(launcher.pid, signal.SIGKILL)
        ended = process.wait(30)
        assert ended is not None
        assert until(lambda: members_of(namespace) == [])
        process.close()
        again = layer.run(cell.launch("/bin/sh", "-c", "echo again"))
        assert cell.finish(again) == (0, "again\n")
    finally:
        layer.close()


def test_a_job_ends_with_the_process_that_watches_it(start: Start, cell: Any) -> None:
    process = start(cell.script("import os, pandas\nprint(os.getppid(), flush=True)\nos.read(os.pipe()[0], 1)"))
    assert process is not None
    supervisor = int(cell.read_line())
    namespace = namespace_of(process.pid)
    os.kill(supervisor, signal.SIGKILL)
    ended = process.wait(30)
    assert ended is not None
    assert (ended.code, bool(ended.lost)) == (137, True)
    assert until(lambda: members_of(namespace) == [])
    process.close()


OWNER = """
import os, sys, time
from pathlib import Path
from mlops_sm.local.environment import job_environment
from mlops_sm.local.isolation.layer import Launch
from mlops_sm.local.isolation.linux import NamespaceIsolation
from mlops_sm.local.warm import WarmWorkers
root = Path(sys.argv[1])
starter = NamespaceIsolation().run if sys.argv[2] == "cold" else WarmWorkers().start
process = starter(Launch(
    argv=("python3", "script.py"), ml=root / "ml", scratch=root / "scratch", cwd="/opt/ml/code", log=1,
    environment=job_environment({}, region="us-east-1", endpoint_url=None),
))
print("owner", process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("way", ["cold", "warm"])
def test_jobs_end_with_a_killed_owner(cell: Any, isolation: NamespaceIsolation, way: str) -> None:
    (cell.root / "ml/code/script.py").write_text(FAMILY)
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(cell.root), way],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    ) as owner:
        assert owner.stdout is not None
        lines = dict(owner.stdout.readline().split() for _ in range(2))
        namespace = namespace_of(int(lines["owner"]))
        assert len(members_of(namespace)) == 4
        owner.kill()
    assert until(lambda: members_of(namespace) == [])


def test_other_systems_are_refused_with_a_reason() -> None:
    layer = NamespaceIsolation(platform="darwin")
    fact = layer.probe()
    assert not fact.ok
    assert "darwin" in fact.detail
    assert "Linux" in fact.fix
    launch = Launch(argv=("true",), ml=Path("m"), scratch=Path("s"), environment={}, log=1)
    with pytest.raises(RefusedError) as refused:
        layer.run(launch)
    assert refused.value.problems[0].code == "E401"
    layer.close()


@pytest.mark.parametrize(
    ("file", "content", "advice"),
    [
        ("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n", "AppArmor"),
        ("proc/sys/kernel/unprivileged_userns_clone", "0\n", "unprivileged_userns_clone=1"),
        ("proc/sys/user/max_user_namespaces", "0\n", "max_user_namespaces"),
        (".dockerenv", "", "--cap-add SYS_ADMIN"),
        ("run/.containerenv", "", "--cap-add SYS_ADMIN"),
        ("etc/other", "", "run as root"),
    ],
)
def test_the_advice_fits_what_forbids_namespaces(tmp_path: Path, file: str, content: str, advice: str) -> None:
    (tmp_path / "opt").mkdir()
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(content)
    assert advice in _advice(tmp_path)


def test_without_an_opt_folder_the_advice_is_to_make_one(tmp_path: Path) -> None:
    assert "mkdir /opt" in _advice(tmp_path)


AS_NOBODY = """
import json, os
from pathlib import Path
from mlops_sm.local.environment import job_environment
from mlops_sm.local.isolation.layer import Launch
from mlops_sm.local.isolation.linux import NamespaceIsolation
from mlops_sm.local.warm import WarmWorkers
layer, warm = NamespaceIsolation(), WarmWorkers()
result = {"uid": os.getuid(), "fact": layer.probe()}
root = Path("cell").absolute()
for name in ("ml/code", "scratch/tmp"):
    (root / name).mkdir(parents=True)
(root / "hosts").write_text("127.0.0.1 localhost algo-1\\n")
(root / "ml/code/script.py").write_text('''
import os, pandas, socket, subprocess
from pathlib import Path
Path("/opt/ml/read-only").write_text("x")
os.chmod("/opt/ml/read-only", 0o400)
try:
    open("/opt/ml/read-only", "w")
except PermissionError:
    print("read-only")
os.unlink("/opt/ml/read-only")
print(os.getuid(), socket.gethostbyname("algo-1"), [n for _, n in socket.if_nameindex()],
      [l.split()[1] for l in open("/proc/self/status") if l.startswith("CapEff")])
subprocess.run(["sh", "-c", "echo $0 > /opt/ml/by-child", "child"], check=True)
''')
for name, start in (("cold", layer.run), ("warm", warm.start)):
    output, log = os.pipe()
    process = start(Launch(
        argv=("python3", "script.py"), ml=root / "ml", scratch=root / "scratch", hosts=root / "hosts",
        cwd="/opt/ml/code", log=log, network=False,
        environment=job_environment({}, region="us-east-1", endpoint_url=None),
    ))
    os.close(log)
    text = b""
    while chunk := os.read(output, 65536):
        text += chunk
    os.close(output)
    result[name] = [process.wait().code, text.decode(), (root / "ml/by-child").read_text()]
    process.close()
    (root / "ml/by-child").unlink()
warm.close()
layer.close()
result["opt"] = os.path.exists("/opt/ml")
print(json.dumps(result))
"""


def test_an_unprivileged_user_gets_the_same(as_nobody: Callable[[str], Any], isolation: NamespaceIsolation) -> None:
    result = as_nobody(AS_NOBODY)
    if not result["fact"][1]:
        pytest.skip(f"USER NAMESPACES DO NOT WORK HERE, THE UNPRIVILEGED WAY IS NOT TESTED: {result['fact']}")
    assert result["uid"] != 0
    expected = ["read-only", f"{result['uid']} 127.0.0.1 ['lo'] ['{0:016x}']"]
    for way in ("cold", "warm"):
        code, text, by_child = result[way]
        assert (code, text.splitlines(), by_child) == (0, expected, "child\n"), way
    assert result["opt"] is Path("/opt/ml").exists()


def test_what_cannot_be_handed_to_a_process_ends_it_with_words(start: Start, cell: Any) -> None:
    code, output = cell.finish(start(cell.script("import pandas", "argument", environment={"A": "nul \0 byte"})))
    assert (code, output) == (1, "ValueError: embedded null byte\n")


def test_root_without_the_right_to_mount_is_treated_as_any_user(isolation: NamespaceIsolation, cell: Any) -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("ROOT WITHOUT CAP_SYS_ADMIN IS NOT TESTED HERE: that takes root and setpriv")
    program = """
import json
from mlops_sm.local.isolation.linux import NamespaceIsolation
layer = NamespaceIsolation()
print(json.dumps(layer.probe()))
layer.close()
"""
    without = ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"]
    done = subprocess.run(
        [*without, sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    _, works, detail, fix = json.loads(done.stdout)
    assert works or ("unshare" in detail and fix), detail


def test_probing_is_done_once(isolation: NamespaceIsolation) -> None:
    assert isolation.probe() is isolation.probe()


def test_warm_workers_are_not_used_by_a_closed_pool(cell: Any) -> None:
    workers = WarmWorkers()
    workers.close()
    assert workers.start(cell.script("import pandas")) is None
    assert workers.pid is None
