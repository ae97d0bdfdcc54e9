from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlops_sm.cli import attending
from mlops_sm.cli.outside import server_nearby
from mlops_sm.operations import servers


def test_a_server_is_found(tmp_path: Path, fake_server: Any) -> None:
    server = fake_server(tmp_path)
    assert servers.find(tmp_path) == server.announced
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".new")]


def test_none_is_found_where_none_was(tmp_path: Path) -> None:
    assert servers.find(tmp_path) is None
    assert servers.find(tmp_path / "nowhere") is None
    assert list(tmp_path.iterdir()) == []


def test_a_killed_server_is_not_found_although_its_trace_is_there(tmp_path: Path, fake_server: Any) -> None:
    """Its process id is one that lives: another process may have got it since."""
    fake_server(tmp_path).die()
    assert (tmp_path / servers.FILE_NAME).exists()
    assert servers.find(tmp_path) is None


def test_a_server_that_does_not_answer_is_known_by_its_lock(tmp_path: Path, fake_server: Any) -> None:
    server = fake_server(tmp_path)
    server.stop_answering()
    assert servers.find(tmp_path) == server.announced


def test_a_copied_state_is_not_the_server_s(tmp_path: Path, fake_server: Any) -> None:
    server = fake_server(tmp_path / "original")
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / servers.FILE_NAME).write_text((server.state / servers.FILE_NAME).read_text())
    assert servers.find(copy) is None


def test_a_port_that_another_program_has_taken_over(tmp_path: Path, fake_server: Any) -> None:
    other = fake_server(tmp_path / "other", pid="what is this")
    state = tmp_path / "state"
    state.mkdir()
    servers.announce(state, other.announced)
    assert servers.find(state) is None


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", "{}", '{"pid": "1"}', '{"pid": 1, "url": 2, "started": "x"}', "\xff"]
)
def test_a_damaged_trace_is_no_server(tmp_path: Path, content: str) -> None:
    (tmp_path / servers.FILE_NAME).write_bytes(content.encode("latin-1"))
    assert servers.find(tmp_path) is None


def test_nearby(tmp_path: Path, fake_server: Any) -> None:
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    fake_server(tmp_path / "elsewhere")
    assert not server_nearby(inside, None)
    assert server_nearby(inside, "../../elsewhere")
    fake_server(tmp_path / ".mlops_sm")
    assert server_nearby(inside, None)
    assert not server_nearby(inside, tmp_path / "nowhere")


def test_size_counts_every_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"12345")
    (tmp_path / "y").write_bytes(b"1")
    (tmp_path / "gone").symlink_to("nowhere")
    assert servers.size(tmp_path) == 6 + len("nowhere")


# ---------------------------------------------------------------- status, env, down


def test_status(world: Any, fake_server: Any) -> None:
    server = fake_server(world.cwd / ".mlops_sm")
    result = world.run("local", "status")
    assert result.code == 0
    assert f"url      {server.url}\n" in result.out
    assert "running  1 execution, 2 jobs\n" in result.out
    told = world.run("local", "status", "--json").json
    assert (told["running"], told["pid"], told["executions"], told["jobs"]) == (True, server.pid, 1, 2)
    assert told["state_bytes"] > 0


def test_status_of_a_server_that_does_not_answer(world: Any, fake_server: Any) -> None:
    fake_server(world.cwd / "state").stop_answering()
    result = world.run("local", "status", "--state", "state")
    assert result.code == 0
    assert "running  it does not answer\n" in result.out


@pytest.mark.parametrize("command", ["status", "env"])
def test_no_server(world: Any, command: str) -> None:
    result = world.run("local", command)
    assert (result.code, result.out) == (1, "")
    assert f"no server runs for {world.cwd}/.mlops_sm\n" in result.err
    assert world.run("local", command, "--json").json == {"running": False, "state": f"{world.cwd}/.mlops_sm"}


def test_no_server_but_somebody_else(world: Any, fake_server: Any) -> None:
    server = fake_server(world.cwd / "state")
    (server.state / servers.FILE_NAME).unlink()
    assert f"it is in use by process {server.pid} mlops-sm" in world.run("local", "status", "--state", "state").err


