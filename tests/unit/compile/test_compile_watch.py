"""The worker's watch, in fresh interpreters: what is recorded as a dependency, and that the network is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_sm.compile.child import worker_environment

CHECKOUT = Path(__file__).parents[3]

RECORDING = """
import json, sys
from pathlib import Path
from mlops_sm.compile.watch import Watch
root = Path(sys.argv[1])
watch = Watch(root)
sys.path.insert(0, str(root))
(root / "before.txt").read_text()
watch.start()
import module
watch.stop()
(root / "after.txt").read_text()
recorded = watch.dependencies()
found = [(d.path + "/" * d.listing, d.digest is not None) for d in recorded if d.place == "project"]
ours = sorted(d.path for d in recorded if d.place == "package")
print(json.dumps([found, list(watch.programs), ours]))
"""


def record(root: Path, module: str) -> tuple[dict[str, bool], list[str], list[str]]:
    for name in ("before.txt", "after.txt"):
        (root / name).write_text(name)
    (root / "module.py").write_text(module)
    found, programs, ours = json.loads(python(RECORDING, str(root), cwd=root))
    return dict(found), programs, ours


def python(program: str, *arguments: str, cwd: Path) -> str:
    ran = subprocess.run(
        [sys.executable, "-P", "-c", program, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={"PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_read_and_imported_files_are_dependencies(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package/__init__.py").write_text("from package import inner")
    (tmp_path / "package/inner.py").write_text("")
    (tmp_path / "data.json").write_text("{}")
    found, programs, ours = record(
        tmp_path, "import package\nopen('data.json').read()\nfrom pathlib import Path\nPath('data.json').read_bytes()\n"
    )
    assert set(found) == {"module.py", "package/__init__.py", "package/inner.py", "data.json"}
    assert programs == []
    assert "mlops_sm/compile/watch.py" in ours


def test_a_file_that_does_not_exist_is_a_dependency_on_its_absence(tmp_path: Path) -> None:
    found, _, _ = record(tmp_path, "try:\n    open('overrides.json')\nexcept FileNotFoundError:\n    pass\n")
    assert found == {"module.py": True, "overrides.json": False}


def test_a_listed_folder_is_a_dependency_on_its_names(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/a.py").write_text("")
    for listing in (
        "import os\nos.listdir('jobs')",
        "from pathlib import Path\nlist(Path('jobs').glob('*.py'))",
        "import os\nlist(os.walk('jobs'))",
        "import os\nos.chdir('jobs')\nos.listdir()",
    ):
        found, _, _ = record(tmp_path, listing)
        assert found == {"module.py": True, "jobs/": True}, listing


def test_writing_and_reading_outside_are_no_dependencies(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (tmp_path / "outside.txt").write_text("")
    found, _, _ = record(root, f"open('out.txt', 'w').close()\nopen({str(tmp_path / 'outside.txt')!r}).read()\n")
    assert found == {"module.py": True}


@pytest.mark.parametrize(
    "call", ["import subprocess; subprocess.run(['true'], check=True)", "import os; os.system('true')"]
)
def test_a_program_that_was_run_is_noted(call: str, tmp_path: Path) -> None:
    _, programs, _ = record(tmp_path, call)
    assert len(programs) == 1


@pytest.mark.parametrize(
    ("attempt", "named"),
    [
        ("socket.create_connection(('127.0.0.1', 9))", "127.0.0.1:9"),
        ("socket.socket().connect(('127.0.0.1', 9))", "127.0.0.1:9"),
        ("socket.getaddrinfo('example.com', 443)", "example.com"),
        ("socket.gethostbyname('example.com')", "example.com"),
        ("socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'', ('127.0.0.1', 9))", "127.0.0.1:9"),
        ("socket.socket(socket.AF_UNIX).connect('/var/run/docker.sock')", "/var/run/docker.sock"),
        ("urllib.request.urlopen('http://example.com')", "example.com:80"),
    ],
)
def test_the_network_is_refused_and_the_target_named(attempt: str, named: str, tmp_path: Path) -> None:
    program = (
        "import socket, sys, urllib.request\nfrom pathlib import Path\n"
        "from mlops_sm.compile.watch import NetworkRefusedError, Watch\n"
        f"Watch(Path(sys.argv[1]))\ntry:\n    {attempt}\nexcept NetworkRefusedError as refused:\n    print(refused)\n"
    )
    assert named in python(program, str(tmp_path), cwd=tmp_path)


def test_next_to_nothing_of_the_callers_environment_reaches_the_worker(tmp_path: Path) -> None:
    caller = {
        "PATH": "/bin",
        "PYTHONPATH": "/extra",
        "HOME": "/home/me",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_PROFILE": "prod",
        "AWS_ENDPOINT_URL": "http://x",
        "HTTPS_PROXY": "http://proxy",
        "PYTHONHASHSEED": "123",
        "SECRET": "s",
        "AWS_CONFIG_FILE": "/home/me/.aws/config",
    }
    made = worker_environment(caller, region="eu-central-1", home=tmp_path)
    assert made["AWS_DEFAULT_REGION"] == "eu-central-1"
    assert made["AWS_CONFIG_FILE"] == made["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
    assert made["PYTHONHASHSEED"] == "0"
    assert made["HOME"] == str(tmp_path)
    assert made["PYTHONPATH"].split(os.pathsep) == [str(CHECKOUT), "/extra"]
    assert not {"AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ENDPOINT_URL", "HTTPS_PROXY", "SECRET"} & set(made)
