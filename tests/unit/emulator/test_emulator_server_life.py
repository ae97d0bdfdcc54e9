"""The server's beginning and end, jobs that call their account, and homes other than moto's."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import boto3
import pytest

from mlops_sm.emulator import LocalAccount
from mlops_sm.emulator.server.listener import HttpServer
from mlops_sm.errors import RefusedError
from mlops_sm.local.jobs import log_path

PATIENCE = 60.0


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


# ---------------------------------------------------------------- the port


def test_nothing_listens_until_somebody_asks(tmp_path: Path) -> None:
    before = {thread.name for thread in threading.enumerate()}
    with LocalAccount.open(tmp_path) as local:
        local.client("sagemaker").list_pipelines()
        assert not [t for t in threading.enumerate() if t.name.startswith("server ") and t.name not in before]


def test_the_port_may_be_chosen_and_is_free_again(tmp_path: Path) -> None:
    with LocalAccount.open(tmp_path) as local:
        port = port_of(local.endpoint_url)
    assert not listens(port)
    with LocalAccount.open(tmp_path) as local:
        assert local.serve(port) == f"http://127.0.0.1:{port}" == local.endpoint_url
        with pytest.raises(RefusedError) as refused:
            local.serve(port + 1)
        assert refused.value.problems[0].code == "E547"
    assert not listens(port)


def test_a_taken_port_is_refused_and_another_may_be_had(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, LocalAccount.open(tmp_path) as local:
        port = taken.getsockname()[1]
        with pytest.raises(RefusedError) as refused:
            local.serve(port)
        assert refused.value.problems[0].code == "E546"
        assert "in use" in refused.value.problems[0].what
        assert listens(port_of(local.endpoint_url))


def test_who_has_the_port_is_told_when_it_is_one_of_ours(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom mlops_sm.emulator import LocalAccount\n"
        "with LocalAccount.open(Path(sys.argv[1])) as account:\n"
        "    print(account.endpoint_url, flush=True)\n    sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "other")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with other, LocalAccount.open(tmp_path / "ours") as local:
        assert other.stdout is not None
        port = port_of(other.stdout.readline().strip())
        with pytest.raises(RefusedError) as refused:
            local.serve(port)
        other.communicate()
    assert refused.value.problems[0].code == "E546"
    assert f"the local account of {tmp_path / 'other'} (process {other.pid})" in refused.value.problems[0].what


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 0), ("127.0.0.1", 70_000), ("no.such.host.invalid", 0)])
def test_an_address_that_cannot_be_had(tmp_path: Path, host: str, port: int) -> None:
    with LocalAccount.open(tmp_path) as local, pytest.raises(RefusedError) as refused:
        local.serve(port, host)
    assert refused.value.problems[0].code == "E546"


def test_a_closed_account_does_not_serve(tmp_path: Path) -> None:
    local = LocalAccount.open(tmp_path)
    local.close()
    with pytest.raises(RefusedError) as refused:
        local.serve()
    assert refused.value.problems[0].code == "E547"


# ---------------------------------------------------------------- the end


Respond = Callable[[str, list[tuple[str, str]]], object]


class Slow:
    """An application whose answers wait."""

    def __init__(self) -> None:
        self.asked, self.go = threading.Event(), threading.Event()

    def __call__(self, environ: dict[str, Any], respond: Respond) -> Iterable[bytes]:
        self.asked.set()
        assert self.go.wait(PATIENCE)
        respond("200 OK", [("Content-Length", "4")])
        return [b"done"]


def test_an_answer_on_its_way_is_finished_before_the_end() -> None:
    slow = Slow()
    server = HttpServer(lambda: slow, "127.0.0.1", 0)
    idle = socket.create_connection(("127.0.0.1", server.port))
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/")
    assert slow.asked.wait(PATIENCE)
    closing = threading.Thread(target=server.close, args=(PATIENCE,))
    closing.start()
    while listens(server.port):
        pass
    assert closing.is_alive()
    slow.go.set()
    assert connection.getresponse().read() == b"done"
    closing.join(PATIENCE)
    assert not closing.is_alive()
    # A connection that nobody used ends with the server.
    assert idle.recv(1) == b""
    idle.close()
    connection.close()


def test_an_answer_that_never_comes_does_not_hold_up_the_end() -> None:
    slow = Slow()
    server = HttpServer(lambda: slow, "127.0.0.1", 0)
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/")
    assert slow.asked.wait(PATIENCE)
    server.close(0.05)
    assert not listens(server.port)
    slow.go.set()
    connection.close()


def test_a_server_that_was_just_started_can_be_closed() -> None:
    server = HttpServer(Slow, "127.0.0.1", 0)
    server.close(PATIENCE)
    assert not listens(server.port)


def test_a_process_that_forgets_to_close_ends_all_the_same(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom mlops_sm.emulator import LocalAccount\n"
        "print(LocalAccount.open(Path(sys.argv[1])).endpoint_url)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert ended.stdout.startswith("http://127.0.0.1:")


# ---------------------------------------------------------------- jobs


CALLS_HOME = """
import boto3, os
boto3.client("s3").put_object(Bucket="emulator-tests", Key=os.environ["NAME"] + "/said", Body=b"hello")
account = boto3.client("sts").get_caller_identity()["Account"]
jobs = [j["ProcessingJobName"] for j in boto3.client("sagemaker").list_processing_jobs()["ProcessingJobSummaries"]]
print("account", account, "sees itself", os.environ["NAME"] in jobs, "secrets", os.environ.get("AWS_PROFILE"))
"""


@pytest.mark.parametrize("start", [{}, {"PYTHONHASHSEED": "0"}], ids=["warm", "cold"])
def test_a_job_calls_its_account(account: Any, monkeypatch: pytest.MonkeyPatch, start: dict[str, str]) -> None:
    monkeypatch.setenv("AWS_PROFILE", "of-the-caller")
    request = account.processing_request("caller", CALLS_HOME, Environment={"NAME": "caller", **start})
    account.sagemaker.create_processing_job(**request)
    assert account.processing_end("caller")["ProcessingJobStatus"] == "Completed"
    assert account.body("caller/said") == b"hello"
    log = log_path(account.local.state / "jobs", "caller").read_text()
    assert "account 123456789012 sees itself True secrets None" in log


def test_a_job_without_network_is_told_of_none(account: Any) -> None:
    script = "import os\nprint('told', sorted(name for name in os.environ if name.startswith('AWS_')))"
    request = account.processing_request("alone", script, NetworkConfig={"EnableNetworkIsolation": True})
    account.sagemaker.create_processing_job(**request)
    assert account.processing_end("alone")["ProcessingJobStatus"] == "Completed"
    log = log_path(account.local.state / "jobs", "alone").read_text()
    assert "told ['AWS_DEFAULT_REGION', 'AWS_EC2_METADATA_DISABLED', 'AWS_REGION']" in log
    assert not any(thread.name.startswith("server ") for thread in threading.enumerate())


# ---------------------------------------------------------------- a home of its own


def test_a_home_that_is_not_motos(open_account: Callable[..., Any]) -> None:
    """Roles of other accounts are seen from there, too, and moto's default is an account like any other."""
    account = open_account(account_id="555566667777")
    url = account.local.endpoint_url

    def client(service: str, key: str, token: str | None = None) -> Any:
        return boto3.client(
            service,
            "us-east-1",
            endpoint_url=url,
            aws_access_key_id=key,
            aws_secret_access_key="none",  # noqa: S106 - opens nothing
            aws_session_token=token,
        )

    assert client("sts", "anybody").get_caller_identity()["Account"] == "555566667777"
    assert client("sts", "LOCALKEY123456789012").get_caller_identity()["Account"] == "123456789012"
    assert account.local.client("sts").get_caller_identity()["Account"] == "555566667777"
    key = account.local.client("sts").assume_role(
        RoleArn="arn:aws:iam::123456789012:role/visitor", RoleSessionName="visit"
    )["Credentials"]
    visitor = client("sagemaker", key["AccessKeyId"], key["SessionToken"])
    made = visitor.create_model_package_group(ModelPackageGroupName="g")["ModelPackageGroupArn"]
    assert made == "arn:aws:sagemaker:us-east-1:123456789012:model-package-group/g"
    inside = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], key["SessionToken"], "us-east-1")
    found = inside.client("sagemaker").list_model_package_groups()["ModelPackageGroupSummaryList"]
    assert [group["ModelPackageGroupArn"] for group in found] == [made]
    assert account.local.client("sagemaker").list_model_package_groups()["ModelPackageGroupSummaryList"] == []