def test_a_server_that_is_starting_is_waited_for(world: Any, fake_server: Any) -> None:
    server = fake_server(world.cwd / ".mlops_sm")
    servers.withdraw(server.state)
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            servers.announce(server.state, server.announced)

    world.sleep = sleep
    assert world.run("local", "status", "--json").json["url"] == server.url
    assert len(naps) == 3


def test_a_server_that_is_ending_is_waited_for(world: Any, fake_server: Any) -> None:
    server = fake_server(world.cwd / ".mlops_sm")
    servers.withdraw(server.state)
    world.sleep = lambda _: server.die()
    result = world.run("local", "down")
    assert result.code == 0
    assert "no server runs" in result.err


def test_env(world: Any, fake_server: Any) -> None:
    server = fake_server(world.cwd / ".mlops_sm")
    result = world.run("local", "env")
    script = f"{result.out}\nprintf '%s %s %s' $AWS_ENDPOINT_URL $AWS_DEFAULT_REGION ${{AWS_PROFILE-none}}"
    shell = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, check=True, env={"AWS_PROFILE": "mine"}
    )
    assert shell.stdout == f"{server.url} us-east-1 none"
    assert world.run("local", "env", "--json").json["AWS_ACCESS_KEY_ID"].endswith("123456789012")


def test_down_without_a_server_is_done(world: Any) -> None:
    result = world.run("local", "down")
    assert (result.code, result.out) == (0, "")
    assert "no server runs" in result.err


def test_down_waits_until_the_state_is_free(world: Any, fake_server: Any) -> None:
    """A process of its own stands for the server: it ends on SIGTERM, and with it the lock that it holds."""
    state = world.cwd / ".mlops_sm"
    server = fake_server(state)
    server.die()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(state / "lock")], stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    document = json.loads((state / servers.FILE_NAME).read_text())
    (state / servers.FILE_NAME).write_text(json.dumps({**document, "pid": holder.pid}))
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        holder.wait(30)

    world.sleep = sleep
    result = world.run("local", "down")
    assert (result.code, holder.wait(30)) == (0, -signal.SIGTERM)
    assert f"the server at {server.url} has ended" in result.err
    holder.stdout.close()


HOLDER = """
import fcntl, os, signal, sys
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
lock.write(f"{os.getpid()} mlops-sm local up")
lock.flush()
print("held", flush=True)
signal.pause()
"""


def test_down_ends_no_process_that_is_more_than_a_server(world: Any, fake_server: Any) -> None:
    """A run of pytest with an account open, for example."""
    server = fake_server(world.cwd / ".mlops_sm", command="pytest -q")
    result = world.run("local", "down")
    assert result.code == 3
    assert "error[E139]" in result.err
    assert "pytest -q" in result.err
    assert servers.find(server.state) == server.announced


def test_down_gives_up(world: Any, fake_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = fake_server(world.cwd / ".mlops_sm")
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(attending.os, "kill", lambda pid, number: told.append((pid, number)))
    result = world.run("local", "down")
    assert result.code == 3
    assert told == [(server.pid, signal.SIGTERM)]
    assert "error[E136]" in result.err
    assert f"kill -9 {server.pid}" in result.err


# ---------------------------------------------------------------- up: what is refused before anything is opened


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--host", "192.0.2.1"], "E128", "runs any code as you"),
        (["--host", "::"], "E128", "--expose"),
        (["--host", "example.org"], "E129", "127.0.0.1"),
        (["--port", "65536"], "E100", "65536"),
        (["--port", "-1"], "E100", "-1"),
        (["--account", "12"], "E100", "123456789012"),
        (["--region", "moon"], "E100", "eu-central-1"),
    ],
)
def test_up_refuses(world: Any, arguments: list[str], code: str, says: str) -> None:
    result = world.run("local", "up", *arguments, "--json")
    assert result.code == 2
    assert [problem["code"] for problem in result.json["problems"]] == [code]
    assert says in result.err
    assert not (world.cwd / ".mlops_sm").exists()


def test_up_where_a_server_runs(world: Any, fake_server: Any) -> None:
    server = fake_server(world.cwd / "state")
    result = world.run("local", "up", "--state", "state", "--port", "0")
    assert (result.code, result.out) == (3, "")
    assert "error[E540]" in result.err
    assert server.url in result.err
    assert servers.find(server.state) == server.announced
