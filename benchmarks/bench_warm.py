"""What a warm worker adds to a job: from the request to the outcome, beside a bare fork and exec."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.measure import Row
from mlops_sm.local.images import ImageTable
from mlops_sm.local.isolation.linux import NamespaceIsolation
from mlops_sm.local.jobs import JobStatus, run_processing
from mlops_sm.local.site import Site
from mlops_sm.local.warm import WarmWorkers
from mlops_sm.testing.stores import MemoryStore

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
SCRIPT = "import numpy, pandas, sklearn.linear_model\n"
REQUEST: dict[str, Any] = {
    "RoleArn": "arn:aws:iam::123456789012:role/job",
    "AppSpecification": {
        "ImageUri": IMAGE,
        "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/script.py"],
    },
    "ProcessingInputs": [
        {
            "InputName": "code",
            "S3Input": {
                "S3Uri": "s3://bucket/code/script.py",
                "LocalPath": "/opt/ml/processing/input/code",
                "S3DataType": "S3Prefix",
            },
        }
    ],
}
TURNS = 40


class Jobs:
    """Processing jobs whose script imports what the worker has imported, and does nothing."""

    def __init__(self, site: Site) -> None:
        self._site, self._names = site, count(1)

    def seconds(self) -> float:
        """Of one job: its folder, its code out of the store, its process, its end."""
        started = time.perf_counter()
        outcome = run_processing(
            REQUEST,
            name=f"job-{next(self._names)}",
            arn="arn:aws:sagemaker:us-east-1:123456789012:processing-job/job",
            site=self._site,
            stop=threading.Event(),
            on_status=lambda *_: None,
        )
        seconds = time.perf_counter() - started
        if outcome.status is not JobStatus.COMPLETED:
            raise RuntimeError(outcome.failure_reason)
        return seconds


def fork_and_exec() -> float:
    """Seconds of the least that a process costs."""
    started = time.perf_counter()
    subprocess.run(["/bin/true"], check=True)
    return time.perf_counter() - started


@contextmanager
def warm_jobs() -> Iterator[Jobs]:
    """Jobs of a worker that has finished its imports."""
    store = MemoryStore("bucket")
    store.put("s3://bucket/code/script.py", SCRIPT)
    isolation, warm = NamespaceIsolation(), WarmWorkers()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            site = Site(
                jobs=Path(scratch),
                store=store,
                isolation=isolation,
                warm=warm,
                images=ImageTable(),
                clock=lambda: datetime.now(UTC),
                account_id="123456789012",
                region="us-east-1",
            )
            jobs = Jobs(site)
            jobs.seconds()  # waits for the imports
            yield jobs
    finally:
        warm.close()
        isolation.close()


def rows() -> list[Row]:
    """The two in turn, median against median."""
    with warm_jobs() as jobs:
        pairs = [(jobs.seconds(), fork_and_exec()) for _ in range(TURNS)]
    job, bare = (statistics.median(values) * 1000 for values in zip(*pairs, strict=True))
    return [
        Row(
            "job of a warm worker, beyond fork+exec",
            f"{job - bare:.1f} ms  (job {job:.1f} ms, bare {bare:.1f} ms)",
            "< 30 ms",
            job - bare < 30,
        )
    ]
