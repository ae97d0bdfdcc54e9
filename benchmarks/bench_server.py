"""The account over HTTP: DescribePipeline against moto's own server, and what asking for the endpoint costs."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from benchmarks.measure import Row, ratio

_REQUESTS = 300
_ROLE = "arn:aws:iam::123456789012:role/execution"
_DEFINITION = json.dumps(
    {
        "Version": "2020-12-01",
        "Metadata": {},
        "Parameters": [],
        "Steps": [{"Name": "No", "Type": "Fail", "Arguments": {"ErrorMessage": "no"}}],
    }
)
_OURS = """
import sys
from pathlib import Path
from mlops_sm.emulator import LocalAccount
with LocalAccount.open(Path(sys.argv[1])) as account:
    print(account.endpoint_url, flush=True)
    sys.stdin.read()
"""
_MOTOS = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print("http://%s:%d" % server.get_host_and_port(), flush=True)
sys.stdin.read()
"""
_ASKED = """
import sys, time
from pathlib import Path
from mlops_sm.emulator import LocalAccount
with LocalAccount.open(Path(sys.argv[1])) as account:
    started = time.thread_time()
    account.endpoint_url
    print(time.thread_time() - started)
"""


def rows() -> Iterator[Row]:
    """Measure."""
    with tempfile.TemporaryDirectory() as folder, _server(_OURS, folder) as ours, _server(_MOTOS, folder) as motos:
        slower, their_seconds, our_seconds = ratio(_described(motos), _described(ours), pairs=5)
        yield Row(
            "DescribePipeline over HTTP, moto's server by ours",
            f"{slower:.1f} x  ({_REQUESTS / our_seconds:.0f}/s, {_REQUESTS / their_seconds:.0f}/s)",
            ">= 2 x",
            slower >= 2,
        )
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _ASKED, folder]
        seconds = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        yield Row(
            "asking for the endpoint URL, CPU of who asks", f"{seconds * 1000:.1f} ms", "<= 10 ms", seconds <= 0.01
        )


@contextmanager
def _server(program: str, folder: str) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(Path(folder) / "state")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process.stdout.readline().strip() if process.stdout else ""
    finally:
        process.communicate()


def _described(url: str) -> Callable[[], float]:
    client: Any = boto3.client(
        "sagemaker",
        "us-east-1",
        endpoint_url=url,
        aws_access_key_id="bench",
        aws_secret_access_key="mark",  # noqa: S106 - opens nothing anywhere
        config=Config(retries={"total_max_attempts": 1}),
    )
    client.create_pipeline(PipelineName="p", PipelineDefinition=_DEFINITION, RoleArn=_ROLE, ClientRequestToken="t" * 32)

    def describe() -> float:
        started = time.perf_counter()
        for _ in range(_REQUESTS):
            client.describe_pipeline(PipelineName="p")
        return time.perf_counter() - started

    return describe
