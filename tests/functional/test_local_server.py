"""The server as processes see it: it starts, commands meet it, it is killed, and nothing that was there is lost."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command import REPOSITORY, begin, environment, mlops, processing, write

from mlops_sm import naming
from mlops_sm.operations.clients import endpoint_session

PATIENCE = 60.0


class Server:
    """``mlops-sm local up`` as a process."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.process = begin(folder, "local", "up", *arguments, stdin=subprocess.PIPE)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("ready http://"), line + self.process.communicate(timeout=PATIENCE)[1]
        self.url = line.split()[1]

    def client(self, service: str) -> Any:
        key = naming.local_access_key(naming.LOCAL_ACCOUNT_ID)
        return endpoint_session(self.url, access_key=key, region="us-east-1").client(service)

    def end(self, number: signal.Signals) -> tuple[str, str]:
        self.process.send_signal(number)
        return self.process.communicate(timeout=PATIENCE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder without a project."""
    return tmp_path


@pytest.fixture
def up(folder: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers on free ports."""
    started: list[Server] = []

    def start(*arguments: str) -> Server:
        started.append(Server(folder, "--port", "0", *arguments))
        return started[-1]

    yield start
    for server in started:
        server.process.kill()
        server.process.communicate(timeout=PATIENCE)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_commands_and_clients_share_the_account_of_a_server(folder: Path, up: Callable[..., Server]) -> None:
    server = up()
    name = write(folder, processing("First", "echo one"), processing("Second", "echo two", DependsOn=["First"]))
    run = json.loads(mlops(folder, "run", name, "--json").stdout)
    assert [(s["name"], s["status"]) for s in run["steps"]] == [("First", "Succeeded"), ("Second", "Succeeded")]
    assert mlops(folder, "logs", "latest", "First").stdout == "one\n"
    whole = re.search(r"^whole log: (.+)$", mlops(folder, "logs", "latest", "Second").stderr, re.MULTILINE)
    assert whole
    assert Path(whole[1]).read_text() == "two\n"
    described = server.client("sagemaker").describe_pipeline_execution(PipelineExecutionArn=run["execution_arn"])
    assert described["PipelineExecutionStatus"] == "Succeeded"
    out, err = server.end(signal.SIGTERM)
    assert (server.process.returncode, out) == (0, ""), err
    # embedded now, and the same state
    assert json.loads(mlops(folder, "executions", "show", "--json").stdout)["execution_arn"] == run["execution_arn"]
    assert not (folder / ".mlops_sm" / "server.json").exists()


def test_a_detached_run_goes_on_without_its_command(folder: Path, up: Callable[..., Server]) -> None:
    up()
    gate = folder / "gate"
    name = write(folder, processing("Slow", f"while [ ! -e {gate} ]; do sleep 0.05; done"))
    started = mlops(folder, "run", name, "--detach")
    arn = started.stdout.strip()
    follow = re.search(r"follow it: mlops-sm (.+)", started.stderr)
    assert follow
    shown = json.loads(mlops(folder, *follow[1].split(), "--json").stdout)
    assert (shown["execution_arn"], shown["status"]) == (arn, "Executing")
    running = json.loads(mlops(folder, "local", "status", "--json").stdout)
    assert (running["executions"], running["jobs"]) == (1, 1)
    gate.touch()
    wait_for(
        lambda: json.loads(mlops(folder, "executions", "show", "--json").stdout)["status"] == "Succeeded",
        "the end of the execution",
    )


def test_a_killed_server_is_followed_by_commands_that_see_everything(folder: Path, up: Callable[..., Server]) -> None:
    server = up()
    name = write(folder, processing("Only", "echo done"))
    mlops(folder, "run", name)
    server.client("s3").create_bucket(Bucket="kept")
    server.client("s3").put_object(Bucket="kept", Key="a", Body=b"content")
    mlops(folder, "run", write(folder, processing("Long", "exec sleep 1000"), name="long.json"), "--detach")
    server.process.kill()
    server.process.wait(PATIENCE)
    state = folder / ".mlops_sm"
    assert (state / "server.json").exists()

    assert "no server runs" in mlops(folder, "local", "status", code=1).stderr
    listed = json.loads(mlops(folder, "executions", "list", "--json").stdout)
    assert [(e["pipeline_name"], e["status"]) for e in listed] == [("long", "Failed"), ("pipe", "Succeeded")]
    assert not (state / "server.json").exists()
    mlops(folder, "run", name)

    again = up()
    assert again.client("s3").get_object(Bucket="kept", Key="a")["Body"].read() == b"content"
    assert len(json.loads(mlops(folder, "executions", "list", "--json").stdout)) == 3


def test_two_servers_on_one_state(folder: Path, up: Callable[..., Server]) -> None:
    server = up()
    second = mlops(folder, "local", "up", "--port", "0", code=3)
    assert second.stdout == ""
    assert "error[E540]" in second.stderr
    assert server.url in second.stderr
    assert json.loads(mlops(folder, "local", "status", "--json").stdout)["url"] == server.url
    up("--state", "other")


@pytest.mark.slow
def test_servers_started_at_once_on_one_state(folder: Path) -> None:
    up = ("local", "up", "--port", "0", "--end-with-stdin")
    servers = [begin(folder, *up, stdin=subprocess.PIPE) for _ in range(3)]
    wait_for(lambda: sum(server.poll() is not None for server in servers) == 2, "two of three to be refused")
    (winner,) = [server for server in servers if server.poll() is None]
    assert winner.stdout is not None
    url = winner.stdout.readline().split()[1]
    assert json.loads(mlops(folder, "local", "status", "--json").stdout)["url"] == url
    for server in servers:
        _, err = server.communicate(timeout=PATIENCE)
        assert server.returncode == (0 if server is winner else 3), err
        assert server is winner or "error[E540]" in err


def test_a_command_that_owns_the_state_says_how_to_share_it(folder: Path) -> None:
    name = write(folder, processing("Long", "exec sleep 1000"))
    process = begin(folder, "run", name)
    assert process.stderr is not None
    assert any(line.startswith("Long: Executing") for line in process.stderr)
    busy = mlops(folder, "executions", "list", code=3)
    assert "error[E540]" in busy.stderr
    assert "mlops-sm local up" in busy.stderr
    assert "error[E540]" in mlops(folder, "local", "up", "--port", "0", code=3).stderr
    assert "it is in use by process" in mlops(folder, "local", "status", code=1).stderr
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)


