"""What it costs to keep everything on disk: long queues and many metrics, large objects, a job's channel."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3

from benchmarks.measure import Row, peak_so_far, ratio
from mlops_sm.emulator import LocalAccount
from mlops_sm.emulator.store import Scope

MB = 1024**2
ROLE_TRUST = '{"Version":"2012-10-17","Statement":[]}'
OWNER = """
import sys
from pathlib import Path
from mlops_sm.emulator import LocalAccount
account = LocalAccount.open(Path(sys.argv[1]))
print(account.endpoint_url, flush=True)
sys.stdin.read()
"""


def rows() -> list[Row]:
    """Growth of requests with what is there, memory of large objects, a channel against `cp`."""
    with tempfile.TemporaryDirectory() as folder:
        return [*_growth(Path(folder) / "growth"), _channel(Path(folder) / "channel"), *_large(Path(folder) / "large")]


def _growth(state: Path) -> list[Row]:
    account = LocalAccount.open(state)
    try:
        sqs, metrics, iam = (account.client(name) for name in ("sqs", "cloudwatch", "iam"))
        url = sqs.create_queue(QueueName="q")["QueueUrl"]
        datum = [{"MetricName": "m", "Value": 1.0}]
        return [
            _grown(
                "the 5,000th message sent / the 100th",
                lambda _: sqs.send_message(QueueUrl=url, MessageBody="x" * 200),
                5000,
                bound=3,
            ),
            _grown(
                "metric data with 50,000 there / with 100",
                lambda number: metrics.put_metric_data(Namespace="n", MetricData=datum * (1 if number < 160 else 500)),
                260,
                bound=3,
                last=lambda _: metrics.put_metric_data(Namespace="n", MetricData=datum),
            ),
            _grown(
                "the 500th role / the 50th",
                lambda number: iam.create_role(RoleName=f"r{number}", AssumeRolePolicyDocument=ROLE_TRUST),
                500,
                bound=3,
            ),
        ]
    finally:
        account.close()


def _grown(
    name: str,
    request: Callable[[int], Any],
    count: int,
    *,
    bound: float,
    last: Callable[[int], Any] | None = None,
) -> Row:
    """The cost of a request at the end of many against the cost near their beginning."""
    times = [_seconds(request, number) for number in range(count)]
    tenth = max(count // 50, 20)
    early = statistics.median(times[tenth : 3 * tenth])
    late = statistics.median([_seconds(last, number) for number in range(40)] if last else times[-2 * tenth :])
    measured = f"{late / early:.2f} x  ({late * 1000:.1f} ms / {early * 1000:.1f} ms)"
    return Row(name, measured, f"<= {bound:g} x", late <= bound * early)


def _seconds(request: Callable[[int], Any], number: int) -> float:
    started = time.perf_counter()
    request(number)
    return time.perf_counter() - started


def _channel(state: Path) -> Row:
    account = LocalAccount.open(state)
    try:
        account.ensure_bucket("channel-bench")
        source = state / "source"
        source.write_bytes(os.urandom(MB) * 50)
        objects = account._storage.objects(Scope(account.account_id, account.region))
        objects.store(source, "channel-bench", "k")
        target = state / "target"
        value, ours, theirs = ratio(
            lambda: _seconds(lambda _: objects.fetch("channel-bench", "k", target), 0),
            lambda: _seconds(lambda _: subprocess.run(["cp", source, target], check=True), 0),
            pairs=7,
        )
    finally:
        account.close()
    measured = f"{value:.2f} x  ({ours * 1000:.0f} ms / {theirs * 1000:.0f} ms)"
    return Row("a 50 MB object to a job's channel / cp", measured, "<= 2 x", value <= 2)


def _large(folder: Path) -> list[Row]:
    folder.mkdir()
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder / "state")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    if owner.stdout is None or owner.stdin is None:
        raise RuntimeError("the owner of the account has no pipes")
    try:
        s3 = boto3.Session("AKIAIOSFODNN7EXAMPLE", "secret", region_name="us-east-1").client(
            "s3", endpoint_url=owner.stdout.readline().strip()
        )
        s3.create_bucket(Bucket="large-bench")
        s3.put_object(Bucket="large-bench", Key="small", Body=b"x")
        s3.get_object(Bucket="large-bench", Key="small")["Body"].read()
        source, target = folder / "source", folder / "target"
        with source.open("wb") as file:
            for _ in range(300):
                file.write(os.urandom(MB))
        idle = peak_so_far(owner.pid)
        report = []
        for name, work in (
            ("put_object", lambda: _put(s3, source)),
            ("upload_file", lambda: s3.upload_file(str(source), "large-bench", "parts")),
            ("download_file", lambda: s3.download_file("large-bench", "parts", str(target))),
            ("copy_object", lambda: s3.copy_object(Bucket="large-bench", Key="c", CopySource="large-bench/whole")),
        ):
            seconds = _seconds(lambda _, work=work: work(), 0)  # type: ignore[misc] # bound now
            more = peak_so_far(owner.pid) - idle
            label = f"memory of the server so far, 300 MB {name}"
            report.append(Row(label, f"+{more:.0f} MB  ({seconds:.1f} s)", "<= +100 MB", more <= 100))
        return report
    finally:
        owner.stdin.close()
        owner.wait()
        owner.stdout.close()
        shutil.rmtree(folder)


def _put(s3: Any, source: Path) -> None:  # noqa: ANN401 - a boto3 client
    with source.open("rb") as file:
        s3.put_object(Bucket="large-bench", Key="whole", Body=file)