def test_requests_are_said_when_that_is_wanted(up: Callable[..., Server]) -> None:
    server = up("-v")
    server.client("sagemaker").list_pipelines()
    assert server.end(signal.SIGTERM)[1].count("ListPipelines") == 1


def test_an_interrupted_run_stops_what_the_server_runs_for_it(folder: Path, up: Callable[..., Server]) -> None:
    up()
    name = write(folder, processing("Long", "exec sleep 1000"))
    process = begin(folder, "run", name)
    assert process.stderr is not None
    assert any(line.startswith("Long: Executing") for line in process.stderr)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    assert "execution" in out
    assert json.loads(mlops(folder, "executions", "show", "--json").stdout)["status"] == "Stopped"
    assert json.loads(mlops(folder, "local", "status", "--json").stdout)["jobs"] == 0


def test_a_taken_port(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = mlops(folder, "local", "up", "--port", str(port), code=3)
    assert "error[E546]" in refused.stderr
    assert str(port) in refused.stderr
    mlops(folder, "executions", "list")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_state_that_cannot_be_written(folder: Path) -> None:
    (folder / "state").mkdir(mode=0o500)
    assert "error[E541]" in mlops(folder, "local", "up", "--port", "0", "--state", "state", code=3).stderr


def test_a_state_that_is_a_file(folder: Path) -> None:
    (folder / "state").write_text("")
    refused = mlops(folder, "local", "up", "--port", "0", "--state", "state/below", code=3)
    assert "error[E541]" in refused.stderr


def test_down_ends_what_runs(folder: Path, up: Callable[..., Server]) -> None:
    server = up()
    mlops(folder, "run", write(folder, processing("Long", "exec sleep 1000")), "--detach")
    down = mlops(folder, "local", "down")
    assert "has ended" in down.stderr
    out, err = server.process.communicate(timeout=PATIENCE)
    assert (server.process.returncode, out) == (0, "")
    assert "jobs that run are stopped" in err
    assert json.loads(mlops(folder, "executions", "show", "--json").stdout)["status"] in {"Stopped", "Failed"}
    assert mlops(folder, "local", "down").returncode == 0


def test_a_second_interrupt_kills_a_job_that_will_not_end(folder: Path, up: Callable[..., Server]) -> None:
    server = up()
    mark = folder / "ready"
    script = f"trap '' TERM; touch {mark}; while true; do sleep 1; done"
    mlops(folder, "run", write(folder, processing("Stubborn", script)), "--detach")
    wait_for(mark.exists, "the job")
    server.process.send_signal(signal.SIGINT)
    assert server.process.stderr is not None
    assert any("Ctrl-C again kills them" in line for line in server.process.stderr)
    server.process.send_signal(signal.SIGINT)
    _, err = server.process.communicate(timeout=PATIENCE)
    assert server.process.returncode == 0, err
    assert "Traceback" not in err


def test_nohup_is_respected(folder: Path) -> None:
    command = f"trap '' HUP; exec {sys.executable} -m mlops_sm local up --port 0"
    process = subprocess.Popen(
        ["sh", "-c", command], cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("ready ")
    process.send_signal(signal.SIGHUP)
    assert json.loads(mlops(folder, "local", "status", "--json").stdout)["answers"]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0


def test_the_end_of_standard_input_ends_a_server_that_was_told_so(folder: Path, up: Callable[..., Server]) -> None:
    server = up("--end-with-stdin")
    out, _ = server.process.communicate(timeout=PATIENCE)
    assert (server.process.returncode, out) == (0, "")


def test_nothing_of_the_callers_aws_configuration_matters(folder: Path, up: Callable[..., Server]) -> None:
    up()
    (folder / "config").write_text(
        "[profile mine]\nendpoint_url = http://127.0.0.1:9\nregion = eu-west-3\ns3 =\n  addressing_style = virtual\n"
    )
    variables = {
        "AWS_PROFILE": "mine",
        "AWS_CONFIG_FILE": str(folder / "config"),
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
    }
    name = write(folder, processing("Only", "echo done"))
    assert json.loads(mlops(folder, "run", name, "--json", **variables).stdout)["status"] == "Succeeded"
    mlops(folder, "executions", "list", **{**variables, "AWS_PROFILE": "nobody"})
    embedded = mlops(folder, "run", name, "--json", "--state", "other", **{**variables, "AWS_PROFILE": "nobody"})
    assert json.loads(embedded.stdout)["status"] == "Succeeded"


def test_the_settings_of_a_project_are_used(folder: Path, up: Callable[..., Server]) -> None:
    (folder / "pyproject.toml").write_text(
        '[tool.mlops_sm]\nname = "churn"\n'
        '[tool.mlops_sm.environments.local]\naccount = "999999999999"\nregion = "eu-west-1"\n'
        '[tool.mlops_sm.local.images]\n"my/image" = "python"\n'
    )
    server = up()
    status = json.loads(mlops(folder, "local", "status", "--json").stdout)
    assert (status["account"], status["region"]) == ("999999999999", "eu-west-1")
    session = endpoint_session(server.url, access_key="anybody", region="eu-west-1")
    assert session.client("sts").get_caller_identity()["Account"] == "999999999999"
    buckets = {bucket["Name"] for bucket in session.client("s3").list_buckets()["Buckets"]}
    assert "churn-local-artifacts-999999999999-eu-west-1" in buckets
    assert len(session.client("iam").list_roles()["Roles"]) == 1
    step = {**processing("Mine", "echo mine")}
    step["Arguments"] = {
        **step["Arguments"],
        "AppSpecification": {"ImageUri": "my/image:1", "ContainerEntrypoint": ["sh", "-c", "echo mine"]},
        "RoleArn": "arn:aws:iam::999999999999:role/service",
    }
    run = json.loads(mlops(folder, "run", write(folder, step), "--json").stdout)
    assert (run["status"], run["execution_arn"].split(":")[3:5]) == ("Succeeded", ["eu-west-1", "999999999999"])


def test_another_project_s_account_on_the_same_server(folder: Path, up: Callable[..., Server]) -> None:
    up()
    other = {"MLOPS_SM_LOCAL_ACCOUNT": "999999999999", "MLOPS_SM_LOCAL_REGION": "eu-west-1"}
    step = {**processing("Mine", "echo mine")}
    step["Arguments"] = {**step["Arguments"], "RoleArn": "arn:aws:iam::999999999999:role/service"}
    run = json.loads(mlops(folder, "run", write(folder, step), "--json", **other).stdout)
    assert run["execution_arn"].split(":")[3:5] == ["eu-west-1", "999999999999"]
    logs = mlops(folder, "logs", "latest", "Mine", **other)
    whole = re.search(r"^whole log: (.+)$", logs.stderr, re.MULTILINE)
    assert whole
    assert Path(whole[1]).read_text() == "mine\n"
    assert json.loads(mlops(folder, "executions", "list", "--json").stdout) == []


def test_the_client_of_the_page_finds_it(folder: Path, up: Callable[..., Server]) -> None:
    """The block of docs/local-account.md, as it stands, with the endpoint and nothing else."""
    server = up()
    (code,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "local-account.md").read_text(), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment(AWS_ENDPOINT_URL=server.url),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(mlops(folder, "executions", "show", "--json").stdout)["execution_arn"] == done.stdout.strip()


def test_variables_for_a_shell_lead_the_sdk_to_it(folder: Path, up: Callable[..., Server]) -> None:
    up()
    shown = mlops(folder, "local", "env").stdout
    script = 'eval "$1"; cat "$SAGEMAKER_ADMIN_CONFIG_OVERRIDE"; printf "%s" "$AWS_ENDPOINT_URL"'
    done = subprocess.run(["sh", "-c", script, "-", shown], capture_output=True, text=True, check=True)
    assert "DefaultS3Bucket: sagemaker-us-east-1-123456789012" in done.stdout
    assert done.stdout.endswith(json.loads(mlops(folder, "local", "status", "--json").stdout)["url"])


@pytest.mark.parametrize("with_server", [False, True], ids=["embedded", "served"])
def test_a_failed_execution_is_retried(folder: Path, up: Callable[..., Server], *, with_server: bool) -> None:
    if with_server:
        up()
    mark = folder / "repaired"
    steps = [processing("First", "echo once"), processing("Then", f"test -e {mark}", DependsOn=["First"])]
    failed = json.loads(mlops(folder, "run", write(folder, *steps), "--json", code=1).stdout)
    mark.touch()
    retried = json.loads(mlops(folder, "executions", "retry", "--json").stdout)
    assert retried["execution_id"] == failed["execution_id"]
    assert [(s["name"], s["status"]) for s in retried["steps"]] == [("First", "Succeeded"), ("Then", "Succeeded")]
    assert "error[E527]" in mlops(folder, "executions", "retry", code=3).stderr


def test_account_and_region_by_option(folder: Path, up: Callable[..., Server]) -> None:
    up("--account", "222222222222", "--region", "ap-south-1")
    variables = json.loads(mlops(folder, "local", "env", "--json").stdout)
    assert (variables["AWS_REGION"], variables["AWS_ACCESS_KEY_ID"][-12:]) == ("ap-south-1", "222222222222")


@pytest.mark.slow
def test_a_state_whose_server_is_starting_is_waited_for(folder: Path) -> None:
    """Commands between the moment the server takes the state and the one it answers at wait for it."""
    process = begin(folder, "local", "up", "--port", "0", "--end-with-stdin", stdin=subprocess.PIPE)
    lock = folder / ".mlops_sm" / "lock"
    wait_for(lambda: lock.exists() and bool(lock.read_text()), "the lock")
    assert process.stdin is not None
    os.kill(process.pid, signal.SIGSTOP)
    waiting = begin(folder, "executions", "list", "--json")
    assert waiting.stdout is not None
    with contextlib.suppress(subprocess.TimeoutExpired):
        waiting.wait(2)
    assert not select.select([waiting.stdout], [], [], 0)[0]
    os.kill(process.pid, signal.SIGCONT)
    out, err = waiting.communicate(timeout=PATIENCE)
    assert (waiting.returncode, out) == (0, "[]\n"), err
    process.communicate(timeout=PATIENCE)
